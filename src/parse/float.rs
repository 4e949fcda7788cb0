//! Floating-point numbers as the runtime prints them: `+1.310750e+000` until Go 1.25, the shortest
//! that reads back as the same number from Go 1.26 on; `NaN` and `±Inf` always
//! (src/runtime/print.go, `printfloat`).

use nom::{Err, IsStreaming, Mode, Needed, OutputMode, PResult, Parser};

use super::primitive::Grammar;
use crate::model::record::Float;

/// The longest the runtime has is 24 bytes: `-1.7976931348623157e+308`.
const FLOAT_MAX_BYTES: usize = 32;

/// How a number was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// With its sign, six places and three digits of exponent: until Go 1.25.
    Full,
    /// The shortest: Go 1.26 on.
    Shortest,
    /// A whole number without sign or exponent: the shortest, or no float at all.
    Plain,
    /// NaN or an infinity: always printed alike.
    Special,
}

/// A floating-point number and how it was printed.
pub fn float<'a>() -> impl Grammar<'a, (Float, Style)> {
    Number
}

struct Number;

impl<'a> Parser<&'a [u8]> for Number {
    type Output = (Float, Style);
    type Error = ();

    fn process<OM: OutputMode>(
        &mut self,
        input: &'a [u8],
    ) -> PResult<OM, &'a [u8], (Float, Style), ()> {
        let used = input.iter().take(FLOAT_MAX_BYTES).take_while(|b| is_part(**b)).count();
        let (text, rest) = input.split_at(used);
        if OM::Incomplete::is_streaming() && rest.is_empty() && can_begin(text) {
            return Err(Err::Incomplete(Needed::Unknown));
        }
        match read(text) {
            Some(number) => Ok((rest, OM::Output::bind(|| number))),
            None => Err(Err::Error(OM::Error::bind(|| ()))),
        }
    }
}

const fn is_part(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'N' | b'a' | b'I' | b'n' | b'f')
}

fn read(text: &[u8]) -> Option<(Float, Style)> {
    match text {
        b"NaN" => return Some((Float(f64::NAN), Style::Special)),
        b"+Inf" => return Some((Float(f64::INFINITY), Style::Special)),
        b"-Inf" => return Some((Float(f64::NEG_INFINITY), Style::Special)),
        _ => {}
    }
    if !is_number(text) {
        return None;
    }
    let number = std::str::from_utf8(text).ok()?.parse().ok()?;
    let style = if is_full(text) {
        Style::Full
    } else if text.iter().all(u8::is_ascii_digit) {
        Style::Plain
    } else {
        Style::Shortest
    };
    // Go 1.26 on prints no plus.
    (style == Style::Full || text.first() != Some(&b'+')).then_some((Float(number), style))
}

/// `[+-]d.dddddde[+-]ddd`.
fn is_full(text: &[u8]) -> bool {
    matches!(text, [b'+' | b'-', _, b'.', _, _, _, _, _, _, b'e', b'+' | b'-', _, _, _])
}

/// Digits, perhaps with a sign, places, an exponent.
fn is_number(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    let Some(rest) = after_digits(rest) else { return false };
    let rest = match rest.split_first() {
        Some((b'.', places)) => match after_digits(places) {
            Some(rest) => rest,
            None => return false,
        },
        _ => rest,
    };
    match rest {
        [] => true,
        [b'e', b'+' | b'-', exponent @ ..] => after_digits(exponent).is_some_and(<[u8]>::is_empty),
        _ => false,
    }
}

/// What follows at least one digit.
fn after_digits(text: &[u8]) -> Option<&[u8]> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 { None } else { text.get(digits..) }
}

/// Whether a number can begin so: it is one if some ending makes it one.
fn can_begin(text: &[u8]) -> bool {
    let words = [&b"NaN"[..], b"+Inf", b"-Inf"];
    let endings = [&b""[..], b"0", b"+0"];
    words.iter().any(|word| word.starts_with(text))
        || endings.iter().any(|ending| is_number(&[text, ending].concat()))
}

#[cfg(test)]
mod tests {
    use super::super::primitive::{begins, whole};
    use super::*;
    use proptest::prelude::*;

    fn full(x: f64) -> String {
        let text = format!("{x:+.6e}");
        let (mantissa, exponent) = text.split_once('e').unwrap();
        format!("{mantissa}e{:+04}", exponent.parse::<i32>().unwrap())
    }

    /// strconv's format 'g' with the least precision that is exact.
    fn shortest(x: f64) -> String {
        let text = format!("{x:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        if (-4..21).contains(&exponent) {
            format!("{x}")
        } else {
            format!("{mantissa}e{exponent:+03}")
        }
    }

    proptest! {
        #[test]
        fn both_forms_are_read_and_every_beginning_is_one(x in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
            let (exact, rounded) = (shortest(x), full(x));
            let (read, style) = whole(float(), exact.as_bytes()).unwrap_or_else(|| panic!("{exact}"));
            prop_assert_eq!((read, style == Style::Full), (Float(x), false), "{}", exact);
            let (read, style) = whole(float(), rounded.as_bytes()).unwrap_or_else(|| panic!("{rounded}"));
            prop_assert!((read.0 - x).abs() <= x.abs() * 1e-6 && style == Style::Full, "{}", rounded);
            for text in [exact, rounded] {
                for end in 0..=text.len() {
                    prop_assert!(begins(float(), &text.as_bytes()[..end]), "{} to {}", text, end);
                }
            }
        }
    }

    #[test]
    fn the_form_tells_the_release() {
        for (text, style) in [
            ("+1.310750e+000", Style::Full),
            ("-4.100000e-002", Style::Full),
            ("0.25", Style::Shortest),
            ("1.00549e-05", Style::Shortest),
            ("-1e-05", Style::Shortest),
            ("0", Style::Plain),
            ("+Inf", Style::Special),
            ("NaN", Style::Special),
        ] {
            let (_, found) = whole(float(), text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(found, style, "{text}");
        }
    }

    #[test]
    fn words_that_are_no_number_do_not_fit() {
        for bad in ["", "+", "1.", ".5", "e5", "Na", "Info", "1e5", "+0.25", "1e+", "--1", "1-2"] {
            assert_eq!(whole(float(), bad.as_bytes()), None, "{bad}");
        }
        assert!(!begins(float(), b"x") && !begins(float(), b"1ee") && !begins(float(), b"Nay"));
    }
}
