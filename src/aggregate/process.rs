//! When the service's process began, by the times since then that its trace prints.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A line says when it was printed, and we know when it was read: the process began no later than
/// the difference. One that was read sooner after it was printed moves the moment only by more than
/// this, so that it is the same moment in every snapshot.
const SLACK: Duration = Duration::from_secs(1);

/// Lines of long ago that are read now move the moment with each of them; lines that come as they
/// are printed do not. So long it must have stood still.
const HELD: Duration = Duration::from_secs(5);

/// What the trace says of the start of the process.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ProcessStart {
    /// On the clock of `now`, in nanoseconds; below 0 if it began before we looked.
    began: Option<i64>,
    held_since: Duration,
    seen_at: Duration,
}

impl ProcessStart {
    /// Takes the time since its start that a line shows, read at `now`.
    pub(super) fn observe(&mut self, uptime: Duration, now: Duration) {
        let began = nanos(now).saturating_sub(nanos(uptime));
        let is_new = self.began.is_none_or(|known| began < known.saturating_sub(nanos(SLACK)));
        if is_new {
            self.began = Some(began);
            self.held_since = now;
        }
        self.seen_at = now;
    }

    /// The process is gone.
    pub(super) fn restarted(&mut self) {
        self.began = None;
    }

    /// When it began, as far as it is certain; on the clock of `now`.
    pub(super) fn began(&self) -> Option<i64> {
        self.began.filter(|_| self.seen_at.saturating_sub(self.held_since) >= HELD)
    }

    /// Whether it is known to have begun after `moment`.
    pub(super) fn is_after(&self, moment: Duration) -> bool {
        self.began.is_some_and(|began| began > nanos(moment))
    }
}

pub(super) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (read at, shows this uptime), both in milliseconds; when it began, in milliseconds.
    fn check(lines: &[(u64, u64)], expected_ms: Option<i64>) {
        let mut start = ProcessStart::default();
        for (now, uptime) in lines {
            start.observe(Duration::from_millis(*uptime), Duration::from_millis(*now));
        }
        assert_eq!(start.began().map(|began| began / 1_000_000), expected_ms, "{lines:?}");
    }

    #[test]
    fn lines_that_come_as_they_are_printed_tell_the_start() {
        let live: Vec<(u64, u64)> =
            (0..8).map(|n| (20_000 + n * 1000, 30_000 + n * 1000)).collect();
        check(&live, Some(-10_000));
        check(&live[..5], None);
        let late: Vec<(u64, u64)> = (0..8).map(|n| (n * 1000 + n % 3 * 300, n * 1000)).collect();
        check(&late, Some(0));
    }

    #[test]
    fn lines_of_long_ago_do_not() {
        let old: Vec<(u64, u64)> = (0..1000).map(|n| (5000 + n, n * 1000)).collect();
        check(&old, None);
        let then_live = (0..8).map(|n| (6000 + n * 1000, 1_000_000 + n * 1000));
        let all: Vec<(u64, u64)> = old.into_iter().chain(then_live).collect();
        check(&all, Some(-994_000));
    }
}
