//! Cumulative points → what came since the last ones that the backend took.
//!
//! The base of a stream moves only when the backend took a point: so nothing is lost by a request that failed,
//! and nothing doubled, as long as one that may have arrived is sent again as it was.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogramDataPoint, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, number_data_point,
};
use prost::Message;

const DELTA: i32 = AggregationTemporality::Delta as i32;

/// What the backend has of each stream of a resource.
#[derive(Debug, Default)]
pub struct Base(HashMap<Stream, Taken>);

/// A metric's name and its attributes, encoded.
type Stream = Box<[u8]>;

/// The bases of the points of a request, for when it is taken.
#[derive(Debug, Default)]
pub struct Bases(Vec<(Stream, Taken)>);

/// The last cumulative point that was taken.
#[derive(Debug, Clone)]
enum Taken {
    Number(NumberDataPoint),
    Explicit(HistogramDataPoint),
    Exponential(ExponentialHistogramDataPoint),
}

/// A kind of point that can be measured against an earlier one.
trait Point: Clone {
    fn parts(&mut self) -> (&mut Vec<KeyValue>, &mut u64, u64);
    /// Takes away what was there before; false, and unchanged, if that cannot have been before this.
    fn less(&mut self, before: &Self) -> bool;
    fn taken(self) -> Taken;
    fn of(taken: &Taken) -> Option<&Self>;
}

impl Base {
    /// Makes deltas of a resource's points, which are cumulative. A stream that began before `since_ns`, or
    /// nobody knows when, and is seen for the first time, has no delta yet: what it counted by then may have
    /// been pushed by whoever was here before us.
    pub fn since(&mut self, resource: &mut ResourceMetrics, since_ns: u64) -> Bases {
        let mut bases = Bases::default();
        for metric in resource.scope_metrics.iter_mut().flat_map(|scope| &mut scope.metrics) {
            let Metric { name, data, .. } = metric;
            match data {
                Some(Data::Sum(sum)) if sum.is_monotonic => {
                    sum.aggregation_temporality = DELTA;
                    self.points(name, &mut sum.data_points, since_ns, &mut bases);
                }
                Some(Data::Histogram(histogram)) => {
                    histogram.aggregation_temporality = DELTA;
                    self.points(name, &mut histogram.data_points, since_ns, &mut bases);
                }
                Some(Data::ExponentialHistogram(histogram)) => {
                    histogram.aggregation_temporality = DELTA;
                    self.points(name, &mut histogram.data_points, since_ns, &mut bases);
                }
                // What goes up and down stays cumulative (OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE).
                Some(Data::Gauge(_) | Data::Sum(_) | Data::Summary(_)) | None => {}
            }
        }
        bases
    }

    /// The backend has taken the points of which these are the bases.
    pub fn taken(&mut self, bases: Bases) {
        self.0.extend(bases.0);
    }

    fn points<P: Point>(
        &mut self,
        name: &str,
        points: &mut Vec<P>,
        since_ns: u64,
        bases: &mut Bases,
    ) {
        points.retain_mut(|point| {
            let stream = stream(name, point);
            let now = point.clone().taken();
            let base = self.0.get(&stream).and_then(P::of).cloned();
            let (_, start_ns, _) = point.parts();
            match base {
                None if *start_ns < since_ns => {
                    self.0.insert(stream, now);
                    return false;
                }
                None => {}
                Some(mut base) => {
                    let (_, _, base_ns) = base.parts();
                    // The start of a process is known better after a while; that is no other process.
                    let is_new = *start_ns > base_ns || !point.less(&base);
                    let (_, start_ns, _) = point.parts();
                    *start_ns = if is_new { base_ns.max(*start_ns) } else { base_ns };
                }
            }
            bases.0.push((stream, now));
            true
        });
    }
}

fn stream<P: Point>(name: &str, point: &mut P) -> Stream {
    let (attributes, ..) = point.parts();
    let mut key = name.as_bytes().to_vec();
    for attribute in attributes {
        key.push(0);
        key.extend_from_slice(&attribute.encode_length_delimited_to_vec());
    }
    key.into()
}

impl Point for NumberDataPoint {
    fn parts(&mut self) -> (&mut Vec<KeyValue>, &mut u64, u64) {
        (&mut self.attributes, &mut self.start_time_unix_nano, self.time_unix_nano)
    }

    fn less(&mut self, before: &Self) -> bool {
        use number_data_point::Value::{AsDouble, AsInt};
        let difference = match (self.value, before.value) {
            (Some(AsInt(now)), Some(AsInt(before))) => {
                now.checked_sub(before).filter(|n| *n >= 0).map(AsInt)
            }
            (Some(now), Some(before)) => {
                let difference = as_f64(now) - as_f64(before);
                (difference >= 0.0).then_some(AsDouble(difference))
            }
            _ => None,
        };
        self.value = difference.or(self.value);
        difference.is_some()
    }

    fn taken(self) -> Taken {
        Taken::Number(self)
    }

    fn of(taken: &Taken) -> Option<&Self> {
        if let Taken::Number(point) = taken { Some(point) } else { None }
    }
}

fn as_f64(value: number_data_point::Value) -> f64 {
    match value {
        number_data_point::Value::AsDouble(x) => x,
        #[expect(clippy::cast_precision_loss, reason = "only where one of two is a float")]
        number_data_point::Value::AsInt(n) => n as f64,
    }
}

impl Point for HistogramDataPoint {
    fn parts(&mut self) -> (&mut Vec<KeyValue>, &mut u64, u64) {
        (&mut self.attributes, &mut self.start_time_unix_nano, self.time_unix_nano)
    }

    fn less(&mut self, before: &Self) -> bool {
        if self.explicit_bounds != before.explicit_bounds {
            return false;
        }
        let Some(counts) = difference(&self.bucket_counts, &before.bucket_counts) else {
            return false;
        };
        self.count = counts.iter().sum();
        self.bucket_counts = counts;
        self.sum = self.sum.zip(before.sum).map(|(now, before)| now - before);
        true
    }

    fn taken(self) -> Taken {
        Taken::Explicit(self)
    }

    fn of(taken: &Taken) -> Option<&Self> {
        if let Taken::Explicit(point) = taken { Some(point) } else { None }
    }
}

fn difference(now: &[u64], before: &[u64]) -> Option<Vec<u64>> {
    let pairs = now.iter().zip(before);
    let same = now.len() == before.len();
    same.then(|| pairs.map(|(now, before)| now.checked_sub(*before)).collect())?
}

impl Point for ExponentialHistogramDataPoint {
    fn parts(&mut self) -> (&mut Vec<KeyValue>, &mut u64, u64) {
        (&mut self.attributes, &mut self.start_time_unix_nano, self.time_unix_nano)
    }

    fn less(&mut self, before: &Self) -> bool {
        let same_zero = self.zero_threshold.to_bits() == before.zero_threshold.to_bits();
        let zero_count = self.zero_count.checked_sub(before.zero_count).filter(|_| same_zero);
        let (Some(zero_count), Some(positive)) = (zero_count, self.positive.as_ref()) else {
            return false;
        };
        // Buckets only ever grow coarser.
        let Ok(coarser) = u32::try_from(before.scale - self.scale) else { return false };
        let mut counts = positive.bucket_counts.clone();
        for (place, count) in before.positive.iter().flat_map(|buckets| {
            (buckets.offset..).zip(&buckets.bucket_counts).filter(|(_, count)| **count > 0)
        }) {
            let place = place.checked_shr(coarser).unwrap_or(if place < 0 { -1 } else { 0 });
            let at = usize::try_from(place - positive.offset).ok();
            let Some(slot) = at.and_then(|at| counts.get_mut(at)) else { return false };
            let Some(rest) = slot.checked_sub(*count) else { return false };
            *slot = rest;
        }
        self.count = counts.iter().sum::<u64>() + zero_count;
        self.zero_count = zero_count;
        self.sum = self.sum.zip(before.sum).map(|(now, before)| now - before);
        if let Some(positive) = &mut self.positive {
            positive.bucket_counts = counts;
        }
        true
    }

    fn taken(self) -> Taken {
        Taken::Exponential(self)
    }

    fn of(taken: &Taken) -> Option<&Self> {
        if let Taken::Exponential(point) = taken { Some(point) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
    use opentelemetry_proto::tonic::metrics::v1::{ScopeMetrics, Sum};

    use super::*;

    const BEGAN: u64 = 100;

    fn resource(start_ns: u64, time_ns: u64, n: i64) -> ResourceMetrics {
        let point = NumberDataPoint {
            start_time_unix_nano: start_ns,
            time_unix_nano: time_ns,
            value: Some(number_data_point::Value::AsInt(n)),
            ..NumberDataPoint::default()
        };
        let sum = Sum { data_points: vec![point], aggregation_temporality: 2, is_monotonic: true };
        let metric = Metric { name: "n".into(), data: Some(Data::Sum(sum)), ..Metric::default() };
        let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
        ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() }
    }

    /// Start, end and value of the delta.
    fn only(resource: &ResourceMetrics) -> Option<(u64, u64, i64)> {
        let Some(Data::Sum(sum)) = &resource.scope_metrics[0].metrics[0].data else { panic!() };
        assert_eq!(sum.aggregation_temporality, DELTA);
        let point = sum.data_points.first()?;
        let Some(number_data_point::Value::AsInt(n)) = point.value else { panic!("{point:?}") };
        Some((point.start_time_unix_nano, point.time_unix_nano, n))
    }

    /// Cumulative points (start, time, value), and whether they are taken; the deltas.
    fn check(points: &[(u64, u64, i64, bool)], expected: &[Option<(u64, u64, i64)>]) {
        let mut base = Base::default();
        let deltas = points.iter().map(|(start, time, n, is_taken)| {
            let mut resource = resource(*start, *time, *n);
            let bases = base.since(&mut resource, BEGAN);
            if *is_taken {
                base.taken(bases);
            }
            only(&resource)
        });
        assert_eq!(deltas.collect::<Vec<_>>(), expected, "{points:?}");
    }

    #[test]
    fn what_was_not_taken_comes_again() {
        check(
            &[(100, 200, 5, true), (100, 300, 7, false), (100, 400, 8, true), (100, 500, 8, true)],
            &[Some((100, 200, 5)), Some((200, 300, 2)), Some((200, 400, 3)), Some((400, 500, 0))],
        );
    }

    #[test]
    fn what_began_before_us_is_not_ours_to_tell() {
        check(&[(99, 200, 5, true), (99, 300, 7, true)], &[None, Some((200, 300, 2))]);
        check(&[(0, 200, 5, false), (0, 300, 7, true)], &[None, Some((200, 300, 2))]);
    }

    #[test]
    fn another_process_begins_at_0() {
        let first = Some((100, 200, 5));
        check(&[(100, 200, 5, true), (250, 300, 7, true)], &[first, Some((250, 300, 7))]);
        check(&[(100, 200, 5, true), (0, 300, 3, true)], &[first, Some((200, 300, 3))]);
        // The start of the same one is known better now.
        check(&[(100, 200, 5, true), (101, 300, 7, true)], &[first, Some((200, 300, 2))]);
    }

    fn exponential(scale: i32, offset: i32, counts: &[u64]) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            scale,
            count: counts.iter().sum(),
            sum: Some(counts.len() as f64),
            positive: Some(Buckets { offset, bucket_counts: counts.to_vec() }),
            ..ExponentialHistogramDataPoint::default()
        }
    }

    #[test]
    fn buckets_that_grew_coarser_are_measured_against_the_finer_ones() {
        let check =
            |now: ExponentialHistogramDataPoint, before: &_, expected: Option<(u64, &[u64])>| {
                let mut now = now;
                let is_delta = now.less(before);
                let found = (now.count, &*now.positive.as_ref().unwrap().bucket_counts);
                assert_eq!(is_delta.then_some(found), expected);
            };
        let before = exponential(2, -3, &[1, 2, 0, 4]);
        check(exponential(2, -4, &[0, 1, 3, 0, 4, 9]), &before, Some((10, &[0, 0, 1, 0, 0, 9])));
        // -3 → -2, -2 → -1, 0 → 0
        check(exponential(1, -2, &[1, 3, 5]), &before, Some((2, &[0, 1, 1])));
        check(exponential(1, -2, &[1, 1, 5]), &before, None);
        check(exponential(3, -2, &[9, 9, 9]), &before, None);
        check(exponential(1, -1, &[3, 5]), &before, None);
    }

    #[test]
    fn explicit_buckets_of_other_bounds_begin_anew() {
        let point = |bounds: &[f64], counts: &[u64]| HistogramDataPoint {
            explicit_bounds: bounds.to_vec(),
            bucket_counts: counts.to_vec(),
            count: counts.iter().sum(),
            sum: Some(1.5),
            ..HistogramDataPoint::default()
        };
        let mut now = point(&[1.0], &[3, 4]);
        assert!(now.less(&point(&[1.0], &[1, 4])));
        assert_eq!((now.count, now.sum, now.bucket_counts), (2, Some(0.0), vec![2, 0]));
        assert!(!point(&[1.0], &[3, 4]).less(&point(&[2.0], &[1, 4])));
        assert!(!point(&[1.0], &[3, 4]).less(&point(&[1.0], &[4, 4])));
    }
}
