//! Packets of a packet-mode pipe → trace lines and the service's own text.
//!
//! One packet is one write(2). The runtime writes a trace line in many small pieces; the service
//! writes whole log lines. A packet belongs to the open trace line if that line can go on with
//! it, and to the service if not, so that neither is ever torn.

use crate::model::stats::RecordKind;

/// What a trace line begins with, each the first write of its line (src/runtime/proc.go, mgc.go,
/// mgcpacer.go, mgcsweep.go, mgcscavenge.go, mheap.go), and its kind.
const STARTS: [(&[u8], RecordKind); 20] = [
    (b"SCHED ", RecordKind::Sched),
    (b"gc ", RecordKind::Gc),
    (b"  P", RecordKind::SchedDetail),
    (b"  M", RecordKind::SchedDetail),
    (b"  G", RecordKind::SchedDetail),
    (b"pacer: ", RecordKind::Pacer),
    (b"pacer: assist ratio=", RecordKind::Pacer),
    (b"pacer: H_m_prev=", RecordKind::Pacer),
    (b"pacer: sweep done at heap size ", RecordKind::Pacer),
    (b"scav ", RecordKind::Scavenge),
    (b"scvg", RecordKind::Scavenge),
    (b"scvg: ", RecordKind::Scavenge),
    (b"scvg: inuse: ", RecordKind::Scavenge),
    (b"forced scvg: ", RecordKind::Scavenge),
    (b"forced scvg: inuse: ", RecordKind::Scavenge),
    (b"init ", RecordKind::Init),
    (b"scan: total ", RecordKind::GcScan),
    (b"scan: class ", RecordKind::GcScan),
    (b"scan: class L ", RecordKind::GcScan),
    (b"checkfinalizers: queue: ", RecordKind::FinalizerQueue),
];

/// A longer write comes as several packets (Linux: a page each).
const PACKET_MAX_BYTES: usize = 4096;

/// A trace line open for so many packets of the service was none: the widest gap seen in a real
/// one was 3,278 packets.
const GAP_MAX_PACKETS: u32 = 100_000;

/// Most trace lines are no longer.
const LINE_BYTES: usize = 192;

/// Longest trace line put together: a SCHED line of 1,024 Ps with ten-digit ticks has 15 KiB.
const OPEN_MAX_BYTES: usize = 64 * 1024;

/// Longest line put together from several packets; what is longer is passed on, but not read.
const TEXT_MAX_BYTES: usize = 64 * 1024;

/// The write that begins the text of a panic, which is the service's and may look like anything.
const PANIC: &[u8] = b"panic: ";

/// The write that ends it: the header of the first goroutine.
const GOROUTINE: &[u8] = b"goroutine ";

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
    open: Option<Open>,
    /// A trace line into which another one was printed: the runtime's lock holds for a print
    /// statement, and a SCHED line has several.
    outer: Option<Open>,
    foreign: u32,
    mid_line: bool,
    percent_alone: Option<bool>,
    /// The beginning of a line of the service, or of a crash, that came in an earlier packet.
    text: Vec<u8>,
    /// The text of a panic is being printed.
    in_panic: bool,
    /// The service's line at hand is longer than a packet: what follows may be anybody's.
    cut: bool,
}

/// A trace line that is not whole yet.
#[derive(Debug)]
struct Open {
    kind: RecordKind,
    text: Vec<u8>,
    pieces: u32,
}

enum Fit {
    No,
    GoesOn,
    Whole,
}

impl Open {
    /// One that another framer began.
    fn resumed(text: &[u8], pieces: u32) -> Option<Self> {
        let (_, kind) = STARTS.iter().find(|(start, _)| text.starts_with(start))?;
        Some(Self { kind: *kind, text: text.to_vec(), pieces })
    }

    /// Adds a packet if it fits.
    fn take(&mut self, packet: &[u8], grammar: Grammar) -> Fit {
        let before = self.text.len();
        let two_numbers = self.text.last().is_some_and(u8::is_ascii_digit)
            && packet.first().is_some_and(u8::is_ascii_digit);
        if two_numbers || before + packet.len() > OPEN_MAX_BYTES {
            return Fit::No;
        }
        let (text, ends) = packet.strip_suffix(b"\n").map_or((packet, false), |text| (text, true));
        // The runtime writes a value apart from its name, so this is the service's: " free=9\n".
        if ends && memchr::memchr(b'=', text).is_some() {
            return Fit::No;
        }
        self.text.extend_from_slice(text);
        let fits =
            if ends { (grammar.is_whole)(&self.text) } else { (grammar.is_beginning)(&self.text) };
        if !fits {
            self.text.truncate(before);
            return Fit::No;
        }
        self.pieces += 1;
        if ends { Fit::Whole } else { Fit::GoesOn }
    }

    /// The runtime ends a line of a printer before that one begins the next.
    fn is_of_printer(&self, kind: RecordKind) -> bool {
        let sched = |kind| matches!(kind, RecordKind::Sched | RecordKind::SchedDetail);
        self.kind == kind || sched(self.kind) && sched(kind)
    }
}

impl Packets {
    /// At the beginning of a stream.
    #[must_use]
    pub fn new(grammar: Grammar, mode: TraceLines) -> Self {
        Self {
            grammar,
            mode,
            open: None,
            outer: None,
            foreign: 0,
            mid_line: false,
            percent_alone: None,
            text: Vec::new(),
            in_panic: false,
            cut: false,
        }
    }

    /// Takes one packet. What goes to the service's reader is appended to `passed`; `line` gets
    /// each trace line that is whole now, and each other line of the service, without line feed.
    /// Gives the kinds of trace lines that had to be given up.
    pub fn push(
        &mut self,
        packet: &[u8],
        passed: &mut Vec<u8>,
        mut line: impl FnMut(&[u8]),
    ) -> Vec<RecordKind> {
        if self.mode == TraceLines::Keep {
            passed.extend_from_slice(packet);
        }
        let start = STARTS.iter().find(|(start, _)| *start == packet);
        if let Some((_, kind)) = start.filter(|_| !self.mid_line || self.cut) {
            return self.begin(packet, *kind, passed);
        }
        if self.take(packet, &mut line) {
            return Vec::new();
        }
        self.service_text(packet, passed, &mut line);
        self.foreign += u32::from(self.open.is_some());
        if self.foreign > GAP_MAX_PACKETS { self.give_up_all(passed) } else { Vec::new() }
    }

    fn begin(&mut self, packet: &[u8], kind: RecordKind, passed: &mut Vec<u8>) -> Vec<RecordKind> {
        let mut text = Vec::with_capacity(LINE_BYTES);
        text.extend_from_slice(packet);
        let before = self.open.replace(Open { kind, text, pieces: 1 });
        self.foreign = 0;
        self.in_panic = false;
        // A print statement has more than one piece, and nothing is printed into it.
        let is_over = |open: &Open| open.pieces == 1 || open.is_of_printer(kind);
        let mut lines = [self.outer.take(), before];
        let stale = lines.each_mut().map(|line| line.take_if(|open| is_over(open)));
        let [outer, before] = lines;
        let (outer, too_deep) = if before.is_some() { (before, outer) } else { (outer, None) };
        self.outer = outer;
        let given_up = stale.into_iter().chain([too_deep]);
        given_up.filter_map(|open| self.give_up(open, passed)).collect()
    }

    /// Adds a packet to the open line if it fits there, or else to the one around it.
    fn take(&mut self, packet: &[u8], line: &mut impl FnMut(&[u8])) -> bool {
        let grammar = self.grammar;
        let taken = [&mut self.open, &mut self.outer]
            .into_iter()
            .any(|slot| take_into(slot, packet, grammar, line));
        if taken && packet.first() == Some(&b'%') {
            self.note_percent(packet);
        }
        if taken && self.open.is_none() {
            self.open = self.outer.take();
            self.foreign = 0;
        }
        taken
    }

    /// The release shows in how gctrace's percent sign is written (src/runtime/mgc.go).
    fn note_percent(&mut self, packet: &[u8]) {
        let of_gc = self.open.as_ref().is_some_and(|open| open.kind == RecordKind::Gc);
        if of_gc && matches!(packet, b"%" | b"%: ") {
            self.percent_alone = Some(packet.len() == 1);
        }
    }

    /// Whether the percent sign of the last gctrace line was a write of its own, told once a line.
    pub fn take_percent_alone(&mut self) -> Option<bool> {
        self.percent_alone.take()
    }

    /// The service's own packet; whole trace lines in it come from a program between the service
    /// and us that buffers.
    fn service_text(&mut self, packet: &[u8], passed: &mut Vec<u8>, line: &mut impl FnMut(&[u8])) {
        match packet {
            PANIC => self.in_panic = true,
            GOROUTINE => self.in_panic = false,
            _ => {}
        }
        let mut rest = packet;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (piece, later) = rest.split_at(end);
            rest = later;
            let begins = !self.mid_line;
            self.mid_line = !piece.ends_with(b"\n");
            self.cut = self.mid_line && packet.len() >= PACKET_MAX_BYTES;
            let whole = piece.strip_suffix(b"\n");
            let is_trace = begins
                && !self.in_panic
                && whole.is_some_and(|text| starts_like_one(text) && (self.grammar.is_whole)(text));
            if self.mode == TraceLines::Strip && !is_trace {
                passed.extend_from_slice(piece);
            }
            match whole {
                Some(text) if begins => line(text),
                Some(text) => {
                    if self.keep(text) {
                        line(&self.text);
                    }
                    self.text.clear();
                }
                None => {
                    self.keep(piece);
                }
            }
        }
    }

    /// Adds to the line that comes in several packets; gives false if it is too long.
    fn keep(&mut self, piece: &[u8]) -> bool {
        let fits = self.text.len() + piece.len() <= TEXT_MAX_BYTES;
        if fits {
            self.text.extend_from_slice(piece);
        } else {
            // Too full for anything, until the line ends.
            self.text.resize(TEXT_MAX_BYTES + 1, 0);
        }
        fits
    }

    /// Forgets a line. One piece alone may be the service's, so it is passed on; more pieces that
    /// fit are the runtime's.
    fn give_up(&self, open: Option<Open>, passed: &mut Vec<u8>) -> Option<RecordKind> {
        let open = open?;
        let is_trace = open.pieces > 1;
        if !is_trace && self.mode == TraceLines::Strip {
            passed.extend_from_slice(&open.text);
        }
        is_trace.then_some(open.kind)
    }

    /// The stream ends. Gives the kinds of trace lines that had to be given up.
    pub fn end(&mut self, passed: &mut Vec<u8>) -> Vec<RecordKind> {
        self.mid_line = false;
        self.in_panic = false;
        self.text.clear();
        self.give_up_all(passed)
    }

    fn give_up_all(&mut self, passed: &mut Vec<u8>) -> Vec<RecordKind> {
        self.foreign = 0;
        let left = [self.outer.take(), self.open.take()];
        left.into_iter().filter_map(|open| self.give_up(open, passed)).collect()
    }

    /// Appends what the next packets would be added to, for [`Packets::resume`]; nothing at the
    /// beginning of a line.
    pub fn begun(&self, begun: &mut Vec<u8>) {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let several = self.open.as_ref().is_some_and(|open| open.pieces > 1);
        let flags = bit(self.mid_line, MID_LINE)
            | bit(several, PIECES)
            | bit(self.outer.is_some(), OUTER)
            | bit(self.in_panic, IN_PANIC);
        if flags == 0 && self.open.is_none() {
            return;
        }
        begun.push(flags);
        if let Some(outer) = &self.outer {
            // Shorter than a line's cap, so its length fits.
            begun.extend_from_slice(&u32::try_from(outer.text.len()).unwrap_or(0).to_le_bytes());
            begun.extend_from_slice(&outer.text);
        }
        if let Some(open) = &self.open {
            begun.extend_from_slice(&open.text);
        }
    }

    /// Goes on where another one was.
    pub fn resume(&mut self, begun: &[u8]) {
        let Some((flags, mut rest)) = begun.split_first() else { return };
        self.mid_line = flags & MID_LINE != 0;
        self.in_panic = flags & IN_PANIC != 0;
        if self.mid_line {
            // The beginning of that line is gone: what is left of it is none.
            self.text.resize(TEXT_MAX_BYTES + 1, 0);
        }
        if flags & OUTER != 0
            && let Some((length, texts)) = rest.split_first_chunk()
            && let Ok(length) = usize::try_from(u32::from_le_bytes(*length))
            && let Some((outer, open)) = texts.split_at_checked(length)
        {
            self.outer = Open::resumed(outer, 2);
            rest = open;
        }
        self.open = Open::resumed(rest, if flags & PIECES == 0 { 1 } else { 2 });
    }
}

fn take_into(
    slot: &mut Option<Open>,
    packet: &[u8],
    grammar: Grammar,
    line: &mut impl FnMut(&[u8]),
) -> bool {
    match slot.as_mut().map_or(Fit::No, |open| open.take(packet, grammar)) {
        Fit::No => false,
        Fit::GoesOn => true,
        Fit::Whole => {
            if let Some(open) = slot.take() {
                line(&open.text);
            }
            true
        }
    }
}

/// Bits of the first byte of what [`Packets::begun`] gives.
const MID_LINE: u8 = 1;
const PIECES: u8 = 2;
const OUTER: u8 = 4;
const IN_PANIC: u8 = 8;

fn starts_like_one(line: &[u8]) -> bool {
    line.first() == Some(&b'G') || STARTS.iter().any(|(start, _)| line.starts_with(start))
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
            whole &= given_up.is_empty();
        }
        whole &= framer.end(&mut passed).is_empty();
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
    fn a_line_printed_between_the_statements_of_another_leaves_both_whole() {
        let inner = [
            "pacer: ",
            "29",
            "% CPU (",
            "25",
            " exp.) for ",
            "1",
            "+",
            "2",
            "+",
            "3",
            " B work (",
            "6",
            " B exp.) ",
            "in ",
            "7",
            " B -> ",
            "8",
            " B (\u{2206}goal ",
            "9",
            ", cons/mark ",
            "0",
            ")",
            "\n",
        ];
        for gap in 2..SCHED.len() {
            let mut packets: Vec<&str> = SCHED[..gap].to_vec();
            packets.extend(["{\"a\":1}\n"]);
            packets.extend(inner);
            packets.extend(["{\"a\":2}\n"]);
            packets.extend(&SCHED[gap..]);
            let (passed, traces, whole) = run(TraceLines::Strip, &packets);
            assert_eq!((passed.as_str(), whole), ("{\"a\":1}\n{\"a\":2}\n", true), "{gap}");
            let expected = [inner.concat(), SCHED.concat()].map(|line| line.trim_end().to_owned());
            assert_eq!(traces, expected, "{gap}");
        }
    }

    #[test]
    fn a_line_that_begins_anew_gives_up_the_one_before() {
        let (passed, traces, whole) = run(
            TraceLines::Strip,
            &["SCHED ", "8", "SCHED ", "9", "init ", "db\n", "init ", "gc "],
        );
        assert!(traces.is_empty() && !whole);
        assert_eq!(passed, "db\ninit init gc ");
    }

    #[test]
    fn a_gc_line_between_two_statements_of_a_sched_line_tears_nothing() {
        let gc: Vec<&str> = "gc |5| @|0.071|s |0|%: |0.018|+|0.46|+|0.071| ms clock, |0.14|+|0|/|0.38|/|0.14|+|0.56| ms cpu, |29|->|29|->|29| MB, |30| MB goal, |8| P|\n".split('|').collect();
        let mut packets = SCHED[..15].to_vec();
        packets.extend(&gc);
        packets.extend(&SCHED[15..]);
        let (passed, traces, whole) = run(TraceLines::Strip, &packets);
        assert_eq!((passed.as_str(), whole), ("", true));
        assert_eq!(traces, [gc.concat().trim_end(), SCHED.concat().trim_end()]);
    }

    #[test]
    fn a_line_longer_than_a_packet_may_be_cut_by_a_trace_line() {
        let (first, second) = ("x".repeat(PACKET_MAX_BYTES), "the rest\n");
        let mut packets = vec![first.as_str()];
        packets.extend(SCHED);
        packets.push(second);
        let (passed, traces, whole) = run(TraceLines::Strip, &packets);
        assert_eq!((passed, traces.len(), whole), (first + second, 1, true));
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
    fn the_text_of_a_panic_is_passed_on_whatever_it_imitates() {
        let line = SCHED.concat();
        let value = format!("line1\n{line}line3");
        let packets = ["panic: ", &value, "\n", "\n", "goroutine ", "1", " [", "running", "]:\n"];
        let (passed, _, _) = run(TraceLines::Strip, &packets);
        assert_eq!(passed, packets.concat());
    }

    #[test]
    fn lines_in_several_packets_are_given_whole() {
        let mut framer = Packets::new(GRAMMAR, TraceLines::Keep);
        let (mut passed, mut lines) = (Vec::new(), Vec::new());
        let long = "x".repeat(TEXT_MAX_BYTES);
        for packet in ["panic: ", "boom", "\n", "a", &long, &long, "\n", "SCHED ", "8", "b", "c\n"]
        {
            framer.push(packet.as_bytes(), &mut passed, |line| lines.push(line.to_vec()));
        }
        assert_eq!(lines, [&b"panic: boom"[..], b"bc"]);
    }

    #[test]
    fn another_one_goes_on_at_any_packet() {
        let mut packets = vec!["2026 first\n", "unfinished "];
        packets.extend(["line\n"].iter().chain(&SCHED[..9]));
        packets.push("2026 in between\n");
        packets.extend(&SCHED[9..]);
        let (expected, traces, _) = run(TraceLines::Strip, &packets);
        assert_eq!(
            (expected.as_str(), traces.len()),
            ("2026 first\nunfinished line\n2026 in between\n", 1)
        );
        for death in 0..=packets.len() {
            let (mut passed, mut found, mut begun) = (Vec::new(), Vec::new(), Vec::new());
            for life in [&packets[..death], &packets[death..]] {
                let mut framer = Packets::new(GRAMMAR, TraceLines::Strip);
                framer.resume(&begun);
                for packet in life {
                    framer.push(packet.as_bytes(), &mut passed, |line| {
                        found.extend((GRAMMAR.is_whole)(line).then(|| line.to_vec()));
                    });
                }
                begun.clear();
                framer.begun(&mut begun);
            }
            assert_eq!(String::from_utf8(passed).unwrap(), expected, "{death}");
            assert_eq!(found, [traces[0].as_bytes()], "{death}");
        }
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
        let length = |framer: &Packets| framer.open.as_ref().map_or(0, |open| open.text.len());
        let queues = "0 ".repeat(2000);
        for _ in 0..100 {
            framer.push(queues.as_bytes(), &mut passed, |_| panic!("no line ended"));
            assert!(length(&framer) <= OPEN_MAX_BYTES);
        }
        assert!(length(&framer) > OPEN_MAX_BYTES / 2 && passed.len() > OPEN_MAX_BYTES);
    }
}
