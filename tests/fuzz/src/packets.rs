//! `frame::packets`: every byte is passed on or part of a trace line, and what the service writes
//! between the pieces of real trace lines neither hides nor changes one.

use godebug_exporter::frame::packets::{Grammar, Packets, TraceLines};
use godebug_exporter::parse::line::{Verdict, is_beginning, read};

use crate::input::{Input, Output};
use crate::recording::RECORDINGS;
use crate::seeds;
use crate::torn::Logger;

const GRAMMAR: Grammar = Grammar { is_beginning, is_whole };

fn is_whole(line: &[u8]) -> bool {
    matches!(read(line), Verdict::Trace(_))
}

/// What came out of the framer.
#[derive(Debug, PartialEq)]
struct Framed {
    passed: Vec<u8>,
    lines: Vec<Vec<u8>>,
    given_up: u32,
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte() % 2 == 0 { any_packets(input) } else { real_packets(input) }
}

/// Packets of any bytes: nothing is lost, nothing is made up, and stripping changes no line.
fn any_packets(mut input: Input<'_>) {
    let mut packets = Vec::new();
    while !input.is_empty() {
        packets.push(input.text().to_vec());
    }
    let all = packets.concat();
    let keep = frame(TraceLines::Keep, &packets);
    let strip = frame(TraceLines::Strip, &packets);
    assert_eq!(keep.passed, all);
    assert_eq!((&keep.lines, keep.given_up), (&strip.lines, strip.given_up));
    let traces: usize =
        strip.lines.iter().filter(|line| is_whole(line)).map(|line| line.len() + 1).sum();
    let accounted = strip.passed.len() + traces;
    assert!(accounted <= all.len(), "something was made up");
    assert!(accounted == all.len() || strip.given_up > 0, "bytes are lost");
}

/// Real pieces with whole log lines between them. The lines end in a full stop: no trace line does,
/// so none of them can end one.
fn real_packets(mut input: Input<'_>) {
    let recording = &RECORDINGS[input.below(RECORDINGS.len())];
    let pieces = recording.window(input.below(1 << 16), input.below(16));
    let mut logger = Logger::new(&mut input);
    let (mut packets, mut logged) = (Vec::new(), Vec::new());
    let mut next = usize::from(input.byte());
    for (at, piece) in pieces.iter().enumerate() {
        if at == next && !input.is_empty() {
            let mut line = logger.line(usize::from(input.byte())).unwrap_or_default();
            line.pop();
            line.extend_from_slice(b".\n");
            logged.extend_from_slice(&line);
            packets.push(line);
            next = at + 1 + usize::from(input.byte());
        }
        packets.push(piece.clone());
    }
    let framed = frame(TraceLines::Strip, &packets);
    assert_eq!(framed.passed, logged, "the service's own text");
    let text = pieces.concat();
    let truth: Vec<&[u8]> =
        text.split(|byte| *byte == b'\n').filter(|line| is_whole(line)).collect();
    let found: Vec<&[u8]> =
        framed.lines.iter().map(Vec::as_slice).filter(|line| is_whole(line)).collect();
    assert_eq!(found, truth);
    assert_eq!(framed.given_up, 0);
}

fn frame(mode: TraceLines, packets: &[Vec<u8>]) -> Framed {
    let mut framer = Packets::new(GRAMMAR, mode);
    let mut framed = Framed { passed: Vec::new(), lines: Vec::new(), given_up: 0 };
    for packet in packets {
        let given_up =
            framer.push(packet, &mut framed.passed, |line| framed.lines.push(line.to_vec()));
        framed.given_up += u32::try_from(given_up.len()).unwrap();
    }
    framed.given_up += u32::try_from(framer.end(&mut framed.passed).len()).unwrap();
    framed
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (n, recording) in RECORDINGS.iter().enumerate() {
        let mut any = Output::default().byte(0);
        for (at, piece) in recording.window(5, 2).iter().enumerate().take(150) {
            if at % 9 == 4 {
                any = any.text(
                    format!("{}\n", seeds::LOG_LINES[at % seeds::LOG_LINES.len()]).as_bytes(),
                );
            }
            any = any.text(piece);
        }
        all.push(any.0);
        for (kind, line) in seeds::LOG_LINES.iter().enumerate() {
            let number = u16::try_from(n).unwrap();
            let head = Output::default().byte(1).below(number).below(3).below(4).below(0);
            let tears: Vec<u8> = (0..16).map(|i| (i * 29 + kind * 7) as u8 % 64).collect();
            all.push(head.text(line.as_bytes()).rest(&tears));
        }
    }
    all
}
