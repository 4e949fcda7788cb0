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
//! Where the pieces end is told by the grammar, and by how the service's lines begin ([`Shapes`]).
//! Where that leaves more than one way, all are followed; a line is given out only if a single way
//! leads to a whole one.

use super::line::{self, Verdict};
use super::shapes::Shapes;
use crate::model::stats::RecordKind;

/// Ways followed at once; if there are more, the line is given up.
const WAYS_MAX: usize = 32;

/// Lines of the service inside one trace line: the widest gap seen was 3,278.
const GAP_MAX_LINES: u32 = 20_000;

/// Longest trace line put together: a SCHED line of 1,024 Ps has 15 KiB.
const TEXT_MAX_BYTES: usize = 32 * 1024;

/// What a physical line was.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service's line, and no more.
    Foreign,
    /// It holds pieces of a trace line that is not whole yet.
    Piece,
    /// With it a trace line is whole.
    Whole(Vec<u8>),
}

/// A trace line that is not whole yet.
#[derive(Debug)]
struct Open {
    kind: RecordKind,
    ways: Vec<Vec<u8>>,
    /// The physical line it began with, as long as nothing was added.
    first: Option<Vec<u8>>,
    gap: u32,
}

/// Puts torn lines together.
#[derive(Debug, Default)]
pub struct Reassembler {
    open: Option<Open>,
    shapes: Shapes,
    /// A trace line of this kind was lost, and its last pieces may be still to come: they are not to
    /// be learned as the service's, nor to be the end of another line.
    orphans: Option<RecordKind>,
}

impl Reassembler {
    /// Whether a trace line is not whole yet.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// A whole trace line was read; gives the kind of one that is thereby lost.
    pub fn trace_line(&mut self, kind: RecordKind) -> Option<RecordKind> {
        // The runtime never begins a line of a kind before the last one of it has ended.
        let lost = self.open.as_ref().is_some_and(|open| open.kind == kind);
        let lost = if lost { self.give_up() } else { None };
        self.orphans = None;
        lost
    }

    /// A line that is surely the service's, while no trace line is open.
    #[inline]
    pub fn learn(&mut self, line: &[u8]) {
        if self.orphans.is_none() {
            self.shapes.learn(line);
        }
    }

    /// A line that is no whole trace line. `lost` becomes the kind of a line given up.
    #[inline]
    pub fn other_line(&mut self, line: &[u8], lost: &mut Option<RecordKind>) -> Outcome {
        if self.open.is_none() && start(line).is_none() {
            self.learn(line);
            return Outcome::Foreign;
        }
        self.maybe_torn(line, lost)
    }

    fn maybe_torn(&mut self, line: &[u8], lost: &mut Option<RecordKind>) -> Outcome {
        if let Some(mut open) = self.open.take() {
            let outcome = open.go_on(line, &self.shapes);
            match outcome {
                Step::Whole(text) => return Outcome::Whole(text),
                Step::GivenUp => {
                    self.orphans = Some(open.kind);
                    *lost = Some(open.kind);
                }
                Step::Stays { piece } => {
                    let begins = !piece && start(line).is_some() && !self.shapes.knows(line);
                    if !begins {
                        self.open = Some(open);
                        return if piece { Outcome::Piece } else { Outcome::Foreign };
                    }
                    self.open = Some(open);
                    *lost = self.give_up();
                }
            }
        }
        self.begin(line)
    }

    fn begin(&mut self, line: &[u8]) -> Outcome {
        let Some((kind, length)) = start(line).filter(|_| !self.shapes.knows(line)) else {
            return Outcome::Foreign;
        };
        if self.orphans == Some(kind) {
            // One of both is the service's, and what follows may go on with either.
            return Outcome::Foreign;
        }
        let ways: Vec<Vec<u8>> = splits(&[], line, length, &self.shapes)
            .into_iter()
            .filter(|at| *at >= length)
            .filter_map(|at| line.get(..at).map(<[u8]>::to_vec))
            .collect();
        if ways.is_empty() || ways.len() > WAYS_MAX {
            self.orphans = Some(kind);
            return Outcome::Foreign;
        }
        self.shapes.look_again();
        self.open = Some(Open { kind, ways, first: Some(line.to_vec()), gap: 0 });
        Outcome::Piece
    }

    /// Forgets the open line; gives its kind if it surely was one. In a block that is always so:
    /// one line too few would be a wrong count.
    pub fn give_up(&mut self) -> Option<RecordKind> {
        let open = self.open.take()?;
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
                self.orphans = Some(open.kind);
                Some(open.kind)
            }
        }
    }
}

enum Step {
    Whole(Vec<u8>),
    Stays { piece: bool },
    GivenUp,
}

impl Open {
    fn go_on(&mut self, line: &[u8], shapes: &Shapes) -> Step {
        let mut whole: Vec<Vec<u8>> = Vec::new();
        let mut ways: Vec<Vec<u8>> = Vec::new();
        for way in &self.ways {
            let all = [way.as_slice(), line].concat();
            if joins(way, line) && matches!(line::read(&all), Verdict::Trace(_)) {
                if shapes.knows(line) && !line.is_empty() {
                    // The service's own line could end it as well.
                    return Step::GivenUp;
                }
                whole.push(all);
                continue;
            }
            for at in splits(way, line, 0, shapes) {
                let next = [way.as_slice(), line.get(..at).unwrap_or_default()].concat();
                if !ways.contains(&next) {
                    ways.push(next);
                }
            }
        }
        whole.dedup();
        if let [one] = whole.as_mut_slice() {
            return Step::Whole(std::mem::take(one));
        }
        let too_long = ways.iter().any(|way| way.len() > TEXT_MAX_BYTES);
        if !whole.is_empty() || ways.is_empty() || ways.len() > WAYS_MAX || too_long {
            return Step::GivenUp;
        }
        let piece = ways != self.ways;
        self.gap = if piece { 0 } else { self.gap + 1 };
        if piece {
            self.first = None;
        }
        self.ways = ways;
        if self.gap > GAP_MAX_LINES { Step::GivenUp } else { Step::Stays { piece } }
    }
}

/// The kind of the trace line that `line` may begin, and the length of its first piece.
fn start(line: &[u8]) -> Option<(RecordKind, usize)> {
    match line {
        [b'S', b'C', b'H', b'E', b'D', b' ', ..] => Some((RecordKind::Sched, 6)),
        [b'g', b'c', b' ', ..] => Some((RecordKind::Gc, 3)),
        [b' ', b' ', b'P' | b'M' | b'G', ..] => Some((RecordKind::SchedDetail, 3)),
        _ => None,
    }
}

/// A number is one piece: it does not go on in the next.
fn joins(way: &[u8], more: &[u8]) -> bool {
    !(way.last().is_some_and(u8::is_ascii_digit) && more.first().is_some_and(u8::is_ascii_digit))
}

/// Where the pieces that go on with `way` may end in `line`, and the service's line begin; `least`
/// bytes are surely the runtime's.
fn splits(way: &[u8], line: &[u8], least: usize, shapes: &Shapes) -> Vec<usize> {
    let longest = if joins(way, line) { longest_beginning(way, line, least) } else { 0 };
    let mut surely = Vec::new();
    for at in (0..=longest).filter(|at| *at < line.len() && is_piece_end(way, line, *at)) {
        if shapes.knows(line.get(at..).unwrap_or_default()) {
            surely.push(at);
        }
    }
    if !surely.is_empty() {
        return surely;
    }
    // A line that begins as none did before: with words, it begins where the grammar ends, or the
    // whole line is the service's. With a number, nobody knows, nor after one or a sign, nor in
    // free text.
    let by_words = |at: &usize| {
        let before = at.checked_sub(1).and_then(|last| line.get(last));
        line.get(*at).is_some_and(|first| !first.is_ascii_digit() && *first != b'.')
            && !before.is_some_and(|before| before.is_ascii_digit() || *before == b'-')
            && (*at == 0 || !in_free_text(&[way, line.get(..*at).unwrap_or_default()].concat()))
    };
    let mut maybe = vec![0, longest];
    maybe.dedup();
    maybe.retain(|at| by_words(at) && is_piece_end(way, line, *at));
    maybe
}

/// How much of `line` goes on with `way`; `least` bytes surely do. What goes on does so at every
/// shorter length too.
fn longest_beginning(way: &[u8], line: &[u8], least: usize) -> usize {
    let fits = |length: usize| {
        let all = [way, line.get(..length).unwrap_or_default()].concat();
        line::is_beginning(&all)
    };
    if line.len() <= least || !fits(least + 1) {
        return least;
    }
    let (mut good, mut bad) = (least + 1, line.len() + 1);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if fits(middle) { good = middle } else { bad = middle }
    }
    good
}

/// Whether a piece may end before `line[at]`: not inside a word, nor where a number goes on.
fn is_piece_end(way: &[u8], line: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).and_then(|last| line.get(last)) else { return true };
    if !before.is_ascii_alphabetic() {
        return true;
    }
    let all = [way, line.get(..at).unwrap_or_default()].concat();
    [&b" P"[..], b"  M", b"  G", b"true", b"false", b"nil"].iter().any(|end| all.ends_with(end))
        || in_free_text(&all)
}

/// Whether pieces end inside a wait reason or `preemptoff`, or where one may begin.
fn in_free_text(all: &[u8]) -> bool {
    let open = |begin: &[u8], end: &[u8]| {
        memchr::memmem::find(all, begin).is_some_and(|at| {
            memchr::memmem::find(all.get(at..).unwrap_or_default(), end).is_none()
        })
    };
    all.starts_with(b"  G") && open(b"(", b") m=") || open(b" preemptoff=", b" locks=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lines: &[&str]) -> (Vec<String>, Vec<RecordKind>) {
        let (mut reassembler, mut whole, mut lost) =
            (Reassembler::default(), Vec::new(), Vec::new());
        for line in lines {
            let mut given_up = None;
            if let Outcome::Whole(text) = reassembler.other_line(line.as_bytes(), &mut given_up) {
                whole.push(String::from_utf8(text).unwrap());
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
    fn where_nothing_tells_them_apart_the_record_is_lost() {
        let lines = [
            "gc 8 @0.395s 0%: 0.061+0.6642 items done",
            "+0.002 ms clock, 0.12+0.084/0.29/0+0.004 ms cpu, 48->48->21 MB, 49 MB goal, 0 MB stacks, 0 MB globals, 2 P",
        ];
        let (whole, _) = run(&lines);
        assert!(whole.is_empty() || whole == [GC.replace("0.66+", "0.6642+")], "{whole:?}");
    }

    /// Each was given out once, with the service's words or digits in it.
    #[test]
    fn pieces_before_a_line_of_unknown_shape_are_not_guessed() {
        let number = [
            "SCHED 402ms: gomaxprocs=2 idleprocs=2 threads=8 spinningthreads=0 needspinning=0 idlethreads=3 runqueue=03692581 of them",
            " [ 0 0 ] schedticks=[ 14603 6223 ]",
        ];
        assert!(run(&number).0.is_empty());
        let sign = [
            "SCHED 282ms: gomaxprocs=2 idleprocs=1 threads=- item of a list",
            "7 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=1 [ 0 0 ] schedticks=[ 27493 28554 ]",
        ];
        assert!(run(&sign).0.is_empty());
        for unknown in ["INFO\tstarted", "count=3\tstarted"] {
            let first = format!("  G2: status=4({unknown}");
            assert!(run(&[&first, "force gc (idle)) m=-1 lockedm=-1"]).0.is_empty());
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

    #[test]
    fn a_line_that_begins_like_the_one_at_hand_does_not_get_its_rest() {
        let lines = [
            "2026/11/21 10:00:00 INFO x",
            "gc 6 @2026/11/21 10:00:00 INFO y",
            "gc 0 @home",
            "gc 1 @home",
            "0.193s 0%: 0.025+0.55+0.003 ms clock, 0.050+0/0.17/0.20+0.006 ms cpu, 2->3->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P",
        ];
        assert_eq!(run(&lines), (vec![], vec![RecordKind::Gc]));
    }
}
