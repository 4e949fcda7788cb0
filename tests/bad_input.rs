//! Input that no service should give: it is counted and told, and the numbers after it are right.

use std::fs;
use std::io::Write;

use crate::support::exporter::{Exporter, command, output};
use crate::support::metrics::Page;
use crate::support::process::status_kib;
use crate::support::trace::{RECORDED, recorded};

const TOO_LONG: &str = "godebug_exporter_lines_too_long_total";
const MALFORMED: &str = "godebug_exporter_records_malformed_total";

const LONG_LINE_BYTES: usize = 100_000_000;

/// Far above what it needs in a debug build, far below the line.
const MEMORY_MAX_KIB: u64 = 64 * 1024;

/// The recorded lines, something else on a line of its own, and the recorded lines again.
fn around(middle: &[u8]) -> Vec<u8> {
    [RECORDED.as_bytes(), middle, b"\n", RECORDED.as_bytes()].concat()
}

/// The line of the file at which the middle stands.
fn middle_line() -> usize {
    RECORDED.lines().count() + 1
}

/// Every record of both halves was read, and nothing else.
fn assert_both_halves(page: &Page) {
    for kind in ["sched", "gc"] {
        let records = format!("godebug_exporter_records_total{{kind=\"{kind}\"}}");
        assert_eq!(page.value(&records), 2.0 * recorded(kind), "{page}");
    }
    assert_eq!(page.sum("godebug_exporter_records_lost_total"), 0.0, "{page}");
}

/// `run --once` on a file: its page, and what it logged.
fn once(bytes: &[u8]) -> (Page, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr.log");
    fs::write(&path, bytes).unwrap();
    let output = output(&["run", "--once", "--service", "s", "--file", path.to_str().unwrap()]);
    assert!(output.status.success());
    let page = Page::read(std::str::from_utf8(&output.stdout).unwrap());
    (page, String::from_utf8(output.stderr).unwrap())
}

/// Writes to a command's stdin; gives it when all but what a pipe holds was read, and how much
/// memory it needed until then.
fn piped(arguments: &[&str], bytes: &[u8]) -> (Exporter, u64) {
    let mut process = Exporter::start(command(arguments));
    process.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    let peak = status_kib(process.process.0.id(), "VmHWM");
    drop(process.stdin.take());
    (process, peak)
}

#[test]
fn parse_passes_over_a_line_of_100_mb_and_says_where_it_was() {
    let (mut parse, peak) = piped(&["parse"], &around(&vec![b'x'; LONG_LINE_BYTES]));
    assert!(parse.process.end("parse").success());
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");
    let text = String::from_utf8(parse.stdout.whole()).unwrap();
    let records = text.lines().filter(|line| line.contains("\"kind\":\"sched\"")).count();
    assert_eq!(records as f64, 2.0 * recorded("sched"));
    let told = String::from_utf8(parse.stderr.whole()).unwrap();
    let where_it_is = format!("-: line {} is longer than 65536 bytes", middle_line());
    assert_eq!(told.matches(&where_it_is).count(), 1, "{told}");
    assert!(told.contains("\n1 lines too long\n"), "{told}");
}

#[test]
fn once_passes_over_a_line_of_100_mb_and_says_where_it_was() {
    let arguments = ["run", "--once", "--service", "s", "--stdin"];
    let (mut once, peak) = piped(&arguments, &around(&vec![b'x'; LONG_LINE_BYTES]));
    assert!(once.process.end("run --once").success());
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");
    let page = Page::read(std::str::from_utf8(&once.stdout.whole()).unwrap());
    assert_eq!(page.value(TOO_LONG), 1.0, "{page}");
    assert_both_halves(&page);
    let _all = once.stderr.whole();
    let [told] = once.log("warn").try_into().unwrap();
    assert!(told.contains(&format!(" line={} ", middle_line())), "{told}");
    assert!(told.contains("service=s source=stdin ") && told.contains("max_line=65536"), "{told}");
}

#[test]
fn a_followed_file_goes_on_after_a_line_of_100_mb() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr.log");
    fs::write(&path, around(&vec![0; LONG_LINE_BYTES])).unwrap();
    let path = path.to_str().unwrap();
    let exporter = Exporter::run(&["--service", "s", "--file", path, "--from-beginning"]);
    exporter.ready();
    let page = exporter.page();
    assert_eq!(page.value(TOO_LONG), 1.0, "{page}");
    assert_both_halves(&page);
    let peak = status_kib(exporter.process.0.id(), "VmHWM");
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");
    let [told] = exporter.log("warn").try_into().unwrap();
    let place = format!(" source={path} line={} ", middle_line());
    assert!(told.contains(&place), "{told}");
}

#[test]
fn a_line_too_long_that_never_ends_is_counted_too() {
    let (page, log) = once(&[RECORDED.as_bytes(), &[b'x'; 70_000]].concat());
    assert_eq!(page.value(TOO_LONG), 1.0, "{page}");
    assert_eq!(log.matches("line is too long").count(), 1, "{log}");
}

#[test]
fn many_lines_too_long_are_counted_each_and_told_once() {
    let long = [&[b'x'; 70_000], &b"\n"[..]].concat().repeat(50);
    let (page, log) = once(&around(&long));
    assert_eq!(page.value(TOO_LONG), 50.0, "{page}");
    assert_both_halves(&page);
    assert_eq!(log.matches("line is too long").count(), 1, "{log}");
}

#[test]
fn bytes_of_any_value_hide_no_record() {
    let every_byte: Vec<u8> = (0..=255).collect();
    for garbage in [every_byte.repeat(64), vec![0; 4096], b"\xff\xfe\n\n\r\r\n\0".to_vec()] {
        let (page, log) = once(&around(&garbage));
        assert_both_halves(&page);
        assert_eq!(page.sum(MALFORMED), 0.0, "{page}");
        assert!(!log.contains("level=warn"), "{log}");
    }
}

#[test]
fn lines_that_a_terminal_ended_with_a_carriage_return_are_read() {
    let text = String::from_utf8(around(b"INFO ready")).unwrap();
    let (page, _) = once(text.replace('\n', "\r\n").as_bytes());
    assert_both_halves(&page);
    assert_eq!(page.sum(MALFORMED), 0.0, "{page}");
}

#[test]
fn half_a_character_at_the_end_of_a_chunk_or_of_the_longest_line_changes_nothing() {
    // Chunks have 64 KiB: with an odd beginning, each of them ends in the middle of an "ä".
    for begin in ["", "x"] {
        let lines = format!("{begin}{}\n", "ä".repeat(1000)).repeat(100);
        let (page, _) = once(&around(lines.as_bytes()));
        assert_both_halves(&page);
        assert_eq!(page.value(TOO_LONG), 0.0, "{page}");
        let (page, _) = once(&around(format!("{begin}{}", "ä".repeat(33_000)).as_bytes()));
        assert_both_halves(&page);
        assert_eq!(page.value(TOO_LONG), 1.0, "{page}");
    }
}

const BLOCK: &str = "SCHED 5ms: gomaxprocs=1 idleprocs=1 threads=2 spinningthreads=0 needspinning=0 idlethreads=0 runqueue=0 gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false
  P0: status=0 schedtick=1 syscalltick=0 m=nil runqsize=0 gfreecnt=0 timerslen=0
  M0: p=nil curg=nil mallocing=0 throwing=0 preemptoff= locks=0 dying=0 spinning=false blocked=true lockedg=nil
  G1: status=4(sleep) m=nil lockedm=nil
";

#[test]
fn a_wait_reason_that_is_no_text_is_no_label() {
    let whole = BLOCK.as_bytes();
    // The first byte of a character of two.
    let damaged = BLOCK.replace("(sleep)", "(sl\u{e9}p)").into_bytes();
    let damaged: Vec<u8> = damaged.into_iter().filter(|byte| *byte != 0xa9).collect();
    let (page, _) = once(&[whole, &damaged, whole].concat());
    let records = |kind| format!("godebug_exporter_records_total{{kind=\"{kind}\"}}");
    assert_eq!(page.value(&records("sched_detail")), 2.0, "{page}");
    assert_eq!(
        page.value("go_sched_goroutines{reason=\"sleep\",state=\"waiting\"}"),
        1.0,
        "{page}"
    );
    // A line of a block is no record: what is lost is the block.
    assert_eq!(page.sum("godebug_exporter_records_lost_total"), 1.0, "{page}");
}

#[test]
fn exec_passes_on_bytes_of_any_value_and_characters_cut_by_a_packet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("said");
    let every_byte: Vec<u8> = (0..=255).collect();
    // Packets have 4,096 bytes.
    let said =
        [b"x", "ä".repeat(10_000).as_bytes(), b"\n", &every_byte.repeat(40), b"end"].concat();
    fs::write(&path, &said).unwrap();
    let script = format!("cat {} >&2", path.display());
    let words =
        ["exec", "--listen", "127.0.0.1:0", "--trace-lines", "strip", "--", "sh", "-c", &script];
    let mut exec = Exporter::start(command(words));
    assert!(exec.process.end("the command").success());
    assert!(exec.stderr.whole() == said, "{}", exec.stderr.text());
}
