//! Goroutines by where they wait: function, file and line, and the profiler labels asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::blame::{blamed, short_name};
use crate::model::stack::Stack;

/// Longest text of a label, in bytes; a profiler label may have any. What is alike up to there
/// counts as one.
pub const TEXT_MAX_BYTES: usize = 512;

/// The function of a stack without calls.
const UNKNOWN: &str = "unknown";

/// Where goroutines wait.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The function that is [blamed], without type arguments.
    pub function: Arc<str>,
    /// Its file as the profile has it; empty where the function is not known.
    pub file: Arc<str>,
    /// The line in it where the function waits; 0 where it is not known.
    pub line: u32,
    /// Values of the profiler labels asked for, in that order; empty for those that are not set.
    pub labels: Box<[Arc<str>]>,
}

/// Counts the stacks of a profile by place. Its memory is bounded by the profile's body: a place is
/// never longer than the lines it was made of.
#[derive(Debug, Clone, Default)]
pub struct Places {
    wanted: Arc<[Box<str>]>,
    counts: BTreeMap<Place, u64>,
}

impl Places {
    /// `wanted`: names of the profiler labels by which places are told apart.
    #[must_use]
    pub fn new(wanted: Arc<[Box<str>]>) -> Self {
        Self { wanted, counts: BTreeMap::new() }
    }

    /// Adds a stack.
    pub fn add(&mut self, stack: &Stack<'_>) {
        let (function, file, line) = match blamed(stack.frames) {
            Some(frame) => (short_name(frame.function), frame.file, frame.line),
            None => (Cow::Borrowed(UNKNOWN), "", 0),
        };
        let label = |name: &str| {
            let found = stack.labels.iter().find(|(key, _)| key == name);
            bounded(found.map_or("", |(_, value)| value))
        };
        let labels = self.wanted.iter().map(|name| label(name)).collect();
        let place = Place { function: bounded(&function), file: bounded(file), line, labels };
        let count = self.counts.entry(place).or_default();
        *count = count.saturating_add(stack.count);
    }

    /// Names of the profiler labels by which places are told apart.
    #[must_use]
    pub fn wanted(&self) -> &[Box<str>] {
        &self.wanted
    }

    /// Places with their goroutines.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<Place, u64> {
        &self.counts
    }
}

fn bounded(text: &str) -> Arc<str> {
    text.get(..text.floor_char_boundary(TEXT_MAX_BYTES)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::stack::Frame;

    #[test]
    fn stacks_of_one_place_are_summed_and_labels_tell_them_apart_only_if_wanted() {
        let frames = |line| [Frame { function: "main.f[int]", file: "/a.go", line }];
        let labels = |value: &str| {
            [("other".to_owned(), "x".to_owned()), ("k".to_owned(), value.to_owned())]
        };
        let check = |wanted: &[&str], expected: &[(&str, u32, &str, u64)]| {
            let mut places = Places::new(wanted.iter().map(|name| Box::from(*name)).collect());
            for (count, line, value) in [(2, 1, "a"), (3, 1, "b"), (4, 2, "a"), (5, 1, "a")] {
                places.add(&Stack { count, frames: &frames(line), labels: &labels(value) });
            }
            places.add(&Stack { count: 1, frames: &[], labels: &[] });
            let found: Vec<(&str, u32, &str, u64)> = places
                .counts()
                .iter()
                .map(|(place, n)| {
                    (
                        &*place.function,
                        place.line,
                        place.labels.first().map_or("-", |label| &**label),
                        *n,
                    )
                })
                .collect();
            assert_eq!(found, expected);
        };
        check(
            &[],
            &[("main.f[...]", 1, "-", 10), ("main.f[...]", 2, "-", 4), ("unknown", 0, "-", 1)],
        );
        check(
            &["k"],
            &[
                ("main.f[...]", 1, "a", 7),
                ("main.f[...]", 1, "b", 3),
                ("main.f[...]", 2, "a", 4),
                ("unknown", 0, "", 1),
            ],
        );
    }

    #[test]
    fn texts_are_bounded_between_letters() {
        let long = "ü".repeat(TEXT_MAX_BYTES);
        assert_eq!(bounded(&long).len(), TEXT_MAX_BYTES);
        assert_eq!(bounded(&format!("x{long}")).len(), TEXT_MAX_BYTES - 1);
    }

    proptest! {
        /// What a service names its functions and labels is its own business.
        #[test]
        fn a_place_that_was_saved_is_the_same_place(
            texts in prop::collection::vec(any::<String>(), 2..6),
            line in any::<u32>(),
        ) {
            let frames = [Frame { function: &texts[0], file: &texts[1], line }];
            let labels: Vec<(String, String)> =
                texts[2..].iter().map(|text| (text.clone(), text.clone())).collect();
            let wanted = texts[2..].iter().map(|text| text.as_str().into()).collect();
            let mut places = Places::new(wanted);
            places.add(&Stack { count: 1, frames: &frames, labels: &labels });
            for place in places.counts().keys() {
                let saved = serde_json::to_string(place).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Place>(&saved).unwrap(), place);
            }
        }
    }
}
