//! The seldom lines (gcpacertrace, gctrace=2, scavtrace, inittrace, checkfinalizers, scvg, `GC
//! forced`) as real Go programs of many versions printed them.

use std::collections::BTreeMap;
use std::time::Duration;

use godebug_exporter::aggregate::catalog::METRICS;
use godebug_exporter::aggregate::tally::Tally;
use godebug_exporter::config;
use godebug_exporter::export::text;
use godebug_exporter::frame::lines::Lines;
use godebug_exporter::model::record::Record;
use godebug_exporter::model::release::ReleaseRange;
use godebug_exporter::model::stats::{RecordKind, TraceStats};
use godebug_exporter::parse::reader::Reader;

use crate::samples::{expected, feed, samples, state};

/// Every sample that has such lines, and what else it has.
const MODES: [&str; 8] = [
    "gctrace+gcpacertrace",
    "scavtrace",
    "inittrace",
    "checkfinalizers",
    "gctrace2",
    "idle-gcforced",
    "all",
    "all-nodetail",
];

/// What the lines of a kind begin with, as a person would tell them.
const STARTS: [(RecordKind, &[&str]); 7] = [
    (RecordKind::Gc, &["gc "]),
    (RecordKind::Pacer, &["pacer: "]),
    (RecordKind::Scavenge, &["scav ", "scvg", "forced scvg"]),
    (RecordKind::Init, &["init "]),
    (RecordKind::GcScan, &["scan: "]),
    (RecordKind::FinalizerQueue, &["checkfinalizers: "]),
    (RecordKind::ForcedGc, &["GC forced"]),
];

#[test]
fn every_line_of_every_version_is_read() {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, bytes) in MODES.into_iter().flat_map(samples) {
        let (stats, _) = feed(&bytes);
        assert_eq!(stats.malformed.total(), 0, "{name}");
        for (kind, starts) in STARTS {
            let lines = starts.iter().map(|start| expected(&bytes, start)).sum::<u64>();
            assert_eq!(stats.records.get(kind), lines, "{name} {}", kind.as_str());
            *seen.entry(kind.as_str()).or_default() += lines;
        }
    }
    assert!(seen.values().all(|lines| *lines > 8), "{seen:?}");
}

fn json(line: &str) -> serde_json::Value {
    let (_, records) = feed(format!("{line}\n").as_bytes());
    let [record] = records.as_slice() else { panic!("{line}: {records:?}") };
    assert!(matches!(record, Record::Event(_, false)));
    // What is kept of a scheddetail block differs; the other kinds are printed alike.
    let Record::Event(event, torn) = record.clone() else { unreachable!() };
    serde_json::to_value(Record::<()>::Event(event, torn)).unwrap()
}

#[test]
fn the_json_has_units_and_null_where_a_release_has_no_field() {
    let check =
        |line: &str, expected: serde_json::Value| assert_eq!(json(line), expected, "{line}");
    check(
        "pacer: assist ratio=+1.500816e+000 (scan 1 MB in 4->5 MB) workers=0+1",
        serde_json::json!({"kind": "pacer", "event": "assist_ratio", "assist_ratio": 1.500_816,
            "scan_mb": 1, "heap_start_mb": 4, "goal_mb": 5, "dedicated_workers": 0,
            "fractional_workers": 1, "fractional_utilization_goal": null}),
    );
    check(
        "pacer: 29% CPU (25 exp.) for 1+2+3 B work (6 B exp.) in 7 B -> 8 B (\u{2206}goal -9, cons/mark +Inf)",
        serde_json::json!({"kind": "pacer", "event": "cycle_end", "cpu_percent": 29,
            "cpu_goal_percent": 25, "heap_scan_bytes": 1, "stack_scan_bytes": 2,
            "globals_scan_bytes": 3, "scan_expected_bytes": 6, "triggered_bytes": 7,
            "heap_bytes": 8, "goal_delta_bytes": -9, "cons_mark": "+Inf", "controller_reset": false}),
    );
    check(
        "scav 19 26576 KiB work, 34416 KiB total, 98% util (forced)",
        serde_json::json!({"kind": "scavenge", "event": "trace", "generation": 19,
            "work_kib": 26_576, "background_kib": null, "eager_kib": null,
            "released_kib": 34_416, "heap_in_use_percent": 98, "forced": true,
            "controller_reset": false}),
    );
    check(
        "init app/yaml%2ev3 @0.26 ms, 2 ms clock, 3 bytes, 4 allocs",
        serde_json::json!({"kind": "init", "package": "app/yaml.v3", "at_ms": 0.26,
            "clock_ms": 2, "bytes": 3, "allocs": 4}),
    );
    check(
        "scan: class L 3 objs",
        serde_json::json!({"kind": "gc_scan", "scope": "large", "class_bytes": null, "objects": 3,
            "sparse_objects": null, "span_sparse_objects": null, "span_dense_objects": null,
            "sparse_spans": null, "dense_spans": null, "spans": null}),
    );
    check("GC forced", serde_json::json!({"kind": "forced_gc"}));
    check(
        "checkfinalizers: queue: 1 finalizers + 2 cleanups",
        serde_json::json!({"kind": "finalizer_queue", "finalizers": 1, "cleanups": 2}),
    );
}

/// The version in a sample's name: `go1.26leak-all`.
fn minor(name: &str) -> u8 {
    let rest = name.strip_prefix("go1.").unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// All modes of the samples, those of other tests included.
fn all_modes() -> impl Iterator<Item = &'static str> {
    MODES.into_iter().chain(["gctrace", "schedtrace", "schedtrace-4p", "scheddetail"])
}

#[test]
fn the_releases_inferred_from_a_sample_always_contain_its_own() {
    let mut narrow = 0;
    for mode in all_modes() {
        for (name, bytes) in samples(mode) {
            let Some(range) = inferred(&bytes) else { panic!("{name} tells nothing") };
            assert!(range.contains(minor(&name)), "{name}: {} to {}", range.min(), range.max());
            eprintln!("{name}: {} to {}", range.min(), range.max());
            narrow += u64::from(mode == "all" && range.min() == range.max().trim_end_matches('+'));
        }
    }
    assert!(narrow > 0, "no sample with everything on is told to one release");
}

fn inferred(bytes: &[u8]) -> Option<ReleaseRange> {
    let mut stats = TraceStats::default();
    let mut reader = Reader::<Tally>::of_stream();
    Lines::new(config::LINE_MAX_BYTES).push(bytes, |line: &[u8]| {
        let before = stats.unknown_forms;
        reader.line(line, &mut stats, &mut |_| {});
        assert_eq!(stats.unknown_forms, before, "{}", line.escape_ascii());
    });
    reader.releases()
}

#[test]
fn a_restart_with_another_release_begins_anew_and_lines_of_none_are_told() {
    let old = "gc 7 @0.071s 0%: 0.018+0.46+0.071 ms clock, 0.14+0/0.38/0.14+0.56 ms cpu, 29->29->29 MB, 30 MB goal, 8 P\n";
    let new = "gc 1 @0.027s 4%: 1.5+0.76+0.14 ms clock, 3.1+0.073/1.5/0+0.28 ms cpu, 3->4->2 MB, 4 MB goal, 0 MB stacks, 1 MB globals, 2 P\n";
    let text = |bytes: &str| {
        inferred(bytes.as_bytes()).map(|range| format!("{} {}", range.min(), range.max()))
    };
    assert_eq!(text(old).as_deref(), Some("1.6 1.17"));
    assert_eq!(text(&[old, new].concat()).as_deref(), Some("1.18 1.27+"));
    // The next cycles of the same process cannot have another form.
    let unseen = [8, 9, 10].map(|cycle| new.replace("gc 1 ", &format!("gc {cycle} ")));
    assert_eq!(text(&[old, &unseen.concat()].concat()), None);
    assert_eq!(text("INFO hello\n"), None);

    let impossible = "  P0: status=0 schedtick=1 syscalltick=0 m=nil runqsize=0 gfreecnt=0";
    let drifted = "SCHED 5ms: gomaxprocs=2 idlethreads=1 runqueue=0 [ 0 0 ] schedticks=[ 1 2 ]";
    let added = "SCHED 3ms: gomaxprocs=1 idleprocs=0 threads=3 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=2 [ 5 ] schedticks=[ 9 ] last=nil";
    let (mut reader, mut stats) = (Reader::<Tally>::of_stream(), TraceStats::default());
    let mut records = 0;
    for line in [impossible, drifted, added, added] {
        reader.line(line.as_bytes(), &mut stats, &mut |_| records += 1);
    }
    assert_eq!(stats.unknown_forms.get(RecordKind::SchedDetail), 1);
    assert_eq!(stats.unknown_forms.get(RecordKind::Sched), 3);
    assert_eq!((records, stats.malformed.total(), stats.lost.total()), (2, 0, 0));
    let samples = reader.take_samples();
    let texts: Vec<&[u8]> = samples.iter().map(|(_, text)| &**text).collect();
    assert_eq!(texts, [impossible.as_bytes(), drifted.as_bytes()]);
    assert!(reader.take_samples().is_empty());
}

/// Log lines of two loggers; the service has written such before.
const LOGS: [&str; 2] = [
    "2026/11/21 10:00:00 INFO request handled id=42390\n",
    "{\"time\":\"2026-11-21T10:00:00Z\",\"level\":\"INFO\",\"msg\":\"request handled\"}\n",
];

/// Where the runtime's writes of a line end: each number is one, and each text between two.
fn writes(line: &str) -> Vec<usize> {
    let is_number = |at: usize| {
        let bytes = line.as_bytes();
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let after_digit = at > 0 && digit(at - 1);
        digit(at)
            || bytes[at] == b'.' && after_digit && digit(at + 1)
            || bytes[at] == b'e' && after_digit && matches!(bytes.get(at + 1), Some(b'+' | b'-'))
            || matches!(bytes[at], b'+' | b'-') && at > 0 && bytes[at - 1] == b'e' && digit(at + 1)
    };
    // A package is one write.
    let first = line.find(" @").map_or(7, |at| at + 2);
    (first..line.len()).filter(|at| is_number(at - 1) != is_number(*at)).collect()
}

#[test]
fn a_line_torn_at_any_write_is_put_together_or_given_up_and_never_another() {
    let (mut whole, mut lost) = (0, BTreeMap::<String, u32>::new());
    for (name, bytes) in samples("all-nodetail") {
        let text = String::from_utf8(bytes).unwrap();
        let mut shapes = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| {
            !line.starts_with("GC")
                && STARTS[1..].iter().any(|(_, s)| s.iter().any(|s| line.starts_with(s)))
        }) {
            let shape: String =
                line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            if !shapes.insert(shape) {
                continue;
            }
            let (_, expected) = feed(format!("{line}\n").as_bytes());
            if expected.is_empty() {
                // The sample itself has torn lines.
                continue;
            }
            for (at, log) in writes(line).into_iter().zip(LOGS.into_iter().cycle()) {
                let (before, after) = line.split_at(at);
                let stream = format!("{log}{log}{before}{log}{after}\n");
                let (_, mut found) = feed(stream.as_bytes());
                if let [Record::Event(_, torn)] = found.as_mut_slice() {
                    assert!(std::mem::take(torn), "{name}: {stream}");
                    assert_eq!(found, expected, "{name}: {stream}");
                    whole += 1;
                } else {
                    assert!(found.is_empty(), "{name}: {found:?}");
                    *lost.entry(line.split(' ').next().unwrap().to_owned()).or_default() += 1;
                }
            }
        }
    }
    assert!(lost.is_empty() && whole > 5000, "{whole} whole, lost: {lost:?}");
}

#[test]
fn after_a_restart_sums_go_on_and_last_values_are_gone() {
    let before = "init main @17 ms, 12 ms clock, 5056 bytes, 74 allocs\n\
        pacer: 29% CPU (25 exp.) for 1+2+3 B work (6 B exp.) in 7 B -> 8 B (\u{2206}goal 9, cons/mark 0)\n\
        scav 1 KiB work (bg), 2 KiB work (eager), 3 KiB now, 69% util\n\
        checkfinalizers: queue: 1 finalizers + 2 cleanups\n\
        GC forced\n";
    let gauges = [
        "go_init_done_seconds",
        "go_gc_pacer_goal_overshoot_bytes",
        "go_scavenger_heap_in_use_ratio",
        "go_gc_finalizer_queue_functions",
    ];
    let sums = [
        (r#"go_init_seconds_total{service="sample",package="main"} 0.012"#),
        (r#"go_gc_pacer_goal_overshoots_total{service="sample"} 1"#),
        (r#"go_gc_pacer_scan_bytes_total{service="sample",area="stack"} 2"#),
        (r#"go_scavenger_released_bytes_total{service="sample",kind="eager"} 2048"#),
        (r#"go_gc_periodic_triggers_total{service="sample"} 1"#),
    ];
    for restart in [
        "SCHED 9ms: gomaxprocs=1 idleprocs=0 threads=3 spinningthreads=0 idlethreads=1 runqueue=0 [4]\nSCHED 1ms: gomaxprocs=1 idleprocs=0 threads=3 spinningthreads=0 idlethreads=1 runqueue=0 [4]\n",
        "init runtime @0.01 ms, 0 ms clock, 0 bytes, 0 allocs\n",
    ] {
        let page = |trace: &str| {
            let mut state = state();
            for record in feed(trace.as_bytes()).1 {
                state.observe(record, Duration::ZERO);
            }
            let mut page = Vec::new();
            text::services(&mut page, METRICS, &[state.snapshot(Duration::ZERO)]);
            String::from_utf8(page).unwrap()
        };
        let (first, second) = (page(before), page(&[before, restart].concat()));
        for sum in sums {
            assert!(first.contains(sum) && second.contains(sum), "{sum} in\n{second}");
        }
        for gauge in gauges {
            let has = |page: &str| page.lines().any(|line| line.starts_with(gauge));
            // The init line that tells of the restart is one of the new process.
            let again = gauge.starts_with("go_init") && restart.starts_with("init");
            assert!(has(&first) && has(&second) == again, "{gauge} in\n{second}");
        }
        assert!(second.contains(r#"go_process_starts_total{service="sample"} 1"#), "{second}");
    }
}

#[test]
fn a_restart_told_by_an_init_line_is_counted_once_although_a_block_was_open() {
    let block = |uptime: u32| {
        format!(
            "SCHED {uptime}ms: gomaxprocs=1 idleprocs=1 threads=2 spinningthreads=0 needspinning=0 idlethreads=0 runqueue=0 gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false\n\
             \x20 P0: status=0 schedtick=1 syscalltick=0 m=nil runqsize=0 gfreecnt=0 timerslen=0\n\
             \x20 M0: p=nil curg=nil mallocing=0 throwing=0 preemptoff= locks=0 dying=0 spinning=false blocked=true lockedg=nil\n\
             \x20 G1: status=4(sleep) m=nil lockedm=nil\n"
        )
    };
    let init = |at: &str| format!("init main @{at} ms, 1 ms clock, 0 bytes, 0 allocs\n");
    let gc = "gc 1 @0.027s 4%: 1.5+0.76+0.14 ms clock, 3.1+0.073/1.5/0+0.28 ms cpu, 3->4->2 MB, 4 MB goal, 0 MB stacks, 1 MB globals, 2 P\n";
    for first in [init("5"), gc.to_owned()] {
        let first_again = first.replace("@5 ms", "@1 ms");
        let trace = [first, block(1000), block(2000), first_again, block(0), block(1000)].concat();
        let (stats, records) = feed(trace.as_bytes());
        assert_eq!(stats.records.get(RecordKind::SchedDetail), 4, "{trace}");
        let mut state = state();
        for record in records {
            state.observe(record, Duration::ZERO);
        }
        let mut page = Vec::new();
        text::services(&mut page, METRICS, &[state.snapshot(Duration::ZERO)]);
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(r#"go_process_starts_total{service="sample"} 1"#), "{trace}\n{page}");
    }
}
