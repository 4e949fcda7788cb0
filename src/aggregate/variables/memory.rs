//! What earlier reads said of a variable: whether it is a counter, and whether it stays on the page.

use serde::{Deserialize, Serialize};

use crate::model::metric::Kind;
use crate::model::snapshot::Number;

/// A number that has risen so often and never fallen is a counter: of things that go up and down at
/// random one in a thousand does so.
const RISES: u32 = 10;

/// Of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// The last value; none after the service was started anew.
    last: Option<f64>,
    rises: u32,
    /// It has fallen, or been what no counter is.
    fell: bool,
    /// It was exported by the last read.
    pub(super) exported: bool,
}

impl Memory {
    /// Whether it is less than before.
    pub(super) fn falls(&self, number: Number) -> bool {
        self.last.is_some_and(|last| number.as_f64() < last)
    }

    /// Takes a value of the same process as the one before. Gives true if it was taken for a counter
    /// and has fallen.
    pub(super) fn observe(&mut self, number: Number) -> bool {
        let now = number.as_f64();
        let was_counter = self.kind() == Kind::Counter;
        if self.falls(number) || now < 0.0 || !now.is_finite() {
            self.fell = true;
        } else if self.last.is_some_and(|last| now > last) {
            self.rises = self.rises.saturating_add(1);
        }
        // Saved as JSON, which has nothing for the others.
        self.last = Some(now).filter(|now| now.is_finite());
        was_counter && self.fell
    }

    /// What came before is another process's.
    pub(super) fn restarted(&mut self) {
        self.last = None;
    }

    /// What it is taken for.
    pub(super) fn kind(&self) -> Kind {
        match (self.fell, self.rises) {
            (true, _) => Kind::Gauge,
            (false, RISES..) => Kind::Counter,
            (false, _) => Kind::Untyped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_after(values: &[f64]) -> (Kind, usize) {
        let mut memory = Memory::default();
        let told = values.iter().filter(|value| memory.observe(Number::Float(**value))).count();
        (memory.kind(), told)
    }

    #[test]
    fn a_number_that_only_grows_is_a_counter_after_ten_rises_and_a_gauge_for_good_once_it_falls() {
        let rising: Vec<f64> = (0..=10).map(f64::from).collect();
        assert_eq!(kind_after(&rising[..10]), (Kind::Untyped, 0));
        assert_eq!(kind_after(&rising), (Kind::Counter, 0));
        assert_eq!(kind_after(&[7.0; 100]), (Kind::Untyped, 0), "a constant says nothing");
        assert_eq!(kind_after(&[2.0, 1.0]), (Kind::Gauge, 0));
        assert_eq!(kind_after(&[-1.0]), (Kind::Gauge, 0));
        assert_eq!(kind_after(&[f64::NAN]), (Kind::Gauge, 0));
        let fallen = [&rising[..], &[3.0], &rising[4..]].concat();
        assert_eq!(kind_after(&fallen), (Kind::Gauge, 1));
    }

    #[test]
    fn a_restart_is_no_fall() {
        let mut memory = Memory::default();
        for value in 0..=10_u64 {
            memory.observe(value.into());
        }
        memory.restarted();
        assert!(!memory.observe(0_u64.into()));
        assert_eq!(memory.kind(), Kind::Counter);
    }
}
