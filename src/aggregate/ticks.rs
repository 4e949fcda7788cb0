//! Counters that the runtime keeps for each P.

use serde::{Deserialize, Serialize};

/// More ticks than a P makes in a millisecond: one takes 50 ns and more.
const TICKS_PER_MS_MAX: u64 = 100_000;

/// A counter a P, each wrapping at 2^32, summed to one that does not.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ticks {
    total: u64,
    /// A P that is taken away keeps its place: should it come back, it goes on counting
    /// (src/runtime/proc.go, procresize).
    last: Vec<u32>,
    known: bool,
}

impl Ticks {
    /// What all Ps counted under our eyes.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// What stood there at the first look happened before it and is not counted, unless the
    /// service started under our eyes.
    pub fn advance(&mut self, ticks: &[u32]) {
        for (p, now) in ticks.iter().enumerate() {
            let before = self.last.get(p).copied().unwrap_or_default();
            if self.known {
                self.total += u64::from(now.wrapping_sub(before));
            }
        }
        for (before, now) in self.last.iter_mut().zip(ticks) {
            *before = *now;
        }
        self.last.extend_from_slice(ticks.get(self.last.len()..).unwrap_or_default());
        self.known |= !ticks.is_empty();
    }

    /// Whether the same process can have come to `ticks` in so much time: one that was started
    /// anew seems to have wrapped.
    #[must_use]
    pub fn can_become(&self, ticks: &[u32], elapsed_ms: u64) -> bool {
        let most = elapsed_ms.saturating_add(1).saturating_mul(TICKS_PER_MS_MAX);
        self.last
            .iter()
            .zip(ticks)
            .all(|(before, now)| u64::from(now.wrapping_sub(*before)) <= most)
    }

    /// The service was started anew, and all its ticks since.
    pub fn restart(&mut self) {
        self.last.clear();
        self.known = true;
    }

    /// Nobody knows what the next ticks are to be measured against.
    pub fn gap(&mut self) {
        self.known = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(looks: &[&[u32]]) -> Ticks {
        let mut ticks = Ticks::default();
        looks.iter().for_each(|look| ticks.advance(look));
        ticks
    }

    #[test]
    fn ticks_wrap_restart_and_grow_with_the_number_of_procs() {
        let mut ticks = ticks(&[&[u32::MAX - 1, 5], &[3, 6]]);
        assert_eq!(ticks.total(), 6);
        ticks.advance(&[3, 6, 10]);
        assert_eq!(ticks.total(), 16);
        ticks.restart();
        ticks.advance(&[1, 1]);
        assert_eq!(ticks.total(), 18);
    }

    #[test]
    fn a_proc_that_was_taken_away_and_comes_back_is_not_counted_twice() {
        let ticks = ticks(&[&[10, 1000], &[20], &[30, 1005]]);
        assert_eq!(ticks.total(), 25);
    }

    #[test]
    fn a_wrap_and_a_restart_are_told_apart() {
        let ticks = ticks(&[&[u32::MAX - 1, 5000]]);
        assert!(ticks.can_become(&[3, 5001], 1000));
        assert!(!ticks.can_become(&[u32::MAX, 4999], 1000));
        assert!(ticks.can_become(&[3, 4999], 1000 * 3600));
    }

    #[test]
    fn nothing_is_counted_across_a_gap() {
        let mut ticks = ticks(&[&[10], &[20]]);
        ticks.gap();
        ticks.advance(&[500]);
        ticks.advance(&[501]);
        assert_eq!(ticks.total(), 11);
    }
}
