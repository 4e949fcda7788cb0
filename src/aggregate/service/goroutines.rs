//! Goroutines and threads of a service, and which source says how many there are.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::ServiceState;
use crate::aggregate::growth::Growth;
use crate::aggregate::places::Places;
use crate::model::memstats::MemStats;
use crate::model::snapshot::Text;

/// A function whose goroutines make up a leak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blamed {
    /// Its name.
    pub function: Arc<str>,
    /// Its file, as the profile has it.
    pub file: Arc<str>,
    /// Where in it they wait; 0 where it is not known.
    pub line: u32,
    /// How many it gained.
    pub goroutines: u64,
}

impl Blamed {
    pub(super) fn labels(&self) -> Vec<Text> {
        let line = if self.line == 0 { String::new() } else { self.line.to_string() };
        [Arc::clone(&self.function), Arc::clone(&self.file), line.into()].map(Text::Shared).into()
    }
}

impl ServiceState {
    /// Goroutines that exist, from the best source at hand: pprof counts them when it is read, as
    /// runtime.NumGoroutine does; a variable is the same, if the service means by it what its name
    /// says; scheddetail is told from the states of all that were ever made.
    #[must_use]
    pub fn goroutines(&self, now: Duration) -> Option<u64> {
        let kept = &self.kept;
        self.counted_by_page().or_else(|| kept.sched.goroutines(now))
    }

    pub(super) fn has_better_than_trace(&self) -> bool {
        self.counted_by_page().is_some()
    }

    fn counted_by_page(&self) -> Option<u64> {
        self.kept.goroutines.alive().or_else(|| self.kept.variables.goroutines())
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

    /// Whom to blame for the leak that is suspected: the function that gained most goroutines since
    /// the window began. None without a suspicion or a goroutine profile.
    #[must_use]
    pub fn blamed(&self) -> Option<Blamed> {
        let since = self.leak().since?;
        let mut by_function: BTreeMap<(&Arc<str>, &Arc<str>, u32), u64> = BTreeMap::new();
        for Growth { place, goroutines, .. } in self.kept.goroutines.grown_since(since) {
            *by_function.entry((&place.function, &place.file, place.line)).or_default() +=
                goroutines;
        }
        let most = by_function.into_iter().max_by_key(|(place, gained)| (*gained, Reverse(*place)));
        let ((function, file, line), goroutines) = most?;
        Some(Blamed { function: Arc::clone(function), file: Arc::clone(file), line, goroutines })
    }

    /// Takes the memstats of a heap profile.
    pub fn observe_heap(&mut self, stats: MemStats, now: Duration) {
        let starts = self.starts();
        let restarted = self.observe_memstats(stats, now);
        self.kept.starts_by_expvar += u64::from(restarted);
        self.watch_for_leaks(starts, false, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::service::Options;
    use crate::model::service::{Identity, ServiceName};
    use crate::model::stack::{Frame, Stack};

    const MINUTE: Duration = Duration::from_secs(60);

    fn service() -> ServiceState {
        let service = ServiceName::new("s").unwrap();
        let identity = Identity::new(service, Vec::new());
        let options = Options { pprof: true, functions: 5, ..Options::default() };
        ServiceState::new(identity, options, Arc::default(), 0)
    }

    /// Reads a profile a minute for so many hours.
    fn read(
        state: &mut ServiceState,
        hours: u32,
        groups: impl Fn(u32) -> [(&'static str, u64); 3],
    ) {
        for minute in 0..hours * 60 {
            let mut places = Places::default();
            let groups = groups(minute);
            for (function, count) in groups {
                let frames = [Frame { function, file: "/app/main.go", line: 7 }];
                places.add(&Stack { count, frames: &frames, labels: &[] });
            }
            let total = groups.iter().map(|(_, count)| count).sum();
            state.observe_goroutines(&places, total, MINUTE * minute);
        }
    }

    #[test]
    fn the_function_that_leaks_is_blamed_and_not_the_largest() {
        let mut state = service();
        let wave = |minute: u32| u64::from(minute % 60 * 3);
        read(&mut state, 48, |minute| {
            let leaked = u64::from(minute);
            [("main.pool", 1000), ("main.handle", wave(minute)), ("main.leak", 1 + leaked)]
        });
        let blamed = state.blamed().expect("a leak is suspected");
        assert_eq!(
            (&*blamed.function, &*blamed.file, blamed.line),
            ("main.leak", "/app/main.go", 7)
        );
        let growth = state.leak().evidence.unwrap().growth;
        let apart = i64::from(growth) - i64::try_from(blamed.goroutines).unwrap();
        assert!(apart.abs() * 3 < i64::from(growth), "{growth} {}", blamed.goroutines);
        let snapshot = state.snapshot(MINUTE * 48 * 60);
        let is_blamed = |series: &&crate::model::snapshot::Series| {
            series.metric.0 == crate::aggregate::catalog::Metric::GoroutinesLeakBlamed as u16
        };
        assert_eq!(snapshot.series.iter().filter(is_blamed).count(), 1);
    }

    #[test]
    fn nobody_is_blamed_without_a_suspicion() {
        let mut state = service();
        read(&mut state, 48, |minute| {
            [("main.pool", 1000), ("main.handle", u64::from(minute % 60)), ("main.other", 5)]
        });
        assert_eq!(state.blamed(), None);
    }
}
