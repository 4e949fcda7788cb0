//! Whose goroutines grow: floors of each group over two weeks, in bounded memory.
//!
//! A leak begins with one goroutine, so every group is followed from the first read that has it, not
//! only the largest. Up to [`GROUPS_MAX`] are; a group makes room when its goroutines are gone, or
//! when it is known for an hour and did not grow. A group that was turned away and comes again counts
//! from what it has then: growth may be told too small, never too large.
//!
//! Of each group the *floor* (least number) of each bucket of time is kept, as the leak detector does
//! for the whole: bursts do not show in it. Buckets are of ten minutes for 4 hours, an hour for two
//! days, a day for two weeks: 87 numbers a group. What grew in more than a day is told from the floors of
//! whole days: so daily waves do not show in it either.
//!
//! After a restart of the service groups begin at 0 and fill up; that is no growth. For an hour after
//! it they count as unchanged, and then what they gain and lose is added to what they had grown before.
//!
//! # For the leak detector
//!
//! [`Growing::grown_since`] gives the groups that grew since a moment, the largest growth first. With
//! the beginning of the detector's window, the first of them is whom to blame; its share of the sum is how
//! clear that is. It costs a look at each group; call it when the verdict changes, or at each snapshot.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::places::Place;

/// Most groups followed; each takes some 600 bytes. Services have 20 to 200.
pub const GROUPS_MAX: usize = 256;

/// For so long a group is kept that did not grow yet, and for so long after a restart groups fill up:
/// the detector's own warm-up.
const WARM_UP: Duration = Duration::from_secs(3600);

/// Length of a bucket in seconds, and how many closed ones are kept; the finest first.
const LEVELS: [(u64, usize); 3] = [(600, 24), (3600, 48), (DAY.as_secs(), 15)];

/// A wave of load is as long.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The groups of one service.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Growing {
    groups: Vec<Group>,
    /// When the last read was; none before the first.
    at: Option<Duration>,
    /// A group was turned away or made room: one that is not here may have been there before.
    forgot: bool,
    restarted: bool,
    held_until: Option<Duration>,
}

/// A group that grew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth<'a> {
    /// Where its goroutines wait.
    pub place: &'a Place,
    /// By how many goroutines its floor rose.
    pub goroutines: u64,
    /// By how many all groups that grew did together.
    pub of: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Group {
    place: Place,
    since: Duration,
    /// What it is taken to have had before `since`.
    before: i32,
    /// Its goroutines at the last read.
    count: i32,
    /// What it counts as: it goes on over a restart of the service.
    counted: i32,
    levels: [Floors; LEVELS.len()],
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Floors {
    /// Of the open bucket.
    open: i32,
    /// Of those before it, the newest last; none where nothing was read.
    closed: VecDeque<Option<i32>>,
}

impl Growing {
    /// Takes the counts of a read. `now`: time since any fixed moment.
    pub fn observe(&mut self, counts: &BTreeMap<Place, u64>, now: Duration) {
        if std::mem::take(&mut self.restarted) {
            self.held_until = Some(now.saturating_add(WARM_UP));
        }
        let held = self.held_until.is_some_and(|until| now < until);
        let begins = self.at.is_none();
        let before = self.at.replace(now).unwrap_or(now);
        let opened = LEVELS.map(|(seconds, _)| {
            (now.as_secs() / seconds).saturating_sub(before.as_secs() / seconds)
        });
        for group in &mut self.groups {
            let count = small(counts.get(&group.place).copied().unwrap_or_default());
            group.observe(count, held, opened);
        }
        self.admit(counts, now, begins, held);
    }

    /// The service was started anew, at a moment between the last read and the next.
    pub fn restarted(&mut self) {
        self.restarted = true;
    }

    fn admit(&mut self, counts: &BTreeMap<Place, u64>, now: Duration, begins: bool, held: bool) {
        let known: BTreeSet<&Place> = self.groups.iter().map(|group| &group.place).collect();
        let mut new: Vec<(&Place, u64)> = counts
            .iter()
            .filter(|(place, n)| **n > 0 && !known.contains(place))
            .map(|(place, n)| (place, *n))
            .collect();
        new.sort_by_key(|(place, n)| (Reverse(*n), *place));
        let room = GROUPS_MAX.saturating_sub(self.groups.len());
        if new.len() > room {
            self.make_room(new.len() - room, now);
        }
        let room = GROUPS_MAX.saturating_sub(self.groups.len());
        self.forgot |= new.len() > room;
        for (place, count) in new.into_iter().take(room) {
            let count = small(count);
            let counted = if held { 0 } else { count };
            let before = if begins || self.forgot { counted } else { 0 };
            self.groups.push(Group {
                place: place.clone(),
                since: now,
                before,
                count,
                counted,
                levels: [(); LEVELS.len()].map(|()| Floors { open: counted, ..Floors::default() }),
            });
        }
    }

    /// Forgets as many as are needed of those that say nothing of a leak.
    fn make_room(&mut self, needed: usize, now: Duration) {
        let is_idle = |group: &Group| {
            let known_for = now.saturating_sub(group.since);
            group.count == 0 || known_for > WARM_UP && group.floor() <= group.first()
        };
        self.groups.sort_by_key(|group| (!is_idle(group), group.count));
        let idle = self.groups.partition_point(is_idle).min(needed);
        self.forgot |= idle > 0;
        self.groups.drain(..idle);
    }

    /// The groups that grew since a moment, the one that grew most first. A moment before everything
    /// known stands for the beginning of what is known.
    #[must_use]
    pub fn grown_since(&self, since: Duration) -> Vec<Growth<'_>> {
        let Some(now) = self.at else { return Vec::new() };
        let mut grown: Vec<Growth<'_>> = self
            .groups
            .iter()
            .filter_map(|group| {
                let goroutines = group.growth(since, now).filter(|growth| *growth > 0)?;
                Some(Growth { place: &group.place, goroutines, of: 0 })
            })
            .collect();
        let of = grown.iter().map(|growth| growth.goroutines).sum();
        grown.sort_by_key(|growth| (Reverse(growth.goroutines), growth.place));
        for growth in &mut grown {
            growth.of = of;
        }
        grown
    }
}

impl Group {
    /// `opened`: how many buckets of each level ended since the last read.
    fn observe(&mut self, count: i32, held: bool, opened: [u64; LEVELS.len()]) {
        if !held {
            self.counted = self.counted.saturating_add(count.saturating_sub(self.count));
        }
        self.count = count;
        for ((floors, opened), (_, kept)) in self.levels.iter_mut().zip(opened).zip(LEVELS) {
            floors.turn(opened, kept, self.counted);
        }
    }

    fn growth(&self, since: Duration, now: Duration) -> Option<u64> {
        let daily = now.saturating_sub(since) > DAY;
        let floor = if daily { self.floor_of_a_day() } else { self.floor() };
        let growth = i64::from(floor) - i64::from(self.floor_at(since, now, daily));
        u64::try_from(growth).ok()
    }

    /// What it does not fall below now: over the bucket at hand and the one before.
    fn floor(&self) -> i32 {
        let [finest, ..] = &self.levels;
        let last = finest.closed.back().copied().flatten();
        let last = if finest.closed.is_empty() { Some(self.before) } else { last };
        last.map_or(finest.open, |last| last.min(finest.open))
    }

    /// The same over a day, or since it is there.
    fn floor_of_a_day(&self) -> i32 {
        let [_, hours, _] = &self.levels;
        hours.closed.iter().rev().take(24).copied().flatten().fold(hours.open, i32::min)
    }

    /// The first that is known of it.
    fn first(&self) -> i32 {
        let [.., coarsest] = &self.levels;
        coarsest.closed.iter().copied().flatten().next().unwrap_or(self.before)
    }

    /// The floor of the first bucket that began then or later; `daily`: of the day that began.
    fn floor_at(&self, at: Duration, now: Duration, daily: bool) -> i32 {
        if at < self.since {
            return self.before;
        }
        let back = |(seconds, _): (u64, usize)| {
            let back = (now.as_secs() / seconds).saturating_sub(at.as_secs().div_ceil(seconds));
            usize::try_from(back).unwrap_or(usize::MAX)
        };
        let [finest, hours, days] = &self.levels;
        let [in_finest, in_hours, in_days] = LEVELS.map(back);
        let [(_, kept_finest), (_, kept_hours), _] = LEVELS;
        let floor = if in_finest <= kept_finest {
            finest.from(in_finest, 1)
        } else if in_hours <= kept_hours {
            hours.from(in_hours, if daily { 24 } else { 1 })
        } else {
            days.from(in_days, 1)
        };
        floor.unwrap_or_else(|| self.first())
    }
}

impl Floors {
    fn turn(&mut self, opened: u64, kept: usize, counted: i32) {
        if opened == 0 {
            self.open = self.open.min(counted);
            return;
        }
        self.closed.push_back(Some(self.open));
        let unread = usize::try_from(opened - 1).unwrap_or(usize::MAX).min(kept);
        self.closed.extend(std::iter::repeat_n(None, unread));
        self.closed.drain(..self.closed.len().saturating_sub(kept));
        self.open = counted;
    }

    /// The floor of `buckets` of them, from so many back on; or, if nothing was read in them, of the
    /// next. None if it was not followed yet.
    fn from(&self, back: usize, buckets: usize) -> Option<i32> {
        let from = self.closed.len().checked_sub(back)?;
        let mut known = self.closed.iter().skip(from).copied();
        let floor = known.by_ref().take(buckets).flatten().min();
        Some(floor.or_else(|| known.flatten().next()).unwrap_or(self.open))
    }
}

/// More than two thousand million goroutines do not fit into any memory.
fn small(n: u64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn place(line: u32) -> Place {
        Place { function: "f".into(), file: "".into(), line, labels: Box::default() }
    }

    /// One read a minute from the minute `from` up to `to`.
    fn feed(growing: &mut Growing, from: u64, to: u64, read: impl Fn(u64) -> Vec<(u32, u64)>) {
        for minute in from..to {
            let counts = read(minute).into_iter().map(|(line, n)| (place(line), n)).collect();
            growing.observe(&counts, Duration::from_secs(60 * minute));
        }
    }

    fn grown(growing: &Growing, since: Duration) -> Vec<(u32, u64)> {
        let grown = growing.grown_since(since);
        assert!(
            grown.iter().all(|one| one.of == grown.iter().map(|one| one.goroutines).sum::<u64>())
        );
        grown.iter().map(|one| (one.place.line, one.goroutines)).collect()
    }

    #[test]
    fn a_leak_of_one_a_minute_is_blamed_under_a_load_that_comes_and_goes() {
        let mut growing = Growing::default();
        let busy = |minute: u64| 300 + 200 * u64::from(minute % 60 < 50) + minute % 7;
        feed(&mut growing, 0, 6 * 60, |minute| vec![(1, busy(minute)), (2, 40), (3, minute)]);
        let found = grown(&growing, HOUR);
        // The floor is that of the bucket before the one at hand.
        assert_eq!(found.first(), Some(&(3, 340 - 60)), "{found:?}");
        assert!(found.iter().all(|(line, n)| *line == 3 || *n < 10), "{found:?}");
    }

    #[test]
    fn a_group_that_was_not_there_grew_from_nothing_and_a_burst_did_not_grow() {
        let mut growing = Growing::default();
        feed(&mut growing, 0, 200, |minute| match minute {
            0..100 => vec![(1, 500)],
            100..195 => vec![(1, 500), (2, 1 + (minute - 100) / 10)],
            _ => vec![(1, 9000), (2, 10), (4, 700)],
        });
        assert_eq!(grown(&growing, MINUTE * 50), [(2, 9)]);
    }

    #[test]
    fn growth_is_known_for_hours_days_and_two_weeks() {
        let mut growing = Growing::default();
        feed(&mut growing, 0, 20 * 24 * 60, |minute| vec![(1, minute / 60)]);
        // From more than a day on, floors of days are compared: one a day less.
        for (since, hours) in [
            (DAY * 20 - HOUR * 3, 3),
            (DAY * 19, 24),
            (DAY * 15, 4 * 24),
            (DAY * 7, 12 * 24),
            (DAY, 15 * 24),
        ] {
            let found = grown(&growing, since);
            assert!(found.len() == 1 && found[0].1.abs_diff(hours) <= 1, "{since:?} {found:?}");
        }
    }

    #[test]
    fn a_leak_inside_a_daily_wave_is_blamed_and_the_wave_is_not() {
        let mut growing = Growing::default();
        let wave = |minute: u64| 100 + (minute % 1440).abs_diff(720);
        feed(&mut growing, 0, 5 * 1440 + 700, |minute| vec![(1, wave(minute)), (2, minute / 30)]);
        for since in [DAY * 4, DAY * 3, DAY * 2 + HOUR * 5] {
            let found = grown(&growing, since);
            assert!(found.len() == 1 && found[0].0 == 2, "{since:?} {found:?}");
        }
    }

    #[test]
    fn what_fills_up_after_a_restart_did_not_grow_but_the_leak_goes_on() {
        let mut growing = Growing::default();
        let read = |minute: u64| vec![(1, 800.min(minute % 600 * 20)), (2, minute % 600)];
        feed(&mut growing, 0, 600, read);
        for life in 1..4 {
            growing.restarted();
            feed(&mut growing, life * 600, (life + 1) * 600, read);
        }
        let found = grown(&growing, HOUR * 4);
        assert_eq!(found.first().map(|(line, _)| *line), Some(2), "{found:?}");
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn groups_without_end_are_bounded_and_who_grows_is_kept() {
        let mut growing = Growing::default();
        feed(&mut growing, 0, 300, |minute| {
            let transient = 10 + u32::try_from(minute).unwrap() * 500;
            let many = (transient..transient + 500).map(|line| (line, 2));
            many.chain([(1, 1 + minute), (2, 100)]).collect()
        });
        assert!(growing.groups.len() <= GROUPS_MAX);
        let found = grown(&growing, Duration::ZERO);
        assert!(found.len() == 1 && found[0].0 == 1 && found[0].1 > 200, "{found:?}");
    }

    #[test]
    fn one_among_many_that_stay_is_found_once_it_is_among_the_large() {
        let mut growing = Growing::default();
        feed(&mut growing, 0, 600, |minute| {
            (10..1000).map(|line| (line, 3)).chain([(1, 1 + minute)]).collect()
        });
        let found = grown(&growing, Duration::ZERO);
        assert!(found.len() == 1 && found[0].0 == 1 && found[0].1 > 400, "{found:?}");
    }

    #[test]
    fn time_that_leaps_or_goes_back_and_absurd_numbers_do_no_harm() {
        let mut growing = Growing::default();
        assert_eq!(grown(&growing, Duration::MAX), []);
        let mut at = |n: u64, now: Duration| {
            growing.observe(&[(place(1), n)].into_iter().collect(), now);
            let _any = growing.grown_since(Duration::MAX);
            growing.grown_since(Duration::ZERO).len()
        };
        at(u64::MAX, DAY);
        at(0, Duration::ZERO);
        at(u64::MAX, Duration::MAX);
        at(5, HOUR);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// Reads minutes to days apart, restarts of the service between them, and more groups than are kept.
        #[test]
        fn what_was_saved_at_any_moment_goes_on_as_if_it_had_not_been(
            steps in prop::collection::vec(
                (1_u64..3000, prop::collection::btree_map(0_u32..600, 0_u64..90, 0..300), any::<u8>()),
                1..20,
            ),
        ) {
            let (mut whole, mut broken) = (Growing::default(), Growing::default());
            let mut now = Duration::ZERO;
            for (minutes, read, chance) in steps {
                now += MINUTE * u32::try_from(minutes).unwrap();
                let counts = read.into_iter().map(|(line, n)| (place(line), n)).collect();
                for growing in [&mut whole, &mut broken] {
                    if chance % 8 == 0 {
                        growing.restarted();
                    }
                    if chance % 2 == 0 {
                        growing.observe(&counts, now);
                    }
                }
                let saved = serde_json::to_string(&broken).unwrap();
                broken = serde_json::from_str(&saved).unwrap();
                prop_assert_eq!(serde_json::to_string(&whole).unwrap(), saved);
                for since in [Duration::ZERO, now.saturating_sub(HOUR), now.saturating_sub(DAY * 3)] {
                    prop_assert_eq!(whole.grown_since(since), broken.grown_since(since));
                }
            }
        }
    }
}
