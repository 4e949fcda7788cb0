//! What schedtrace lines and scheddetail blocks say, over time.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::dump::DumpCost;
use super::histogram::{Goroutines, Histogram, RatioBillionths, SampleIntervalMilliseconds};
use super::service::Collector;
use super::tally::Tally;
use super::ticks::Ticks;
use crate::model::record::{DetailBlock, Sched, SchedSummary, proc_status};
use crate::model::snapshot::Text;

/// A sample older than this many intervals says nothing of now.
const FRESH_INTERVALS: u32 = 3;

/// … but never less than this: an interval is known only after two samples.
const FRESH_MIN: Duration = Duration::from_secs(60);

/// Most Ps that get a series of their own, when that is asked for.
const P_SERIES_MAX: usize = 1024;

/// A ratio is kept in billionths.
const RATIO_PARTS: u64 = 1_000_000_000;

/// With an interval of at least this, a process does not print 0 ms twice: it would have to be
/// stopped for as long between two instructions.
const INTERVAL_DISTINCT: Duration = Duration::from_millis(500);

/// State made of SCHED lines.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedState {
    last: Option<Sample>,
    detail: Option<Detail>,
    interval: Duration,
    /// Samples in a row with the uptime of the one before.
    repeats: u32,
    /// Something between the last sample and the next was not read.
    gap: bool,
    samples: u64,
    saturated: u64,
    ticks: Ticks,
    syscalls: Ticks,
    runnable: Histogram<Goroutines>,
    busy: Histogram<RatioBillionths>,
    between: Histogram<SampleIntervalMilliseconds>,
    reasons_over: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sample {
    summary: SchedSummary,
    queues: Vec<u32>,
    at: Duration,
}

/// What only a scheddetail block has.
#[derive(Debug, Serialize, Deserialize)]
struct Detail {
    tally: Tally,
    procs: Vec<u64>,
    timers: Option<u64>,
    at: Duration,
}

impl SchedState {
    /// Takes a schedtrace record; gives true if it shows that the service was started anew.
    pub fn observe(&mut self, sched: Sched, now: Duration) -> bool {
        let ticks = sched.schedticks.unwrap_or_default();
        let restarted = self.is_other_process(sched.summary.uptime_ms, &ticks, &[]);
        self.sample(sched.summary, sched.local_runqueues, restarted, now);
        self.ticks.advance(&ticks);
        restarted
    }

    /// Takes a scheddetail record; gives true if it shows that the service was started anew.
    pub fn observe_detail(&mut self, block: DetailBlock<Tally>, now: Duration) -> bool {
        let queues = block.procs.iter().map(|p| p.runqsize).collect();
        let ticks: Vec<u32> = block.procs.iter().map(|p| p.schedtick).collect();
        let syscalls: Vec<u32> = block.procs.iter().map(|p| p.syscalltick).collect();
        let restarted = self.is_other_process(block.head.summary.uptime_ms, &ticks, &syscalls);
        self.sample(block.head.summary, queues, restarted, now);
        self.ticks.advance(&ticks);
        self.syscalls.advance(&syscalls);
        let mut procs = vec![0; PROC_STATES.len()];
        for p in &block.procs {
            let state = PROC_STATES.iter().position(|s| *s == proc_status(p.status));
            if let Some(count) = state.and_then(|at| procs.get_mut(at)) {
                *count += 1;
            }
        }
        let timers = block.procs.iter().map(|p| p.timerslen.map(u64::from)).sum();
        let mut tally = block.dump;
        tally.settle();
        self.reasons_over += tally.reasons_over;
        self.detail = Some(Detail { tally, procs, timers, at: now });
        restarted
    }

    /// The service was started anew: its ticks begin at 0 and its uptime is not compared.
    pub fn restarted(&mut self) {
        self.last = None;
        self.detail = None;
        self.repeats = 0;
        self.ticks.restart();
        self.syscalls.restart();
    }

    /// Something was not read, nobody knows how much.
    pub fn gap(&mut self) {
        self.gap = true;
        self.ticks.gap();
        self.syscalls.gap();
    }

    /// The uptime went back, or stands still though the interval is too long for that; or it went
    /// on, but the ticks cannot have come so far in that time.
    fn is_other_process(&mut self, uptime_ms: u64, ticks: &[u32], syscalls: &[u32]) -> bool {
        let Some(before) = self.last.as_ref().map(|last| last.summary.uptime_ms) else {
            return false;
        };
        let Some(elapsed_ms) = uptime_ms.checked_sub(before) else { return true };
        self.repeats = if elapsed_ms == 0 { self.repeats + 1 } else { 0 };
        // sysmon looks at the clock, and schedtrace again, maybe much later: so a process can print
        // a time twice, but never thrice (src/runtime/proc.go).
        let stands_still = self.repeats > 1
            || self.repeats > 0 && uptime_ms == 0 && self.interval >= INTERVAL_DISTINCT;
        stands_still
            || !self.ticks.can_become(ticks, elapsed_ms)
            || !self.syscalls.can_become(syscalls, elapsed_ms)
    }

    fn sample(&mut self, summary: SchedSummary, queues: Vec<u32>, restarted: bool, now: Duration) {
        if restarted {
            self.restarted();
        } else if let Some(last) = self.last.as_ref().filter(|_| !self.gap) {
            let elapsed_ms = summary.uptime_ms.saturating_sub(last.summary.uptime_ms);
            self.interval = Duration::from_millis(elapsed_ms);
            self.between.observe(elapsed_ms);
        }
        self.gap = false;
        let runnable = runnable(&summary, &queues);
        self.samples += 1;
        self.saturated += u64::from(runnable > 0 && summary.idleprocs <= 0);
        self.runnable.observe(runnable);
        let procs = u64::from(summary.gomaxprocs.max(1));
        let busy = procs.saturating_sub(u64::try_from(summary.idleprocs).unwrap_or(0));
        self.busy.observe(busy * RATIO_PARTS / procs);
        self.last = Some(Sample { summary, queues, at: now });
    }

    /// The number of goroutines, if a scheddetail block said it lately.
    #[must_use]
    pub fn goroutines(&self, now: Duration) -> Option<u64> {
        let detail = self.detail.as_ref().filter(|detail| self.is_fresh(detail.at, now))?;
        Some(detail.tally.alive)
    }

    /// What the last scheddetail block cost, once two samples tell how often there is one.
    #[must_use]
    pub fn dump_cost(&self) -> Option<DumpCost> {
        let detail = self.detail.as_ref().filter(|_| !self.interval.is_zero())?;
        let goroutines = detail.tally.goroutines.values().sum();
        Some(DumpCost { goroutines, every: self.interval })
    }

    fn is_fresh(&self, at: Duration, now: Duration) -> bool {
        now.saturating_sub(at) <= FRESH_MIN.max(self.interval * FRESH_INTERVALS)
    }

    /// Gives the series; `per_p`: also one a P.
    pub fn collect(&self, now: Duration, per_p: bool, out: &mut Collector) {
        out.count(Metric::SchedSamples, &[], self.samples);
        out.count(Metric::SchedSaturatedSamples, &[], self.saturated);
        out.count(Metric::SchedTicks, &[], self.ticks.total());
        out.count(Metric::SchedSyscallTicks, &[], self.syscalls.total());
        out.count(Metric::SchedReasonsOver, &[], self.reasons_over);
        out.histogram(Metric::SchedRunnable, &[], &self.runnable);
        out.histogram(Metric::SchedBusyRatio, &[], &self.busy);
        out.histogram(Metric::SchedSampleIntervalSeconds, &[], &self.between);
        if let Some(last) = self.last.as_ref().filter(|last| self.is_fresh(last.at, now)) {
            last.collect(per_p, out);
        }
        if let Some(detail) = self.detail.as_ref().filter(|detail| self.is_fresh(detail.at, now)) {
            detail.collect(out);
            if let Some(cost) = self.dump_cost() {
                out.float(Metric::SchedDetailStoppedRatio, &[], cost.share());
            }
        }
    }
}

/// Goroutines that could run and do not. The runtime reads its counters without a lock, so one
/// of them may be below 0 for a moment.
fn runnable(summary: &SchedSummary, queues: &[u32]) -> u64 {
    let global = u64::try_from(summary.runqueue).unwrap_or(0);
    global + local(queues)
}

fn local(queues: &[u32]) -> u64 {
    queues.iter().map(|n| u64::from(*n)).sum()
}

impl Sample {
    fn collect(&self, per_p: bool, out: &mut Collector) {
        let summary = &self.summary;
        out.count(Metric::SchedGomaxprocs, &[], summary.gomaxprocs.into());
        out.signed(Metric::SchedIdleProcs, summary.idleprocs);
        out.signed(Metric::SchedThreads, summary.threads);
        out.signed(Metric::SchedIdleThreads, summary.idlethreads);
        out.signed(Metric::SchedSpinningThreads, summary.spinningthreads);
        out.count(Metric::SchedRunqueue, &["global"], u64::try_from(summary.runqueue).unwrap_or(0));
        out.count(Metric::SchedRunqueue, &["local"], local(&self.queues));
        out.count(
            Metric::SchedRunqueueLocalMax,
            &[],
            self.queues.iter().max().copied().unwrap_or(0).into(),
        );
        if per_p {
            for (p, queue) in self.queues.iter().take(P_SERIES_MAX).enumerate() {
                out.shared(
                    Metric::SchedRunqueueP,
                    vec![Text::Shared(Arc::from(p.to_string()))],
                    u64::from(*queue),
                );
            }
        }
    }
}

/// The label values of a P's status, in the order of the counts.
const PROC_STATES: [&str; 6] = ["idle", "running", "syscall", "gcstop", "dead", "unknown"];

impl Detail {
    fn collect(&self, out: &mut Collector) {
        for ((state, reason), n) in &self.tally.goroutines {
            out.shared(
                Metric::SchedGoroutines,
                vec![Text::Static(state), Text::Shared(Arc::clone(reason))],
                *n,
            );
        }
        for (state, n) in PROC_STATES.iter().zip(&self.procs) {
            if *state != "unknown" || *n > 0 {
                out.count(Metric::SchedProcs, &[state], *n);
            }
        }
        if let Some(timers) = self.timers {
            out.count(Metric::SchedTimers, &[], timers);
        }
        out.count(Metric::SchedBlockedThreads, &[], self.tally.blocked_threads);
        out.count(Metric::SchedGoroutinesCreated, &[], self.tally.highest_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_counted_and_a_restart_is_seen() {
        let mut state = SchedState::default();
        let sample = |uptime_ms, idleprocs, runqueue, queues: &[u32]| Sched {
            summary: SchedSummary {
                uptime_ms,
                gomaxprocs: 2,
                idleprocs,
                runqueue,
                ..SchedSummary::default()
            },
            local_runqueues: queues.to_vec(),
            ..Sched::default()
        };
        assert!(!state.observe(sample(0, 2, 0, &[0, 0]), Duration::ZERO));
        assert!(!state.observe(sample(1000, 0, 0, &[0, 3]), Duration::ZERO));
        assert!(!state.observe(sample(2000, 0, -1, &[0, 0]), Duration::ZERO));
        assert!(state.observe(sample(10, 0, 1, &[0, 0]), Duration::ZERO));
        assert_eq!((state.samples, state.saturated), (4, 2));
        assert_eq!(*state.runnable.snapshot().counts.first().unwrap(), 2);
        let between = state.between.snapshot();
        assert_eq!((between.counts.iter().sum::<u64>(), between.sum), (2, 2.0), "none across it");
    }
}
