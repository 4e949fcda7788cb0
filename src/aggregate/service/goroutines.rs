//! Goroutines and threads of a service, and which source says how many there are.

use std::time::Duration;

use super::ServiceState;
use crate::aggregate::growth::Growth;
use crate::aggregate::places::Places;
use crate::model::memstats::MemStats;

impl ServiceState {
    /// Goroutines that exist, from the best source at hand: pprof counts them when it is read, as
    /// runtime.NumGoroutine does; a variable is the same, if the service means by it what its name
    /// says; scheddetail is told from the states of all that were ever made.
    #[must_use]
    pub fn goroutines(&self, now: Duration) -> Option<u64> {
        let kept = &self.kept;
        kept.goroutines.alive().or(kept.published).or_else(|| kept.sched.goroutines(now))
    }

    pub(super) fn has_better_than_trace(&self) -> bool {
        self.kept.goroutines.alive().or(self.kept.published).is_some()
    }

    /// Takes a goroutine profile of `total` goroutines.
    pub fn observe_goroutines(&mut self, places: &Places, total: u64, now: Duration) {
        self.kept.goroutines.observe(places, total, self.options.functions, now);
        self.watch_for_leaks(self.starts(), true, now);
    }

    /// The goroutine profile could not be read.
    pub fn goroutines_failed(&mut self) {
        self.kept.goroutines.failed();
    }

    /// Takes a goroutineleak profile of `total` goroutines.
    pub fn observe_leaked(&mut self, places: &Places, total: u64, now: Duration) {
        self.kept.goroutines.observe_leaked(places, total, self.options.functions, now);
    }

    /// The goroutineleak profile could not be read.
    pub fn leaked_failed(&mut self) {
        self.kept.goroutines.leaked_failed();
    }

    /// Takes a threadcreate profile, or that it could not be read.
    pub fn observe_threads(&mut self, threads: Option<u64>) {
        self.kept.goroutines.observe_threads(threads);
    }

    /// The heap profile could not be read, so that nothing is known of memstats.
    pub fn heap_failed(&mut self) {
        self.kept.memstats.failed();
    }

    /// Where goroutines gather since a moment, the place that gained most first: whom to blame for a
    /// leak that began then. Empty without a goroutine profile.
    #[must_use]
    pub fn grown_since(&self, since: Duration) -> Vec<Growth<'_>> {
        self.kept.goroutines.grown_since(since)
    }

    /// Takes the memstats of a heap profile.
    pub fn observe_heap(&mut self, stats: MemStats, now: Duration) {
        let starts = self.starts();
        let restarted = self.kept.memstats.observe(stats);
        self.kept.starts_by_expvar += u64::from(restarted);
        self.watch_for_leaks(starts, false, now);
    }
}
