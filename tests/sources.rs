//! Named pipes, stdin, commands, and several services that do not disturb each other.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::exporter::{Exporter, output};
use crate::support::metrics::Page;
use crate::support::service::Service;
use crate::support::trace::{RECORDED, append, recorded};
use crate::support::wait::wait_until;

const SCHED: &str = r#"godebug_exporter_records_total{kind="sched",service="s"}"#;

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn writers_of_a_named_pipe_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr");
    let exporter = Exporter::run(&["--service", "s", "--fifo", path.to_str().unwrap()]);
    exporter.page_where("the pipe is looked for", |page| {
        page.sum(r#"godebug_exporter_source_errors_total{reason="not_found"}"#) >= 1.0
    });
    make_pipe(&path);
    for round in 1..4_u32 {
        File::options().write(true).open(&path).unwrap().write_all(RECORDED.as_bytes()).unwrap();
        exporter.wait_for(SCHED, f64::from(round) * recorded("sched"));
    }
    let before = 3.0 * recorded("gc");
    let stderr = File::options().write(true).open(&path).unwrap();
    let service = Service::start(&[], "gctrace=1", stderr);
    service.remote.control("gc?n=5");
    exporter.page_where("a real service is read too", |page| {
        page.value(r#"godebug_exporter_records_total{kind="gc"}"#) >= before + 5.0
    });
}

#[test]
fn a_pods_log_file_is_known_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.log");
    let entry = |line: &str| format!("2026-11-21T10:00:00.123456789Z stderr F {line}\n");
    append(&path, RECORDED.lines().map(entry).collect::<String>());
    let flags = ["--service", "s", "--file", path.to_str().unwrap()];
    let output = output(&[&["run", "--once"], &flags[..]].concat());
    let page = Page::read(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(page.value(SCHED), recorded("sched"));
    // Followed, and with an entry that is cut.
    let exporter = Exporter::run(&flags);
    exporter.ready();
    let more = entry(RECORDED.lines().find(|line| line.starts_with("SCHED")).unwrap());
    let (first, second) = more.split_at(70);
    append(&path, first);
    exporter.page_where("half an entry is read", |page| {
        page.sum("godebug_exporter_read_bytes_total") >= 70.0
    });
    append(&path, second);
    exporter.wait_for(SCHED, 1.0);
}

#[test]
fn stdin_is_read_to_its_end_and_what_it_said_stays() {
    let mut exporter = Exporter::run(&["--service", "s", "--stdin"]);
    exporter.wait_for(r#"godebug_exporter_source_up{source="stdin"}"#, 1.0);
    let mut stdin = exporter.stdin.take().unwrap();
    for round in 1..3_u32 {
        stdin.write_all(RECORDED.as_bytes()).unwrap();
        exporter.wait_for(SCHED, f64::from(round) * recorded("sched"));
    }
    drop(stdin);
    let page = exporter.wait_for(r#"godebug_exporter_source_up{source="stdin"}"#, 0.0);
    assert_eq!(page.value(SCHED), 2.0 * recorded("sched"));
    assert!(exporter.stop().success());
}

#[test]
fn a_command_is_read_started_again_and_ended_with_us() {
    let folder = tempfile::tempdir().unwrap();
    let (trace, starts) = (folder.path().join("trace"), folder.path().join("starts"));
    append(&trace, RECORDED);
    // The first run ends by itself, the second stays.
    let script = format!(
        "echo $$ >>{starts}; cat {trace}; test $(wc -l <{starts}) = 1 || exec sleep 1000",
        starts = starts.display(),
        trace = trace.display()
    );
    let config = format!(
        "services:\n  - name: s\n    trace:\n      command: [sh, -c, {}]\n",
        serde_json::to_string(&script).unwrap()
    );
    let mut exporter = Exporter::configured(&config);
    exporter.wait_for(SCHED, 2.0 * recorded("sched"));
    let page = exporter.wait_for(r#"godebug_exporter_source_up{source="command"}"#, 1.0);
    assert_eq!(page.value(r#"godebug_exporter_source_errors_total{reason="ended"}"#), 1.0);
    assert!(exporter.stop().success());
    let pids = std::fs::read_to_string(&starts).unwrap();
    let last = pids.lines().last().unwrap();
    wait_until("the command has ended", || (!Path::new("/proc").join(last).exists()).then_some(()));
}

#[test]
fn a_command_that_does_not_exist_is_told_once() {
    let exporter =
        Exporter::configured("services: [{name: s, trace: {command: [no-such-command]}}]\n");
    exporter.page_where("it was tried twice", |page| {
        page.sum(r#"godebug_exporter_source_errors_total{reason="not_found"}"#) >= 2.0
    });
    assert_eq!(exporter.log("warn").len(), 1, "{:?}", exporter.log("warn"));
}

/// Far above what an answer takes, far below a hang.
const ANSWER_MAX: Duration = Duration::from_secs(5);

#[test]
fn a_flood_and_a_missing_source_do_not_disturb_a_healthy_service() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    make_pipe(&path("flood"));
    let config = format!(
        "services:\n\
         - {{name: flood, trace: {{fifo: {0}/flood}}}}\n\
         - {{name: missing, trace: {{file: {0}/missing}}}}\n\
         - {{name: s, trace: {{file: {0}/healthy, from: beginning}}}}\n",
        folder.path().display()
    );
    append(&path("healthy"), "");
    let mut exporter = Exporter::configured(&config);
    exporter.address();
    let mut pipe = File::options().write(true).open(path("flood")).unwrap();
    // Until the exporter's end closes the pipe.
    let flood = std::thread::spawn(move || while pipe.write_all(&[0; 64 * 1024]).is_ok() {});
    for round in 1..=10_u32 {
        append(&path("healthy"), RECORDED);
        exporter.wait_for(SCHED, f64::from(round) * recorded("sched"));
        let started = Instant::now();
        let page = exporter.page();
        assert!(started.elapsed() < ANSWER_MAX, "{:?}", started.elapsed());
        assert_eq!(page.value(r#"godebug_exporter_source_up{service="missing"}"#), 0.0);
    }
    let flooded = r#"godebug_exporter_read_bytes_total{service="flood"}"#;
    exporter
        .page_where("the flood is read on", |page| page.value(flooded) > 16.0 * 1024.0 * 1024.0);
    assert!(exporter.stop().success());
    flood.join().unwrap();
}

#[test]
fn services_of_one_process_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let one = Service::start(&[], "gctrace=1", File::create(path("a")).unwrap());
    let two = Service::of("1.19", &[], "gctrace=1", File::create(path("b")).unwrap());
    let config = format!(
        "services:\n\
         - {{name: a, labels: {{team: red}}, trace: {{file: {0}/a, from: beginning}}}}\n\
         - {{name: b, trace: {{file: {0}/b, from: beginning}}}}\n",
        folder.path().display()
    );
    let exporter = Exporter::configured(&config);
    one.remote.control("gc?n=7");
    two.remote.control("gc?n=3");
    let forced = |labels: &str| format!(r#"go_gc_cycles_total{{kind="forced",{labels}}}"#);
    exporter.wait_for(&forced(r#"service="a",team="red""#), 7.0);
    exporter.wait_for(&forced(r#"service="b""#), 3.0);
}
