//! Histories of goroutine counts: CSV lines, or Prometheus' answer to a range query
//! (<https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries>).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::model::goroutines::{History, Look};

/// The series that tells restarts, if it was asked for together with the goroutines.
const PROCESS_START: &str = "process_start_time_seconds";

/// Why a text is no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A CSV line.
    #[error(
        "line {line}: {what}; a line is unix_seconds,goroutines[,process_start_unix_seconds]: {text:?}"
    )]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
        /// Its beginning.
        text: String,
    },
    /// JSON, but not Prometheus' answer to a range query.
    #[error("not Prometheus' answer to /api/v1/query_range: {0}")]
    Json(String),
    /// Prometheus refused the query.
    #[error("Prometheus answered with an error: {0}")]
    Refused(String),
    /// There is nothing in it.
    #[error("no samples in it")]
    Empty,
}

/// Reads either form.
///
/// # Errors
/// What is wrong, and where.
pub fn read(text: &[u8]) -> Result<Vec<History>, HistoryError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let histories = match text.trim_ascii_start().first() {
        Some(b'{') => range_answer(text)?,
        _ => vec![csv(text)?],
    };
    if histories.iter().all(|history| history.looks.is_empty()) {
        return Err(HistoryError::Empty);
    }
    Ok(histories)
}

fn csv(text: &[u8]) -> Result<History, HistoryError> {
    let mut history = History::default();
    let mut may_be_header = true;
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        let line = String::from_utf8_lossy(line.trim_ascii());
        if line.is_empty() {
            continue;
        }
        match csv_line(&line, history.looks.last()) {
            Ok(look) => history.looks.push(look),
            Err(_) if may_be_header && is_header(&line) => {}
            Err(what) => {
                let text = line.chars().take(80).collect();
                return Err(HistoryError::Line { line: number, what, text });
            }
        }
        may_be_header = false;
    }
    Ok(history)
}

fn is_header(line: &str) -> bool {
    !line.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | ','))
}

fn csv_line(line: &str, before: Option<&Look>) -> Result<Look, &'static str> {
    let mut fields = line.split(',').map(|field| field.trim().trim_matches('"'));
    let time = |field: &str| field.parse().ok().and_then(moment);
    let at = fields.next().and_then(time).ok_or("the time is no number of seconds since 1970")?;
    let number = fields.next().ok_or("the number of goroutines is missing")?;
    let goroutines = number.parse().ok().and_then(count).ok_or("goroutines is no whole number")?;
    let started = match fields.next() {
        None | Some("") => None,
        Some(field) => Some(time(field).ok_or("the process start is no number of seconds")?),
    };
    if fields.next().is_some() {
        return Err("it has more than three fields");
    }
    if before.is_some_and(|before| at < before.at) {
        return Err("it is earlier than the line before");
    }
    Ok(Look { at, goroutines, started })
}

/// Seconds since 1970.
fn moment(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

fn count(n: f64) -> Option<u64> {
    let whole = n.is_finite() && n >= 0.0 && n.fract() == 0.0 && n < 1e15;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, not negative, below 2^53"
    )]
    whole.then_some(n as u64)
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

fn range_answer(text: &[u8]) -> Result<Vec<History>, HistoryError> {
    let answer: Answer =
        serde_json::from_slice(text).map_err(|error| HistoryError::Json(error.to_string()))?;
    if answer.status != "success" {
        return Err(HistoryError::Refused(answer.error.unwrap_or(answer.status)));
    }
    let data = answer.data.ok_or_else(|| HistoryError::Json("it has no data".to_owned()))?;
    let (starts, counts): (Vec<Series>, Vec<Series>) =
        data.result.into_iter().partition(|series| {
            series.metric.get("__name__").is_some_and(|name| name == PROCESS_START)
        });
    let of = |series: &Series| starts.iter().find(|start| same_target(start, series));
    counts.iter().map(|series| history(series, of(series))).collect()
}

fn same_target(a: &Series, b: &Series) -> bool {
    let labels = |series: &Series| {
        let mut labels = series.metric.clone();
        labels.remove("__name__");
        labels
    };
    labels(a) == labels(b)
}

fn history(series: &Series, starts: Option<&Series>) -> Result<History, HistoryError> {
    let mut looks = Vec::with_capacity(series.values.len());
    let mut starts = starts.map(|starts| starts.values.iter().peekable());
    let mut started = None;
    for (t, value) in &series.values {
        while let Some((_, start)) =
            starts.as_mut().and_then(|starts| starts.next_if(|(at, _)| at <= t))
        {
            started = start.parse().ok().and_then(moment);
        }
        let number: f64 = value.parse().unwrap_or(f64::NAN);
        // Prometheus writes NaN where an expression has no value.
        if number.is_nan() {
            continue;
        }
        let bad = || HistoryError::Json(format!("a value is no number of goroutines: {value:?}"));
        let at = moment(*t).ok_or_else(bad)?;
        let goroutines = count(number.round()).ok_or_else(bad)?;
        looks.push(Look { at, goroutines, started });
    }
    Ok(History { name: Some(name(&series.metric)), looks })
}

/// As PromQL writes a series.
fn name(metric: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> = metric
        .iter()
        .filter(|(label, _)| *label != "__name__")
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    let name = metric.get("__name__").map_or("", String::as_str);
    format!("{name}{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn look(at: u64, goroutines: u64, started: Option<u64>) -> Look {
        Look { at: Duration::from_secs(at), goroutines, started: started.map(Duration::from_secs) }
    }

    #[test]
    fn csv_with_and_without_header_and_start() {
        let check = |text: &str, looks: Vec<Look>| {
            assert_eq!(read(text.as_bytes()), Ok(vec![History { name: None, looks }]), "{text}");
        };
        check("10,5\n20,6\n", vec![look(10, 5, None), look(20, 6, None)]);
        check("unix_seconds,goroutines\r\n10,5\r\n\r\n", vec![look(10, 5, None)]);
        check("time,n,start\n10,5,3\n20,6,15", vec![look(10, 5, Some(3)), look(20, 6, Some(15))]);
        check("\"10\", 5.0 ,\n", vec![look(10, 5, None)]);
    }

    #[test]
    fn a_wrong_line_is_told_with_its_number() {
        let check = |text: &str, told: &str| {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{text:?}: {error}");
        };
        check("10,5\n20,many\n", "line 2: goroutines is no whole number");
        check("10,5\n9,5\n", "line 2: it is earlier");
        check("a,b\nc,d\n", "line 2: the time");
        check("10\n", "line 1: the number of goroutines is missing");
        check("10,5,1,1\n", "line 1: it has more than three");
        check("10,-5\n", "line 1: goroutines");
        check("", "no samples");
        check("{}", "not Prometheus' answer");
        check(
            r#"{"status":"error","error":"bad query"}"#,
            "Prometheus answered with an error: bad query",
        );
    }

    #[test]
    fn a_range_answer_has_a_history_for_each_series_and_knows_restarts() {
        let text = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"go_goroutines","job":"a"},"values":[[10,"5"],[20.5,"NaN"],[30,"7"]]},
            {"metric":{"__name__":"process_start_time_seconds","job":"a"},"values":[[10,"3"],[30,"25"]]},
            {"metric":{"job":"b"},"values":[[10,"1"]]}]}}"#;
        let histories = read(text).unwrap();
        let [a, b] = histories.as_slice() else { panic!("{histories:?}") };
        assert_eq!(a.name.as_deref(), Some(r#"go_goroutines{job="a"}"#));
        assert_eq!(a.looks, [look(10, 5, Some(3)), look(30, 7, Some(25))]);
        assert_eq!((b.name.as_deref(), b.looks.len()), (Some(r#"{job="b"}"#), 1));
    }

    proptest! {
        #[test]
        fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _either = read(&text);
        }
    }
}
