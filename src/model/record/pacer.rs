//! The records of gcpacertrace.

use serde::Serialize;

use super::float::Float;

/// One gcpacertrace line (src/runtime/mgcpacer.go; until Go 1.16 mgc.go).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Pacer {
    /// A cycle begins: what the pacer plans (`startCycle`).
    AssistRatio(AssistRatio),
    /// The last span of a cycle was swept (`sweepDone`, `activeSweep.end`).
    SweepDone(SweepDone),
    /// A cycle ends, Go 1.18 on (`endCycle`).
    CycleEnd(CycleEnd),
    /// A cycle ends, until Go 1.17 (`endCycle`).
    #[serde(rename = "cycle_end")]
    OldCycleEnd(OldCycleEnd),
}

/// What the pacer plans for a cycle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AssistRatio {
    /// Bytes of scan work that a goroutine does for each byte it allocates.
    pub assist_ratio: Float,
    /// Scannable heap (MiB, floor).
    pub scan_mb: u64,
    /// Heap at the start (MiB, floor).
    pub heap_start_mb: u64,
    /// Heap goal (MiB, floor).
    pub goal_mb: u64,
    /// Ps that do nothing but mark.
    pub dedicated_workers: i64,
    /// Until Go 1.9: workers that mark a part of the time.
    pub fractional_workers: Option<i64>,
    /// Go 1.10 on: the share of a P that fractional workers are to use.
    pub fractional_utilization_goal: Option<Float>,
}

/// A cycle was swept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SweepDone {
    /// Heap at that moment (MiB, floor).
    pub heap_mb: u64,
    /// Allocated since the sweep began (MiB, floor); an unsigned difference, which may wrap.
    pub allocated_mb: u64,
    /// Pages swept.
    pub swept_pages: u64,
    /// Go 1.7 on: pages that were to be swept for each byte allocated.
    pub pages_per_byte: Option<Float>,
    /// The wording of Go 1.6 to 1.8.
    #[serde(skip)]
    pub of_spans: bool,
}

/// A cycle as it went, Go 1.18 on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CycleEnd {
    /// Share of the CPU that the cycle used, idle workers left out (percent, truncated).
    pub cpu_percent: i64,
    /// The share it was to use (percent, truncated).
    pub cpu_goal_percent: i64,
    /// Heap scanned.
    pub heap_scan_bytes: i64,
    /// Stacks scanned.
    pub stack_scan_bytes: i64,
    /// Globals scanned.
    pub globals_scan_bytes: i64,
    /// What was expected to be scanned in all.
    pub scan_expected_bytes: u64,
    /// Heap when the cycle was triggered.
    pub triggered_bytes: u64,
    /// Heap at its end.
    pub heap_bytes: u64,
    /// How far the heap went beyond the goal; below 0: it stayed under.
    pub goal_delta_bytes: i64,
    /// Allocation rate over mark rate, as the pacer had estimated it.
    pub cons_mark: Float,
    /// Go 1.18 and 1.19 only: the controller began anew.
    pub controller_reset: bool,
}

/// A cycle as it went, until Go 1.17. Ratios are relative to the marked heap of the cycle before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OldCycleEnd {
    /// `H_m_prev`: heap marked by the cycle before.
    pub marked_before_bytes: u64,
    /// `h_t`: growth at which the cycle was to begin.
    pub trigger_ratio: Float,
    /// `H_T`: heap at which the cycle was to begin.
    pub trigger_bytes: u64,
    /// `h_a`: growth at its end.
    pub growth_ratio: Float,
    /// `H_a`: heap at its end.
    pub heap_bytes: u64,
    /// `h_g`: growth that was the goal.
    pub growth_goal_ratio: Float,
    /// `H_g`: heap that was the goal.
    pub goal_bytes: i64,
    /// `u_a`: share of the CPU that the cycle used.
    pub utilization: Float,
    /// `u_g`: the share it was to use.
    pub utilization_goal: Float,
    /// `W_a`: scan work done.
    pub scan_bytes: i64,
    /// `goalΔ`: growth left for the cycle by plan.
    pub goal_delta_ratio: Float,
    /// `actualΔ`: growth during the cycle.
    pub actual_delta_ratio: Float,
    /// `u_a/u_g`.
    pub utilization_ratio: Float,
}
