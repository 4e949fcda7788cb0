//! The form in which one service prints its traces. A line put together from pieces must have the
//! form of those that were whole, or it may hold a piece that was not the runtime's.

use serde::{Deserialize, Serialize};

use super::line::Line;
use super::release_table;
use crate::model::record::{Gc, Milli};

/// So many lines of another form in a row are another release.
const OTHERS_BELIEVED: u32 = 3;

/// The forms of the lines that were whole.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Forms {
    /// Go 1.20 or later: `needspinning` is there.
    recent: bool,
    /// A schedtrace line has (`needspinning`, `schedticks`).
    sched: Option<(bool, bool)>,
    /// The head of a block has `needspinning`.
    head: Option<bool>,
    /// A gctrace line has (Go 1.5's phases, stacks and globals).
    gc: Option<(bool, bool)>,
    /// gctrace lines in a row that had another form.
    other_gc: u32,
    /// A P line has `timerslen`.
    proc: Option<bool>,
    /// Cycle and moment of the last gctrace line.
    last_gc: Option<(u32, Milli)>,
    last_uptime_ms: u64,
}

impl Forms {
    /// Learns from a line that was whole. Gives false for a gctrace line that suddenly has another
    /// form: words of the service may have ended it ("2 P"). Another release begins with cycle 1,
    /// or goes on in its form.
    pub fn learn(&mut self, line: &Line<'_>) -> bool {
        self.follow(line);
        match line {
            Line::Sched(sched) => {
                self.recent = sched.summary.needspinning.is_some();
                self.sched = Some((self.recent, sched.schedticks.is_some()));
            }
            Line::Head(head) => {
                self.recent = head.summary.needspinning.is_some();
                self.head = Some(self.recent);
            }
            Line::Gc(gc) => return self.learn_gc(gc),
            Line::Proc(proc, _) => self.proc = Some(proc.timerslen.is_some()),
            Line::Thread(..) | Line::Goroutine(..) | Line::Event(_) => {}
        }
        true
    }

    /// Notes where in its life the service is.
    pub fn follow(&mut self, line: &Line<'_>) {
        match line {
            Line::Sched(sched) => self.last_uptime_ms = sched.summary.uptime_ms,
            Line::Head(head) => self.last_uptime_ms = head.summary.uptime_ms,
            Line::Gc(gc) => self.last_gc = Some((gc.cycle, gc.at_s)),
            Line::Proc(..) | Line::Thread(..) | Line::Goroutine(..) | Line::Event(_) => {}
        }
    }

    /// Whether a line comes after those before it. A service that was started anew prints whole
    /// lines soon.
    fn is_later(&self, line: &Line<'_>) -> bool {
        match line {
            Line::Sched(sched) => sched.summary.uptime_ms >= self.last_uptime_ms,
            Line::Head(head) => head.summary.uptime_ms >= self.last_uptime_ms,
            Line::Gc(gc) => {
                self.last_gc.is_none_or(|(cycle, at_s)| gc.cycle > cycle && gc.at_s >= at_s)
            }
            Line::Proc(..) | Line::Thread(..) | Line::Goroutine(..) | Line::Event(_) => true,
        }
    }

    fn learn_gc(&mut self, gc: &Gc) -> bool {
        let form = (gc.clock_ms.scan.is_some(), gc.stacks_mb.is_some());
        let other = self.gc.is_some_and(|known| known != form) && gc.cycle > 1;
        self.other_gc = if other { self.other_gc + 1 } else { 0 };
        if other && self.other_gc < OTHERS_BELIEVED {
            return false;
        }
        self.gc = Some(form);
        true
    }

    /// Whether a line that was torn is sure to be the runtime's. One whose form is not known from
    /// a whole line is not, unless the release is known from another kind.
    #[must_use]
    pub fn accept(&self, line: &Line<'_>) -> bool {
        line.unknown_fields() == 0
            && self.is_later(line)
            && match line {
                Line::Sched(sched) => {
                    let form = (sched.summary.needspinning.is_some(), sched.schedticks.is_some());
                    // The longest form shows itself: nothing else ends in its ticks.
                    self.sched.unwrap_or((true, true)) == form
                }
                Line::Head(head) => self.head == Some(head.summary.needspinning.is_some()),
                Line::Gc(gc) => {
                    let form = (gc.clock_ms.scan.is_some(), gc.stacks_mb.is_some());
                    // The longest form shows itself: nothing else ends in its areas.
                    let known = self.gc.unwrap_or((false, true));
                    known == form && gc.stacks_mb.is_some() == gc.globals_mb.is_some()
                }
                Line::Proc(proc, _) => {
                    self.proc.or(self.recent.then_some(true)) == Some(proc.timerslen.is_some())
                }
                // Any words fit there, the service's too.
                Line::Goroutine(goroutine, _) => release_table::is_reason(goroutine.wait_reason),
                Line::Thread(..) | Line::Event(_) => true,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Verdict, read};
    use super::*;

    #[test]
    fn words_of_the_service_are_no_wait_reason() {
        let accepts = |line: &[u8]| match read(line) {
            Verdict::Trace(line) => Forms::default().accept(&line),
            other => panic!("{other:?}"),
        };
        assert!(accepts(b"  G3: status=4(sleep) m=nil lockedm=nil"));
        // The service's line began with "WARN " for the first time, and went on as others did.
        assert!(!accepts(b"  G3: status=4(sleepWARN ) m=nil lockedm=nil"));
    }
}
