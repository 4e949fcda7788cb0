//! Reading the goroutineleak profile: seldom, since each read is a full GC of the service; and not
//! where the service has none.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::http::client::Client;
use super::http::error::FetchError;
use super::scrape::BodySink;
use crate::config::endpoint::{Endpoint, shown};
use crate::runtime::trigger::Trigger;
use crate::telemetry::service::SourceTelemetry;

/// How often a service without the profile is looked at again: it may be another release by now. Asking
/// costs it nothing.
const ABSENT_RECHECK: Duration = Duration::from_secs(3600);

/// The goroutineleak profile of one service.
pub struct LeakScraper {
    /// Where it is.
    pub endpoint: Endpoint,
    /// How often it is read.
    pub every: Duration,
    /// How the service is reached.
    pub client: Arc<Client>,
    /// Who takes the bodies.
    pub sink: Arc<dyn BodySink>,
    /// Who asks for a read now, when leaks are suspected; granted once an interval, and not while the
    /// service is known to have no such profile. It is told that it is done in any case.
    pub trigger: Arc<Trigger>,
    /// What is told of it.
    pub telemetry: Arc<SourceTelemetry>,
}

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Read,
    Absent,
    Failed,
}

impl LeakScraper {
    /// Reads until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut due = Instant::now();
        let mut asked_before: Option<Instant> = None;
        let mut last = None;
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(due) => false,
                () = self.trigger.asked() => true,
            };
            let too_soon = asked_before.is_some_and(|before| before.elapsed() < self.every);
            if asked && (too_soon || last == Some(Outcome::Absent)) {
                self.trigger.done().await;
                continue;
            }
            if asked {
                asked_before = Some(Instant::now());
            }
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.once() => outcome,
            };
            if outcome == Outcome::Absent && last != Some(Outcome::Absent) {
                self.telemetry.no_leak_profile();
            }
            last = Some(outcome);
            due = Instant::now()
                + if outcome == Outcome::Absent {
                    ABSENT_RECHECK.max(self.every)
                } else {
                    self.every
                };
            self.trigger.done().await;
        }
    }

    async fn once(&self) -> Outcome {
        let started = std::time::Instant::now();
        let result = match self.client.get(&self.endpoint).await {
            Err(FetchError::Status(StatusCode::NOT_FOUND)) => return Outcome::Absent,
            Err(error) => Err((error.reason(), error.to_string())),
            Ok(body) => self.sink.body(&body),
        };
        match result {
            Ok(()) => {
                self.telemetry.scraped(started.elapsed());
                Outcome::Read
            }
            Err((reason, what)) => {
                self.sink.failed(reason);
                let error = format_args!("{}: {what}", shown(&self.endpoint.url));
                self.telemetry.scrape_failed(started.elapsed(), reason, &error);
                Outcome::Failed
            }
        }
    }
}
