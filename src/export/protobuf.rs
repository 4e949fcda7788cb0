//! The Prometheus protobuf format: `io.prometheus.client.MetricFamily`
//! (<https://github.com/prometheus/client_model>), each behind its length.
//!
//! Written by hand: the messages need eleven kinds of field, and the types that a generator makes
//! would hold every series a second time. All values but counts of observations are doubles there,
//! so that a counter above 2^53 is the nearest one.

use super::escape;
use super::family::{Family, Histogram, Sample, Writer};
use crate::model::exposition::Escaping;
use crate::model::metric::{Kind, unit};
use crate::model::snapshot::{Exponential, Quantiles};

/// Empty buckets that are written between two others, as client_golang has it: a new span costs as
/// much.
const GAP_MAX: u32 = 2;

/// How the value of a field is written.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;

const NANOS_IN_SECOND: u64 = 1_000_000_000;

/// Of a family: its type, and its message without the series.
#[derive(Debug)]
pub struct Head {
    kind: Kind,
    message: Vec<u8>,
}

/// Writes the protobuf format.
#[derive(Debug)]
pub struct Protobuf {
    escaping: Escaping,
    classic: bool,
    /// The message of the series at hand, and of its value.
    metric: Vec<u8>,
    value: Vec<u8>,
    /// A message in one of these.
    inner: Vec<u8>,
}

impl Protobuf {
    /// `classic`: also the fixed buckets of a histogram that has exponential ones.
    #[must_use]
    pub const fn new(escaping: Escaping, classic: bool) -> Self {
        Self { escaping, classic, metric: Vec::new(), value: Vec::new(), inner: Vec::new() }
    }

    fn histogram(&mut self, histogram: &Histogram<'_>) {
        let (value, inner) = (&mut self.value, &mut self.inner);
        number(value, 1, histogram.count());
        if let Some(sum) = histogram.sum {
            double(value, 2, sum);
        }
        // That of +Inf is the count.
        let is_finite = |(bound, _): &(f64, u64)| bound.is_finite();
        if self.classic || histogram.exponential.is_none() {
            for (bound, count) in histogram.cumulative().filter(is_finite) {
                inner.clear();
                number(inner, 1, count);
                double(inner, 2, bound);
                bytes(value, 3, inner);
            }
        }
        if let Some(exponential) = histogram.exponential {
            native(value, inner, exponential);
        }
    }

    fn summary(&mut self, quantiles: &Quantiles) {
        number(&mut self.value, 1, quantiles.count);
        double(&mut self.value, 2, quantiles.sum);
        for (quantile, value) in &quantiles.values {
            self.inner.clear();
            double(&mut self.inner, 1, *quantile);
            double(&mut self.inner, 2, *value);
            bytes(&mut self.value, 3, &self.inner);
        }
    }

    /// `field`: where the message of such a value has its creation.
    fn created(&mut self, field: u64, since_ns: Option<u64>) {
        if let Some(since_ns) = since_ns {
            self.inner.clear();
            number(&mut self.inner, 1, since_ns / NANOS_IN_SECOND);
            number(&mut self.inner, 2, since_ns % NANOS_IN_SECOND);
            bytes(&mut self.value, field, &self.inner);
        }
    }
}

impl Writer for Protobuf {
    type Head = Head;

    fn labels<'l>(&self, labels: impl Iterator<Item = (&'l str, &'l str)>) -> Vec<u8> {
        let (mut out, mut pair) = (Vec::new(), Vec::new());
        labels.for_each(|(name, value)| label(&mut out, &mut pair, name, value, self.escaping));
        out
    }

    fn head(&self, family: &Family<'_>) -> Head {
        let mut message = Vec::new();
        bytes(&mut message, 1, escape::metric(family.name, self.escaping).as_bytes());
        bytes(&mut message, 2, family.help.as_bytes());
        let kind = match family.kind {
            Kind::Counter => 0,
            Kind::Gauge => 1,
            Kind::Summary => 2,
            Kind::Untyped => 3,
            Kind::Histogram => 4,
        };
        number(&mut message, 3, kind);
        if let Some(unit) = unit(family.name).filter(|_| family.has_unit) {
            bytes(&mut message, 5, unit.as_bytes());
        }
        Head { kind: family.kind, message }
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
        self.metric.clear();
        self.metric.extend_from_slice(identity);
        labels.for_each(|(name, value)| {
            label(&mut self.metric, &mut self.inner, name, value, self.escaping);
        });
        self.value.clear();
        let field = match sample {
            Sample::Number(number) => {
                double(&mut self.value, 1, number.as_f64());
                match head.kind {
                    Kind::Counter => {
                        self.created(3, created_ns);
                        3
                    }
                    Kind::Gauge => 2,
                    Kind::Untyped | Kind::Histogram | Kind::Summary => 5,
                }
            }
            Sample::Histogram(histogram) => {
                self.histogram(histogram);
                self.created(15, created_ns);
                7
            }
            Sample::Summary(quantiles) => {
                self.summary(quantiles);
                self.created(4, created_ns);
                4
            }
        };
        bytes(&mut self.metric, field, &self.value);
        bytes(out, 4, &self.metric);
    }

    fn begin(&self, out: &mut Vec<u8>, _family: &Family<'_>, head: &Head, bytes: usize) {
        varint(out, (head.message.len() + bytes) as u64);
        out.extend_from_slice(&head.message);
    }

    fn finish(&self, _out: &mut Vec<u8>) {}
}

/// Buckets as spans of neighbours, each count as the difference to the one before.
fn native(value: &mut Vec<u8>, inner: &mut Vec<u8>, exponential: &Exponential) {
    signed(value, 5, exponential.schema.into());
    double(value, 6, exponential.zero_threshold);
    number(value, 7, exponential.zero_count);
    let mut deltas = Vec::new();
    let mut before = 0;
    let mut span: Option<(i32, u32)> = None;
    let mut end = 0;
    let mut put = |value: &mut Vec<u8>, (offset, length): (i32, u32)| {
        inner.clear();
        signed(inner, 1, offset.into());
        number(inner, 2, length.into());
        bytes(value, 12, inner);
    };
    for (index, count) in exponential.buckets() {
        let gap = u32::try_from(index - end).ok().filter(|gap| *gap <= GAP_MAX);
        match (&mut span, gap) {
            (Some((_, length)), Some(gap)) => {
                for _ in 0..gap {
                    varint(&mut deltas, zigzag(-before));
                    before = 0;
                }
                *length += gap + 1;
            }
            (open, _) => {
                if let Some(done) = open.replace((index - end, 1)) {
                    put(value, done);
                }
            }
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        varint(&mut deltas, zigzag(count - before));
        before = count;
        end = index + 1;
    }
    if let Some(last) = span {
        put(value, last);
    }
    bytes(value, 13, &deltas);
}

fn label(out: &mut Vec<u8>, pair: &mut Vec<u8>, name: &str, value: &str, escaping: Escaping) {
    pair.clear();
    bytes(pair, 1, escape::label(name, escaping).as_bytes());
    bytes(pair, 2, value.as_bytes());
    bytes(out, 1, pair);
}

fn bytes(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    varint(out, field << 3 | BYTES);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    varint(out, field << 3 | FIXED_64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3 | VARINT);
    varint(out, value);
}

fn signed(out: &mut Vec<u8>, field: u64, value: i64) {
    number(out, field, zigzag(value));
}

#[expect(clippy::cast_sign_loss, reason = "it is what a sint is")]
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
