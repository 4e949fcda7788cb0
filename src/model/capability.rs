//! What a Go service can say of itself, and whether it does.

use serde::{Serialize, Serializer};

/// A thing that a Go service may offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// SCHED lines.
    Schedtrace,
    /// … with every goroutine.
    Scheddetail,
    /// gc lines.
    Gctrace,
    /// `/debug/vars`.
    Expvar,
    /// `/debug/pprof`.
    Pprof,
    /// The runtime's own proof of leaks.
    Goroutineleak,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Schedtrace,
        Self::Scheddetail,
        Self::Gctrace,
        Self::Expvar,
        Self::Pprof,
        Self::Goroutineleak,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedtrace => "schedtrace",
            Self::Scheddetail => "scheddetail",
            Self::Gctrace => "gctrace",
            Self::Expvar => "expvar",
            Self::Pprof => "pprof",
            Self::Goroutineleak => "goroutineleak",
        }
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Whether a service offers something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Offer {
    /// We read it.
    Read,
    /// We are to read it, and cannot.
    Failing,
    /// It is there, and we do not read it.
    Offered,
    /// It is not there.
    Missing,
    /// Not known yet, or nobody told us where to look.
    #[default]
    Unknown,
}

impl Offer {
    /// 1 for there, 0 for not; none where it is not known.
    #[must_use]
    pub const fn as_number(self) -> Option<i64> {
        match self {
            Self::Read | Self::Offered => Some(1),
            Self::Missing => Some(0),
            Self::Failing | Self::Unknown => None,
        }
    }
}

/// What was found of one capability.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it is there.
    pub state: Offer,
    /// What to add to the service or to our config to have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Finding {
    /// Of this state, with what to do about it.
    #[must_use]
    pub fn new(state: Offer, advice: impl Into<String>) -> Self {
        Self { state, advice: Some(advice.into()), error: None }
    }

    /// It is read.
    #[must_use]
    pub fn read() -> Self {
        Self { state: Offer::Read, ..Self::default() }
    }
}

/// One finding for each capability.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings([Finding; Capability::ALL.len()]);

impl Findings {
    /// Replaces one.
    pub fn set(&mut self, capability: Capability, finding: Finding) {
        if let Some(place) = self.0.get_mut(capability as usize) {
            *place = finding;
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Capability, &Finding)> {
        Capability::ALL.into_iter().zip(&self.0)
    }
}
