//! The exporter's own metrics.

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_semantic_conventions::metric::{
    PROCESS_MEMORY_USAGE, PROCESS_MEMORY_VIRTUAL, PROCESS_THREAD_COUNT,
    PROCESS_UNIX_FILE_DESCRIPTOR_COUNT,
};
use prometheus::proto::{self, MetricFamily, MetricType};

use super::points::{self, Head};
use super::{attributes, explicit, gauge, named, resource, sum, whole};
use crate::model::otlp::Shape;
use crate::model::snapshot::Number;

/// Those of the process collector that the conventions name.
const PROCESS: [(&str, &str, &str); 4] = [
    ("process_resident_memory_bytes", PROCESS_MEMORY_USAGE, "By"),
    ("process_virtual_memory_bytes", PROCESS_MEMORY_VIRTUAL, "By"),
    ("process_open_fds", PROCESS_UNIX_FILE_DESCRIPTOR_COUNT, "{file_descriptor}"),
    ("process_threads", PROCESS_THREAD_COUNT, "{thread}"),
];

/// When our process began, by its own collector.
const START_TIME: &str = "process_start_time_seconds";

const NANOSECONDS: f64 = 1e9;

/// Our own metrics, cumulative.
#[must_use]
pub fn own(shape: &Shape, families: &[MetricFamily], now_ns: u64) -> ResourceMetrics {
    let start_ns = families.iter().find(|family| family.name() == START_TIME);
    let start_ns = start_ns.and_then(|family| family.get_metric().first());
    let start_ns = start_ns.map_or(0, |metric| nanoseconds(metric.get_gauge().get_value()));
    let metrics = families.iter().map(|family| {
        let data = data(family, start_ns, now_ns);
        let mut metric = named(family.name(), family.help(), data);
        if let Some((_, name, unit)) = PROCESS.iter().find(|(page, ..)| *page == family.name()) {
            (metric.name, metric.unit) = ((*name).into(), (*unit).into());
            if let Some(Data::Gauge(gauge)) = metric.data.take() {
                metric.data = Some(sum(gauge.data_points, false));
            }
        }
        metric
    });
    whole(resource::own(shape, env!("CARGO_PKG_VERSION")), metrics.collect())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole seconds since 1970"
)]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * NANOSECONDS) as u64
}

fn data(family: &MetricFamily, start_ns: u64, now_ns: u64) -> Data {
    let head = |metric: &proto::Metric, start_ns| {
        let labels = metric.get_label().iter().map(|pair| (pair.name(), pair.value()));
        Head { attributes: attributes(labels), start_ns, now_ns }
    };
    let measures = family.name().ends_with("_seconds") || family.name().contains("_seconds_");
    let value = |x| if measures { Number::Float(x) } else { whole_number(x) };
    let metrics = family.get_metric().iter();
    match family.get_field_type() {
        MetricType::COUNTER => {
            let point = |one: &proto::Metric| {
                points::number(head(one, start_ns), value(one.get_counter().get_value()))
            };
            sum(metrics.map(point).collect(), true)
        }
        MetricType::HISTOGRAM => {
            let point = |one: &proto::Metric| {
                let histogram = one.get_histogram();
                let buckets = histogram.get_bucket();
                let bounds: Vec<f64> = buckets.iter().map(|bucket| bucket.upper_bound()).collect();
                let counts = buckets.iter().map(|bucket| bucket.cumulative_count());
                let counts = counts.chain([histogram.get_sample_count()]);
                let sum = Some(histogram.get_sample_sum());
                points::of_cumulative(head(one, start_ns), &bounds, counts, sum)
            };
            explicit(metrics.map(point).collect())
        }
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => {
            let point = |one: &proto::Metric| {
                points::number(head(one, 0), value(one.get_gauge().get_value()))
            };
            gauge(metrics.map(point).collect())
        }
    }
}

/// The registry has floats only; what is no time is a count.
fn whole_number(x: f64) -> Number {
    /// Below this every whole number is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if x.fract() == 0.0 && x.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return Number::Signed(x as i64);
    }
    Number::Float(x)
}
