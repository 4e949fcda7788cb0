//! A real Prometheus that scrapes us.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::captured::Captured;
use super::process::Process;
use super::wait::wait_until_or;
use super::{http, ports};

/// Scrapes one target.
pub(crate) struct Prometheus {
    _process: Process,
    address: SocketAddr,
    log: Captured,
    _folder: TempDir,
}

impl Prometheus {
    pub(crate) fn scraping(target: SocketAddr) -> Self {
        Self::scraping_every("1s", target)
    }

    pub(crate) fn scraping_every(interval: &str, target: SocketAddr) -> Self {
        Self::scraping_with("prometheus".as_ref(), interval, target, "", &[])
    }

    /// The newest one; `keys`: more of the scrape config, after a comma.
    pub(crate) fn newest_scraping(target: SocketAddr, keys: &str) -> Self {
        Self::scraping_with(&newest(), "1s", target, keys, &[])
    }

    /// Prometheus 2; `keys`: more of the scrape config, after a comma.
    pub(crate) fn scraping_by(target: SocketAddr, keys: &str) -> Self {
        Self::scraping_with("prometheus".as_ref(), "1s", target, keys, &[])
    }

    /// Prometheus 2 that asks for protobuf.
    pub(crate) fn scraping_natives(target: SocketAddr) -> Self {
        let flags = ["--enable-feature=native-histograms"];
        Self::scraping_with("prometheus".as_ref(), "1s", target, "", &flags)
    }

    /// Scrapes what `/api/v1/sd` of an exporter names.
    pub(crate) fn discovering(exporter: SocketAddr) -> Self {
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs: [{{job_name: t, http_sd_configs: [{{url: 'http://{exporter}/api/v1/sd', refresh_interval: 1s}}]}}]\n"
        );
        Self::start(Command::new("prometheus"), &text)
    }

    fn scraping_with(
        program: &Path,
        interval: &str,
        target: SocketAddr,
        keys: &str,
        flags: &[&str],
    ) -> Self {
        let text = format!(
            "global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\n\
             scrape_configs: [{{job_name: t{keys}, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        let mut command = Command::new(program);
        command.args(flags);
        Self::start(command, &text)
    }

    /// A Prometheus 3 that is pushed to, at `/api/v1/otlp`.
    pub(crate) fn taking_otlp() -> Self {
        let mut command = Command::new(newest());
        command.arg("--web.enable-otlp-receiver");
        Self::start(command, "global: {scrape_interval: 1s}\n")
    }

    /// The newest one, with this config.
    pub(crate) fn newest_configured(text: &str) -> Self {
        Self::start(Command::new(newest()), text)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn start(mut command: Command, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, text).unwrap();
        let address = ports::free();
        let mut child = command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus is missing: run tests/toolchains.sh prometheus");
        let log = Captured::of(child.stderr.take().unwrap());
        let this = Self { _process: Process(child), address, log, _folder: folder };
        this.wait("Prometheus is ready", || {
            http::get(address, "/-/ready").ok().filter(|answer| answer.status == 200)
        });
        this
    }

    /// Waits; tells Prometheus' log if it is in vain.
    pub(crate) fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        wait_until_or(what, look, || self.log.text())
    }

    /// The value of an instant query that has one result.
    pub(crate) fn query(&self, query: &str) -> Option<f64> {
        let data = self.api(&format!("/api/v1/query?query={}", encoded(query)));
        let result = data["result"].as_array().unwrap();
        assert!(result.len() < 2, "{query} has more than one result: {data}");
        result.first().map(|one| one["value"][1].as_str().unwrap().parse().unwrap())
    }

    /// The results of a query that is evaluated at `time`: labels and value, or values, of each.
    pub(crate) fn results(&self, query: &str, time: Option<f64>) -> Vec<Value> {
        let time = time.map(|time| format!("&time={time}")).unwrap_or_default();
        let data = self.api(&format!("/api/v1/query?query={}{time}", encoded(query)));
        data["result"].as_array().unwrap().clone()
    }

    /// The same over a time, every `step` seconds.
    pub(crate) fn range(&self, query: &str, start: f64, end: f64, step: u64) -> Vec<Value> {
        let query = encoded(query);
        let path = format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}");
        self.api(&path)["result"].as_array().unwrap().clone()
    }

    /// The `data` of an answer of the HTTP API.
    pub(crate) fn api(&self, path: &str) -> Value {
        let answer: Value = serde_json::from_str(&http::body(self.address, path)).unwrap();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }
}

/// What tests/toolchains.sh built.
fn newest() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
    let folder = cache.unwrap_or_else(home).join("godebug-exporter/bin");
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("prometheus-"))
        .collect();
    found.sort();
    let newest =
        found.pop().expect("Prometheus 3 is missing: run tests/toolchains.sh prometheus-3");
    newest.join("prometheus")
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// What promtool says of a web configuration file, if it is wrong.
pub(crate) fn check_web_config(file: &Path) -> Result<(), String> {
    let promtool = newest().with_file_name("promtool");
    let output = Command::new(promtool).args(["check", "web-config"]).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// Has the promtool of Prometheus 2 and that of 3 do this with the files.
pub(crate) fn promtool(arguments: &[&str], files: &[PathBuf]) {
    let both = [PathBuf::from("promtool"), newest().with_file_name("promtool")];
    let running = both.map(|program| {
        Command::new(program)
            .args(arguments)
            .args(files)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool is missing: run tests/toolchains.sh prometheus")
    });
    for child in running {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
    }
}

/// Has promtool check a page.
pub(crate) fn check_page(page: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: run tests/toolchains.sh prometheus");
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // The service's own variables have the names that it gave them.
    let of_us = |line: &&str| !line.starts_with("expvar_");
    let findings: Vec<&str> = said.lines().filter(of_us).collect();
    assert!(findings.is_empty(), "{findings:#?}");
    // 3 is the code for findings of its lint.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
}
