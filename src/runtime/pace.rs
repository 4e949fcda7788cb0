//! Beginning many things one after the other.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two beginnings: a read of an endpoint costs us less, and 10,000 begin within half a minute. They stay as
/// far apart, so that reads at an interval never come all at once.
const STEP: Duration = Duration::from_millis(1);

/// Tells each when to begin.
#[derive(Debug)]
pub struct Pace(Mutex<Instant>);

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Pace {
    /// When the next one begins: now, unless many do.
    pub fn turn(&self) -> Instant {
        self.turn_at(Instant::now())
    }

    fn turn_at(&self, now: Instant) -> Instant {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = now.max(*next);
        *next = turn + STEP;
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_begins_at_once_and_many_one_after_the_other() {
        let (pace, now) = (Pace::default(), Instant::now());
        let turns: Vec<_> = (0..3).map(|_| pace.turn_at(now)).collect();
        assert_eq!(turns, [now, now + STEP, now + 2 * STEP]);
        let later = now + 10 * STEP;
        assert_eq!((pace.turn_at(later), pace.turn_at(later)), (later, later + STEP));
    }
}
