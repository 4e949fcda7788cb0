//! What every format writes: families, and their series one by one.

use crate::model::metric::Kind;
use crate::model::service::{Container, Identity};
use crate::model::snapshot::{Distribution, Exponential, Number, Quantiles, Value};
use crate::model::variable::{Buckets, VariableValue};

/// The head of a family.
#[derive(Debug, Clone, Copy)]
pub struct Family<'a> {
    /// Its name in the text format; it may be any UTF-8.
    pub name: &'a str,
    /// What it means.
    pub help: &'a str,
    /// Its type.
    pub kind: Kind,
    /// Another family has its name without `_total`, or it has one that a sample of another's would
    /// have: in OpenMetrics it can be no counter.
    pub base_taken: bool,
    /// Its name ends with its unit.
    pub has_unit: bool,
}

impl Family<'_> {
    /// Whether somebody who wants these names, or all, wants it: by its own name, or that of one of its lines,
    /// because a part of a family says little.
    #[must_use]
    pub fn is_wanted(&self, names: &[String]) -> bool {
        let is_of = |name: &String| {
            let Some(end) = name.strip_prefix(self.name) else {
                return self.name.strip_prefix(name.as_str()) == Some("_total");
            };
            match self.kind {
                Kind::Histogram => matches!(end, "" | "_bucket" | "_sum" | "_count" | "_created"),
                Kind::Summary => matches!(end, "" | "_sum" | "_count" | "_created"),
                _ => end.is_empty(),
            }
        };
        names.is_empty() || names.iter().any(is_of)
    }
}

/// The value of a series.
#[derive(Debug, Clone, Copy)]
pub enum Sample<'a> {
    /// Of a gauge, a counter, or an unknown.
    Number(Number),
    /// A histogram.
    Histogram(Histogram<'a>),
    /// A summary.
    Summary(&'a Quantiles),
}

/// A histogram as it is written.
#[derive(Debug, Clone, Copy)]
pub struct Histogram<'a> {
    /// Upper bounds in rising order, without `+Inf`.
    pub bounds: &'a [f64],
    /// Observations by bucket, one more than bounds.
    pub counts: &'a [u64],
    /// Each count has those below it in it.
    pub is_cumulative: bool,
    /// Sum of all, if it is known.
    pub sum: Option<f64>,
    /// The same in exponential buckets, if they are known.
    pub exponential: Option<&'a Exponential>,
}

impl Histogram<'_> {
    /// Upper bound and cumulative count of each bucket, the last is that of `+Inf`.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let mut all = 0;
        bounds.zip(self.counts).map(move |(bound, count)| {
            all = if self.is_cumulative { *count } else { all + count };
            (bound, all)
        })
    }

    /// How many observations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.cumulative().last().map_or(0, |(_, count)| count)
    }
}

impl<'a> From<&'a Distribution> for Histogram<'a> {
    fn from(distribution: &'a Distribution) -> Self {
        Self {
            bounds: distribution.bounds,
            counts: &distribution.counts,
            is_cumulative: false,
            sum: Some(distribution.sum),
            exponential: Some(&distribution.exponential),
        }
    }
}

impl<'a> From<&'a Buckets> for Histogram<'a> {
    fn from(buckets: &'a Buckets) -> Self {
        Self {
            bounds: &buckets.bounds,
            counts: &buckets.counts,
            is_cumulative: true,
            sum: buckets.sum,
            exponential: None,
        }
    }
}

impl<'a> From<&'a Value> for Sample<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Distribution(distribution) => Self::Histogram((&**distribution).into()),
            Value::Quantiles(quantiles) => Self::Summary(quantiles),
        }
    }
}

impl<'a> From<&'a VariableValue> for Sample<'a> {
    fn from(value: &'a VariableValue) -> Self {
        match value {
            VariableValue::Number(number) => Self::Number(*number),
            VariableValue::Buckets(buckets) => Self::Histogram(buckets.into()),
        }
    }
}

/// A format.
pub trait Writer {
    /// What the series of a family need to know of it.
    type Head;

    /// Labels as they stand before a series' own.
    fn labels<'l>(&self, labels: impl Iterator<Item = (&'l str, &'l str)>) -> Vec<u8>;

    /// Of a family.
    fn head(&self, family: &Family<'_>) -> Self::Head;

    /// Writes a series. `created_ns`: since when it counts, in nanoseconds since 1970.
    fn series<'l>(
        &mut self,
        out: &mut Vec<u8>,
        head: &Self::Head,
        identity: &[u8],
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        sample: &Sample<'_>,
        created_ns: Option<u64>,
    );

    /// Writes what stands before the series of a family, which are so many bytes.
    fn begin(&self, out: &mut Vec<u8>, family: &Family<'_>, head: &Self::Head, bytes: usize);

    /// The page is at its end.
    fn finish(&self, out: &mut Vec<u8>);

    /// Writes a family whose series are there, and takes them.
    fn family(
        &self,
        out: &mut Vec<u8>,
        family: &Family<'_>,
        head: &Self::Head,
        series: &mut Vec<u8>,
    ) {
        self.begin(out, family, head, series.len());
        out.append(series);
    }
}

/// A service's labels, in their order.
pub fn identity(identity: &Identity) -> impl Iterator<Item = (&str, &str)> {
    let container = identity.container.iter().flat_map(Container::labels);
    let log = identity.log.as_deref().map(|log| ("log", log));
    let own = identity.labels.iter().map(|label| (label.name(), label.value()));
    let service = std::iter::once(("service", identity.service.as_str()));
    service.chain(container).chain(log).chain(own)
}
