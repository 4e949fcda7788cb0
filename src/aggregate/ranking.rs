//! The K largest groups, with a membership that does not flap.
//!
//! A group that is a member keeps its place until another one is clearly larger: by a quarter and
//! five more than what the member has, or had not long ago (what it had halves every hour). So ±1
//! among equals changes nothing, a burst takes a place once, and two bursts in turn do not take it
//! from each other. A member that came to nothing goes once what it had has halved below one half. Each
//! change costs its place a rise by a quarter, or a third of an hour; see the property test.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::places::Place;

/// A challenger must have so many times what the member has.
const MARGIN: f64 = 1.25;

/// And so many more.
const MARGIN_GOROUTINES: f64 = 5.0;

/// In what time half of what a member once had is forgotten: longer than the lulls of most loads.
const HALF_LIFE: Duration = Duration::from_secs(3600);

/// A member without goroutines goes when less than this is remembered.
const GONE: f64 = 0.5;

/// The members, and what is in none of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ranking {
    members: Vec<Member>,
    at: Duration,
    other: u64,
}

/// One of the K.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Which group.
    pub place: Place,
    /// Its goroutines at the last read.
    pub count: u64,
    /// What it had, halved every hour; at least `count`.
    remembered: f64,
}

impl Ranking {
    /// Takes the counts of a read; at most `k` groups are members after it.
    pub fn observe(&mut self, counts: &BTreeMap<Place, u64>, k: usize, now: Duration) {
        let away = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        let kept = 0.5_f64.powf(away / HALF_LIFE.as_secs_f64());
        for member in &mut self.members {
            member.count = counts.get(&member.place).copied().unwrap_or_default();
            member.remembered = (member.remembered * kept).max(float(member.count));
        }
        self.members.retain(|member| member.remembered >= GONE);
        self.members.sort_by(|a, b| {
            b.remembered.total_cmp(&a.remembered).then_with(|| a.place.cmp(&b.place))
        });
        self.members.truncate(k);
        self.challenge(counts, k);
        let all = counts.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
        let shown = self.members.iter().fold(0_u64, |sum, member| sum.saturating_add(member.count));
        self.other = all.saturating_sub(shown);
    }

    /// The largest that are no members take free places, then those of members much smaller.
    fn challenge(&mut self, counts: &BTreeMap<Place, u64>, k: usize) {
        let is_member = |place: &Place| self.members.iter().any(|member| member.place == *place);
        let mut others: Vec<(&Place, u64)> = counts
            .iter()
            .filter(|(place, n)| **n > 0 && !is_member(place))
            .map(|(place, n)| (place, *n))
            .collect();
        others.sort_by_key(|(place, n)| (Reverse(*n), *place));
        for (place, count) in others {
            if self.members.len() >= k {
                let smallest = self.members.iter().map(|member| member.remembered);
                let smallest = smallest.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
                let Some((at, remembered)) = smallest else { return };
                if float(count) <= remembered.mul_add(MARGIN, MARGIN_GOROUTINES) {
                    return;
                }
                self.members.swap_remove(at);
            }
            let place = place.clone();
            self.members.push(Member { place, count, remembered: float(count) });
        }
    }

    /// The groups that are shown.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Goroutines of the last read that are in no member.
    #[must_use]
    pub const fn other(&self) -> u64 {
        self.other
    }
}

#[expect(clippy::cast_precision_loss, reason = "compared with a margin of a quarter")]
fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn counts(list: &[(u32, u64)]) -> BTreeMap<Place, u64> {
        let place =
            |line| Place { function: "f".into(), file: "".into(), line, labels: Box::default() };
        list.iter().map(|(line, n)| (place(*line), *n)).collect()
    }

    fn lines(ranking: &Ranking) -> BTreeSet<u32> {
        ranking.members().iter().map(|member| member.place.line).collect()
    }

    /// What a read has, and who is shown after it.
    type Read<'a> = (&'a [(u32, u64)], &'a [u32]);

    /// Reads a minute apart.
    fn check(k: usize, reads: &[Read<'_>]) {
        let mut ranking = Ranking::default();
        for (n, (list, expected)) in (0..).zip(reads) {
            ranking.observe(&counts(list), k, MINUTE * n);
            assert_eq!(lines(&ranking), expected.iter().copied().collect(), "read {n}");
        }
    }

    #[test]
    fn the_largest_are_shown_and_the_rest_is_summed() {
        let mut ranking = Ranking::default();
        ranking.observe(&counts(&[(1, 5), (2, 100), (3, 7), (4, 1)]), 2, MINUTE);
        assert_eq!((lines(&ranking), ranking.other()), ([2, 3].into(), 6));
        ranking.observe(&counts(&[]), 2, MINUTE * 2);
        assert_eq!((lines(&ranking), ranking.other()), ([2, 3].into(), 0));
    }

    #[test]
    fn equals_that_differ_by_one_in_turn_do_not_change_places() {
        check(
            2,
            &[
                (&[(1, 9), (2, 8), (3, 7)], &[1, 2]),
                (&[(1, 9), (2, 7), (3, 8)], &[1, 2]),
                (&[(1, 7), (2, 8), (3, 9)], &[1, 2]),
                (&[(1, 0), (2, 8), (3, 9)], &[1, 2]),
            ],
        );
    }

    #[test]
    fn bursts_in_turn_take_a_place_once_and_growth_takes_it() {
        check(
            2,
            &[
                (&[(1, 50), (2, 3), (3, 3), (4, 3)], &[1, 2]),
                (&[(1, 50), (2, 3), (3, 40), (4, 3)], &[1, 3]),
                (&[(1, 50), (2, 3), (3, 0), (4, 40)], &[1, 3]),
                (&[(1, 50), (2, 3), (3, 40), (4, 0)], &[1, 3]),
                (&[(1, 50), (2, 60), (3, 0), (4, 0)], &[1, 2]),
            ],
        );
    }

    #[test]
    fn who_is_gone_for_long_is_no_longer_shown() {
        let mut ranking = Ranking::default();
        ranking.observe(&counts(&[(1, 8), (2, 1)]), 20, Duration::ZERO);
        ranking.observe(&counts(&[(2, 1)]), 20, HALF_LIFE * 4);
        assert_eq!(lines(&ranking), [1, 2].into());
        ranking.observe(&counts(&[(2, 1)]), 20, HALF_LIFE * 5);
        assert_eq!(lines(&ranking), [2].into());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever comes: nothing is lost, no more than K are shown, nobody left out is much larger
        /// than who is shown, and places change hands seldom.
        #[test]
        fn sums_hold_and_changes_are_bounded(
            k in 1_usize..6,
            reads in prop::collection::vec(prop::collection::btree_map(0_u32..12, 0_u64..200, 0..12), 1..80),
        ) {
            let mut ranking = Ranking::default();
            let (mut changes, mut before) = (0, BTreeSet::new());
            for (n, read) in (0..).zip(&reads) {
                let list: Vec<(u32, u64)> = read.iter().map(|(line, n)| (*line, *n)).collect();
                let counts = counts(&list);
                ranking.observe(&counts, k, MINUTE * n);
                let shown: u64 = ranking.members().iter().map(|member| member.count).sum();
                prop_assert_eq!(shown + ranking.other(), read.values().sum::<u64>());
                let now = lines(&ranking);
                prop_assert!(now.len() == ranking.members().len() && now.len() <= k);
                let least = ranking.members().iter().map(|member| member.remembered);
                let least = least.fold(f64::INFINITY, f64::min);
                for (place, n) in &counts {
                    let over = float(*n) > least.mul_add(MARGIN, MARGIN_GOROUTINES);
                    prop_assert!(*n == 0 || now.contains(&place.line) || now.len() == k && !over);
                }
                changes += now.difference(&before).count();
                before = now;
            }
            // From 1 to 200 a place can rise by a quarter and five 11 times; then what was forgotten
            // of it can rise again: a quarter takes a third of an hour.
            let minutes = reads.len() - 1;
            prop_assert!(changes <= k * (1 + 11 + minutes / 19), "{} changes in {} minutes", changes, minutes);
        }

        /// To the last bit of what is remembered.
        #[test]
        fn what_was_saved_goes_on_as_if_it_had_not_been(
            k in 1_usize..6,
            reads in prop::collection::vec(
                (1_u64..100_000, prop::collection::btree_map(0_u32..12, any::<u64>(), 0..12)),
                1..40,
            ),
        ) {
            let (mut whole, mut broken) = (Ranking::default(), Ranking::default());
            let mut now = Duration::ZERO;
            for (millis, read) in &reads {
                now += Duration::from_millis(*millis);
                let list: Vec<(u32, u64)> = read.iter().map(|(line, n)| (*line, *n)).collect();
                whole.observe(&counts(&list), k, now);
                broken.observe(&counts(&list), k, now);
                let saved = serde_json::to_string(&broken).unwrap();
                broken = serde_json::from_str(&saved).unwrap();
                prop_assert_eq!(&broken, &whole);
            }
        }
    }
}
