//! What the runtime said: one type a record, fields named as the runtime names them.
//!
//! A field that the writing Go version does not have is `None` (JSON null), never 0.

mod detail;
mod event;
mod float;
mod gc;
mod init;
mod json;
mod milli;
mod pacer;
mod scan;
mod scavenge;
mod sched;

pub use detail::{
    DetailBlock, DetailHead, Dump, Goroutine, Proc, Thread, goroutine_state, goroutine_state_named,
    proc_status,
};
pub use event::{Event, FinalizerQueue};
pub use float::Float;
pub use gc::{Gc, GcClock, GcCpu};
pub use init::Init;
pub use milli::Milli;
pub use pacer::{AssistRatio, CycleEnd, OldCycleEnd, Pacer, SweepDone};
pub use scan::{GcScan, GreenTea, ScanScope};
pub use scavenge::{ScavTrace, Scavenge, ScvgHeap, ScvgReleased};
pub use sched::{Sched, SchedSummary};

use std::time::Duration;

use super::crash::Crash;
use super::stats::RecordKind;

/// A record that stands on one line, or a whole scheddetail block kept as `D`.
#[derive(Debug, Clone, PartialEq)]
pub enum Record<D> {
    /// A schedtrace line.
    Sched(Sched),
    /// A scheddetail block.
    SchedDetail(Box<DetailBlock<D>>),
    /// A gctrace line.
    Gc(Gc),
    /// A line of another kind, and whether it had to be put together from pieces.
    Event(Event, bool),
    /// A crash or a data race.
    Crash(Box<Crash>),
}

impl<D> Record<D> {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Sched(_) => RecordKind::Sched,
            Self::SchedDetail(_) => RecordKind::SchedDetail,
            Self::Gc(_) => RecordKind::Gc,
            Self::Event(event, _) => event.kind(),
            Self::Crash(_) => RecordKind::Crash,
        }
    }

    /// Time since the process began, as the record shows it; of a GC cycle, as that began.
    #[must_use]
    pub fn uptime(&self) -> Option<Duration> {
        match self {
            Self::Sched(sched) => Some(Duration::from_millis(sched.summary.uptime_ms)),
            Self::SchedDetail(block) => Some(Duration::from_millis(block.head.summary.uptime_ms)),
            Self::Gc(gc) => Some(Duration::from_millis(gc.at_s.0)),
            Self::Event(..) | Self::Crash(_) => None,
        }
    }
}
