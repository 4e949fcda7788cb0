//! What `/debug/pprof` says of goroutines and threads, over time.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::growth::{Growing, Growth};
use super::places::{Place, Places};
use super::ranking::Ranking;
use super::service::Collector;
use super::tally::OTHER;
use crate::model::snapshot::Text;

/// State made of the goroutine, threadcreate and goroutineleak profiles.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GoroutineState {
    alive: Counted,
    leaked: Counted,
    growing: Growing,
    /// Says nothing of a later moment, so it is not saved.
    #[serde(skip)]
    threads: Option<u64>,
    /// The profiler labels by which places were told apart.
    labels: Box<[Box<str>]>,
}

/// Goroutines of one profile.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Counted {
    /// In all, at the last read; none if it failed.
    #[serde(skip)]
    total: Option<u64>,
    /// Saved, so that the same series go on.
    ranking: Ranking,
    /// How many were summed into `other`, over all reads.
    other: u64,
}

impl GoroutineState {
    /// Takes a goroutine profile: `total` goroutines. At most `functions` places have series.
    pub fn observe(&mut self, places: &Places, total: u64, functions: usize, now: Duration) {
        if *self.labels != *places.wanted() {
            *self = Self { threads: self.threads, ..Self::default() };
            self.labels = places.wanted().to_vec().into();
        }
        self.alive.observe(places, total, functions, now);
        self.growing.observe(places.counts(), now);
    }

    /// Takes a goroutineleak profile.
    pub fn observe_leaked(&mut self, places: &Places, total: u64, functions: usize, now: Duration) {
        self.leaked.observe(places, total, functions, now);
    }

    /// Takes a threadcreate profile, or that it could not be read.
    pub fn observe_threads(&mut self, threads: Option<u64>) {
        self.threads = threads;
    }

    /// The goroutine profile could not be read: what was read before says nothing of now.
    pub fn failed(&mut self) {
        self.alive.total = None;
    }

    /// The goroutineleak profile could not be read.
    pub fn leaked_failed(&mut self) {
        self.leaked.total = None;
    }

    /// The service was started anew: none has leaked, and what fills up again does not grow.
    pub fn restarted(&mut self) {
        self.leaked.total = None;
        self.growing.restarted();
    }

    /// Goroutines that exist, as runtime.NumGoroutine counts them; unknown if the last read failed.
    #[must_use]
    pub const fn alive(&self) -> Option<u64> {
        self.alive.total
    }

    /// The places whose goroutines grew since a moment, the one that grew most first: see
    /// [`super::growth`]. None if there is no goroutine profile.
    #[must_use]
    pub fn grown_since(&self, since: Duration) -> Vec<Growth<'_>> {
        self.growing.grown_since(since)
    }

    /// Gives the series; go_goroutines has other sources too and is not among them.
    pub fn collect(&self, out: &mut Collector) {
        self.alive.collect(Metric::GoroutinesByFunction, out);
        out.count(Metric::GoroutinesOther, &[], self.alive.other.saturating_add(self.leaked.other));
        if let Some(leaked) = self.leaked.total {
            out.count(Metric::GoroutinesLeaked, &[], leaked);
        }
        self.leaked.collect(Metric::GoroutinesLeakedByFunction, out);
        if let Some(threads) = self.threads {
            out.count(Metric::Threads, &[], threads);
        }
    }
}

impl Counted {
    fn observe(&mut self, places: &Places, total: u64, functions: usize, now: Duration) {
        self.total = Some(total);
        self.ranking.observe(places.counts(), functions, now);
        self.other = self.other.saturating_add(self.ranking.other());
    }

    fn collect(&self, metric: Metric, out: &mut Collector) {
        if self.total.is_none() {
            return;
        }
        for member in self.ranking.members() {
            out.shared(metric, labels(&member.place), member.count);
        }
        let other = [OTHER, "", ""].map(Text::Static);
        out.shared(metric, other.into(), self.ranking.other());
    }
}

fn labels(place: &Place) -> Vec<Text> {
    let line: Arc<str> = if place.line == 0 { "".into() } else { place.line.to_string().into() };
    let own = [Arc::clone(&place.function), Arc::clone(&place.file), line];
    own.into_iter().chain(place.labels.iter().cloned()).map(Text::Shared).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::snapshot::{Number, Value};
    use crate::model::stack::{Frame, Stack};

    fn places(wanted: &[&str], list: &[(u32, u64)]) -> (Places, u64) {
        let mut places = Places::new(wanted.iter().map(|name| Box::from(*name)).collect());
        for (line, count) in list {
            let frames = [Frame { function: "main.f", file: "/a.go", line: *line }];
            places.add(&Stack { count: *count, frames: &frames, labels: &[] });
        }
        (places, list.iter().map(|(_, n)| n).sum())
    }

    fn series(state: &GoroutineState) -> Vec<String> {
        let mut out = Collector::default();
        state.collect(&mut out);
        let series = out.series().iter();
        series
            .map(|one| {
                let labels: Vec<&str> = one.labels.iter().map(Text::as_str).collect();
                let Value::Number(Number::Unsigned(n)) = one.value else { panic!("no count") };
                format!("{}{labels:?} {n}", one.metric.0)
            })
            .collect()
    }

    #[test]
    fn the_largest_have_series_and_the_rest_is_other() {
        let mut state = GoroutineState::default();
        let (by, other) = (Metric::GoroutinesByFunction as u16, Metric::GoroutinesOther as u16);
        assert_eq!(series(&state), [format!("{other}[] 0")]);
        let (read, total) = places(&[], &[(1, 5), (2, 9), (3, 1)]);
        state.observe(&read, total, 2, Duration::ZERO);
        let expected = [
            format!("{by}[\"main.f\", \"/a.go\", \"2\"] 9"),
            format!("{by}[\"main.f\", \"/a.go\", \"1\"] 5"),
            format!("{by}[\"other\", \"\", \"\"] 1"),
            format!("{other}[] 1"),
        ];
        assert_eq!(series(&state), expected);
        assert_eq!(state.alive(), Some(15));
        state.failed();
        assert_eq!((series(&state), state.alive()), (vec![format!("{other}[] 1")], None));
    }

    #[test]
    fn other_labels_begin_anew() {
        let mut state = GoroutineState::default();
        let (read, total) = places(&[], &[(1, 5)]);
        state.observe(&read, total, 2, Duration::ZERO);
        let (read, total) = places(&["tenant"], &[(1, 500)]);
        state.observe(&read, total, 2, Duration::from_secs(3600));
        assert_eq!(state.grown_since(Duration::ZERO), []);
        assert!(
            series(&state)
                .iter()
                .any(|one| one.ends_with("[\"main.f\", \"/a.go\", \"1\", \"\"] 500"))
        );
    }

    #[test]
    fn a_restart_ends_what_was_proved_until_the_next_read() {
        let mut state = GoroutineState::default();
        let (read, total) = places(&[], &[(7, 3)]);
        state.observe_leaked(&read, total, 2, Duration::ZERO);
        state.observe_threads(Some(8));
        let leaked = format!("{}[] 3", Metric::GoroutinesLeaked as u16);
        assert!(series(&state).contains(&leaked));
        state.restarted();
        assert_eq!(
            series(&state),
            [
                format!("{}[] 0", Metric::GoroutinesOther as u16),
                format!("{}[] 8", Metric::Threads as u16),
            ]
        );
    }

    type Read = Vec<(u32, u64)>;

    fn read() -> impl Strategy<Value = Read> {
        prop::collection::btree_map(0_u32..40, 1_u64..300, 0..30)
            .prop_map(|read| read.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_state_that_was_saved_goes_on_as_if_it_had_not_been(
            steps in prop::collection::vec((read(), read(), 1_u64..9000, any::<u8>()), 1..25),
        ) {
            let (mut whole, mut broken) = (GoroutineState::default(), GoroutineState::default());
            let mut now = Duration::ZERO;
            for (alive, leaked, seconds, chance) in steps {
                now += Duration::from_secs(seconds);
                let wanted: &[&str] = if chance < 8 { &["tenant"] } else { &[] };
                for state in [&mut whole, &mut broken] {
                    if chance % 8 == 0 {
                        state.restarted();
                    }
                    let (read, total) = places(wanted, &alive);
                    state.observe(&read, total, 5, now);
                    let (read, total) = places(wanted, &leaked);
                    state.observe_leaked(&read, total, 5, now);
                    state.observe_threads(Some(total));
                }
                // At a moment of its own choice: counters, who has series and whose number grew go on.
                prop_assert_eq!(series(&broken), series(&whole));
                prop_assert_eq!(broken.grown_since(Duration::ZERO), whole.grown_since(Duration::ZERO));
                if chance % 3 == 0 {
                    let saved = serde_json::to_string(&broken).unwrap();
                    broken = serde_json::from_str(&saved).unwrap();
                    // What was read before says nothing of now; counters are there at once.
                    let read_before = |one: &&String| !one.contains("main.f") && !one.contains("other");
                    prop_assert_eq!(broken.alive(), None);
                    let own = series(&broken);
                    prop_assert_eq!(own.iter().filter(read_before).count(), 1, "{:?}", own);
                }
            }
        }
    }
}
