//! Lines → records: a scheddetail block is many lines, everything else is one.

use serde::{Deserialize, Serialize};

use super::block::Open;
use super::drift;
use super::dump;
use super::forms::Forms;
use super::gate::Gate;
use super::line::{self, Line, Verdict};
use super::quiet;
use super::reassemble::{self, Outcome, PIPE_BUF, Reassembler};
use super::releases::{Releases, Told};
use super::samples::Samples;
use crate::model::record::{Dump, Record};
use crate::model::release::ReleaseRange;
use crate::model::sink::LineSink;
use crate::model::stats::{LostReason, RecordKind, TraceStats};

/// Reads one service's lines in order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default = "Reader::of_packets", bound(deserialize = "D: Dump + Deserialize<'de>"))]
pub struct Reader<D> {
    /// None where packets keep the runtime's lines apart: then nothing is torn.
    torn: Option<Reassembler>,
    /// Nothing is open, and nothing is to be learned of the service's lines.
    #[serde(skip)]
    idle: bool,
    forms: Forms,
    releases: Releases,
    /// Told anew by another life of ours.
    #[serde(skip)]
    samples: Samples,
    pub(super) open: Option<Open<D>>,
    /// Goroutines of the last whole block; the runtime's list of them never shrinks.
    pub(super) last_listed: u64,
    pub(super) last_uptime_ms: u64,
    pub(super) gate: Gate,
}

/// A reader at work.
struct Taking<'a, D, E> {
    reader: &'a mut Reader<D>,
    stats: &'a mut TraceStats,
    emit: E,
}

impl<D: Dump, E: FnMut(Record<D>)> LineSink for Taking<'_, D, E> {
    #[inline]
    fn line(&mut self, line: &[u8]) {
        self.reader.line(line, self.stats, &mut self.emit);
    }

    /// What [`Reader::line`] would give false for at once.
    #[inline]
    fn passes_over(&self, text: &[u8], longest: usize) -> usize {
        if self.reader.idle { quiet::lines(text, longest.min(PIPE_BUF)) } else { 0 }
    }
}

impl<D: Dump> Reader<D> {
    /// For a stream of which only the bytes remain: torn lines are put together.
    #[must_use]
    pub fn of_stream() -> Self {
        Self { torn: Some(Reassembler::default()), ..Self::of_packets() }
    }

    /// For lines that cannot be torn.
    #[must_use]
    pub fn of_packets() -> Self {
        Self {
            torn: None,
            idle: false,
            forms: Forms::default(),
            releases: Releases::default(),
            samples: Samples::default(),
            open: None,
            last_listed: 0,
            last_uptime_ms: 0,
            gate: Gate::default(),
        }
    }

    /// Takes a line without its line feed. Calls `emit` with each record that is complete now:
    /// a block is, when the next one begins.
    ///
    /// Gives false for a line that is not the runtime's.
    #[inline]
    pub fn line(
        &mut self,
        line: &[u8],
        stats: &mut TraceStats,
        emit: &mut impl FnMut(Record<D>),
    ) -> bool {
        // Nearly every line of a service ends here: no trace and no crash begins with its first byte.
        if self.idle && line.len() <= PIPE_BUF && !quiet::may_say_something(line) {
            return false;
        }
        self.look_at(line, stats, emit)
    }

    /// Takes lines as [`Self::line`] does.
    pub fn sink<'a, E: FnMut(Record<D>) + 'a>(
        &'a mut self,
        stats: &'a mut TraceStats,
        emit: E,
    ) -> impl LineSink + 'a {
        Taking { reader: self, stats, emit }
    }

    #[inline(never)]
    fn look_at(
        &mut self,
        line: &[u8],
        stats: &mut TraceStats,
        emit: &mut impl FnMut(Record<D>),
    ) -> bool {
        let is_of_crash =
            (dump::is_candidate(line) || self.gate.is_busy()) && self.crash_line(line, stats, emit);
        let is_trace = !is_of_crash && self.plain(line, stats, emit);
        self.idle =
            !self.gate.is_busy() && self.torn.as_ref().is_none_or(Reassembler::needs_no_line);
        is_trace
    }

    /// A line that has nothing to do with a crash.
    #[inline]
    pub(super) fn plain(
        &mut self,
        line: &[u8],
        stats: &mut TraceStats,
        emit: &mut impl FnMut(Record<D>),
    ) -> bool {
        if line::is_candidate(line)
            || line.len() > PIPE_BUF
            || self.torn.as_ref().is_some_and(Reassembler::is_open)
        {
            return self.candidate(line, stats, emit);
        }
        if let Some(torn) = &mut self.torn {
            torn.learn(line);
        }
        false
    }

    fn candidate(
        &mut self,
        line: &[u8],
        stats: &mut TraceStats,
        emit: &mut impl FnMut(Record<D>),
    ) -> bool {
        match line::read(line) {
            Verdict::Trace(parsed) => {
                let lost = self.torn.as_mut().and_then(|torn| torn.trace_line(parsed.kind()));
                self.note_lost(lost, stats);
                if self.has_known_form(&parsed) {
                    self.trace(parsed, line, false, stats, emit);
                } else {
                    self.note_lost(Some(parsed.kind()), stats);
                }
                true
            }
            Verdict::Foreign => self.other(line, None, stats, emit),
            Verdict::Malformed(kind) if drift::is_unknown_form(line, kind) => {
                self.note_unknown_form(kind, line, stats);
                self.note_malformed(kind);
                true
            }
            Verdict::Malformed(kind) => self.other(line, Some(kind), stats, emit),
        }
    }

    /// A line that is no whole trace line: it may hold pieces of one.
    fn other(
        &mut self,
        line: &[u8],
        malformed: Option<RecordKind>,
        stats: &mut TraceStats,
        emit: &mut impl FnMut(Record<D>),
    ) -> bool {
        let mut lost = None;
        let outcome = match &mut self.torn {
            Some(torn) => torn.other_line(line, &mut lost),
            None => Outcome::Foreign,
        };
        self.note_lost(lost, stats);
        match outcome {
            Outcome::Whole(texts) => {
                self.put_together(&texts, stats, emit);
                true
            }
            Outcome::Piece => true,
            Outcome::Around(at) => {
                self.candidate(line.get(at..).unwrap_or_default(), stats, emit);
                self.torn.iter_mut().for_each(Reassembler::inner_was_read);
                true
            }
            Outcome::Foreign => {
                if let Some(cut) = self.cut_before_trace(line) {
                    return self.candidate(cut, stats, emit);
                }
                if let Some(kind) = malformed {
                    stats.malformed.add(kind, 1);
                }
                // Packets keep the runtime's lines whole: there it is the service's own.
                match malformed {
                    Some(kind) if self.torn.is_some() => self.note_malformed(kind),
                    None if self.torn.is_some() => self.note_damage(line),
                    _ => {}
                }
                malformed.is_some()
            }
        }
    }

    /// A torn line is whole: one of these texts, if only one is certain.
    fn put_together(
        &mut self,
        texts: &[Vec<u8>],
        stats: &mut TraceStats,
        emit: &mut impl FnMut(Record<D>),
    ) {
        let (mut kind, mut certain) = (None, Vec::new());
        for text in texts {
            if let Verdict::Trace(parsed) = line::read(text) {
                kind = Some(parsed.kind());
                if self.forms.accept(&parsed) {
                    certain.push((parsed, text));
                }
            }
        }
        match (certain.pop(), certain.is_empty()) {
            (Some((one, text)), true) => {
                self.forms.follow(&one);
                self.trace(one, text, true, stats, emit);
            }
            _ => self.note_lost(kind, stats),
        }
    }

    fn note_unknown_form(&mut self, kind: RecordKind, line: &[u8], stats: &mut TraceStats) {
        stats.unknown_forms.add(kind, 1);
        self.samples.note(kind, line);
    }

    /// Lines in unknown forms that were not asked for yet, at most one a kind.
    pub fn take_samples(&mut self) -> Vec<(RecordKind, Box<[u8]>)> {
        self.samples.take()
    }

    /// How the percent sign of a gctrace line was written, where the writes are known.
    pub fn note_percent(&mut self, alone: bool) {
        self.releases.note_percent(alone);
    }

    /// The Go releases that can have printed what was read.
    #[must_use]
    pub fn releases(&self) -> Option<ReleaseRange> {
        self.releases.range()
    }

    /// A long write of the service that was cut where a trace line begins: from there on.
    fn cut_before_trace<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let _stream = self.torn.as_ref()?;
        let cuts = (PIPE_BUF..line.len()).step_by(PIPE_BUF);
        cuts.filter_map(|at| line.get(at..)).find(|rest| reassemble::start(rest).is_some())
    }

    #[inline]
    fn has_known_form(&mut self, parsed: &Line<'_>) -> bool {
        // The most frequent lines by far have one form only.
        self.torn.is_none() || matches!(parsed, Line::Goroutine(..)) || self.forms.learn(parsed)
    }

    /// A line that was torn and could not be put together.
    fn note_lost(&mut self, lost: Option<RecordKind>, stats: &mut TraceStats) {
        if let Some(kind) = lost {
            // A line of a block is no record: the block is counted when it ends.
            if kind != RecordKind::SchedDetail {
                stats.note_lost(lost, LostReason::Torn);
            }
            self.note_malformed(kind);
        }
    }

    fn trace(
        &mut self,
        parsed: Line<'_>,
        printed: &[u8],
        torn: bool,
        stats: &mut TraceStats,
        emit: &mut impl FnMut(Record<D>),
    ) {
        if self.gate.drops(&parsed, stats) {
            return;
        }
        self.gate.saw(&parsed);
        if self.releases.note(&parsed, printed) == Told::NoRelease || parsed.unknown_fields() > 0 {
            self.note_unknown_form(parsed.kind(), printed, stats);
        }
        if self.releases.take_restart() {
            // The block at hand is of the process before, and belongs before this line.
            self.close(stats, emit);
        }
        match parsed {
            Line::Goroutine(goroutine, _) => {
                self.goroutine(&goroutine);
                self.note_torn(torn);
            }
            Line::Thread(thread, _) => {
                self.thread(thread);
                self.note_torn(torn);
            }
            Line::Proc(proc, _) => {
                self.proc(proc, stats, emit);
                self.note_torn(torn);
            }
            Line::Head(head) => {
                self.close(stats, emit);
                self.open = Some(Open::new(head));
                self.note_torn(torn);
            }
            Line::Sched(mut sched) => {
                self.close(stats, emit);
                self.note_uptime(sched.summary.uptime_ms);
                stats.records.add(RecordKind::Sched, 1);
                stats.recovered.add(RecordKind::Sched, torn.into());
                sched.torn = torn;
                emit(Record::Sched(sched));
            }
            Line::Gc(mut gc) => {
                stats.records.add(RecordKind::Gc, 1);
                stats.recovered.add(RecordKind::Gc, torn.into());
                gc.torn = torn;
                emit(Record::Gc(gc));
            }
            Line::Event(event) => {
                stats.records.add(event.kind(), 1);
                stats.recovered.add(event.kind(), torn.into());
                emit(Record::Event(event, torn));
            }
        }
    }

    /// The stream ends or breaks: gives the block at hand if it can be told to be whole.
    pub fn end(&mut self, stats: &mut TraceStats, emit: &mut impl FnMut(Record<D>)) {
        let lost = self.torn.as_mut().and_then(Reassembler::give_up);
        self.note_lost(lost, stats);
        // What was held comes before the block that it may end.
        self.settle(stats, emit);
        self.close(stats, emit);
        self.settle(stats, emit);
    }

    /// What follows does not continue what came before, and something between was not read: gives
    /// up what is not complete, and forgets what was learned of the process.
    pub fn abandon(&mut self, stats: &mut TraceStats) {
        let lost = self.torn.as_mut().and_then(Reassembler::give_up);
        self.note_lost(lost, stats);
        if self.open.is_some() {
            stats.lost.add(RecordKind::SchedDetail, LostReason::Cut, 1);
        }
        self.reset();
    }

    /// What follows comes from another process or another place: forgets what was learned.
    pub fn reset(&mut self) {
        self.forms = Forms::default();
        self.open = None;
        self.last_listed = 0;
        self.last_uptime_ms = 0;
        self.releases.reset();
        self.gate = Gate::default();
    }

    /// The process crashed: the block at hand ends with it, and what comes next is another's.
    pub(super) fn process_ended(
        &mut self,
        stats: &mut TraceStats,
        emit: &mut impl FnMut(Record<D>),
    ) {
        self.close(stats, emit);
        self.last_listed = 0;
        self.last_uptime_ms = 0;
        self.releases.reset();
    }

    /// The block at hand was printed by a process that crashes: forgets it.
    pub(super) fn take_dying_block(&mut self, stats: &mut TraceStats) -> bool {
        let dying = self.open.take_if(|open| open.dying).is_some();
        stats.crash_dumps += u64::from(dying);
        dying
    }

    /// Whether lines of the service have begun like this.
    pub(super) fn knows_beginning(&self, text: &[u8]) -> bool {
        self.torn.as_ref().is_some_and(|torn| torn.knows(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Goroutine, Thread};

    #[derive(Debug, Default, PartialEq)]
    struct Ids(Vec<u64>);

    impl Dump for Ids {
        fn thread(&mut self, _: Thread) {}
        fn goroutine(&mut self, goroutine: &Goroutine<'_>) {
            self.0.push(goroutine.id);
        }
    }

    fn head(uptime_ms: u32) -> String {
        format!(
            "SCHED {uptime_ms}ms: gomaxprocs=1 idleprocs=1 threads=2 spinningthreads=0 needspinning=0 idlethreads=0 runqueue=0 gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false"
        )
    }

    const P: &str =
        "  P0: status=0 schedtick=1 syscalltick=0 m=nil runqsize=0 gfreecnt=0 timerslen=0";
    const M: &str = "  M0: p=nil curg=nil mallocing=0 throwing=0 preemptoff= locks=0 dying=0 spinning=false blocked=true lockedg=nil";
    const G1: &str = "  G1: status=4(sleep) m=nil lockedm=nil";
    const G2: &str = "  G2: status=4(select) m=nil lockedm=nil";

    fn read(lines: &[&str]) -> (Vec<Vec<u64>>, TraceStats) {
        let (mut reader, mut stats, mut blocks) =
            (Reader::<Ids>::of_stream(), TraceStats::default(), Vec::new());
        let mut emit = |record: Record<Ids>| {
            if let Record::SchedDetail(block) = record {
                blocks.push(block.dump.0);
            }
        };
        for line in lines {
            reader.line(line.as_bytes(), &mut stats, &mut emit);
        }
        reader.end(&mut stats, &mut emit);
        (blocks, stats)
    }

    #[test]
    fn blocks_end_where_the_next_begins_and_foreign_lines_do_not_matter() {
        let (first, second) = (head(0), head(1000));
        let (blocks, stats) =
            read(&[&first, P, "INFO hello", M, G1, "INFO again", G2, &second, P, M, G1, G2]);
        assert_eq!(blocks, [vec![1, 2], vec![1, 2]]);
        assert_eq!(stats.lost.total(), 0);
    }

    #[test]
    fn a_block_with_a_damaged_line_or_too_few_goroutines_is_given_up_and_counted() {
        let (first, second, third) = (head(0), head(1000), head(2000));
        let (blocks, stats) = read(&[
            &first,
            P,
            M,
            G1,
            G2,
            &second,
            P,
            M,
            G1,
            "  G2: status=4(sel",
            &third,
            P,
            M,
            G1,
        ]);
        assert_eq!(blocks, [vec![1, 2]]);
        assert_eq!(stats.lost.get(RecordKind::SchedDetail), 2);
    }

    #[test]
    fn the_line_of_a_p_is_missed_by_its_number_and_by_nothing_else() {
        let two = head(0).replace("gomaxprocs=1", "gomaxprocs=2");
        assert_ne!(two, head(0));
        let other = P.replace("P0", "P1");
        let (blocks, _) = read(&[&two, P, "  P", &other, M, G1, "  P"]);
        assert_eq!(blocks, [vec![1]]);
        for [first, second] in [[P, P], [&other, P], [P, "  P"]] {
            let (blocks, stats) = read(&[&two, first, second, M, G1]);
            assert!(blocks.is_empty() && stats.lost.get(RecordKind::SchedDetail) == 1);
        }
    }

    #[test]
    fn lines_of_a_block_without_its_head_are_not_added_to_the_one_before() {
        let first = head(0);
        let (blocks, _) = read(&[&first, P, M, G1, G2, "SCHED 10002026/11/21 INFO", P, M, G1, G2]);
        assert_eq!(blocks, [vec![1, 2]]);
    }

    #[test]
    fn the_block_before_a_panic_is_not_a_sample() {
        let (first, dying) = (head(0), M.replace("dying=0", "dying=1"));
        let (blocks, stats) = read(&[&first, P, &dying, G1, "panic: x"]);
        assert!(blocks.is_empty());
        assert_eq!(stats.crash_dumps, 1);
    }

    #[test]
    fn a_restart_may_list_fewer_goroutines() {
        let (first, second) = (head(5000), head(0));
        let (blocks, stats) = read(&[&first, P, M, G1, G2, &second, P, M, G1]);
        assert_eq!(blocks, [vec![1, 2], vec![1]]);
        assert_eq!(stats.lost.total(), 0);
    }
}
