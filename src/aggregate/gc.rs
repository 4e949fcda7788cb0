//! What gctrace lines say, over time.

use std::time::Duration;

use super::catalog::Metric;
use super::histogram::{GC_INTERVAL_SECONDS, GC_SECONDS, Histogram};
use super::service::Collector;
use crate::model::record::{Gc, Milli};

/// A heap figure older than this says nothing of now: a cycle is forced after two minutes.
const FRESH: Duration = Duration::from_secs(300);

/// A goal above this many MiB (4 EiB) is the runtime's way to print that there is none (GOGC=off).
const NO_GOAL_MB: u64 = 1 << 42;

/// In a second. gctrace prints milliseconds with three places, and moments in thousandths of a
/// second.
const MICROSECONDS: f64 = 1e6;
const MILLISECONDS: f64 = 1e3;

/// State made of gctrace lines.
#[derive(Debug)]
pub struct GcState {
    last: Option<(Gc, Duration)>,
    automatic: u64,
    forced: u64,
    missed: u64,
    sweep_termination: Histogram,
    mark: Histogram,
    mark_termination: Histogram,
    stw: Histogram,
    interval: Histogram,
    cpu: CpuMicros,
}

/// CPU time by phase, in microseconds, so that sums are exact.
#[derive(Debug, Default)]
struct CpuMicros {
    sweep_termination: u64,
    assist: u64,
    background: u64,
    idle: u64,
    mark_termination: u64,
}

impl Default for GcState {
    fn default() -> Self {
        let seconds = || Histogram::new(GC_SECONDS, MICROSECONDS);
        Self {
            last: None,
            automatic: 0,
            forced: 0,
            missed: 0,
            sweep_termination: seconds(),
            mark: seconds(),
            mark_termination: seconds(),
            stw: seconds(),
            interval: Histogram::new(GC_INTERVAL_SECONDS, MILLISECONDS),
            cpu: CpuMicros::default(),
        }
    }
}

impl GcState {
    /// Takes a record; gives true if it shows that the service was started anew.
    pub fn observe(&mut self, gc: Gc, now: Duration) -> bool {
        let restarted = self.last.as_ref().is_some_and(|(last, _)| gc.cycle <= last.cycle);
        if restarted {
            self.last = None;
        }
        if let Some((last, _)) = &self.last {
            let skipped = u64::from(gc.cycle - last.cycle - 1);
            self.missed += skipped;
            if skipped == 0 {
                self.interval.observe(gc.at_s.0.saturating_sub(last.at_s.0));
            }
        }
        if gc.forced {
            self.forced += 1
        } else {
            self.automatic += 1
        }
        self.times(&gc);
        self.last = Some((gc, now));
        restarted
    }

    /// The service was started anew: the next cycle number is not compared with the last.
    pub fn restarted(&mut self) {
        self.last = None;
    }

    fn times(&mut self, gc: &Gc) {
        let (clock, cpu) = (&gc.clock_ms, &gc.cpu_ms);
        // Go 1.5's scan and write barrier phases run beside the program, as marking does.
        let early = |scan: Option<Milli>, barrier: Option<Milli>| {
            scan.unwrap_or_default().0 + barrier.unwrap_or_default().0
        };
        let mark = clock.mark.0 + early(clock.scan, clock.install_write_barrier);
        self.sweep_termination.observe(clock.sweep_termination.0);
        self.mark.observe(mark);
        self.mark_termination.observe(clock.mark_termination.0);
        self.stw.observe(clock.sweep_termination.0 + clock.mark_termination.0);
        self.cpu.sweep_termination += cpu.sweep_termination.0;
        self.cpu.assist += cpu.assist.0;
        self.cpu.background += cpu.background.0 + early(cpu.scan, cpu.install_write_barrier);
        self.cpu.idle += cpu.idle.0;
        self.cpu.mark_termination += cpu.mark_termination.0;
    }

    /// Gives the series. `memstats`: expvar gives the exact pauses and CPU share, so that these
    /// are not given twice.
    pub fn collect(&self, now: Duration, memstats: bool, out: &mut Collector) {
        out.count(Metric::GcCycles, &["automatic"], self.automatic);
        out.count(Metric::GcCycles, &["forced"], self.forced);
        out.count(Metric::GcRecordsMissed, &[], self.missed);
        out.histogram(Metric::GcPhaseSeconds, &["sweep_termination"], &self.sweep_termination);
        out.histogram(Metric::GcPhaseSeconds, &["mark"], &self.mark);
        out.histogram(Metric::GcPhaseSeconds, &["mark_termination"], &self.mark_termination);
        out.histogram(Metric::GcIntervalSeconds, &[], &self.interval);
        if !memstats {
            out.histogram(Metric::GcStwSeconds, &[], &self.stw);
        }
        let cpu = [
            ("sweep_termination", self.cpu.sweep_termination),
            ("assist", self.cpu.assist),
            ("background", self.cpu.background),
            ("idle", self.cpu.idle),
            ("mark_termination", self.cpu.mark_termination),
        ];
        for (phase, micros) in cpu {
            out.float(Metric::GcCpuSeconds, &[phase], seconds(micros));
        }
        if let Some((last, _)) =
            self.last.as_ref().filter(|(_, at)| now.saturating_sub(*at) <= FRESH)
        {
            last_cycle(last, memstats, out);
        }
    }
}

fn last_cycle(gc: &Gc, memstats: bool, out: &mut Collector) {
    out.count(Metric::GcHeapStartBytes, &[], mib(gc.heap_start_mb));
    out.count(Metric::GcHeapEndBytes, &[], mib(gc.heap_end_mb));
    out.count(Metric::GcHeapLiveBytes, &[], mib(gc.heap_live_mb));
    if gc.goal_mb < NO_GOAL_MB {
        out.count(Metric::GcHeapGoalBytes, &[], mib(gc.goal_mb));
    }
    if let Some(stacks) = gc.stacks_mb {
        out.count(Metric::GcStacksBytes, &[], mib(stacks));
    }
    if let Some(globals) = gc.globals_mb {
        out.count(Metric::GcGlobalsBytes, &[], mib(globals));
    }
    if !memstats {
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        out.float(Metric::GcCpuRatio, &[], gc.cpu_percent as f64 / 100.0);
    }
}

fn mib(n: u64) -> u64 {
    n.saturating_mul(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / MICROSECONDS
}
