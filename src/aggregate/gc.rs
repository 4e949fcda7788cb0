//! What gctrace lines say, over time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::histogram::{GcIntervalMilliseconds, GcMicroseconds, Histogram};
use super::service::Collector;
use crate::model::record::{Gc, Milli};

/// A heap figure older than this says nothing of now: a cycle is forced after two minutes.
const FRESH: Duration = Duration::from_secs(300);

/// A goal above this many MiB (4 EiB) is the runtime's way to print that there is none (GOGC=off).
const NO_GOAL_MB: u64 = 1 << 42;

/// In a second, as gctrace prints CPU times: milliseconds with three places.
const MICROSECONDS: f64 = 1e6;

/// State made of gctrace lines.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GcState {
    last: Option<(Gc, Duration)>,
    /// Where the process before came to: it may not have ended, but share its stderr with the new one.
    before: Option<Place>,
    /// Something between the last record and the next was not read.
    gap: bool,
    automatic: u64,
    forced: u64,
    missed: u64,
    sweep_termination: Histogram<GcMicroseconds>,
    mark: Histogram<GcMicroseconds>,
    mark_termination: Histogram<GcMicroseconds>,
    stw: Histogram<GcMicroseconds>,
    interval: Histogram<GcIntervalMilliseconds>,
    cpu: CpuMicros,
}

/// How far a process has come.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Place {
    cycle: u32,
    at_s: Milli,
}

/// CPU time by phase, in microseconds, so that sums are exact.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct CpuMicros {
    sweep_termination: u64,
    assist: u64,
    background: u64,
    idle: u64,
    mark_termination: u64,
}

impl GcState {
    /// Takes a record; gives true if it shows that the service was started anew.
    pub fn observe(&mut self, gc: Gc, now: Duration) -> bool {
        let place = Place { cycle: gc.cycle, at_s: gc.at_s };
        let last = self.last.as_ref().map(|(last, _)| Place { cycle: last.cycle, at_s: last.at_s });
        let restarted = match (last, self.before) {
            (Some(last), Some(before)) if !last.is_next(place) && before.is_next(place) => {
                // Two processes take turns.
                self.before = Some(last);
                if !self.gap {
                    self.interval.observe(place.at_s.0 - before.at_s.0);
                }
                false
            }
            (Some(last), _) if last.is_before(place) => {
                self.missed += u64::from(place.cycle - last.cycle - 1);
                if last.is_next(place) && !self.gap {
                    self.interval.observe(place.at_s.0 - last.at_s.0);
                }
                false
            }
            (Some(last), _) => {
                self.before = Some(last);
                self.missed += place.cycles_before();
                true
            }
            // Another source saw the new process: its first cycles were missed, unless the old one
            // goes on.
            (None, Some(before)) if !before.is_before(place) => {
                self.missed += place.cycles_before();
                false
            }
            (None, _) => false,
        };
        self.gap = false;
        if gc.forced {
            self.forced += 1
        } else {
            self.automatic += 1
        }
        self.times(&gc);
        self.last = Some((gc, now));
        restarted
    }

    /// The service was started anew: the next cycle is not measured against the last.
    pub fn restarted(&mut self) {
        if let Some((last, _)) = self.last.take() {
            self.before = Some(Place { cycle: last.cycle, at_s: last.at_s });
        }
    }

    /// Something was not read, nobody knows how much.
    pub fn gap(&mut self) {
        self.gap = true;
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

impl Place {
    /// The runtime's clock is monotonic, and its cycles have numbers without a gap from 1 on
    /// (src/runtime/mgc.go, gcMarkTermination).
    fn is_before(self, next: Self) -> bool {
        self.cycle < next.cycle && self.at_s <= next.at_s
    }

    fn is_next(self, next: Self) -> bool {
        self.is_before(next) && next.cycle - self.cycle == 1
    }

    fn cycles_before(self) -> u64 {
        u64::from(self.cycle.saturating_sub(1))
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
