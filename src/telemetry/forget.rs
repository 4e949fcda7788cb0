//! What we say of a service ends when the service does.

use std::collections::HashMap;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};

use super::metrics::Metrics;

/// Calls a function with each metric that has the label `service`.
macro_rules! of_services {
    ($metrics:ident, $call:ident, $service:ident) => {
        of_services!($metrics, $call, $service:
            records, recovered, malformed, lost, unknown_forms, crash_dumps, lines, lines_too_long, entries_malformed, source_up, source_errors, lag, files, files_passed_over, rotations, gaps, stderr_dropped, exec_restarts, exec_unread, scrape_success, scrape_duration, scrape_interval, scrape_last_success, scrape_errors, scrapes_late, unreadable_vars, dropped_vars, retyped_vars, capability, bytes, scrapes)
    };
    ($metrics:ident, $call:ident, $service:ident: $($vec:ident),*) => {
        $($call(&$metrics.$vec, $service);)*
    };
}

impl Metrics {
    /// Ends every series about ourselves that has this label `service`.
    pub fn forget(&self, service: &str) {
        of_services!(self, forget_in, service);
    }
}

fn forget_in<T: MetricVecBuilder>(vec: &MetricVec<T>, service: &str) {
    for family in vec.collect() {
        for metric in family.get_metric() {
            let labels: HashMap<&str, &str> =
                metric.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
            if labels.get("service") == Some(&service) {
                // It may have gone meanwhile.
                let _gone = vec.remove(&labels);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch<T: MetricVecBuilder>(vec: &MetricVec<T>, service: &str) {
        let desc = vec.desc();
        let labels = desc.first().map(|desc| &desc.variable_labels).unwrap();
        let values: Vec<_> =
            labels.iter().map(|label| if label == "service" { service } else { "x" }).collect();
        vec.with_label_values(&values);
    }

    /// Every metric with a service in it is one that forgets it.
    #[test]
    fn nothing_of_a_service_stays() {
        let metrics = Metrics::new().unwrap();
        let source = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/telemetry/metrics.rs"
        ));
        let of_services = source.unwrap().matches("&[\"service\"").count();
        for service in ["a", "b"] {
            of_services!(metrics, touch, service);
        }
        let of = |service: &str| {
            let families = metrics.families().collect::<Vec<_>>();
            let all = families.iter().flat_map(|family| family.get_metric());
            all.filter(|metric| metric.get_label().iter().any(|pair| pair.value() == service))
                .count()
        };
        assert_eq!((of("a"), of("b")), (of_services, of_services));
        metrics.forget("a");
        assert_eq!((of("a"), of("b")), (0, of_services));
    }
}
