//! What is exported at one moment: an immutable picture of a service's state.

use std::sync::Arc;

use super::service::Identity;
use super::variable::VariableSeries;

/// Place of a metric in a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricId(pub u16);

/// A value that keeps 64-bit integers exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A count.
    Unsigned(u64),
    /// An integer that may be negative.
    Signed(i64),
    /// Anything else.
    Float(f64),
}

impl Number {
    /// The nearest float.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "asked for as a float")]
    pub const fn as_f64(self) -> f64 {
        match self {
            Self::Unsigned(n) => n as f64,
            Self::Signed(n) => n as f64,
            Self::Float(x) => x,
        }
    }
}

impl From<f64> for Number {
    fn from(x: f64) -> Self {
        Self::Float(x)
    }
}

impl From<u64> for Number {
    fn from(n: u64) -> Self {
        Self::Unsigned(n)
    }
}

/// A label's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// Known at build time.
    Static(&'static str),
    /// From a service.
    Shared(Arc<str>),
}

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// Buckets, sum and count of a histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Upper bounds in rising order, without `+Inf`.
    pub bounds: &'static [f64],
    /// Observations in each bucket (not cumulative); one more than `bounds`, the last is `+Inf`.
    pub counts: Box<[u64]>,
    /// Sum of all observations.
    pub sum: f64,
}

/// Quantiles, sum and count as a runtime reports them.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantiles {
    /// (quantile, value) in rising order.
    pub values: Vec<(f64, f64)>,
    /// Sum of all observations.
    pub sum: f64,
    /// Number of all observations.
    pub count: u64,
}

/// The value of one series.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A gauge or counter.
    Number(Number),
    /// A histogram.
    Distribution(Distribution),
    /// A summary.
    Quantiles(Box<Quantiles>),
}

/// One series: a metric, the values of its own labels, and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Which metric.
    pub metric: MetricId,
    /// Values of the metric's own labels, in the order of its description; then those of the
    /// snapshot's `more_labels`, where a series has them.
    pub labels: Vec<Text>,
    /// The value.
    pub value: Value,
}

/// All series of one service at one moment, ordered by metric.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSnapshot {
    /// Whose they are.
    pub identity: Arc<Identity>,
    /// The series, ordered by metric.
    pub series: Vec<Series>,
    /// Names of labels that only this service has: profiler labels.
    pub more_labels: Arc<[Box<str>]>,
    /// The service's own variables, ordered by name.
    pub variables: Arc<[VariableSeries]>,
}
