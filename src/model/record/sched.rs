//! The schedtrace record.

use serde::{Deserialize, Serialize};

/// The fields that a schedtrace line and the head of a scheddetail block share.
///
/// All but the uptime are momentary values read without a lock (src/runtime/proc.go, schedtrace).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedSummary {
    /// Milliseconds since the first SCHED print of the process.
    pub uptime_ms: u64,
    /// Ps.
    pub gomaxprocs: u32,
    /// Ps on the idle list.
    pub idleprocs: i64,
    /// Live Ms (before Go 1.10: ever created).
    pub threads: i64,
    /// Ms looking for work.
    pub spinningthreads: i64,
    /// Go 1.20 on: an M should start to spin.
    pub needspinning: Option<i64>,
    /// Parked Ms.
    pub idlethreads: i64,
    /// Goroutines in the global run queue.
    pub runqueue: i64,
}

/// One schedtrace line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sched {
    /// The shared fields.
    #[serde(flatten)]
    pub summary: SchedSummary,
    /// Goroutines in each P's queue, without `runnext`.
    pub local_runqueues: Vec<u32>,
    /// Go 1.25 on: scheduler ticks of each P since it was made (wraps at 2^32).
    pub schedticks: Option<Vec<u32>>,
    /// Fields that no known release prints, as printed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// It had to be put together from pieces.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub torn: bool,
}
