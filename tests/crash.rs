//! Crashes: what real Go programs of every release print when they die, and what services print
//! that only looks like it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use godebug_exporter::aggregate::tally::Tally;
use godebug_exporter::frame::lines::Lines;
use godebug_exporter::model::crash::{Crash, FatalKind, Signal, What};
use godebug_exporter::model::record::Record;
use godebug_exporter::model::stats::{LostReason, RecordKind, TraceStats};
use godebug_exporter::parse::reader::Reader;
use proptest::prelude::*;

use crate::support::exporter::{Exporter, output};
use crate::support::go;
use crate::support::metrics::Page;
use crate::support::process::Process;
use crate::support::trace::append;

struct Read {
    crashes: Vec<Crash>,
    traces: Vec<Record<Tally>>,
    stats: TraceStats,
}

fn read(stream: &[u8]) -> Read {
    let (mut reader, mut stats) = (Reader::<Tally>::of_stream(), TraceStats::default());
    let (mut crashes, mut traces) = (Vec::new(), Vec::new());
    let mut emit = |record| match record {
        Record::Crash(crash) => crashes.push(*crash),
        other => traces.push(other),
    };
    let mut lines = Lines::new(64 * 1024);
    lines.push(stream, reader.sink(&mut stats, &mut emit));
    if lines.cut().is_some() {
        reader.line_cut();
    }
    reader.end(&mut stats, &mut emit);
    Read { crashes, traces, stats }
}

impl Read {
    fn of_kind(&self, kind: RecordKind) -> usize {
        self.traces.iter().filter(|record| record.kind() == kind).count()
    }
}

/// What a crash must be.
type Expected = (What, Option<FatalKind>, Option<Signal>, Option<&'static str>);

fn check(name: &str, crash: &Crash, expected: Expected) {
    let (what, fatal_kind, signal, function) = expected;
    assert_eq!(
        (crash.what, crash.fatal_kind, crash.signal),
        (what, fatal_kind, signal),
        "{name}: {crash:?}"
    );
    match function {
        Some(function) => {
            let known = crash.function.as_deref().unwrap_or_default();
            assert!(known.starts_with(function), "{name}: {crash:?}");
            assert!(
                crash.line.is_some_and(|line| line > 0) && crash.file.is_some(),
                "{name}: {crash:?}"
            );
        }
        None => assert_eq!(crash.function, None, "{name}"),
    }
}

// --- Captures of fifteen releases ---

fn captures() -> Vec<(String, String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/crashes");
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mode = name.split_once('-').unwrap().1.to_owned();
        all.push((name, mode, fs::read(path).unwrap()));
    }
    all.sort();
    assert!(all.len() > 200, "{}", all.len());
    all
}

fn expected(mode: &str) -> Option<Expected> {
    use FatalKind as F;
    let panic = |function| (What::Panic, None, None, Some(function));
    Some(match mode {
        "panic" | "panic-gotraceback-all" | "panic-gotraceback-system" => panic("main.main.func1"),
        "panicmulti" => panic("main.main"),
        "panicnested" => panic("main.main.func3.1"),
        "panicrecovered" => panic("main.main.func4"),
        "repanic" => panic("main.main.func2.1"),
        "nilderef" | "panic+schedtrace" => {
            (What::Panic, None, Some(Signal::Segv), Some("main.main"))
        }
        "badaddr" => (What::Fatal, Some(F::Fault), Some(Signal::Segv), Some("main.")),
        "deadlock" | "deadlock+trace" => {
            (What::Deadlock, Some(F::Deadlock), None, Some("main.main"))
        }
        "goexit" => (What::Deadlock, Some(F::Deadlock), None, None),
        "mapconc" => (What::Fatal, Some(F::ConcurrentMapWrites), None, Some("main.main.func5")),
        "oom" => (What::OutOfMemory, Some(F::OutOfMemory), None, Some("main.main")),
        "stackoverflow" => (What::Fatal, Some(F::StackOverflow), None, Some("main.recur")),
        "race" => (What::Race, None, None, Some("main.")),
        _ => return None,
    })
}

#[test]
fn every_crash_of_every_release_is_read_once() {
    let mut seen = BTreeMap::new();
    for (name, mode, bytes) in captures() {
        let Some(expected) = expected(&mode) else { continue };
        let read = read(&bytes);
        // The file of an old release that was not captured has the line "panic: …" alone.
        if read.crashes.is_empty() && bytes.iter().filter(|b| **b == b'\n').count() == 1 {
            assert_eq!(read.stats.lost.get(RecordKind::Crash), 1, "{name}");
            continue;
        }
        let [crash] = read.crashes.as_slice() else { panic!("{name}: {:?}", read.crashes) };
        check(&name, crash, expected);
        assert_eq!(read.stats.lost.get(RecordKind::Crash), 0, "{name}: {:?}", read.stats);
        assert_eq!(read.of_kind(RecordKind::Gc), 0, "{name}");
        *seen.entry(mode).or_insert(0) += 1;
    }
    assert!(seen.len() >= 15 && seen["panic"] == 15, "{seen:?}");
}

#[test]
fn a_signals_dump_tells_the_goroutines_if_it_is_whole() {
    for (name, mode, bytes) in captures() {
        let signal = match mode.as_str() {
            "sigquit" | "sigquit-crash" => Signal::Quit,
            "sigabrt" => Signal::Abort,
            _ => continue,
        };
        let text = String::from_utf8_lossy(&bytes);
        let read = read(&bytes);
        let [crash] = read.crashes.as_slice() else { panic!("{name}: {:?}", read.crashes) };
        assert_eq!((crash.what, crash.signal), (What::Signal, Some(signal)), "{name}");
        // As a person would count: headers up to the next thread's dump, without threads' own.
        let first_dump = text.split("\n-----\n").next().unwrap();
        let headers = first_dump.lines().filter(|line| {
            line.starts_with("goroutine ")
                && line.ends_with(':')
                && !line.starts_with("goroutine 0 ")
        });
        let listed = headers.count() as u64;
        let is_whole = text.lines().any(|line| line.starts_with("rip "));
        assert_eq!(crash.goroutines_listed, listed, "{name}");
        assert_eq!(crash.goroutines, is_whole.then_some(listed), "{name}");
    }
}

#[test]
fn the_block_printed_before_a_crash_is_no_sample() {
    for (name, mode, bytes) in captures() {
        if !matches!(mode.as_str(), "panic+schedtrace" | "deadlock+trace") {
            continue;
        }
        let read = read(&bytes);
        assert_eq!(read.of_kind(RecordKind::SchedDetail), 0, "{name}");
        assert_eq!(read.stats.crash_dumps, 1, "{name}");
        // Wherever the process is cut while it dies.
        for end in 0..bytes.len() {
            let read = self::read(&bytes[..end]);
            assert_eq!(read.of_kind(RecordKind::SchedDetail), 0, "{name} {end}");
        }
    }
}

// --- Real programs ---

/// What a program prints on stderr; a file, as the runtime writes it.
fn stderr_of(binary: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let child = Command::new(binary)
        .args(arguments)
        .env_remove("GODEBUG")
        .env_remove("GOTRACEBACK")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file.reopen().unwrap())
        .spawn()
        .unwrap();
    let status = Process(child).end(&format!("crash {arguments:?}"));
    assert_ne!(status.code(), Some(64), "{arguments:?}");
    fs::read(file.path()).unwrap()
}

fn crash(version: &str, arguments: &[&str], godebug: &str) -> Vec<u8> {
    stderr_of(go::crash(version), arguments, &[("GODEBUG", godebug)])
}

/// Modes that end the program, and what is to be read.
fn ends() -> Vec<(&'static str, Expected)> {
    use FatalKind as F;
    let panic = |function| (What::Panic, None, None, Some(function));
    let fatal = |kind, function| (What::Fatal, Some(kind), None, Some(function));
    vec![
        ("panic", panic("main.panicString")),
        ("error", panic("main.modes.func")),
        ("wrapped", panic("main.modes.func")),
        ("named", panic("main.modes.func")),
        ("struct", panic("main.modes.func")),
        ("goroutine", panic("main.panicString")),
        ("nested", panic("main.nested.func1")),
        ("repanic", panic("main.repanic.func1")),
        ("after", panic("main.panicAfterRecover.func1")),
        ("logpanic", panic("main.logPanic")),
        ("index", panic("main.indexOf")),
        ("nil", (What::Panic, None, Some(Signal::Segv), Some("main.writeTo"))),
        ("deadlock", (What::Deadlock, Some(F::Deadlock), None, Some("main."))),
        ("goexit", (What::Deadlock, Some(F::Deadlock), None, None)),
        ("mapwrites", fatal(F::ConcurrentMapWrites, "main.")),
        ("unlock", fatal(F::UnlockOfUnlockedMutex, "main.unlock")),
        ("rwunlock", fatal(F::UnlockOfUnlockedMutex, "main.modes.func")),
        ("overflow", fatal(F::StackOverflow, "main.overflow")),
        ("threads", fatal(F::ThreadLimit, "main.modes.func")),
        ("memory", (What::OutOfMemory, Some(F::OutOfMemory), None, Some("main.outOfMemory"))),
        ("fault", (What::Fatal, Some(F::Fault), Some(Signal::Segv), Some("main.writeTo"))),
    ]
}

mod crashes_of_real_programs {
    on_each_release!(super::every_end_is_read);
}

fn every_end_is_read(version: &str) {
    for (mode, expected) in ends() {
        // One sample at the start. While a process dies sysmon prints on, and the two may tear each
        // other's lines; a fatal error can even wait without end for sysmon.
        for more in ["", "gctrace=1", "gctrace=1,scheddetail=1"] {
            // Thrown where the block may wait without end for the scheduler's lock.
            if matches!(mode, "threads" | "overflow") && !more.is_empty() {
                continue;
            }
            let godebug =
                if more.is_empty() { String::new() } else { format!("schedtrace=1000,{more}") };
            let name = format!("{version} {mode} {godebug}");
            let bytes = crash(version, &["-mode", mode, "-run", "5ms", "-gc", "2"], &godebug);
            let text = String::from_utf8_lossy(&bytes);
            let read = read(&bytes);
            let [crash] = read.crashes.as_slice() else {
                panic!("{name}: {:?} {:?}\n{text}", read.crashes, read.stats)
            };
            // Until Go 1.23 two threads may throw at once and tear each other's text
            // (golang/go#69447): whose stack it is may be unknown then.
            let thrown_twice = text.matches("fatal error: ").count() > 1;
            if !(thrown_twice && crash.function.is_none()) {
                check(&name, crash, expected);
            }
            assert_eq!(read.stats.crash_dumps > 0, !godebug.is_empty(), "{name}\n{text}");
            // The last block that begins before the mark is the crash's own; sysmon may print more
            // while the process dies.
            let before = text.split("dying=1").next().unwrap();
            let blocks = before.lines().filter(|line| line.contains(" gcwaiting=")).count();
            let samples = read.of_kind(RecordKind::SchedDetail);
            assert_eq!(samples, blocks.saturating_sub(1), "{name} {:?}\n{text}", read.stats);
        }
    }
}

mod signals_of_real_programs {
    on_each_release!(super::signal_dumps_are_read);
}

fn signal_dumps_are_read(version: &str) {
    for (mode, signal) in [("quit", Signal::Quit), ("abort", Signal::Abort)] {
        for godebug in ["", "schedtrace=1000"] {
            let bytes = crash(version, &["-mode", mode, "-leak", "50", "-run", "5ms"], godebug);
            let name = format!("{version} {mode} {godebug}");
            let [crash] = &read(&bytes).crashes[..] else { panic!("{name}") };
            assert_eq!((crash.what, crash.signal), (What::Signal, Some(signal)), "{name}");
            // Main, 50 leaked ones, and the runtime's own.
            let goroutines = crash.goroutines.unwrap_or_else(|| panic!("{name}: {crash:?}"));
            assert!((51..70).contains(&goroutines), "{name}: {crash:?}");
        }
    }
}

mod what_the_program_survives_is_no_crash {
    on_each_release!(super::survived);
}

fn survived(version: &str) {
    for mode in
        ["none", "exit", "recovered", "recovered-as", "recovered-by", "http", "said", "said-fatal"]
    {
        for godebug in
            ["gctrace=1", "gctrace=1,schedtrace=1", "gctrace=1,schedtrace=1,scheddetail=1"]
        {
            let arguments = ["-mode", mode, "-gc", "5", "-run", "5ms", "-after", "20ms"];
            let bytes = crash(version, &arguments, godebug);
            let text = String::from_utf8_lossy(&bytes);
            let name = format!("{version} {mode} {godebug}");
            let read = read(&bytes);
            assert_eq!(read.crashes, [], "{name}\n{text}");
            // Nothing that it traced is missing; the end of the process may cut the last line.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let cycles = cycles_in(whole)..=cycles_in(&text);
            assert!(cycles.contains(&read.of_kind(RecordKind::Gc)), "{name}\n{text}");
            let sched = read.of_kind(RecordKind::Sched) + read.of_kind(RecordKind::SchedDetail);
            // Two printers of the runtime may tear each other's lines: what is not sure then is counted.
            let lost = |kind| usize::try_from(read.stats.lost.get(kind)).unwrap();
            let cut = lost(RecordKind::Sched) + lost(RecordKind::SchedDetail);
            let samples = whole.matches("SCHED ").count()..=text.matches("SCHED ").count();
            assert!(samples.contains(&(sched + cut)), "{name} {:?}\n{text}", read.stats);
            assert!(cut <= 1, "{name} {:?}\n{text}", read.stats);
            assert_eq!(read.stats.malformed.total(), 0, "{name}\n{text}");
        }
    }
}

fn cycles_in(text: &str) -> usize {
    let is_cycle = |rest: &&str| {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        number.len() < rest.len() && number.starts_with(" @")
    };
    text.split("gc ").filter(is_cycle).count()
}

/// A GC record and samples that no process of ours prints.
const IMITATION: &str = r"line1\ngc 5 @0.395s 0%: 0.061+0.66+0.002 ms clock, 0.12+0.084/0.29/0+0.004 ms cpu, 48->48->21 MB, 49 MB goal, 0 MB stacks, 0 MB globals, 77 P\nSCHED 9999999ms: gomaxprocs=1 idleprocs=0 threads=5 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=0 [0]\nSCHED 9999999ms: gomaxprocs=1 idleprocs=0 threads=5 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=0 [ 0 ] schedticks=[ 1 ]\nlast";

mod the_text_of_a_panic_makes_no_records {
    on_each_release!(super::imitation_is_dropped);
}

fn imitation_is_dropped(version: &str) {
    for godebug in ["", "gctrace=1,schedtrace=1000"] {
        let arguments = ["-mode", "panic", "-text", IMITATION, "-gc", "2"];
        let read = read(&crash(version, &arguments, godebug));
        assert_eq!(read.crashes.len(), 1, "{version}");
        let real = read.traces.iter().all(|record| match record {
            Record::Gc(gc) => gc.procs != 77,
            Record::Sched(sched) => sched.summary.uptime_ms < 9_999_999,
            _ => false,
        });
        assert!(real, "{version}: {:?}", read.traces);
        let raw = matches!(version, "1.19" | "1.21" | "1.22");
        let dropped = read.stats.lost.by(LostReason::InCrash).get(RecordKind::Gc);
        assert_eq!(dropped, u64::from(raw), "{version}");
    }
}

#[test]
fn without_a_traceback_only_what_is_sure_is_counted() {
    let run = |mode, godebug| {
        let environment = [("GOTRACEBACK", "none"), ("GODEBUG", godebug)];
        let bytes = stderr_of(go::crash(go::NEWEST), &["-mode", mode, "-run", "5ms"], &environment);
        let read = read(&bytes);
        (read.crashes.len(), read.stats.lost.get(RecordKind::Crash))
    };
    assert_eq!(run("panic", ""), (0, 1));
    // One sample at the start: while the process dies sysmon prints on, and may tear the block.
    assert_eq!(run("panic", "schedtrace=1000"), (1, 0), "the block with `dying` set tells it");
    assert_eq!(run("nil", ""), (1, 0), "the line with the signal tells it");
    assert_eq!(run("deadlock", ""), (1, 0), "its text tells it");
}

mod crashes_in_a_noisy_log {
    on_each_release!(super::noise);
}

/// Goroutines log as fast as they can while the program dies: the crash is read all the same, and
/// the function is right or not told.
fn noise(version: &str) {
    for _ in 0..5 {
        let arguments = ["-mode", "goroutine", "-log", "2", "-run", "20ms"];
        let bytes = crash(version, &arguments, "gctrace=1,schedtrace=1");
        let read = read(&bytes);
        let panicked = String::from_utf8_lossy(&bytes).contains("\npanic: ");
        assert_eq!(read.crashes.len(), usize::from(panicked), "{:?}", read.stats);
        assert_eq!(read.of_kind(RecordKind::SchedDetail), 0);
        for crash in read.crashes {
            let function = crash.function.as_deref();
            assert!(matches!(function, None | Some("main.panicString")), "{crash:?}");
        }
    }
}

// --- On the page ---

mod crash_and_restart_under_exec {
    on_each_release!(super::restart_under_exec);
}

/// A shell runs a program that crashes, and then another, whose first trace shows that the first
/// is over.
fn restart_under_exec(version: &str) {
    let script =
        r#""$0" -mode panic -text "$1" -gc 3 -run 50ms; exec "$0" -mode none -gc 2 -run 10m"#;
    let binary = go::crash(version).to_str().unwrap();
    let flags = ["--godebug", "gctrace=1,schedtrace=20"];
    let mut exec = Exporter::exec(&flags, &["sh", "-c", script, binary, IMITATION]);
    let page = exec.page_where("the second process's cycles are there", |page| {
        page.sum("go_gc_cycles_total") >= 5.0 && page.get("go_panics_total") == Some(1.0)
    });
    assert_eq!(page.value("go_process_starts_total"), 1.0);
    assert_eq!(page.sum("go_gc_cycles_total"), 5.0);
    assert_eq!(page.value("go_gc_records_missed_total"), 0.0);
    assert_eq!(page.value("go_gc_interval_seconds_count"), 3.0, "none across the restart");
    let blamed = r#"go_crashes_by_function_total{what="panic",function="main.panicString"}"#;
    assert_eq!(page.value(blamed), 1.0, "{page}");
    assert_eq!(page.sum("go_fatal_errors_total"), 0.0);
    assert_eq!(page.value("godebug_exporter_crash_dumps_total"), 1.0, "{page}");
    exec.stop();
    // The text of the crash is for people: it is passed on, whatever it imitates.
    let passed = String::from_utf8(exec.stderr.whole()).unwrap();
    let tab = if matches!(version, "1.19" | "1.21" | "1.22") { "" } else { "\t" };
    let text = IMITATION.replace(r"\n", &format!("\n{tab}"));
    let whole = format!("panic: {text}\n\ngoroutine 1 [running]:\nmain.panicString()\n");
    assert!(passed.contains(&whole), "{passed}");
    assert!(!passed.contains("dying="), "the block before it is a trace: {passed}");
}

#[test]
fn a_crash_in_a_followed_file_is_counted_without_waiting_for_what_comes_next() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let run = Exporter::run(&["--service", "s", "--file", path, "--from-beginning"]);
    assert_eq!(run.page().value("go_panics_total"), 0.0);
    append(file.path(), crash(go::NEWEST, &["-mode", "mapwrites"], ""));
    let page = run.wait_for(r#"go_fatal_errors_total{kind="concurrent_map_writes"}"#, 1.0);
    assert_eq!(page.value("go_process_starts_total"), 0.0);
    append(file.path(), crash(go::NEWEST, &["-mode", "quit", "-leak", "30"], ""));
    let page = run.wait_for(r#"go_signal_dumps_total{signal="SIGQUIT"}"#, 1.0);
    assert!((31.0..50.0).contains(&page.value("go_crash_goroutines")), "{page}");
}

#[test]
fn a_service_that_says_panic_and_goes_on_keeps_its_traces() {
    let script = r#"echo "panic: at the disco" >&2; exec "$0" -mode none -gc 3 -run 10m"#;
    let binary = go::crash(go::NEWEST).to_str().unwrap();
    let exec = Exporter::exec(&["--godebug", "gctrace=1"], &["sh", "-c", script, binary]);
    let page =
        exec.page_where("the cycles are there", |page| page.sum("go_gc_cycles_total") == 3.0);
    assert_eq!(page.value("go_panics_total"), 0.0);
    let lost = r#"godebug_exporter_records_lost_total{kind="crash",reason="unconfirmed"}"#;
    assert_eq!(page.value(lost), 1.0, "{page}");
}

#[test]
fn crashes_on_the_page_of_a_file_read_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut text = Vec::new();
    for mode in ["panic", "panic", "deadlock", "memory", "unlock"] {
        text.extend(crash(go::NEWEST, &["-mode", mode, "-gc", "2"], "gctrace=1,schedtrace=1000"));
    }
    fs::write(file.path(), &text).unwrap();
    let path = file.path().to_str().unwrap();
    let page = output(&["run", "--once", "--service", "s", "--file", path, "--from-beginning"]);
    let page = Page::read(&String::from_utf8(page.stdout).unwrap());
    assert_eq!(page.value("go_panics_total"), 2.0, "{page}");
    for kind in ["deadlock", "out_of_memory", "unlock_of_unlocked_mutex"] {
        assert_eq!(
            page.value(&format!(r#"go_fatal_errors_total{{kind="{kind}"}}"#)),
            1.0,
            "{page}"
        );
    }
    assert_eq!(page.value("go_process_starts_total"), 4.0, "{page}");
    assert_eq!(page.value("go_gc_records_missed_total"), 0.0);
    assert_eq!(page.sum(r#"godebug_exporter_records_lost_total{kind="crash"}"#), 0.0);
}

// --- Any text ---

const DUMP: &str = "\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:5 +0x1d\n";

/// Pieces of what crashes and traces print.
fn nearly_a_crash() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("\n".to_owned()),
        Just("\t".to_owned()),
        Just("panic: ".to_owned()),
        Just("fatal error: ".to_owned()),
        Just("SIGQUIT: quit\nPC=0x1 m=0\n".to_owned()),
        Just("[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1]\n".to_owned()),
        Just("goroutine 7 [running]:\n".to_owned()),
        Just("runtime stack:\n".to_owned()),
        Just("main.f(0x1, {0x2?})\n".to_owned()),
        Just("\t/src/f.go:12 +0x5\n".to_owned()),
        Just("WARNING: DATA RACE\nRead at 0x1 by goroutine 7:\n".to_owned()),
        Just("SCHED 5ms: gomaxprocs=1 idleprocs=0 threads=5 spinningthreads=0 idlethreads=1 runqueue=0 [0]\n".to_owned()),
        Just("SCHED 5ms: gomaxprocs=1 idleprocs=1 threads=2 spinningthreads=0 idlethreads=0 runqueue=0 gcwaiting=0 nmidlelocked=0 stopwait=0 sysmonwait=0\n".to_owned()),
        Just("  P0: status=0 schedtick=1 syscalltick=0 m=-1 runqsize=0 gfreecnt=0\n".to_owned()),
        Just("  M0: p=-1 curg=-1 mallocing=0 throwing=0 preemptoff= locks=0 dying=1 spinning=false blocked=true lockedg=-1\n".to_owned()),
        Just("  G1: status=4(sleep) m=-1 lockedm=-1\n".to_owned()),
        Just("gc 3 @0.018s 8%: 1.2+0.13+0.42 ms clock, 2.5+0.15/0.005/0+0.74 ms cpu, 4->4->2 MB, 4 MB goal, 2 P\n".to_owned()),
        "[ -~]{0,12}",
    ];
    prop::collection::vec(pieces, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_stream_is_read_to_its_end_and_every_record_is_counted(text in nearly_a_crash()) {
        let read = read(text.as_bytes());
        let all = (read.traces.len() + read.crashes.len()) as u64;
        prop_assert_eq!(read.stats.records.total(), all);
    }

    /// As Go 1.23 and later print it: every line of the value but the first is indented.
    #[test]
    fn no_text_of_a_panic_makes_a_record(text in nearly_a_crash()) {
        let value = text.replace('\n', "\n\t");
        let read = read(format!("panic: {value}{DUMP}").as_bytes());
        prop_assert_eq!(read.traces.len(), 0);
        prop_assert_eq!(read.crashes.len(), 1);
        prop_assert_eq!(read.crashes[0].function.as_deref(), Some("main.main"));
    }

    /// Until Go 1.22 they are not: traces among them are none all the same.
    #[test]
    fn no_raw_text_of_a_panic_makes_a_trace_record(words in prop::collection::vec("(gc 3 @0.018s 8%: 1.2\\+0.13\\+0.42 ms clock, 2.5\\+0.15/0.005/0\\+0.74 ms cpu, 4->4->2 MB, 4 MB goal, 2 P|SCHED 5ms: gomaxprocs=1 idleprocs=0 threads=5 spinningthreads=0 idlethreads=1 runqueue=0 \\[0\\]|  P0: x|panic: x|[ -~]{0,20})", 0..40)) {
        let read = read(format!("panic: {}{DUMP}", words.join("\n")).as_bytes());
        prop_assert_eq!(read.traces.len(), 0, "{:?}", read.stats);
    }
}
