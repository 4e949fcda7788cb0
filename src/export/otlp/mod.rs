//! A snapshot → OpenTelemetry's metrics (opentelemetry-proto's messages).
//!
//! [`service`] and `own` make one resource each, cumulative; [`delta`] makes deltas of it; [`pack`] makes
//! requests of bounded size. `name` names metrics, `resource` says whose they are, `points` has the values.

pub mod delta;
pub mod pack;

mod name;
mod own;
mod points;
mod resource;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, Gauge, Histogram, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, Summary,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_semantic_conventions::SCHEMA_URL;

pub use own::own;

use crate::model::metric::{Desc, Kind};
use crate::model::otlp::{Histograms, Semantic, Shape};
use crate::model::snapshot::{MetricId, Number, Series, ServiceSnapshot, Value};
use crate::model::variable::{VariableSeries, VariableValue};
use points::Head;
use resource::attribute;

/// How we name ourselves as the scope of metrics.
const SCOPE: &str = "godebug-exporter";

/// Points a metric has at most; one with more is given in pieces, so that a request is never too large for one.
const POINTS_MAX: usize = 500;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// The catalogue, and which of its metrics have names in the conventions.
#[derive(Debug, Clone, Copy)]
pub struct Catalog {
    /// By id.
    pub metrics: &'static [Desc],
    /// In any order.
    pub semantics: &'static [Semantic],
}

/// What a metric of the page is called by OTLP, and its unit; `None` where a name of the conventions takes its
/// place.
#[must_use]
pub fn name_and_unit(catalog: &Catalog, id: MetricId) -> Option<(String, &'static str)> {
    let is_named = catalog.semantics.iter().any(|one| one.replaces && one.of == id);
    let desc = catalog.metrics.get(usize::from(id.0)).filter(|_| !is_named)?;
    Some(name::of(desc.name))
}

/// A service's metrics, cumulative. `now_ns`: the moment, in nanoseconds since 1970.
#[must_use]
pub fn service(
    shape: &Shape,
    catalog: &Catalog,
    snapshot: &ServiceSnapshot,
    now_ns: u64,
) -> ResourceMetrics {
    let mut metrics = Vec::new();
    for semantic in catalog.semantics {
        semantic_points(semantic, catalog, snapshot, now_ns, &mut metrics);
    }
    let named = |id: MetricId| catalog.semantics.iter().any(|one| one.replaces && one.of == id);
    for these in snapshot.series.chunk_by(|a, b| a.metric == b.metric) {
        let Some(first) = these.first().filter(|first| !named(first.metric)) else { continue };
        let Some(desc) = catalog.metrics.get(usize::from(first.metric.0)) else { continue };
        for some in these.chunks(POINTS_MAX) {
            metrics.push(catalogued(shape, desc, some, snapshot, now_ns));
        }
    }
    let mut variables: BTreeMap<&str, Vec<&VariableSeries>> = BTreeMap::new();
    for series in &*snapshot.variables {
        variables.entry(&series.name).or_default().push(series);
    }
    for these in variables.values().flat_map(|these| these.chunks(POINTS_MAX)) {
        metrics.extend(variable(these, snapshot.starts.process_ns.unwrap_or_default(), now_ns));
    }
    let release = release(catalog, snapshot);
    whole(resource::service(shape, &snapshot.identity, release), metrics)
}

fn whole(resource: Resource, metrics: Vec<Metric>) -> ResourceMetrics {
    let scope = InstrumentationScope {
        name: SCOPE.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    };
    let scope = ScopeMetrics { scope: Some(scope), metrics, schema_url: SCHEMA_URL.into() };
    ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![scope],
        schema_url: SCHEMA_URL.into(),
    }
}

/// The Go release, if only one can have printed the trace. "1.27+" is none: it stands for all to come.
fn release<'s>(catalog: &Catalog, snapshot: &'s ServiceSnapshot) -> Option<&'s str> {
    let is_range = |series: &&Series| {
        let desc = catalog.metrics.get(usize::from(series.metric.0));
        desc.is_some_and(|desc| desc.labels == ["min", "max"])
    };
    match &*snapshot.series.iter().find(is_range)?.labels {
        [min, max] if min.as_str() == max.as_str() => Some(min.as_str()),
        _ => None,
    }
}

fn semantic_points(
    semantic: &Semantic,
    catalog: &Catalog,
    snapshot: &ServiceSnapshot,
    now_ns: u64,
    metrics: &mut Vec<Metric>,
) {
    let value = |id: MetricId| {
        let found = snapshot.series.iter().find(|series| series.metric == id)?;
        if let Value::Number(number) = found.value { Some(number) } else { None }
    };
    let Some(value) = difference(value(semantic.of), semantic.less.iter().map(|id| value(*id)))
    else {
        return;
    };
    let counted = catalog.metrics.get(usize::from(semantic.of.0));
    let counted = counted.filter(|desc| desc.kind == Kind::Counter);
    let start = match counted {
        Some(desc) => snapshot.starts.of(desc.since, &Value::Number(value)),
        None => snapshot.starts.process_ns,
    };
    let attributes =
        semantic.attributes.iter().map(|(key, value)| attribute(key, *value)).collect();
    let head = Head { attributes, start_ns: start.unwrap_or_default(), now_ns };
    let point = points::number(head, value);
    let last = metrics.last_mut().filter(|last| last.name == semantic.name);
    if let Some(Data::Sum(sum)) = last.and_then(|last| last.data.as_mut()) {
        sum.data_points.push(point);
        return;
    }
    metrics.push(Metric {
        name: semantic.name.into(),
        description: semantic.description.into(),
        unit: semantic.unit.into(),
        data: Some(sum(vec![point], semantic.monotonic)),
        ..Metric::default()
    });
}

/// `None` where a part is not known, or they do not belong to one moment.
fn difference(of: Option<Number>, less: impl Iterator<Item = Option<Number>>) -> Option<Number> {
    let mut value = of?;
    for part in less {
        value = match (value, part?) {
            (Number::Unsigned(all), Number::Unsigned(part)) => {
                Number::Unsigned(all.checked_sub(part)?)
            }
            _ => return None,
        };
    }
    Some(value)
}

fn catalogued(
    shape: &Shape,
    desc: &Desc,
    these: &[Series],
    snapshot: &ServiceSnapshot,
    now_ns: u64,
) -> Metric {
    let head = |series: &Series| {
        let more = snapshot.more_labels.iter().map(|name| &**name);
        let names = desc.labels.iter().copied().chain(more);
        Head {
            attributes: attributes(names.zip(series.labels.iter().map(|value| value.as_str()))),
            start_ns: snapshot.starts.of(desc.since, &series.value).unwrap_or_default(),
            now_ns,
        }
    };
    let numbers = || {
        let number = |series: &Series| match &series.value {
            Value::Number(number) => Some(points::number(head(series), *number)),
            _ => None,
        };
        these.iter().filter_map(number).collect()
    };
    let distributions = || {
        these.iter().filter_map(|series| match &series.value {
            Value::Distribution(distribution) => Some((head(series), distribution)),
            _ => None,
        })
    };
    let data = match desc.kind {
        Kind::Gauge | Kind::Untyped => gauge(numbers()),
        Kind::Counter => sum(numbers(), true),
        Kind::Histogram if shape.histograms == Histograms::Exponential => {
            let points = distributions().map(|(head, one)| points::exponential(head, one));
            let data_points = points.collect();
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality: CUMULATIVE,
            })
        }
        Kind::Histogram => {
            explicit(distributions().map(|(head, one)| points::explicit(head, one)).collect())
        }
        Kind::Summary => Data::Summary(Summary {
            data_points: these
                .iter()
                .filter_map(|series| match &series.value {
                    Value::Quantiles(quantiles) => Some(points::summary(head(series), quantiles)),
                    _ => None,
                })
                .collect(),
        }),
    };
    named(desc.name, desc.help, data)
}

/// What the services call themselves keeps its name. A type that was inferred may change, and a stream of
/// OTLP may not: such a variable is a gauge.
fn variable(these: &[&VariableSeries], start_ns: u64, now_ns: u64) -> Option<Metric> {
    let first = these.first()?;
    let head = |series: &VariableSeries, start_ns| {
        let labels = series.labels.iter().map(|(name, value)| (&**name, &**value));
        Head { attributes: attributes(labels), start_ns, now_ns }
    };
    let is_counter = first.kind == Kind::Counter && !first.inferred;
    let start_of_numbers = if is_counter { start_ns } else { 0 };
    let data = if first.kind == Kind::Histogram {
        let points = these.iter().filter_map(|series| match &series.value {
            VariableValue::Buckets(buckets) => {
                Some(points::of_buckets(head(series, start_ns), buckets))
            }
            VariableValue::Number(_) => None,
        });
        explicit(points.collect())
    } else {
        let points = these.iter().filter_map(|series| match series.value {
            VariableValue::Number(number) => {
                Some(points::number(head(series, start_of_numbers), number))
            }
            VariableValue::Buckets(_) => None,
        });
        if is_counter { sum(points.collect(), true) } else { gauge(points.collect()) }
    };
    Some(Metric {
        name: first.name.to_string(),
        description: first.help.to_string(),
        data: Some(data),
        ..Metric::default()
    })
}

fn attributes<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<KeyValue> {
    labels.map(|(name, value)| attribute(name, value)).collect()
}

fn named(page: &str, help: &str, data: Data) -> Metric {
    let (name, unit) = name::of(page);
    Metric {
        name,
        description: help.into(),
        unit: unit.into(),
        data: Some(data),
        ..Metric::default()
    }
}

fn gauge(data_points: Vec<NumberDataPoint>) -> Data {
    Data::Gauge(Gauge { data_points })
}

fn sum(data_points: Vec<NumberDataPoint>, is_monotonic: bool) -> Data {
    Data::Sum(Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic })
}

fn explicit(data_points: Vec<opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint>) -> Data {
    Data::Histogram(Histogram { data_points, aggregation_temporality: CUMULATIVE })
}
