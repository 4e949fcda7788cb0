//! What the pure stations count while they work; telemetry turns it into metrics.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Kinds of records, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A schedtrace summary.
    Sched,
    /// A scheddetail block.
    SchedDetail,
    /// A gctrace line.
    Gc,
    /// A gcpacertrace line.
    Pacer,
    /// A line of the scavenger: scavtrace, scvg.
    Scavenge,
    /// An inittrace line.
    Init,
    /// A scan line of gctrace=2.
    GcScan,
    /// A checkfinalizers line.
    FinalizerQueue,
    /// `GC forced`.
    ForcedGc,
    /// A crash or a data race.
    Crash,
}

impl RecordKind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 10] = [
        Self::Sched,
        Self::SchedDetail,
        Self::Gc,
        Self::Pacer,
        Self::Scavenge,
        Self::Init,
        Self::GcScan,
        Self::FinalizerQueue,
        Self::ForcedGc,
        Self::Crash,
    ];

    /// The label value, and the `kind` of `parse`'s JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sched => "sched",
            Self::SchedDetail => "sched_detail",
            Self::Gc => "gc",
            Self::Pacer => "pacer",
            Self::Scavenge => "scavenge",
            Self::Init => "init",
            Self::GcScan => "gc_scan",
            Self::FinalizerQueue => "finalizer_queue",
            Self::ForcedGc => "forced_gc",
            Self::Crash => "crash",
        }
    }
}

/// One number a record kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerKind([u64; RecordKind::ALL.len()]);

impl PerKind {
    /// Adds `n` to a kind.
    pub fn add(&mut self, kind: RecordKind, n: u64) {
        if let Some(slot) = self.0.get_mut(kind as usize) {
            *slot += n;
        }
    }

    /// The number of a kind.
    #[must_use]
    pub fn get(&self, kind: RecordKind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or_default()
    }

    /// The sum over all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// By name: the next release has more kinds.
impl Serialize for PerKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(RecordKind::ALL.iter().map(|kind| (kind.as_str(), self.get(*kind))))
    }
}

impl<'de> Deserialize<'de> for PerKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_name = BTreeMap::<String, u64>::deserialize(deserializer)?;
        let mut this = Self::default();
        for kind in RecordKind::ALL {
            this.add(kind, by_name.get(kind.as_str()).copied().unwrap_or_default());
        }
        Ok(this)
    }
}

/// Why a record was given up: the closed set of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostReason {
    /// The service's own lines tore it, and its pieces could not be told for certain.
    Torn,
    /// Its source broke off in the middle: a rotation, the end of a process.
    Cut,
    /// A block of which a line is missing or damaged; a crash of which the text is.
    Incomplete,
    /// Printed by a process that had begun to crash, or the text of its panic imitates it.
    InCrash,
    /// It looks like a crash, but not surely: the service may have said so itself.
    Unconfirmed,
}

impl LostReason {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [Self; 5] =
        [Self::Torn, Self::Cut, Self::Incomplete, Self::InCrash, Self::Unconfirmed];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Torn => "torn",
            Self::Cut => "cut",
            Self::Incomplete => "incomplete",
            Self::InCrash => "in_crash",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// One number a record kind and reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost([PerKind; LostReason::ALL.len()]);

impl Lost {
    /// Adds `n` to a kind.
    pub fn add(&mut self, kind: RecordKind, reason: LostReason, n: u64) {
        if let Some(per_kind) = self.0.get_mut(reason as usize) {
            per_kind.add(kind, n);
        }
    }

    /// The numbers of a reason.
    #[must_use]
    pub fn by(&self, reason: LostReason) -> PerKind {
        self.0.get(reason as usize).copied().unwrap_or_default()
    }

    /// The number of a kind, whatever the reason.
    #[must_use]
    pub fn get(&self, kind: RecordKind) -> u64 {
        self.0.iter().map(|per_kind| per_kind.get(kind)).sum()
    }

    /// The sum over all kinds and reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(PerKind::total).sum()
    }
}

impl Serialize for Lost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(LostReason::ALL.iter().map(|reason| (reason.as_str(), self.by(*reason))))
    }
}

impl<'de> Deserialize<'de> for Lost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_name = BTreeMap::<String, PerKind>::deserialize(deserializer)?;
        Ok(Self(
            LostReason::ALL.map(|reason| by_name.get(reason.as_str()).copied().unwrap_or_default()),
        ))
    }
}

/// Running totals of one service's trace stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceStats {
    /// Bytes read.
    pub bytes: u64,
    /// Lines seen, traces and others.
    pub lines: u64,
    /// Lines longer than the cap; their rest was passed over.
    pub lines_too_long: u64,
    /// Lines of a wrapped log file (CRI, Docker) that are no entries.
    pub entries_malformed: u64,
    /// Records read.
    pub records: PerKind,
    /// Records among them that had to be put together from pieces.
    pub recovered: PerKind,
    /// Lines that look like a trace and do not parse.
    pub malformed: PerKind,
    /// Records given up, by why.
    pub lost: Lost,
    /// Lines in a form that no known Go release prints: with other fields, or with fields of
    /// different releases.
    pub unknown_forms: PerKind,
    /// Blocks that the runtime printed by itself while it crashed; not samples.
    pub crash_dumps: u64,
}

impl TraceStats {
    /// Whether the counters of a kind are exported: always for what the exporter itself asks a
    /// service to print, for the others once there was a line.
    #[must_use]
    pub fn has_counters(&self, kind: RecordKind) -> bool {
        let seen = [&self.records, &self.malformed, &self.unknown_forms];
        matches!(kind, RecordKind::Sched | RecordKind::SchedDetail | RecordKind::Gc)
            || self.lost.get(kind) > 0
            || seen.iter().any(|counts| counts.get(kind) > 0)
    }

    /// Counts a record given up, if one was.
    pub fn note_lost(&mut self, kind: Option<RecordKind>, reason: LostReason) {
        if let Some(kind) = kind {
            self.lost.add(kind, reason, 1);
        }
    }
}
