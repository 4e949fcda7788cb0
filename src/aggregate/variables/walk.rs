//! A page's variables and the user's rules → what may become series.

use std::sync::Arc;

use super::buckets;
use super::name;
use crate::model::json::Json;
use crate::model::metric::Kind;
use crate::model::snapshot::Number;
use crate::model::variable::pattern::{Found, STEP};
use crate::model::variable::rule::{Export, Rule, Rules, Target};
use crate::model::variable::{DropReason, Dropped, VariableValue};

/// Longest key, and longest label value: what is longer is text for people.
const KEY_BYTES_MAX: usize = 200;

/// Longest array that has a series for each item though no rule speaks of it.
const ITEMS_MAX: usize = 32;

/// Most variables of a page that are looked at.
const LOOKED_AT_MAX: usize = 50_000;

/// What becomes a series if there is room for it.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: String,
    /// Name and labels.
    pub(super) key: String,
    pub(super) labels: Vec<(Box<str>, Box<str>)>,
    /// Which of the labels have what a `{name}` took.
    pub(super) captured: Vec<bool>,
    /// `None`: to be inferred.
    pub(super) kind: Option<Kind>,
    pub(super) help: Help,
    pub(super) value: VariableValue,
    /// The rule that made it.
    pub(super) rule: Option<usize>,
}

/// Made only for what is exported.
#[derive(Debug)]
pub(super) enum Help {
    Rule(Arc<str>),
    /// The variable's path.
    Path(Vec<u8>),
}

impl Help {
    pub(super) fn text(self) -> Arc<str> {
        match self {
            Self::Rule(help) => help,
            Self::Path(path) => format!("Variable {} of /debug/vars.", readable(&path)).into(),
        }
    }
}

/// What a page has.
#[derive(Debug, Default)]
pub struct Walked {
    pub(super) candidates: Vec<Candidate>,
    pub(super) dropped: Dropped,
    pub(super) goroutines: Option<u64>,
}

/// Looks at every variable. Needs nothing that was read before, so nobody waits for it.
#[must_use]
pub fn walk(own: &[(String, Json)], rules: &Rules) -> Walked {
    let mut walk = Walk {
        rules,
        path: Vec::new(),
        steps: Vec::new(),
        found: Found::default(),
        looked_at: 0,
        goroutines_by: rules.goroutines.len(),
        out: Walked::default(),
    };
    for (key, value) in own {
        walk.below(key, value, None);
    }
    walk.out
}

/// A step on the way to a value.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Where its key begins in the path.
    from: usize,
    /// It is an item of an array of this length.
    of_array: Option<usize>,
}

struct Walk<'a> {
    rules: &'a Rules,
    path: Vec<u8>,
    steps: Vec<Step>,
    found: Found,
    looked_at: usize,
    /// Which of the known names gave the number of goroutines.
    goroutines_by: usize,
    out: Walked,
}

impl<'a> Walk<'a> {
    fn below(&mut self, key: &str, value: &Json, of_array: Option<usize>) {
        if key.len() > KEY_BYTES_MAX {
            return self.drop(DropReason::TooLong, leaves(value));
        }
        let end = self.path.len();
        if !self.steps.is_empty() {
            self.path.push(STEP);
        }
        self.steps.push(Step { from: self.path.len(), of_array });
        self.path.extend_from_slice(key.as_bytes());
        if self.steps.len() > self.rules.max_depth {
            self.drop(DropReason::TooDeep, leaves(value));
        } else {
            self.value(value);
        }
        self.steps.pop();
        self.path.truncate(end);
    }

    fn value(&mut self, value: &Json) {
        match value {
            Json::Null => {}
            Json::Bool(_) | Json::Number(_) | Json::Text(_) => self.leaf(value),
            Json::Array(items) => {
                if !self.histogram(value) {
                    for (index, item) in items.iter().enumerate() {
                        self.below(&index.to_string(), item, Some(items.len()));
                    }
                }
            }
            Json::Object(entries) => {
                if !self.histogram(value) {
                    for (key, value) in entries {
                        self.below(key, value, None);
                    }
                }
            }
        }
    }

    fn leaf(&mut self, value: &Json) {
        self.looked_at += 1;
        if self.looked_at > LOOKED_AT_MAX {
            return self.drop(DropReason::TooMany, 1);
        }
        self.goroutines(value);
        match self.rule() {
            Some((place, Rule { export: Some(export), .. })) => self.by_rule(place, export, value),
            Some(_) => {}
            None if self.rules.others => self.as_it_is(value),
            None => {}
        }
    }

    /// The first rule that matches.
    fn rule(&mut self) -> Option<(usize, &'a Rule)> {
        let rules: &'a Rules = self.rules;
        let (path, found) = (&self.path, &mut self.found);
        rules.rules.iter().enumerate().find(|(_, rule)| rule.pattern.matches(path, found))
    }

    fn goroutines(&mut self, value: &Json) {
        let Some(n) = value.as_u64() else { return };
        let better = self.rules.goroutines.iter().take(self.goroutines_by);
        if let Some(by) =
            better.map(|path| path.matches(&self.path, &mut self.found)).position(|matches| matches)
        {
            (self.goroutines_by, self.out.goroutines) = (by, Some(n));
        }
    }

    /// No rule speaks of it: a number with a name made of its path.
    fn as_it_is(&mut self, value: &Json) {
        let (number, kind) = match value {
            Json::Number(number) => (*number, None),
            Json::Bool(yes) => (Number::Unsigned((*yes).into()), Some(Kind::Gauge)),
            _ => return,
        };
        let mut arrays = self.steps.iter().filter(|step| step.of_array.is_some());
        let (index, more) = (arrays.next().copied(), arrays.next().is_some());
        if more || index.and_then(|step| step.of_array).is_some_and(|items| items > ITEMS_MAX) {
            return self.drop(DropReason::Array, 1);
        }
        let mut labels = Vec::new();
        let mut without_index = self.path.clone();
        if let Some(Step { from, .. }) = index {
            let end = self.steps.iter().map(|step| step.from).find(|next| *next > from);
            let end = end.map_or(self.path.len(), |next| next - 1);
            let label = self.text(from, end);
            labels.push((self.label_name("index").into(), label.into()));
            without_index.drain(from.saturating_sub(1)..end);
        }
        let name = name::of_path(&without_index);
        self.push(Candidate {
            key: name::key(&name, &labels),
            name,
            captured: vec![false; labels.len()],
            labels,
            kind,
            help: Help::Path(without_index),
            value: VariableValue::Number(number),
            rule: None,
        });
    }

    fn by_rule(&mut self, place: usize, export: &Export, value: &Json) {
        let kind = export.to.kind();
        if kind == Some(Kind::Histogram) {
            return self.drop(DropReason::Value, 1);
        }
        let (number, text) = match (&export.to, value) {
            (Target::Info, Json::Text(text)) => (Some(Number::Unsigned(1)), text.as_str()),
            (Target::Info, _) => (None, ""),
            (_, Json::Number(number)) => (Some(export.conversion.number(*number)), ""),
            (_, Json::Bool(yes)) => (Some(Number::Unsigned((*yes).into())), ""),
            (_, Json::Text(text)) => (export.conversion.text(text), ""),
            _ => (None, ""),
        };
        if text.len() > KEY_BYTES_MAX {
            return self.drop(DropReason::TooLong, 1);
        }
        match number {
            Some(number) if kind != Some(Kind::Counter) || can_count(number) => {
                self.emit(place, export, kind, VariableValue::Number(number), text);
            }
            _ => self.drop(DropReason::Value, 1),
        }
    }

    /// Takes a map or an array as a histogram if its first rule says so; gives true if it was one.
    fn histogram(&mut self, value: &Json) -> bool {
        let Some((place, rule)) = self.rule() else { return false };
        let Some(export) = &rule.export else { return false };
        let Target::Histogram { bounds, cumulative } = &export.to else { return false };
        self.looked_at += leaves_below(value);
        match buckets::read(value, bounds.as_ref(), *cumulative, &export.conversion) {
            Some(buckets) => {
                let value = VariableValue::Buckets(buckets);
                self.emit(place, export, Some(Kind::Histogram), value, "");
            }
            None => self.drop(DropReason::Value, 1),
        }
        true
    }

    fn emit(
        &mut self,
        rule: usize,
        export: &Export,
        kind: Option<Kind>,
        value: VariableValue,
        text: &str,
    ) {
        let captured: Vec<String> =
            self.found.spans().iter().map(|span| self.text(span.start, span.end)).collect();
        let captured = |place: usize| captured.get(place).map_or("", String::as_str);
        let stem = match &export.name {
            Some(name) => name::clean(&name.render(captured, text)),
            None => name::of_path(&self.without_captures()),
        };
        let name = export.full_name(&stem);
        let mut labels: Vec<(Box<str>, Box<str>)> = Vec::with_capacity(export.labels.len());
        let mut by_capture = Vec::with_capacity(export.labels.len());
        for (label, template) in &export.labels {
            let label = self.label_name(&label.render(captured, text));
            let value = template.render(captured, text);
            let taken = labels.iter().any(|(known, _)| **known == *label);
            // A label without a value is none.
            if !value.is_empty() && !taken {
                labels.push((label.into(), value.into()));
                by_capture.push(template.uses_captures());
            }
        }
        let key = name::key(&name, &labels);
        let help = Help::Rule(Arc::clone(&export.help));
        let captured = by_capture;
        self.push(Candidate { key, name, labels, captured, kind, help, value, rule: Some(rule) });
    }

    /// The path without what became labels.
    fn without_captures(&self) -> Vec<u8> {
        let mut rest = self.path.clone();
        for span in self.found.spans().iter().rev() {
            rest.drain(span.clone());
        }
        rest
    }

    fn label_name(&self, wanted: &str) -> String {
        let label = name::label(wanted);
        if self.rules.taken_labels.iter().any(|taken| **taken == *label) {
            // As Prometheus names a label that it has itself.
            format!("exported_{label}")
        } else {
            label
        }
    }

    fn text(&self, from: usize, end: usize) -> String {
        String::from_utf8_lossy(self.path.get(from..end).unwrap_or_default()).into_owned()
    }

    fn push(&mut self, candidate: Candidate) {
        self.out.candidates.push(candidate);
    }

    fn drop(&mut self, reason: DropReason, n: usize) {
        let path = &self.path;
        self.out.dropped.note(reason, n as u64, || readable(path));
    }
}

/// No counter is less than 0 or without a value.
fn can_count(number: Number) -> bool {
    let x = number.as_f64();
    x >= 0.0 && x.is_finite()
}

/// A path as people write it.
fn readable(path: &[u8]) -> String {
    let keys = path.split(|byte| *byte == STEP).map(String::from_utf8_lossy);
    keys.collect::<Vec<_>>().join(".")
}

/// Numbers in a value; at least itself.
fn leaves(value: &Json) -> usize {
    leaves_below(value).max(1)
}

fn leaves_below(value: &Json) -> usize {
    match value {
        Json::Array(items) => items.iter().map(leaves_below).sum(),
        Json::Object(entries) => entries.iter().map(|(_, value)| leaves_below(value)).sum(),
        _ => 1,
    }
}
