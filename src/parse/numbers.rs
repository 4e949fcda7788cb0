//! How the runtime prints numbers. Half a number that was torn, or one with digits of the service's,
//! often has a form that it never prints.

/// Whether every number of a line of schedtrace, scheddetail or gctrace is in a form that the
/// runtime prints. The other kinds have floats of many forms.
pub(super) fn fit(line: &[u8]) -> bool {
    match line.first() {
        Some(b'S' | b' ') => !has_leading_zero(line),
        Some(b'g') => !has_leading_zero(line) && decimals_fit(line),
        _ => true,
    }
}

/// src/runtime/print.go, `printuint`.
fn has_leading_zero(line: &[u8]) -> bool {
    let mut before = 0_u8;
    line.windows(2).any(|pair| {
        let begins = !before.is_ascii_digit() && before != b'.';
        before = pair.first().copied().unwrap_or_default();
        begins && matches!(pair, [b'0', next] if next.is_ascii_digit())
    })
}

fn decimals_fit(line: &[u8]) -> bool {
    let Some((head, rest)) = cut(line, b"s ") else { return false };
    let Some((_, phases)) = cut(rest, b": ") else { return false };
    let Some((clock, rest)) = cut(phases, b" ms clock, ") else { return false };
    let Some((cpu, areas)) = cut(rest, b" ms cpu, ") else { return false };
    let twice = |area: &[u8]| memchr::memmem::find_iter(areas, area).count() > 1;
    !twice(b" MB stacks")
        && !twice(b" MB globals")
        && cut(head, b" @").is_some_and(|(_, at)| is_moment(at))
        && [clock, cpu].iter().all(|list| list.split(|byte| b"+/".contains(byte)).all(is_phase))
}

fn cut<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let found = memchr::memmem::find(text, at)?;
    Some((text.get(..found)?, text.get(found + at.len()..)?))
}

/// Seconds with exactly three decimals (src/runtime/proc.go, `itoaDiv`).
fn is_moment(number: &[u8]) -> bool {
    matches!(cut(number, b"."), Some((whole, decimals)) if !whole.is_empty() && decimals.len() == 3)
}

/// Milliseconds: whole from 10 on, else two digits that say something and at most three decimals
/// (src/runtime/mgc.go, `fmtNSAsMS`).
fn is_phase(number: &[u8]) -> bool {
    match number {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] if rest.first().is_some_and(u8::is_ascii_digit) => {
            rest.iter().all(u8::is_ascii_digit)
        }
        [b'0', b'.', b'0', b'0', last] => (b'1'..=b'9').contains(last),
        [b'0', b'.', b'0', first, _] | [b'0', b'.', first, _] | [first, b'.', _] => {
            (b'1'..=b'9').contains(first)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_begins_with_a_0() {
        assert!(fit(b"SCHED 0ms: gomaxprocs=10 [0 0]") && fit(b"  G100: status=0"));
        assert!(!fit(b"SCHED 0ms: runqueue=081 [0 0]") && !fit(b"  G01: status=4"));
    }

    #[test]
    fn half_a_number_is_none_that_the_runtime_prints() {
        for whole in [
            "0",
            "1.2",
            "9.0",
            "10",
            "2397",
            "0.13",
            "0.10",
            "0.096",
            "0.010",
            "0.005",
            "18446744073709",
        ] {
            assert!(is_phase(whole.as_bytes()), "{whole}");
        }
        for half in [
            "", "1", "9", "0.", "1.", "0.1", "0.0", "0.00", "0.000", "0.09", "0.134", "1.23",
            "12.5", "01",
        ] {
            assert!(!is_phase(half.as_bytes()), "{half}");
        }
        assert!(is_moment(b"0.018") && is_moment(b"1234.500"));
        assert!(!is_moment(b"0.01") && !is_moment(b"0") && !is_moment(b".018"));
    }
}
