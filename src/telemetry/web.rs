//! Events of the web configuration file.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::metrics::Metrics;

/// Of one file.
#[derive(Debug)]
pub struct WebTelemetry(Arc<Metrics>);

impl WebTelemetry {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        for result in ["success", "failure"] {
            metrics.web_reloads.with_label_values(&[result]);
        }
        Self(metrics)
    }

    /// It was read for the first time.
    pub fn read(&self, tls: bool, users: usize, left_out: &[String]) {
        self.0.web_reload_success.with_label_values(&[] as &[&str]).set(1);
        info!(tls, users, "web config read");
        for what in left_out {
            warn!(what, "a part of the web config is left out");
        }
    }

    /// It says something else, which holds from now on.
    pub fn reloaded(&self, users: usize, left_out: &[String]) {
        self.0.web_reloads.with_label_values(&["success"]).inc();
        self.0.web_reload_success.with_label_values(&[] as &[&str]).set(1);
        info!(users, "web config reloaded");
        for what in left_out {
            warn!(what, "a part of the web config is left out");
        }
    }

    /// It says again what it said before it was broken.
    pub fn right_again(&self) {
        self.0.web_reload_success.with_label_values(&[] as &[&str]).set(1);
        info!("web config is right again");
    }

    /// It is broken, and what it said before goes on.
    pub fn failed(&self, why: &str) {
        self.0.web_reloads.with_label_values(&["failure"]).inc();
        self.0.web_reload_success.with_label_values(&[] as &[&str]).set(0);
        error!(why, "web config not reloaded, what it said before goes on");
    }
}
