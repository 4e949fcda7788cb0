//! Waiting longer after each failure.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Doubles from `first` to `last`; starts anew after a success.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    /// From `first` to `last`.
    #[must_use]
    pub const fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, next: first }
    }

    /// How long to wait now.
    pub fn wait(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.last);
        now
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// From nothing to `most`: many that lost a server in the same moment do not come back in the same moment.
#[must_use]
pub fn by_chance(most: Duration) -> Duration {
    let chance = RandomState::new().hash_one(0_u8) % 1000;
    most * u32::try_from(chance).unwrap_or_default() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_last() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let waits: Vec<u64> = (0..5).map(|_| backoff.wait().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!(backoff.wait().as_secs(), 1);
    }
}
