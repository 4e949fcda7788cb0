//! What `/debug/vars`, or else the heap profile, says of memory and pauses, over time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::histogram::{GcNanoseconds, Histogram};
use super::service::Collector;
use crate::model::memstats::MemStats;
use crate::model::snapshot::{Quantiles, Text};

/// Pauses that the runtime keeps (src/runtime/mstats.go, `PauseNs [256]uint64`).
const RING: u64 = 256;

/// Quantiles of go_gc_duration_seconds, as client_golang has them.
const QUANTILES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// In a second.
const NANOSECONDS: f64 = 1e9;

/// State made of memstats reads.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemState {
    /// Says nothing of a later moment, so it is not saved.
    #[serde(skip)]
    last: Option<MemStats>,
    seen: Option<Seen>,
    watching_since_ns: u64,
    stw: Histogram<GcNanoseconds>,
    missed: u64,
}

/// The newest cycle whose pause was counted, and what only rises while a process lives.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
struct Seen {
    num_gc: u64,
    pause_end_ns: u64,
    pause_total_ns: u64,
    total_alloc: u64,
    mallocs: u64,
}

impl MemState {
    /// `watching_since_ns`: pauses that ended before (nanoseconds since 1970) are not ours to count.
    #[must_use]
    pub fn new(watching_since_ns: u64) -> Self {
        Self { watching_since_ns, ..Self::default() }
    }

    /// Takes a read; gives true if it shows that the service was started anew.
    pub fn observe(&mut self, stats: MemStats) -> bool {
        let restarted = self.pauses(&stats);
        self.last = Some(stats);
        restarted
    }

    /// The last read failed: what was read before says nothing of now.
    pub fn failed(&mut self) {
        self.last = None;
    }

    fn pauses(&mut self, stats: &MemStats) -> bool {
        let Some(num_gc) = stats.num_gc else { return false };
        let restarted = self.seen.is_some_and(|seen| is_other_process(&seen, stats, num_gc));
        let (from, not_before) = match self.seen {
            Some(seen) if !restarted => (seen.num_gc, 0),
            Some(_) => (0, 0),
            None => (0, self.watching_since_ns),
        };
        let first_look = self.seen.is_none();
        let mut counted = 0;
        for cycle in (from..num_gc).rev().take(usize::try_from(RING).unwrap_or(usize::MAX)) {
            let Some((pause, end)) = pause(stats, cycle) else { break };
            if end < not_before {
                break;
            }
            self.stw.observe(pause);
            counted += 1;
        }
        if !first_look {
            self.missed += (num_gc - from) - counted;
        }
        let pause_end_ns =
            num_gc.checked_sub(1).and_then(|newest| pause(stats, newest)).map_or(0, |(_, end)| end);
        self.seen = Some(Seen {
            num_gc,
            pause_end_ns,
            pause_total_ns: stats.pause_total_ns.unwrap_or_default(),
            total_alloc: stats.total_alloc.unwrap_or_default(),
            mallocs: stats.mallocs.unwrap_or_default(),
        });
        restarted
    }

    /// Gives the series; `by_size`: also the size classes.
    pub fn collect(&self, by_size: bool, out: &mut Collector) {
        out.histogram(Metric::GcStwSeconds, &[], &self.stw);
        out.count(Metric::GcPausesMissed, &[], self.missed);
        let Some(stats) = &self.last else { return };
        for (metric, value) in scalars(stats) {
            if let Some(value) = value {
                out.count(metric, &[], value);
            }
        }
        if let Some(last_gc) = stats.last_gc_ns {
            #[expect(
                clippy::cast_precision_loss,
                reason = "seconds since 1970; microseconds remain"
            )]
            out.float(Metric::MemLastGcTime, &[], last_gc as f64 / NANOSECONDS);
        }
        if let Some(fraction) = stats.gc_cpu_fraction {
            out.float(Metric::MemGcCpuFraction, &[], fraction);
            out.float(Metric::GcCpuRatio, &[], fraction);
        }
        if let Some(quantiles) = quantiles(stats) {
            out.quantiles(Metric::GcDuration, quantiles);
        }
        if by_size {
            size_classes(stats, out);
        }
    }
}

/// A total went back; or the pause that was newest at the last look is gone from its place in the
/// ring, though it cannot have been overwritten yet.
fn is_other_process(seen: &Seen, stats: &MemStats, num_gc: u64) -> bool {
    let went_back = |now: Option<u64>, before: u64| now.is_some_and(|now| now < before);
    if num_gc < seen.num_gc
        || went_back(stats.pause_total_ns, seen.pause_total_ns)
        || went_back(stats.total_alloc, seen.total_alloc)
        || went_back(stats.mallocs, seen.mallocs)
    {
        return true;
    }
    let Some(cycle) = seen.num_gc.checked_sub(1) else { return false };
    num_gc - cycle <= RING && pause(stats, cycle).is_some_and(|(_, end)| end != seen.pause_end_ns)
}

/// Length and end of a cycle's pause (cycles from 0), if the ring holds it.
fn pause(stats: &MemStats, cycle: u64) -> Option<(u64, u64)> {
    let at = usize::try_from(cycle % RING).ok()?;
    // The heap profile has no ends until Go 1.8.
    let end = stats.pause_end_ns.get(at).copied();
    let end = if stats.pause_end_ns.is_empty() { Some(0) } else { end };
    Some((*stats.pause_ns.get(at)?, end?))
}

/// As client_golang computes them (runtime/debug.ReadGCStats): over the pauses in the ring.
fn quantiles(stats: &MemStats) -> Option<Quantiles> {
    let (count, total) = (stats.num_gc?, stats.pause_total_ns?);
    let kept = usize::try_from(count.min(RING)).ok()?;
    let mut pauses: Vec<u64> = stats.pause_ns.iter().take(kept).copied().collect();
    pauses.sort_unstable();
    let steps = QUANTILES.len() - 1;
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of pauses are far below 2^53")]
    let value = |step: usize| {
        let at = (pauses.len() * step / steps).min(pauses.len().saturating_sub(1));
        pauses.get(at).map_or(0.0, |ns| *ns as f64 / NANOSECONDS)
    };
    let values = QUANTILES.iter().enumerate().map(|(step, q)| (*q, value(step))).collect();
    #[expect(clippy::cast_precision_loss, reason = "2^53 ns of pauses are 104 days")]
    let sum = total as f64 / NANOSECONDS;
    Some(Quantiles { values, sum, count })
}

fn scalars(stats: &MemStats) -> [(Metric, Option<u64>); 25] {
    [
        (Metric::MemAlloc, stats.alloc),
        (Metric::MemAllocTotal, stats.total_alloc),
        (Metric::MemSys, stats.sys),
        (Metric::MemLookups, stats.lookups),
        (Metric::MemMallocs, stats.mallocs),
        (Metric::MemFrees, stats.frees),
        (Metric::MemHeapAlloc, stats.heap_alloc),
        (Metric::MemHeapSys, stats.heap_sys),
        (Metric::MemHeapIdle, stats.heap_idle),
        (Metric::MemHeapInuse, stats.heap_inuse),
        (Metric::MemHeapReleased, stats.heap_released),
        (Metric::MemHeapObjects, stats.heap_objects),
        (Metric::MemStackInuse, stats.stack_inuse),
        (Metric::MemStackSys, stats.stack_sys),
        (Metric::MemMspanInuse, stats.mspan_inuse),
        (Metric::MemMspanSys, stats.mspan_sys),
        (Metric::MemMcacheInuse, stats.mcache_inuse),
        (Metric::MemMcacheSys, stats.mcache_sys),
        (Metric::MemBuckHashSys, stats.buck_hash_sys),
        (Metric::MemGcSys, stats.gc_sys),
        (Metric::MemOtherSys, stats.other_sys),
        (Metric::MemNextGc, stats.next_gc),
        (Metric::GcCyclesForced, stats.num_forced_gc),
        (
            Metric::GcCyclesAutomatic,
            stats.num_gc.zip(stats.num_forced_gc).map(|(all, forced)| all.saturating_sub(forced)),
        ),
        (Metric::GcCyclesTotal, stats.num_gc),
    ]
}

fn size_classes(stats: &MemStats, out: &mut Collector) {
    let label = |size: u64| vec![Text::Shared(Arc::from(size.to_string()))];
    // The first class is empty in every release.
    for class in stats.by_size.iter().filter(|class| class.size > 0) {
        out.shared(Metric::MemBySizeMallocs, label(class.size), class.mallocs);
    }
    for class in stats.by_size.iter().filter(|class| class.size > 0) {
        out.shared(Metric::MemBySizeFrees, label(class.size), class.frees);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service whose cycle `n` (from 0) paused `n + 1` ns and ended at `start + n`.
    fn stats(num_gc: u64, start: u64) -> MemStats {
        let mut stats =
            MemStats { num_gc: Some(num_gc), pause_total_ns: Some(0), ..MemStats::default() };
        stats.pause_ns = vec![0; 256];
        stats.pause_end_ns = vec![0; 256];
        for cycle in num_gc.saturating_sub(256)..num_gc {
            stats.pause_ns[(cycle % 256) as usize] = cycle + 1;
            stats.pause_end_ns[(cycle % 256) as usize] = start + cycle;
        }
        stats
    }

    fn counted(state: &MemState) -> u64 {
        state.stw.snapshot().counts.iter().sum()
    }

    #[test]
    fn every_pause_since_the_last_read_is_counted_once_and_an_overrun_as_missed() {
        let mut state = MemState::new(1000);
        assert!(!state.observe(stats(10, 1000)));
        assert_eq!((counted(&state), state.missed), (10, 0));
        state.observe(stats(10, 1000));
        state.observe(stats(266, 1000));
        assert_eq!((counted(&state), state.missed), (266, 0));
        state.observe(stats(1266, 1000));
        assert_eq!((counted(&state), state.missed), (522, 744));
    }

    #[test]
    fn pauses_from_before_we_watched_are_not_counted() {
        let mut state = MemState::new(1007);
        state.observe(stats(10, 1000));
        assert_eq!((counted(&state), state.missed), (3, 0));
    }

    #[test]
    fn a_restart_is_seen_by_the_number_and_by_the_ring() {
        let mut state = MemState::new(1000);
        state.observe(stats(10, 1000));
        assert!(state.observe(stats(4, 5000)), "fewer cycles");
        assert_eq!(counted(&state), 14);
        assert!(state.observe(stats(20, 9000)), "more cycles, but other ones");
        assert_eq!((counted(&state), state.missed), (34, 0));
    }

    #[test]
    fn a_restart_that_the_ring_cannot_show_is_seen_by_any_total() {
        let totals = |num_gc, alloc, mallocs, pause_total| MemStats {
            total_alloc: Some(alloc),
            mallocs: Some(mallocs),
            pause_total_ns: Some(pause_total),
            ..stats(num_gc, 5000)
        };
        let before = totals(10, 100, 100, 100);
        for (after, restarted) in [
            (totals(900, 100, 100, 100), false),
            (totals(900, 99, 100, 100), true),
            (totals(900, 100, 99, 100), true),
            (totals(900, 100, 100, 99), true),
        ] {
            let mut state = MemState::new(0);
            state.observe(before.clone());
            assert_eq!(state.observe(after.clone()), restarted, "{after:?}");
        }
    }

    #[test]
    fn quantiles_are_those_of_read_gc_stats() {
        let quantiles = quantiles(&stats(5, 0)).unwrap();
        let nanoseconds: Vec<f64> =
            quantiles.values.iter().map(|(_, v)| (v * 1e9).round()).collect();
        assert_eq!(nanoseconds, [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(super::quantiles(&stats(0, 0)).unwrap().values[4], (1.0, 0.0));
    }
}
