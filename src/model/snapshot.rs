//! What is exported at one moment: an immutable picture of a service's state.

use std::sync::Arc;

use super::metric::Since;
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
    /// The same observations in exponential buckets.
    pub exponential: Exponential,
    /// It began anew after the service's other counters: a release of ours changed its buckets.
    pub anew: bool,
}

/// Buckets whose bounds are powers of 2^(2^-schema): number i holds the observations above
/// 2^((i-1)/2^schema), up to 2^(i/2^schema). So Prometheus numbers them; OpenTelemetry's index is
/// lower by 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exponential {
    /// How finely a factor of 2 is divided; OpenTelemetry's scale.
    pub schema: i8,
    /// Observations up to this are counted as 0.
    pub zero_threshold: f64,
    /// Observations of 0.
    pub zero_count: u64,
    /// Number of the first of `counts`.
    pub first: i32,
    /// Observations in each bucket (not cumulative), at most 160; some may be 0.
    pub counts: Box<[u64]>,
}

impl Exponential {
    /// Number and count of each bucket that is not empty, in rising order.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        (self.first..).zip(self.counts.iter().copied()).filter(|(_, count)| *count > 0)
    }
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
    Distribution(Box<Distribution>),
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
    /// When its counters were 0.
    pub starts: Starts,
}

/// Since when a service's counters count, in nanoseconds since 1970; absent where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Starts {
    /// What we count ourselves: since we first watched the service, whatever was restarted since.
    pub watching_ns: Option<u64>,
    /// What its runtime counts: since its process began.
    pub process_ns: Option<u64>,
}

impl Starts {
    /// Since when this series of such a metric counts.
    #[must_use]
    pub fn of(&self, since: Since, value: &Value) -> Option<u64> {
        match (since, value) {
            (Since::Watching, Value::Distribution(distribution)) if distribution.anew => None,
            (Since::Watching, _) => self.watching_ns,
            (Since::Process, _) => self.process_ns,
            (Since::Nothing, _) => None,
        }
    }
}
