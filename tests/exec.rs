//! `exec` of a real service: what we export against what the service knows, and what passes through.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::exporter::{Exporter, command, exec_command, is_own_log, output};
use crate::support::metrics::Page;
use crate::support::service::{Remote, Truth};
use crate::support::wait::{wait_until, wait_until_or};
use crate::support::{go, http, ports};

/// Log lines written beside the traces, at so many a second.
const LINES: u64 = 3000;
const RATE: &str = "2000";

mod traces_agree_with_the_service {
    on_each_release!(super::traces_agree);
}

mod goroutines_agree_with_the_service {
    on_each_release!(super::goroutines_agree);
}

mod a_log_of_json_stays_valid_json {
    on_each_release!(super::json_stays_json);
}

/// Two goroutines log JSON as fast as they can, with lines longer than a packet among them, while
/// traces are written every millisecond: none of it may reach the log, and no line may be damaged.
fn json_stays_json(version: &str) {
    let chatter = go::chatter(version);
    let flags = ["exec", "--listen", "127.0.0.1:0", "--trace-lines", "strip"];
    let godebug = ["--godebug", "gctrace=1,schedtrace=1", "--"];
    let words = [chatter.to_str().unwrap(), "-service", "-logger", "long", "-rate", "0"];
    // Its own log is quiet then: one of its lines could stand inside a line longer than a packet.
    let output = command([&flags[..], &godebug, &words].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let written: usize = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let (mut lines, mut long) = (0, 0);
    for line in output.stderr.split_inclusive(|byte| *byte == b'\n') {
        let text = std::str::from_utf8(line).unwrap();
        // The end of the service may cut its last line.
        let valid = serde_json::from_str::<Value>(text).is_ok();
        assert!(valid || !text.ends_with('\n'), "{version}: {} bytes: {text:?}", line.len());
        lines += 1;
        long += usize::from(line.len() > 4096);
    }
    assert!(lines + 2 >= written && lines > 1000, "{lines} of {written} lines");
    assert!(long > 100, "{long} lines longer than a packet");
}

/// The service traces, collects garbage and logs all at once; then nothing may be missing, wrong
/// or left over, on the page and in its log.
fn traces_agree(version: &str) {
    let flags = ["--godebug", "gctrace=1,schedtrace=50"];
    let count = LINES.to_string();
    let arguments = ["-logger", "json", "-log", RATE, "-count", &count];
    let mut exec = Exporter::exec_service(version, &flags, &arguments);
    let service = Remote::announced_on(&exec.stdout);
    while service.truth().get("LinesLogged") < LINES {
        service.control("alloc?mb=40");
        service.control("gc?n=2");
    }
    let before = settled(&exec, service);
    service.control("gc?n=5");
    let (truth, page) = settled(&exec, service);
    assert_eq!(forced(&page) - forced(&before.1), 5.0);
    assert!(truth.memstats("NumGC") > truth.memstats("NumForcedGC"), "automatic ones too");
    assert_eq!(page.value("go_gc_stw_seconds_count"), n(truth.memstats("NumGC")));
    assert_eq!(page.value("go_sched_gomaxprocs_threads"), n(truth.get("GOMAXPROCS")));
    assert_eq!(page.value("go_process_starts_total"), 0.0);
    assert!(page.value(r#"godebug_exporter_records_total{kind="sched"}"#) > 10.0, "{page}");
    no_defects(&page);

    assert_eq!(exec.stop().code(), Some(0), "{}", exec.stderr.text());
    let last = String::from_utf8(exec.stdout.whole()).unwrap();
    assert_eq!(Truth::from_line(last.lines().last().unwrap()).get("LinesLogged"), LINES);
    assert_eq!(log_numbers(&exec.stderr.whole()), (1..=LINES).collect::<Vec<_>>());
}

/// Waits until the page tells of as many cycles as the service has had.
fn settled(exec: &Exporter, service: Remote) -> (Truth, Page) {
    wait_until_or(
        "the GC cycles on the page are the service's NumGC",
        || {
            let (truth, page) = (service.truth(), exec.page());
            (page.sum("go_gc_cycles_total") == n(truth.memstats("NumGC"))).then_some((truth, page))
        },
        || format!("NumGC is {}, and\n{}", service.truth().memstats("NumGC"), exec.page()),
    )
}

/// Only what grows in a quiet moment: the runtime notes that the next cycle is forced before the
/// one that runs has printed its line (src/runtime/mgc.go, `work.userForced` in gcStart).
fn forced(page: &Page) -> f64 {
    page.value(r#"go_gc_cycles_total{kind="forced"}"#)
}

fn no_defects(page: &Page) {
    for counter in [
        "go_gc_records_missed_total",
        "godebug_exporter_records_malformed_total",
        "godebug_exporter_records_lost_total",
        "godebug_exporter_unknown_forms_total",
        "godebug_exporter_stderr_dropped_bytes_total",
        "godebug_exporter_tasks_lost_total",
    ] {
        assert!(page.has(counter), "no {counter} in\n{page}");
        assert_eq!(page.sum(counter), 0.0, "{counter}\n{page}");
    }
}

/// The numbers of the service's log lines; nothing but they and our own log may be there.
fn log_numbers(stderr: &[u8]) -> Vec<u64> {
    let text = std::str::from_utf8(stderr).unwrap();
    let number = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        line["n"].as_u64().unwrap()
    };
    text.lines().filter(|line| !is_own_log(line)).map(number).collect()
}

fn n(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

/// A connection of the test's own request has up to two goroutines at the service, and one that
/// has just ended may still be in the block read last.
const GOROUTINES_OF_REQUESTS: f64 = 3.0;

fn goroutines_agree(version: &str) {
    let flags = ["--godebug", "schedtrace=100,scheddetail=1,gctrace=1"];
    let exec = Exporter::exec_service(version, &flags, &[]);
    let service = Remote::announced_on(&exec.stdout);
    let agree = |least: f64| {
        exec.page_where("go_goroutines is the service's NumGoroutine", |page| {
            let exist = n(service.truth().get("NumGoroutine"));
            let known = page.get("go_goroutines").unwrap_or(0.0);
            exist >= least && (exist - known).abs() <= GOROUTINES_OF_REQUESTS
        })
    };
    agree(1.0);
    service.control("leak?n=500");
    let page = agree(500.0);
    let waiting = page.sum(r#"go_sched_goroutines{state="waiting",reason="chan receive"}"#);
    assert!(waiting >= 500.0, "{page}");
    assert!(page.value("go_sched_goroutines_created") >= 500.0, "{page}");
    no_defects(&page);
}

#[test]
fn expvar_beside_the_trace_gives_every_pause_to_the_nanosecond() {
    let address = ports::free().to_string();
    let url = format!("http://{address}/debug/vars");
    let exec = Exporter::exec_service(go::NEWEST, &["--expvar", &url], &["-addr", &address]);
    let service = Remote::announced_on(&exec.stdout);
    service.control("gc?n=20");
    let page = exec.page_where("expvar was read after the GC cycles", |page| {
        page.get("go_gc_cycles_forced_gc_cycles_total").is_some_and(|cycles| cycles >= 20.0)
    });
    let all = page.value("go_gc_cycles_total_gc_cycles_total");
    assert_eq!(page.value("go_gc_stw_seconds_count"), all, "{page}");
    let (ours, theirs) =
        (page.value("go_gc_stw_seconds_sum"), page.value("go_gc_duration_seconds_sum"));
    assert!((ours - theirs).abs() <= 1e-6 * theirs, "{ours} {theirs}");
    assert_eq!(page.value("go_gc_pauses_missed_total"), 0.0);
    assert!(
        exec.log("warn").len() <= 1,
        "at most that it was not there yet: {:?}",
        exec.log("warn")
    );
}

#[test]
fn trace_lines_are_kept_when_asked_for() {
    let arguments = ["-logger", "json", "-log", RATE, "-count", "1000"];
    let flags = ["--trace-lines", "keep", "--godebug", "gctrace=1,schedtrace=50"];
    let mut exec = Exporter::exec_service(go::NEWEST, &flags, &arguments);
    let service = Remote::announced_on(&exec.stdout);
    wait_until("the log is written", || (service.truth().get("LinesLogged") == 1000).then_some(()));
    service.control("gc?n=5");
    let (truth, _) = settled(&exec, service);
    assert_eq!(exec.stop().code(), Some(0));
    let stderr = String::from_utf8(exec.stderr.whole()).unwrap();
    let all = |what: &str| stderr.matches(what).count();
    // The pieces of a trace line and the log lines between them stand in the order of the writes.
    assert_eq!(u64::try_from(all(" ms cpu, ")).unwrap(), truth.memstats("NumGC"));
    assert!(all("ms: gomaxprocs=") > 5, "{stderr}");
    assert_eq!(all(r#","n":"#), 1000);
    assert!((1..=1000).all(|line| all(&format!(r#","n":{line},"#)) == 1));
}

#[test]
fn stdin_stdout_and_what_is_no_trace_pass_untouched() {
    let script = r"printf 'a\000b\377'; cat; printf 'SCHED of mine\n  Plain' >&2";
    let mut exec = Exporter::exec(&[], &["sh", "-c", script]);
    let mut stdin = exec.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"from stdin\n\x00").unwrap();
    drop(stdin);
    assert_eq!(exec.process.end("exec").code(), Some(0));
    assert_eq!(exec.stdout.whole(), b"a\x00b\xfffrom stdin\n\x00");
    let stderr = exec.stderr.text();
    assert!(stderr.contains("SCHED of mine\n  Plain"), "{stderr}");
}

#[test]
fn the_service_reads_our_stdin() {
    let mut exec = Exporter::exec_service(go::NEWEST, &[], &["-echo"]);
    Remote::announced_on(&exec.stdout);
    std::io::Write::write_all(exec.stdin.as_mut().unwrap(), b"one line\n").unwrap();
    exec.stdout.line("the line comes back", |line| (line == "one line").then_some(()));
}

#[test]
fn the_commands_exit_code_is_ours() {
    let check = |words: &[&str], expected: i32, told: &str| {
        let output = exec_command(&[], words).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{words:?}: {stderr}");
        assert!(stderr.contains(told), "{words:?}: {stderr}");
    };
    let service = go::service(go::NEWEST).to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let not_executable = folder.path().join("data");
    std::fs::write(&not_executable, "text").unwrap();
    check(&["true"], 0, "");
    check(&["sh", "-c", "exit 7"], 7, "");
    check(&[service, "-exit", "7", "-duration", "100ms"], 7, "");
    check(&["sh", "-c", "kill -9 $$"], 137, "");
    check(&["sh", "-c", "kill -TERM $$"], 143, "");
    check(&["no-such-command-anywhere"], 127, "no-such-command-anywhere");
    check(&[folder.path().join("nothing").to_str().unwrap()], 127, "cannot start the command");
    check(&[not_executable.to_str().unwrap()], 126, "cannot start the command");
    check(&[folder.path().to_str().unwrap()], 126, "cannot start the command");
}

#[test]
fn the_two_dashes_may_be_left_out() {
    let output = output(&["exec", "--listen", "127.0.0.1:0", "sh", "-c", "exit 5"]);
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn no_command_is_wrong_usage() {
    assert_eq!(output(&["exec", "--"]).status.code(), Some(64));
    assert_eq!(output(&["exec", "--godebug", "gctrace", "--", "true"]).status.code(), Some(64));
}

#[test]
fn a_godebug_setting_of_the_user_wins() {
    let binary = go::service(go::NEWEST).to_str().unwrap();
    let mut command = exec_command(&["--godebug", "gctrace=1,schedtrace=50"], &[binary]);
    command.env("GODEBUG", "madvdontneed=1,gctrace=0");
    let exec = Exporter::start(command);
    let service = Remote::announced_on(&exec.stdout);
    service.control("gc?n=5");
    let page = exec.page_where("five samples of the scheduler", |page| {
        page.value("go_sched_samples_total") >= 5.0
    });
    assert_eq!(page.sum("go_gc_cycles_total"), 0.0);
    let environment =
        std::fs::read(format!("/proc/{}/environ", service.truth().get("Pid"))).unwrap();
    let expected = "GODEBUG=madvdontneed=1,gctrace=0,schedtrace=50";
    assert!(environment.split(|b| *b == 0).any(|variable| variable == expected.as_bytes()));
}

#[test]
fn the_service_runs_although_our_address_is_taken() {
    let taken = TcpListener::bind(ports::free()).unwrap();
    let address = taken.local_addr().unwrap();
    let binary = go::service(go::NEWEST).to_str().unwrap();
    let exec = Exporter::start(command(["exec", "--listen", &address.to_string(), "--", binary]));
    let service = Remote::announced_on(&exec.stdout);
    service.control("gc?n=3");
    exec.stderr.line("the trouble is told", |line| line.contains("cannot listen").then_some(()));
    drop(taken);
    let page = wait_until("/metrics once the address is free", || {
        http::get(address, "/metrics").ok().filter(|answer| answer.status == 200)
    });
    assert!(Page::read(page.text()).sum("go_gc_cycles_total") >= 3.0, "it read on meanwhile");
    assert_eq!(exec.log("warn").len(), 1, "{:?}", exec.log("warn"));
}
