//! A token bucket.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::web_file::RateLimit;

/// It is full at first.
#[derive(Debug)]
pub(super) struct Rate {
    pub(super) limit: RateLimit,
    /// When it will be full again.
    full: Mutex<Instant>,
}

impl Rate {
    pub(super) fn new(limit: RateLimit, now: Instant) -> Self {
        Self { limit, full: Mutex::new(now) }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&self, now: Instant) -> bool {
        let RateLimit { interval, burst } = self.limit;
        let room = interval.checked_mul(burst.saturating_sub(1)).unwrap_or(Duration::MAX);
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = full.saturating_duration_since(now);
        let next = (now + missing).checked_add(interval);
        match next {
            Some(next) if missing <= room => {
                *full = next;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_an_interval() {
        let start = Instant::now();
        let rate = Rate::new(RateLimit { interval: Duration::from_secs(1), burst: 3 }, start);
        let taken = |after_ms| {
            let now = start + Duration::from_millis(after_ms);
            (0..10).filter(|_| rate.take(now)).count()
        };
        assert_eq!(taken(0), 3);
        assert_eq!(taken(900), 0);
        assert_eq!(taken(2500), 2);
        assert_eq!(taken(3_600_000), 3);
    }
}
