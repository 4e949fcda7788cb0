//! The Prometheus text formats 0.0.4 and 1.0.0
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), and OpenMetrics 1.0.0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! In OpenMetrics a family's name has no `_total` and no `_info`; a counter whose name does not end
//! in `_total`, which only a service's own variable can be, is `unknown` under its name, and so is
//! one whose name without `_total` is another family's.

use super::escape;
use super::family::{Family, Histogram, Sample, Writer};
use super::page;
use crate::model::exposition::Escaping;
use crate::model::metric::{Desc, Kind, NameSet, unit};
use crate::model::snapshot::{Number, ServiceSnapshot};

/// What to send as Content-Type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes every family of `catalog` that has a series, with the series of all services, in the text
/// format.
pub fn services(page: &mut Vec<u8>, catalog: &'static [Desc], services: &[ServiceSnapshot]) {
    let mut text = Text::prometheus(Escaping::Underscores);
    let names = NameSet::Prometheus;
    let mut families = page::Services::new(catalog, names, &[], services.len(), &text);
    services.iter().for_each(|service| families.add(service, &mut text));
    families.finish(page, &text, &mut |_| {});
}

/// Writes one of the text formats.
#[derive(Debug)]
pub struct Text {
    escaping: Escaping,
    open_metrics: bool,
    created: bool,
    /// Of the series at hand.
    labels: Vec<u8>,
    line: Vec<u8>,
    limits: Limits,
}

/// What the lines of a family begin with.
#[derive(Debug)]
pub struct Head {
    kind: &'static str,
    /// Without the ending of OpenMetrics' counters.
    base: String,
    /// What a plain value's line adds to it.
    suffix: &'static str,
    quoted: bool,
    counts: bool,
}

impl Text {
    /// The Prometheus text format.
    #[must_use]
    pub fn prometheus(escaping: Escaping) -> Self {
        Self {
            escaping,
            open_metrics: false,
            created: false,
            labels: Vec::new(),
            line: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// OpenMetrics; `created`: with lines that tell since when a series counts.
    #[must_use]
    pub fn open_metrics(escaping: Escaping, created: bool) -> Self {
        Self { open_metrics: true, created, ..Self::prometheus(escaping) }
    }

    fn comment(&self, out: &mut Vec<u8>, head: &Head, word: &str, text: &str) {
        out.extend_from_slice(word.as_bytes());
        name(out, &head.base, head.quoted);
        out.push(b' ');
        escape::text(out, text, self.open_metrics);
        out.push(b'\n');
    }

    /// A line up to its value; `limit`: the label that an instance of `limits` ends with.
    fn start(&self, out: &mut Vec<u8>, head: &Head, suffix: &str, limit: Option<(&str, f64)>) {
        start(out, head, suffix, &self.labels, limit.is_some());
        if let Some((label, limit)) = limit {
            out.extend_from_slice(label.as_bytes());
            canonical(out, limit);
            out.push(b'"');
        }
        close(out, head, &self.labels, limit.is_some());
    }

    fn line(
        &self,
        out: &mut Vec<u8>,
        head: &Head,
        suffix: &str,
        limit: Option<(&str, f64)>,
        value: Number,
    ) {
        self.start(out, head, suffix, limit);
        number(out, value);
        out.push(b'\n');
    }

    fn histogram(&mut self, out: &mut Vec<u8>, head: &Head, histogram: &Histogram<'_>) {
        self.line.clear();
        start(&mut self.line, head, "_bucket", &self.labels, true);
        let limits = self.limits.of(histogram.bounds);
        let (mut digits, mut count) = (itoa::Buffer::new(), 0);
        for (limit, (_, cumulative)) in limits.iter().zip(histogram.cumulative()) {
            out.extend_from_slice(&self.line);
            out.extend_from_slice(limit);
            out.extend_from_slice(digits.format(cumulative).as_bytes());
            out.push(b'\n');
            count = cumulative;
        }
        if let Some(sum) = histogram.sum {
            self.line(out, head, "_sum", None, sum.into());
        }
        // OpenMetrics has neither or both.
        if histogram.sum.is_some() || !self.open_metrics {
            self.line(out, head, "_count", None, count.into());
        }
    }

    /// Seconds since 1970, to the millisecond.
    fn created(&self, out: &mut Vec<u8>, head: &Head, since_ns: u64) {
        self.start(out, head, "_created", None);
        let millis = since_ns / 1_000_000;
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(millis / 1000).as_bytes());
        out.push(b'.');
        let fraction = digits.format(1000 + millis % 1000).as_bytes();
        out.extend_from_slice(fraction.get(1..).unwrap_or_default());
        out.push(b'\n');
    }
}

impl Writer for Text {
    type Head = Head;

    fn labels<'l>(&self, labels: impl Iterator<Item = (&'l str, &'l str)>) -> Vec<u8> {
        let mut out = Vec::new();
        labels.for_each(|(name, value)| label(&mut out, name, value, self.escaping));
        out
    }

    fn head(&self, family: &Family<'_>) -> Head {
        let (kind, base, suffix) = if self.open_metrics {
            open_kind(family)
        } else {
            (family.kind.as_str(), family.name, "")
        };
        let base = escape::metric(base, self.escaping).into_owned();
        let quoted = !escape::is_legacy_metric(&base);
        let counts = matches!(kind, "counter" | "histogram" | "summary");
        Head { kind, base, suffix, quoted, counts }
    }

    fn series<'l>(
        &mut self,
        out: &mut Vec<u8>,
        head: &Head,
        identity: &[u8],
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        sample: &Sample<'_>,
        created_ns: Option<u64>,
    ) {
        self.labels.clear();
        self.labels.extend_from_slice(identity);
        labels.for_each(|(name, value)| label(&mut self.labels, name, value, self.escaping));
        match sample {
            Sample::Number(number) => self.line(out, head, head.suffix, None, *number),
            Sample::Histogram(histogram) => self.histogram(out, head, histogram),
            Sample::Summary(quantiles) => {
                for (quantile, value) in &quantiles.values {
                    self.line(out, head, "", Some(("quantile=\"", *quantile)), (*value).into());
                }
                self.line(out, head, "_sum", None, quantiles.sum.into());
                self.line(out, head, "_count", None, quantiles.count.into());
            }
        }
        if let Some(since_ns) = created_ns.filter(|_| self.created && head.counts) {
            self.created(out, head, since_ns);
        }
    }

    fn begin(&self, out: &mut Vec<u8>, family: &Family<'_>, head: &Head, _bytes: usize) {
        self.comment(out, head, "# HELP ", family.help);
        self.comment(out, head, "# TYPE ", head.kind);
        let unit = unit(family.name).filter(|_| self.open_metrics && family.has_unit);
        if let Some(unit) = unit.filter(|unit| head.base.ends_with(unit)) {
            self.comment(out, head, "# UNIT ", unit);
        }
    }

    fn finish(&self, out: &mut Vec<u8>) {
        if self.open_metrics {
            out.extend_from_slice(b"# EOF\n");
        }
    }
}

/// A family's type and name in OpenMetrics, and what the line of a plain value adds to that.
fn open_kind<'a>(family: &Family<'a>) -> (&'static str, &'a str, &'static str) {
    let name = family.name;
    match family.kind {
        Kind::Counter => match name.strip_suffix("_total").filter(|_| !family.base_taken) {
            Some(base) => ("counter", base, "_total"),
            None => ("unknown", name, ""),
        },
        Kind::Gauge => match name.strip_suffix("_info").filter(|_| !family.base_taken) {
            Some(base) => ("info", base, "_info"),
            None => ("gauge", name, ""),
        },
        Kind::Histogram => ("histogram", name, ""),
        Kind::Summary => ("summary", name, ""),
        Kind::Untyped => ("unknown", name, ""),
    }
}

/// A name that is not of the old letters stands among the labels, in quotes.
fn start(out: &mut Vec<u8>, family: &Head, suffix: &str, labels: &[u8], more: bool) {
    if family.quoted {
        out.extend_from_slice(b"{\"");
        escape::text(out, &family.base, true);
        out.extend_from_slice(suffix.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(family.base.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        if more || !labels.is_empty() {
            out.push(b'{');
        }
    }
    if family.quoted && (more || !labels.is_empty()) {
        out.push(b',');
    }
    out.extend_from_slice(labels);
    if more && !labels.is_empty() {
        out.push(b',');
    }
}

fn close(out: &mut Vec<u8>, family: &Head, labels: &[u8], more: bool) {
    let has_braces = family.quoted || more || !labels.is_empty();
    out.extend_from_slice(if has_braces { b"} " } else { b" " });
}

fn name(out: &mut Vec<u8>, name: &str, quoted: bool) {
    if quoted {
        out.push(b'"');
        escape::text(out, name, true);
        out.push(b'"');
    } else {
        out.extend_from_slice(name.as_bytes());
    }
}

/// Appends `name="value"`, after a comma if it is not the first.
fn label(out: &mut Vec<u8>, label: &str, value: &str, escaping: Escaping) {
    if !out.is_empty() {
        out.push(b',');
    }
    let label = escape::label(label, escaping);
    name(out, &label, !escape::is_legacy_label(&label));
    out.extend_from_slice(b"=\"");
    escape::text(out, value, true);
    out.push(b'"');
}

/// The ends of the lines of buckets, kept from one histogram to the next: most have the same.
#[derive(Debug, Default)]
struct Limits {
    bounds: Vec<f64>,
    ends: Vec<Vec<u8>>,
}

impl Limits {
    fn of(&mut self, bounds: &[f64]) -> &[Vec<u8>] {
        if self.ends.is_empty() || self.bounds != bounds {
            self.bounds = bounds.to_vec();
            let end = |bound: f64| {
                let mut end = b"le=\"".to_vec();
                canonical(&mut end, bound);
                end.extend_from_slice(b"\"} ");
                end
            };
            self.ends = bounds.iter().copied().chain([f64::INFINITY]).map(end).collect();
        }
        &self.ends
    }
}

/// A number that is a label's value, as OpenMetrics and Prometheus 3 have it, whatever the format:
/// with a point ("1.0"), and with an exponent below 0.0001 ("1e-05") and from 1e21 on.
fn canonical(out: &mut Vec<u8>, x: f64) {
    if x == 0.0 || !x.is_finite() || (1e-4..1e21).contains(&x.abs()) {
        return float(out, x);
    }
    let text = format!("{x:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    out.extend_from_slice(format!("{digits}e{sign}{exponent:0>2}").as_bytes());
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
    use crate::model::service::{Identity, Label, ServiceName};
    use crate::model::snapshot::{
        Distribution, Exponential, MetricId, Quantiles, Series, Starts, Text, Value,
    };

    const CATALOG: &[Desc] = &[
        Desc {
            name: "a_total",
            kind: Kind::Counter,
            help: "Back\\slash\nand line.",
            labels: &["k"],
            since: Since::Watching,
            collector: None,
        },
        Desc {
            name: "b_seconds",
            kind: Kind::Histogram,
            help: "B.",
            labels: &[],
            since: Since::Nothing,
            collector: None,
        },
        Desc {
            name: "unused",
            kind: Kind::Gauge,
            help: "U.",
            labels: &[],
            since: Since::Nothing,
            collector: None,
        },
        Desc {
            name: "c_seconds",
            kind: Kind::Summary,
            help: "C.",
            labels: &[],
            since: Since::Nothing,
            collector: None,
        },
    ];

    fn service(name: &str) -> ServiceSnapshot {
        let labels = vec![Label::new("team", "a\"b\n\\").unwrap()];
        let identity = Arc::new(Identity::new(ServiceName::new(name).unwrap(), labels));
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
                series(1, vec![], Value::Distribution(Box::new(distribution))),
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

    #[test]
    fn names_beyond_the_old_letters_are_quoted_or_escaped() {
        let write = |escaping, open_metrics| {
            let mut text = super::Text { open_metrics, ..super::Text::prometheus(escaping) };
            let labels = text.labels([("a.b", "c"), ("d", "e")].into_iter());
            let (name, help) = ("http.\"x\".requests_total", "H.");
            let kind = Kind::Counter;
            let family = Family { name, help, kind, base_taken: false, has_unit: false };
            let head = text.head(&family);
            let (mut series, mut page) = (Vec::new(), Vec::new());
            for (labels, n) in [(labels.as_slice(), 1), (&[], 2)] {
                let sample = Sample::Number(Number::Signed(n));
                text.series(&mut series, &head, labels, std::iter::empty(), &sample, None);
            }
            text.family(&mut page, &family, &head, &mut series);
            String::from_utf8(page).unwrap()
        };
        let quoted = r#"# HELP "http.\"x\".requests_total" H.
# TYPE "http.\"x\".requests_total" counter
{"http.\"x\".requests_total","a.b"="c",d="e"} 1
{"http.\"x\".requests_total"} 2
"#;
        assert_eq!(write(Escaping::AllowUtf8, false), quoted);
        let base = |text: &str| text.replace("requests_total\" ", "requests\" ");
        assert_eq!(write(Escaping::AllowUtf8, true), base(quoted));
        let escaped = "# HELP http__x__requests_total H.\n# TYPE http__x__requests_total counter\n\
            http__x__requests_total{a_b=\"c\",d=\"e\"} 1\nhttp__x__requests_total 2\n";
        assert_eq!(write(Escaping::Underscores, false), escaped);
    }

    #[test]
    fn numbers_in_labels_are_as_go_prints_them() {
        for (x, expected) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.5, "0.5"),
            (0.0001, "0.0001"),
            (0.000_025, "2.5e-05"),
            (-1e-9, "-1e-09"),
            (1.5e-300, "1.5e-300"),
            (16384.0, "16384.0"),
            (1e21, "1e+21"),
            (f64::INFINITY, "+Inf"),
        ] {
            let mut out = Vec::new();
            canonical(&mut out, x);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
