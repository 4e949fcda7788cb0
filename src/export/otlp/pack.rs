//! Resources → bodies of requests, none larger than a bound.
//!
//! An `ExportMetricsServiceRequest` is one field, repeated: so bodies are put together by appending, and the
//! messages of one service at a time are in memory.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

/// `ExportMetricsServiceRequest.resource_metrics`.
const RESOURCE_METRICS: u32 = 1;

/// Appends a resource to a body.
pub fn append(body: &mut Vec<u8>, resource: &ResourceMetrics) {
    encode_key(RESOURCE_METRICS, WireType::LengthDelimited, body);
    encode_varint(resource.encoded_len() as u64, body);
    resource.encode_raw(body);
}

/// How many bytes [`append`] adds.
#[must_use]
pub fn size(resource: &ResourceMetrics) -> usize {
    let length = resource.encoded_len();
    key_len(RESOURCE_METRICS) + encoded_len_varint(length as u64) + length
}

/// Points of a resource.
#[must_use]
pub fn points(resource: &ResourceMetrics) -> u64 {
    let metrics = resource.scope_metrics.iter().flat_map(|scope| &scope.metrics);
    let points = metrics.map(|metric| match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    });
    points.map(|points| points as u64).sum()
}

/// A resource in pieces of at most `max` bytes, each with some of its metrics; a piece of one metric may be
/// larger.
#[must_use]
pub fn pieces(resource: ResourceMetrics, max: usize) -> Vec<ResourceMetrics> {
    if size(&resource) <= max {
        return vec![resource];
    }
    let ResourceMetrics { resource, scope_metrics, schema_url } = resource;
    let mut pieces = Vec::new();
    for ScopeMetrics { scope, metrics, schema_url: of_scope } in scope_metrics {
        let piece = |metrics| {
            let scope =
                ScopeMetrics { scope: scope.clone(), metrics, schema_url: of_scope.clone() };
            ResourceMetrics {
                resource: resource.clone(),
                scope_metrics: vec![scope],
                schema_url: schema_url.clone(),
            }
        };
        let empty = size(&piece(Vec::new()));
        let (mut some, mut bytes): (Vec<Metric>, usize) = (Vec::new(), empty);
        for metric in metrics {
            // The field's key and length, and what the lengths around it may grow by.
            let more = metric.encoded_len() + 16;
            if bytes + more > max && !some.is_empty() {
                pieces.push(piece(std::mem::take(&mut some)));
                bytes = empty;
            }
            bytes += more;
            some.push(metric);
        }
        pieces.push(piece(some));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, NumberDataPoint};

    use super::*;

    fn resource(metrics: usize) -> ResourceMetrics {
        let metric = |n| Metric {
            name: format!("metric {n}"),
            data: Some(Data::Gauge(Gauge { data_points: vec![NumberDataPoint::default(); 3] })),
            ..Metric::default()
        };
        let metrics = (0..metrics).map(metric).collect();
        let scope = ScopeMetrics { metrics, schema_url: "s".into(), ..ScopeMetrics::default() };
        ResourceMetrics {
            scope_metrics: vec![scope],
            schema_url: "r".into(),
            ..ResourceMetrics::default()
        }
    }

    #[test]
    fn what_is_appended_is_a_request() {
        let resources = [resource(2), resource(40)];
        let mut body = Vec::new();
        for resource in &resources {
            let before = body.len();
            append(&mut body, resource);
            assert_eq!(body.len() - before, size(resource));
        }
        let request = ExportMetricsServiceRequest::decode(&*body).unwrap();
        assert_eq!(request.resource_metrics, resources);
        assert_eq!(points(&resources[1]), 120);
    }

    #[test]
    fn pieces_are_small_enough_and_nothing_is_lost() {
        let whole = resource(1000);
        for max in [1, 100, 999, 1 << 20] {
            let pieces = pieces(whole.clone(), max);
            let small = |piece: &ResourceMetrics| {
                size(piece) <= max || piece.scope_metrics[0].metrics.len() == 1
            };
            assert!(pieces.iter().all(small), "{max}");
            let metrics = pieces.iter().flat_map(|piece| &piece.scope_metrics[0].metrics);
            assert!(metrics.eq(&whole.scope_metrics[0].metrics), "{max}");
            assert!(pieces.iter().all(|piece| piece.schema_url == "r"));
        }
    }
}
