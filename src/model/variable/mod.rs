//! A service's own expvar variables: how they become series, and the series.

pub mod pattern;
pub mod rule;
pub mod template;
pub mod unit;

use std::sync::Arc;

use super::metric::Kind;
use super::snapshot::Number;

/// A series made of one of the service's own variables.
#[derive(Debug, Clone, PartialEq)]
pub struct VariableSeries {
    /// Full Prometheus name.
    pub name: Box<str>,
    /// The `# HELP` text.
    pub help: Arc<str>,
    /// Its type.
    pub kind: Kind,
    /// Nobody said what its type is: we saw how it behaves.
    pub inferred: bool,
    /// Its own labels: names and values.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Its value.
    pub value: VariableValue,
}

/// The value of such a series.
#[derive(Debug, Clone, PartialEq)]
pub enum VariableValue {
    /// Of a gauge or counter, or a number whose type is not known.
    Number(Number),
    /// Of a histogram.
    Buckets(Buckets),
}

/// A histogram that a service keeps itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// Upper bounds in rising order, without `+Inf`.
    pub bounds: Arc<[f64]>,
    /// Observations up to each bound (cumulative); one more than `bounds`, the last is `+Inf`.
    pub counts: Box<[u64]>,
    /// Sum of all observations, if the service keeps it.
    pub sum: Option<f64>,
}

/// Why a variable is not exported: the closed set of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// There are too many series.
    TooMany,
    /// Another one has its name and labels, or its name with another type.
    NameTaken,
    /// It stands below too many maps.
    TooDeep,
    /// A key, or a text that would be a label's value, is too long.
    TooLong,
    /// It is in an array of which no rule speaks, and that is too long to have a series for each item.
    Array,
    /// It is not what its rule says.
    Value,
    /// Another service has its name with another type.
    OtherType,
}

impl DropReason {
    /// All of them, in the order of their index.
    pub const ALL: [Self; 7] = [
        Self::TooMany,
        Self::NameTaken,
        Self::TooDeep,
        Self::TooLong,
        Self::Array,
        Self::Value,
        Self::OtherType,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::NameTaken => "name_taken",
            Self::TooDeep => "too_deep",
            Self::TooLong => "too_long",
            Self::Array => "array",
            Self::Value => "value",
            Self::OtherType => "other_type",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::TooMany => {
                "raise max_variables or max_series, or drop what is not needed by a rule"
            }
            Self::NameTaken => "give it another name by a rule",
            Self::TooDeep => "raise max_depth",
            Self::TooLong => "drop it by a rule",
            Self::Array => "write a rule for it: a histogram, a label for its index, or drop",
            Self::Value => "its value is not what its rule says: change the rule",
            Self::OtherType => "give it another name by a rule, or the same type in both services",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// Variables that are not exported, by reason, with one of them for the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    counts: [u64; DropReason::ALL.len()],
    samples: [Option<Box<str>>; DropReason::ALL.len()],
}

impl Dropped {
    /// `n` more; `sample` names one.
    pub fn note(&mut self, reason: DropReason, n: u64, sample: impl FnOnce() -> String) {
        if let Some(count) = self.counts.get_mut(reason.index()) {
            *count += n;
        }
        if let Some(slot @ None) = self.samples.get_mut(reason.index()).filter(|_| n > 0) {
            *slot = Some(sample().into());
        }
    }

    /// How many for a reason.
    #[must_use]
    pub fn count(&self, reason: DropReason) -> u64 {
        self.counts.get(reason.index()).copied().unwrap_or_default()
    }

    /// One of them.
    #[must_use]
    pub fn sample(&self, reason: DropReason) -> Option<&str> {
        self.samples.get(reason.index())?.as_deref()
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}
