//! The Prometheus text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use prometheus::proto::{LabelPair, MetricFamily, MetricType};

use crate::model::metric::{Desc, Kind};
use crate::model::service::Identity;
use crate::model::snapshot::{Number, Series, ServiceSnapshot, Value};

/// What to send as Content-Type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes every family of `catalog` that has a series, with the series of all services.
pub fn services(page: &mut Vec<u8>, catalog: &[Desc], services: &[ServiceSnapshot]) {
    let labels: Vec<Vec<u8>> = services.iter().map(|service| identity(&service.identity)).collect();
    let mut rest: Vec<&[Series]> =
        services.iter().map(|service| service.series.as_slice()).collect();
    for (id, desc) in catalog.iter().enumerate() {
        let mut headed = false;
        for ((service, rest), labels) in services.iter().zip(&mut rest).zip(&labels) {
            let end = rest.partition_point(|series| usize::from(series.metric.0) <= id);
            let (these, later) = rest.split_at(end);
            *rest = later;
            if !these.is_empty() && !headed {
                head(page, desc.name, desc.help, desc.kind.as_str());
                headed = true;
            }
            for one in these {
                series(page, desc, &service.more_labels, labels, one);
            }
        }
    }
}

/// Writes the exporter's own families.
pub fn own(page: &mut Vec<u8>, families: &[MetricFamily]) {
    for family in families {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => Kind::Counter,
            MetricType::HISTOGRAM => Kind::Histogram,
            MetricType::SUMMARY => Kind::Summary,
            MetricType::GAUGE | MetricType::UNTYPED => Kind::Gauge,
        };
        head(page, family.name(), family.help(), kind.as_str());
        for metric in family.get_metric() {
            let mut labels = Vec::new();
            for pair in metric.get_label() {
                own_label(&mut labels, pair);
            }
            match kind {
                Kind::Counter => {
                    line(page, family.name(), "", &labels, metric.get_counter().get_value().into())
                }
                Kind::Histogram => {
                    own_histogram(page, family.name(), &labels, metric.get_histogram())
                }
                Kind::Gauge | Kind::Summary | Kind::Untyped => {
                    line(page, family.name(), "", &labels, metric.get_gauge().get_value().into())
                }
            }
        }
    }
}

fn own_label(out: &mut Vec<u8>, pair: &LabelPair) {
    label(out, pair.name(), pair.value());
}

fn own_histogram(
    page: &mut Vec<u8>,
    name: &str,
    labels: &[u8],
    histogram: &prometheus::proto::Histogram,
) {
    for bucket in histogram.get_bucket() {
        bucket_line(page, name, labels, bucket.upper_bound(), bucket.cumulative_count());
    }
    bucket_line(page, name, labels, f64::INFINITY, histogram.get_sample_count());
    line(page, name, "_sum", labels, histogram.get_sample_sum().into());
    line(page, name, "_count", labels, histogram.get_sample_count().into());
}

pub(super) fn identity(identity: &Identity) -> Vec<u8> {
    let mut out = Vec::new();
    label(&mut out, "service", identity.service.as_str());
    if let Some(log) = &identity.log {
        label(&mut out, "log", log);
    }
    for own in &identity.labels {
        label(&mut out, own.name(), own.value());
    }
    out
}

pub(super) fn head(page: &mut Vec<u8>, name: &str, help: &str, kind: &str) {
    page.extend_from_slice(b"# HELP ");
    page.extend_from_slice(name.as_bytes());
    page.push(b' ');
    escape(page, help, false);
    page.extend_from_slice(b"\n# TYPE ");
    page.extend_from_slice(name.as_bytes());
    page.push(b' ');
    page.extend_from_slice(kind.as_bytes());
    page.push(b'\n');
}

fn series(page: &mut Vec<u8>, desc: &Desc, more: &[Box<str>], identity: &[u8], series: &Series) {
    let mut all;
    let labels = if series.labels.is_empty() {
        identity
    } else {
        all = identity.to_vec();
        let names = desc.labels.iter().copied().chain(more.iter().map(|name| &**name));
        for (name, value) in names.zip(&series.labels) {
            label(&mut all, name, value.as_str());
        }
        &all
    };
    match &series.value {
        Value::Number(number) => line(page, desc.name, "", labels, *number),
        Value::Distribution(distribution) => {
            let mut cumulative = 0;
            let bounds = distribution.bounds.iter().copied().chain([f64::INFINITY]);
            for (bound, count) in bounds.zip(&distribution.counts) {
                cumulative += count;
                bucket_line(page, desc.name, labels, bound, cumulative);
            }
            line(page, desc.name, "_sum", labels, distribution.sum.into());
            line(page, desc.name, "_count", labels, cumulative.into());
        }
        Value::Quantiles(quantiles) => {
            for (quantile, value) in &quantiles.values {
                limit_line(page, desc.name, "", labels, ("quantile", *quantile), (*value).into());
            }
            line(page, desc.name, "_sum", labels, quantiles.sum.into());
            line(page, desc.name, "_count", labels, quantiles.count.into());
        }
    }
}

pub(super) fn bucket_line(page: &mut Vec<u8>, name: &str, labels: &[u8], bound: f64, count: u64) {
    limit_line(page, name, "_bucket", labels, ("le", bound), count.into());
}

/// A line with a label whose value is a number: written with a point ("1.0"), as Prometheus 3
/// would rewrite it.
fn limit_line(
    page: &mut Vec<u8>,
    name: &str,
    suffix: &str,
    labels: &[u8],
    limit: (&str, f64),
    value: Number,
) {
    let mut all = labels.to_vec();
    let mut text = Vec::new();
    float(&mut text, limit.1);
    label(&mut all, limit.0, std::str::from_utf8(&text).unwrap_or_default());
    line(page, name, suffix, &all, value);
}

pub(super) fn line(page: &mut Vec<u8>, name: &str, suffix: &str, labels: &[u8], value: Number) {
    page.extend_from_slice(name.as_bytes());
    page.extend_from_slice(suffix.as_bytes());
    if !labels.is_empty() {
        page.push(b'{');
        page.extend_from_slice(labels);
        page.push(b'}');
    }
    page.push(b' ');
    number(page, value);
    page.push(b'\n');
}

/// Appends `name="value"`, after a comma if it is not the first.
pub(super) fn label(out: &mut Vec<u8>, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(b',');
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    escape(out, value, true);
    out.push(b'"');
}

/// The one place where text is escaped; HELP leaves quotes as they are.
fn escape(out: &mut Vec<u8>, text: &str, quotes: bool) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            other => out.push(other),
        }
    }
}

fn number(out: &mut Vec<u8>, number: Number) {
    let mut digits = itoa::Buffer::new();
    match number {
        Number::Unsigned(n) => out.extend_from_slice(digits.format(n).as_bytes()),
        Number::Signed(n) => out.extend_from_slice(digits.format(n).as_bytes()),
        Number::Float(x) => whole_or_float(out, x),
    }
}

/// Largest integer below which every float is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn whole_or_float(out: &mut Vec<u8>, x: f64) {
    if x.fract() == 0.0 && x.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        out.extend_from_slice(itoa::Buffer::new().format(x as i64).as_bytes());
    } else {
        float(out, x);
    }
}

fn float(out: &mut Vec<u8>, x: f64) {
    if x.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if x.is_infinite() {
        out.extend_from_slice(if x > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        out.extend_from_slice(zmij::Buffer::new().format_finite(x).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::metric::Since;
    use crate::model::service::{Label, ServiceName};
    use crate::model::snapshot::{Distribution, Exponential, MetricId, Quantiles, Starts, Text};

    const CATALOG: &[Desc] = &[
        Desc {
            name: "a_total",
            kind: Kind::Counter,
            help: "Back\\slash\nand line.",
            labels: &["k"],
            since: Since::Watching,
        },
        Desc {
            name: "b_seconds",
            kind: Kind::Histogram,
            help: "B.",
            labels: &[],
            since: Since::Nothing,
        },
        Desc { name: "unused", kind: Kind::Gauge, help: "U.", labels: &[], since: Since::Nothing },
        Desc {
            name: "c_seconds",
            kind: Kind::Summary,
            help: "C.",
            labels: &[],
            since: Since::Nothing,
        },
    ];

    fn service(name: &str) -> ServiceSnapshot {
        let labels = vec![Label::new("team", "a\"b\n\\").unwrap()];
        let identity =
            Arc::new(Identity { service: ServiceName::new(name).unwrap(), log: None, labels });
        let series = |metric, labels, value| Series { metric: MetricId(metric), labels, value };
        let distribution = Distribution {
            bounds: &[0.5, 1.0],
            counts: [1, 2, 3].into(),
            sum: 7.25,
            exponential: Exponential::default(),
            anew: false,
        };
        let quantiles = Quantiles { values: vec![(0.0, 1e-9), (1.0, 2.0)], sum: 2.0, count: 2 };
        ServiceSnapshot {
            identity,
            variables: Arc::default(),
            starts: Starts::default(),
            more_labels: ["tenant".into()].into(),
            series: vec![
                series(
                    0,
                    vec![Text::Static("x")],
                    Value::Number(Number::Unsigned(9_007_199_254_740_993)),
                ),
                series(0, vec![Text::Static("z"), Text::Static("t")], Value::Number(1.into())),
                series(0, vec![Text::Static("y")], Value::Number(Number::Float(f64::NAN))),
                series(1, vec![], Value::Distribution(distribution)),
                series(3, vec![], Value::Quantiles(Box::new(quantiles))),
            ],
        }
    }

    #[test]
    fn a_page_is_written_family_by_family() {
        let mut page = Vec::new();
        services(&mut page, CATALOG, &[service("s1"), service("s2")]);
        let text = String::from_utf8(page).unwrap();
        let expected_head = "# HELP a_total Back\\\\slash\\nand line.\n# TYPE a_total counter\n\
            a_total{service=\"s1\",team=\"a\\\"b\\n\\\\\",k=\"x\"} 9007199254740993\n\
            a_total{service=\"s1\",team=\"a\\\"b\\n\\\\\",k=\"z\",tenant=\"t\"} 1\n\
            a_total{service=\"s1\",team=\"a\\\"b\\n\\\\\",k=\"y\"} NaN\n\
            a_total{service=\"s2\"";
        assert!(text.starts_with(expected_head), "{text}");
        assert_eq!(text.matches("# TYPE").count(), 3);
        for part in [
            "le=\"0.5\"} 1\n",
            "le=\"1.0\"} 3\n",
            "le=\"+Inf\"} 6\n",
            "_sum{service=\"s2\",team=\"a\\\"b\\n\\\\\"} 7.25\n",
            "quantile=\"0.0\"} 1e-9\n",
            "quantile=\"1.0\"} 2\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
