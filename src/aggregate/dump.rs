//! What a scheddetail block costs the service that prints it.

use std::time::Duration;

/// The runtime prints a line for every goroutine, dead ones too, and holds the scheduler's lock
/// meanwhile (src/runtime/proc.go, `schedtrace`): 8 to 13 µs a goroutine were measured.
const PER_GOROUTINE: Duration = Duration::from_micros(10);

/// More of the time than this is too much …
const SHARE_MAX: f64 = 0.01;

/// … and so is a longer stop at once: 10,000 goroutines.
const STOP_MAX: Duration = Duration::from_millis(100);

/// The last block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpCost {
    /// Goroutines listed.
    pub goroutines: u64,
    /// Time between two blocks.
    pub every: Duration,
}

impl DumpCost {
    /// How long the scheduler stood still for it, by estimate.
    #[must_use]
    pub fn stop(&self) -> Duration {
        PER_GOROUTINE.saturating_mul(u32::try_from(self.goroutines).unwrap_or(u32::MAX))
    }

    /// The share of time in which it does.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.stop().as_secs_f64() / self.every.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Whether somebody should be told: over 1,000 goroutines a second, or 10,000 at once.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        self.share() > SHARE_MAX || self.stop() > STOP_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goroutines_a_second_and_at_once_are_bounded() {
        let cost =
            |goroutines, every_s| DumpCost { goroutines, every: Duration::from_secs(every_s) };
        for (goroutines, every_s, is_too_much) in [
            (1000, 1, false),
            (1001, 1, true),
            (10_000, 10, false),
            (10_001, 3600, true),
            (100, 0, true),
        ] {
            let cost = cost(goroutines, every_s);
            assert_eq!(cost.is_too_much(), is_too_much, "{cost:?}");
        }
        assert_eq!(cost(100_000, 10).stop(), Duration::from_secs(1));
    }
}
