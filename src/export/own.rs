//! The exporter's own families.

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::family::{Family, Histogram, Sample, Writer};
use crate::model::exposition::Wanted;
use crate::model::metric::Kind;

/// The label that says whose a series is.
const SERVICE: &str = "service";

/// Writes those that are wanted, each for itself; of those `services` alone, if any is named.
pub fn write<W: Writer>(
    out: &mut Vec<Vec<u8>>,
    families: impl Iterator<Item = MetricFamily>,
    wanted: &Wanted,
    writer: &mut W,
) {
    let mut written = Vec::new();
    for family in families {
        let metrics = family.get_metric().iter();
        let mut metrics = metrics.filter(|metric| is_wanted(metric, &wanted.services)).peekable();
        let kind = kind(&family);
        let (name, help) = (family.name(), family.help());
        let described = Family { name, help, kind, base_taken: false, has_unit: true };
        if metrics.peek().is_none() || !described.is_wanted(&wanted.names) {
            continue;
        }
        let head = writer.head(&described);
        metrics.for_each(|metric| series(writer, &mut written, &head, kind, metric));
        let mut whole = Vec::new();
        writer.family(&mut whole, &described, &head, &mut written);
        out.push(whole);
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

fn series<W: Writer>(
    writer: &mut W,
    out: &mut Vec<u8>,
    head: &W::Head,
    kind: Kind,
    metric: &Metric,
) {
    let labels = metric.get_label().iter().map(|pair| (pair.name(), pair.value()));
    match kind {
        Kind::Counter => {
            let value = metric.get_counter().get_value();
            writer.series(out, head, &[], labels, &Sample::Number(value.into()), None);
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
            writer.series(out, head, &[], labels, &Sample::Histogram(sample), None);
        }
        Kind::Gauge | Kind::Summary | Kind::Untyped => {
            let value = metric.get_gauge().get_value();
            writer.series(out, head, &[], labels, &Sample::Number(value.into()), None);
        }
    }
}
