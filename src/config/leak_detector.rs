//! The parameters of the leak detector, as text.

use std::time::Duration;

use super::fields::Fields;
use super::node::Value;
use super::units;
use crate::model::leak::{Params, Tuning, Window};

/// Reads the keys, those of `detect`'s flags; what is not said is as in `base`.
pub(super) fn leak_detector(mut fields: Fields<'_>, base: &Params) -> Params {
    let mut params = base.clone();
    set(&mut params.bucket, fields.parsed("bucket", bucket));
    set(&mut params.warm_up, fields.parsed("warm_up", units::duration));
    set(&mut params.min_growth, fields.parsed("min_growth", number));
    set(&mut params.min_base, fields.parsed("min_base", number));
    set(&mut params.unknown, fields.parsed("unknown", windows));
    set(&mut params.known, fields.parsed("known", windows));
    set(&mut params.line, fields.parsed("line", window));
    set(&mut params.ratchet, fields.parsed("ratchet", window));
    set(&mut params.days, fields.parsed("days", days));
    set(&mut params.days_growth, decimal(&mut fields, "days_growth"));
    set(&mut params.clear, decimal(&mut fields, "clear"));
    if let Some(names) = fields.map("tune") {
        tune(&names, &mut params.tuning);
    }
    fields.finish();
    params
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn decimal(fields: &mut Fields<'_>, key: &'static str) -> Option<f64> {
    let node = fields.get(key)?;
    let read = match &node.value {
        Value::Decimal(number) if number.is_finite() && *number > 0.0 => return Some(*number),
        Value::Integer(number) => positive(&number.to_string()),
        other => Err(format!("must be a number greater than 0, is {}", other.kind())),
    };
    read.map_err(|what| fields.problem(node.line, key, what)).ok()
}

fn tune(names: &Fields<'_>, tuning: &mut Tuning) {
    for (name, value) in names.entries() {
        let (Value::Text(text), Value::Decimal(_) | Value::Integer(_)) =
            (&name.value, &value.value)
        else {
            names.problem(value.line, "", "must be a name and a number: rise_later_half: 0.5");
            continue;
        };
        let number = match value.value {
            Value::Decimal(number) => number,
            #[expect(clippy::cast_precision_loss, reason = "a factor is small")]
            Value::Integer(number) => number as f64,
            _ => continue,
        };
        if let Err(what) = tuning.set(text, number) {
            names.problem(name.line, text, what);
        }
    }
}

/// Reads `rise_later_half=0.5`.
///
/// # Errors
/// It is none, or there is no such parameter.
pub fn tuned(text: &str) -> Result<(String, f64), String> {
    let (name, value) =
        text.split_once('=').ok_or("write a name and a number: rise_later_half=0.5")?;
    let value = value.parse().ok().filter(|number: &f64| number.is_finite());
    let value = value.ok_or_else(|| format!("{text:?} has no number after the ="))?;
    Tuning::default().set(name, value)?;
    Ok((name.to_owned(), value))
}

/// Reads `25h:1.5`.
///
/// # Errors
/// What is wrong with it.
pub fn window(text: &str) -> Result<Window, String> {
    let (span, ratio) = text.split_once(':').ok_or("write a duration and a factor: 25h:1.5")?;
    let (span, ratio) = (units::duration(span)?, positive(ratio)?);
    if span.is_zero() || ratio <= 1.0 {
        return Err("the duration must not be 0, and the factor greater than 1".to_owned());
    }
    Ok(Window { span, ratio })
}

fn windows(text: &str) -> Result<Vec<Window>, String> {
    text.split(',').map(|window_text| window(window_text.trim())).collect()
}

fn days(text: &str) -> Result<Vec<u32>, String> {
    let day = |day: &str| day.trim().parse().ok().filter(|day| (2..=14).contains(day));
    let days: Option<Vec<u32>> = text.split(',').map(day).collect();
    days.ok_or_else(|| "write numbers of days from 2 to 14: 4,5,6,8,10,14".to_owned())
}

fn bucket(text: &str) -> Result<Duration, String> {
    let bucket = units::duration(text)?;
    if (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&bucket) {
        Ok(bucket)
    } else {
        Err("must be between 1s and 1h".to_owned())
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_not_one| format!("{text:?} is not a number of goroutines"))
}

/// Reads a number greater than 0.
///
/// # Errors
/// It is none.
pub fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("{text:?} is not a number greater than 0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::read;

    const SERVICE: &str = "services: [{name: a, trace: {stdin: true}}]\n";

    #[test]
    fn the_keys_are_those_of_the_flags_and_a_service_has_its_own() {
        let text = "leak_detector:\n  bucket: 5m\n  min_growth: 100\n  known: 8h:15, 25h:1.3\n  days: 4,6\n  clear: 0.9\n  tune: {rise_fall: 4}\n";
        let service = "services: [{name: a, trace: {stdin: true}, leak_detector: {clear: 0.5, tune: {life_growth: 0.25}}}]\n";
        let config = read(&format!("{service}{text}")).unwrap();
        let default = Params::default();
        let mut expected = Params {
            bucket: Duration::from_secs(300),
            min_growth: 100,
            known: vec![default.known[0], default.known[2]],
            days: vec![4, 6],
            clear: 0.5,
            ..default
        };
        expected.tuning.rise_fall = 4.0;
        expected.tuning.life_growth = 0.25;
        assert_eq!(*config.services[0].leak_detector, expected);
    }

    #[test]
    fn each_mistake_is_told() {
        let text = "leak_detector:\n  bucket: 2h\n  min_growth: many\n  line: 12h\n  days: 1,2\n  clear: -1\n  tune: {rise: 4}\n  bukket: 1\n";
        let problems = read(&format!("{SERVICE}{text}")).unwrap_err();
        let told: Vec<u64> = problems.iter().map(|problem| problem.line).collect();
        assert_eq!(told, [3, 4, 5, 6, 7, 8, 9], "{problems:#?}");
        assert!(problems[5].what.contains("rise_later_half"), "{problems:#?}");
    }
}
