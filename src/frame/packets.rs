//! Packets of a packet-mode pipe → trace lines and the service's own text.
//!
//! One packet is one write(2). The runtime writes a trace line in many small pieces; the service
//! writes whole log lines. A packet belongs to the open trace line if that line can go on with
//! it, and to the service if not, so that neither is ever torn.

use crate::model::stats::RecordKind;

/// What a trace line begins with, each the first write of its line (src/runtime/proc.go, mgc.go).
const STARTS: [&[u8]; 5] = [b"SCHED ", b"gc ", b"  P", b"  M", b"  G"];

/// A trace line open for so many packets of the service was none: the widest gap seen in a real
/// one was 3,278 packets.
const GAP_MAX_PACKETS: u32 = 100_000;

/// Longest trace line put together: a SCHED line of 1,024 Ps with ten-digit ticks has 15 KiB.
const OPEN_MAX_BYTES: usize = 64 * 1024;

/// What the grammars know.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// Bytes without a line feed can be a trace line, whole or cut.
    pub is_beginning: fn(&[u8]) -> bool,
    /// A line without its line feed is a trace line.
    pub is_whole: fn(&[u8]) -> bool,
}

/// Which lines of the service's stderr are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceLines {
    /// Everything, byte for byte.
    Keep,
    /// Everything but trace lines.
    Strip,
}

/// Takes a stream of packets apart.
#[derive(Debug)]
pub struct Packets {
    grammar: Grammar,
    mode: TraceLines,
    open: Vec<u8>,
    pieces: u32,
    foreign: u32,
    mid_line: bool,
}

impl Packets {
    /// At the beginning of a stream.
    #[must_use]
    pub fn new(grammar: Grammar, mode: TraceLines) -> Self {
        Self { grammar, mode, open: Vec::new(), pieces: 0, foreign: 0, mid_line: false }
    }

    /// Takes one packet. What goes to the service's reader is appended to `passed`; `line` gets
    /// each trace line that is whole now, and each other line of the service, without line feed.
    /// Gives the kind of a trace line that had to be given up.
    pub fn push(
        &mut self,
        packet: &[u8],
        passed: &mut Vec<u8>,
        mut line: impl FnMut(&[u8]),
    ) -> Option<RecordKind> {
        if self.mode == TraceLines::Keep {
            passed.extend_from_slice(packet);
        }
        if STARTS.contains(&packet) && !self.mid_line {
            let given_up = self.give_up(passed);
            self.open.extend_from_slice(packet);
            self.pieces = 1;
            return given_up;
        }
        if !self.open.is_empty() && self.take(packet, &mut line) {
            return None;
        }
        self.service_text(packet, passed, &mut line);
        self.foreign += u32::from(!self.open.is_empty());
        if self.foreign > GAP_MAX_PACKETS { self.give_up(passed) } else { None }
    }

    /// Adds a packet to the open line if it fits there.
    fn take(&mut self, packet: &[u8], line: &mut impl FnMut(&[u8])) -> bool {
        let before = self.open.len();
        let two_numbers = self.open.last().is_some_and(u8::is_ascii_digit)
            && packet.first().is_some_and(u8::is_ascii_digit);
        if two_numbers || before + packet.len() > OPEN_MAX_BYTES {
            return false;
        }
        let (text, ends) = packet.strip_suffix(b"\n").map_or((packet, false), |text| (text, true));
        self.open.extend_from_slice(text);
        let fits = if ends {
            (self.grammar.is_whole)(&self.open)
        } else {
            (self.grammar.is_beginning)(&self.open)
        };
        if !fits {
            self.open.truncate(before);
            return false;
        }
        self.pieces += 1;
        if ends {
            line(&self.open);
            self.close();
        }
        true
    }

    fn close(&mut self) {
        self.open.clear();
        self.pieces = 0;
        self.foreign = 0;
    }

    /// The service's own packet; whole trace lines in it come from a program between the service
    /// and us that buffers.
    fn service_text(&mut self, packet: &[u8], passed: &mut Vec<u8>, line: &mut impl FnMut(&[u8])) {
        let mut rest = packet;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (piece, later) = rest.split_at(end);
            rest = later;
            let whole = piece.strip_suffix(b"\n").filter(|_| !self.mid_line);
            self.mid_line = !piece.ends_with(b"\n");
            let is_trace =
                whole.is_some_and(|text| starts_like_one(text) && (self.grammar.is_whole)(text));
            if self.mode == TraceLines::Strip && !is_trace {
                passed.extend_from_slice(piece);
            }
            if let Some(text) = whole {
                line(text);
            }
        }
    }

    /// Forgets the open line. One piece alone may be the service's, so it is passed on; more
    /// pieces that fit are the runtime's.
    fn give_up(&mut self, passed: &mut Vec<u8>) -> Option<RecordKind> {
        let kind = match self.open.first()? {
            b'S' => RecordKind::Sched,
            b'g' => RecordKind::Gc,
            _ => RecordKind::SchedDetail,
        };
        let is_trace = self.pieces > 1;
        if !is_trace && self.mode == TraceLines::Strip {
            passed.extend_from_slice(&self.open);
        }
        self.close();
        is_trace.then_some(kind)
    }

    /// The stream ends. Gives the kind of a trace line that had to be given up.
    pub fn end(&mut self, passed: &mut Vec<u8>) -> Option<RecordKind> {
        self.mid_line = false;
        self.give_up(passed)
    }
}

fn starts_like_one(line: &[u8]) -> bool {
    STARTS.iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::line::{Verdict, is_beginning, read};

    const GRAMMAR: Grammar =
        Grammar { is_beginning, is_whole: |line| matches!(read(line), Verdict::Trace(_)) };

    fn run(mode: TraceLines, packets: &[&str]) -> (String, Vec<String>, bool) {
        let mut framer = Packets::new(GRAMMAR, mode);
        let (mut passed, mut traces, mut whole) = (Vec::new(), Vec::new(), true);
        for packet in packets {
            let given_up = framer.push(packet.as_bytes(), &mut passed, |line| {
                if (GRAMMAR.is_whole)(line) {
                    traces.push(String::from_utf8_lossy(line).into_owned());
                }
            });
            whole &= given_up.is_none();
        }
        whole &= framer.end(&mut passed).is_none();
        (String::from_utf8(passed).unwrap(), traces, whole)
    }

    const SCHED: [&str; 17] = [
        "SCHED ",
        "8562",
        "ms: gomaxprocs=",
        "2",
        " idleprocs=",
        "0",
        " threads=",
        "5",
        " spinningthreads=",
        "0",
        " idlethreads=",
        "1",
        " runqueue=",
        "-",
        "1",
        " [0",
        " 3]\n",
    ];

    #[test]
    fn pieces_are_joined_and_the_service_loses_nothing() {
        let logs = [
            "2026/11/21 10:00:00 INFO x\n",
            "{\"a\":1}\n",
            "7\n",
            "no line feed",
            "\n",
            " idleprocs=9 said the log\n",
        ];
        for gap in 1..SCHED.len() {
            let mut packets: Vec<&str> = SCHED[..gap].to_vec();
            packets.extend(logs);
            packets.extend(&SCHED[gap..]);
            let (passed, traces, whole) = run(TraceLines::Strip, &packets);
            assert_eq!((passed, whole), (logs.concat(), true), "{gap}");
            assert_eq!(
                traces,
                [
                    "SCHED 8562ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=0 idlethreads=1 runqueue=-1 [0 3]"
                ]
            );
            assert_eq!(run(TraceLines::Keep, &packets).0, packets.concat());
        }
    }

    #[test]
    fn whole_lines_in_one_packet_are_known_too() {
        let line = SCHED.concat();
        let packet = format!("hello\n{line}bye\n");
        let (passed, traces, _) = run(TraceLines::Strip, &[&packet]);
        assert_eq!((passed.as_str(), traces.len()), ("hello\nbye\n", 1));
    }

    #[test]
    fn a_word_of_the_service_that_looks_like_a_start_is_passed_on() {
        let (passed, traces, whole) =
            run(TraceLines::Strip, &["gc ", "is late\n", "SCHED ", "x\n", "gc "]);
        assert_eq!(passed, "is late\ngc x\nSCHED gc ");
        assert!(traces.is_empty() && whole);
    }

    #[test]
    fn text_without_line_feed_passes_at_once() {
        let mut framer = Packets::new(GRAMMAR, TraceLines::Strip);
        let mut passed = Vec::new();
        framer.push(b"Password: ", &mut passed, |_| {});
        assert_eq!(passed, b"Password: ");
    }

    #[test]
    fn a_trace_line_without_end_takes_no_memory() {
        let mut framer = Packets::new(GRAMMAR, TraceLines::Strip);
        let mut passed = Vec::new();
        for piece in &SCHED[..15] {
            framer.push(piece.as_bytes(), &mut passed, |_| {});
        }
        framer.push(b" [ ", &mut passed, |_| {});
        let queues = "0 ".repeat(2000);
        for _ in 0..100 {
            framer.push(queues.as_bytes(), &mut passed, |_| panic!("no line ended"));
            assert!(framer.open.len() <= OPEN_MAX_BYTES);
        }
        assert!(framer.open.len() > OPEN_MAX_BYTES / 2 && passed.len() > OPEN_MAX_BYTES);
    }
}
