//! Goroutines that grow and do not go away: suspicion from their number alone.
//!
//! A goroutine that leaks never ends. So the number may rise and fall with the load, but what it
//! falls back to rises: the *floor*. The detector keeps the floor of each ten minutes for two weeks
//! and looks for growth of it that nothing else explains:
//!
//! | what grows too | how it is told from a leak |
//! |---|---|
//! | bursts, batch jobs | the floor comes back |
//! | daily waves | they rise for half a day: a window must be longer than a day, or longer and higher than any rise seen before |
//! | load that grows | it multiplies, peaks and floors alike; a leak adds |
//! | pools and connections after a start | the growth slows down |
//! | a new plateau | the growth ends, or comes in a few steps |
//! | restarts | growth is counted within each life; the first hour of a life is not counted |
//!
//! Everything is decided by comparisons of floors: no model is fitted, so that a person can check a
//! verdict by eye. The same samples always give the same verdicts.

pub mod evidence;
mod floors;
pub mod history;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::leak::Params;
pub use evidence::Evidence;
use history::History;

/// What the detector holds of a service now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Verdict {
    /// What makes it suspect; none if it is not.
    pub evidence: Option<Evidence>,
    /// When the window of the evidence began.
    pub since: Option<Duration>,
    /// How fast the floor grew in the last hour; over the evidence's whole window where there is some.
    /// Unknown in the first hour.
    pub growth_per_second: Option<f64>,
}

/// Watches the number of goroutines of one service.
///
/// Memory: 12 bytes for each ten minutes of two weeks, 24 KiB.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detector {
    #[serde(skip)]
    params: Arc<Params>,
    history: History,
    suspicion: Option<Suspicion>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Suspicion {
    evidence: Evidence,
    since: Duration,
    /// The floor at which it ends.
    ends_below: i64,
}

impl Detector {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(params: impl Into<Arc<Params>>) -> Self {
        let params = params.into();
        let history = History::new(params.bucket, params.warm_up);
        Self { params, history, suspicion: None }
    }

    /// Goes on, after it was saved, under these parameters; from nothing if floors are made in
    /// another way now.
    #[must_use]
    pub fn resumed(self, params: Arc<Params>) -> Self {
        if self.history.is_made_of(params.bucket, params.warm_up) {
            Self { params, ..self }
        } else {
            Self::new(params)
        }
    }

    /// Takes the number of goroutines at a moment, given as time since any fixed one. A moment
    /// before the last one is passed over.
    pub fn observe(&mut self, at: Duration, goroutines: u64) {
        if self.history.observe(at, i64::try_from(goroutines).unwrap_or(i64::MAX)) {
            self.judge(at);
        }
    }

    /// The service began anew, at a moment between the last sample and the next. What it leaked is
    /// gone.
    pub fn restarted(&mut self, at: Duration) {
        if self.history.restarted(at) {
            self.judge(at);
        }
        self.suspicion = None;
    }

    /// What is held now.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let evidence = self.suspicion.map(|suspicion| suspicion.evidence);
        let growth_per_second = evidence
            .map(|evidence| evidence.growth_per_second)
            .or_else(|| self.history.growth_per_second());
        let since = self.suspicion.map(|suspicion| suspicion.since);
        Verdict { evidence, since, growth_per_second }
    }

    fn judge(&mut self, now: Duration) {
        let Some(last) = self.history.last() else { return };
        if let Some(suspicion) = self.suspicion {
            if i64::from(last.counted) < suspicion.ends_below {
                self.suspicion = None;
            }
            return;
        }
        self.suspicion = evidence::find(&self.history, &self.params).map(|evidence| {
            #[expect(clippy::cast_possible_truncation, reason = "a share of a small number")]
            let gone = (f64::from(evidence.growth) * self.params.clear) as i64;
            let since = now.saturating_sub(evidence.span);
            Suspicion { evidence, since, ends_below: i64::from(last.counted) - gone }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Feeds a number a minute for so many hours, from `from` on.
    fn feed(detector: &mut Detector, from: u32, hours: u32, goroutines: impl Fn(u32) -> u64) {
        for minute in 0..hours * 60 {
            detector.observe(MINUTE * (from * 60 + minute), goroutines(minute));
        }
    }

    #[test]
    fn a_leak_is_suspected_until_it_is_gone() {
        let mut detector = Detector::new(Params::default());
        feed(&mut detector, 0, 48, |minute| 100 + u64::from(minute));
        let verdict = detector.verdict();
        let growth = verdict.growth_per_second.unwrap();
        assert!(verdict.evidence.is_some() && (growth * 60.0 - 1.0).abs() < 0.2, "{verdict:?}");
        feed(&mut detector, 48, 1, |_| 100);
        assert_eq!(detector.verdict().evidence, None);
    }

    #[test]
    fn a_plateau_is_no_leak_and_nothing_is_known_in_the_first_hour() {
        let mut detector = Detector::new(Params::default());
        feed(&mut detector, 0, 1, |_| 100);
        assert_eq!(detector.verdict(), Verdict::default());
        feed(&mut detector, 1, 100, |minute| if minute < 3000 { 100 } else { 900 });
        let verdict = detector.verdict();
        assert_eq!((verdict.evidence, verdict.growth_per_second), (None, Some(0.0)));
    }

    #[test]
    fn a_restart_ends_the_suspicion_until_the_new_life_leaks_too() {
        let mut detector = Detector::new(Params::default());
        feed(&mut detector, 0, 30, |minute| 100 + u64::from(minute));
        assert!(detector.verdict().evidence.is_some());
        detector.restarted(MINUTE * 30 * 60);
        feed(&mut detector, 30, 2, |minute| 100 + u64::from(minute));
        assert_eq!(detector.verdict().evidence, None);
        feed(&mut detector, 32, 4, |minute| 220 + u64::from(minute));
        assert!(detector.verdict().evidence.is_some());
        detector.restarted(MINUTE * 36 * 60);
        feed(&mut detector, 36, 100, |_| 100);
        assert_eq!(detector.verdict().evidence, None);
    }

    #[test]
    fn time_that_goes_back_or_leaps_and_absurd_numbers_do_no_harm() {
        let mut detector = Detector::new(Params::default());
        feed(&mut detector, 100, 2, |_| u64::MAX);
        feed(&mut detector, 0, 3, |_| 0);
        detector.observe(Duration::MAX, u64::MAX);
        detector.restarted(Duration::MAX);
        detector.observe(Duration::ZERO, 1);
        assert_eq!(detector.verdict().evidence, None);
    }
}
