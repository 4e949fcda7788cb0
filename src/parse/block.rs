//! The scheddetail block at hand: its lines in order, and whether it is whole.

use serde::{Deserialize, Serialize};

use super::reader::Reader;
use crate::model::record::{DetailBlock, DetailHead, Dump, Goroutine, Proc, Record, Thread};
use crate::model::stats::{LostReason, RecordKind, TraceStats};

/// Most Ps kept of one block: the runtime's own limit was 1,024 until Go 1.10 and machines with
/// more cores than this are not known.
const PROCS_MAX: usize = 65_536;

/// Where in a block the last line stood; the order is fixed: P, M, G.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Part {
    Procs,
    Threads,
    Goroutines,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Open<D> {
    pub(super) block: DetailBlock<D>,
    pub(super) part: Part,
    pub(super) threads: u64,
    pub(super) goroutines: u64,
    pub(super) damaged: bool,
    pub(super) dying: bool,
}

impl<D: Dump> Reader<D> {
    pub(super) fn note_torn(&mut self, torn: bool) {
        if let Some(open) = &mut self.open {
            open.block.torn |= torn;
        }
    }

    pub(super) fn proc(
        &mut self,
        proc: Proc,
        stats: &mut TraceStats,
        emit: &mut impl FnMut(Record<D>),
    ) {
        if self.open.as_ref().is_some_and(|open| open.part > Part::Procs) {
            // The next block began and its head was lost.
            self.close(stats, emit);
        }
        if let Some(open) = &mut self.open
            && open.block.procs.len() < PROCS_MAX
        {
            open.block.procs.push(proc);
        }
    }

    pub(super) fn thread(&mut self, thread: Thread) {
        if let Some(open) = &mut self.open {
            open.damaged |= open.part > Part::Threads;
            open.part = Part::Threads;
            open.threads += 1;
            open.dying |= thread.dying != 0;
            open.block.dump.thread(thread);
        }
    }

    pub(super) fn goroutine(&mut self, goroutine: &Goroutine<'_>) {
        if let Some(open) = &mut self.open {
            open.part = Part::Goroutines;
            open.goroutines += 1;
            open.block.dump.goroutine(goroutine);
        }
    }

    pub(super) fn note_malformed(&mut self, kind: RecordKind) {
        if kind == RecordKind::SchedDetail {
            if let Some(open) = &mut self.open {
                open.damaged = true;
            }
        } else if kind == RecordKind::Sched {
            // Whatever block follows has lost its head.
            if let Some(open) = &mut self.open {
                open.part = Part::Goroutines;
            }
        }
    }

    /// A foreign line that begins like a block's line may hide one that was torn. (A P's that is
    /// missing shows by itself.)
    pub(super) fn note_damage(&mut self, line: &[u8]) {
        if let [b' ', b' ', b'M' | b'G', ..] = line {
            self.note_malformed(RecordKind::SchedDetail);
        }
    }

    pub(super) fn note_uptime(&mut self, uptime_ms: u64) {
        if uptime_ms < self.last_uptime_ms {
            self.last_listed = 0;
        }
        self.last_uptime_ms = uptime_ms;
    }

    pub(super) fn close(&mut self, stats: &mut TraceStats, emit: &mut impl FnMut(Record<D>)) {
        let Some(open) = self.open.take() else { return };
        self.note_uptime(open.block.head.summary.uptime_ms);
        if open.dying {
            stats.crash_dumps += 1;
            self.gate.process_dies();
        } else if open.is_whole(self.last_listed) {
            self.last_listed = open.goroutines;
            stats.records.add(RecordKind::SchedDetail, 1);
            stats.recovered.add(RecordKind::SchedDetail, open.block.torn.into());
            emit(Record::SchedDetail(Box::new(open.block)));
        } else {
            // Another process may list fewer; then the next block is measured against this one.
            if !open.damaged {
                self.last_listed = self.last_listed.min(open.goroutines);
            }
            stats.lost.add(RecordKind::SchedDetail, LostReason::Incomplete, 1);
        }
    }
}

impl<D: Dump> Open<D> {
    pub(super) fn new(head: DetailHead) -> Self {
        let block = DetailBlock { head, procs: Vec::new(), dump: D::default(), torn: false };
        Self { block, part: Part::Procs, threads: 0, goroutines: 0, damaged: false, dying: false }
    }

    /// The block's own marks of being whole: the line of every P, in order, and no fewer goroutines
    /// than the list had before. Nothing in the format tells the number of goroutines.
    fn is_whole(&self, last_listed: u64) -> bool {
        let procs = &self.block.procs;
        let all = 0..self.block.head.summary.gomaxprocs;
        !self.damaged
            && procs.iter().map(|proc| proc.id).eq(all)
            && self.threads > 0
            && self.goroutines > 0
            && self.goroutines >= last_listed
    }
}
