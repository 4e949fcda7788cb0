//! Events of the OTLP client.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

use super::metrics::Metrics;

/// Outcomes of a request: the closed set of the label `outcome`.
const OUTCOMES: [&str; 4] = ["success", "partial", "retried", "refused"];

/// What became of points: the closed set of the label `fate`.
const FATES: [&str; 4] = ["sent", "rejected", "superseded", "dropped"];

/// Counts and logs what becomes of requests. The log has a line when that changes.
#[derive(Debug)]
pub struct OtlpTelemetry {
    metrics: Arc<Metrics>,
    /// Why it fails at the moment; empty while it does not, none before the first request.
    state: Mutex<Option<&'static str>>,
}

impl OtlpTelemetry {
    /// Begins every counter at 0.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        for outcome in OUTCOMES {
            metrics.otlp_requests.with_label_values(&[outcome]);
        }
        for fate in FATES {
            metrics.otlp_points.with_label_values(&[fate]);
        }
        metrics.otlp_last_success.with_label_values::<&str>(&[]);
        let this = Self { metrics, state: Mutex::default() };
        this.queued(0, 0);
        this
    }

    /// A request was taken; `rejected` of its points were not, and why.
    pub fn taken(&self, points: u64, rejected: u64, told: &str, took: Duration) {
        let outcome = if rejected > 0 { "partial" } else { "success" };
        self.answered(outcome, took);
        let rejected = rejected.min(points);
        self.points("sent", points - rejected);
        self.points("rejected", rejected);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.metrics.otlp_last_success.with_label_values::<&str>(&[]).set(now.as_secs_f64());
        let state = if rejected > 0 || !told.is_empty() { "partial" } else { "" };
        match self.changed(state) {
            Some(_) if rejected > 0 => {
                warn!(rejected, points, told, "the OTLP receiver takes only a part of the points");
            }
            Some(_) if !told.is_empty() => warn!(told, "the OTLP receiver warns"),
            Some(None) => info!(points, "metrics are pushed by OTLP"),
            Some(_) => info!("metrics are pushed by OTLP again"),
            None => {}
        }
    }

    /// A request was not taken. `refused`: its points, if it is not sent again.
    pub fn failed(
        &self,
        reason: &'static str,
        advice: &str,
        told: &str,
        refused: Option<u64>,
        took: Duration,
    ) {
        self.answered(if refused.is_some() { "refused" } else { "retried" }, took);
        self.metrics.otlp_errors.with_label_values(&[reason]).inc();
        self.points("dropped", refused.unwrap_or_default());
        if self.changed(reason).is_none() {
            return;
        }
        if refused.is_some() {
            warn!(reason, error = told, advice, "the OTLP receiver refuses what is pushed");
        } else {
            warn!(reason, error = told, advice, "cannot push by OTLP, trying again");
        }
    }

    /// Points that were replaced by newer ones before they could be sent.
    pub fn superseded(&self, points: u64) {
        self.points("superseded", points);
    }

    /// Points for which there is no room, or no time.
    pub fn dropped(&self, points: u64) {
        self.points("dropped", points);
    }

    /// A request of deltas that was not taken for too long, while others were.
    pub fn given_up(&self, points: u64) {
        self.dropped(points);
        warn!(points, "giving up deltas that the OTLP receiver does not take");
    }

    /// The last export did not end in time.
    pub fn last_was_late(&self) {
        warn!("stopping although the last OTLP export has not ended");
    }

    /// What waits to be sent.
    pub fn queued(&self, points: u64, bytes: usize) {
        let set = |gauge: &prometheus::IntGaugeVec, n| {
            gauge.with_label_values::<&str>(&[]).set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        set(&self.metrics.otlp_queue_points, points);
        set(&self.metrics.otlp_queue_bytes, bytes as u64);
    }

    fn answered(&self, outcome: &str, took: Duration) {
        self.metrics.otlp_requests.with_label_values(&[outcome]).inc();
        self.metrics.otlp_duration.with_label_values::<&str>(&[]).set(took.as_secs_f64());
    }

    fn points(&self, fate: &str, n: u64) {
        self.metrics.otlp_points.with_label_values(&[fate]).inc_by(n);
    }

    /// What it was before, if it is another state now.
    fn changed(&self, state: &'static str) -> Option<Option<&'static str>> {
        let mut now = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = now.replace(state);
        (before != Some(state)).then_some(before)
    }
}
