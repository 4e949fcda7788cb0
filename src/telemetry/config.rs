//! Events of the config.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{error, info};

use super::metrics::Metrics;

/// Of the config that was read again.
#[derive(Debug)]
pub struct ConfigTelemetry(Arc<Metrics>);

impl ConfigTelemetry {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        for result in ["success", "failure"] {
            metrics.config_reloads.with_label_values(&[result]);
        }
        Self(metrics)
    }

    /// It was right, and holds from now on.
    pub fn reloaded(&self, services: usize, begun: usize, ended: usize) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.config_reloads.with_label_values(&["success"]).inc();
        self.0.config_reload_success.set(1);
        self.0.config_last_reload.set(now.as_secs_f64());
        info!(services, begun, ended, "config reloaded");
    }

    /// It was not, and the old one goes on.
    pub fn failed(&self, why: &str) {
        self.0.config_reloads.with_label_values(&["failure"]).inc();
        self.0.config_reload_success.set(0);
        error!(why, "config not reloaded, the old one goes on");
    }
}
