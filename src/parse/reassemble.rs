//! Torn trace lines → whole ones.
//!
//! Without packets only bytes remain: the runtime writes a line in pieces, and whole lines of the
//! service stand between any two of them. So a physical line is some pieces, then either the end
//! of the trace line or a line of the service:
//!
//! ```text
//! SCHED 2026/11/21 10:00:00 INFO request handled
//! 8562026/11/21 10:00:00 INFO request handled
//! ms: gomaxprocs=2 idleprocs=0 …
//! ```
//!
//! # What is certain
//!
//! 1. A piece is a number, or the whole text between two of them: the grammar tells where one may
//!    end (`pieces.rs`). A number is one piece and never goes on in the next.
//! 2. After the pieces comes a line that begins as lines of the service do ([`Shapes`]). Where none
//!    is known, it may be behind the pieces, before the last of them, or inside its digits.
//! 3. Between two digits only a number of a fixed width is believed to be the service's: a date, a
//!    clock, seconds since 1970. Of "312 items" nobody knows whether it is "3" and "12 items".
//!    Numbers must have a form that the runtime prints (`numbers.rs`), free text must be known.
//! 4. Where more than one way is left, all are followed. A line is given out only if one of them
//!    alone leads to a whole line; its form is then held against those that were whole (`Forms`).
//! 5. The runtime prints some lines in several statements, and another of its lines may stand
//!    between two: it is read by itself ([`Outcome::Around`]); the first goes on if it has an end.
//! 6. A write longer than [`PIPE_BUF`] is cut by the kernel after each such many bytes, and pieces
//!    may stand at the cuts: these are looked at. Such a write may hide pieces elsewhere too, and
//!    only those that a line can do without do harm: a sign, a remark. If the gap holds the text
//!    of one that could stand there, the line is given up (`Gap::may_hide`).
//! 7. Pieces with a line of the service behind them are the runtime's: a way that does not go on
//!    with them is none, nor is one with a number that the runtime never prints.
//! 8. Pieces of a line that was lost may still come, and what begins like another of its printer may
//!    get them. So that one is followed, but not given out: it counts as lost too. At its end the lost
//!    line has ended as well, whichever of both got the pieces: the next one is sure again. What
//!    begins with words that only the runtime says is no imitation: the lost line ended before.

use serde::{Deserialize, Serialize};

use super::event;
use super::gap::Gap;
use super::open::{Begun, Open, Step};
use super::pieces::{longest_beginning, only_pieces, splits};
use super::shapes::Shapes;
use crate::model::stats::RecordKind;

/// Ways followed at once; if there are more, the line is given up.
pub(super) const WAYS_MAX: usize = 64;

/// Trace lines inside each other: one between the statements of another.
const DEPTH_MAX: usize = 2;

/// A longer write to a pipe may be cut (pipe(7)); Linux cuts at its pages of this size.
pub const PIPE_BUF: usize = 4096;

/// What a trace line begins with: its first write. A new kind needs a line here, and an arm in
/// `line::is_beginning`.
const STARTS: [(&[u8], RecordKind); 5] = [
    (b"SCHED ", RecordKind::Sched),
    (b"gc ", RecordKind::Gc),
    (b"  P", RecordKind::SchedDetail),
    (b"  M", RecordKind::SchedDetail),
    (b"  G", RecordKind::SchedDetail),
];

/// What a physical line was.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service's line, and no more.
    Foreign,
    /// It holds pieces of a trace line that is not whole yet.
    Piece,
    /// Pieces as before; from this byte on it is another trace line.
    Around(usize),
    /// With it a trace line is whole: one of these.
    Whole(Vec<Vec<u8>>),
}

/// Puts torn lines together.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reassembler {
    /// The innermost last.
    open: Vec<Open>,
    shapes: Shapes,
    /// Lines of these printers were lost, and their last pieces may be still to come: they are not
    /// to be learned as the service's, nor to be the end of a line that is given out.
    orphans: Vec<RecordKind>,
    /// The beginning of a block's line was not believed: if it was one, its pieces follow.
    unsure: bool,
    /// What comes next is the line that pieces before it lean on.
    #[serde(skip)]
    at_inner: bool,
}

impl Reassembler {
    /// Whether a trace line is not whole yet.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Nothing is open, and nothing has to be learned of the service's lines.
    #[must_use]
    pub fn needs_no_line(&self) -> bool {
        self.open.is_empty() && self.shapes.has_learned()
    }

    /// Whether lines of the service have begun like this.
    #[must_use]
    pub fn knows(&self, text: &[u8]) -> bool {
        self.shapes.knows(text)
    }

    /// A whole trace line was read; gives the kind of one that is thereby lost.
    pub fn trace_line(&mut self, kind: RecordKind) -> Option<RecordKind> {
        // The runtime never begins a line of a kind before the last one of it has ended.
        let depth = self.open.iter().position(|open| open.kind == kind);
        let lost = depth.and_then(|depth| {
            let inner = self.open.split_off(depth);
            let around = std::mem::replace(&mut self.open, inner);
            let lost = self.give_up();
            self.open = around;
            lost
        });
        self.unsure = false;
        self.orphans.retain(|orphan| *orphan != printer(kind));
        if std::mem::take(&mut self.at_inner) {
            self.inner_ended(kind);
        }
        lost
    }

    /// Behind the pieces of a line around it stood a trace line indeed.
    fn inner_ended(&mut self, kind: RecordKind) {
        for around in self.open.iter_mut().filter(|around| surrounds(Some(around.kind), kind)) {
            around.leans = false;
        }
    }

    /// What an [`Outcome::Around`] told of was read.
    pub fn inner_was_read(&mut self) {
        self.at_inner = false;
    }

    /// A line was lost before its last piece came.
    fn orphan(&mut self, kind: RecordKind) {
        if !self.orphans.contains(&printer(kind)) {
            self.orphans.push(printer(kind));
        }
    }

    /// A line that is surely the service's, while no trace line is open.
    #[inline]
    pub fn learn(&mut self, line: &[u8]) {
        if self.orphans.is_empty() && !self.unsure {
            self.shapes.learn(line);
        }
    }

    /// A line that is no whole trace line. `lost` becomes the kind of a line given up.
    #[inline]
    pub fn other_line(&mut self, line: &[u8], lost: &mut Option<RecordKind>) -> Outcome {
        if self.open.is_empty() && start(line).is_none() {
            self.learn(line);
            return Outcome::Foreign;
        }
        self.maybe_torn(line, lost)
    }

    fn maybe_torn(&mut self, line: &[u8], lost: &mut Option<RecordKind>) -> Outcome {
        // The innermost goes on first. If one around it does, the inner one was words of the service.
        for depth in (0..self.open.len()).rev() {
            let Some(open) = self.open.get_mut(depth) else { continue };
            let kind = open.kind;
            let outcome = match open.go_on(line, &self.shapes) {
                Step::Stays { piece: false } => continue,
                Step::GivenUp => {
                    *lost = Some(kind);
                    self.orphan(kind);
                    self.open.remove(depth);
                    continue;
                }
                Step::Stays { piece: true } => Outcome::Piece,
                Step::Around(at) if depth + 1 < DEPTH_MAX => {
                    self.at_inner = true;
                    Outcome::Around(at)
                }
                Step::Around(_) => Outcome::Piece,
                Step::Whole(texts) => {
                    let (proves, doubted) = (open.proves, open.doubted);
                    self.open.truncate(depth);
                    if doubted {
                        // The runtime ends a line before it begins the next: the lost one ended too.
                        self.orphans.retain(|orphan| *orphan != printer(kind));
                        *lost = Some(kind);
                        return Outcome::Piece;
                    }
                    if proves {
                        self.inner_ended(kind);
                    }
                    return Outcome::Whole(texts);
                }
            };
            self.open.truncate(depth + 1);
            return outcome;
        }
        self.begin_again(line, lost)
    }

    /// A trace line may begin, also while one is open.
    fn begin_again(&mut self, line: &[u8], lost: &mut Option<RecordKind>) -> Outcome {
        let begun = start(line).and_then(|(kind, length)| self.open_line(kind, length, line));
        let Some(begun) = begun else {
            *lost = lost.or_else(|| self.doubt(line));
            self.unsure |= start(line).is_some_and(|(kind, _)| kind == RecordKind::SchedDetail);
            self.learn(line);
            return Outcome::Foreign;
        };
        let (depth, kind) = (self.open.len(), begun.open.kind);
        let around = self.open.last().map(|last| last.kind);
        if begun.is_short() && self.open.last().is_some_and(Open::is_sure_gc) {
            self.unsure |= kind == RecordKind::SchedDetail;
            return Outcome::Foreign;
        }
        if depth < DEPTH_MAX && around.is_some() && !surrounds(around, kind) || depth == DEPTH_MAX {
            *lost = self.give_up();
        }
        self.begin(begun)
    }

    /// What was not believed to be a beginning may be one: the open line of its kind is over then.
    fn doubt(&mut self, line: &[u8]) -> Option<RecordKind> {
        let (kind, length) = start(line)?;
        let of_kind = self.open.iter().any(|open| open.kind == kind);
        let deep = longest_beginning(&[], line, length) > length && !only_pieces(&[], line);
        if of_kind && deep { self.give_up() } else { None }
    }

    fn begin(&mut self, begun: Begun) -> Outcome {
        self.shapes.look_again();
        let proves = std::mem::take(&mut self.at_inner);
        let printer = printer(begun.open.kind);
        if begun.is_the_runtimes() {
            // So the one lost before has ended.
            self.orphans.retain(|orphan| *orphan != printer);
        }
        // Pieces of the one lost before may seem to be its own.
        let doubted = self.orphans.contains(&printer);
        self.open.push(Open { proves, doubted, ..begun.open });
        let inner = begun.inner.filter(|_| self.open.len() < DEPTH_MAX);
        self.at_inner = inner.is_some();
        inner.map_or(Outcome::Piece, Outcome::Around)
    }

    /// The trace line that `line` begins, if it does.
    fn open_line(&self, kind: RecordKind, length: usize, line: &[u8]) -> Option<Begun> {
        let splits = splits(&[], line, length, &self.shapes);
        let (surely, inner) = (splits.known, splits.inner);
        // Words of the service that imitate a trace are known by having been there before, or by
        // having nothing behind them.
        let imitated = only_pieces(&[], line) || !surely && self.shapes.knows(line);
        let ways = splits.texts;
        if imitated || ways.is_empty() || ways.len() > WAYS_MAX {
            return None;
        }
        let deep = surely && inner.is_none() && ways.iter().all(|way| way.len() > length);
        let open = Open {
            kind,
            ways,
            first: (!deep).then(|| line.to_vec()),
            leans: inner.is_some(),
            proves: false,
            doubted: false,
            gap: Gap::default(),
        };
        Some(Begun { open, inner })
    }

    /// Forgets the open line; gives its kind if it surely was one. In a block that is always so:
    /// one line too few would be a wrong count.
    pub fn give_up(&mut self) -> Option<RecordKind> {
        let open = std::mem::take(&mut self.open).into_iter().next()?;
        let only_start = |way: &Vec<u8>| start(way).is_some_and(|(_, length)| way.len() == length);
        match open.first {
            // Nothing was ever added: more likely words of the service, which are learned.
            Some(first)
                if open.kind != RecordKind::SchedDetail && open.ways.iter().all(only_start) =>
            {
                self.shapes.learn_now(&first);
                None
            }
            _ => {
                self.orphan(open.kind);
                Some(open.kind)
            }
        }
    }
}

/// The kind of the trace line that `line` may begin, and the length of its first piece.
pub fn start(line: &[u8]) -> Option<(RecordKind, usize)> {
    // Nearly every line of a service ends here.
    if !matches!(line.first(), Some(b'S' | b'g' | b' ')) {
        return event::start(line);
    }
    let found = STARTS.iter().find(|(start, _)| line.starts_with(start));
    found.map(|(start, kind)| (*kind, start.len()))
}

/// Whether a line of the kind `inner` may stand between two statements of one of `outer`: a gc line
/// is printed under the runtime's print lock as a whole, the others are not.
pub(super) fn surrounds(outer: Option<RecordKind>, inner: RecordKind) -> bool {
    outer.is_some_and(|outer| outer != RecordKind::Gc) && inner == RecordKind::Gc
}

/// Whether `line` may begin one of the printer of `kind`, whose last one would be over then.
pub(super) fn begins_anew(kind: RecordKind, line: &[u8]) -> bool {
    start(line).is_some_and(|(begun, length)| {
        printer(begun) == printer(kind) && longest_beginning(&[], line, length) > length
    })
}

/// The runtime ends a line of a printer before that one begins the next.
fn printer(kind: RecordKind) -> RecordKind {
    if kind == RecordKind::Sched { RecordKind::SchedDetail } else { kind }
}

pub(super) fn kind(line: &[u8]) -> Option<RecordKind> {
    start(line).map(|(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lines: &[&str]) -> (Vec<String>, Vec<RecordKind>) {
        let (mut reassembler, mut whole, mut lost) =
            (Reassembler::default(), Vec::new(), Vec::new());
        for line in lines {
            let mut given_up = None;
            if let Outcome::Whole(texts) = reassembler.other_line(line.as_bytes(), &mut given_up) {
                whole.extend(texts.into_iter().map(|text| String::from_utf8(text).unwrap()));
            }
            lost.extend(given_up);
        }
        (whole, lost)
    }

    const GC: &str = "gc 8 @0.395s 0%: 0.061+0.66+0.002 ms clock, 0.12+0.084/0.29/0+0.004 ms cpu, 48->48->21 MB, 49 MB goal, 0 MB stacks, 0 MB globals, 2 P";

    #[test]
    fn a_number_and_a_date_are_told_apart_by_the_lines_before() {
        let lines = [
            "2026/11/21 09:59:59 INFO started",
            "gc 8 @0.395s 0%: 0.061+0.662026/11/21 03:06:58.287324 APP g=0 n=395",
            "2026/11/21 03:06:58.287324 APP g=0 n=396",
            "+0.002 ms clock, 0.12+0.084/0.29/0+0.004 ms cpu, 48->48->21 MB, 49 MB goal, 0 MB stacks, 0 MB globals, 2 P",
        ];
        assert_eq!(run(&lines), (vec![GC.to_owned()], vec![]));
    }

    #[test]
    fn a_gc_line_between_the_statements_of_a_sched_line_is_read_by_itself() {
        let mut reassembler = Reassembler::default();
        let mut other = |line: &str| reassembler.other_line(line.as_bytes(), &mut None);
        let first = "SCHED 20ms: gomaxprocs=2 idleprocs=0 threads=5 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=0";
        assert_eq!(other(&format!("{first}{GC}")), Outcome::Around(first.len()));
        reassembler.trace_line(RecordKind::Gc);
        let mut other = |line: &str| reassembler.other_line(line.as_bytes(), &mut None);
        assert_eq!(other(" [1 2]"), Outcome::Whole(vec![format!("{first} [1 2]").into_bytes()]));
    }

    #[test]
    fn pieces_at_the_cut_of_a_long_write_are_found() {
        let (head, rest) = GC.split_at(GC.find("+0.002").unwrap());
        let log = "{\"msg\":\"started ";
        let cut = format!("{log}{}+said and done\"}}", "x".repeat(PIPE_BUF - log.len()));
        let lines = [log, &format!("{head}{log}"), &cut, rest.strip_prefix('+').unwrap()];
        assert_eq!(run(&lines), (vec![GC.to_owned()], vec![]));
    }

    #[test]
    fn a_counter_before_the_date_is_not_believed_to_end_where_it_did() {
        let lines = [
            "2 items done",
            "gc 8 @0.395s 0%: 0.061+0.66+0.002 ms clock, 0.12+0.084/0.29/0+0.004 ms cpu, 48->48->21 MB, 312 items done",
            " MB goal, 0 MB stacks, 0 MB globals, 2 P",
        ];
        let (whole, lost) = run(&lines);
        assert!(whole.len() != 1 && lost.len() < 2, "{whole:?}");
    }

    #[test]
    fn where_nothing_tells_them_apart_the_record_is_lost() {
        let lines = [
            "gc 8 @0.395s 0%: 0.061+0.6642 items done",
            "+0.002 ms clock, 0.12+0.084/0.29/0+0.004 ms cpu, 48->48->21 MB, 49 MB goal, 0 MB stacks, 0 MB globals, 2 P",
        ];
        let (whole, _) = run(&lines);
        assert!(whole.len() > 1, "no one of them is certain: {whole:?}");
    }

    /// Each was given out once, with the service's words or digits in it.
    #[test]
    fn pieces_before_a_line_of_unknown_shape_are_not_guessed() {
        let number = [
            "SCHED 402ms: gomaxprocs=2 idleprocs=2 threads=8 spinningthreads=0 needspinning=0 idlethreads=3 runqueue=13692581 of them",
            " [ 0 0 ] schedticks=[ 14603 6223 ]",
        ];
        assert_ne!(run(&number).0.len(), 1);
        let sign = [
            "SCHED 282ms: gomaxprocs=2 idleprocs=1 threads=- item of a list",
            "7 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=1 [ 0 0 ] schedticks=[ 27493 28554 ]",
        ];
        assert_ne!(run(&sign).0.len(), 1, "nobody knows whose the minus is");
        for unknown in ["INFO\tstarted", "count=3\tstarted"] {
            let first = format!("  G2: status=4({unknown}");
            let found = run(&[&first, "force gc (idle)) m=-1 lockedm=-1"]).0;
            // A reason is known as a whole.
            assert_eq!(found, ["  G2: status=4(force gc (idle)) m=-1 lockedm=-1"]);
        }
    }

    /// The rest of a lost line was learned as a line of the service, and the next number was cut there.
    #[test]
    fn pieces_of_a_lost_line_are_not_learned_as_the_services() {
        let lines = [
            "  P0: status=gc 0 @",
            "0gc 6 @",
            "0gc 9 @",
            "gc 3 @0.102s 0%: 0.048+0.77+0.002 ms clock, 0.096+0/0.14/0.18+0.005gc 5 @",
            " ms cpu, 3->3->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P",
        ];
        assert!(run(&lines).0.iter().all(|line| line.contains("0.18+0.005 ms cpu")));
    }

    /// Such a piece became a beginning of the service's lines, and digits before it the runtime's.
    #[test]
    fn after_a_beginning_that_was_not_believed_nothing_is_learned_until_a_whole_line() {
        let mut reassembler = Reassembler::default();
        let piece = b" locks=92581 locks=4";
        assert_eq!(reassembler.other_line(b"  M5: p=", &mut None), Outcome::Foreign);
        reassembler.learn(piece);
        assert!(!reassembler.knows(piece));
        reassembler.trace_line(RecordKind::SchedDetail);
        reassembler.learn(piece);
        assert!(reassembler.knows(piece));
    }

    #[test]
    fn digits_before_a_blank_may_be_the_services() {
        let lines = [
            "SCHED 47ms: gomaxprocs=2 idleprocs=0 threads=70369 $rest='/14/0",
            " spinningthreads=0 needspinning=1 idlethreads=1 runqueue=1 [ 0 0 ] schedticks=[ 14603 6223 ]",
        ];
        assert_ne!(run(&lines).0.len(), 1);
    }

    #[test]
    fn a_line_that_begins_like_the_one_at_hand_does_not_get_its_rest() {
        let lines = [
            "2026/11/21 10:00:00 INFO x",
            "gc 6 @2026/11/21 10:00:00 INFO y",
            "gc 0 @home",
            "gc 1 @home",
            "0.193s 0%: 0.025+0.55+0.003 ms clock, 0.050+0/0.17/0.20+0.006 ms cpu, 2->3->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P",
        ];
        // What began meanwhile counts as lost: it could have been the runtime's.
        assert_eq!(run(&lines), (vec![], vec![RecordKind::Gc; 3]));
    }

    const SCHED: &str = "SCHED 402ms: gomaxprocs=2 idleprocs=2 threads=8 spinningthreads=0 needspinning=0 idlethreads=3 runqueue=";
    const QUEUES: &str = " [ 0 0 ] schedticks=[ 14603 6223 ]";

    /// The right way was given up where nobody knew the place between digits, and a wrong one stayed.
    #[test]
    fn a_counter_before_a_known_beginning_leaves_every_way_or_none() {
        let lines = ["2 items done", &format!("{SCHED}12 items done"), QUEUES];
        let (whole, _) = run(&lines);
        assert!(whole.len() > 1 && whole.contains(&format!("{SCHED}1{QUEUES}")), "{whole:?}");
    }

    /// Digits before the service's "gc 3 @" were the runtime's, because of what stood behind them.
    #[test]
    fn words_that_imitate_an_inner_line_prove_no_digits() {
        let lines = [
            "14703692581gc 3 @",
            &format!("{SCHED}14703692581gc 3 @"),
            "58147036925gc 7 @",
            QUEUES,
        ];
        assert!(run(&lines).0.iter().all(|line| !line.contains("14703692581")));
        let unknown = [&format!("{SCHED}147gc 3 @home") as &str, QUEUES];
        assert_ne!(run(&unknown).0.len(), 1, "that inner line has no end");
    }

    /// "force " was the piece, and "gc (idle)) m=nil" another line.
    #[test]
    fn no_line_begins_inside_a_statement() {
        let lines =
            ["2026/11/21 10:00:00 x", "  G2: status=4(force gc (idle)) m=2026/11/21 10:00:00 y"];
        let mut reassembler = Reassembler::default();
        let outcomes = lines.map(|line| reassembler.other_line(line.as_bytes(), &mut None));
        assert_eq!(outcomes, [Outcome::Foreign, Outcome::Piece]);
    }

    /// The right way had a reason with words of the service behind it, and "()" was given out.
    #[test]
    fn a_wait_reason_ends_where_a_known_one_does() {
        let lines = [
            "  G22: status=4(words of it",
            "GC worker (idle)ltick=gc = @70369/=+1",
            ") m=-1 lockedm=-1",
        ];
        assert_ne!(run(&lines).0.len(), 1);
    }

    /// A service may log an empty line: then the line ends behind the reason, or before it.
    #[test]
    fn pieces_with_nothing_behind_them_may_be_the_runtimes() {
        assert_ne!(run(&["  G1: status=4(select", ") m=nil lockedm=nil"]).0.len(), 1);
    }

    /// Of a line that was learned by mistake, " preemptoff=", the words after it were the service's.
    #[test]
    fn known_words_in_the_middle_of_the_runtimes_do_not_end_them() {
        let mut reassembler = Reassembler::default();
        reassembler.learn(b" mallocing=hello");
        let line = "  M2: p=-1 curg=19 mallocing=0 throwing=0 preemptoff= locks=0 dying=0 spinning=false blocked=true581 s=x";
        reassembler.other_line(line.as_bytes(), &mut None);
        let whole = reassembler.other_line(b" lockedg=-1", &mut None);
        let expected = format!("{} lockedg=-1", line.strip_suffix("581 s=x").unwrap());
        assert!(matches!(whole, Outcome::Whole(texts) if texts == [expected.into_bytes()]));
    }

    /// "SCHED" was an unknown field of the line before, which got the rest of the next.
    #[test]
    fn the_next_line_of_a_printer_is_no_piece_of_the_last() {
        let open = "SCHED 77ms: gomaxprocs=2 idleprocs=1 threads=7 spinningthreads=0 needspinning= mallocing=7";
        let next = "SCHED 87ms: gomaxprocs=2 idleprocs=2 threads=7 spinningthreads=0 needspinning= mallocing=8";
        let lines = [open, next, "0 idlethreads=2 runqueue=0 [ 0 0 ] schedticks=[ 14278 16 ]"];
        assert!(!run(&lines).0.iter().any(|line| line.contains("SCHED 77ms")));
    }

    /// Each later line was lost too, until one was not torn.
    #[test]
    fn the_second_line_after_a_lost_one_is_put_together() {
        let log = "2026/11/21 10:00:00 INFO x";
        let cycle = |n: u32| GC.replace("gc 8 @0.395s", &format!("gc {n} @0.{n}95s"));
        let (lost, next, last) = (cycle(5), cycle(6), cycle(7));
        let [lost, next, halves] =
            [&lost, &next, &last].map(|line| line.split_once("+0.002").unwrap());
        let lines = [
            log,
            // Its rest was in a line that was too long to be kept.
            &format!("{}{log}", lost.0),
            &format!("{}{log}", next.0),
            &format!("+0.002{}", next.1),
            &format!("{}{log}", halves.0),
            &format!("+0.002{}", halves.1),
        ];
        assert_eq!(run(&lines), (vec![last.clone()], vec![RecordKind::Gc; 2]));
    }

    /// The service's "gc 8 @" came when "gc 6" was lost, and got its rest.
    #[test]
    fn what_begins_after_a_lost_line_is_not_given_out_with_its_rest() {
        let lines = [
            "gc 3 @M",
            "[0 1] m",
            "gc 6gc 4 @M",
            "[5 1] m",
            "gc 8 @M",
            "[9 5] m",
            " @0.193s 0%: 0.025+0.55+0.003 ms clock, 0.050+0/0.17/0.20+0.006 ms cpu, 2->3->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P",
        ];
        let (whole, _) = run(&lines);
        assert!(whole.iter().all(|line| !line.starts_with("gc 8")), "{whole:?}");
    }

    /// A reason may be hidden in the long line; the pieces behind it stand at another one's cut.
    #[test]
    fn an_empty_wait_reason_is_not_believed_behind_a_long_line() {
        let (log, rest) = ("{\"msg\":\"started ", ") m=nil lockedm=nil");
        let long = "x".repeat(2 * PIPE_BUF);
        let cut = format!("{log}{}{rest}", "x".repeat(PIPE_BUF - log.len()));
        for end in [rest, &cut] {
            let first = format!("  G2: status=4({log}");
            assert_ne!(run(&[log, &first, &long, end]).0.len(), 1, "{end:.20}");
            assert_eq!(run(&[log, &first, log, rest]).0.len(), 1);
        }
    }

    /// If "  G7" was the runtime's, so is what follows.
    #[test]
    fn nothing_is_learned_behind_words_that_a_gctrace_line_outlives() {
        let (mut reassembler, log) = (Reassembler::default(), b"2026/11/21 10:00:00 INFO x");
        let begun = [b"gc 8 @0.395s ", &log[..]].concat();
        for line in [&log[..], &begun, b"  G7: is late", b" is later"] {
            reassembler.other_line(line, &mut None);
        }
        assert!(!reassembler.knows(b" is later") && reassembler.is_open());
    }

    /// With each number that the runtime never prints left out, it looked like the service's.
    #[test]
    fn a_line_that_may_begin_with_a_piece_is_not_learned() {
        let mut reassembler = Reassembler::default();
        let line = b"0258 s=words";
        for line in [&b"  P1: status=0 schedtick=11 syscalltick=18 m=-1 runqsize=gc = @"[..], line]
        {
            reassembler.other_line(line, &mut None);
        }
        assert!(!reassembler.knows(line));
    }

    /// At the cut stand the last pieces, up to the end of the line: no way without them is left.
    #[test]
    fn the_end_of_a_trace_line_at_the_cut_of_a_long_write_is_believed() {
        let (head, rest) = GC.split_at(GC.find("0 MB stacks").unwrap());
        let log = "{\"msg\":\"started ";
        let cut = format!("{log}{}{rest}", "x".repeat(PIPE_BUF - log.len()));
        assert_eq!(run(&[log, &format!("{head}{log}"), &cut]).0, [GC]);
    }

    /// The way without the piece at the cut stayed until there were too many.
    #[test]
    fn a_way_that_leaves_out_pieces_before_a_known_beginning_ends() {
        let log = "{\"msg\":\"started ";
        let (head, rest) = GC.split_at(GC.find("0.12+").unwrap());
        let cut = format!("{log}{}0.12more of it", "x".repeat(PIPE_BUF - log.len()));
        let lines = [
            log,
            &format!("{head}{log}"),
            &cut,
            &format!("+{log}"),
            rest.strip_prefix("0.12+").unwrap(),
        ];
        let (whole, _) = run(&lines);
        assert!(whole.contains(&GC.to_owned()), "{whole:?}");
        assert!(whole.iter().all(|line| !line.contains("clock, 0.084")), "{whole:?}");
    }

    /// A gctrace line that had nothing to do with them ended what digits before them leant on.
    #[test]
    fn another_inner_line_proves_no_digits() {
        for torn in [false, true] {
            let mut reassembler = Reassembler::default();
            let mut other = |line: &str| reassembler.other_line(line.as_bytes(), &mut None);
            other("2026/11/21 10:00:00 INFO x");
            let _around = other(&format!("{SCHED}147gc 3 @home"));
            let _inner = other("gc 3 @home");
            if torn {
                let (head, rest) = GC.split_at(GC.find("+0.002").unwrap());
                other(&format!("{head}2026/11/21 10:00:00 INFO x"));
                other(rest);
            } else {
                reassembler.trace_line(RecordKind::Gc);
            }
            let outcome = reassembler.other_line(QUEUES.as_bytes(), &mut None);
            assert!(!matches!(&outcome, Outcome::Whole(texts) if texts.len() == 1), "{torn}");
        }
    }

    #[test]
    fn a_line_that_says_the_runtimes_words_is_believed_after_a_lost_one() {
        let log = "2026/11/21 10:00:00 INFO x";
        let lines = [log, "  G7: is late", &format!("{SCHED}1{log}"), QUEUES];
        assert_eq!(run(&lines), (vec![format!("{SCHED}1{QUEUES}")], vec![RecordKind::SchedDetail]));
        // This much a service may say.
        let lines = [log, "  G7: is late", &format!("SCHED 7{log}"), "ms: gomaxprocs=", log];
        let (head, rest) = SCHED.split_at(SCHED.find("2 idle").unwrap());
        let whole = format!("{rest}1{QUEUES}");
        assert!(
            head.ends_with("gomaxprocs=") && run(&[&lines[..], &[&whole]].concat()).0.is_empty()
        );
    }

    #[test]
    fn a_gctrace_line_outlives_words_that_imitate_another() {
        let (head, rest) = GC.split_at(GC.find("+0.002").unwrap());
        let log = "2026/11/21 10:00:00 INFO x";
        let (first, second) = head.split_at(6);
        let words = "  G7: is late";
        let (begun, more) = (format!("{first}{log}"), format!("{second}{log}"));
        assert_eq!(run(&[log, &begun, &more, words, log, rest]).0, [GC]);
        // Also inside what may be a line of a block, and where it began with a line behind it.
        assert_eq!(run(&[log, words, &begun, &more, words, log, rest]).0, [GC]);
        assert_eq!(run(&[log, &format!("{head}{log}"), words, rest]).0, [GC]);
    }
}
