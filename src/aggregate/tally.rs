//! What a running exporter keeps of a scheddetail block: counts, whatever its size.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::record::{Dump, Goroutine, Thread, goroutine_state};

/// Most distinct wait reasons kept; the runtime has about 50 names, and a torn or foreign text
/// must not make series without end. What is past it counts as [`OTHER`].
pub const REASONS_MAX: usize = 100;

/// The label value for what is past a bound.
pub const OTHER: &str = "other";

/// Reasons that only the runtime's own goroutines wait with: those that runtime.NumGoroutine
/// leaves out (src/runtime/traceback.go, `isSystemGoroutine`).
const SYSTEM_REASONS: [&str; 11] = [
    "force gc (idle)",
    "GC sweep wait",
    "GC scavenge wait",
    "GC worker (idle)",
    "GC worker (active)",
    "finalizer wait",
    "cleanup wait",
    "GOMAXPROCS updater (idle)",
    "trace reader (blocked)",
    "timer goroutine (idle)",
    "mark worker (idle)",
];

/// Goroutines by state and wait reason, and what else a block tells.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Tally {
    /// Goroutines by state and wait reason (empty unless waiting).
    pub goroutines: BTreeMap<(&'static str, Arc<str>), u64>,
    /// Goroutines as runtime.NumGoroutine counts them: neither dead nor the runtime's own.
    pub alive: u64,
    /// The highest id.
    pub highest_id: u64,
    /// Ms that wait on a note.
    pub blocked_threads: u64,
    /// Goroutines whose reason went to [`OTHER`].
    pub reasons_over: u64,
    /// The last goroutine's key: neighbours are often alike.
    last: Option<(&'static str, Arc<str>)>,
    pending: u64,
}

impl Tally {
    /// Adds what was counted for the last key.
    pub fn settle(&mut self) {
        if let Some(key) = self.last.take() {
            *self.goroutines.entry(key).or_default() += std::mem::take(&mut self.pending);
        }
    }

    fn key(&mut self, state: &'static str, reason: &str) -> (&'static str, Arc<str>) {
        let known = self.goroutines.keys().find(|(s, r)| *s == state && **r == *reason);
        if let Some(key) = known {
            return key.clone();
        }
        if self.goroutines.len() >= REASONS_MAX {
            self.reasons_over += 1;
            return (state, OTHER.into());
        }
        (state, reason.into())
    }
}

impl Dump for Tally {
    fn thread(&mut self, thread: Thread) {
        self.blocked_threads += u64::from(thread.blocked);
    }

    fn goroutine(&mut self, goroutine: &Goroutine<'_>) {
        let state = goroutine_state(goroutine.status);
        let reason = if state == "waiting" { goroutine.wait_reason } else { "" };
        self.highest_id = self.highest_id.max(goroutine.id);
        // A reason is stale while its goroutine runs, yet a system goroutine has no others.
        let system = SYSTEM_REASONS.contains(&goroutine.wait_reason);
        self.alive += u64::from(!system && !matches!(state, "dead" | "deadextra" | "idle"));
        if !self.last.as_ref().is_some_and(|(s, r)| *s == state && **r == *reason) {
            self.settle();
            self.last = Some(self.key(state, reason));
        }
        self.pending += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goroutine(id: u64, status: u32, wait_reason: &str) -> Goroutine<'_> {
        Goroutine { id, status, wait_reason, m: None, lockedm: None }
    }

    #[test]
    fn goroutines_are_counted_by_state_and_reason() {
        let mut tally = Tally::default();
        for (id, status, reason) in [
            (1, 4, "sleep"),
            (2, 4, "sleep"),
            (3, 2, "sleep"),
            (9, 4096 + 4, "sleep"),
            (5, 6, ""),
            (4, 4, "force gc (idle)"),
        ] {
            tally.goroutine(&goroutine(id, status, reason));
        }
        tally.settle();
        let count = |state, reason: &str| tally.goroutines[&(state, Arc::from(reason))];
        assert_eq!((count("waiting", "sleep"), count("running", ""), count("dead", "")), (3, 1, 1));
        assert_eq!((tally.alive, tally.highest_id), (4, 9));
    }

    #[test]
    fn reasons_without_end_are_summed() {
        let mut tally = Tally::default();
        for id in 0..1000 {
            tally.goroutine(&goroutine(id, 4, &format!("reason {id}")));
        }
        tally.settle();
        assert!(tally.goroutines.len() <= REASONS_MAX + 1);
        assert_eq!(tally.goroutines.values().sum::<u64>(), 1000);
        assert_eq!(tally.reasons_over, 900);
    }
}
