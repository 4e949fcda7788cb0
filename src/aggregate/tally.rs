//! What a running exporter keeps of a scheddetail block: counts, whatever its size.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::record::{Dump, Goroutine, Thread, goroutine_state};

/// Most distinct wait reasons kept; the runtime has about 50 names, and a torn or foreign text
/// must not make series without end. What is past it counts as [`OTHER`].
pub const REASONS_MAX: usize = 100;

/// Most pairs of status and reason told apart while a block is read: more than keys, because a
/// goroutine that runs still has its last reason.
const KINDS_MAX: usize = 4 * REASONS_MAX;

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
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Goroutines by state and wait reason (empty unless waiting).
    #[serde(with = "by_state")]
    pub goroutines: BTreeMap<(&'static str, Arc<str>), u64>,
    /// Goroutines as runtime.NumGoroutine counts them: neither dead nor the runtime's own.
    pub alive: u64,
    /// The highest id.
    pub highest_id: u64,
    /// Ms that wait on a note.
    pub blocked_threads: u64,
    /// Goroutines whose reason went to [`OTHER`].
    pub reasons_over: u64,
    /// Not settled yet; the frequent ones move to the front.
    kinds: Vec<Kind>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kind {
    status: u32,
    wait_reason: Box<str>,
    n: u64,
}

impl Tally {
    /// Adds what was counted since; until then `goroutines` and `alive` are too low.
    pub fn settle(&mut self) {
        for kind in std::mem::take(&mut self.kinds) {
            self.add(kind.status, &kind.wait_reason, kind.n);
        }
    }

    fn add(&mut self, status: u32, wait_reason: &str, n: u64) {
        let state = goroutine_state(status);
        // A reason is stale while its goroutine runs, yet a system goroutine has no others.
        let system = SYSTEM_REASONS.contains(&wait_reason);
        if !system && !matches!(state, "dead" | "deadextra" | "idle") {
            self.alive += n;
        }
        let mut key = (state, Arc::from(if state == "waiting" { wait_reason } else { "" }));
        if self.goroutines.len() >= REASONS_MAX && !self.goroutines.contains_key(&key) {
            self.reasons_over += n;
            key.1 = OTHER.into();
        }
        *self.goroutines.entry(key).or_default() += n;
    }
}

impl Dump for Tally {
    fn thread(&mut self, thread: Thread) {
        self.blocked_threads += u64::from(thread.blocked);
    }

    fn goroutine(&mut self, goroutine: &Goroutine<'_>) {
        let &Goroutine { id, status, wait_reason, .. } = goroutine;
        self.highest_id = self.highest_id.max(id);
        let alike = |kind: &Kind| kind.status == status && *kind.wait_reason == *wait_reason;
        if let Some(at) = self.kinds.iter().position(alike) {
            if let Some(kind) = self.kinds.get_mut(at) {
                kind.n += 1;
            }
            if at > 0 {
                self.kinds.swap(at, at - 1);
            }
        } else if self.kinds.len() < KINDS_MAX {
            self.kinds.push(Kind { status, wait_reason: wait_reason.into(), n: 1 });
        } else {
            self.add(status, wait_reason, 1);
        }
    }
}

/// Saved as a list: JSON has no map with such keys.
mod by_state {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::model::record::goroutine_state_named;

    type Counts = BTreeMap<(&'static str, Arc<str>), u64>;

    pub(super) fn serialize<S: Serializer>(counts: &Counts, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(counts.iter().map(|((state, reason), n)| (state, &**reason, n)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Counts, D::Error> {
        let list = Vec::<(String, String, u64)>::deserialize(from)?;
        let entry = |(state, reason, n): (String, String, u64)| {
            let state = goroutine_state_named(&state)
                .ok_or_else(|| Error::custom(format_args!("no state of a goroutine: {state:?}")))?;
            Ok(((state, Arc::from(reason)), n))
        };
        list.into_iter().map(entry).collect()
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
