//! Where the runtime's pieces end in a line, and the service's text begins: the grammar, and how the
//! service's lines begin, tell it. The rules stand at [`super::reassemble`].

use super::event;
use super::line::{self, Verdict};
use super::numbers;
use super::reassemble::{PIPE_BUF, WAYS_MAX, kind, surrounds};
use super::release_table::{is_preempt_off, is_reason};
use super::shapes::{self, Shapes};

/// A number is one piece: it does not go on in the next.
pub(super) fn joins(way: &[u8], more: &[u8]) -> bool {
    !(way.last().is_some_and(u8::is_ascii_digit) && more.first().is_some_and(u8::is_ascii_digit))
}

/// The whole line that `line` ends.
pub(super) fn ends(way: &[u8], line: &[u8]) -> Option<Vec<u8>> {
    let all = [way, line].concat();
    let fits = joins(way, line) && matches!(line::read(&all), Verdict::Trace(_));
    (fits && numbers::fit(&all) && free_text(&all).is_none_or(|free| free.is_known()))
        .then_some(all)
}

/// What the pieces in a line make of a way.
#[derive(Debug, Default)]
pub(super) struct Splits {
    /// The way as it goes on.
    pub(super) texts: Vec<Vec<u8>>,
    /// Whole lines that end behind the cut of a long write.
    pub(super) whole: Vec<Vec<u8>>,
    /// Where another trace line begins in it.
    pub(super) inner: Option<usize>,
    /// A line that begins as the service's do stands behind them.
    pub(super) known: bool,
    /// It ends inside digits, nobody knows where: the right way is among none of them.
    pub(super) unsure: bool,
}

/// Which pieces in `line` go on with `way`, up to where a line of the service begins; `least` bytes
/// are surely the runtime's.
pub(super) fn splits(way: &[u8], line: &[u8], least: usize, shapes: &Shapes) -> Splits {
    let longest = if joins(way, line) { longest_beginning(way, line, least) } else { 0 };
    let ends: Vec<usize> =
        (least..=longest).filter(|at| *at < line.len() && is_piece_end(way, line, *at)).collect();
    let mut found = Splits::default();
    let (mut pieces, mut digits_from) = (Vec::new(), None);
    for &at in &ends {
        let rest = line.get(at..).unwrap_or_default();
        let text = || [way, line.get(..at).unwrap_or_default()].concat();
        if shapes.knows(rest) {
            if at > 0 && between_digits(line, at) && !shapes::has_fixed_number(rest) {
                // Nobody knows how many of the digits are the runtime's.
                digits_from = digits_from.or(Some(number_start(line, at)));
                continue;
            }
            pieces.push(at);
            found.known = true;
        } else if at > 0
            && kind(rest).is_some_and(|inner| surrounds(kind(&text()), inner))
            && between_statements(&text())
        {
            if found.known {
                // A line of the service may as well have such words in it.
                return Splits { unsure: true, ..Splits::default() };
            }
            return Splits { texts: vec![text()], inner: Some(at), known: true, ..found };
        }
    }
    if let Some(from) = digits_from {
        pieces = ends.iter().copied().filter(|at| *at >= from || *at == 0 && least == 0).collect();
        found.known = false;
    }
    let sure_to = pieces.last().copied().filter(|_| found.known);
    if digits_from.is_none() && sure_to.is_none_or(|at| goes_on(line, at, &ends)) {
        // Pieces with nothing behind them are rather none, but the service may log an empty line.
        let all = line.len();
        let mut more = if only_pieces(way, line) { vec![0] } else { doubtful(line, least, &ends) };
        more.extend((longest == all && is_piece_end(way, line, all)).then_some(all));
        pieces.extend(more.into_iter().filter(|at| sure_to.is_none_or(|sure| *at > sure)));
    }
    for at in pieces {
        let text = [way, line.get(..at).unwrap_or_default()].concat();
        at_cuts(&text, line, at, &mut found);
        found.texts.push(text);
    }
    found
}

/// A write longer than [`PIPE_BUF`] that begins at `from` may have been cut: follows the pieces at
/// its cuts.
pub(super) fn at_cuts(way: &[u8], line: &[u8], from: usize, found: &mut Splits) {
    for cut in (from..line.len()).step_by(PIPE_BUF).skip(1) {
        let rest = line.get(cut..).unwrap_or_default();
        found.whole.extend(ends(way, rest));
        if !joins(way, rest) || found.texts.len() > WAYS_MAX {
            continue;
        }
        let longest = longest_beginning(way, rest, 0);
        let fits = |at: &usize| *at < rest.len() && is_piece_end(way, rest, *at);
        let ends: Vec<usize> = (0..=longest).filter(fits).collect();
        for at in doubtful(rest, 1, &ends) {
            let text = [way, rest.get(..at).unwrap_or_default()].concat();
            at_cuts(&text, line, cut + at, found);
            found.texts.push(text);
        }
    }
}

/// Whether the grammar goes on behind `from` with words of the runtime: then they may be its own,
/// whatever lines of the service are known to begin like.
fn goes_on(line: &[u8], from: usize, ends: &[usize]) -> bool {
    let last = ends.last().copied().unwrap_or_default();
    shapes::has_runtime_word(line.get(from..last).unwrap_or_default())
}

/// Where a line of the service may begin that begins as none did before: behind the pieces, or
/// before the last of them, or inside its digits, since nobody knows whose they are; or no piece is
/// the runtime's.
pub(super) fn doubtful(line: &[u8], least: usize, ends: &[usize]) -> Vec<usize> {
    let Some(last) = ends.last() else { return Vec::new() };
    let digits = |upto: usize| {
        let before = line.get(..upto).unwrap_or_default();
        before.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count()
    };
    let end_before = |at: usize| {
        let number = at - digits(at);
        ends.iter().rev().copied().find(|end| *end < number.min(at)).unwrap_or_default()
    };
    let before = end_before(*last);
    // The last piece may be a blank that is the service's, and so may be the digits before it.
    let before = if digits(before) > 0 { end_before(before) } else { before };
    ends.iter().copied().filter(|at| *at >= before || *at == 0 && least == 0).collect()
}

/// Where the number begins whose digits end at `at`.
fn number_start(line: &[u8], at: usize) -> usize {
    let before = line.get(..at).unwrap_or_default();
    at - before.iter().rev().take_while(|byte| byte.is_ascii_digit()).count()
}

pub(super) fn between_digits(line: &[u8], at: usize) -> bool {
    let digit = |at: Option<usize>| at.and_then(|at| line.get(at)).is_some_and(u8::is_ascii_digit);
    digit(at.checked_sub(1)) && digit(Some(at))
}

/// How much of `line` goes on with `way`; `least` bytes surely do. What goes on does so at every
/// shorter length too.
pub(super) fn longest_beginning(way: &[u8], line: &[u8], least: usize) -> usize {
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

/// `  P`, `  M`, `  G`.
const BLOCK_START: usize = 3;

/// Whether a piece may end before `line[at]`: after a number, before one, or where the runtime
/// prints two texts in a row.
pub(super) fn is_piece_end(way: &[u8], line: &[u8], at: usize) -> bool {
    let Some(last) = at.checked_sub(1).and_then(|last| line.get(last)) else { return true };
    let text = [way, line.get(..at).unwrap_or_default()].concat();
    if let Some(free) = free_text(&text)
        && (!free.ended || !free.is_known())
    {
        return free.is_known();
    }
    if last.is_ascii_digit() {
        return true;
    }
    // No text before a number ends with a letter but the first of a block's line.
    let then = |next: &[u8]| {
        (!last.is_ascii_alphabetic() || text.len() == BLOCK_START)
            && line::is_beginning(&[&text, next].concat())
    };
    let ends_with = |ends: &[&[u8]]| ends.iter().any(|end| text.ends_with(end));
    match text.first() {
        Some(b'g') => then(b"0") || ends_with(&[b" P", b"%", b")"]),
        Some(b'S') => then(b"0") || then(b"[") || ends_with(&[b" ]", b"true", b"false"]),
        Some(b' ') => then(b"0") || ends_with(&[b"true", b"false", b"nil"]),
        _ => !last.is_ascii_alphabetic() || ends_with(&event::PIECE_ENDS),
    }
}

/// Whether a statement of the runtime's ends here: only there another of its lines may begin
/// (src/runtime/proc.go, `schedtrace`).
fn between_statements(text: &[u8]) -> bool {
    let before_id = |text: &[u8]| {
        [&b" m="[..], b" p=", b" curg=", b" lockedg=", b" lockedm="]
            .iter()
            .any(|field| text.ends_with(field))
    };
    match text {
        [b'S', ..] => memchr::memmem::find(text, b" runqueue=")
            .and_then(|at| text.get(at + b" runqueue=".len()..))
            .is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit)),
        [b' ', ..] => {
            let number = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            let without_id = text.strip_suffix(b"nil").or(text.get(..text.len() - number));
            before_id(text) || without_id.is_some_and(before_id)
        }
        _ => true,
    }
}

/// Whether there is nothing but pieces in `line`, as no line of the runtime is before its end.
pub(super) fn only_pieces(way: &[u8], line: &[u8]) -> bool {
    let all = [way, line].concat();
    joins(way, line) && line::is_beginning(&all) && !in_free_text(&all)
}

/// A wait reason or `preemptoff`, by the grammar any text.
struct FreeText<'a> {
    text: &'a [u8],
    is_reason: bool,
    /// What comes after it was printed too.
    ended: bool,
}

impl FreeText<'_> {
    /// Whether a release prints it; else it may be the service's.
    fn is_known(&self) -> bool {
        let known = if self.is_reason { is_reason } else { is_preempt_off };
        std::str::from_utf8(self.text).is_ok_and(known)
    }
}

fn free_text(text: &[u8]) -> Option<FreeText<'_>> {
    let (opens, ends, is_reason): (&[u8], &[u8], bool) = match text {
        [b' ', b' ', b'G', ..] => (b"(", b") m=", true),
        [b' ', b' ', b'M', ..] => (b" preemptoff=", b" locks=", false),
        _ => return None,
    };
    let at = memchr::memmem::find(text, opens)? + opens.len();
    let free = text.get(at..).unwrap_or_default();
    let end = memchr::memmem::find(free, ends);
    Some(FreeText { text: free.get(..end.unwrap_or(free.len()))?, is_reason, ended: end.is_some() })
}

fn in_free_text(text: &[u8]) -> bool {
    free_text(text).is_some_and(|free| !free.ended)
}
