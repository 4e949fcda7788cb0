//! Lines that say nothing: nearly all of a service's, passed over many at a time.

use std::sync::LazyLock;

use aho_corasick::packed::Searcher;

/// First bytes of the lines of traces ([`super::line::is_candidate`]) and crashes
/// ([`super::dump::is_candidate`]).
const FIRST: [u8; 10] = *b" SgGcfipsW";

/// Whether any line of a trace or a crash begins as this one does: one test of a bit.
#[inline]
#[must_use]
pub const fn may_say_something(line: &[u8]) -> bool {
    matches!(line, [b' ' | b'S' | b'g' | b'G' | b'c' | b'f' | b'i' | b'p' | b's' | b'W', ..])
}

/// A line feed with one of [`FIRST`] after it; none where the processor has no vectors for it.
static BEGINNINGS: LazyLock<Option<Searcher>> =
    LazyLock::new(|| Searcher::new(FIRST.iter().map(|first| [b'\n', *first])));

/// How many bytes at the front of `text`, which begins where a line does, are whole lines that
/// [`may_say_something`] is false for, none longer than `longest`.
///
/// Gives 0 if the first line is none of them, and may give fewer than there are.
#[must_use]
pub fn lines(text: &[u8], longest: usize) -> usize {
    if may_say_something(text) {
        return 0;
    }
    let Some(beginnings) = &*BEGINNINGS else { return 0 };
    let end = match beginnings.find(text) {
        Some(beginning) => Some(beginning.start()),
        None => memchr::memrchr(b'\n', text),
    };
    let whole = end.and_then(|end| text.get(..=end)).unwrap_or_default();
    before_a_long_one(whole, longest)
}

/// The bytes before the first line that is longer than `longest`: where there is none, so many bytes
/// always have a line feed behind them.
fn before_a_long_one(lines: &[u8], longest: usize) -> usize {
    let mut at = 0;
    while lines.len() - at > longest {
        let Some(reach) = lines.get(at..=at + longest) else { break };
        let Some(end) = memchr::memrchr(b'\n', reach) else { return at };
        at += end + 1;
    }
    lines.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{dump, line};
    use super::*;

    /// As [`lines`], one line at a time.
    fn one_by_one(text: &[u8], longest: usize) -> usize {
        text.split_inclusive(|byte| *byte == b'\n')
            .take_while(|line| {
                line.last() == Some(&b'\n') && line.len() - 1 <= longest && !may_say_something(line)
            })
            .map(<[u8]>::len)
            .sum()
    }

    #[test]
    fn lines_are_passed_over_up_to_one_that_says_something() {
        for (text, expected) in [
            (&b""[..], 0),
            (b"ok", 0),
            (b"ok\n", 3),
            (b"\n\nok\ntail", 5),
            (b"gc 1", 0),
            (b"ok\nSCHED 1ms:", 3),
            (b"a longer line\nok\n", 0),
            (b"ok\na longer line\nok\n", 3),
        ] {
            assert_eq!(lines(text, 8), expected, "{:?}", text.escape_ascii().to_string());
        }
    }

    proptest! {
        #[test]
        fn what_may_begin_a_trace_or_a_crash_says_something(first in any::<u8>(), rest in "[ -~]{0,8}") {
            let line = [&[first], rest.as_bytes()].concat();
            let wanted = line::is_candidate(&line) || dump::is_candidate(&line);
            prop_assert!(!wanted || may_say_something(&line));
            prop_assert_eq!(may_say_something(&line), FIRST.contains(&first));
        }

        #[test]
        fn it_passes_over_what_a_look_at_each_line_would(
            text in prop::collection::vec(
                prop_oneof![6 => Just(b'x'), 2 => Just(b'\n'), 1 => Just(b'g'), 1 => any::<u8>()], 0..400),
            longest in 0usize..30,
        ) {
            prop_assert_eq!(lines(&text, longest), one_by_one(&text, longest));
        }
    }
}
