//! What in the history of floors can only be a leak.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::history::{Floor, History};
use crate::model::leak::{Params, Tuning, Window};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Parts of a window whose floors are compared.
const PARTS: usize = 6;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What kind of growth.
    pub shape: Shape,
    /// The length of the window it shows in.
    pub span: Duration,
    /// Goroutines by which the floor grew.
    pub growth: i32,
    /// How fast it grew, on average.
    pub growth_per_second: f64,
}

/// Kinds of growth that nothing but a leak explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Every part of the window is higher than the one before, and the growth does not slow down.
    Rise,
    /// A straight line.
    Line,
    /// It goes up in many steps and hardly ever down.
    Ratchet,
    /// Every day's floor is higher than the one before, by as much as the day's peak is.
    Days,
}

impl Shape {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rise => "rise",
            Self::Line => "line",
            Self::Ratchet => "ratchet",
            Self::Days => "days",
        }
    }
}

/// The first evidence that holds, the quickest first.
#[must_use]
pub fn find(history: &History, params: &Params) -> Option<Evidence> {
    let unknown = params.unknown.iter().map(|window| (window, false));
    let known = params.known.iter().map(|window| (window, true));
    unknown
        .chain(known)
        .find_map(|(window, needs_past)| Look::new(history, params, window)?.rise(needs_past))
        .or_else(|| Look::new(history, params, &params.line)?.line())
        .or_else(|| Look::new(history, params, &params.ratchet)?.ratchet())
        .or_else(|| params.days.iter().find_map(|days| whole_days(history, params, *days)))
}

fn whole_days(history: &History, params: &Params, days: u32) -> Option<Evidence> {
    let days = days.max(2);
    let ratio = 1.0 + params.days_growth / f64::from(days);
    Look::new(history, params, &Window { span: DAY * days, ratio })?.days()
}

/// One window at the end of the history.
struct Look<'a> {
    history: &'a History,
    params: &'a Params,
    window: Window,
    before: &'a [Floor],
    inside: &'a [Floor],
}

impl<'a> Look<'a> {
    fn new(history: &'a History, params: &'a Params, window: &Window) -> Option<Self> {
        let floors = history.floors();
        let at = floors.len().checked_sub(history.buckets(window.span))?;
        let (before, inside) = floors.split_at_checked(at)?;
        Some(Self { history, params, window: *window, before, inside })
    }

    fn rise(&self, needs_past: bool) -> Option<Evidence> {
        let tuning = self.tuning();
        let growth = self.growth(PARTS, Self::lowest_of_the_day_before)?;
        let parts = self.parts(PARTS);
        let steps = steps(&parts);
        let (least, most) = (steps.iter().min()?, steps.iter().max()?);
        let is_even = self.window.span.as_secs_f64() < tuning.rise_even_hours * 3600.0;
        let evenness = if is_even { tuning.rise_evenness } else { 0.0 };
        let rises = float(*least) >= (tuning.rise_least_step * growth).max(evenness * float(*most));
        let later_half: i64 = steps.iter().rev().take(PARTS / 2).sum();
        let goes_on = float(later_half) >= tuning.rise_later_half * growth
            && float(*steps.last()?) >= tuning.rise_last_step * growth;
        let is_short = self.window.span.as_secs_f64() <= tuning.rise_even_hours * 3600.0;
        let factor = if is_short { tuning.rise_past_even } else { tuning.rise_past };
        (rises
            && goes_on
            && self.goes_on_in_each_life()
            && self.is_above_the_past(*parts.last()?, growth)
            && growth >= tuning.rise_fall * float(self.deepest_fall(4 * HOUR))
            && (!needs_past || self.past_has_nothing_like(growth, factor)))
        .then(|| self.evidence(Shape::Rise, growth, parts.len()))
    }

    /// Twelve floors on a line, but for the scatter of a random process of that rate.
    fn line(&self) -> Option<Evidence> {
        let growth = self.growth(2 * PARTS, Self::lowest_of_the_day_before)?;
        let parts = self.parts(2 * PARTS);
        let scatter =
            self.tuning().line_scatter * growth + self.tuning().line_noise * growth.sqrt();
        (self.is_one_life()
            && self.inside.iter().all(|floor| !floor.warming)
            && farthest_from_line(&parts) <= scatter
            && self.is_above_the_past(*parts.last()?, growth)
            && self.past_has_nothing_like(growth, self.tuning().line_past))
        .then(|| self.evidence(Shape::Line, growth, parts.len()))
    }

    fn ratchet(&self) -> Option<Evidence> {
        let tuning = self.tuning();
        let parts = self.inside.len() / self.history.buckets(2 * HOUR);
        let growth = self.growth(parts, Self::lowest)?;
        let parts = self.parts(parts);
        let (mut top, mut fall, mut new_tops) = (*parts.first()?, 0, 0_i64);
        for part in &parts {
            new_tops += i64::from(float(part - top) >= tuning.ratchet_new_top * growth);
            top = top.max(*part);
            fall = fall.max(top - part);
        }
        let half = float(*parts.get(parts.len() / 2)? - *parts.first()?);
        let in_one_go =
            parts.windows(4).any(|four| float(rise_of(four)) > tuning.ratchet_one_go * growth);
        (self.is_one_life()
            && float(fall) <= tuning.ratchet_fall * growth
            && float(new_tops) >= tuning.ratchet_tops * count(&parts)
            && (tuning.ratchet_half_min * growth..=tuning.ratchet_half_max * growth)
                .contains(&half)
            && !in_one_go
            && self.is_above_the_past(*parts.last()?, growth)
            && growth >= tuning.ratchet_deepest_fall * float(self.deepest_fall(4 * HOUR))
            && self.past_has_nothing_like(growth, tuning.ratchet_past))
        .then(|| self.evidence(Shape::Ratchet, growth, parts.len()))
    }

    fn days(&self) -> Option<Evidence> {
        let tuning = self.tuning();
        let day = self.history.buckets(DAY);
        let growth = self.growth(self.inside.len() / day, Self::lowest)?;
        let floors: Vec<i64> = self.inside.chunks_exact(day).map(lowest_counted).collect();
        let peaks: Vec<i64> = self.inside.chunks_exact(day).map(highest_counted).collect();
        let steps = steps(&floors);
        let mean = growth / count(&steps);
        let few = floors.len() < 6;
        let least = if few { tuning.days_least_few } else { tuning.days_least } * mean;
        let rises = steps.iter().filter(|step| float(**step) >= tuning.days_step * mean);
        let rises = float(i64::try_from(rises.count()).unwrap_or(i64::MAX));
        let needed = if few { 1.0 } else { tuning.days_rising } * count(&steps);
        let needed = if few { needed } else { needed.floor().max(5.0) };
        let later = float(*floors.last()? - *floors.get((floors.len() - 1) / 2)?);
        let (low, high) = (later_less_earlier(&floors), later_less_earlier(&peaks));
        let wave: i64 = peaks.iter().zip(&floors).map(|(peak, floor)| peak - floor).sum();
        let wave = float(wave) / count(&floors);
        (self.is_one_life()
            && steps.iter().all(|step| float(*step) >= least)
            && rises >= needed
            && later >= tuning.days_later_half * growth
            // A leak adds to peaks and floors alike, load multiplies.
            && (tuning.days_peaks_min * low..=tuning.days_peaks_max * low).contains(&high)
            // Without a wave, the shorter windows would have seen an even growth.
            && !(few && (wave < tuning.days_wave * mean || !self.is_a_rising_wave(day)))
            && growth >= tuning.days_fall * float(self.deepest_fall(DAY)))
        .then(|| self.evidence(Shape::Days, growth, floors.len()))
    }

    /// `growth` is from the first to the last of so many parts.
    fn evidence(&self, shape: Shape, growth: f64, parts: usize) -> Evidence {
        let span = self.window.span;
        let parts = u32::try_from(parts).unwrap_or(u32::MAX);
        let apart = span.as_secs_f64() * f64::from(parts.saturating_sub(1)) / f64::from(parts);
        #[expect(clippy::cast_possible_truncation, reason = "the difference of two i32")]
        Evidence { shape, span, growth: growth as i32, growth_per_second: growth / apart.max(1.0) }
    }

    /// The floors of `n` equal parts, the oldest first.
    fn parts(&self, n: usize) -> Vec<i64> {
        let each = (self.inside.len() / n.max(1)).max(1);
        let surplus = self.inside.len().saturating_sub(each * n);
        let used = self.inside.get(surplus..).unwrap_or_default();
        used.chunks(each).map(lowest_counted).collect()
    }

    /// The growth from the first of `n` parts to the last, if it is enough of it for the window.
    fn growth(&self, n: usize, base: impl Fn(&Self) -> i64) -> Option<f64> {
        let each = (self.inside.len() / n.max(1)).max(1);
        let used = self.inside.get(self.inside.len().checked_sub(each * n)?..)?;
        let (first, last) = (used.get(..each)?, used.get(used.len().checked_sub(each)?..)?);
        let growth = lowest_counted(last) - lowest_counted(first);
        if growth < i64::from(self.params.min_growth) {
            return None;
        }
        let base = base(self).max(i64::from(self.params.min_base));
        (float(base + growth) > self.window.ratio * float(base)).then(|| float(growth))
    }

    const fn tuning(&self) -> &Tuning {
        &self.params.tuning
    }

    fn lowest(&self) -> i64 {
        lowest(self.inside)
    }

    fn lowest_of_the_day_before(&self) -> i64 {
        let from = self.before.len().saturating_sub(self.history.buckets(DAY));
        let day = self.before.get(from..).unwrap_or_default();
        if day.is_empty() { self.lowest() } else { lowest(day).min(self.lowest()) }
    }

    fn is_one_life(&self) -> bool {
        self.inside.first().map(|floor| floor.life) == self.inside.last().map(|floor| floor.life)
    }

    /// The floor has never been as high as it is now.
    fn is_above_the_past(&self, last: i64, growth: f64) -> bool {
        self.before.is_empty() || {
            float(last - highest_counted(self.before)) >= self.tuning().above_past * growth
        }
    }

    /// A day before the window is known, and no window in it grew by nearly as much.
    fn past_has_nothing_like(&self, growth: f64, factor: f64) -> bool {
        let (hour, span) = (self.history.buckets(HOUR), self.inside.len());
        if self.before.len() < self.history.buckets(26 * HOUR) {
            return false;
        }
        let hours: Vec<i64> = self.before.chunks_exact(hour).map(lowest_counted).collect();
        let apart = (span / hour).saturating_sub(1);
        let most = hours.iter().zip(hours.iter().skip(apart)).map(|(from, to)| to - from).max();
        growth >= factor * float(most.unwrap_or_default())
    }

    /// Where lives were put end to end: what fills after a start slows down within each life.
    fn goes_on_in_each_life(&self) -> bool {
        let tuning = self.tuning();
        if self.is_one_life() && self.inside.iter().all(|floor| !floor.warming) {
            return true;
        }
        let lives: Vec<&[Floor]> = self.inside.chunk_by(|a, b| a.life == b.life).collect();
        // A restart may have been the cure.
        if lives.last().is_none_or(|present| Life::of(present).is_none()) {
            return false;
        }
        let lives: Vec<Life> = lives.into_iter().filter_map(Life::of).collect();
        let first: i64 = lives.iter().map(|life| life.first_half).sum();
        let second: i64 = lives.iter().map(|life| life.second_half).sum();
        let long: i64 = lives.iter().map(|life| life.buckets).sum();
        let mean = float(first + second) / float(long.max(1));
        let grows = |life: &Life| {
            life.buckets < 5
                || float(life.first_half + life.second_half)
                    >= tuning.life_growth * mean * float(life.buckets)
        };
        first + second > 0
            && float(second) >= tuning.life_later_half * float(first + second)
            && lives.iter().all(grows)
    }

    /// It is the same wave every day, each higher than the one before.
    fn is_a_rising_wave(&self, day: usize) -> bool {
        let part = self.history.buckets(2 * HOUR);
        let floors: Vec<i64> = self.inside.chunks_exact(part).map(lowest_counted).collect();
        let a_day = (day / part).max(1);
        let pairs = || floors.iter().zip(floors.iter().skip(a_day));
        let higher = pairs().filter(|(before, after)| after > before).count();
        let shapes: Vec<Vec<i64>> = floors.chunks_exact(a_day).map(above_lowest).collect();
        let size: i64 = shapes.iter().flatten().sum();
        let difference: i64 = shapes
            .iter()
            .zip(shapes.iter().skip(1))
            .flat_map(|(day, next)| day.iter().zip(next))
            .map(|(now, then)| (now - then).abs())
            .sum();
        let tuning = self.tuning();
        #[expect(clippy::cast_precision_loss, reason = "a share of a few hundred")]
        let share = higher as f64 / pairs().count().max(1) as f64;
        share >= tuning.days_wave_higher
            && float(difference) <= tuning.days_wave_change * float(size)
    }

    /// How far the floor of so long a time ever fell.
    fn deepest_fall(&self, span: Duration) -> i64 {
        let every = self.history.buckets(span / 12);
        let all = self.history.floors();
        let (mut top, mut fall) = (i64::MIN, 0);
        for window in all.windows(self.history.buckets(span)).step_by(every) {
            let floor = lowest_counted(window);
            top = top.max(floor);
            fall = fall.max(top - floor);
        }
        fall
    }
}

/// What one life grew by, without its warm-up.
struct Life {
    first_half: i64,
    second_half: i64,
    buckets: i64,
}

impl Life {
    /// None if it is too short to tell.
    fn of(floors: &[Floor]) -> Option<Self> {
        let from = floors.iter().position(|floor| !floor.warming)?;
        let grown = floors.get(from..).filter(|grown| grown.len() >= 6)?;
        let counted = |at: usize| grown.get(at).map(|floor| i64::from(floor.counted));
        let (first, middle) = (counted(0)?, counted(grown.len() / 2)?);
        let last = counted(grown.len() - 1)?;
        let buckets = i64::try_from(grown.len()).ok()? - 1;
        Some(Self { first_half: middle - first, second_half: last - middle, buckets })
    }
}

fn lowest_counted(floors: &[Floor]) -> i64 {
    floors.iter().map(|floor| i64::from(floor.counted)).min().unwrap_or_default()
}

fn highest_counted(floors: &[Floor]) -> i64 {
    floors.iter().map(|floor| i64::from(floor.counted)).max().unwrap_or_default()
}

fn lowest(floors: &[Floor]) -> i64 {
    floors.iter().map(|floor| i64::from(floor.raw)).min().unwrap_or_default()
}

fn steps(parts: &[i64]) -> Vec<i64> {
    parts.iter().zip(parts.iter().skip(1)).map(|(a, b)| b - a).collect()
}

fn rise_of(parts: &[i64]) -> i64 {
    parts.last().zip(parts.first()).map_or(0, |(last, first)| last - first)
}

fn above_lowest(parts: &[i64]) -> Vec<i64> {
    let lowest = parts.iter().min().copied().unwrap_or_default();
    parts.iter().map(|part| part - lowest).collect()
}

fn later_less_earlier(days: &[i64]) -> f64 {
    let half = days.len() / 2;
    let later: i64 = days.iter().rev().take(half).sum();
    let earlier: i64 = days.iter().take(half).sum();
    float(later - earlier)
}

/// The largest distance from the line of least squares.
fn farthest_from_line(parts: &[i64]) -> f64 {
    let n = count(parts);
    let middle = (n - 1.0) / 2.0;
    let mean = float(parts.iter().sum()) / n;
    let points =
        || parts.iter().zip(0_u32..).map(|(y, x)| (f64::from(x) - middle, float(*y) - mean));
    let (xy, xx) = points().fold((0.0, 0.0), |(xy, xx), (x, y)| (xy + x * y, xx + x * x));
    let slope = xy / xx;
    points().map(|(x, y)| (y - slope * x).abs()).fold(0.0, f64::max)
}

fn count(parts: &[i64]) -> f64 {
    float(i64::try_from(parts.len()).unwrap_or(i64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "numbers of goroutines are far below 2^53")]
fn float(n: i64) -> f64 {
    n as f64
}
