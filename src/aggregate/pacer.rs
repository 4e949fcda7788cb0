//! What gcpacertrace lines say, over time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::histogram::{GcCpuBillionths, Histogram};
use super::service::Collector;
use crate::model::record::{AssistRatio, CycleEnd, OldCycleEnd, Pacer};

/// A figure older than this says nothing of now: a cycle is forced after two minutes.
const FRESH: Duration = Duration::from_secs(300);

/// A ratio is kept in billionths.
const PARTS_IN_ONE: f64 = 1e9;
const PARTS_IN_PERCENT: u64 = 10_000_000;

/// State made of gcpacertrace lines.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PacerState {
    cpu: Histogram<GcCpuBillionths>,
    heap_scan: u64,
    stack_scan: u64,
    globals_scan: u64,
    undivided_scan: u64,
    overshoots: u64,
    swept_pages: u64,
    plan: Option<(f64, Duration)>,
    end: Option<(End, Duration)>,
    seen: bool,
}

/// The end of a cycle.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct End {
    cpu_goal: Option<f64>,
    overshoot_bytes: i64,
}

impl PacerState {
    /// Takes a record.
    pub fn observe(&mut self, pacer: Pacer, now: Duration) {
        self.seen = true;
        match pacer {
            Pacer::AssistRatio(AssistRatio { assist_ratio, .. }) => {
                self.plan = assist_ratio.finite().map(|ratio| (ratio, now));
            }
            Pacer::SweepDone(swept) => {
                self.swept_pages = self.swept_pages.saturating_add(swept.swept_pages);
            }
            Pacer::CycleEnd(end) => self.cycle_end(&end, now),
            Pacer::OldCycleEnd(end) => self.old_cycle_end(&end, now),
        }
    }

    fn cycle_end(&mut self, end: &CycleEnd, now: Duration) {
        let percent = u64::try_from(end.cpu_percent).unwrap_or(0);
        self.cpu.observe(percent.saturating_mul(PARTS_IN_PERCENT));
        let areas = [
            (&mut self.heap_scan, end.heap_scan_bytes),
            (&mut self.stack_scan, end.stack_scan_bytes),
            (&mut self.globals_scan, end.globals_scan_bytes),
        ];
        for (sum, bytes) in areas {
            *sum = sum.saturating_add(u64::try_from(bytes).unwrap_or(0));
        }
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        let cpu_goal = Some(end.cpu_goal_percent as f64 / 100.0);
        self.ended(End { cpu_goal, overshoot_bytes: end.goal_delta_bytes }, now);
    }

    fn old_cycle_end(&mut self, end: &OldCycleEnd, now: Duration) {
        if let Some(used) = end.utilization.finite().filter(|used| (0.0..=1.0).contains(used)) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and a billion"
            )]
            self.cpu.observe((used * PARTS_IN_ONE).round() as u64);
        }
        let scanned = u64::try_from(end.scan_bytes).unwrap_or(0);
        self.undivided_scan = self.undivided_scan.saturating_add(scanned);
        let heap = i64::try_from(end.heap_bytes).unwrap_or(i64::MAX);
        let overshoot_bytes = heap.saturating_sub(end.goal_bytes);
        self.ended(End { cpu_goal: end.utilization_goal.finite(), overshoot_bytes }, now);
    }

    fn ended(&mut self, end: End, now: Duration) {
        self.overshoots += u64::from(end.overshoot_bytes > 0);
        self.end = Some((end, now));
    }

    /// The service was started anew.
    pub fn restarted(&mut self) {
        self.plan = None;
        self.end = None;
    }

    /// Gives the series, once there was a line.
    pub fn collect(&self, now: Duration, out: &mut Collector) {
        if !self.seen {
            return;
        }
        out.histogram(Metric::GcPacerCpuRatio, &[], &self.cpu);
        out.count(Metric::GcPacerOvershoots, &[], self.overshoots);
        out.count(Metric::GcPacerSweptPages, &[], self.swept_pages);
        if self.undivided_scan > 0 {
            out.count(Metric::GcPacerScanBytes, &["undivided"], self.undivided_scan);
        } else {
            out.count(Metric::GcPacerScanBytes, &["heap"], self.heap_scan);
            out.count(Metric::GcPacerScanBytes, &["stack"], self.stack_scan);
            out.count(Metric::GcPacerScanBytes, &["globals"], self.globals_scan);
        }
        let is_fresh = |at: Duration| now.saturating_sub(at) <= FRESH;
        if let Some((ratio, _)) = self.plan.filter(|(_, at)| is_fresh(*at)) {
            out.float(Metric::GcPacerAssistRatio, &[], ratio);
        }
        if let Some((end, _)) = self.end.filter(|(_, at)| is_fresh(*at)) {
            out.signed(Metric::GcPacerOvershootBytes, end.overshoot_bytes);
            if let Some(goal) = end.cpu_goal {
                out.float(Metric::GcPacerCpuGoalRatio, &[], goal);
            }
        }
    }
}
