//! Times as RFC 3339 writes them, of the years 1970 to 2261.

const SHAPE: &[u8] = b"0000-00-00T00:00:00";

/// Nanoseconds since 1970 of `2026-11-21T10:00:00.123456789Z`, or with an offset; `None` if it is no such
/// time.
#[must_use]
pub fn read(text: &[u8]) -> Option<u64> {
    is_begun(text).then_some(())?;
    let (date, rest) = text.split_at_checked(SHAPE.len())?;
    let part = |from: usize, to: usize| number(date.get(from..to)?);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    let (nanos, zone) = fraction(rest)?;
    let seconds = days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second;
    let at = seconds.checked_sub(offset(zone)?)?.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    u64::try_from(at).ok()
}

/// Whether a text begins as such a time does and goes on, as far as its shape tells.
#[must_use]
pub fn is_begun(text: &[u8]) -> bool {
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    };
    text.len() > SHAPE.len() && text.iter().zip(SHAPE).all(fits)
}

/// The second in which a time is, in UTC.
#[must_use]
pub fn second(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn number(digits: &[u8]) -> Option<i64> {
    let value = |value: i64, digit: &u8| value * 10 + i64::from(digit - b'0');
    let good = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    good.then(|| digits.iter().fold(0, value))
}

/// Nanoseconds, and what stands behind them.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else { return Some((0, text)) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, zone) = rest.split_at(digits);
    let nanos = number(digits.get(..9).unwrap_or(digits))?;
    let missing = u32::try_from(9_usize.saturating_sub(digits.len())).ok()?;
    Some((nanos * 10_i64.pow(missing), zone))
}

/// Seconds that its clocks are ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, rest) = match zone {
        b"Z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let &[h, hh, b':', m, mm] = rest else { return None };
    Some(sign * (number(&[h, hh])? * 3600 + number(&[m, mm])? * 60))
}

/// Days since 1970 of a date; years begin with March, so that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_date = (1970..=2261).contains(&year) && (1..=12).contains(&month) && day > 0;
    is_date.then_some(())?;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    Some(year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

/// Year, month and day.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let of_month = day - (month * 153 + 2) / 5 + 1;
    let (years, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (era * 400 + year + years, month, of_month)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_those_of_other_readers() {
        // `date -u -d … +%s%N` gives these.
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-21T10:00:00.123456789Z", 1_795_255_200_123_456_789),
            ("2026-11-21T10:00:00.5+02:00", 1_795_248_000_500_000_000),
            ("2024-02-29T23:59:59.999999999-08:00", 1_709_279_999_999_999_999),
            ("2100-03-01T00:00:00.000000001Z", 4_107_542_400_000_000_001),
            ("2026-11-21T10:00:00.1234567891Z", 1_795_255_200_123_456_789),
        ] {
            assert_eq!(read(text.as_bytes()), Some(ns), "{text}");
        }
        for text in [
            "",
            "2026-11-21T10:00:00",
            "2026-11-21 10:00:00Z",
            "2026-11-21T10:00:00.Z",
            "2026-13-21T10:00:00Z",
            "2026-11-00T10:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-21T10:00:00+2:00",
            "2026-11-21T10:00:00.1Zx",
            "9999-11-21T10:00:00Z",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0_u64..9_000_000_000, ns in 0_u64..1_000_000_000) {
            let at = seconds * 1_000_000_000 + ns;
            prop_assert_eq!(read(second(at).as_bytes()), Some(seconds * 1_000_000_000));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _none = read(&bytes);
        }
    }
}
