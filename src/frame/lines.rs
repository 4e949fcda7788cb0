//! A stream cut anywhere → lines.

use serde::{Deserialize, Serialize};

use crate::model::sink::LineSink;

/// Joins chunks to lines. Memory: at most one line of the longest kept length.
#[derive(Debug)]
pub struct Lines {
    max: usize,
    partial: Partial,
}

/// A line that has not ended yet.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Partial {
    #[serde(with = "crate::model::bytes")]
    carry: Vec<u8>,
    overlong: bool,
}

/// What a push or an end counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Lines that ended, those too long included.
    pub lines: u64,
    /// Lines too long: they are not given out at all. Counted as soon as they are, not at their end.
    pub too_long: u64,
    /// Lines that ended before the first one too long.
    pub before_too_long: u64,
}

impl Counted {
    fn count_too_long(&mut self, ended_before: u64) {
        if self.too_long == 0 {
            self.before_too_long = ended_before;
        }
        self.too_long += 1;
    }
}

impl Lines {
    /// Lines of at most `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, partial: Partial::default() }
    }

    /// The line that has not ended yet, to be saved.
    #[must_use]
    pub const fn partial(&self) -> &Partial {
        &self.partial
    }

    /// Goes on with a line that was saved.
    pub fn restore(&mut self, partial: Partial) {
        self.partial = partial;
    }

    /// Gives each line that ends in `chunk` and that `sink` does not pass over, without its line
    /// feed; nor with the carriage return before it, which a terminal puts there (`docker run -t`).
    #[inline]
    pub fn push(&mut self, chunk: &[u8], mut sink: impl LineSink) -> Counted {
        let mut counted = Counted::default();
        let mut rest = chunk;
        if (self.partial.overlong || !self.partial.carry.is_empty())
            && let Some((piece, after)) = split(rest)
        {
            rest = after;
            self.finish(piece, &mut counted, &mut sink);
        }
        loop {
            let (passed, after) = rest.split_at(sink.passes_over(rest, self.max).min(rest.len()));
            counted.lines += memchr::memchr_iter(b'\n', passed).count() as u64;
            let Some((piece, after)) = split(after) else {
                self.keep(after, &mut counted);
                return counted;
            };
            rest = after;
            if piece.len() <= self.max {
                sink.line(without_return(piece));
            } else {
                counted.count_too_long(counted.lines);
            }
            counted.lines += 1;
        }
    }

    fn finish(&mut self, piece: &[u8], counted: &mut Counted, sink: &mut impl LineSink) {
        self.keep(piece, counted);
        if !self.partial.overlong {
            sink.line(without_return(&self.partial.carry));
        }
        counted.lines += 1;
        self.partial.carry.clear();
        self.partial.overlong = false;
    }

    fn keep(&mut self, piece: &[u8], counted: &mut Counted) {
        if self.partial.overlong {
            return;
        }
        if self.partial.carry.len() + piece.len() > self.max {
            counted.count_too_long(counted.lines);
            self.partial.overlong = true;
            self.partial.carry = Vec::new();
        } else {
            self.partial.carry.extend_from_slice(piece);
        }
    }

    /// The stream ends or breaks: gives the beginning of a line that has no end, and forgets it.
    pub fn cut(&mut self) -> Option<Vec<u8>> {
        self.partial.overlong = false;
        let rest = std::mem::take(&mut self.partial.carry);
        (!rest.is_empty()).then_some(rest)
    }

    /// Bytes of a line that has not ended yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.partial.carry.len()
    }
}

/// The first line, and what comes after its line feed.
#[inline]
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', text)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collect(lines: &mut Lines, chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Counted) {
        let (mut out, mut total) = (Vec::new(), Counted::default());
        for chunk in chunks {
            let counted = lines.push(chunk, |line: &[u8]| out.push(line.to_vec()));
            total.lines += counted.lines;
            total.too_long += counted.too_long;
        }
        (out, total)
    }

    #[test]
    fn a_line_too_long_is_passed_over_and_counted_and_the_next_is_whole() {
        let mut lines = Lines::new(4);
        let (out, counted) =
            collect(&mut lines, &[b"abcd\nab", b"cde", b"f\nxy\n", b"123456\nz\n", b"tail"]);
        assert_eq!(out, [&b"abcd"[..], b"xy", b"z"]);
        assert_eq!((counted.lines, counted.too_long), (5, 2));
        assert_eq!(lines.cut(), Some(b"tail".to_vec()));
    }

    #[test]
    fn a_line_too_long_is_counted_once_wherever_it_is_found_to_be() {
        // Found in its first chunk, in a later one, at its end, and without an end.
        for chunks in [
            &[&b"a\nb\n123456\nc\n"[..]][..],
            &[b"a\nb\n12", b"345", b"6\nc\n"],
            &[b"a\nb\n123", b"456\nc\n"],
            &[b"a\nb\n123456789", b"0", b"1"],
        ] {
            let mut lines = Lines::new(4);
            let mut ended = 0;
            let mut found = Vec::new();
            for chunk in chunks {
                let counted = lines.push(chunk, |_: &[u8]| {});
                found.extend(
                    (counted.too_long > 0)
                        .then_some((ended + counted.before_too_long, counted.too_long)),
                );
                ended += counted.lines;
            }
            assert_eq!(found, [(2, 1)], "{chunks:?}");
        }
    }

    #[test]
    fn a_character_cut_by_a_chunk_is_joined_and_one_at_the_limit_cuts_no_line() {
        let (mut lines, text) = (Lines::new(5), "zuä\nzuää\nok\n".as_bytes());
        for at in 0..text.len() {
            let (out, counted) = collect(&mut lines, &[&text[..at], &text[at..]]);
            assert_eq!(out, ["zuä".as_bytes(), b"ok"], "{at}");
            assert_eq!((counted.lines, counted.too_long), (3, 1), "{at}");
        }
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut lines = Lines::new(1024);
        for _ in 0..10_000 {
            lines.push(&[0; 4096], |_: &[u8]| panic!("no line ended"));
            assert!(lines.partial.carry.capacity() <= 2048);
        }
    }

    proptest! {
        #[test]
        fn where_the_chunks_are_cut_does_not_matter(
            text in prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..300),
            cuts in prop::collection::vec(0usize..300, 0..8),
            max in 1usize..40,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let expected: Vec<Vec<u8>> = {
                let mut all: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
                all.pop();
                all.into_iter().filter(|l| l.len() <= max).map(|l| without_return(l).to_vec()).collect()
            };
            let (out, counted) = collect(&mut Lines::new(max), &chunks);
            prop_assert_eq!(out, expected);
            prop_assert_eq!(counted.lines, text.iter().filter(|b| **b == b'\n').count() as u64);
        }
    }
}
