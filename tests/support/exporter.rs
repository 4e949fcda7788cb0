//! A running godebug-exporter.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::{ChildStdin, Command, ExitStatus, Output, Stdio};

use rustix::process::Signal;
use tempfile::NamedTempFile;

use super::captured::Captured;
use super::metrics::Page;
use super::process::Process;
use super::wait::{wait_until_or, wait_while_it_moves};
use super::{go, http};

/// The program, with no settings from our environment.
pub(crate) fn command(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_godebug-exporter"));
    command.args(arguments).env_remove("GODEBUG");
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"OTEL_"))
    {
        command.env_remove(name);
    }
    command
}

/// Runs a command that ends by itself.
pub(crate) fn output(arguments: &[&str]) -> Output {
    command(arguments).stdin(Stdio::null()).output().unwrap()
}

/// A daemon, or `exec`.
pub(crate) struct Exporter {
    pub(crate) process: Process,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Captured,
    pub(crate) stderr: Captured,
    _config: Option<NamedTempFile>,
}

impl Exporter {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = Captured::of(child.stdout.take().unwrap());
        let stderr = Captured::of(child.stderr.take().unwrap());
        Self { process: Process(child), stdin, stdout, stderr, _config: None }
    }

    /// `run` with flags.
    pub(crate) fn run(flags: &[&str]) -> Self {
        Self::start(command(["run", "--listen", "127.0.0.1:0"].iter().chain(flags)))
    }

    /// `run` with a config file of this text.
    pub(crate) fn configured(text: &str) -> Self {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        Self { _config: Some(file), ..Self::run(&["--config", &path]) }
    }

    /// `exec` of any command.
    pub(crate) fn exec(flags: &[&str], words: &[&str]) -> Self {
        Self::start(exec_command(flags, words))
    }

    /// `exec` of the test service, built by a Go release.
    pub(crate) fn exec_service(version: &str, flags: &[&str], arguments: &[&str]) -> Self {
        let binary = go::service(version).to_str().unwrap();
        Self::exec(flags, &[&[binary], arguments].concat())
    }

    /// Where it listens; waits until it does.
    pub(crate) fn address(&self) -> SocketAddr {
        self.stderr.line("the exporter listens", |line| {
            let (_, rest) = line.split_once("message=listening address=")?;
            rest.split(' ').next()?.parse().ok()
        })
    }

    pub(crate) fn page(&self) -> Page {
        Page::read(&http::body(self.address(), "/metrics"))
    }

    /// Reads pages until one is as it should be, and gives it.
    pub(crate) fn page_where(&self, what: &str, is_right: impl Fn(&Page) -> bool) -> Page {
        wait_until_or(
            what,
            || Some(self.page()).filter(&is_right),
            || format!("{}\n{}", self.stderr.text(), self.page()),
        )
    }

    /// Waits until a series has this value, for as long as it moves.
    pub(crate) fn wait_for(&self, series: &str, value: f64) -> Page {
        wait_while_it_moves(
            &format!("{series} becomes {value}"),
            || {
                let page = self.page();
                let now = page.get(series);
                if now == Some(value) { Ok(page) } else { Err(now) }
            },
            || format!("{}\n{}", self.stderr.text(), self.page()),
        )
    }

    /// Waits until it is ready.
    pub(crate) fn ready(&self) {
        let address = self.address();
        wait_until_or(
            "the exporter is ready",
            || http::get(address, "/-/ready").ok().filter(|answer| answer.status == 200),
            || self.stderr.text(),
        );
    }

    /// Asks it to stop, and gives its exit status.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.end("the exporter")
    }

    /// Its own log lines of a level.
    pub(crate) fn log(&self, level: &str) -> Vec<String> {
        let level = format!(" level={level} ");
        let text = self.stderr.text();
        let of_level = |line: &&str| is_own_log(line) && line.contains(&level);
        text.lines().filter(of_level).map(str::to_owned).collect()
    }
}

/// `exec` before it is started.
pub(crate) fn exec_command(flags: &[&str], words: &[&str]) -> Command {
    // Its log tells the address; by default it is quiet.
    let listen = ["--listen", "127.0.0.1:0", "--log-level", "info"];
    command([&["exec"][..], &listen, flags, &["--"], words].concat())
}

/// Whether a line of its stderr is its own, and not the service's.
pub(crate) fn is_own_log(line: &str) -> bool {
    line.starts_with("ts=") && line.contains(" level=")
}
