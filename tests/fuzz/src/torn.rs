//! `parse::reader` with `parse::reassemble`: real trace lines, torn by a service's own lines. A
//! record that comes out must be one that went in, to the last digit.
//!
//! What the service logs comes from the input, within bounds in which the bytes can tell the truth:
//! whole lines, none of them a whole trace line, none empty, none that is to the letter the end of
//! the line it tears, none with the words by which the rest of a lost trace line is known, all of a
//! few shapes that the service logged before its first line was torn.

use godebug_exporter::aggregate::tally::Tally;
use godebug_exporter::frame::lines::Lines;
use godebug_exporter::model::record::Record;
use godebug_exporter::model::stats::TraceStats;
use godebug_exporter::parse::line::{Verdict, read};
use godebug_exporter::parse::reader::Reader;

use crate::input::{Input, Output};
use crate::recording::RECORDINGS;
use crate::seeds;

const RECORDS_MAX: usize = 24;
const SHAPES_MAX: usize = 4;
const WARM_UP_LINES: usize = 12;

/// As in `parse::shapes`: a line with such words is never taken for the service's.
const TAILS: [&str; 25] = [
    "gomaxprocs=",
    "idleprocs=",
    "spinningthreads=",
    "needspinning=",
    "idlethreads=",
    "runqueue=",
    "schedticks=",
    "gcwaiting=",
    "nmidlelocked=",
    "stopwait=",
    "sysmonwait=",
    " ms clock, ",
    " ms cpu, ",
    " MB goal",
    " MB stacks",
    " MB globals",
    "schedtick=",
    " curg=",
    " mallocing=",
    " throwing=",
    " preemptoff=",
    " spinning=",
    " lockedm=",
    " lockedg=",
    " dying=",
];

/// How a service logs: each line is one of its shapes, with other digits.
pub struct Logger<'a> {
    shapes: Vec<&'a [u8]>,
    lines: u8,
}

impl<'a> Logger<'a> {
    pub fn new(input: &mut Input<'a>) -> Self {
        let count = 1 + input.below(SHAPES_MAX);
        Self { shapes: (0..count).map(|_| input.text()).collect(), lines: 0 }
    }

    /// A line with its line feed; none if it would be a trace line, or none at all.
    pub fn line(&mut self, shape: usize) -> Option<Vec<u8>> {
        self.lines = self.lines.wrapping_add(1);
        let shape = self.shapes[shape % self.shapes.len()];
        let digit = |at: usize| b'0' + ((usize::from(self.lines) * 7 + at * 3) % 10) as u8;
        let mut line: Vec<u8> = shape.iter().filter(|byte| **byte != b'\n').copied().collect();
        for (at, byte) in line.iter_mut().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
            *byte = digit(at);
        }
        let text = String::from_utf8_lossy(&line);
        // A line of the reader has no CR at its end.
        let usable = !text.trim_end_matches('\r').is_empty()
            && !TAILS.iter().any(|tail| text.contains(tail))
            && !matches!(read(&line), Verdict::Trace(_));
        line.push(b'\n');
        usable.then_some(line)
    }
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let recording = &RECORDINGS[input.below(RECORDINGS.len())];
    let packets = recording.window(input.below(1 << 16), input.below(RECORDS_MAX));
    let mut logger = Logger::new(&mut input);
    let stream = torn(packets, &mut logger, &mut input);
    let mut truth = records(&packets.concat()).0;
    let (found, stats) = records(&stream);
    assert_eq!(stats.records.total(), found.len() as u64);
    assert!(stats.recovered.total() <= stats.records.total());
    for record in found {
        let at = truth.iter().position(|true_one| *true_one == record);
        let at = at.unwrap_or_else(|| {
            panic!(
                "no such record was printed, or not twice: {record:?}\n{}",
                stream.escape_ascii()
            )
        });
        truth.remove(at);
    }
}

/// The stream as a file would have it: the input tells between which pieces lines come.
fn torn(packets: &[Vec<u8>], logger: &mut Logger<'_>, input: &mut Input<'_>) -> Vec<u8> {
    let mut stream: Vec<u8> = (0..WARM_UP_LINES).filter_map(|n| logger.line(n)).flatten().collect();
    let mut next = usize::from(input.byte());
    let mut open = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        if at == next && !input.is_empty() {
            let how = input.byte();
            for n in 0..=usize::from(how & 3) {
                let line = logger.line(usize::from(how >> 2) + n).unwrap_or_default();
                if !ends(&open, &line) {
                    stream.extend(line);
                }
            }
            next = at + 1 + usize::from(input.byte());
        }
        stream.extend_from_slice(packet);
        open.extend_from_slice(packet);
        if packet.ends_with(b"\n") {
            open.clear();
        }
    }
    stream
}

/// Whether a line of the service would end the trace line at hand.
fn ends(open: &[u8], line: &[u8]) -> bool {
    let all = [open, line.strip_suffix(b"\n").unwrap_or_default()].concat();
    matches!(read(&all), Verdict::Trace(_))
}

/// Every record, without the mark that it was torn.
fn records(stream: &[u8]) -> (Vec<Record<Tally>>, TraceStats) {
    let (mut reader, mut stats) = (Reader::<Tally>::of_stream(), TraceStats::default());
    let (mut records, mut lines) = (Vec::new(), Lines::new(64 * 1024));
    let mut emit = |mut record: Record<Tally>| {
        match &mut record {
            Record::Sched(sched) => sched.torn = false,
            Record::Gc(gc) => gc.torn = false,
            Record::SchedDetail(block) => block.torn = false,
            Record::Event(_, torn) => *torn = false,
            Record::Crash(_) => {}
        }
        records.push(record);
    };
    lines.push(stream, reader.sink(&mut stats, &mut emit));
    reader.end(&mut stats, &mut emit);
    (records, stats)
}

/// Each recording, torn by each of the ways in which loggers begin a line.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (n, shape) in seeds::LOG_LINES.iter().enumerate() {
        for recording in 0..12 {
            let first = recording * 3 + u16::try_from(n).unwrap();
            let head = Output::default().below(recording).below(first).below(20).below(1);
            let other = seeds::LOG_LINES[(n + 1) % seeds::LOG_LINES.len()];
            let tears: Vec<u8> = (0..24).map(|i| (i * 37 + n * 11) as u8 % 80).collect();
            all.push(head.text(shape.as_bytes()).text(other.as_bytes()).rest(&tears));
        }
    }
    all
}
