//! Nobody reads our stderr: the service goes on all the same.

use std::io::Write;
use std::process::Stdio;

use crate::support::captured::Captured;
use crate::support::exporter::{command, exec_command};
use crate::support::metrics::Page;
use crate::support::process::Process;
use crate::support::service::Remote;
use crate::support::wait::{wait_until, wait_until_or};
use crate::support::{go, http, ports};

/// Bytes of a log line of the service, at least.
const LINE_BYTES: u64 = 60;

/// More than a pipe (64 KiB), the child's pipe (1 MiB) and our buffer (4 MiB) hold together.
const HELD_BYTES: u64 = 16 * 1024 * 1024;

#[test]
fn a_stalled_reader_of_our_stderr_does_not_stop_the_service() {
    let address = ports::free();
    let listen = address.to_string();
    let binary = go::service(go::NEWEST).to_str().unwrap();
    let words = ["exec", "--listen", &listen, "--", binary, "-log", "-1", "-logger", "plain"];
    let mut child = command(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = Captured::of(child.stdout.take().unwrap());
    let unread = child.stderr.take().unwrap();
    let mut exec = Process(child);
    let service = Remote::announced_on(&stdout);
    wait_until_or(
        "the service logs more than all buffers hold",
        || (service.truth().get("LinesLogged") * LINE_BYTES > HELD_BYTES).then_some(()),
        || format!("{} lines were logged", service.truth().get("LinesLogged")),
    );
    let page = Page::read(&http::body(address, "/metrics"));
    assert!(page.value("godebug_exporter_stderr_dropped_bytes_total") > 0.0, "{page}");
    service.control("gc?n=2");
    wait_until("traces are read meanwhile", || {
        let page = Page::read(&http::body(address, "/metrics"));
        (page.value(r#"go_gc_cycles_total{kind="forced"}"#) >= 2.0).then_some(())
    });

    // Whoever reads again gets what comes now.
    let mut read_again = Captured::of(unread);
    service.control("stop?code=5");
    assert_eq!(exec.end("exec").code(), Some(5));
    assert!(!read_again.whole().is_empty());
}

#[test]
fn the_commands_end_does_not_wait_for_a_reader_that_stands_still() {
    let script = "head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 6";
    let mut child = exec_command(&[], &["sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _unread = child.stderr.take().unwrap();
    assert_eq!(Process(child).end("exec").code(), Some(6));
}

#[test]
fn a_closed_stderr_does_not_stop_the_service() {
    let script = "while read -r line; do echo $line >&2; echo $line; done; exit 3";
    let mut command = exec_command(&[], &["sh", "-c", script]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let mut stdin = child.stdin.take().unwrap();
    let stdout = Captured::of(child.stdout.take().unwrap());
    let mut exec = Process(child);
    for line in ["one", "two", "three"] {
        writeln!(stdin, "{line}").unwrap();
        stdout.line("the command goes on", |text| (text == line).then_some(()));
    }
    drop(stdin);
    assert_eq!(exec.end("exec").code(), Some(3));
}
