//! The record of inittrace.

use serde::Serialize;

use super::milli::Milli;

/// One inittrace line, Go 1.16 on (src/runtime/proc.go, `doInit1`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Init {
    /// The package's import path.
    pub package: Box<str>,
    /// From program start to the start of its initialisation.
    pub at_ms: Milli,
    /// Wall time.
    pub clock_ms: Milli,
    /// Heap allocated.
    pub bytes: u64,
    /// Heap allocations.
    pub allocs: u64,
}
