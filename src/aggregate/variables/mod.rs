//! The service's own variables.
//!
//! `walk` makes candidates of a page by the user's rules, with `name` and `buckets`; here it is decided
//! which of them are exported, and `memory` has what earlier reads say of them.

pub mod agree;
mod buckets;
mod memory;
mod name;
pub mod walk;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::metric::Kind;
use crate::model::snapshot::Number;
use crate::model::variable::rule::Rules;
use crate::model::variable::{DropReason, Dropped, VariableSeries, VariableValue};
use memory::Memory;
use walk::{Candidate, Walked};

/// The label value of what is over a rule's bound.
const REST: &str = "other";

/// Counters of which so many are known tell a restart together.
const WITNESSES: usize = 3;

/// What reads said, and what the last one gave.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VariableState {
    /// By name and labels. Bounded: see [`Self::forget`].
    memory: BTreeMap<String, Memory>,
    /// Sums over what is past a rule's bound, by name and labels.
    rest: BTreeMap<String, Rest>,
    /// Says nothing of a later moment, so it is not saved.
    #[serde(skip)]
    series: Arc<[VariableSeries]>,
    #[serde(skip)]
    goroutines: Option<u64>,
}

/// A counter of what is past a rule's bound: it grows as the sum does. Where the sum falls, because a key
/// is gone, it stands still.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
struct Rest {
    exported: f64,
    last_sum: f64,
}

/// What a read showed beside its series.
#[derive(Debug, Default)]
pub struct Observed {
    /// What is not exported.
    pub dropped: Dropped,
    /// The service was started anew; told only where memstats do not tell.
    pub restarted: bool,
    /// Variables that were taken for counters and have fallen.
    pub retyped: Vec<Box<str>>,
}

impl VariableState {
    /// Takes a read. `restarted`: whether memstats show that the service was started anew, if it has
    /// them.
    pub fn take(&mut self, walked: Walked, rules: &Rules, restarted: Option<bool>) -> Observed {
        let Walked { candidates, mut dropped, goroutines } = walked;
        self.goroutines = goroutines;
        let (admitted, over) = self.admit(candidates, rules, &mut dropped);
        let seen = restarted.unwrap_or_else(|| self.shows_restart(&admitted));
        if seen {
            self.memory.values_mut().for_each(Memory::restarted);
            self.rest.values_mut().for_each(|rest| *rest = Rest::default());
        }
        for memory in self.memory.values_mut() {
            memory.exported = false;
        }
        let mut retyped = Vec::new();
        let mut series: Vec<VariableSeries> = Vec::with_capacity(admitted.len() + over.len());
        for candidate in admitted {
            series.push(self.remember(candidate, &mut retyped));
        }
        series.extend(self.sums_of_the_rest(over));
        series.sort_by(|a, b| a.name.cmp(&b.name));
        self.series = series.into();
        self.forget(rules.max_variables);
        Observed { dropped, restarted: restarted.is_none() && seen, retyped }
    }

    /// The last read failed: what was read before says nothing of now.
    pub fn failed(&mut self) {
        self.series = Arc::default();
        self.goroutines = None;
    }

    /// The series, ordered by name.
    #[must_use]
    pub fn series(&self) -> Arc<[VariableSeries]> {
        Arc::clone(&self.series)
    }

    /// The number of goroutines, if the service publishes it: at the path that the config names, or
    /// under a well-known name ([`Rules::goroutines`]).
    #[must_use]
    pub const fn goroutines(&self) -> Option<u64> {
        self.goroutines
    }

    /// Who is exported: first those that were at the last read, so that a new key pushes nobody out;
    /// then the others, in the order of the page. Also gives the counters past their rule's bound.
    fn admit(
        &self,
        candidates: Vec<Candidate>,
        rules: &Rules,
        dropped: &mut Dropped,
    ) -> (Vec<Candidate>, Vec<Candidate>) {
        let known =
            |one: &Candidate| self.memory.get(&one.key).is_some_and(|memory| memory.exported);
        let (old, new): (Vec<_>, Vec<_>) = candidates.into_iter().partition(known);
        let mut room = Room::new(rules);
        let (mut admitted, mut over) = (Vec::new(), Vec::new());
        for candidate in old.into_iter().chain(new) {
            match room.take(&candidate) {
                Ok(()) => admitted.push(candidate),
                Err(Refused::ByRule) if has_rest(&candidate) => {
                    dropped.note(DropReason::TooMany, 1, || candidate.key.clone());
                    over.push(rest_of(candidate));
                }
                Err(refused) => {
                    dropped.note(refused.reason(), 1, || candidate.name.clone());
                }
            }
        }
        (admitted, over)
    }

    /// Where no memstats tell: a counter that its rule calls one has fallen, or most of several that
    /// were taken for counters.
    fn shows_restart(&self, admitted: &[Candidate]) -> bool {
        let (mut counters, mut fallen) = (0, 0);
        for one in admitted {
            let VariableValue::Number(number) = one.value else { continue };
            let Some(memory) = self.memory.get(&one.key) else { continue };
            match one.kind {
                Some(Kind::Counter) if memory.falls(number) => return true,
                None if memory.kind() == Kind::Counter => {
                    counters += 1;
                    fallen += usize::from(memory.falls(number));
                }
                _ => {}
            }
        }
        counters >= WITNESSES && 2 * fallen > counters
    }

    fn remember(&mut self, one: Candidate, retyped: &mut Vec<Box<str>>) -> VariableSeries {
        let memory = self.memory.entry(one.key).or_default();
        memory.exported = true;
        if let VariableValue::Number(number) = one.value
            && memory.observe(number)
            && one.kind.is_none()
        {
            retyped.push(one.name.clone().into());
        }
        VariableSeries {
            name: one.name.into(),
            help: one.help.text(),
            kind: one.kind.unwrap_or_else(|| memory.kind()),
            inferred: one.kind.is_none(),
            labels: one.labels.into(),
            value: one.value,
        }
    }

    fn sums_of_the_rest(&mut self, over: Vec<Candidate>) -> Vec<VariableSeries> {
        let mut sums: BTreeMap<String, (f64, Candidate)> = BTreeMap::new();
        for one in over {
            let VariableValue::Number(number) = one.value else { continue };
            match sums.entry(one.key.clone()) {
                Entry::Occupied(mut sum) => sum.get_mut().0 += number.as_f64(),
                Entry::Vacant(new) => {
                    new.insert((number.as_f64(), one));
                }
            }
        }
        self.rest.retain(|key, _| sums.contains_key(key));
        let series = sums.into_iter().map(|(key, (sum, one))| {
            let rest = self.rest.entry(key).or_default();
            rest.exported += (sum - rest.last_sum).max(0.0);
            rest.last_sum = sum;
            let exported = rest.exported;
            // Saved as JSON, which has no infinity.
            if !(exported + sum).is_finite() {
                *rest = Rest::default();
            }
            VariableSeries {
                name: one.name.into(),
                help: one.help.text(),
                kind: Kind::Counter,
                inferred: false,
                labels: one.labels.into(),
                value: VariableValue::Number(Number::Float(exported)),
            }
        });
        series.collect()
    }

    /// Variables that are gone for now are remembered, as long as there is room: after a restart they
    /// come back one by one.
    fn forget(&mut self, max_variables: usize) {
        if self.memory.len() > max_variables.saturating_mul(2) {
            self.memory.retain(|_, memory| memory.exported);
        }
    }
}

/// Only of counters is a sum over keys that come and go still one.
fn has_rest(one: &Candidate) -> bool {
    one.rule.is_some() && one.kind == Some(Kind::Counter) && one.captured.contains(&true)
}

/// With `other` instead of everything that a `{name}` took.
fn rest_of(mut one: Candidate) -> Candidate {
    for ((_, value), _) in one.labels.iter_mut().zip(&one.captured).filter(|(_, by)| **by) {
        *value = REST.into();
    }
    Candidate { key: name::key(&one.name, &one.labels), ..one }
}

/// Why a candidate is not exported.
enum Refused {
    ByRule,
    TooMany,
    NameTaken,
}

impl Refused {
    const fn reason(&self) -> DropReason {
        match self {
            Self::ByRule | Self::TooMany => DropReason::TooMany,
            Self::NameTaken => DropReason::NameTaken,
        }
    }
}

/// What is left on one read's page.
struct Room<'a> {
    rules: &'a Rules,
    left: usize,
    by_rule: BTreeMap<usize, usize>,
    keys: BTreeSet<String>,
    /// Type by name; `None` for the lines that another's histogram makes.
    names: BTreeMap<String, Option<Option<Kind>>>,
}

impl<'a> Room<'a> {
    fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            left: rules.max_variables,
            by_rule: BTreeMap::new(),
            keys: BTreeSet::new(),
            names: BTreeMap::new(),
        }
    }

    fn take(&mut self, one: &Candidate) -> Result<(), Refused> {
        let lines = match &one.value {
            VariableValue::Number(_) => 1,
            VariableValue::Buckets(buckets) => buckets.counts.len() + 2,
        };
        if lines > self.left {
            return Err(Refused::TooMany);
        }
        if self.keys.contains(&one.key) {
            return Err(Refused::NameTaken);
        }
        let beside = name::lines(&one.name, one.kind);
        match self.names.get(&one.name) {
            Some(Some(kind)) if *kind == one.kind => {}
            Some(_) => return Err(Refused::NameTaken),
            None if beside.iter().any(|line| self.names.contains_key(line)) => {
                return Err(Refused::NameTaken);
            }
            None => {}
        }
        if let Some(rule) = one.rule {
            let export = self.rules.rules.get(rule).and_then(|rule| rule.export.as_ref());
            let used = self.by_rule.entry(rule).or_default();
            if export.is_some_and(|export| *used >= export.max_series) {
                return Err(Refused::ByRule);
            }
            *used += 1;
        }
        self.left -= lines;
        self.keys.insert(one.key.clone());
        self.names.extend(beside.into_iter().map(|line| (line, None)));
        self.names.entry(one.name.clone()).or_insert(Some(one.kind));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::file;
    use crate::model::json::Json;
    use crate::parse::expvar;

    impl VariableState {
        fn observe(
            &mut self,
            own: &[(String, Json)],
            rules: &Rules,
            restarted: Option<bool>,
        ) -> Observed {
            self.take(walk::walk(own, rules), rules, restarted)
        }
    }

    fn rules(keys: &str) -> Arc<Rules> {
        let text = format!("services: [{{name: s, expvar: {{url: 'http://h', {keys}}}}}]");
        let mut config = file::read(&text).unwrap();
        config.services.remove(0).expvar.unwrap().variables
    }

    fn page(variables: &str) -> Vec<(String, Json)> {
        expvar::read(format!("{{{variables}}}").as_bytes()).unwrap().own
    }

    fn read(state: &mut VariableState, rules: &Rules, variables: &str) -> Observed {
        state.observe(&page(variables), rules, Some(false))
    }

    /// `name{label="value"} type number`, in order.
    fn lines(state: &VariableState) -> Vec<String> {
        let series = state.series();
        let line = |one: &VariableSeries| {
            let labels: Vec<String> =
                one.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let value = match &one.value {
                VariableValue::Number(number) => number.as_f64().to_string(),
                VariableValue::Buckets(buckets) => format!("{:?}", buckets.counts),
            };
            format!("{}{{{}}} {} {value}", one.name, labels.join(","), one.kind.as_str())
        };
        series.iter().map(line).collect()
    }

    fn once(keys: &str, variables: &str) -> (Vec<String>, Dropped) {
        let mut state = VariableState::default();
        let observed = read(&mut state, &rules(keys), variables);
        (lines(&state), observed.dropped)
    }

    #[test]
    fn without_rules_numbers_have_names_made_of_their_paths() {
        let variables = r#""http.requests": {"2xx": 1}, "http-requests": {"2xx": 2}, "ü": 3, "on": true,
            "name": "text", "nothing": null, "shards": [4, 5.5], "workers": [{"busy": 6}, {"busy": 7}], "version": "12""#;
        let (found, dropped) = once("", variables);
        let expected = [
            "expvar__{} untyped 3",
            "expvar_http_requests_2xx{} untyped 1",
            "expvar_on{} gauge 1",
            "expvar_shards{index=0} untyped 4",
            "expvar_shards{index=1} untyped 5.5",
            "expvar_workers_busy{index=0} untyped 6",
            "expvar_workers_busy{index=1} untyped 7",
        ];
        assert_eq!(found, expected);
        assert_eq!((dropped.count(DropReason::NameTaken), dropped.total()), (1, 1));
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn rules_say_name_type_labels_unit() {
        let table = [
            (
                "{path: 'responses.{code}', name: http_responses, type: counter}",
                r#""responses": {"200": 7, "503": 1}"#,
                &[
                    "http_responses_total{code=200} counter 7",
                    "http_responses_total{code=503} counter 1",
                ][..],
            ),
            (
                "{path: 'responses.{code}', type: counter}",
                r#""responses": {"200": 7}"#,
                &["expvar_responses_total{code=200} counter 7"],
            ),
            (
                "{path: uptime, name: up_time, type: gauge, unit: ns}",
                r#""uptime": 1500000000"#,
                &["up_time_seconds{} gauge 1.5"],
            ),
            (
                "{path: uptime, name: up_time, unit: s}",
                r#""uptime": "1m30s""#,
                &["up_time_seconds{} untyped 90"],
            ),
            (
                "{path: size, name: cache, type: gauge, unit: MiB}",
                r#""size": 3"#,
                &["cache_bytes{} gauge 3145728"],
            ),
            (
                "{path: load, type: gauge, scale: 0.01}",
                r#""load": 12"#,
                &["expvar_load{} gauge 0.12"],
            ),
            ("{path: workers, type: gauge}", r#""workers": "12""#, &["expvar_workers{} gauge 12"]),
            ("{path: ready, type: gauge}", r#""ready": false"#, &["expvar_ready{} gauge 0"]),
            (
                "{path: version, type: info}",
                r#""version": "1.4.2""#,
                &["expvar_version_info{value=1.4.2} gauge 1"],
            ),
            (
                "{path: version, name: build, type: info, labels: {version: '{value}', a: b}}",
                r#""version": "v1""#,
                &["build_info{version=v1,a=b} gauge 1"],
            ),
            (
                "{path: 'hosts.{host}.{what}', name: 'host_{what}', type: gauge}",
                r#""hosts": {"a.example": {"up": 1}}"#,
                &["host_up{host=a.example} gauge 1"],
            ),
            (
                "{path: 'shards.{shard}', name: depth, type: gauge}",
                r#""shards": [4, 5]"#,
                &["depth{shard=0} gauge 4", "depth{shard=1} gauge 5"],
            ),
            (
                "{path: waits, name: wait, type: histogram, unit: s, buckets: [0.1, 1]}",
                r#""waits": [1, 2, 3]"#,
                &["wait_seconds{} histogram [1, 3, 6]"],
            ),
            (
                "{path: debug, drop: true}",
                r#""debug": {"a": {"b": 1}, "c": 2}, "d": 3"#,
                &["expvar_d{} untyped 3"],
            ),
            (
                "{path: a.b, type: gauge}, {path: 'a.**', drop: true}",
                r#""a": {"b": 1, "c": 2}"#,
                &["expvar_a_b{} gauge 1"],
            ),
            // What would be another metric's, or no name.
            (
                "{path: '{n}', name: '{n}', type: gauge}",
                r#""go_goroutines": 1, "9": 2, "a-b": 3"#,
                &["_9{} gauge 2", "a_b{} gauge 3", "expvar_go_goroutines{} gauge 1"],
            ),
            (
                "{path: 'x.{l}.{v}', name: x, type: gauge, labels: {'{l}': '{v}'}}",
                r#""x": {"service": {"a": 1}, "9": {"b": 2}}"#,
                &["x{exported_service=a} gauge 1", "x{label_9=b} gauge 2"],
            ),
        ];
        for (rules, variables, expected) in table {
            let (found, dropped) = once(&format!("rules: [{rules}]"), variables);
            assert_eq!(found, expected, "{rules}");
            assert_eq!(dropped.total(), 0, "{rules}");
        }
    }

    #[test]
    fn what_is_not_what_its_rule_says_is_dropped_and_counted() {
        for (rules, variables) in [
            ("{path: a, type: gauge}", r#""a": "text""#),
            ("{path: a, type: info}", r#""a": 1"#),
            ("{path: a, type: counter}", r#""a": -1"#),
            ("{path: a, type: counter}", r#""a": NaN"#),
            ("{path: a, type: histogram, buckets: [1]}", r#""a": [1, 2, 3]"#),
            ("{path: a, type: histogram}", r#""a": {"x": 1}"#),
            ("{path: a, type: histogram}", r#""a": 1"#),
        ] {
            let (found, dropped) = once(&format!("rules: [{rules}]"), variables);
            assert_eq!(
                (found.len(), dropped.count(DropReason::Value)),
                (0, 1),
                "{rules} {variables}"
            );
        }
    }

    #[test]
    fn what_is_over_a_bound_is_counted_by_its_reason() {
        let long = "k".repeat(201);
        let items = vec!["1"; 33].join(",");
        let variables = format!(
            r#""a": {{"b": {{"c": 1, "d": 2}}}}, "{long}": {{"e": 1, "f": 1}}, "ring": [{items}], "m": [[1]], "z": 5, "y": 4, "x": 3"#
        );
        let (found, dropped) = once("max_depth: 2, max_variables: 2", &variables);
        assert_eq!(found, ["expvar_y{} untyped 4", "expvar_z{} untyped 5"]);
        let counts = DropReason::ALL.map(|reason| dropped.count(reason));
        assert_eq!(counts, [1, 0, 2 + 1, 2, 33, 0, 0]);
        assert_eq!(dropped.sample(DropReason::TooDeep), Some("a.b.c"));
        let (found, dropped) = once("", &variables);
        assert_eq!(found.len(), 5);
        assert_eq!(dropped.count(DropReason::Array), 33 + 1);
    }

    #[test]
    fn a_histogram_keeps_its_lines_to_itself() {
        let rule = "rules: [{path: h, name: x, type: histogram, buckets: [1]}, {path: c, name: x_count, type: gauge}]";
        for variables in [r#""h": [1, 2], "c": 3"#, r#""c": 3, "h": [1, 2]"#] {
            let (found, dropped) = once(rule, variables);
            assert_eq!((found.len(), dropped.count(DropReason::NameTaken)), (1, 1), "{variables}");
        }
    }

    #[test]
    fn a_new_key_pushes_nobody_out() {
        let (mut state, rules) = (VariableState::default(), rules("max_variables: 2"));
        read(&mut state, &rules, r#""b": 1, "c": 1, "d": 1"#);
        assert_eq!(lines(&state), ["expvar_b{} untyped 1", "expvar_c{} untyped 1"]);
        read(&mut state, &rules, r#""a": 1, "b": 2, "c": 2, "d": 2"#);
        assert_eq!(lines(&state), ["expvar_b{} untyped 2", "expvar_c{} untyped 2"]);
        read(&mut state, &rules, r#""a": 1, "c": 2, "d": 2"#);
        assert_eq!(lines(&state), ["expvar_a{} untyped 1", "expvar_c{} untyped 2"]);
    }

    #[test]
    fn what_is_past_a_rules_bound_is_summed_and_the_sum_never_falls() {
        let rules =
            rules("rules: [{path: 'users.{user}', name: hits, type: counter, max_series: 2}]");
        let mut state = VariableState::default();
        for (variables, rest) in [
            (r#""users": {"a": 1, "b": 2, "c": 3, "d": 4}"#, 7),
            (r#""users": {"a": 1, "b": 2, "c": 5, "d": 4}"#, 9),
            (r#""users": {"a": 1, "b": 2, "c": 6}"#, 9),
            (r#""users": {"a": 1, "b": 2, "c": 8}"#, 11),
        ] {
            let observed = read(&mut state, &rules, variables);
            assert!(observed.dropped.count(DropReason::TooMany) >= 1);
            let expected = [
                "hits_total{user=a} counter 1",
                "hits_total{user=b} counter 2",
                &format!("hits_total{{user=other}} counter {rest}"),
            ];
            assert_eq!(lines(&state), expected);
        }
        state.observe(&page(r#""users": {"a": 1, "b": 2, "c": 8}"#), &rules, Some(true));
        assert_eq!(lines(&state)[2], "hits_total{user=other} counter 8", "another process");
    }

    #[test]
    fn types_are_inferred_and_kept_over_our_own_restart() {
        let (mut state, rules) = (VariableState::default(), Rules::default());
        for n in 0..=10 {
            state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
            read(&mut state, &rules, &format!(r#""served": {n}, "queued": {}, "limit": 7"#, n % 3));
        }
        let kinds =
            ["expvar_limit{} untyped 7", "expvar_queued{} gauge 1", "expvar_served{} counter 10"];
        assert_eq!(lines(&state), kinds);
        let restarted = state.observe(&page(r#""served": 0"#), &rules, Some(true));
        assert!(restarted.retyped.is_empty() && !restarted.restarted);
        assert_eq!(lines(&state), ["expvar_served{} counter 0"]);
        read(&mut state, &rules, r#""served": 5"#);
        let fell = read(&mut state, &rules, r#""served": 4"#);
        assert_eq!(fell.retyped, ["expvar_served".into()]);
        assert_eq!(lines(&state), ["expvar_served{} gauge 4"]);
    }

    #[test]
    fn without_memstats_counters_that_fall_together_tell_a_restart() {
        let variables = |n: u64| format!(r#""a": {n}, "b": {n}, "c": {n}, "d": 1"#);
        let (mut state, plain) = (VariableState::default(), Rules::default());
        for n in 1..=20 {
            assert!(!state.observe(&page(&variables(n)), &plain, None).restarted);
        }
        let one = state.observe(&page(r#""a": 1, "b": 21, "c": 21"#), &plain, None);
        assert_eq!((one.restarted, one.retyped.len()), (false, 1), "one alone is no counter");
        let both = state.observe(&page(r#""a": 2, "b": 1, "c": 1"#), &plain, None);
        assert!(!both.restarted, "two are too few");
        let (mut state, rules) =
            (VariableState::default(), rules("rules: [{path: a, type: counter}]"));
        assert!(!state.observe(&page(&variables(5)), &rules, None).restarted);
        assert!(
            state.observe(&page(&variables(4)), &rules, None).restarted,
            "its rule calls it one"
        );
        assert!(
            !state.observe(&page(&variables(3)), &rules, Some(false)).restarted,
            "memstats know"
        );
    }

    #[test]
    fn three_inferred_counters_tell_a_restart() {
        let variables = |n: u64| format!(r#""a": {n}, "b": {n}, "c": {n}"#);
        let (mut state, rules) = (VariableState::default(), Rules::default());
        for n in 1..=11 {
            state.observe(&page(&variables(n)), &rules, None);
        }
        let observed = state.observe(&page(&variables(1)), &rules, None);
        assert!(observed.restarted && observed.retyped.is_empty());
    }

    #[test]
    fn the_number_of_goroutines_is_found_by_its_name() {
        for (keys, variables, expected) in [
            ("", r#""goroutines": 7"#, Some(7)),
            ("", r#""gauge_goroutines": 8, "goroutines": 7"#, Some(8)),
            ("", r#""runtime.NumGoroutine": 9"#, Some(9)),
            ("", r#""runtime": {"NumGoroutine": {"value": 9}}"#, Some(9)),
            ("", r#""goroutines": "many""#, None),
            ("", r#""goroutines": 1.5"#, None),
            ("goroutines: stats.g", r#""goroutines": 7, "stats": {"g": 3}"#, Some(3)),
            ("goroutines: none", r#""goroutines": 7"#, None),
            ("rules: [{path: goroutines, drop: true}]", r#""goroutines": 7"#, Some(7)),
        ] {
            let mut state = VariableState::default();
            read(&mut state, &rules(keys), variables);
            assert_eq!(state.goroutines(), expected, "{keys} {variables}");
            state.failed();
            assert_eq!((state.goroutines(), state.series().len()), (None, 0));
        }
    }

    fn value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(|n| Json::Number(Number::Unsigned(n))),
            any::<f64>().prop_map(|x| Json::Number(Number::Float(x))),
            any::<bool>().prop_map(Json::Bool),
            "[a-z0-9.]{0,4}".prop_map(Json::Text),
            Just(Json::Null),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
                prop::collection::vec(("[ab.\u{e4}]{0,3}", inner), 0..5).prop_map(Json::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn names_are_right_series_differ_and_nothing_is_lost_in_silence(
            reads in prop::collection::vec(prop::collection::vec(("[ab.]{1,3}", value()), 0..12), 1..4),
            with_rules in any::<bool>(),
        ) {
            let keys = "max_variables: 9, max_depth: 3, rules: [{path: 'a.{x}', name: 'n_{x}', type: counter}, {path: '{y}.b', type: gauge, max_series: 1}, {path: '*', type: histogram, buckets: [1, 2]}]";
            let rules = rules(if with_rules { keys } else { "max_variables: 9" });
            let mut state = VariableState::default();
            for page in &reads {
                let observed = state.observe(page, &rules, None);
                let series = state.series();
                prop_assert!(series.len() <= rules.max_variables + 3);
                prop_assert!(series.is_sorted_by(|a, b| a.name <= b.name));
                let mut seen = BTreeSet::new();
                for one in &*series {
                    let name_is_right = one.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                        && !one.name.starts_with(|c: char| c.is_ascii_digit());
                    prop_assert!(name_is_right, "{}", one.name);
                    prop_assert!(seen.insert((one.name.clone(), one.labels.clone())), "twice: {one:?}");
                    prop_assert_eq!(one.kind == Kind::Histogram, matches!(one.value, VariableValue::Buckets(_)));
                }
                let walked = walk::walk(page, &rules);
                let made = walked.candidates.len() as u64 + walked.dropped.total();
                let kept = series.iter().filter(|one| !one.labels.iter().any(|(_, value)| **value == *REST)).count();
                prop_assert_eq!(kept as u64 + observed.dropped.total(), made);
                // What is saved is what is read back.
                let saved = serde_json::to_string(&state).unwrap();
                state = serde_json::from_str(&saved).unwrap();
                prop_assert_eq!(serde_json::to_string(&state).unwrap(), saved);
            }
        }
    }
}
