//! The floors of the last two weeks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::floors;

/// Longest time kept: twice the longest pattern that services have, a week.
const KEPT: Duration = Duration::from_secs(14 * 24 * 3600);

/// Most floors kept, where buckets are shorter than a minute: 240 KB.
const FLOORS_MAX: usize = 20_160;

/// Floors without a sample that are taken to be like the one before: an hour's outage.
const MISSING_MAX: u64 = 6;

/// Buckets that the present growth is measured over.
const TREND: usize = 6;

/// The least number of goroutines in one bucket of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Floor {
    /// As it was.
    pub raw: i32,
    /// As if no restart had ever taken leaked goroutines away: the warm-up of each life is cut out
    /// and the rest put end to end.
    pub counted: i32,
    /// Which life of the service it belongs to.
    pub life: u16,
    /// It lies in the warm-up.
    pub warming: bool,
}

/// The floors, the newest last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct History {
    bucket: Duration,
    warm_up: Duration,
    #[serde(with = "floors")]
    floors: Vec<Floor>,
    /// The bucket of the newest floor.
    newest: Option<u64>,
    /// The bucket at hand: its number, and the least number in it so far.
    open: Option<(u64, i64)>,
    life: u16,
    life_began: Option<Duration>,
    /// What to add to a number of this life to go on where the last one ended.
    offset: Option<i64>,
}

impl History {
    /// An empty one.
    #[must_use]
    pub fn new(bucket: Duration, warm_up: Duration) -> Self {
        let bucket = bucket.max(Duration::from_secs(1));
        Self {
            bucket,
            warm_up,
            floors: Vec::new(),
            newest: None,
            open: None,
            life: 0,
            life_began: None,
            offset: None,
        }
    }

    /// Whether its floors were made so.
    #[must_use]
    pub fn is_made_of(&self, bucket: Duration, warm_up: Duration) -> bool {
        self.bucket == bucket.max(Duration::from_secs(1)) && self.warm_up == warm_up
    }

    /// The floors of whole buckets.
    #[must_use]
    pub fn floors(&self) -> &[Floor] {
        let from = self.floors.len().saturating_sub(self.kept());
        self.floors.get(from..).unwrap_or_default()
    }

    /// The newest floor.
    #[must_use]
    pub fn last(&self) -> Option<&Floor> {
        self.floors.last()
    }

    /// How many buckets a span has, at least 1.
    #[must_use]
    pub fn buckets(&self, span: Duration) -> usize {
        usize::try_from(span.as_secs() / self.bucket.as_secs().max(1)).unwrap_or(usize::MAX).max(1)
    }

    fn kept(&self) -> usize {
        self.buckets(KEPT).min(FLOORS_MAX)
    }

    /// The length of so many buckets.
    #[must_use]
    pub fn span(&self, buckets: usize) -> Duration {
        self.bucket * u32::try_from(buckets).unwrap_or(u32::MAX)
    }

    /// How fast the floor grew over the last hour, in goroutines a second.
    #[must_use]
    pub fn growth_per_second(&self) -> Option<f64> {
        let newest = self.floors.last()?;
        let before = self.floors.get(self.floors.len().checked_sub(TREND + 1)?)?;
        let growth = f64::from(newest.counted) - f64::from(before.counted);
        Some(growth / self.span(TREND).as_secs_f64())
    }

    /// Takes a sample. Gives true if a bucket became whole.
    pub fn observe(&mut self, at: Duration, goroutines: i64) -> bool {
        let number = at.as_secs() / self.bucket.as_secs().max(1);
        match &mut self.open {
            Some((open, floor)) if *open == number => *floor = (*floor).min(goroutines),
            Some((open, _)) if *open > number => {}
            Some((open, _)) => {
                let missing = number - *open - 1;
                self.close();
                self.repeat(missing.min(MISSING_MAX));
                self.open = Some((number, goroutines));
                return true;
            }
            None => {
                self.life_began.get_or_insert(at);
                self.open = Some((number, goroutines));
            }
        }
        false
    }

    /// Another life begins. Gives true if a bucket became whole.
    pub fn restarted(&mut self, at: Duration) -> bool {
        let closed = self.close();
        self.open = None;
        self.life = self.life.wrapping_add(1);
        self.life_began = Some(at);
        self.offset = None;
        closed
    }

    fn close(&mut self) -> bool {
        let Some((number, floor)) = self.open else { return false };
        // Each bucket has one floor, however many lives it saw: a crash loop is not time.
        if self.newest.is_some_and(|newest| number <= newest) {
            return false;
        }
        self.newest = Some(number);
        let before = self.floors.last().map(|last| i64::from(last.counted));
        let warming = self.is_warming(number);
        let counted = match before {
            None => floor,
            Some(before) if warming => before,
            Some(before) => floor + *self.offset.get_or_insert(before - floor),
        };
        if before.is_none() && !warming {
            self.offset = Some(0);
        }
        let floor =
            Floor { raw: narrow(floor), counted: narrow(counted), life: self.life, warming };
        self.push(floor);
        true
    }

    /// We may have come late to the first life: only an hour of it is cut, from our first sample on.
    fn is_warming(&self, number: u64) -> bool {
        let begins = self.bucket.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
        self.life_began.is_some_and(|began| begins < began + self.warm_up)
    }

    fn repeat(&mut self, times: u64) {
        for _ in 0..times {
            if let Some(last) = self.floors.last().copied() {
                self.push(last);
            }
        }
    }

    fn push(&mut self, floor: Floor) {
        let kept = self.kept();
        if self.floors.len() >= kept + kept / 8 {
            self.floors.drain(..self.floors.len() - kept);
        }
        self.floors.push(floor);
    }
}

fn narrow(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(if n < 0 { i32::MIN } else { i32::MAX })
}
