//! Names and texts as the formats take them: the one place where anything is escaped.

use std::borrow::Cow;

use crate::model::exposition::Escaping;

/// Whether every Prometheus takes it as the name of a metric.
#[must_use]
pub fn is_legacy_metric(name: &str) -> bool {
    !name.is_empty() && name.bytes().enumerate().all(|(at, byte)| is_legacy(byte, at))
}

/// Whether every Prometheus takes it as the name of a label.
#[must_use]
pub fn is_legacy_label(name: &str) -> bool {
    is_legacy_metric(name) && !name.contains(':')
}

const fn is_legacy(byte: u8, at: usize) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b':' || (byte.is_ascii_digit() && at > 0)
}

/// A metric's name; as client_golang has it, one that every Prometheus takes is left as it is.
#[must_use]
pub fn metric(name: &str, escaping: Escaping) -> Cow<'_, str> {
    if is_legacy_metric(name) { Cow::Borrowed(name) } else { escaped(name, escaping, ':') }
}

/// A label's name.
#[must_use]
pub fn label(name: &str, escaping: Escaping) -> Cow<'_, str> {
    if is_legacy_label(name) { Cow::Borrowed(name) } else { escaped(name, escaping, '_') }
}

/// `colon`: that, if it may stay.
fn escaped(name: &str, escaping: Escaping, colon: char) -> Cow<'_, str> {
    if escaping == Escaping::AllowUtf8 {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 8);
    if escaping == Escaping::Values {
        out.push_str("U__");
    }
    for (at, letter) in name.char_indices() {
        let stays = u8::try_from(letter).is_ok_and(|byte| is_legacy(byte, at))
            && (letter != ':' || colon == ':');
        match (escaping, letter) {
            (Escaping::Underscores, _) => out.push(if stays { letter } else { '_' }),
            (Escaping::Dots, '.') => out.push_str("_dot_"),
            (Escaping::Dots | Escaping::Values, '_') => out.push_str("__"),
            (_, _) if stays => out.push(letter),
            (Escaping::Dots, _) => out.push_str("__"),
            (_, _) => {
                out.push('_');
                out.push_str(&format!("{:x}", u32::from(letter)));
                out.push('_');
            }
        }
    }
    Cow::Owned(out)
}

/// Text between quotes, or on a HELP line where `quotes` may stay as they are.
pub fn text(out: &mut Vec<u8>, text: &str, quotes: bool) {
    let mut rest = text.as_bytes();
    let special = |byte: &u8| matches!(byte, b'\\' | b'\n') || (quotes && *byte == b'"');
    while let Some(at) = rest.iter().position(special) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, later)) = from.split_first() else { break };
        out.extend_from_slice(match byte {
            b'\n' => b"\\n",
            b'"' => b"\\\"",
            _ => b"\\\\",
        });
        rest = later;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_escaped_as_prometheus_common_does() {
        // Of github.com/prometheus/common/model, TestEscapeName.
        for (name, underscores, dots, values) in [
            (
                "no:escaping_required",
                "no:escaping_required",
                "no:escaping_required",
                "no:escaping_required",
            ),
            (
                "mysystem.prod.west.cpu.load",
                "mysystem_prod_west_cpu_load",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
            ),
            (
                "mysystem.prod.west.cpu.load_total",
                "mysystem_prod_west_cpu_load_total",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load__total",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load__total",
            ),
            ("http.status:sum", "http_status:sum", "http_dot_status:sum", "U__http_2e_status:sum"),
            ("label with 😱", "label_with__", "label__with____", "U__label_20_with_20__1f631_"),
            ("花火", "__", "____", "U___82b1__706b_"),
        ] {
            assert_eq!(metric(name, Escaping::Underscores), underscores);
            assert_eq!(metric(name, Escaping::Dots), dots);
            assert_eq!(metric(name, Escaping::Values), values);
            assert_eq!(metric(name, Escaping::AllowUtf8), name);
        }
        assert_eq!(label("a:b", Escaping::Underscores), "a_b");
        assert_eq!(label("a.b", Escaping::Values), "U__a_2e_b");
    }

    /// What `values` stands for, by its rules.
    fn unescaped(name: &str) -> Option<String> {
        let Some(rest) = name.strip_prefix("U__") else { return Some(name.to_owned()) };
        let (mut out, mut rest) = (String::new(), rest);
        while let Some((plain, coded)) = rest.split_once('_') {
            out.push_str(plain);
            let (code, later) = coded.split_once('_')?;
            out.push(if code.is_empty() {
                '_'
            } else {
                char::from_u32(u32::from_str_radix(code, 16).ok()?)?
            });
            rest = later;
        }
        Some(out + rest)
    }

    proptest! {
        #[test]
        fn every_scheme_gives_names_that_every_prometheus_takes(name in "[a-c_.:0-9äß 火]{1,12}") {
            for escaping in [Escaping::Underscores, Escaping::Dots, Escaping::Values] {
                prop_assert!(is_legacy_metric(&metric(&name, escaping)));
                prop_assert!(is_legacy_label(&label(&name, escaping)));
            }
            let values = metric(&name, Escaping::Values);
            prop_assert_eq!(unescaped(&values), Some(name.clone()));
            prop_assert_eq!(metric(&name, Escaping::AllowUtf8), name.as_str());
        }

        #[test]
        fn quoted_text_is_read_back(given in "[a\\\\\"\nß]{0,20}", quotes: bool) {
            let mut out = Vec::new();
            text(&mut out, &given, quotes);
            let out = String::from_utf8(out).unwrap();
            prop_assert!(!out.contains('\n'));
            let (mut back, mut letters) = (String::new(), out.chars());
            while let Some(letter) = letters.next() {
                match letter {
                    '\\' => back.push(match letters.next().unwrap() { 'n' => '\n', other => other }),
                    '"' if quotes => prop_assert!(false, "an open quote"),
                    other => back.push(other),
                }
            }
            prop_assert_eq!(back, given);
        }
    }
}
