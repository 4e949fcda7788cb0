//! Reads the keys of a map one by one, gathers every problem, and tells unknown keys.

use std::cell::RefCell;

use strsim::osa_distance;

use super::Problem;
use super::node::{Node, Value};

/// The problems found so far.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// One more.
    pub fn add(&self, line: u64, path: &str, what: impl Into<String>) {
        self.0.borrow_mut().push(Problem { line, path: path.to_owned(), what: what.into() });
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// All, in the order of the file.
    #[must_use]
    pub fn into_sorted(self) -> Vec<Problem> {
        let mut problems = self.0.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }
}

/// A map that is being read.
#[derive(Debug)]
pub struct Fields<'a> {
    line: u64,
    path: String,
    entries: &'a [(Node, Node)],
    known: Vec<&'static str>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// The map at `node`; `None`, and a problem, if it is none.
    #[must_use]
    pub fn of(node: &'a Node, path: &str, problems: &'a Problems) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self {
                line: node.line,
                path: path.to_owned(),
                entries,
                known: Vec::new(),
                problems,
            }),
            other => {
                problems.add(
                    node.line,
                    path,
                    format!("must be a map of keys, is {}", other.kind()),
                );
                None
            }
        }
    }

    /// Line at which the map begins.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The path of one of its keys.
    #[must_use]
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A problem with one of its keys.
    pub fn problem(&self, line: u64, key: &str, what: impl Into<String>) {
        self.problems.add(line, &self.path_of(key), what);
    }

    /// A problem with the map as a whole.
    pub fn problem_at_map(&self, what: &str) {
        self.problems.add(self.line, &self.path, what);
    }

    /// The value of a key; a key without one counts as not there.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let found = self
            .entries
            .iter()
            .find(|(name, _)| matches!(&name.value, Value::Text(text) if text == key));
        found.map(|(_, node)| node).filter(|node| !matches!(node.value, Value::Null))
    }

    /// Whether a key is there, with or without a value.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| matches!(&name.value, Value::Text(text) if text == key))
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<(u64, &'a str)> {
        let node = self.get(key)?;
        match &node.value {
            Value::Text(text) => Some((node.line, text)),
            Value::Integer(_) | Value::Decimal(_) | Value::Bool(_) => {
                self.problem(
                    node.line,
                    key,
                    format!("must be text, is {}; put it in quotes", node.value.kind()),
                );
                None
            }
            other => {
                self.problem(node.line, key, format!("must be text, is {}", other.kind()));
                None
            }
        }
    }

    /// A text read by `parse`.
    pub fn parsed<T, E: ToString>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let node = self.get(key)?;
        // A number alone is a text without its unit: let `parse` say what is missing.
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Integer(n) => n.to_string(),
            _ => return self.text(key).and(None),
        };
        parse(&text).map_err(|error| self.problem(node.line, key, error.to_string())).ok()
    }

    /// `true` or `false`; false if it is not there.
    pub fn flag(&mut self, key: &'static str) -> bool {
        let Some(node) = self.get(key) else { return false };
        match node.value {
            Value::Bool(value) => value,
            ref other => {
                self.problem(node.line, key, format!("must be true or false, is {}", other.kind()));
                false
            }
        }
    }

    /// A list.
    pub fn list(&mut self, key: &'static str) -> Option<&'a [Node]> {
        let node = self.get(key)?;
        match &node.value {
            Value::List(items) => Some(items),
            other => {
                self.problem(node.line, key, format!("must be a list, is {}", other.kind()));
                None
            }
        }
    }

    /// A number.
    pub fn number(&mut self, key: &'static str) -> Option<f64> {
        let node = self.get(key)?;
        match node.value {
            #[expect(clippy::cast_precision_loss, reason = "asked for as a float")]
            Value::Integer(n) => Some(n as f64),
            Value::Decimal(x) if x.is_finite() => Some(x),
            ref other => {
                self.problem(node.line, key, format!("must be a number, is {}", other.kind()));
                None
            }
        }
    }

    /// A map in one of its lists.
    pub fn item(&self, key: &'static str, place: usize, item: &'a Node) -> Option<Self> {
        Self::of(item, &format!("{}[{place}]", self.path_of(key)), self.problems)
    }

    /// A map below this one.
    pub fn map(&mut self, key: &'static str) -> Option<Fields<'a>> {
        let node = self.get(key)?;
        Fields::of(node, &self.path_of(key), self.problems)
    }

    /// The map at `node`, the value of a key that is the user's own.
    #[must_use]
    pub fn below(&self, node: &'a Node, key: &str) -> Option<Self> {
        Fields::of(node, &self.path_of(key), self.problems)
    }

    /// The map's entries with text as keys, whatever they are called.
    #[must_use]
    pub fn entries(&self) -> &'a [(Node, Node)] {
        self.entries
    }

    /// Ends the reading: every key that was not asked for is a problem.
    pub fn finish(self) {
        for (name, _) in self.entries {
            let key = match &name.value {
                Value::Text(text) => text.clone(),
                other => format!("({})", other.kind()),
            };
            if !self.known.contains(&key.as_str()) {
                let mut what = format!("is not a key; the keys here are {}", self.known.join(", "));
                if let Some(near) = nearest(&key, &self.known) {
                    what = format!("is not a key; did you mean {near}?");
                }
                self.problem(name.line, &key, what);
            }
        }
    }
}

/// The key that differs by at most two letters.
pub(super) fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let scored = known.iter().map(|candidate| (osa_distance(key, candidate), *candidate));
    scored
        .filter(|(d, candidate)| *d <= 2 && *d < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found_if_it_is_near() {
        assert_eq!(nearest("fiel", &["fifo", "file"]), Some("file"), "two letters changed places");
        assert_eq!(nearest("expvr", &["expvar", "pprof"]), Some("expvar"));
        assert_eq!(nearest("trace", &["labels", "name"]), None);
    }
}
