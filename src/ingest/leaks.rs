//! Reading the goroutineleak profile: seldom, since each read is a full GC of the service; and not
//! where the service has none.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::http::client::Client;
use super::http::error::FetchError;
use super::rest::{self, Cost};
use super::scrape::{BodySink, take};
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
    /// Until then the service is left alone, whoever asks.
    rests_until: Instant,
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
                let (outcome, cost) = tokio::select! {
                    () = stop.cancelled() => return,
                    done = self.once() => done,
                };
                let rest = cost.rest(self.endpoint.max_share);
                if outcome != Outcome::Absent {
                    self.telemetry.rests(self.every, rest);
                }
                if turns.end(outcome, rest, Instant::now()) {
                    self.telemetry.no_leak_profile();
                }
            }
            self.trigger.done().await;
        }
    }

    async fn once(&self) -> (Outcome, Cost) {
        let started = std::time::Instant::now();
        let answer = self.client.get(&self.endpoint).await;
        let (took, reached) = (started.elapsed(), answer.as_ref().err().is_none_or(rest::reached));
        let cost = |failed| Cost::of(took, failed, reached);
        let result = match answer {
            Err(FetchError::Status(StatusCode::NOT_FOUND)) => {
                return (Outcome::Absent, Cost::Nothing);
            }
            Err(error) => Err((error.reason(), error.to_string())),
            Ok(body) => take(&self.sink, body).await,
        };
        match result {
            Ok(()) => {
                self.telemetry.scraped(started.elapsed());
                (Outcome::Read, cost(false))
            }
            Err((reason, what)) => {
                self.sink.failed(reason);
                let error = format_args!("{}: {what}", shown(&self.endpoint.url));
                self.telemetry.scrape_failed(started.elapsed(), reason, &error);
                (Outcome::Failed, cost(true))
            }
        }
    }
}

impl Turns {
    const fn new(every: Duration, now: Instant) -> Self {
        Self { every, due: now, granted: None, rests_until: now, last: None }
    }

    /// Whether a read that somebody asks for is granted.
    fn grant(&mut self, now: Instant) -> bool {
        let too_soon = self.granted.is_some_and(|before| now.duration_since(before) < self.every);
        if too_soon || self.last == Some(Outcome::Absent) {
            return false;
        }
        if now < self.rests_until {
            self.due = self.due.min(self.rests_until);
            return false;
        }
        self.granted = Some(now);
        true
    }

    /// A read has ended. Gives true if the profile is absent and that is new.
    fn end(&mut self, outcome: Outcome, rest: Duration, now: Instant) -> bool {
        let wait = match outcome {
            Outcome::Absent => ABSENT_RECHECK.max(self.every),
            Outcome::Read | Outcome::Failed => self.every,
        };
        self.rests_until = now.checked_add(rest).unwrap_or(now + ABSENT_RECHECK);
        self.due = (now + wait).max(self.rests_until);
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
        assert!(!turns.end(Outcome::Read, Duration::ZERO, begin));
        // One suspicion a minute for an hour and a half.
        let granted: Vec<u32> =
            (1..=90).filter(|minute| turns.grant(begin + MINUTE * *minute)).collect();
        assert_eq!(granted, [1, 11, 21, 31, 41, 51, 61, 71, 81]);
        turns.end(Outcome::Failed, Duration::ZERO, begin + MINUTE * 81);
        assert_eq!(turns.due, begin + MINUTE * 91);
    }

    #[test]
    fn what_is_absent_is_told_once_and_nobody_is_granted_a_read_until_it_is_there() {
        let begin = Instant::now();
        let mut turns = Turns::new(EVERY, begin);
        assert!(turns.end(Outcome::Absent, Duration::ZERO, begin));
        assert_eq!(turns.due, begin + ABSENT_RECHECK);
        assert!(!turns.grant(begin + MINUTE * 30));
        assert!(!turns.end(Outcome::Absent, Duration::ZERO, begin + ABSENT_RECHECK));
        turns.end(Outcome::Read, Duration::ZERO, begin + ABSENT_RECHECK * 2);
        assert!(turns.grant(begin + ABSENT_RECHECK * 2));
        assert!(turns.end(Outcome::Absent, Duration::ZERO, begin + ABSENT_RECHECK * 3));
    }

    #[test]
    fn a_read_that_took_the_service_long_makes_the_next_later_for_all() {
        let begin = Instant::now();
        let mut turns = Turns::new(EVERY, begin);
        turns.end(Outcome::Read, MINUTE * 5, begin);
        assert_eq!(turns.due, begin + EVERY);
        // Who asks meanwhile gets it when the rest is over.
        assert!(!turns.grant(begin + MINUTE));
        assert_eq!(turns.due, begin + MINUTE * 5);
        turns.end(Outcome::Read, MINUTE * 30, begin + MINUTE * 5);
        assert_eq!(turns.due, begin + MINUTE * 35);
        assert!(turns.grant(begin + MINUTE * 35));
    }
}
