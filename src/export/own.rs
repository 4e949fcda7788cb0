//! The exporter's own families.

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::family::{Family, Histogram, Sample, Writer};
use crate::model::metric::Kind;

/// The label that says whose a series is.
const SERVICE: &str = "service";

/// Writes them; of those `services` alone, if any is named.
pub fn write(
    families: &[MetricFamily],
    services: &[String],
    writer: &mut impl Writer,
    take: &mut impl FnMut(&mut Vec<u8>),
) {
    for family in families {
        let mut metrics =
            family.get_metric().iter().filter(|metric| is_wanted(metric, services)).peekable();
        if metrics.peek().is_none() {
            continue;
        }
        let kind = kind(family);
        writer.begin(&Family {
            name: family.name(),
            help: family.help(),
            kind,
            base_taken: false,
            has_unit: true,
        });
        metrics.for_each(|metric| series(writer, kind, metric));
        writer.end();
        take(writer.written());
    }
}

fn is_wanted(metric: &Metric, services: &[String]) -> bool {
    let of = |name: &str| services.iter().any(|service| service == name);
    services.is_empty()
        || metric.get_label().iter().any(|pair| pair.name() == SERVICE && of(pair.value()))
}

fn kind(family: &MetricFamily) -> Kind {
    match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::HISTOGRAM => Kind::Histogram,
        MetricType::SUMMARY => Kind::Summary,
        MetricType::GAUGE | MetricType::UNTYPED => Kind::Gauge,
    }
}

fn series(writer: &mut impl Writer, kind: Kind, metric: &Metric) {
    let labels = metric.get_label().iter().map(|pair| (pair.name(), pair.value()));
    match kind {
        Kind::Counter => {
            let value = metric.get_counter().get_value();
            writer.series(&[], labels, &Sample::Number(value.into()), None);
        }
        Kind::Histogram => {
            let histogram = metric.get_histogram();
            let buckets = histogram.get_bucket();
            let bounds: Vec<f64> = buckets.iter().map(|bucket| bucket.upper_bound()).collect();
            let counts: Vec<u64> = buckets
                .iter()
                .map(|bucket| bucket.cumulative_count())
                .chain([histogram.get_sample_count()])
                .collect();
            let sample = Histogram {
                bounds: &bounds,
                counts: &counts,
                is_cumulative: true,
                sum: Some(histogram.get_sample_sum()),
                exponential: None,
            };
            writer.series(&[], labels, &Sample::Histogram(sample), None);
        }
        Kind::Gauge | Kind::Summary | Kind::Untyped => {
            let value = metric.get_gauge().get_value();
            writer.series(&[], labels, &Sample::Number(value.into()), None);
        }
    }
}
