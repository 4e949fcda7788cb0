//! The only place that starts tasks and threads: each has a name, and none is lost in silence.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info_span, warn};

use super::health::Health;
use crate::telemetry::metrics::Metrics;

/// Owns every task; clones share it.
#[derive(Debug, Clone)]
pub struct Supervisor {
    tracker: TaskTracker,
    /// Of a part that can end by itself.
    scope: Option<TaskTracker>,
    stop: CancellationToken,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl Supervisor {
    /// With nothing started.
    #[must_use]
    pub fn new(health: Arc<Health>, metrics: Arc<Metrics>) -> Self {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { tracker, scope: None, stop, health, metrics }
    }

    /// Of a part that can end before everything does.
    #[must_use]
    pub fn scope(&self) -> Self {
        let (scope, stop) = (Some(TaskTracker::new()), self.stop.child_token());
        Self { scope, stop, ..self.clone() }
    }

    /// Cancelled when everything, or this part, is to stop.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Readiness and health.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Starts a task. If it panics we go on without it, but say that we are not healthy.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let task = task.instrument(info_span!("task", task = name));
        let handle = match &self.scope {
            Some(scope) => self.tracker.spawn(scope.track_future(task)),
            None => self.tracker.spawn(task),
        };
        let this = self.clone();
        self.tracker.spawn(async move {
            if handle.await.is_err_and(|error| error.is_panic()) {
                this.lost(name);
            }
        });
    }

    /// Starts a thread, for calls that block.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn thread(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        let this = self.clone();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                this.lost(name);
            }
        })?;
        Ok(())
    }

    fn lost(&self, name: &'static str) {
        self.metrics.tasks_lost.inc();
        self.health.lose();
        error!(
            name,
            "a part of the exporter ended by a defect; please report it with the lines above"
        );
    }

    /// Stops the tasks of this part and waits for them, at most `deadline`.
    pub async fn end(&self, deadline: Duration) {
        self.stop.cancel();
        let Some(scope) = &self.scope else { return };
        scope.close();
        if tokio::time::timeout(deadline, scope.wait()).await.is_err() {
            warn!(tasks = scope.len(), "going on although some tasks have not ended");
        }
    }

    /// Stops all tasks and waits for them, at most `deadline`.
    pub async fn shut_down(&self, deadline: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(deadline, self.tracker.wait()).await.is_err() {
            warn!(tasks = self.tracker.len(), "stopping although some tasks have not ended");
        }
    }
}
