//! Records of one line each that a service prints only if it is asked to, or seldom.

use serde::{Deserialize, Serialize};

use super::init::Init;
use super::pacer::Pacer;
use super::scan::GcScan;
use super::scavenge::Scavenge;
use crate::model::stats::RecordKind;

/// One of the seldom lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// gcpacertrace.
    Pacer(Pacer),
    /// scavtrace, and scvg lines of gctrace.
    Scavenge(Scavenge),
    /// inittrace.
    Init(Init),
    /// gctrace=2.
    GcScan(GcScan),
    /// checkfinalizers.
    FinalizerQueue(FinalizerQueue),
    /// `GC forced`: there was no cycle for two minutes (src/runtime/proc.go, `forcegchelper`).
    ForcedGc {},
}

/// What waits to be run, after a cycle; Go 1.25 on (src/runtime/mgc.go, `gcMarkTermination`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalizerQueue {
    /// Finalizers.
    pub finalizers: u64,
    /// Cleanups.
    pub cleanups: u64,
}

impl Event {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Pacer(_) => RecordKind::Pacer,
            Self::Scavenge(_) => RecordKind::Scavenge,
            Self::Init(_) => RecordKind::Init,
            Self::GcScan(_) => RecordKind::GcScan,
            Self::FinalizerQueue(_) => RecordKind::FinalizerQueue,
            Self::ForcedGc {} => RecordKind::ForcedGc,
        }
    }
}
