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

/// When the profile is read: on the interval, and once an interval because somebody asks.
#[derive(Debug)]
struct Turns {
    every: Duration,
    due: Instant,
    granted: Option<Instant>,
    last: Option<Outcome>,
}

impl LeakScraper {
    /// Reads until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut turns = Turns::new(self.every, Instant::now());
        loop {
            let granted = tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(turns.due) => true,
                () = self.trigger.asked() => turns.grant(Instant::now()),
            };
            if granted {
                let outcome = tokio::select! {
                    () = stop.cancelled() => return,
                    outcome = self.once() => outcome,
                };
                if turns.end(outcome, Instant::now()) {
                    self.telemetry.no_leak_profile();
                }
            }
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

impl Turns {
    const fn new(every: Duration, now: Instant) -> Self {
        Self { every, due: now, granted: None, last: None }
    }

    /// Whether a read that somebody asks for is granted.
    fn grant(&mut self, now: Instant) -> bool {
        let too_soon = self.granted.is_some_and(|before| now.duration_since(before) < self.every);
        if too_soon || self.last == Some(Outcome::Absent) {
            return false;
        }
        self.granted = Some(now);
        true
    }

    /// A read has ended. Gives true if the profile is absent and that is new.
    fn end(&mut self, outcome: Outcome, now: Instant) -> bool {
        let wait = match outcome {
            Outcome::Absent => ABSENT_RECHECK.max(self.every),
            Outcome::Read | Outcome::Failed => self.every,
        };
        self.due = now + wait;
        self.last.replace(outcome) != Some(outcome) && outcome == Outcome::Absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(600);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn who_asks_is_granted_one_read_an_interval_and_the_next_is_due_an_interval_later() {
        let begin = Instant::now();
        let mut turns = Turns::new(EVERY, begin);
        assert_eq!(turns.due, begin);
        assert!(!turns.end(Outcome::Read, begin));
        // One suspicion a minute for an hour and a half.
        let granted: Vec<u32> =
            (1..=90).filter(|minute| turns.grant(begin + MINUTE * *minute)).collect();
        assert_eq!(granted, [1, 11, 21, 31, 41, 51, 61, 71, 81]);
        turns.end(Outcome::Failed, begin + MINUTE * 81);
        assert_eq!(turns.due, begin + MINUTE * 91);
    }

    #[test]
    fn what_is_absent_is_told_once_and_nobody_is_granted_a_read_until_it_is_there() {
        let begin = Instant::now();
        let mut turns = Turns::new(EVERY, begin);
        assert!(turns.end(Outcome::Absent, begin));
        assert_eq!(turns.due, begin + ABSENT_RECHECK);
        assert!(!turns.grant(begin + MINUTE * 30));
        assert!(!turns.end(Outcome::Absent, begin + ABSENT_RECHECK));
        turns.end(Outcome::Read, begin + ABSENT_RECHECK * 2);
        assert!(turns.grant(begin + ABSENT_RECHECK * 2));
        assert!(turns.end(Outcome::Absent, begin + ABSENT_RECHECK * 3));
    }
}
