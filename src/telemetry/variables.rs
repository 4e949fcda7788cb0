//! What became of one service's expvar variables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tracing::warn;

use super::metrics::Metrics;
use crate::model::metric::Kind;
use crate::model::variable::{DropReason, Dropped};

/// Events of one service's variables.
#[derive(Debug)]
pub struct VariableTelemetry {
    metrics: Arc<Metrics>,
    service: Box<str>,
    /// One bit a reason that was told, one for variables that fell, and one for types that differ.
    told: AtomicU32,
}

impl VariableTelemetry {
    /// Of a service.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, service: &str) -> Self {
        Self { metrics, service: service.into(), told: AtomicU32::new(0) }
    }

    /// Variables of one page that could not be read.
    pub fn unreadable(&self, n: u64) {
        self.metrics.unreadable_vars.with_label_values(&[&*self.service]).inc_by(n);
    }

    /// Variables of one page that are not exported. Each reason is logged once.
    pub fn dropped(&self, dropped: &Dropped) {
        for reason in DropReason::ALL.into_iter().filter(|reason| dropped.count(*reason) > 0) {
            let variables = dropped.count(reason);
            let labels = [&*self.service, reason.as_str()];
            self.metrics.dropped_vars.with_label_values(&labels).inc_by(variables);
            if self.tell_once(reason as u32) {
                warn!(
                    service = %self.service,
                    reason = reason.as_str(),
                    variables,
                    for_one = dropped.sample(reason).unwrap_or_default().escape_debug().to_string(),
                    advice = reason.advice(),
                    "variables of /debug/vars are not exported; from now on only counted"
                );
            }
        }
    }

    /// Variables whose name has another type in the service `other`: those left off are counted, and each
    /// page counts them again. Logged once.
    pub fn disagrees(&self, name: &str, kinds: [Kind; 2], other: &str, left_off: u64) {
        let [own, others] = kinds.map(Kind::as_str);
        if left_off > 0 {
            let mut dropped = Dropped::default();
            let sample = || format!("{name} ({own}; service {other} has it as {others})");
            dropped.note(DropReason::OtherType, left_off, sample);
            self.dropped(&dropped);
        } else if self.tell_once(u32::BITS - 2) {
            warn!(
                service = %self.service,
                metric = name,
                kind = own,
                other_service = other,
                other_kind = others,
                "services differ on the type of a variable: it is exported without one; a rule can give it another name, or both the same type"
            );
        }
    }

    /// Variables that were taken for counters and have fallen without a restart. Logged once.
    pub fn retyped(&self, names: &[Box<str>]) {
        let Some(first) = names.first() else { return };
        let counter = self.metrics.retyped_vars.with_label_values(&[&*self.service]);
        counter.inc_by(names.len() as u64);
        if self.tell_once(u32::BITS - 1) {
            warn!(
                service = %self.service,
                metric = %first,
                "a variable was taken for a counter and has fallen: it is a gauge from now on; a rule can say what it is"
            );
        }
    }

    fn tell_once(&self, bit: u32) -> bool {
        let bit = 1_u32.checked_shl(bit).unwrap_or_default();
        self.told.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}
