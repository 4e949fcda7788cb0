//! The scheddetail block, and its lines.

use serde::{Deserialize, Serialize, Serializer};

use super::sched::SchedSummary;

/// The first line of a scheddetail block.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DetailHead {
    /// The shared fields.
    pub summary: SchedSummary,
    /// A stop of the world is asked for.
    pub gcwaiting: bool,
    /// Idle Ms locked to a goroutine (−1 does occur).
    pub nmidlelocked: i64,
    /// Ps that a stop of the world still waits for.
    pub stopwait: i64,
    /// sysmon sleeps.
    pub sysmonwait: bool,
    /// Fields that no known release prints, as printed.
    pub unknown: Vec<String>,
}

/// A `  P0: …` line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proc {
    /// Number of the P.
    pub id: u32,
    /// 0 idle, 1 running, 2 syscall, 3 gcstop, 4 dead (src/runtime/runtime2.go).
    pub status: u32,
    /// Scheduler ticks (wraps at 2^32).
    pub schedtick: u32,
    /// System calls (wraps at 2^32).
    pub syscalltick: u32,
    /// The M that runs it.
    pub m: Option<i64>,
    /// Goroutines in its queue, without `runnext`; read without a lock.
    pub runqsize: u32,
    /// Dead goroutines kept for reuse.
    pub gfreecnt: i64,
    /// Go 1.14 on: timers.
    pub timerslen: Option<u32>,
}

/// A `  M0: …` line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Thread {
    /// Number of the M.
    pub id: i64,
    /// Its P.
    pub p: Option<i64>,
    /// The goroutine it runs.
    pub curg: Option<i64>,
    /// It looks for work.
    pub spinning: bool,
    /// It waits on a note.
    pub blocked: bool,
    /// Locks held.
    pub locks: i64,
    /// The goroutine locked to it.
    pub lockedg: Option<i64>,
    /// It is crashing: the block is part of a panic, not a sample.
    #[serde(skip)]
    pub dying: i64,
}

/// A `  G1: …` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goroutine<'a> {
    /// Its id.
    pub id: u64,
    /// The runtime's number of its state, the scan bit (4096) included.
    pub status: u32,
    /// Why it waits or last waited; empty if it never parked. Stale unless the state is waiting.
    pub wait_reason: &'a str,
    /// The M that runs it.
    pub m: Option<i64>,
    /// The M locked to it.
    pub lockedm: Option<i64>,
}

/// The bit that is set while the garbage collector scans a goroutine's stack.
const GOROUTINE_SCAN_BIT: u32 = 0x1000;

/// The name of a goroutine's state (src/runtime/runtime2.go, `_Gidle` and following).
#[must_use]
pub const fn goroutine_state(status: u32) -> &'static str {
    match status & !GOROUTINE_SCAN_BIT {
        0 => "idle",
        1 => "runnable",
        2 => "running",
        3 => "syscall",
        4 => "waiting",
        5 => "moribund",
        6 => "dead",
        7 => "enqueue",
        8 => "copystack",
        9 => "preempted",
        10 => "leaked",
        11 => "deadextra",
        _ => "unknown",
    }
}

/// A state by its name, in the text that lives as long as we do.
#[must_use]
pub fn goroutine_state_named(name: &str) -> Option<&'static str> {
    const PAST_THE_LAST: u32 = 12;
    (0..=PAST_THE_LAST).map(goroutine_state).find(|known| *known == name)
}

/// The name of a P's state (src/runtime/runtime2.go, `_Pidle` and following).
#[must_use]
pub const fn proc_status(status: u32) -> &'static str {
    match status {
        0 => "idle",
        1 => "running",
        2 => "syscall",
        3 => "gcstop",
        4 => "dead",
        _ => "unknown",
    }
}

#[derive(Serialize)]
struct GoroutineJson<'a> {
    id: u64,
    status: u32,
    state: &'static str,
    wait_reason: Option<&'a str>,
    m: Option<i64>,
    lockedm: Option<i64>,
}

impl Serialize for Goroutine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        GoroutineJson {
            id: self.id,
            status: self.status,
            state: goroutine_state(self.status),
            wait_reason: (!self.wait_reason.is_empty()).then_some(self.wait_reason),
            m: self.m,
            lockedm: self.lockedm,
        }
        .serialize(serializer)
    }
}

/// A whole scheddetail block.
///
/// A service may have millions of goroutines, so who reads the block decides how much of each
/// thread and goroutine `D` keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DetailBlock<D> {
    /// Its first line.
    pub head: DetailHead,
    /// The P lines.
    pub procs: Vec<Proc>,
    /// What was kept of the M and G lines.
    pub dump: D,
    /// Some line of it had to be put together from pieces.
    pub torn: bool,
}

/// Takes the threads and goroutines of a block, in the order printed.
pub trait Dump: Default {
    /// An M line.
    fn thread(&mut self, thread: Thread);
    /// A G line.
    fn goroutine(&mut self, goroutine: &Goroutine<'_>);
}
