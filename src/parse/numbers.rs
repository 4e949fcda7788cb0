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

/// Whether every number that has an end in the beginning of such a line is in such a form.
pub(super) fn may_fit(beginning: &[u8]) -> bool {
    match beginning.first() {
        Some(b'S' | b' ') => !has_leading_zero(beginning),
        Some(b'g') => !has_leading_zero(beginning) && decimals_may_fit(beginning),
        _ => true,
    }
}

fn decimals_may_fit(beginning: &[u8]) -> bool {
    let Some((head, rest)) = cut(beginning, b"s ") else { return true };
    if !cut(head, b" @").is_some_and(|(_, at)| is_moment(at)) {
        return false;
    }
    let Some((_, phases)) = cut(rest, b": ") else { return true };
    match cut(phases, b" ms clock, ") {
        None => phases_may_fit(phases),
        Some((clock, cpu)) => are_phases(clock) && phases_may_fit(cpu),
    }
}

/// The last one has no end yet, unless a blank follows.
fn phases_may_fit(list: &[u8]) -> bool {
    if let Some((all, _)) = cut(list, b" ") {
        return are_phases(all);
    }
    let end = list.iter().rposition(|byte| b"+/".contains(byte)).unwrap_or_default();
    list.get(..end).is_none_or(|ended| ended.is_empty() || are_phases(ended))
}

fn are_phases(list: &[u8]) -> bool {
    list.split(|byte| b"+/".contains(byte)).all(is_phase)
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
        && are_phases(clock)
        && are_phases(cpu)
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
    fn of_a_beginning_only_the_numbers_with_an_end_are_held_against_the_forms() {
        for good in ["gc 8 @0.3", "gc 8 @0.395s 0%: 0.061+0.6", "gc 8 @0.395s 0%: 1", "  G10"] {
            assert!(may_fit(good.as_bytes()), "{good}");
        }
        for bad in ["gc 8 @0.3s ", "gc 8 @0.395s 0%: 0.6+", "gc 8 @0.395s 0%: 0+1+1 ms", "  G01"] {
            assert!(!may_fit(bad.as_bytes()), "{bad}");
        }
        // A field of the heap twice (found by fuzzing, 16).
        assert!(!fit(b"gc 8 @0.395s 0%: 0+0+0 ms clock, 0+0/0/0+0 ms cpu, 1->1->0 MB, 1 MB goal, 0 MB stacks, 0 MB stacks, 2 P"));
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
