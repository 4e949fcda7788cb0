//! What the runtime said: one type a record, fields named as the runtime names them.
//!
//! A field that the writing Go version does not have is `None` (JSON null), never 0.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error, ser::SerializeSeq};

use super::stats::RecordKind;

/// A decimal that the runtime printed with at most three places, kept exact as thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milli(pub u64);

impl Milli {
    /// The value in the unit it was printed in.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "values above 2^53 thousandths are refused when parsed"
    )]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl Serialize for Milli {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1000) {
            serializer.serialize_u64(self.0 / 1000)
        } else {
            serializer.serialize_f64(self.as_f64())
        }
    }
}

impl<'de> Deserialize<'de> for Milli {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be in range"
    )]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        let thousandths = (value * 1000.0).round();
        if !(0.0..=9_007_199_254_740_992.0).contains(&thousandths) {
            return Err(D::Error::custom("not a number of thousandths"));
        }
        Ok(Self(thousandths as u64))
    }
}

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

/// A record that stands on one line, or a whole scheddetail block kept as `D`.
#[derive(Debug, Clone, PartialEq)]
pub enum Record<D> {
    /// A schedtrace line.
    Sched(Sched),
    /// A scheddetail block.
    SchedDetail(Box<DetailBlock<D>>),
    /// A gctrace line.
    Gc(Gc),
}

impl<D> Record<D> {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Sched(_) => RecordKind::Sched,
            Self::SchedDetail(_) => RecordKind::SchedDetail,
            Self::Gc(_) => RecordKind::Gc,
        }
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

#[derive(Serialize)]
struct SchedJson<'a> {
    kind: &'static str,
    #[serde(flatten)]
    sched: &'a Sched,
}

#[derive(Serialize)]
struct GcJson<'a> {
    kind: &'static str,
    #[serde(flatten)]
    gc: &'a Gc,
}

#[derive(Serialize)]
struct DetailJson<'a, D: Serialize> {
    kind: &'static str,
    #[serde(flatten)]
    summary: &'a SchedSummary,
    local_runqueues: SeqOf<'a, Proc, u32>,
    schedticks: SeqOf<'a, Proc, u32>,
    gcwaiting: bool,
    nmidlelocked: i64,
    stopwait: i64,
    sysmonwait: bool,
    procs: &'a [Proc],
    #[serde(flatten)]
    dump: &'a D,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    unknown: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    torn: bool,
}

/// One field of each item, as a JSON array.
struct SeqOf<'a, T, V>(&'a [T], fn(&T) -> V);

impl<T, V: Serialize> Serialize for SeqOf<'_, T, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for item in self.0 {
            seq.serialize_element(&(self.1)(item))?;
        }
        seq.end()
    }
}

impl<D: Serialize> Serialize for Record<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = self.kind().as_str();
        match self {
            Self::Sched(sched) => SchedJson { kind, sched }.serialize(serializer),
            Self::Gc(gc) => GcJson { kind, gc }.serialize(serializer),
            Self::SchedDetail(block) => DetailJson {
                kind,
                summary: &block.head.summary,
                local_runqueues: SeqOf(&block.procs, |p| p.runqsize),
                schedticks: SeqOf(&block.procs, |p| p.schedtick),
                gcwaiting: block.head.gcwaiting,
                nmidlelocked: block.head.nmidlelocked,
                stopwait: block.head.stopwait,
                sysmonwait: block.head.sysmonwait,
                procs: &block.procs,
                dump: &block.dump,
                unknown: &block.head.unknown,
                torn: block.torn,
            }
            .serialize(serializer),
        }
    }
}
