//! The records of the scavenger: scavtrace (Go 1.14 on), and what gctrace said of it before.

use serde::Serialize;

/// One line of the scavenger, which returns free memory to the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Scavenge {
    /// A scavtrace line.
    Trace(ScavTrace),
    /// Until Go 1.13: what one run released.
    Released(ScvgReleased),
    /// Until Go 1.13: the heap after a run.
    Heap(ScvgHeap),
}

/// One scavtrace line (src/runtime/mgcscavenge.go, `printScavTrace`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScavTrace {
    /// Go 1.15 to 1.18: number of the scavenger's generation.
    pub generation: Option<u64>,
    /// Until Go 1.20: released since the last line.
    pub work_kib: Option<u64>,
    /// Go 1.21 on: released in the background since the last line.
    pub background_kib: Option<u64>,
    /// Go 1.21 on: released on allocation (or, in a forced line, by force) since the last line.
    pub eager_kib: Option<u64>,
    /// Released to the system and not taken back, now.
    pub released_kib: u64,
    /// Share of the heap's memory that is in use (percent, truncated).
    pub heap_in_use_percent: u64,
    /// debug.FreeOSMemory asked for it.
    pub forced: bool,
    /// Go 1.18 on: the scavenger's controller began anew.
    pub controller_reset: bool,
}

/// `scvg0: 20 MB released` (src/runtime/mheap.go).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScvgReleased {
    /// Until Go 1.12: number of the run; −1: debug.FreeOSMemory.
    pub number: Option<i64>,
    /// Released by the run (MiB, floor).
    pub released_mb: u64,
    /// debug.FreeOSMemory asked for it.
    pub forced: bool,
}

/// `scvg0: inuse: 0, idle: 20, …` (src/runtime/mheap.go).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScvgHeap {
    /// Until Go 1.12: number of the run; −1: debug.FreeOSMemory.
    pub number: Option<i64>,
    /// Heap in use (MiB, floor).
    pub inuse_mb: u64,
    /// Heap not in use (MiB, floor).
    pub idle_mb: u64,
    /// Heap taken from the system (MiB, floor).
    pub sys_mb: u64,
    /// Released to the system and not taken back (MiB, floor).
    pub released_mb: u64,
    /// `sys` − `released` (MiB, floor); an unsigned difference, which may wrap.
    pub consumed_mb: u64,
    /// debug.FreeOSMemory asked for it.
    pub forced: bool,
}
