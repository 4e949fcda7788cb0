//! Go releases, as far as the forms of a trace tell them.

use serde::{Deserialize, Serialize};

/// The newest release whose forms are known.
pub const NEWEST_MINOR: u8 = 27;

/// The first whose traces are read.
pub const OLDEST_MINOR: u8 = 5;

/// Releases 1.`first` to 1.`last` that can have printed what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRange {
    first: u8,
    /// [`NEWEST_MINOR`] also stands for all that come later.
    last: u8,
}

impl ReleaseRange {
    /// Every release.
    pub const ALL: Self = Self { first: OLDEST_MINOR, last: NEWEST_MINOR };

    /// From 1.`first` on.
    #[must_use]
    pub const fn from(first: u8) -> Self {
        Self { first, last: NEWEST_MINOR }
    }

    /// From 1.`first` to 1.`last`.
    #[must_use]
    pub const fn between(first: u8, last: u8) -> Self {
        Self { first, last }
    }

    /// Those in both; `None` if there are none.
    #[must_use]
    pub fn and(self, other: Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { first, last })
    }

    /// Whether 1.`minor` is one of them.
    #[must_use]
    pub const fn contains(self, minor: u8) -> bool {
        self.first <= minor && minor <= self.last
    }

    /// The first, as in `1.20`.
    #[must_use]
    pub fn min(self) -> String {
        format!("1.{}", self.first)
    }

    /// The last, as in `1.24`; `1.27+` if later ones print the same, as far as is known.
    #[must_use]
    pub fn max(self) -> String {
        let open = if self.last == NEWEST_MINOR { "+" } else { "" };
        format!("1.{}{open}", self.last)
    }
}
