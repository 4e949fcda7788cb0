//! Histories of goroutine counts, as people keep them.

use std::time::Duration;

/// One look at a service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// When, since 1970.
    pub at: Duration,
    /// Goroutines that existed.
    pub goroutines: u64,
    /// When the process started, since 1970, if that was kept.
    pub started: Option<Duration>,
}

/// The history of one service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Its labels as PromQL writes them; none where the history has no name.
    pub name: Option<String>,
    /// In the order of time.
    pub looks: Vec<Look>,
}
