//! What is held while a crash is at hand, and what the lines that come tell of it.

use serde::{Deserialize, Serialize};

use super::crash::{Case, Proof, Step};
use super::dump;
use super::line::{self, Line, Verdict};
use crate::model::crash::Crash;
use crate::model::stats::{LostReason, TraceStats};

/// Most that is held: a panic's text is rarely longer than a page.
const HELD_MAX_LINES: usize = 1024;
const HELD_MAX_BYTES: usize = 64 * 1024;

/// Records that continue the last, with no line of a dump among them: the process lives.
pub const CONTINUING_MAX: u32 = 8;

/// Lines below a dump that are none of it: it is over.
const FOREIGN_MAX: u32 = 1024;

/// How far the traces of the process have come.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct Last {
    /// Of the last schedtrace record.
    pub uptime_ms: Option<u64>,
    /// Of the last gctrace record.
    pub cycle: Option<u32>,
}

/// A crash at hand, and the lines held until it is sure.
#[derive(Debug, Serialize, Deserialize)]
pub struct Suspect {
    /// What the crash's own lines say.
    pub case: Case,
    held: Vec<Box<[u8]>>,
    held_bytes: usize,
    /// So many of the lines held stood before the dump.
    in_text: usize,
    /// Records held that continue the last one before the crash, and where they end.
    continuing: u32,
    continuing_end: usize,
    foreign: u32,
    block: Block,
    /// Blocks with `dying` set that were seen here.
    dying_blocks: u64,
}

/// The scheddetail block at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Block {
    None,
    /// Its goroutines will show whether it is a sample; the uptime of its head.
    Open(u64),
    /// It has `dying` set.
    Dying,
}

/// What is to be done after a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Stay,
    /// It was a part of the crash, and what was held since the text is none of the process's.
    Drop,
    /// The crash, if it is one, ended before this line.
    Over,
    /// There was no crash.
    Refuted,
}

fn count_dropped(lines: &[Box<[u8]>], stats: &mut TraceStats) {
    for line in lines {
        if let Verdict::Trace(parsed) = line::read(line)
            && !matches!(parsed, Line::Proc(..) | Line::Thread(..) | Line::Goroutine(..))
        {
            stats.lost.add(parsed.kind(), LostReason::InCrash, 1);
        }
    }
}

impl Suspect {
    /// Begins with nothing held.
    #[must_use]
    pub fn new(case: Case) -> Self {
        Self {
            case,
            held: Vec::new(),
            held_bytes: 0,
            in_text: 0,
            continuing: 0,
            continuing_end: 0,
            foreign: 0,
            block: Block::None,
            dying_blocks: 0,
        }
    }

    /// Takes a line; `last`: how far the traces had come before.
    pub fn take(&mut self, line: &[u8], last: Last) -> Next {
        if line::is_candidate(line) {
            match line::read(line) {
                Verdict::Trace(_) if self.case.in_own_text() => return self.hold(line),
                Verdict::Trace(parsed) => return self.trace(line, &parsed, last),
                // A trace line that was torn, perhaps the next process's first.
                _ if dump::read(line) == dump::DumpLine::Foreign && !self.case.in_text() => {
                    return self.hold(line);
                }
                _ => {}
            }
        }
        self.other(line)
    }

    fn trace(&mut self, line: &[u8], parsed: &Line<'_>, last: Last) -> Next {
        match parsed {
            Line::Thread(thread, _) if thread.dying != 0 => {
                self.dying_blocks += u64::from(self.block != Block::Dying);
                if matches!(self.block, Block::Open(_)) {
                    self.forget_block();
                }
                self.block = Block::Dying;
                self.case.is_dying();
                Next::Stay
            }
            Line::Proc(..) | Line::Thread(..) | Line::Goroutine(..)
                if self.block == Block::Dying =>
            {
                Next::Stay
            }
            Line::Goroutine(..) => match std::mem::replace(&mut self.block, Block::None) {
                Block::Open(uptime) => self.judge(line, last.uptime_ms.is_none_or(|l| uptime <= l)),
                Block::None | Block::Dying => self.hold(line),
            },
            Line::Proc(..) | Line::Thread(..) | Line::Event(_) => self.hold(line),
            Line::Head(head) => {
                self.block = Block::Open(head.summary.uptime_ms);
                self.hold(line)
            }
            Line::Sched(sched) => {
                let uptime = sched.summary.uptime_ms;
                self.judge(line, last.uptime_ms.is_none_or(|last| uptime <= last))
            }
            Line::Gc(gc) => self.judge(line, last.cycle.is_none_or(|last| gc.cycle <= last)),
        }
    }

    /// The block at hand is no sample: forgets its lines.
    fn forget_block(&mut self) {
        while let Some(line) = self.held.pop() {
            self.held_bytes -= line.len();
            if matches!(line::read(&line), Verdict::Trace(Line::Head(_))) {
                break;
            }
        }
    }

    fn judge(&mut self, line: &[u8], is_next_process: bool) -> Next {
        self.block = Block::None;
        if is_next_process {
            return Next::Over;
        }
        self.continuing += 1;
        if self.continuing > CONTINUING_MAX {
            return self.lives();
        }
        let next = self.hold(line);
        self.continuing_end = self.held.len();
        next
    }

    /// The process goes on, or another one that writes to the same place.
    fn lives(&mut self) -> Next {
        if self.case.proof() < Proof::Dying {
            return Next::Refuted;
        }
        self.continuing_end = 0;
        Next::Over
    }

    fn other(&mut self, line: &[u8]) -> Next {
        let was_text = self.case.in_text();
        match self.case.line(line) {
            Step::Taken if was_text && self.case.in_text() => self.hold(line),
            Step::Taken if was_text => {
                self.in_text = self.held.len();
                Next::Drop
            }
            Step::Taken => Next::Drop,
            Step::Refuted => Next::Refuted,
            Step::Next => self.another(line),
            Step::Foreign if was_text || self.held.len() > self.in_text => self.hold(line),
            Step::Foreign => {
                self.foreign += 1;
                if self.foreign > FOREIGN_MAX { Next::Over } else { Next::Stay }
            }
        }
    }

    /// A second first line. Before anything is proved, the first was the service's, or this one
    /// stands in its text: it is one crash either way.
    fn another(&mut self, line: &[u8]) -> Next {
        let unproved = self.case.in_text() && self.case.proof() != Proof::Form;
        match dump::opening(line).filter(|_| unproved) {
            Some(opening) => {
                self.case = Case::new(&opening, self.case.proof());
                self.hold(line)
            }
            None => Next::Over,
        }
    }

    fn hold(&mut self, line: &[u8]) -> Next {
        self.held_bytes += line.len();
        self.held.push(line.into());
        let too_many = self.held.len() > HELD_MAX_LINES || self.held_bytes > HELD_MAX_BYTES;
        if !too_many {
            return Next::Stay;
        }
        // It goes on as an ordinary line.
        self.held.pop();
        self.lives()
    }

    /// More of the dump came: what was held since it began was printed by a dying process.
    pub fn drop_since_text(&mut self, stats: &mut TraceStats) {
        self.foreign = 0;
        self.continuing = 0;
        self.continuing_end = 0;
        let later = self.held.split_off(self.in_text.min(self.held.len()));
        count_dropped(&later, stats);
        self.held_bytes = self.held.iter().map(|line| line.len()).sum();
    }

    /// It is over: gives the crash, if it was one, and the lines that are not its own.
    #[must_use]
    pub fn close(self, refuted: bool, stats: &mut TraceStats) -> (Option<Crash>, Vec<Box<[u8]>>) {
        let Self { case, mut held, in_text, continuing, continuing_end, dying_blocks, .. } = self;
        stats.crash_dumps += dying_blocks;
        let own_text = case.in_own_text();
        let refuted = refuted || continuing > 0 && case.proof() < Proof::Dying;
        let crash = if refuted { None } else { case.finish() };
        if crash.is_some() {
            let dropped = if own_text { held.len() } else { in_text.max(continuing_end) };
            let later = held.split_off(dropped.min(held.len()));
            count_dropped(&held, stats);
            held = later;
        }
        (crash, held)
    }
}
