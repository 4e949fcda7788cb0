//! What a variable is in, and the base unit that Prometheus wants.

use crate::model::snapshot::Number;

/// A unit that variables are in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    name: &'static str,
    base: Base,
    times: f64,
    per: f64,
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// `_seconds`
    Seconds,
    /// `_bytes`
    Bytes,
    /// `_ratio`, 0 to 1
    Ratio,
}

impl Base {
    /// How a metric's name ends.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Seconds => "_seconds",
            Self::Bytes => "_bytes",
            Self::Ratio => "_ratio",
        }
    }
}

const fn unit(name: &'static str, base: Base, times: f64, per: f64) -> Unit {
    Unit { name, base, times, per }
}

/// Every unit that is known.
const UNITS: [Unit; 15] = [
    unit("ns", Base::Seconds, 1.0, 1e9),
    unit("us", Base::Seconds, 1.0, 1e6),
    unit("ms", Base::Seconds, 1.0, 1e3),
    unit("s", Base::Seconds, 1.0, 1.0),
    unit("min", Base::Seconds, 60.0, 1.0),
    unit("h", Base::Seconds, 3600.0, 1.0),
    unit("B", Base::Bytes, 1.0, 1.0),
    unit("kB", Base::Bytes, 1e3, 1.0),
    unit("MB", Base::Bytes, 1e6, 1.0),
    unit("GB", Base::Bytes, 1e9, 1.0),
    unit("KiB", Base::Bytes, 1024.0, 1.0),
    unit("MiB", Base::Bytes, 1_048_576.0, 1.0),
    unit("GiB", Base::Bytes, 1_073_741_824.0, 1.0),
    unit("percent", Base::Ratio, 1.0, 100.0),
    unit("ratio", Base::Ratio, 1.0, 1.0),
];

impl std::str::FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = match text {
            "seconds" => "s",
            "bytes" => "B",
            "µs" => "us",
            other => other,
        };
        UNITS.into_iter().find(|unit| unit.name == name).ok_or_else(|| {
            let names: Vec<&str> = UNITS.iter().map(|unit| unit.name).collect();
            format!("{text:?} is no unit; it says what the variable is in: {}", names.join(", "))
        })
    }
}

/// From what a variable says to what is exported.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Conversion {
    unit: Option<Unit>,
    scale: Option<f64>,
}

impl Conversion {
    /// First times `scale`, then from `unit` to its base.
    #[must_use]
    pub const fn new(unit: Option<Unit>, scale: Option<f64>) -> Self {
        Self { unit, scale }
    }

    /// The base unit, if it has one.
    #[must_use]
    pub fn base(&self) -> Option<Base> {
        self.unit.map(|unit| unit.base)
    }

    /// A number; an integer that stays one stays exact.
    #[must_use]
    pub fn number(&self, number: Number) -> Number {
        let unit = self.unit.filter(|unit| (unit.times, unit.per) != (1.0, 1.0));
        match (number, unit, self.scale) {
            (number, None, None) => number,
            (Number::Unsigned(n), Some(Unit { times, per: 1.0, .. }), None) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "whole and below 2^53, by the table"
                )]
                let whole = n.checked_mul(times as u64);
                whole.map_or_else(|| Number::Float(self.float(number.as_f64())), Number::Unsigned)
            }
            _ => Number::Float(self.float(number.as_f64())),
        }
    }

    /// Any float.
    #[must_use]
    pub fn float(&self, x: f64) -> f64 {
        let x = self.scale.map_or(x, |scale| scaled(x, scale));
        self.unit.map_or(x, |unit| x * unit.times / unit.per)
    }

    /// A text: a number; or, for seconds, a duration as Go prints it.
    #[must_use]
    pub fn text(&self, text: &str) -> Option<Number> {
        let text = text.trim();
        let number = text.parse().map(Number::Unsigned);
        let number = number.or_else(|_not_whole| text.parse().map(Number::Signed));
        let number = number.ok().or_else(|| text.parse().ok().map(Number::Float));
        match number {
            Some(number) => Some(self.number(number)),
            None if self.base() == Some(Base::Seconds) => go_duration(text).map(|seconds| {
                Number::Float(self.scale.map_or(seconds, |scale| scaled(seconds, scale)))
            }),
            None => None,
        }
    }
}

/// 1e-9 has no exact float, its inverse has: dividing gives 1.5 where multiplying gives
/// 1.5000000000000002.
fn scaled(x: f64, scale: f64) -> f64 {
    let per = (1.0 / scale).round();
    if scale < 1.0 && (per * scale - 1.0).abs() < 1e-12 { x / per } else { x * scale }
}

/// In seconds; as time.Duration's String prints it: `1h2m3.5s`, `250ms`, `1.5µs`, `-3s`, `0s`.
fn go_duration(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let number: f64 = number.parse().ok()?;
        seconds += match unit {
            "h" => number * 3600.0,
            "m" => number * 60.0,
            "s" => number,
            "ms" => number / 1e3,
            "µs" | "μs" | "us" => number / 1e6,
            "ns" => number / 1e9,
            _ => return None,
        };
        rest = tail;
    }
    (!text.is_empty() && text != "-").then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_unit(unit: &str) -> Conversion {
        Conversion::new(Some(unit.parse().unwrap()), None)
    }

    #[test]
    fn base_units_come_out_and_integers_stay_exact() {
        assert_eq!(in_unit("ns").number(Number::Unsigned(1_500_000_000)), Number::Float(1.5));
        assert_eq!(in_unit("percent").number(Number::Float(12.5)), Number::Float(0.125));
        assert_eq!(in_unit("KiB").number(Number::Unsigned(3)), Number::Unsigned(3072));
        assert_eq!(in_unit("B").number(Number::Unsigned(u64::MAX)), Number::Unsigned(u64::MAX));
        assert_eq!(
            in_unit("GiB").number(Number::Unsigned(u64::MAX)),
            Number::Float(u64::MAX as f64 * 1_073_741_824.0)
        );
        assert_eq!(in_unit("seconds").number(Number::Signed(-2)), Number::Signed(-2));
        for scale in [1e-9, 1e-6, 0.001, 0.1] {
            let conversion = Conversion::new(None, Some(scale));
            assert_eq!(conversion.float(3.0), 3.0 / (1.0 / scale).round(), "{scale}");
        }
        assert_eq!(Conversion::new(None, Some(2.5)).float(2.0), 5.0);
        assert!("fortnight".parse::<Unit>().unwrap_err().contains("ns, us, ms, s, min, h, B"));
    }

    #[test]
    fn texts_are_numbers_or_durations() {
        let plain = Conversion::default();
        assert_eq!(plain.text("12"), Some(Number::Unsigned(12)));
        assert_eq!(plain.text(" -3 "), Some(Number::Signed(-3)));
        assert_eq!(plain.text("1.5"), Some(Number::Float(1.5)));
        assert_eq!(plain.text("1.5s"), None);
        for (text, seconds) in [
            ("1h2m3.5s", Some(3723.5)),
            ("250ms", Some(0.25)),
            ("1.5µs", Some(1.5e-6)),
            ("-3s", Some(-3.0)),
            ("0s", Some(0.0)),
            ("12", Some(12.0)),
            ("", None),
            ("-", None),
            ("s", None),
            ("3", Some(3.0)),
            ("3 s", None),
        ] {
            assert_eq!(in_unit("s").text(text).map(Number::as_f64), seconds, "{text}");
        }
        // The text has its own unit.
        assert_eq!(in_unit("ms").text("2s"), Some(Number::Float(2.0)));
    }
}
