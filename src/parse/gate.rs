//! Between the first line of a crash and its end, lines do not reach the traces' reader at once.
//!
//! Until it is sure that the process dies ([`super::crash`]) every line is held: the text of a
//! panic may imitate traces (raw, until Go 1.22), but a service that only says "panic: x" must
//! lose none of its own. If it is a crash, traces in its text are dropped and counted; if not, all
//! lines go their way as if nothing had been.
//!
//! Below the first stack, traces tell who goes on:
//! - the block with `dying` set, which the runtime prints when it crashes, is no sample;
//! - a record that goes back (uptime, gc number) is the next process's: the crash is over;
//! - one that continues the last is held. If more of the dump follows, sysmon printed it while the
//!   process died; if several come and no dump, the process lives, and did not crash.
//!
//! What is held is bounded by lines and bytes here, and by time in the pipeline.

use serde::{Deserialize, Serialize};

use super::crash::{Case, Proof};
use super::dump::{self, Opening};
use super::line::Line;
use super::race::{self, Race};
use super::reader::Reader;
use super::suspect::{CONTINUING_MAX, Last, Next, Suspect};
use crate::model::record::{Dump, Record};
use crate::model::stats::{LostReason, RecordKind, TraceStats};

/// What a reader knows of crashes.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gate {
    open: Option<Box<Suspect>>,
    race: Option<Race>,
    last: Last,
    /// Lines of crashes so far.
    taken: u64,
    /// A block with `dying` set was read, and what the crash says is still to come; sysmon may
    /// print so many records more.
    dying: Option<u32>,
}

impl Gate {
    /// Whether a crash or race is at hand.
    #[inline]
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.open.is_some() || self.race.is_some()
    }

    /// A block with `dying` set was read.
    pub fn process_dies(&mut self) {
        self.dying = Some(CONTINUING_MAX);
    }

    /// Whether a record was printed by a process that dies, and is none of it.
    pub fn drops(&mut self, parsed: &Line<'_>, stats: &mut TraceStats) -> bool {
        let Some(left) = self.dying else { return false };
        let continues = match parsed {
            Line::Sched(sched) => self.last.uptime_ms.is_some_and(|l| sched.summary.uptime_ms >= l),
            Line::Gc(gc) => self.last.cycle.is_some_and(|last| gc.cycle > last),
            _ => return false,
        };
        if continues && left > 0 {
            self.dying = Some(left - 1);
            stats.lost.add(parsed.kind(), LostReason::InCrash, 1);
            return true;
        }
        self.no_crash_text(stats);
        false
    }

    /// A process died, and what it said was not read.
    fn no_crash_text(&mut self, stats: &mut TraceStats) {
        let died = u64::from(self.dying.take().is_some());
        stats.lost.add(RecordKind::Crash, LostReason::Incomplete, died);
    }

    /// A trace record of the process.
    pub fn saw(&mut self, parsed: &Line<'_>) {
        match parsed {
            Line::Sched(sched) => self.last.uptime_ms = Some(sched.summary.uptime_ms),
            Line::Head(head) => self.last.uptime_ms = Some(head.summary.uptime_ms),
            Line::Gc(gc) => self.last.cycle = Some(gc.cycle),
            _ => {}
        }
    }
}

impl<D: Dump> Reader<D> {
    /// A number that changes while a crash's lines come; `None` while there is no crash.
    #[must_use]
    pub fn crash_progress(&self) -> Option<u64> {
        self.gate.open.is_some().then_some(self.gate.taken)
    }

    /// The stream breaks in the middle of a line.
    pub fn line_cut(&mut self) {
        if let Some(open) = &mut self.gate.open {
            open.case.is_cut();
        }
    }

    /// Nothing more of a crash came for so long that nothing will.
    pub fn settle(&mut self, stats: &mut TraceStats, emit: &mut impl FnMut(Record<D>)) {
        if let Some(race) = self.gate.race.take() {
            report_race(race.end(), stats, emit);
        }
        if let Some(open) = self.gate.open.take() {
            self.close_case(*open, false, stats, emit);
        }
        self.gate.no_crash_text(stats);
    }

    /// Takes a line that begins a crash or comes while one is at hand; gives false if it goes on
    /// as any line does.
    pub(super) fn crash_line(
        &mut self,
        line: &[u8],
        stats: &mut TraceStats,
        emit: &mut impl FnMut(Record<D>),
    ) -> bool {
        if let Some(race) = &mut self.gate.race {
            let step = race.line(line);
            if step != race::Step::GoesOn {
                self.gate.race = None;
                report_race(step, stats, emit);
            }
        }
        if self.gate.open.is_none() {
            return self.begin(line, stats);
        }
        let last = self.gate.last;
        let Some(open) = &mut self.gate.open else { return false };
        let next = open.take(line, last);
        self.gate.taken += u64::from(next == Next::Drop);
        match next {
            Next::Stay => true,
            Next::Drop => {
                open.drop_since_text(stats);
                true
            }
            Next::Over | Next::Refuted => {
                if let Some(open) = self.gate.open.take() {
                    self.close_case(*open, next == Next::Refuted, stats, emit);
                }
                // It may begin another.
                self.begin(line, stats)
            }
        }
    }

    fn begin(&mut self, line: &[u8], stats: &mut TraceStats) -> bool {
        if line == race::START {
            self.gate.race = Some(Race::default());
            return true;
        }
        let Some(opening) = dump::opening(line) else { return false };
        let dying = self.take_dying_block(stats) || self.gate.dying.is_some();
        self.gate.dying = None;
        let mut case = Case::new(&opening, if dying { Proof::Dying } else { Proof::None });
        if let Opening::Panic(text) | Opening::Fatal(text) = opening
            && self.knows_beginning(text)
        {
            case.forget_message();
        }
        self.gate.taken += 1;
        self.gate.open = Some(Box::new(Suspect::new(case)));
        true
    }

    /// Gives the crash, if it was one, and then what was held.
    fn close_case(
        &mut self,
        suspect: Suspect,
        refuted: bool,
        stats: &mut TraceStats,
        emit: &mut impl FnMut(Record<D>),
    ) {
        let (crash, held) = suspect.close(refuted, stats);
        if let Some(crash) = crash {
            self.process_ended(stats, emit);
            self.gate.last = Last::default();
            stats.records.add(RecordKind::Crash, 1);
            emit(Record::Crash(Box::new(crash)));
        } else {
            stats.lost.add(RecordKind::Crash, LostReason::Unconfirmed, 1);
        }
        for line in held {
            self.plain(&line, stats, emit);
        }
    }
}

fn report_race<D>(step: race::Step, stats: &mut TraceStats, emit: &mut impl FnMut(Record<D>)) {
    match step {
        race::Step::Done(crash) => {
            stats.records.add(RecordKind::Crash, 1);
            emit(Record::Crash(crash));
        }
        race::Step::Refuted | race::Step::GoesOn => {
            stats.lost.add(RecordKind::Crash, LostReason::Unconfirmed, 1);
        }
    }
}
