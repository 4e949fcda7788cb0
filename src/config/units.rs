//! Durations and sizes as people write them: always with a unit.

use std::time::Duration;

/// Reads `15s`, `250ms`, `10m`, `1h`, `1m30s`.
///
/// # Errors
/// What a right one looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is not a duration; write a number with a unit: 250ms, 15s, 10m, 1h");
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_not_a_number| wrong())?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(wrong)?;
        rest = tail;
    }
    Ok(total)
}

/// Reads `64KiB`, `8MiB`, `1MB`, `512B`; the result is in bytes.
///
/// # Errors
/// What a right one looks like.
pub fn size(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is not a size; write a number with a unit: 512B, 64KiB, 8MiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: usize = number.parse().map_err(|_not_a_number| wrong())?;
    let factor = match unit.trim_start() {
        "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// Reads cores: `2`, `0.5`, or as Kubernetes writes them `1500m`.
///
/// # Errors
/// What a right one looks like.
pub fn cores(text: &str) -> Result<f64, String> {
    let (number, share) = text.strip_suffix('m').map_or((text, 1.0), |number| (number, 1000.0));
    let cores: Option<f64> = number.parse().ok().map(|cores: f64| cores / share);
    cores
        .filter(|cores| cores.is_finite() && *cores > 0.0)
        .ok_or_else(|| format!("{text:?} is not a number of cores; write it like 2, 0.5 or 1500m"))
}

/// What percent-encoded text stands for.
#[must_use]
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_needed() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(size("64KiB"), Ok(65536));
        for bad in ["", "15", "s", "1.5s", "15 s", "-1s", "1y", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["", "64", "KiB", "64k", "-1B", "99999999999999999999MiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
