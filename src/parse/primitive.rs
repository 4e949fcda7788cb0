//! The words that the runtime's lines are made of: numbers, ids, flags, unknown fields.
//!
//! Each works on whole lines and, in nom's streaming mode, on the beginning of one.

use nom::branch::alt;
use nom::combinator::{opt, recognize, value};
use nom::multi::many0_count;
use nom::{Err, IsStreaming, Mode, Needed, OutputMode, PResult, Parser};

use crate::model::record::Milli;

/// A grammar over bytes; who calls it asks only whether it fits, so errors carry nothing.
pub trait Grammar<'a, O>: Parser<&'a [u8], Output = O, Error = ()> {}
impl<'a, O, P: Parser<&'a [u8], Output = O, Error = ()>> Grammar<'a, O> for P {}

/// Longest free text inside a line (wait reason, preemptoff, unknown field), in bytes: the
/// longest the runtime has is 41.
const FREE_TEXT_MAX: usize = 128;

/// Decimals above this many thousandths are no times: a negative duration printed as unsigned.
const MILLI_MAX: u64 = 1 << 53;

fn no<OM: OutputMode, T>() -> Result<T, Err<(), <OM::Error as Mode>::Output<()>>> {
    Err(Err::Error(OM::Error::bind(|| ())))
}

fn more<OM: OutputMode, T>() -> Result<T, Err<(), <OM::Error as Mode>::Output<()>>> {
    if OM::Incomplete::is_streaming() {
        Err(Err::Incomplete(Needed::Unknown))
    } else {
        no::<OM, T>()
    }
}

/// Reads digits; gives the number and how many there were. `None`: it does not fit 64 bits.
fn digits(input: &[u8]) -> Option<(u64, usize)> {
    let mut number: u64 = 0;
    let mut count = 0;
    for &byte in input {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
        count += 1;
    }
    Some((number, count))
}

/// Whether bytes that end inside a number may go on.
fn at_end<OM: OutputMode>(input: &[u8], used: usize) -> bool {
    OM::Incomplete::is_streaming() && used == input.len()
}

struct Unsigned;

impl<'a> Parser<&'a [u8]> for Unsigned {
    type Output = u64;
    type Error = ();

    #[inline]
    fn process<OM: OutputMode>(&mut self, input: &'a [u8]) -> PResult<OM, &'a [u8], u64, ()> {
        let Some((number, used)) = digits(input) else { return no::<OM, _>() };
        if at_end::<OM>(input, used) {
            return more::<OM, _>();
        }
        match input.get(used..) {
            Some(rest) if used > 0 => Ok((rest, OM::Output::bind(|| number))),
            _ => no::<OM, _>(),
        }
    }
}

struct Thousandths;

impl<'a> Parser<&'a [u8]> for Thousandths {
    type Output = Milli;
    type Error = ();

    #[inline]
    fn process<OM: OutputMode>(&mut self, input: &'a [u8]) -> PResult<OM, &'a [u8], Milli, ()> {
        let Some((whole, used)) = digits(input) else { return no::<OM, _>() };
        if at_end::<OM>(input, used) {
            return more::<OM, _>();
        }
        let (part, places, used) = match input.get(used) {
            Some(b'.') if used > 0 => {
                let tail = input.get(used + 1..).unwrap_or_default();
                let Some((part, places)) = digits(tail) else { return no::<OM, _>() };
                (part, places, used + 1 + places)
            }
            _ if used > 0 => (0, 3, used),
            _ => return no::<OM, _>(),
        };
        if at_end::<OM>(input, used) {
            return more::<OM, _>();
        }
        let scale = match places {
            1 => 100,
            2 => 10,
            3 => 1,
            _ => return no::<OM, _>(),
        };
        let total = whole.checked_mul(1000).and_then(|n| n.checked_add(part * scale));
        match (total, input.get(used..)) {
            (Some(n), Some(rest)) if n <= MILLI_MAX => Ok((rest, OM::Output::bind(|| Milli(n)))),
            _ => no::<OM, _>(),
        }
    }
}

/// nom's own compares byte by byte; this one is a few instructions, since the compiler knows the text.
struct Tag(&'static [u8]);

impl<'a> Parser<&'a [u8]> for Tag {
    type Output = &'a [u8];
    type Error = ();

    #[inline]
    fn process<OM: OutputMode>(&mut self, input: &'a [u8]) -> PResult<OM, &'a [u8], &'a [u8], ()> {
        match input.strip_prefix(self.0) {
            Some(rest) => Ok((rest, OM::Output::bind(|| self.0))),
            None if self.0.starts_with(input) => more::<OM, _>(),
            None => no::<OM, _>(),
        }
    }
}

/// Free text up to a mark, without control characters.
struct Until(&'static [u8]);

impl<'a> Parser<&'a [u8]> for Until {
    type Output = &'a str;
    type Error = ();

    #[inline]
    fn process<OM: OutputMode>(&mut self, input: &'a [u8]) -> PResult<OM, &'a [u8], &'a str, ()> {
        let Some((first, more_of_it)) = self.0.split_first() else { return no::<OM, _>() };
        let window = input.get(..FREE_TEXT_MAX + self.0.len()).unwrap_or(input);
        let mut rest = window;
        while let Some((byte, tail)) = rest.split_first() {
            if byte == first && tail.starts_with(more_of_it) {
                let (text, rest) = input.split_at(window.len() - rest.len());
                return match std::str::from_utf8(text) {
                    Ok(text) => Ok((rest, OM::Output::bind(|| text))),
                    Err(_) => no::<OM, _>(),
                };
            }
            if byte.is_ascii_control() {
                return no::<OM, _>();
            }
            rest = tail;
        }
        if window.len() == input.len() { more::<OM, _>() } else { no::<OM, _>() }
    }
}

/// One word of letters, digits and `_`.
struct Word;

impl<'a> Parser<&'a [u8]> for Word {
    type Output = &'a [u8];
    type Error = ();

    #[inline]
    fn process<OM: OutputMode>(&mut self, input: &'a [u8]) -> PResult<OM, &'a [u8], &'a [u8], ()> {
        let used = input.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        if at_end::<OM>(input, used) {
            return more::<OM, _>();
        }
        match input.split_at_checked(used) {
            Some((word, rest)) if used > 0 && used <= FREE_TEXT_MAX => {
                Ok((rest, OM::Output::bind(|| word)))
            }
            _ => no::<OM, _>(),
        }
    }
}

/// A text that the line has as it is.
pub fn tag<'a>(text: &'static [u8]) -> impl Grammar<'a, &'a [u8]> {
    Tag(text)
}

/// An unsigned number that fits `T`.
pub fn unsigned<'a, T: TryFrom<u64>>() -> impl Grammar<'a, T> {
    Unsigned.map_opt(|n| T::try_from(n).ok())
}

/// A number that may be negative.
pub fn signed<'a>() -> impl Grammar<'a, i64> {
    (opt(tag(b"-")), Unsigned).map_opt(|(minus, n)| {
        let n = i64::try_from(n).ok()?;
        Some(if minus.is_some() { -n } else { n })
    })
}

/// A decimal with at most three places.
pub fn milli<'a>() -> impl Grammar<'a, Milli> {
    Thousandths
}

/// `nil` (Go 1.20 on) or −1 (before): none; else an id.
pub fn maybe_id<'a>() -> impl Grammar<'a, Option<i64>> {
    alt((value(None, tag(b"nil")), signed().map(|id| (id >= 0).then_some(id))))
}

/// `true`/`false` (Go 1.20 on) or 1/0 (before).
pub fn flag<'a>() -> impl Grammar<'a, bool> {
    let yes = value(true, alt((tag(b"true"), tag(b"1"))));
    let no = value(false, alt((tag(b"false"), tag(b"0"))));
    alt((yes, no))
}

/// Text up to (not including) `mark`.
pub fn until<'a>(mark: &'static [u8]) -> impl Grammar<'a, &'a str> {
    Until(mark)
}

/// A word.
pub fn word<'a>() -> impl Grammar<'a, &'a [u8]> {
    Word
}

/// Fields ` key=value` that no known release prints; gives them as printed.
pub fn unknown_fields<'a>() -> impl Grammar<'a, &'a [u8]> {
    recognize(many0_count(unknown_field()))
}

fn unknown_field<'a>() -> impl Grammar<'a, ()> {
    let list = value((), (tag(b"["), until(b"]"), tag(b"]")));
    let number = value((), (opt(tag(b"-")), Unsigned));
    let scalar = value((), Word);
    value((), (tag(b" "), Word, tag(b"="), alt((list, number, scalar))))
}

/// A field by name, with the unknown fields before it.
pub fn field<'a, O>(
    name: &'static str,
    inner: impl Grammar<'a, O>,
) -> impl Grammar<'a, (&'a [u8], O)> {
    let expected = tag(name.as_bytes()).map(|_| &b""[..]);
    let late = (recognize(unknown_before(name.as_bytes())), tag(name.as_bytes()))
        .map(|(skipped, _)| skipped);
    (alt((expected, late)), inner)
}

/// Unknown fields that stand before ` name=`.
fn unknown_before<'a>(name: &'static [u8]) -> impl Grammar<'a, usize> {
    many0_count(nom::sequence::preceded(nom::combinator::not(tag(name)), unknown_field()))
}

/// Splits what `unknown_fields` gave into one text a field.
pub fn split_unknown(spans: &[&[u8]]) -> Vec<String> {
    let mut fields = Vec::new();
    for span in spans.iter().filter(|span| !span.is_empty()) {
        let text = String::from_utf8_lossy(span);
        let mut open = false;
        for part in text.split(' ').filter(|part| !part.is_empty()) {
            match fields.last_mut() {
                Some(last) if open => {
                    let last: &mut String = last;
                    last.push(' ');
                    last.push_str(part);
                }
                _ => fields.push(part.to_owned()),
            }
            open = (open || part.contains('[')) && !part.contains(']');
        }
    }
    fields
}

/// What a grammar makes of a whole line; `None` where it does not fit.
pub fn whole<'a, O>(mut grammar: impl Grammar<'a, O>, line: &'a [u8]) -> Option<O> {
    match grammar.parse_complete(line) {
        Ok(([], parsed)) => Some(parsed),
        _ => None,
    }
}

/// Whether a line begins with what a grammar takes.
pub fn fits<'a, O>(mut grammar: impl Grammar<'a, O>, line: &'a [u8]) -> bool {
    grammar.parse_complete(line).is_ok()
}

/// Whether `bytes` fit the grammar so far: a whole line, or the beginning of one.
pub fn begins<'a, O>(mut grammar: impl Grammar<'a, O>, bytes: &'a [u8]) -> bool {
    use nom::{Check, OutputM, Streaming};
    match grammar.process::<OutputM<Check, Check, Streaming>>(bytes) {
        Ok((rest, ())) => rest.is_empty(),
        Err(Err::Incomplete(_)) => true,
        Err(_) => false,
    }
}

/// That every beginning of every line of `forms` fits the grammar so far.
#[cfg(test)]
pub(super) fn assert_begins<O, G: Grammar<'static, O>>(grammar: fn() -> G, forms: &[&'static str]) {
    for form in forms {
        for end in 0..=form.len() {
            assert!(begins(grammar(), &form.as_bytes()[..end]), "{form} to {end}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nom::{Check, OutputM, Streaming};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_tag_is_what_nom_takes_for_one(text in "( m=?)?[ m=nil]{0,6}") {
            let ours = tag(b" m=").process::<OutputM<Check, Check, Streaming>>(text.as_bytes());
            let theirs = nom::bytes::tag::<_, _, ()>(&b" m="[..])
                .process::<OutputM<Check, Check, Streaming>>(text.as_bytes());
            prop_assert_eq!(
                ours.map_err(|error| error.is_incomplete()),
                theirs.map_err(|error| error.is_incomplete())
            );
            let theirs: nom::IResult<_, _, ()> = nom::bytes::tag(&b" m="[..]).parse_complete(text.as_bytes());
            prop_assert_eq!(tag(b" m=").parse_complete(text.as_bytes()), theirs);
        }

        #[test]
        fn free_text_ends_at_the_first_mark(text in "[a-z)\n ]{0,20}(\\) m=)?[a-z) =m]{0,20}") {
            let expected = text.find(") m=").map(|at| text.split_at(at).0);
            let expected = expected.filter(|free| !free.contains('\n'));
            let got = until(b") m=").parse_complete(text.as_bytes()).ok();
            prop_assert_eq!(got.map(|(_, free)| free), expected);
        }
    }

    #[test]
    fn decimals_are_exact_thousandths() {
        for (text, expected) in
            [("0", 0), ("0.018", 18), ("1.2", 1200), ("0.13", 130), ("2397", 2_397_000)]
        {
            assert_eq!(whole(milli(), text.as_bytes()), Some(Milli(expected)), "{text}");
        }
        for bad in ["", ".5", "1.", "1.2345", "-1", "18446744073709", "99999999999999999999"] {
            assert_eq!(whole(milli(), bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn ids_are_none_in_both_spellings() {
        assert_eq!(whole(maybe_id(), b"nil"), Some(None));
        assert_eq!(whole(maybe_id(), b"-1"), Some(None));
        assert_eq!(whole(maybe_id(), b"7"), Some(Some(7)));
    }

    #[test]
    fn unknown_fields_are_split_and_lists_kept_together() {
        let (rest, span) =
            unknown_fields().parse_complete(b" a=1 b=[ 1 2 ] c=true]".as_slice()).unwrap();
        assert_eq!(rest, b"]");
        assert_eq!(split_unknown(&[span]), ["a=1", "b=[ 1 2 ]", "c=true"]);
    }

    #[test]
    fn streaming_tells_a_beginning_from_something_else() {
        assert!(begins(unsigned::<u64>(), b"12"));
        assert!(!begins(unsigned::<u64>(), b"x"));
        assert!(begins(until(b") m="), b"chan rec"));
        assert!(!begins(until(b") m="), b"chan\n"));
    }
}
