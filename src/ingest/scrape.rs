//! Reading an HTTP endpoint of a service again and again: on an interval, when we are read
//! ourselves, or when somebody asks for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::http::client::Client;
use super::rest::{self, Cost};
use crate::config::endpoint::{Endpoint, ScrapeWhen, shown};
use crate::runtime::backoff::Backoff;
use crate::runtime::health::Latch;
use crate::runtime::trigger::Trigger;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::SourceTelemetry;

/// First wait after a failure, then longer up to the interval: a service that has just been
/// started listens soon.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// A body of this size is read in about a millisecond.
const SMALL_BYTES: usize = 64 * 1024;

/// Takes the bodies of one endpoint.
pub trait BodySink: Send + Sync {
    /// Takes one, or says why not.
    ///
    /// # Errors
    /// It is not what it should be.
    fn body(&self, body: &[u8]) -> Result<(), (Reason, String)>;

    /// The endpoint could not be read, or its body was not taken: what was read before is no longer
    /// true.
    fn failed(&self, reason: Reason);
}

/// One endpoint, and what becomes of its bodies.
pub struct Scraper {
    /// What is read, and when.
    pub endpoint: Endpoint,
    /// When it is read first, unless somebody asks.
    pub from: Instant,
    /// How the service is reached.
    pub client: Arc<Client>,
    /// Who takes the bodies.
    pub sink: Arc<dyn BodySink>,
    /// Who else may ask for a read.
    pub trigger: Arc<Trigger>,
    /// What is told of it.
    pub telemetry: Arc<SourceTelemetry>,
}

impl Scraper {
    /// Reads until `stop`. `latch` is dropped after the first read, or at once if none is due.
    pub async fn run(self, latch: Latch, stop: CancellationToken) {
        let mut latch = Some(latch);
        let every = match self.endpoint.when {
            ScrapeWhen::Every(every) => Some(every),
            ScrapeWhen::OnScrape => None,
        };
        let mut ticks = every.map(|every| {
            let mut ticks = tokio::time::interval_at(self.from, every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        if ticks.is_none() {
            latch = None;
        }
        // Before this moment nobody causes a read.
        let mut young_until: Option<Instant> = None;
        let mut retry = Backoff::new(RETRY_FIRST, every.unwrap_or_default());
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = next(&mut ticks) => {}
                () = self.trigger.asked() => {
                    if young_until.is_some_and(|until| Instant::now() < until) {
                        self.trigger.done().await;
                        continue;
                    }
                }
            }
            let (success, cost) = tokio::select! {
                () = stop.cancelled() => break,
                done = self.once() => done,
            };
            let rest = cost.rest(self.endpoint.max_share);
            self.telemetry.rests(every.unwrap_or_default(), rest);
            if success {
                retry.reset();
            }
            let wait = if success { every.unwrap_or_default() } else { retry.wait() };
            if let Some(ticks) = ticks.as_mut().filter(|_| !success || rest > wait) {
                ticks.reset_after(wait.max(rest));
            }
            young_until = Instant::now().checked_add(self.endpoint.max_age.max(rest));
            self.trigger.done().await;
            latch = None;
        }
        drop(latch);
    }

    /// Gives true if the endpoint was read, and what that cost.
    async fn once(&self) -> (bool, Cost) {
        let started = Instant::now();
        let answer = self.client.get(&self.endpoint).await;
        let (took, reached) = (started.elapsed(), answer.as_ref().err().is_none_or(rest::reached));
        let result = match answer {
            Ok(body) => take(&self.sink, body).await,
            Err(error) => Err((error.reason(), error.to_string())),
        };
        match &result {
            Ok(()) => self.telemetry.scraped(started.elapsed()),
            Err((reason, what)) => {
                self.sink.failed(*reason);
                let error = format_args!("{}: {what}", shown(&self.endpoint.url));
                self.telemetry.scrape_failed(started.elapsed(), *reason, &error);
            }
        }
        (result.is_ok(), Cost::of(took, result.is_err(), reached))
    }
}

/// Has a body taken; a large one on a thread of its own, so that nobody else waits.
pub(super) async fn take(sink: &Arc<dyn BodySink>, body: Bytes) -> Result<(), (Reason, String)> {
    if body.len() <= SMALL_BYTES {
        return sink.body(&body);
    }
    let sink = Arc::clone(sink);
    let taken = tokio::task::spawn_blocking(move || sink.body(&body)).await;
    taken.unwrap_or_else(|error| Err((Reason::Io, error.to_string())))
}

async fn next(ticks: &mut Option<tokio::time::Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::*;

    /// Takes a body once somebody else has done something.
    struct Waiting(Mutex<Receiver<()>>);

    impl BodySink for Waiting {
        fn body(&self, _body: &[u8]) -> Result<(), (Reason, String)> {
            let waited = self.0.lock().unwrap().recv_timeout(Duration::from_secs(60));
            waited.map_err(|error| (Reason::Io, error.to_string()))
        }

        fn failed(&self, _reason: Reason) {}
    }

    #[tokio::test]
    async fn a_large_body_holds_nobody_up() {
        let (others, receiver) = sync_channel(1);
        let sink: Arc<dyn BodySink> = Arc::new(Waiting(Mutex::new(receiver)));
        let large = Bytes::from(vec![b' '; SMALL_BYTES + 1]);
        let (taken, sent) = tokio::join!(take(&sink, large), async { others.send(()) });
        assert_eq!((taken, sent), (Ok(()), Ok(())));
    }
}
