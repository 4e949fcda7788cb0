//! Events of service discovery.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

use super::metrics::Metrics;

/// Of one finder.
#[derive(Debug)]
pub struct FinderTelemetry {
    metrics: Arc<Metrics>,
    mechanism: &'static str,
    /// What was told last, until it works again.
    told: Option<String>,
}

impl FinderTelemetry {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, mechanism: &'static str) -> Self {
        metrics.discovery_errors.with_label_values(&[mechanism]);
        Self { metrics, mechanism, told: None }
    }

    /// It could be told which targets there are.
    pub fn found(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let success = &self.metrics.discovery_last_success;
        success.with_label_values(&[self.mechanism]).set(now.as_secs_f64());
        if self.told.take().is_some() {
            info!(mechanism = self.mechanism, "services are found again");
        }
    }

    /// It could not; each reason is told once.
    pub fn failed(&mut self, why: &str) {
        self.metrics.discovery_errors.with_label_values(&[self.mechanism]).inc();
        if self.told.as_deref() != Some(why) {
            warn!(mechanism = self.mechanism, why, "cannot find services, those of before go on");
            self.told = Some(why.to_owned());
        }
    }
}

/// Of what was found by all of them.
#[derive(Debug)]
pub struct DiscoveryTelemetry {
    metrics: Arc<Metrics>,
    refused: Mutex<BTreeSet<(String, String)>>,
}

impl DiscoveryTelemetry {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, refused: Mutex::default() }
    }

    /// So many services are at work, so many of them not found any more; these targets are none.
    pub fn now(&self, services: usize, vanished: usize, refused: BTreeSet<(String, String)>) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let states = [("found", services - vanished.min(services)), ("vanished", vanished)];
        for (state, services) in states {
            self.metrics.discovery_services.with_label_values(&[state]).set(count(services));
        }
        self.metrics.discovery_refused.set(count(refused.len()));
        let mut before = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for (target, why) in refused.difference(&before) {
            warn!(target, why, "target is no service");
        }
        *before = refused;
    }
}
