//! Which Go releases can have printed a line: every form that not all releases print is evidence.

use serde::{Deserialize, Serialize};

use super::line::Line;
use super::release_table::{Form, from, of_form, of_goal, of_reason, until};
use crate::model::record::{
    Event, Gc, Goroutine, Pacer, Proc, ScavTrace, Scavenge, Sched, goroutine_state,
};
use crate::model::release::ReleaseRange;

/// After lines that contradict each other, so many have to agree before a range is given again.
const DOUBT_LINES: u32 = 32;

/// Goroutines looked at in the beginning of a process, all of them, and later.
const FIRST_GOROUTINES: u32 = 4096;
const ONE_GOROUTINE_IN: u32 = 16;

/// Most kinds of goroutines (state and wait reason) remembered: more than the runtime has.
const SEEN_MAX: usize = 256;

/// What a line tells of its release.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing that contradicts what is known.
    Fits,
    /// No release prints such a line: it has forms of different ones.
    NoRelease,
}

/// The releases that can have printed all lines of a process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Releases {
    range: ReleaseRange,
    known: bool,
    doubt: u32,
    cycle: u32,
    uptime_ms: u64,
    init_at: u64,
    restarted: bool,
    goroutines: u32,
    /// Kinds of goroutines that are taken into account already.
    seen: Vec<(u32, Box<str>)>,
}

impl Default for Releases {
    fn default() -> Self {
        Self {
            range: ReleaseRange::ALL,
            known: false,
            doubt: 0,
            cycle: 0,
            uptime_ms: 0,
            init_at: 0,
            restarted: false,
            goroutines: 0,
            seen: Vec::new(),
        }
    }
}

impl Releases {
    /// The releases, if anything is known of them.
    #[must_use]
    pub fn range(&self) -> Option<ReleaseRange> {
        (self.known && self.doubt == 0).then_some(self.range)
    }

    /// What follows comes from another process.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes a whole line, as read and as printed.
    #[inline]
    pub fn note(&mut self, line: &Line<'_>, printed: &[u8]) -> Told {
        match line {
            Line::Goroutine(goroutine, _) if !self.looks_at_this() || self.is_seen(goroutine) => {
                Told::Fits
            }
            _ => self.note_new(line, printed),
        }
    }

    /// Whether the last line was the first of another process, told once.
    pub fn take_restart(&mut self) -> bool {
        std::mem::take(&mut self.restarted)
    }

    /// A service may have a million goroutines: after the first, one in some is looked at.
    fn looks_at_this(&mut self) -> bool {
        self.goroutines = self.goroutines.wrapping_add(1);
        self.goroutines < FIRST_GOROUTINES || self.goroutines.is_multiple_of(ONE_GOROUTINE_IN)
    }

    /// Goroutines are of a few kinds; the frequent ones move to the front.
    fn is_seen(&mut self, goroutine: &Goroutine<'_>) -> bool {
        let alike = |(status, reason): &(u32, Box<str>)| {
            *status == goroutine.status && **reason == *goroutine.wait_reason
        };
        let Some(at) = self.seen.iter().position(alike) else { return false };
        if at > 0 {
            self.seen.swap(at, at - 1);
        }
        true
    }

    fn see(&mut self, goroutine: &Goroutine<'_>) {
        self.seen.truncate(SEEN_MAX - 1);
        self.seen.push((goroutine.status, goroutine.wait_reason.into()));
    }

    /// A gctrace line's percent sign was a write of its own, or one with the colon.
    pub fn note_percent(&mut self, alone: bool) {
        self.narrow(of_form(if alone { Form::GcPercentAlone } else { Form::GcPercentWithColon }));
    }

    fn note_new(&mut self, line: &Line<'_>, printed: &[u8]) -> Told {
        self.note_restart(line);
        let mut evidence = Some(ReleaseRange::ALL);
        let mut add = |range: ReleaseRange| evidence = evidence.and_then(|all| all.and(range));
        match line {
            Line::Sched(sched) => add(of_form(sched_form(sched))),
            Line::Head(head) if head.summary.needspinning.is_some() => add(from(20)),
            Line::Head(_) => add(until(19)),
            Line::Proc(proc, _) => of_proc(proc, printed, &mut add),
            Line::Thread(..) => of_thread(printed, &mut add),
            Line::Goroutine(goroutine, _) => {
                self.see(goroutine);
                of_goroutine(goroutine, printed, &mut add);
            }
            Line::Gc(gc) => of_gc(gc, &mut add),
            Line::Event(event) => of_event(event, printed, &mut add),
        }
        evidence.map_or(Told::NoRelease, |range| self.narrow(range))
    }

    fn narrow(&mut self, told: ReleaseRange) -> Told {
        if told == ReleaseRange::ALL {
            return Told::Fits;
        }
        self.known = true;
        self.doubt = self.doubt.saturating_sub(1);
        if let Some(both) = self.range.and(told) {
            self.range = both;
        } else {
            // Another process, whose beginning was not seen: an upgrade; or two in one file.
            self.range = told;
            self.seen.clear();
            self.doubt = DOUBT_LINES;
        }
        Told::Fits
    }

    /// A number that went back: another process, perhaps of another release.
    fn note_restart(&mut self, line: &Line<'_>) {
        let restarted = match line {
            Line::Gc(gc) => gc.cycle <= std::mem::replace(&mut self.cycle, gc.cycle),
            Line::Sched(sched) => self.uptime_went_back(sched.summary.uptime_ms),
            Line::Head(head) => self.uptime_went_back(head.summary.uptime_ms),
            Line::Event(Event::Init(init)) => {
                init.at_ms.0 < std::mem::replace(&mut self.init_at, init.at_ms.0)
            }
            _ => false,
        };
        if restarted {
            let doubt = self.doubt;
            let Self { cycle, uptime_ms, init_at, .. } = std::mem::take(self);
            *self = match line {
                Line::Gc(_) => Self { cycle, ..Self::default() },
                Line::Sched(_) | Line::Head(_) => Self { uptime_ms, ..Self::default() },
                _ => Self { init_at, ..Self::default() },
            };
            self.doubt = doubt;
            self.restarted = true;
        }
    }

    fn uptime_went_back(&mut self, uptime_ms: u64) -> bool {
        uptime_ms < std::mem::replace(&mut self.uptime_ms, uptime_ms)
    }
}

fn sched_form(sched: &Sched) -> Form {
    match (&sched.schedticks, sched.summary.needspinning) {
        (Some(_), _) => Form::SchedTicks,
        (None, Some(_)) => Form::SchedNeedspinning,
        (None, None) => Form::SchedFirst,
    }
}

fn has(printed: &[u8], words: &[u8]) -> bool {
    memchr::memmem::find(printed, words).is_some()
}

/// How the line prints that there is no P, M or G.
fn of_ids(printed: &[u8], add: &mut impl FnMut(ReleaseRange)) {
    if has(printed, b"=nil") {
        add(of_form(Form::IdNil));
    }
    // Other fields may be -1, too.
    if [&b" m=-1"[..], b" p=-1", b" curg=-1", b" lockedg=-1", b" lockedm=-1"]
        .iter()
        .any(|field| has(printed, field))
    {
        add(of_form(Form::IdMinusOne));
    }
}

fn of_proc(proc: &Proc, printed: &[u8], add: &mut impl FnMut(ReleaseRange)) {
    of_ids(printed, add);
    let timers = proc.timerslen.is_some();
    add(of_form(if timers { Form::ProcWithTimers } else { Form::ProcWithoutTimers }));
    if proc.status == 2 {
        add(of_form(Form::ProcInSyscall));
    }
}

fn of_thread(printed: &[u8], add: &mut impl FnMut(ReleaseRange)) {
    of_ids(printed, add);
    let helpgc = has(printed, b" helpgc=");
    add(of_form(if helpgc { Form::ThreadHelpgc } else { Form::ThreadWithoutHelpgc }));
}

fn of_goroutine(goroutine: &Goroutine<'_>, printed: &[u8], add: &mut impl FnMut(ReleaseRange)) {
    of_ids(printed, add);
    match goroutine_state(goroutine.status) {
        "enqueue" => add(of_form(Form::GoroutineEnqueue)),
        "preempted" => add(of_form(Form::GoroutinePreempted)),
        "leaked" | "deadextra" => add(of_form(Form::GoroutineLeaked)),
        _ => {}
    }
    add(of_reason(goroutine.wait_reason));
}

fn of_gc(gc: &Gc, add: &mut impl FnMut(ReleaseRange)) {
    add(of_form(match (gc.clock_ms.scan, gc.stacks_mb) {
        (Some(_), _) => Form::GcFivePhases,
        (None, None) => Form::GcThreePhases,
        (None, Some(_)) => Form::GcAreas,
    }));
    if gc.clock_ms.scan.is_some() && gc.stacks_mb.is_some() {
        add(of_form(Form::GcAreas));
    }
    if gc.leak_check {
        add(of_form(Form::GcLeakCheck));
    }
    add(of_goal(gc.goal_mb));
}

fn of_event(event: &Event, printed: &[u8], add: &mut impl FnMut(ReleaseRange)) {
    match event {
        Event::Pacer(pacer) => of_pacer(pacer, printed, add),
        Event::Scavenge(Scavenge::Trace(trace)) => of_scavtrace(trace, add),
        Event::Scavenge(Scavenge::Released(scvg)) => of_scvg(scvg.number, add),
        Event::Scavenge(Scavenge::Heap(scvg)) => of_scvg(scvg.number, add),
        Event::Init(_) => add(of_form(Form::Init)),
        Event::GcScan(_) => add(of_form(Form::Scan)),
        Event::FinalizerQueue(_) => add(of_form(Form::FinalizerQueue)),
        Event::ForcedGc {} => {}
    }
}

fn of_pacer(pacer: &Pacer, printed: &[u8], add: &mut impl FnMut(ReleaseRange)) {
    if let Some(form) = float_form(printed) {
        add(of_form(form));
    }
    match pacer {
        Pacer::AssistRatio(plan) => {
            if plan.fractional_workers.is_some() {
                add(of_form(Form::PacerWorkersWhole));
            } else if plan.fractional_utilization_goal.is_some() {
                add(of_form(Form::PacerWorkersShare));
            }
        }
        Pacer::OldCycleEnd(_) => add(of_form(Form::PacerOldEnd)),
        Pacer::CycleEnd(end) if end.controller_reset => add(of_form(Form::PacerEndReset)),
        Pacer::CycleEnd(_) => add(of_form(Form::PacerEnd)),
        Pacer::SweepDone(swept) => add(of_form(match (swept.of_spans, swept.pages_per_byte) {
            (true, None) => Form::SweepWithoutRatio,
            (true, Some(_)) => Form::SweepOfSpans,
            (false, _) => Form::SweepDuring,
        })),
    }
}

/// How the line's first float is printed; NaN and infinities tell nothing.
fn float_form(printed: &[u8]) -> Option<Form> {
    let starts = [&b"pacer: assist ratio="[..], b" pages at ", b", cons/mark ", b" h_t="];
    let number = starts.iter().find_map(|start| {
        let at = memchr::memmem::find(printed, start)?;
        printed.get(at + start.len()..)
    })?;
    match number {
        [b'+' | b'-', b'0'..=b'9', b'.', ..] if number.get(9) == Some(&b'e') => {
            Some(Form::FloatFull)
        }
        [b'0'..=b'9', ..] => Some(Form::FloatShortest),
        _ => None,
    }
}

fn of_scavtrace(trace: &ScavTrace, add: &mut impl FnMut(ReleaseRange)) {
    let undivided = trace.work_kib.is_some();
    add(of_form(match (undivided, trace.generation, trace.controller_reset) {
        (false, ..) => Form::ScavDivided,
        (true, Some(_), _) => Form::ScavGeneration,
        (true, None, true) => Form::ScavUndividedReset,
        (true, None, false) => Form::ScavUndivided,
    }));
    if trace.generation.is_some() && trace.controller_reset {
        add(of_form(Form::ScavUndividedReset));
    }
}

fn of_scvg(number: Option<i64>, add: &mut impl FnMut(ReleaseRange)) {
    add(of_form(if number.is_some() { Form::ScvgNumbered } else { Form::ScvgPlain }));
}
