//! What real Go programs of many versions printed (tests/fixtures/samples), read through the
//! public stations; and whatever else may come in, so that nothing panics.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use godebug_exporter::aggregate::catalog::METRICS;
use godebug_exporter::aggregate::service::{Options, ServiceState};
use godebug_exporter::aggregate::tally::Tally;
use godebug_exporter::config;
use godebug_exporter::export::text;
use godebug_exporter::frame::lines::Lines;
use godebug_exporter::frame::packets::{Grammar, Packets, TraceLines};
use godebug_exporter::model::record::Record;
use godebug_exporter::model::service::{Identity, ServiceName};
use godebug_exporter::model::stats::{RecordKind, TraceStats};
use godebug_exporter::parse::line::{Line, Verdict, is_beginning, read};
use godebug_exporter::parse::reader::Reader;
use godebug_exporter::parse::{expvar, json, release_table};
use proptest::prelude::*;

pub(crate) fn samples(mode: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/samples");
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name
            .strip_prefix("go")
            .and_then(|rest| rest.split_once('-'))
            .is_some_and(|(_, rest)| rest == mode)
        {
            files.push((name, fs::read(path).unwrap()));
        }
    }
    let at_least = match mode {
        "idle-gcforced" => 5,
        "checkfinalizers" => 4,
        "inittrace" | "scavtrace" => 9,
        _ => 14,
    };
    assert!(files.len() >= at_least, "{mode}: only {} samples", files.len());
    files
}

pub(crate) fn state() -> ServiceState {
    let identity = Identity::new(ServiceName::new("sample").unwrap(), Vec::new());
    let options =
        Options { trace: true, expvar: true, per_p: true, by_size: true, ..Options::default() };
    ServiceState::new(identity, options, Arc::default(), 0)
}

pub(crate) fn feed(bytes: &[u8]) -> (TraceStats, Vec<Record<Tally>>) {
    let (mut stats, mut records) = (TraceStats::default(), Vec::new());
    let mut reader = Reader::<Tally>::of_stream();
    let mut lines = Lines::new(config::LINE_MAX_BYTES);
    lines.push(bytes, reader.sink(&mut stats, |record| records.push(record)));
    reader.end(&mut stats, &mut |record| records.push(record));
    (stats, records)
}

/// Lines that the reader should know, found by another way: as a person would, by their start.
pub(crate) fn expected(bytes: &[u8], start: &str) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    text.split_inclusive('\n')
        .filter(|line| line.starts_with(start) && line.ends_with('\n'))
        .count() as u64
}

#[test]
fn every_schedtrace_line_of_every_version_is_read() {
    for (name, bytes) in samples("schedtrace").into_iter().chain(samples("schedtrace-4p")) {
        let (stats, records) = feed(&bytes);
        assert_eq!(stats.malformed.total(), 0, "{name}");
        assert_eq!(records.len() as u64, expected(&bytes, "SCHED "), "{name}");
        assert_eq!(stats.unknown_forms.total(), 0, "{name}");
    }
}

#[test]
fn every_gctrace_line_of_every_version_is_read_and_no_cycle_is_missing() {
    for (name, bytes) in samples("gctrace") {
        let (stats, mut records) = feed(&bytes);
        // Go 1.13 has lines of the scavenger in between.
        records.retain(|record| matches!(record, Record::Gc(_)));
        assert_eq!((stats.malformed.total(), stats.unknown_forms.total()), (0, 0), "{name}");
        assert_eq!(records.len() as u64, expected(&bytes, "gc "), "{name}");
        for (i, record) in records.iter().enumerate() {
            let Record::Gc(gc) = record else { panic!("{name}: {record:?}") };
            assert_eq!(gc.cycle as usize, i + 1, "{name}");
            let old = name.starts_with("go1.5-");
            let areas = !["go1.5-", "go1.6-", "go1.8-", "go1.11-", "go1.13-", "go1.15-", "go1.17-"]
                .iter()
                .any(|v| name.starts_with(v));
            assert_eq!(
                (gc.clock_ms.scan.is_some(), gc.stacks_mb.is_some()),
                (old, areas),
                "{name}"
            );
        }
    }
}

#[test]
fn every_scheddetail_block_of_every_version_is_read_but_the_one_the_file_cuts() {
    for (name, bytes) in samples("scheddetail") {
        let (stats, records) = feed(&bytes);
        let blocks = expected(&bytes, "SCHED ");
        assert_eq!(stats.malformed.total(), 0, "{name}");
        assert_eq!(records.len() as u64 + stats.lost.total(), blocks, "{name}");
        assert!(stats.lost.get(RecordKind::SchedDetail) <= 1, "{name}");
        for record in records {
            let Record::SchedDetail(mut block) = record else { panic!("{name}") };
            block.dump.settle();
            let listed: u64 = block.dump.goroutines.values().sum();
            assert_eq!(
                block.procs.len() as u64,
                u64::from(block.head.summary.gomaxprocs),
                "{name}"
            );
            assert!(block.dump.alive >= 1 && block.dump.alive <= listed, "{name}");
            assert_eq!(block.dump.reasons_over, 0, "{name}");
        }
    }
}

/// Torn lines are put together only with reasons that are known.
#[test]
fn every_wait_reason_of_every_version_is_known() {
    for (name, bytes) in samples("scheddetail") {
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Verdict::Trace(Line::Goroutine(goroutine, _)) = read(line) {
                assert!(release_table::is_reason(goroutine.wait_reason), "{name}: {goroutine:?}");
            }
        }
    }
}

#[test]
fn every_debug_vars_page_is_read_as_another_reader_reads_it() {
    for (name, bytes) in samples("debug-vars") {
        let vars = expvar::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let stats = vars.memstats.unwrap_or_else(|| panic!("{name}: no memstats"));
        // serde_json refuses the page as a whole where expvar wrote NaN; memstats alone is valid.
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().find_map(|line| line.strip_prefix("\"memstats\": ")).unwrap();
        let theirs: serde_json::Value = serde_json::from_str(line.trim_end_matches(',')).unwrap();
        let ours: [(&str, Option<u64>); 5] = [
            ("TotalAlloc", stats.total_alloc),
            ("NextGC", stats.next_gc),
            ("LastGC", stats.last_gc_ns),
            ("NumGC", stats.num_gc),
            ("OtherSys", stats.other_sys),
        ];
        for (field, value) in ours {
            assert_eq!(value, theirs[field].as_u64(), "{name} {field}");
        }
        assert_eq!(stats.by_size.len(), theirs["BySize"].as_array().unwrap().len(), "{name}");
        assert_eq!((stats.pause_ns.len(), stats.pause_end_ns.len()), (256, 256), "{name}");
    }
}

#[test]
fn sums_on_the_page_equal_those_of_the_trace() {
    for (name, bytes) in samples("gctrace") {
        let mut state = state();
        let mut assist = 0;
        for record in feed(&bytes).1 {
            if let Record::Gc(gc) = &record {
                assist += gc.cpu_ms.assist.0;
            }
            state.observe(record, Duration::ZERO);
        }
        let mut page = Vec::new();
        text::services(&mut page, METRICS, &[state.snapshot(Duration::ZERO)]);
        let page = String::from_utf8(page).unwrap();
        let line = page
            .lines()
            .find(|line| line.starts_with("go_gc_cpu_seconds_total") && line.contains("assist"))
            .unwrap();
        let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((value - assist as f64 / 1e6).abs() < 1e-12, "{name}: {line}");
    }
}

/// Bytes that are near enough to a trace to reach every branch.
fn nearly_a_trace() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        Just(b"SCHED ".to_vec()),
        Just(b"ms: gomaxprocs=".to_vec()),
        Just(b" idleprocs=0 threads=5 spinningthreads=0 idlethreads=1 runqueue=0 [".to_vec()),
        Just(b" [ 0 1 ] schedticks=[ ".to_vec()),
        Just(b"gc 1 @0.018s 8%: 1.2+0.13+0.42 ms clock, ".to_vec()),
        Just(b"2.5+0.15/0.005/0+0.74 ms cpu, 4->4->2 MB, 4 MB goal, 2 P".to_vec()),
        Just(b"  G1: status=4(".to_vec()),
        Just(b") m=nil lockedm=nil".to_vec()),
        Just(b"  P0: status=1 schedtick=".to_vec()),
        Just(b"  M0: p=0 curg=-1 mallocing=0 throwing=0 preemptoff=".to_vec()),
        Just(b"pacer: assist ratio=+1.5e+000 (scan 1 MB in 4->4 MB) workers=".to_vec()),
        Just(b"0++2.500000e-001".to_vec()),
        Just(b"scav 3 KiB work (bg), 5 KiB work (eager), ".to_vec()),
        Just(b"3808 KiB now, 69% util".to_vec()),
        Just(b"init net/http @6.7 ms, 0.029 ms clock, ".to_vec()),
        Just(b"1920 bytes, 22 allocs".to_vec()),
        Just(b"scan: class 16B 66 objs".to_vec()),
        Just(b"GC forced".to_vec()),
        Just(b"checkfinalizers: queue: 1 finalizers + 2 cleanups".to_vec()),
        Just(b"\n".to_vec()),
        Just(b" (forced)".to_vec()),
        "[0-9]{1,25}".prop_map(String::into_bytes),
        "[a-z]{1,5}=[0-9]{1,3}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_stream_makes_the_stations_panic(bytes in nearly_a_trace()) {
        let (stats, records) = feed(&bytes);
        prop_assert_eq!(stats.records.total(), records.len() as u64);
        let mut state = state();
        for record in records {
            state.observe(record, Duration::ZERO);
        }
        let mut page = Vec::new();
        text::services(&mut page, METRICS, &[state.snapshot(Duration::ZERO)]);
        prop_assert!(std::str::from_utf8(&page).is_ok());
    }

    #[test]
    fn no_packets_make_the_framer_panic_or_lose_the_services_text(packets in prop::collection::vec(nearly_a_trace(), 0..20)) {
        let grammar = Grammar { is_beginning, is_whole: |line| matches!(read(line), Verdict::Trace(_)) };
        let mut framer = Packets::new(grammar, TraceLines::Keep);
        let mut passed = Vec::new();
        for packet in &packets {
            framer.push(packet, &mut passed, |_| {});
        }
        framer.end(&mut passed);
        prop_assert_eq!(passed, packets.concat());
    }

    #[test]
    fn a_whole_line_is_also_a_beginning(bytes in nearly_a_trace()) {
        for line in bytes.split(|b| *b == b'\n') {
            if matches!(read(line), Verdict::Trace(_)) {
                prop_assert!((0..=line.len()).filter(|end| *end >= 6).all(|end| is_beginning(&line[..end])));
            }
        }
    }

    #[test]
    fn no_body_makes_expvar_panic(body in "[{}\\[\\]\",:0-9a-z\\\\.+NaI\n ux-]{0,200}") {
        let _any = expvar::read(body.as_bytes());
        let _any = expvar::read(format!("{{\n\"memstats\": {{{body}}},\n\"x\": {body}\n}}\n").as_bytes());
        let _any = json::Cursor::new(body.as_bytes()).value();
    }

    #[test]
    fn valid_json_is_read_as_serde_reads_it(numbers in prop::collection::btree_map("[a-zA-Z\"\\\\\n\u{e9}]{0,6}", any::<u64>(), 0..6)) {
        let body = serde_json::to_string(&numbers).unwrap();
        let vars = expvar::read(body.as_bytes()).unwrap();
        let ours: BTreeMap<String, u64> = vars.own.into_iter().map(|(name, value)| (name, value.as_u64().unwrap())).collect();
        let theirs: BTreeMap<String, u64> = numbers.into_iter().filter(|(name, _)| name != "cmdline").collect();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn no_config_makes_the_reader_panic(text in "[a-z:\\- \n\\[\\]{}\"'#&*!|>0-9]{0,120}") {
        let _any = config::file::read(&text);
        let _any = config::file::read(&format!("services:\n  - name: {text}\n    trace: {{{text}}}\n"));
    }
}
