//! Following files with the real tools that rotate them, many at once, and without inotify.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::support::exporter::{Exporter, output};
use crate::support::trace::{RECORDED, append, recorded};

const SCHED: &str = r#"godebug_exporter_records_total{kind="sched"}"#;
const GAPS: &str = "godebug_exporter_file_gaps_total";

/// Longest time from a write to the page where inotify works; without it there are 250 ms of
/// waiting alone.
const LATENCY: Duration = Duration::from_millis(240);

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// One service, whose trace has these keys.
    fn follow(&self, file: &str, keys: &str) -> Exporter {
        let file = self.path(file).display().to_string();
        Exporter::configured(&format!(
            "listen: 127.0.0.1:0\nservices:\n  - name: s\n    trace: {{file: '{file}'{keys}}}\n"
        ))
    }

    /// Rotates by the real logrotate.
    fn logrotate(&self, directives: &str) {
        let config = self.path("logrotate.conf");
        let log = self.path("app.log").display().to_string();
        fs::write(&config, format!("{log} {{\n{directives}\n}}\n")).unwrap();
        let state = self.path("logrotate.state");
        // It refuses folders and configs that others may write to.
        let run = Command::new("/usr/sbin/logrotate")
            .args(["--force", "--state"])
            .args([&state, &config])
            .output()
            .expect("logrotate is missing: run tests/toolchains.sh logrotate");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
}

fn gzip(path: &Path, text: &str) {
    let mut out = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap();
}

/// The recorded lines with another number in each, so that no two rounds are alike.
fn round(n: u32) -> String {
    let noise =
        format!("2026/11/21 10:00:{n:02} INFO round {n} of the service begins now, id={n:08}\n");
    noise + RECORDED
}

/// Rotates between any two rounds, and waits for each or for none of them.
fn check_logrotate(directives: &str, wait_each: bool) {
    const ROUNDS: u32 = 6;
    let folder = Folder::new();
    append(&folder.path("app.log"), "");
    let exporter = folder.follow("app.log", ", from: beginning");
    exporter.ready();
    for n in 1..=ROUNDS {
        append(&folder.path("app.log"), round(n));
        if wait_each || n == 1 {
            exporter.wait_for(SCHED, f64::from(n) * recorded("sched"));
        }
        folder.logrotate(directives);
    }
    append(&folder.path("app.log"), round(ROUNDS + 1));
    let page = exporter.wait_for(SCHED, f64::from(ROUNDS + 1) * recorded("sched"));
    assert_eq!(page.sum(GAPS), 0.0, "{page}");
}

#[test]
fn logrotate_by_rename_loses_nothing_even_between_two_looks() {
    check_logrotate("rotate 9\ncreate\n", true);
    check_logrotate("rotate 9\nnocreate\n", false);
    check_logrotate("rotate 9\nmissingok\ncompress\ndelaycompress\n", false);
    check_logrotate("rotate 9\ncreate\nextension .log\n", false);
}

#[test]
fn logrotate_by_copytruncate_loses_nothing_even_between_two_looks() {
    check_logrotate("rotate 9\ncopytruncate\n", true);
    check_logrotate("rotate 9\ncopytruncate\n", false);
    check_logrotate("rotate 9\ncopytruncate\ncompress\ndelaycompress\n", false);
}

#[test]
fn a_line_is_on_the_page_at_once() {
    let folder = Folder::new();
    append(&folder.path("app.log"), "");
    let exporter = folder.follow("app.log", "");
    exporter.ready();
    let took = (1..=10_u32).map(|n| {
        let written = Instant::now();
        append(&folder.path("app.log"), round(n));
        let lines = f64::from(n) * f64::from(u32::try_from(round(n).lines().count()).unwrap());
        while exporter.page().value("godebug_exporter_lines_total") < lines {}
        written.elapsed()
    });
    let mut took: Vec<Duration> = took.collect();
    took.sort_unstable();
    // Not the slowest: other tests have the machine too. Without events none would be so quick.
    assert!(took[2] < LATENCY, "{took:?}");
}

#[test]
fn without_inotify_a_file_is_followed_all_the_same() {
    let folder = Folder::new();
    let exporter = folder.follow("deep/app.log", ", watch: poll");
    exporter.ready();
    fs::create_dir(folder.path("deep")).unwrap();
    append(&folder.path("deep/app.log"), round(1));
    exporter.wait_for(SCHED, recorded("sched"));
    fs::rename(folder.path("deep/app.log"), folder.path("deep/app.log.1")).unwrap();
    append(&folder.path("deep/app.log"), round(2));
    exporter.wait_for(SCHED, 2.0 * recorded("sched"));
    File::options().write(true).open(folder.path("deep/app.log")).unwrap().set_len(0).unwrap();
    append(&folder.path("deep/app.log"), round(3) + &round(4));
    let page = exporter.wait_for(SCHED, 4.0 * recorded("sched"));
    assert_eq!(page.sum(r#"godebug_exporter_file_gaps_total{reason="truncated"}"#), 1.0, "{page}");
    assert_eq!(exporter.log("warn").len(), 2, "missing, and truncated: {:?}", exporter.log("warn"));
}

#[test]
fn each_file_of_a_pattern_has_its_own_series() {
    let folder = Folder::new();
    for name in ["a.log", "b.log", "b.log.1"] {
        append(&folder.path(name), round(1));
    }
    gzip(&folder.path("b.log.2.gz"), &round(0));
    let exporter = folder.follow("*.log*", ", from: beginning");
    exporter.ready();
    let samples = |log: &str| format!("go_sched_samples_total{{service=\"s\",log=\"{log}\"}}");
    let once = recorded("sched");
    exporter.wait_for(&samples("b.log"), once);
    let page = exporter.wait_for(SCHED, 2.0 * once);
    assert_eq!(page.value("godebug_exporter_files_followed"), 2.0, "{page}");
    // One comes later, one is rotated: it stays the same, and what it is called now is not new.
    append(&folder.path("c.log"), round(2));
    fs::rename(folder.path("b.log"), folder.path("b.log.0")).unwrap();
    append(&folder.path("b.log"), round(3));
    exporter.wait_for(&samples("c.log"), once);
    exporter.wait_for(&samples("b.log"), 2.0 * once);
    fs::remove_file(folder.path("a.log")).unwrap();
    let page = exporter.page_where("a.log is forgotten", |page| !page.has(&samples("a.log")));
    assert_eq!(page.value(SCHED), 4.0 * once, "what it counted stays: {page}");
    assert_eq!(page.value("godebug_exporter_files_followed"), 2.0, "{page}");
    assert!(!page.has("go_sched_samples_total{service=\"s\",log=\"b.log.0\"}"), "{page}");
}

#[test]
fn compressed_files_are_read_and_damaged_ones_told() {
    let folder = Folder::new();
    let (whole, cut) = (folder.path("app.log.gz"), folder.path("cut.gz"));
    gzip(&whole, RECORDED);
    let bytes = fs::read(&whole).unwrap();
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let mut damaged = bytes;
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8].fill(0xff);
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let once = output(&["run", "--once", "--service", "s", "--file", &path(&whole)]);
    let page = String::from_utf8(once.stdout).unwrap();
    assert!(
        page.contains(&format!("go_sched_samples_total{{service=\"s\"}} {}\n", recorded("sched"))),
        "{page}"
    );
    let plain = folder.path("app.log");
    fs::write(&plain, RECORDED).unwrap();
    assert_eq!(output(&["parse", &path(&whole)]).stdout, output(&["parse", &path(&plain)]).stdout);
    let tells = |file: &Path, what: &str| {
        let run = output(&["parse", &path(file)]);
        let told = String::from_utf8(run.stderr).unwrap();
        assert!(run.status.code() == Some(1) && told.contains(what), "{told}");
    };
    tells(&cut, "the gzip data ends in the middle");
    fs::write(&cut, damaged).unwrap();
    tells(&cut, "the gzip data is damaged");
}
