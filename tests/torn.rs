//! Torn records: real packets of six Go releases (tests/fixtures/packets), with log lines put
//! between them as loggers write them. The packets are the truth.

use std::fs;
use std::path::PathBuf;

use godebug_exporter::aggregate::tally::Tally;
use godebug_exporter::frame::lines::Lines;
use godebug_exporter::model::record::Record;
use godebug_exporter::model::stats::TraceStats;
use godebug_exporter::parse::reader::Reader;

/// The writes of one service, in order: pieces of trace lines, nothing else.
fn packets(path: &PathBuf) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let mut rest = bytes.strip_prefix(b"godebug-exporter recording 1\n").unwrap();
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n').unwrap();
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        let words: Vec<&str> = head.split(' ').collect();
        let length: usize = words[2].parse().unwrap();
        let body = &rest[end + 1..end + 1 + length];
        rest = &rest[end + 2 + length..];
        if words[1] == "packet" {
            packets.push(body.to_vec());
        }
    }
    packets
}

/// A recording is cut at its end: the last line may have no end, and the last block no successor.
fn whole_lines(mut packets: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    while packets.last().is_some_and(|last| last.last() != Some(&b'\n')) {
        packets.pop();
    }
    packets
}

fn corpus() -> Vec<(String, Vec<Vec<u8>>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/packets");
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        all.push((name, whole_lines(packets(&path))));
    }
    all.sort();
    assert_eq!(all.len(), 12);
    all
}

fn read(stream: &[u8]) -> (Vec<Record<Tally>>, TraceStats) {
    let (mut reader, mut stats) = (Reader::<Tally>::of_stream(), TraceStats::default());
    let mut records = Vec::new();
    let mut lines = Lines::new(64 * 1024);
    lines.push(stream, reader.sink(&mut stats, |record| records.push(record)));
    reader.end(&mut stats, &mut |record| records.push(record));
    (records, stats)
}

/// The same numbers whatever the machine: a linear congruential generator (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

type Logger = (&'static str, fn(u64) -> String);

fn clock(n: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:06}", n / 3600 % 24, n / 60 % 60, n % 60, n * 7919 % 1_000_000)
}

/// How real loggers begin their lines.
const LOGGERS: [Logger; 7] = [
    ("std", |n| format!("2026/11/21 {} INFO request handled id={n}\n", clock(n))),
    ("slog JSON", |n| {
        format!(
            "{{\"time\":\"2026-11-21T{}Z\",\"level\":\"INFO\",\"msg\":\"handled\",\"id\":{n}}}\n",
            clock(n)
        )
    }),
    ("zap JSON", |n| {
        format!(
            "{{\"level\":\"info\",\"ts\":1763694{n:03}.5,\"caller\":\"app/main.go:{}\",\"msg\":\"handled\"}}\n",
            n % 90
        )
    }),
    ("logfmt", |n| format!("time=2026-11-21T{}Z level=INFO msg=handled id={n}\n", clock(n))),
    ("klog", |n| format!("I1121 {}       1 main.go:{}] handled {n}\n", clock(n), n % 90 + 10)),
    ("epoch", |n| format!("1763694{:03}.{:03} INFO handled id={n}\n", n % 1000, n % 7 * 111)),
    ("words", |n| {
        ["request served", "order stored", "cache refreshed"][usize::try_from(n % 3).unwrap()]
            .to_owned()
            + &format!(" n={n}\n")
    }),
];

/// Some lines at the start of a recording.
const QUIET_PACKETS: usize = 150;

/// More of them find more; these take seconds.
const SEEDS: u64 = 6;

/// Lines that look like pieces of a trace. (What is to the letter the end of one, "2 P", cannot be
/// told from it by its bytes.)
const FRAGMENTS: [&str; 8] = [
    "[0 1 2] ms clock\n",
    "gc 5 @\n",
    "SCHED \n",
    "SCHED is late\n",
    "gc is late\n",
    " idleprocs=9\n",
    "+0.5 ms\n",
    "ms: gomaxprocs=\n",
];

/// The stream as a file would have it: before some pieces come log lines.
fn torn(
    packets: &[Vec<u8>],
    random: &mut Random,
    one_in: u64,
    line: &mut dyn FnMut(&mut Random) -> String,
) -> Vec<u8> {
    // A service logs and prints a few trace lines before one is torn for the first time.
    let mut stream: Vec<u8> = (0..30).flat_map(|_| line(random).into_bytes()).collect();
    for (at, packet) in packets.iter().enumerate() {
        if at > QUIET_PACKETS && random.below(one_in) == 0 {
            for _ in 0..=random.below(3) {
                stream.extend_from_slice(line(random).as_bytes());
            }
        }
        stream.extend_from_slice(packet);
    }
    stream
}

fn without_mark(mut records: Vec<Record<Tally>>) -> Vec<Record<Tally>> {
    for record in &mut records {
        match record {
            Record::Sched(sched) => sched.torn = false,
            Record::Gc(gc) => gc.torn = false,
            Record::Event(_, torn) => *torn = false,
            Record::SchedDetail(block) => block.torn = false,
            Record::Crash(_) => {}
        }
    }
    records
}

/// Gives (records in truth, recovered, missing); fails on a record that is not in the truth.
fn check(name: &str, packets: &[Vec<u8>], stream: &[u8]) -> (u64, u64, u64) {
    let truth = read(&packets.concat()).0;
    let (records, stats) = read(stream);
    let records = without_mark(records);
    for record in &records {
        assert!(truth.contains(record), "{name}: a wrong record: {record:?}");
    }
    let found = truth.iter().filter(|record| records.contains(record)).count();
    (truth.len() as u64, stats.recovered.total(), (truth.len() - found) as u64)
}

#[test]
fn what_loggers_tear_is_put_together_and_no_value_is_wrong() {
    let mut random = Random(1);
    for (logger, line) in LOGGERS {
        let (mut recovered, mut missing) = (0, 0);
        for (name, packets) in corpus() {
            for one_in in [200, 60, 30] {
                let mut n = 0;
                let mut next = |_: &mut Random| {
                    n += 1;
                    line(n)
                };
                let stream = torn(&packets, &mut random, one_in, &mut next);
                let found = check(&format!("{name}, {logger}, one in {one_in}"), &packets, &stream);
                recovered += found.1;
                missing += found.2;
            }
        }
        println!("{logger}: {recovered} recovered, {missing} missing");
        assert!(recovered > 300, "{logger}: {recovered}");
        assert!(missing * 100 <= recovered, "{logger}: {missing} missing, {recovered} recovered");
    }
}

#[test]
fn lines_that_imitate_traces_may_cost_records_but_make_none_wrong() {
    let (mut recovered, mut missing) = (0, 0);
    for (seed, (name, packets)) in
        (0..SEEDS).flat_map(|seed| corpus().into_iter().map(move |all| (seed, all)))
    {
        let mut random = Random(seed);
        for one_in in [100, 20] {
            let mut n = 0;
            let mut next = |random: &mut Random| {
                n += 1;
                let fragment =
                    FRAGMENTS[usize::try_from(random.below(FRAGMENTS.len() as u64)).unwrap()];
                if random.below(2) == 0 { fragment.to_owned() } else { LOGGERS[0].1(n) }
            };
            let stream = torn(&packets, &mut random, one_in, &mut next);
            let found = check(&name, &packets, &stream);
            recovered += found.1;
            missing += found.2;
        }
    }
    println!("with imitations: {recovered} recovered, {missing} missing");
    assert!(recovered > 0);
}
