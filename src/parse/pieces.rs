//! Where the runtime's pieces end in a line, and the service's text begins: the grammar, and how the
//! service's lines begin, tell it. The rules stand at [`super::reassemble`].

use super::event;
use super::line::{self, Verdict};
use super::reassemble::{PIPE_BUF, WAYS_MAX, kind, surrounds};
use super::shapes::{self, Shapes};

/// A number is one piece: it does not go on in the next.
pub(super) fn joins(way: &[u8], more: &[u8]) -> bool {
    !(way.last().is_some_and(u8::is_ascii_digit) && more.first().is_some_and(u8::is_ascii_digit))
}

/// The whole line that `line` ends.
pub(super) fn ends(way: &[u8], line: &[u8]) -> Option<Vec<u8>> {
    let all = [way, line].concat();
    (joins(way, line) && matches!(line::read(&all), Verdict::Trace(_))).then_some(all)
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
    let mut pieces = Vec::new();
    for &at in &ends {
        let rest = line.get(at..).unwrap_or_default();
        let text = || [way, line.get(..at).unwrap_or_default()].concat();
        if shapes.knows(rest) {
            if at > 0 && between_digits(line, at) && !shapes::has_fixed_number(rest) {
                return Splits { unsure: true, ..Splits::default() };
            }
            pieces.push(at);
            found.known = true;
        } else if at > 0 && kind(rest).is_some_and(|inner| surrounds(kind(&text()), inner)) {
            return Splits { texts: vec![text()], inner: Some(at), known: true, ..found };
        }
    }
    if !found.known {
        // Pieces with nothing behind them are none.
        pieces = if only_pieces(way, line) { vec![0] } else { doubtful(line, least, &ends) };
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

/// Whether a piece may end before `line[at]`: after a number, before one, or where the runtime
/// prints two texts in a row.
pub(super) fn is_piece_end(way: &[u8], line: &[u8], at: usize) -> bool {
    let Some(last) = at.checked_sub(1).and_then(|last| line.get(last)) else { return true };
    if last.is_ascii_digit() {
        return true;
    }
    let text = [way, line.get(..at).unwrap_or_default()].concat();
    let then = |next: &[u8]| line::is_beginning(&[&text, next].concat());
    let ends_with = |ends: &[&[u8]]| ends.iter().any(|end| text.ends_with(end));
    match text.first() {
        Some(b'g') => then(b"0") || ends_with(&[b" P", b"%", b")"]),
        Some(b'S') => then(b"0") || then(b"[") || ends_with(&[b" ]", b"true", b"false"]),
        Some(b' ') => then(b"0") || ends_with(&[b"true", b"false", b"nil"]) || in_free_text(&text),
        _ => !last.is_ascii_alphabetic() || ends_with(&event::PIECE_ENDS),
    }
}

/// Whether there is nothing but pieces in `line`, as no line of the runtime is before its end.
pub(super) fn only_pieces(way: &[u8], line: &[u8]) -> bool {
    let all = [way, line].concat();
    joins(way, line) && line::is_beginning(&all) && !in_free_text(&all)
}

/// Inside a wait reason or `preemptoff`: any text is a piece there.
pub(super) fn in_free_text(text: &[u8]) -> bool {
    let unended = |opens: &[u8], ends: &[u8]| {
        let found = memchr::memmem::find(text, opens).and_then(|at| text.get(at + opens.len()..));
        found.is_some_and(|free| memchr::memmem::find(free, ends).is_none())
    };
    match text {
        [b' ', b' ', b'G', ..] => unended(b"(", b") m="),
        [b' ', b' ', b'M', ..] => unended(b" preemptoff=", b" locks="),
        _ => false,
    }
}
