//! Torn records as real services tear them: tests/go/torn recorded what six Go releases and eleven
//! kinds of loggers wrote at four rates, each write(2) apart, which is the truth. The bytes in a row
//! are what a file or a plain pipe would have.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use godebug_exporter::aggregate::tally::Tally;
use godebug_exporter::frame::cri::{Stream, Unwrap};
use godebug_exporter::frame::lines::Lines;
use godebug_exporter::frame::packets::{Grammar, Packets, TraceLines};
use godebug_exporter::model::record::Record;
use godebug_exporter::model::stats::TraceStats;
use godebug_exporter::model::wrapping::Wrapping;
use godebug_exporter::parse::line::{self, Verdict, is_beginning};
use godebug_exporter::parse::reader::Reader;

type Records = Vec<Record<Tally>>;

/// What one service wrote under one logger, rate and kind of trace.
pub(crate) struct Cell {
    /// `1.27 std 1000 false lines_per_second=…`
    pub(crate) head: String,
    pub(crate) writes: Vec<Write>,
}

pub(crate) enum Write {
    Trace(Vec<u8>),
    Log(Vec<u8>),
    /// Log lines that the recording left out here.
    LeftOut,
}

impl Cell {
    pub(crate) fn stream(&self) -> Vec<u8> {
        let mut stream = Vec::new();
        for write in &self.writes {
            if let Write::Trace(bytes) | Write::Log(bytes) = write {
                stream.extend_from_slice(bytes);
            }
        }
        stream
    }
}

pub(crate) const RELEASES: [&str; 6] = ["1.19", "1.21", "1.22", "1.24", "1.26", "1.27"];

pub(crate) fn cells(release: &str) -> Vec<Cell> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torn");
    let mut bytes = Vec::new();
    let file = File::open(folder.join(format!("go{release}.zst"))).unwrap();
    ruzstd::decoding::StreamingDecoder::new(file).unwrap().read_to_end(&mut bytes).unwrap();
    let mut rest = bytes.as_slice();
    let mut cells: Vec<Cell> = Vec::new();
    while let Some((kind, tail)) = rest.split_first() {
        if *kind == b'=' {
            let end = rest.iter().position(|b| *b == b'\n').unwrap();
            let head = String::from_utf8(rest[3..end].to_vec()).unwrap();
            cells.push(Cell { head, writes: Vec::new() });
            rest = &rest[end + 1..];
            continue;
        }
        let (number, tail) = uvarint(tail);
        let length = if *kind == b'-' { 0 } else { number };
        let (body, tail) = tail.split_at(length);
        let write = match kind {
            b't' => Write::Trace(body.to_vec()),
            b'a' => Write::Log(body.to_vec()),
            b'-' => Write::LeftOut,
            other => panic!("entry of kind {other}"),
        };
        cells.last_mut().unwrap().writes.push(write);
        rest = tail;
    }
    cells
}

fn uvarint(mut bytes: &[u8]) -> (usize, &[u8]) {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, tail) = bytes.split_first().unwrap();
        bytes = tail;
        number |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return (number, bytes);
        }
    }
}

/// The trace lines in the order of their ends, and whether anything stood inside. A line may stand
/// inside another: the runtime prints a SCHED line in several statements.
fn trace_lines(cell: &Cell) -> Vec<(Vec<u8>, bool)> {
    const STARTS: [&[u8]; 5] = [b"SCHED ", b"gc ", b"  P", b"  M", b"  G"];
    let (mut lines, mut open): (Vec<_>, Vec<(Vec<u8>, bool)>) = (Vec::new(), Vec::new());
    for write in &cell.writes {
        let Write::Trace(piece) = write else {
            open.iter_mut().for_each(|(_, torn)| *torn = true);
            continue;
        };
        if STARTS.contains(&piece.as_slice()) {
            open.iter_mut().for_each(|(_, torn)| *torn = true);
            open.push((Vec::new(), false));
        }
        if let Some((line, _)) = open.last_mut() {
            line.extend_from_slice(piece);
            if line.pop_if(|last| *last == b'\n').is_some() {
                lines.extend(open.pop());
            }
        }
    }
    lines
}

/// The records of a service whose writes are kept apart, and whether they were torn.
fn truth(cell: &Cell) -> Vec<(Record<Tally>, bool)> {
    let (mut reader, mut stats) = (Reader::<Tally>::of_packets(), TraceStats::default());
    let mut records = Vec::new();
    let mut block_torn = false;
    for (line, torn) in trace_lines(cell) {
        reader.line(&line, &mut stats, &mut |record| {
            let torn = if matches!(record, Record::SchedDetail(_)) { block_torn } else { torn };
            records.push((record, torn));
        });
        if line.starts_with(b"SCHED ") {
            block_torn = torn;
        } else if line.starts_with(b"  ") {
            block_torn |= torn;
        }
    }
    reader.end(&mut stats, &mut |record| records.push((record, block_torn)));
    assert_eq!((stats.malformed.total(), stats.lost.total()), (0, 0), "{}", cell.head);
    records
}

pub(crate) fn read(stream: &[u8]) -> (Records, TraceStats) {
    let (mut reader, mut stats) = (Reader::<Tally>::of_stream(), TraceStats::default());
    let mut records = Vec::new();
    let mut lines = Lines::new(64 * 1024);
    lines.push(stream, reader.sink(&mut stats, |record| records.push(record)));
    reader.end(&mut stats, &mut |record| records.push(record));
    (records, stats)
}

fn without_mark(mut record: Record<Tally>) -> Record<Tally> {
    match &mut record {
        Record::Sched(sched) => sched.torn = false,
        Record::Gc(gc) => gc.torn = false,
        Record::SchedDetail(block) => block.torn = false,
        Record::Event(_, torn) => *torn = false,
        Record::Crash(_) => {}
    }
    record
}

/// A line of the table; `told` is what the reader itself counts as lost.
#[derive(Default, Clone, Copy)]
struct Row {
    records: u64,
    torn: u64,
    recovered: u64,
    lost: u64,
    wrong: u64,
    told: u64,
}

impl Row {
    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.torn += other.torn;
        self.recovered += other.recovered;
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.told += other.told;
    }

    fn tell(&self, name: &str) {
        println!(
            "{name:<24} {:>7} {:>6} {:>9} {:>4} {:>5} {:>4}",
            self.records, self.torn, self.recovered, self.lost, self.wrong, self.told
        );
    }
}

fn measure(cell: &Cell) -> Row {
    let truth = truth(cell);
    let (records, stats) = read(&cell.stream());
    let mut row = Row { told: stats.lost.total(), ..Row::default() };
    let mut records: Records = records.into_iter().map(without_mark).collect();
    for (expected, torn) in truth {
        row.records += 1;
        row.torn += u64::from(torn);
        match records.iter().position(|record| *record == expected) {
            Some(at) => {
                records.remove(at);
                row.recovered += u64::from(torn);
            }
            None => row.lost += 1,
        }
    }
    for wrong in &records {
        println!("{}: wrong: {wrong:?}", cell.head);
    }
    row.wrong = u64::try_from(records.len()).unwrap();
    row
}

/// What each logger's lines allow, in percent of the torn records.
///
/// Imitations: "  G7: is late" inside a block may be the torn line of a goroutine, so the block is
/// given up; and a line that goes on as the grammar does cannot be told from pieces.
/// Long: a write of more than 4 KiB is cut in its middle, and nobody knows how its rest begins: of
/// "12" and "3 items" or "1" and "23 items" neither is certain; in a block, one line is enough.
const LEAST_PERCENT: [(&str, u64); 11] = [
    ("std", 99),
    ("slog", 99),
    ("zap", 99),
    ("logfmt", 99),
    ("klog", 99),
    ("epoch", 99),
    ("words", 99),
    ("several", 99),
    ("mixed", 99),
    ("imitation", 78),
    ("long", 90),
];

#[test]
fn by_packets_every_record_is_read_and_the_log_passes_whole() {
    const GRAMMAR: Grammar =
        Grammar { is_beginning, is_whole: |text| matches!(line::read(text), Verdict::Trace(_)) };
    let mut torn = 0;
    for release in ["1.19", "1.24", "1.27"] {
        for cell in cells(release) {
            let expected = truth(&cell);
            torn += expected.iter().filter(|(_, torn)| *torn).count();
            let (mut packets, mut stats) =
                (Packets::new(GRAMMAR, TraceLines::Strip), TraceStats::default());
            let (mut reader, mut records) = (Reader::<Tally>::of_packets(), Vec::new());
            let (mut passed, mut log) = (Vec::new(), Vec::new());
            for write in &cell.writes {
                let (Write::Trace(bytes) | Write::Log(bytes)) = write else { continue };
                if matches!(write, Write::Log(_)) {
                    log.extend_from_slice(bytes);
                }
                let lost = packets.push(bytes, &mut passed, |line| {
                    reader.line(line, &mut stats, &mut |record| records.push(record));
                });
                assert!(lost.is_empty(), "{}", cell.head);
            }
            reader.end(&mut stats, &mut |record| records.push(record));
            let expected: Records = expected.into_iter().map(|(record, _)| record).collect();
            assert!(
                records == expected,
                "{}: {} of {} records",
                cell.head,
                records.len(),
                expected.len()
            );
            assert!(passed == log, "{}: the log is not whole", cell.head);
        }
    }
    assert!(torn > 3000, "{torn}");
}

/// As containerd writes what it reads from the service's pipe: each line an entry, pieces of at
/// most 16 KiB (its reader's buffer) of longer ones, and a time before each.
fn as_containerd(stream: &[u8]) -> Vec<u8> {
    const BUFFER: usize = 16 * 1024;
    let mut file = Vec::new();
    for (n, line) in stream.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let pieces = text.chunks(BUFFER).count().max(1);
        for at in 0..pieces {
            let piece = text.chunks(BUFFER).nth(at).unwrap_or_default();
            let tag = if at + 1 < pieces { 'P' } else { 'F' };
            let head = format!("2026-11-21T10:00:00.{n:09}Z stderr {tag} ");
            file.extend_from_slice(head.as_bytes());
            file.extend_from_slice(piece);
            file.push(b'\n');
        }
        if n % 5 == 0 {
            file.extend_from_slice(
                b"2026-11-21T10:00:01.5Z stdout P the other stream, unfinished \n",
            );
        }
    }
    file
}

/// As Docker's json-file driver does.
fn as_docker(stream: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        for piece in line.chunks(16 * 1024) {
            let log = serde_json::to_string(std::str::from_utf8(piece).unwrap()).unwrap();
            let time = "2026-11-21T10:00:00.123456789Z";
            let entry = format!("{{\"log\":{log},\"stream\":\"stderr\",\"time\":\"{time}\"}}\n");
            file.extend_from_slice(entry.as_bytes());
        }
    }
    file
}

#[test]
fn from_a_containers_log_file_the_same_records_come_back() {
    let unwrapped = |file: &[u8]| {
        let (mut framer, mut text, mut malformed) = (Unwrap::new(Wrapping::Auto), Vec::new(), 0);
        for chunk in file.chunks(4099) {
            malformed += framer.push(chunk, |stream, piece| {
                text.extend_from_slice(if stream == Stream::Stderr { piece } else { b"" });
            });
        }
        assert_eq!(malformed, 0);
        text
    };
    let mut entries = 0;
    for cell in cells("1.27").iter().step_by(3) {
        // The last line has no end in the recording; a container's log ends it.
        let mut stream = cell.stream();
        stream.truncate(stream.iter().rposition(|byte| *byte == b'\n').unwrap() + 1);
        assert!(unwrapped(&as_containerd(&stream)) == stream, "{}: containerd", cell.head);
        assert!(unwrapped(&as_docker(&stream)) == stream, "{}: Docker", cell.head);
        entries += stream.iter().filter(|byte| **byte == b'\n').count();
    }
    assert!(entries > 10_000, "{entries}");
}

#[test]
fn what_real_loggers_tore_is_put_together_and_no_value_is_wrong() {
    let rows: Vec<(String, Row)> = std::thread::scope(|scope| {
        let measure_all = |release| {
            let rows = cells(release)
                .iter()
                .map(|cell| (cell.head.clone(), measure(cell)))
                .collect::<Vec<_>>();
            assert_eq!(rows.len(), 88, "{release}: eleven loggers, four rates, two kinds of trace");
            rows
        };
        let threads = RELEASES.map(|release| scope.spawn(move || measure_all(release)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let (mut table, mut loggers) = (BTreeMap::new(), BTreeMap::new());
    for (head, row) in rows {
        let word = |at: usize| head.split(' ').nth(at).unwrap().to_owned();
        let rate = if word(2) == "0" { "unthrottled".to_owned() } else { word(2) };
        for key in [format!("{} {rate:>11}", word(1)), format!("Go {} {rate:>11}", word(0))] {
            table.entry(key).or_insert_with(Row::default).add(row);
        }
        loggers.entry(word(1)).or_insert_with(Row::default).add(row);
    }
    println!("{:<24} records   torn recovered lost wrong told", "");
    table.iter().chain(&loggers).for_each(|(name, row)| row.tell(name));
    for (logger, percent) in LEAST_PERCENT {
        let row = loggers[logger];
        assert_eq!(row.wrong, 0, "{logger}");
        assert!(row.torn > 300, "{logger}: {} torn", row.torn);
        let enough = row.recovered * 100 >= row.torn * percent;
        assert!(enough, "{logger}: {} of {} torn records recovered", row.recovered, row.torn);
    }
}
