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
}

impl RecordKind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Sched, Self::SchedDetail, Self::Gc];

    /// The label value, and the `kind` of `parse`'s JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sched => "sched",
            Self::SchedDetail => "sched_detail",
            Self::Gc => "gc",
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
    /// A block of which a line is missing or damaged.
    Incomplete,
}

impl LostReason {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Torn, Self::Cut, Self::Incomplete];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Torn => "torn",
            Self::Cut => "cut",
            Self::Incomplete => "incomplete",
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
    /// Records read.
    pub records: PerKind,
    /// Records among them that had to be put together from pieces.
    pub recovered: PerKind,
    /// Lines that look like a trace and do not parse.
    pub malformed: PerKind,
    /// Records given up, by why.
    pub lost: Lost,
    /// Fields that no known Go release prints.
    pub unknown_fields: PerKind,
    /// Blocks that the runtime printed by itself while it crashed; not samples.
    pub crash_dumps: u64,
}

impl TraceStats {
    /// Counts a record given up, if one was.
    pub fn note_lost(&mut self, kind: Option<RecordKind>, reason: LostReason) {
        if let Some(kind) = kind {
            self.lost.add(kind, reason, 1);
        }
    }
}
