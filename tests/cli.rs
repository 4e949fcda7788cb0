//! The commands as a person or a script calls them.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::exporter::{Exporter, command, output};
use crate::support::http;
use crate::support::metrics::Page;
use crate::support::trace::{RECORDED, recorded};
use crate::support::wait::wait_until;

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A file of tests/fixtures.
fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn help_explains_each_command_and_gives_examples() {
    let check = |arguments: &[&str], told: &[&str]| {
        let output = output(&[arguments, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        for words in told {
            assert!(stdout(&output).contains(words), "{arguments:?}: {}", stdout(&output));
        }
    };
    check(&[], &["Examples:", "godebug-exporter exec -- ./my-service", "Exit codes:"]);
    check(&["run"], &["--config", "http://127.0.0.1:6060/debug/vars", "0.0.0.0:10390"]);
    check(&["exec"], &["gctrace=1,schedtrace=1000", "exit status", "--trace-lines"]);
    check(&["parse"], &["one JSON object a record", "Exits with 1"]);
    check(&["check"], &["Check a config file"]);
    check(&["demo"], &["recording", "127.0.0.1:10390"]);
    check(&["install"], &["Copy this program", "init container"]);
    check(&["completions"], &["bash", "zsh", "fish"]);
}

#[test]
fn the_version_tells_the_commit_and_the_day() {
    let output = output(&["--version"]);
    let version = stdout(&output).trim();
    let rest = version.strip_prefix(concat!("godebug-exporter ", env!("CARGO_PKG_VERSION")));
    let rest = rest.and_then(|rest| rest.strip_prefix(" (revision ")).unwrap();
    let (revision, date) = rest.trim_end_matches(')').split_once(", built ").unwrap();
    assert!(!revision.is_empty(), "{version}");
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00", "{version}");
}

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = output(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("trace-lines"), "{shell}");
    }
}

#[test]
fn it_installs_itself_also_over_one_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let installed = folder.path().join("godebug-exporter");
    let ours = env!("CARGO_BIN_EXE_godebug-exporter");
    for program in [Path::new(ours), &installed] {
        let status = Command::new(program).arg("install").arg(folder.path()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{}", program.display());
    }
    assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o7777, 0o755);
    assert!(fs::read(&installed).unwrap() == fs::read(ours).unwrap(), "the same program");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");

    let output = output(&["install", "/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot install this program as /nowhere/godebug-exporter"));
}

#[test]
fn wrong_usage_is_told_with_code_64() {
    let check = |arguments: &[&str], told: &str| {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    };
    check(&[], "Usage: godebug-exporter");
    check(&["rum"], "'run'");
    check(&["run"], "nothing to read: give --config FILE, or one of --file");
    check(&["run", "--stdin"], "--service NAME is missing");
    check(&["run", "--service", "s"], "nothing to read");
    check(&["run", "--service", "s", "--stdin", "--file", "x"], "give only one of");
    check(
        &["run", "--service", "s", "--stdin", "--from-beginning"],
        "belongs to --file and --pod-log",
    );
    check(&["run", "--config", "x", "--stdin"], "cannot be used with");
    check(&["run", "--service", "s", "--expvar", "127.0.0.1:6060"], "http://127.0.0.1:6060");
    check(&["run", "--listen", "10390", "--service", "s", "--stdin"], "0.0.0.0:10390");
    check(&["run", "--log-level", "loud", "--service", "s", "--stdin"], "error, warn, info");
    check(&["exec"], "<COMMAND>");
    check(&["exec", "--trace-lines", "some", "--", "true"], "strip");
    check(&["completions", "cmd"], "bash");
}

#[test]
fn every_releases_records_are_what_they_were_recorded_to_be() {
    for release in ["1.5", "1.6", "1.17", "1.19", "1.24", "1.27"] {
        let output = output(&["parse", &fixture(&format!("parse/go{release}.log"))]);
        assert_eq!(output.status.code(), Some(0), "{release}");
        let expected = fixture(&format!("parse/go{release}.jsonl"));
        let expected = fs::read_to_string(expected).unwrap();
        for (ours, expected) in stdout(&output).lines().zip(expected.lines()) {
            serde_json::from_str::<Value>(ours).unwrap();
            assert_eq!(ours, expected, "Go {release}");
        }
        assert_eq!(stdout(&output).lines().count(), expected.lines().count(), "Go {release}");
        let summary = stderr(&output);
        assert!(summary.contains("gc: 2 records, 0 recovered, 0 malformed"), "{summary}");
        assert!(summary.contains("sched_detail: 1 records, 0 recovered, 0 malformed"), "{summary}");
    }
}

#[test]
fn parse_reads_the_other_files_when_one_is_missing() {
    let recording = fixture("go1.27-trace.log");
    let output = output(&["parse", "no-such-file", &recording, &recording]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output).lines().count(), 2 * RECORDED.lines().count());
    assert!(stderr(&output).contains("cannot read no-such-file"), "{}", stderr(&output));
}

#[test]
fn parse_reads_stdin_and_counts_what_it_cannot_read() {
    let check = |arguments: &[&str]| {
        let mut child = command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let torn = "gc 8 @0.395s 0%: 0.061+0.66\nan ordinary line\n\u{0}\ngc 9 @";
        let input = [RECORDED, torn].concat();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(stdout(&output).lines().count(), RECORDED.lines().count());
        assert!(
            stderr(&output).contains("gc: 6 records, 0 recovered, 1 malformed"),
            "{}",
            stderr(&output)
        );
        let cut = "1 trace lines cut by the end of a file";
        assert!(stderr(&output).contains(cut), "{}", stderr(&output));
    };
    check(&["parse"]);
    check(&["parse", "-"]);
}

#[test]
fn parse_ends_quietly_when_nobody_reads_on() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long.log");
    fs::write(&long, RECORDED.repeat(2000)).unwrap();
    let mut child = command(["parse", long.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("Broken pipe"), "{}", stderr(&output));
}

#[test]
fn run_once_prints_the_page_and_ends() {
    let file = fixture("go1.27-trace.log");
    let output = output(&["run", "--once", "--service", "s", "--file", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let page = Page::read(stdout(&output));
    assert_eq!(page.value(r#"go_sched_samples_total{service="s"}"#), recorded("sched"));
    assert_eq!(page.sum(r#"go_gc_cycles_total{service="s"}"#), recorded("gc"));
    // The last sample of the recording.
    assert_eq!(page.value("go_sched_gomaxprocs_threads"), 2.0);
    assert_eq!(page.value("go_sched_idle_threads"), 3.0);
}

#[test]
fn run_once_tells_what_it_cannot_read() {
    let check = |flags: &[&str], told: &str| {
        let output = output(&[&["run", "--once", "--service", "s"], flags].concat());
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
        assert!(stderr(&output).contains(told), "{flags:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    };
    check(&["--file", "no-such-file"], "service s: cannot read no-such-file");
    check(&["--fifo", "pipe"], "a fifo has no end");
}

#[test]
fn the_log_is_json_when_asked_for() {
    let mut exporter =
        Exporter::run(&["--service", "s", "--file", "/nowhere", "--log-format", "json"]);
    exporter.stderr.line("the missing file is told", |line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        (line["level"] == "WARN" && line["service"] == "s").then_some(())
    });
    assert!(exporter.stop().success());
}

#[test]
fn the_demo_shows_its_services_at_once() {
    let mut demo = Exporter::start(command(["demo", "--listen", "127.0.0.1:0"]));
    let address: SocketAddr = demo.stdout.line("the address is told", |line| {
        line.split_once("http://")?.1.strip_suffix("/metrics")?.parse().ok()
    });
    for service in ["checkout", "thumbnails", "router"] {
        let samples = format!(r#"go_sched_samples_total{{service="{service}"}}"#);
        wait_until(&format!("{service} is replayed"), || {
            let page = Page::read(&http::body(address, "/metrics"));
            (page.value(&samples) >= 2.0).then_some(())
        });
    }
    // What a scrape would read of a service is in the recordings.
    let page = Page::read(&http::body(address, "/metrics"));
    assert!(
        page.value(r#"go_goroutines{service="checkout",demo="goroutine leak"}"#) > 0.0,
        "{page}"
    );
    assert_eq!(page.sum("godebug_exporter_scrapes_total"), 0.0, "{page}");
    assert!(demo.stop().success());
    assert_eq!(String::from_utf8(demo.stderr.whole()).unwrap(), "");
}
