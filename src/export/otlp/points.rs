//! One value → one point.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
    number_data_point,
};

use crate::model::snapshot::{Distribution, Number, Quantiles};
use crate::model::variable;

/// What all points have.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) attributes: Vec<KeyValue>,
    /// 0 where it is not known.
    pub(super) start_ns: u64,
    pub(super) now_ns: u64,
}

/// An integer where it is one and fits; OTLP has no unsigned ones.
fn value(number: Number) -> number_data_point::Value {
    use number_data_point::Value::{AsDouble, AsInt};
    match number {
        Number::Unsigned(n) => i64::try_from(n).map_or(AsDouble(number.as_f64()), AsInt),
        Number::Signed(n) => AsInt(n),
        Number::Float(x) => AsDouble(x),
    }
}

pub(super) fn number(head: Head, number: Number) -> NumberDataPoint {
    NumberDataPoint {
        attributes: head.attributes,
        start_time_unix_nano: head.start_ns,
        time_unix_nano: head.now_ns,
        value: Some(value(number)),
        ..NumberDataPoint::default()
    }
}

pub(super) fn summary(head: Head, quantiles: &Quantiles) -> SummaryDataPoint {
    let values = quantiles.values.iter();
    SummaryDataPoint {
        attributes: head.attributes,
        start_time_unix_nano: head.start_ns,
        time_unix_nano: head.now_ns,
        count: quantiles.count,
        sum: quantiles.sum,
        quantile_values: values
            .map(|(quantile, value)| ValueAtQuantile { quantile: *quantile, value: *value })
            .collect(),
        flags: 0,
    }
}

pub(super) fn explicit(head: Head, distribution: &Distribution) -> HistogramDataPoint {
    histogram(head, distribution.bounds, distribution.counts.to_vec(), Some(distribution.sum))
}

fn histogram(head: Head, bounds: &[f64], counts: Vec<u64>, sum: Option<f64>) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: head.attributes,
        start_time_unix_nano: head.start_ns,
        time_unix_nano: head.now_ns,
        count: counts.iter().sum(),
        sum,
        bucket_counts: counts,
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    }
}

/// One whose counts are cumulative over the buckets.
pub(super) fn of_cumulative(
    head: Head,
    bounds: &[f64],
    cumulative: impl Iterator<Item = u64>,
    sum: Option<f64>,
) -> HistogramDataPoint {
    let mut below = 0;
    let counts = cumulative.map(|up_to| up_to.saturating_sub(std::mem::replace(&mut below, up_to)));
    let counts = counts.collect();
    histogram(head, bounds, counts, sum)
}

pub(super) fn of_buckets(head: Head, buckets: &variable::Buckets) -> HistogramDataPoint {
    of_cumulative(head, &buckets.bounds, buckets.counts.iter().copied(), buckets.sum)
}

pub(super) fn exponential(
    head: Head,
    distribution: &Distribution,
) -> ExponentialHistogramDataPoint {
    let buckets = &distribution.exponential;
    // Prometheus' bucket i is OpenTelemetry's i - 1.
    let offset = buckets.first.saturating_sub(1);
    ExponentialHistogramDataPoint {
        attributes: head.attributes,
        start_time_unix_nano: head.start_ns,
        time_unix_nano: head.now_ns,
        count: buckets.counts.iter().sum::<u64>() + buckets.zero_count,
        sum: Some(distribution.sum),
        scale: buckets.schema.into(),
        zero_count: buckets.zero_count,
        zero_threshold: buckets.zero_threshold,
        positive: Some(Buckets { offset, bucket_counts: buckets.counts.to_vec() }),
        ..ExponentialHistogramDataPoint::default()
    }
}
