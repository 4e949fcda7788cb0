//! The service's own expvar variables.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::snapshot::VariableSeries;
use crate::model::variable::Variable;

/// Most series of one service's variables: a map with a key for every user must not make series
/// without end.
pub const VARIABLES_MAX: usize = 500;

/// What the last read gave.
#[derive(Debug, Default)]
pub struct VariableState {
    series: Arc<[VariableSeries]>,
}

impl VariableState {
    /// Takes a read; gives how many variables were dropped, because there are too many or two have
    /// the same name in Prometheus' letters.
    pub fn observe(&mut self, variables: Vec<Variable>) -> u64 {
        let mut dropped = 0;
        let mut by_name: BTreeMap<String, VariableSeries> = BTreeMap::new();
        for variable in variables {
            let name = metric_name(&variable.path);
            if by_name.len() >= VARIABLES_MAX || by_name.contains_key(&name) {
                dropped += 1;
                continue;
            }
            let path = variable.path.join(".").into();
            by_name.insert(
                name.clone(),
                VariableSeries { name: name.into(), path, value: variable.value },
            );
        }
        self.series = by_name.into_values().collect();
        dropped
    }

    /// The last read failed: what was read before says nothing of now.
    pub fn failed(&mut self) {
        self.series = Arc::default();
    }

    /// The series, ordered by name.
    #[must_use]
    pub fn series(&self) -> Arc<[VariableSeries]> {
        Arc::clone(&self.series)
    }
}

/// `expvar_`, then the path with every letter that Prometheus does not take as `_`.
fn metric_name(path: &[String]) -> String {
    let mut name = String::from("expvar");
    for part in path {
        name.push('_');
        name.extend(
            part.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }),
        );
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Number;

    fn variable(path: &[&str], n: u64) -> Variable {
        Variable {
            path: path.iter().map(ToString::to_string).collect(),
            value: Number::Unsigned(n),
        }
    }

    #[test]
    fn names_are_prometheus_and_the_first_of_two_alike_stays() {
        let mut state = VariableState::default();
        let dropped = state.observe(vec![
            variable(&["http.requests", "2xx"], 1),
            variable(&["http-requests", "2xx"], 2),
            variable(&["ü"], 3),
        ]);
        let series = state.series();
        let found: Vec<(&str, &str)> = series.iter().map(|s| (&*s.name, &*s.path)).collect();
        assert_eq!(found, [("expvar__", "ü"), ("expvar_http_requests_2xx", "http.requests.2xx")]);
        assert_eq!(dropped, 1);
    }

    #[test]
    fn variables_without_end_are_dropped_and_counted() {
        let mut state = VariableState::default();
        let dropped = state.observe(
            (0..VARIABLES_MAX as u64 + 7)
                .map(|n| variable(&["users", &n.to_string()], n))
                .collect(),
        );
        assert_eq!((state.series().len(), dropped), (VARIABLES_MAX, 7));
    }
}
