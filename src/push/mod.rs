//! Station 6b: the OTLP client.
//!
//! `collect` takes a picture of everything and makes requests of it, `transport` sends one, `answer` reads what
//! became of it. One task does one thing after the other. What waits to be sent is one picture at most: a newer
//! one replaces it, since it says all that the older one says; of deltas, which do not, each service waits for
//! its last request, and its next one covers the time since.

mod answer;
mod collect;
mod transport;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::otlp::Otlp;
use crate::keeper::Keeper;
use crate::pipeline::services::Pipelines;
use crate::runtime::backoff::Backoff;
use crate::runtime::trigger::OnScrapes;
use crate::telemetry::otlp::OtlpTelemetry;
use answer::Failure;
use collect::{Collector, Request};
use transport::Transport;

/// Waits between attempts, before jitter.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// The first export comes sooner than the interval says: a newcomer wants to see something.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// A request of deltas that may have arrived is given up after so many times of an export, if others are taken
/// meanwhile: 5 minutes, as in the Collector's exporters, unless the config says otherwise.
const GIVE_UP_EXPORTS: u32 = 10;

/// How long our end waits for the last export. Under `exec` the command's exit status waits for it too, and
/// Kubernetes kills what takes 30 s.
const LAST_DEADLINE: Duration = Duration::from_secs(3);

/// Pushes what all services say.
#[derive(Debug)]
pub struct Pusher {
    interval: Duration,
    export_timeout: Duration,
    transport: Arc<Transport>,
    keeper: Option<Arc<Keeper>>,
    on_scrape: OnScrapes,
    telemetry: OtlpTelemetry,
    work: Mutex<Work>,
}

/// What one export leaves for the next.
#[derive(Debug)]
struct Work {
    collector: Collector,
    /// Bounded by [`collect::QUEUE_BYTES_MAX`].
    queue: VecDeque<Request>,
    backoff: Backoff,
    not_before: Instant,
    /// When a request was taken last.
    taken: Option<Instant>,
}

impl Pusher {
    /// `began_ns`: when we began to count, in nanoseconds since 1970; `on_scrape`: endpoints that are read when
    /// somebody looks.
    #[must_use]
    pub fn new(
        otlp: &Otlp,
        pipelines: Pipelines,
        keeper: Option<Arc<Keeper>>,
        on_scrape: OnScrapes,
        telemetry: OtlpTelemetry,
        began_ns: u64,
    ) -> Arc<Self> {
        let transport = Arc::new(Transport::new(otlp));
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let shape = otlp.shape(&host);
        let delta = otlp.temporality();
        let collector = Collector::new(pipelines, shape, delta, began_ns, Arc::clone(&transport));
        let work = Work {
            collector,
            queue: VecDeque::new(),
            backoff: Backoff::new(RETRY_FIRST, RETRY_LAST),
            not_before: Instant::now(),
            taken: None,
        };
        Arc::new(Self {
            interval: otlp.interval(),
            export_timeout: otlp.export_timeout(),
            transport,
            keeper,
            on_scrape,
            telemetry,
            work: Mutex::new(work),
        })
    }

    /// Exports at intervals until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut work = self.work.lock().await;
        // Exporters that were started together do not push together.
        let first = jittered(self.interval.min(FIRST_MAX));
        let mut ticks = interval_at(Instant::now() + first, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waits = !work.queue.is_empty();
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.collect(&mut work).await,
                () = sleep_until(work.not_before), if waits => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.send(&mut work) => {}
            }
        }
    }

    /// Exports for the last time, when nothing is counted any more.
    pub async fn last(&self) {
        let export = async {
            let mut work = self.work.lock().await;
            work.not_before = Instant::now();
            // Deltas that may be on their way already are sent as they were, and then the rest.
            self.send(&mut work).await;
            self.collect(&mut work).await;
            self.send(&mut work).await;
            work.queue.iter().map(|request| request.points).sum()
        };
        match timeout(LAST_DEADLINE, export).await {
            Ok(0) => {}
            Ok(points) => self.telemetry.dropped(points),
            Err(_late) => self.telemetry.last_was_late(),
        }
    }

    async fn collect(&self, work: &mut Work) {
        let reads: Vec<_> = self.on_scrape.all().iter().map(|on| on.trigger.read_now()).collect();
        let deadline = Instant::now() + self.interval.min(self.export_timeout) / 2;
        for read in reads {
            // Who is late is shown as it was.
            let _late = timeout_at(deadline, read).await;
        }
        if let Some(keeper) = &self.keeper {
            keeper.before_export().await;
        }
        work.collect(&self.telemetry).await;
        self.tell_queue(work);
    }

    fn tell_queue(&self, work: &Work) {
        let points = work.queue.iter().map(|request| request.points).sum();
        let bytes = work.queue.iter().map(|request| request.body.len()).sum();
        self.telemetry.queued(points, bytes);
    }

    /// Sends what waits, in order, until one request is to be tried again later.
    async fn send(&self, work: &mut Work) {
        let deadline = Instant::now() + self.export_timeout;
        while Instant::now() >= work.not_before && Instant::now() < deadline {
            // It stays in the queue meanwhile: a stop comes at any time.
            let Some(body) = work.queue.front().map(|request| request.body.clone()) else { break };
            let started = Instant::now();
            let answer = self.transport.send(body).await;
            let Some(request) = work.queue.pop_front() else { break };
            let (points, took) = (request.points, started.elapsed());
            match answer {
                Ok(taken) => {
                    self.telemetry.taken(points, taken.rejected, &taken.told, took);
                    work.backoff.reset();
                    work.taken = Some(Instant::now());
                    work.collector.settled(request);
                }
                Err(failure) => {
                    let refused = (!failure.again).then_some(points);
                    let (reason, advice) = (failure.reason, failure.advice);
                    self.telemetry.failed(reason, advice, &failure.told, refused, took);
                    // Of refused deltas, the next ones cover the time too.
                    if failure.again {
                        self.later(work, request, &failure, started);
                    }
                }
            }
        }
        self.tell_queue(work);
    }

    /// A request that failed is tried again after the others, so that it does not hold them up.
    fn later(&self, work: &mut Work, mut request: Request, failure: &Failure, started: Instant) {
        let wait = failure.wait.unwrap_or_else(|| jittered(work.backoff.wait()));
        work.not_before = Instant::now() + wait;
        if failure.sent {
            request.in_doubt.get_or_insert(started);
        }
        let bound = self.export_timeout * GIVE_UP_EXPORTS;
        let is_late = |since: &Instant| since.elapsed() > bound && work.taken > Some(*since);
        if work.collector.is_delta() && request.in_doubt.as_ref().is_some_and(is_late) {
            self.telemetry.given_up(request.points);
            work.collector.settled(request);
        } else {
            work.collector.failed(&request);
            work.queue.push_back(request);
        }
    }
}

/// Between a half and all of it: those who failed together do not come back together.
fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8);
    let half = wait / 2;
    let parts = u32::try_from(random % 1000).unwrap_or_default();
    half + half * parts / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_between_a_half_and_all() {
        let wait = Duration::from_secs(4);
        let waits: Vec<Duration> = (0..100).map(|_| jittered(wait)).collect();
        assert!(waits.iter().all(|one| (wait / 2..=wait).contains(one)), "{waits:?}");
        assert!(waits.iter().any(|one| *one != waits[0]));
    }
}
