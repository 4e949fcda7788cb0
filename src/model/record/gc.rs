//! The gctrace record.

use serde::{Deserialize, Serialize};

use super::milli::Milli;

/// Wall times of a garbage collection, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GcClock {
    /// Stop the world and sweep termination.
    pub sweep_termination: Milli,
    /// Go 1.5 only: concurrent scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<Milli>,
    /// Go 1.5 only: turning on the write barrier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_write_barrier: Option<Milli>,
    /// Concurrent mark.
    pub mark: Milli,
    /// Stop the world and mark termination.
    pub mark_termination: Milli,
}

/// CPU times of a garbage collection, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GcCpu {
    /// Sweep termination.
    pub sweep_termination: Milli,
    /// Go 1.5 only: concurrent scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<Milli>,
    /// Go 1.5 only: turning on the write barrier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_write_barrier: Option<Milli>,
    /// Marking done by allocating goroutines.
    pub assist: Milli,
    /// Dedicated and fractional workers.
    pub background: Milli,
    /// Workers on idle Ps.
    pub idle: Milli,
    /// Mark termination.
    pub mark_termination: Milli,
}

/// One gctrace line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gc {
    /// Number of the cycle, from 1.
    pub cycle: u32,
    /// Seconds from program start to the start of the cycle.
    pub at_s: Milli,
    /// Share of the available CPU spent in GC since program start, truncated.
    pub cpu_percent: i64,
    /// Wall times.
    pub clock_ms: GcClock,
    /// CPU times.
    pub cpu_ms: GcCpu,
    /// Heap at the start of the cycle (MiB, floor).
    pub heap_start_mb: u64,
    /// Heap at mark termination (MiB, floor).
    pub heap_end_mb: u64,
    /// Marked live heap (MiB, floor).
    pub heap_live_mb: u64,
    /// Goal of this cycle (MiB, floor).
    pub goal_mb: u64,
    /// Go 1.18 on: scannable stack (MiB, floor).
    pub stacks_mb: Option<u64>,
    /// Go 1.18 on: scannable globals (MiB, floor).
    pub globals_mb: Option<u64>,
    /// GOMAXPROCS at the start of the cycle.
    pub procs: u32,
    /// runtime.GC, debug.FreeOSMemory or a leak profile asked for it.
    pub forced: bool,
    /// Go 1.26 on: the cycle looked for leaked goroutines.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leak_check: bool,
    /// Fields that no known release prints, as printed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// It had to be put together from pieces.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub torn: bool,
}
