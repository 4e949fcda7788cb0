//! What each form of a line tells of the Go release that printed it.

use crate::model::release::{OLDEST_MINOR, ReleaseRange};

/// A form that not all releases print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table says what each is")]
pub enum Form {
    SchedFirst,
    SchedNeedspinning,
    SchedTicks,
    IdMinusOne,
    IdNil,
    ProcWithoutTimers,
    ProcWithTimers,
    ProcInSyscall,
    ThreadHelpgc,
    ThreadWithoutHelpgc,
    GoroutineEnqueue,
    GoroutinePreempted,
    GoroutineLeaked,
    GcFivePhases,
    GcThreePhases,
    GcAreas,
    GcLeakCheck,
    GcPercentWithColon,
    GcPercentAlone,
    GoalMaxUint,
    GoalOf1_19,
    GoalSince1_20,
    FloatFull,
    FloatShortest,
    PacerWorkersWhole,
    PacerWorkersShare,
    PacerOldEnd,
    PacerEnd,
    PacerEndReset,
    SweepWithoutRatio,
    SweepOfSpans,
    SweepDuring,
    ScvgNumbered,
    ScvgPlain,
    ScavGeneration,
    ScavUndivided,
    ScavUndividedReset,
    ScavDivided,
    Init,
    Scan,
    FinalizerQueue,
}

const fn only(minor: u8) -> ReleaseRange {
    ReleaseRange::between(minor, minor)
}

/// 1.5 to 1.`last`.
pub const fn until(last: u8) -> ReleaseRange {
    ReleaseRange::between(OLDEST_MINOR, last)
}

/// From 1.`first` on.
pub const fn from(first: u8) -> ReleaseRange {
    ReleaseRange::from(first)
}

/// What each form tells. All paths are in src/runtime of the release that changed it.
const EVIDENCE: [(Form, ReleaseRange); 41] = [
    // proc.go, schedtrace: 1.20 printed needspinning, 1.25 the ticks and blanks in the brackets.
    (Form::SchedFirst, until(19)),
    (Form::SchedNeedspinning, ReleaseRange::between(20, 24)),
    (Form::SchedTicks, from(25)),
    // 1.20 prints nil where there is no P, M or G.
    (Form::IdMinusOne, until(19)),
    (Form::IdNil, from(20)),
    // 1.14 gave each P its timers.
    (Form::ProcWithoutTimers, until(13)),
    (Form::ProcWithTimers, from(14)),
    // runtime2.go: 1.26 has no _Psyscall.
    (Form::ProcInSyscall, until(25)),
    // 1.12 removed helpgc.
    (Form::ThreadHelpgc, until(11)),
    (Form::ThreadWithoutHelpgc, from(12)),
    // runtime2.go: _Genqueue until 1.6, _Gpreempted from 1.14, _Gleaked and _Gdeadextra from 1.26.
    (Form::GoroutineEnqueue, until(6)),
    (Form::GoroutinePreempted, from(14)),
    (Form::GoroutineLeaked, from(26)),
    // mgc.go, gcMarkTermination: 1.6 has three phases, 1.18 stacks and globals, 1.26 the remark.
    (Form::GcFivePhases, only(5)),
    (Form::GcThreePhases, ReleaseRange::between(6, 17)),
    (Form::GcAreas, from(18)),
    (Form::GcLeakCheck, from(26)),
    // The same remark made two writes of what had been one: "%: ".
    (Form::GcPercentWithColon, until(25)),
    (Form::GcPercentAlone, from(26)),
    // mgcpacer.go, the goal of GOGC=off: ^uint64(0) from 1.9, less the memory limit's overheads in
    // 1.19, less headroom from 1.20 on.
    (Form::GoalMaxUint, ReleaseRange::between(9, 18)),
    (Form::GoalOf1_19, only(19)),
    (Form::GoalSince1_20, from(20)),
    // print.go, printfloat: 1.26 prints the shortest form.
    (Form::FloatFull, until(25)),
    (Form::FloatShortest, from(26)),
    // mgc.go, startCycle: 1.10 made the fractional workers a share.
    (Form::PacerWorkersWhole, until(9)),
    (Form::PacerWorkersShare, from(10)),
    // mgcpacer.go, endCycle: new in 1.18, where an experiment (nopacerredesign) still had the old
    // one; 1.20 removed the remark.
    (Form::PacerOldEnd, until(18)),
    (Form::PacerEnd, from(18)),
    (Form::PacerEndReset, ReleaseRange::between(18, 19)),
    // mgcsweep.go: since 1.6, with the ratio since 1.7, worded anew in 1.9.
    (Form::SweepWithoutRatio, only(6)),
    (Form::SweepOfSpans, ReleaseRange::between(7, 8)),
    (Form::SweepDuring, from(9)),
    // mheap.go: numbered until 1.12, gone with 1.14.
    (Form::ScvgNumbered, until(12)),
    (Form::ScvgPlain, only(13)),
    // mgcscavenge.go, printScavTrace: since 1.14, with generations in 1.15 to 1.18, a remark since
    // 1.18, divided since 1.21.
    (Form::ScavGeneration, ReleaseRange::between(15, 18)),
    (Form::ScavUndivided, ReleaseRange::between(14, 20)),
    (Form::ScavUndividedReset, ReleaseRange::between(18, 20)),
    (Form::ScavDivided, from(21)),
    // proc.go, doInit: since 1.16.
    (Form::Init, from(16)),
    // mgcmark_greenteagc.go, dumpScanStats, and mgc.go: since 1.25.
    (Form::Scan, from(25)),
    (Form::FinalizerQueue, from(25)),
];

/// Wait reasons that not all releases have (runtime2.go, waitReasonStrings; until 1.10 the
/// arguments of gopark).
const REASONS: [(&str, ReleaseRange); 36] = [
    ("Concurrent GC wait", only(5)),
    ("mark wait (idle)", only(5)),
    ("mark worker (idle)", only(5)),
    ("stack growth", until(6)),
    ("semarelease", until(6)),
    ("timer goroutine (idle)", until(19)),
    ("GC assist wait", from(6)),
    ("GC assist marking", from(8)),
    ("wait for GC cycle", from(9)),
    ("GC scavenge wait", from(13)),
    ("preempted", from(14)),
    ("debug call", from(15)),
    ("sync.Mutex.Lock", from(20)),
    ("sync.RWMutex.RLock", from(20)),
    ("sync.RWMutex.Lock", from(20)),
    ("GC worker (active)", from(20)),
    ("GC mark termination", from(20)),
    ("stopping the world", from(20)),
    ("flushing proc caches", from(22)),
    ("trace goroutine status", from(22)),
    ("trace proc status", from(22)),
    ("page trace flush", from(22)),
    ("coroutine", from(22)),
    ("GC weak to strong wait", from(23)),
    ("sync.WaitGroup.Wait", from(24)),
    ("synctest.Run", from(24)),
    ("synctest.Wait", from(24)),
    ("chan receive (synctest)", only(24)),
    ("chan send (synctest)", only(24)),
    ("select (synctest)", only(24)),
    ("GOMAXPROCS updater (idle)", from(25)),
    ("cleanup wait", from(25)),
    ("sync.WaitGroup.Wait (durable)", from(25)),
    ("chan receive (durable)", from(25)),
    ("chan send (durable)", from(25)),
    ("select (durable)", from(25)),
];

/// The reasons that all releases have, or that nothing is told of.
const OTHER_REASONS: [&str; 21] = [
    "",
    "GC sweep wait",
    "GC worker (idle)",
    "IO wait",
    "chan receive",
    "chan receive (nil chan)",
    "chan send",
    "chan send (nil chan)",
    "dumping heap",
    "finalizer wait",
    "force gc (idle)",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "select",
    "select (no cases)",
    "semacquire",
    "sleep",
    "sync.Cond.Wait",
    "trace reader (blocked)",
    "unknown wait reason",
];

/// What GOGC=off makes of the goal, in MiB.
const GOAL_MAX_UINT: u64 = u64::MAX >> 20;
const GOAL_1_19: u64 = 8_796_093_022_195;
const GOAL_SINCE_1_20: std::ops::Range<u64> = 8_532_210_000_000..8_532_211_000_000;

/// The releases that print a form.
pub fn of_form(form: Form) -> ReleaseRange {
    // The table is in the order of the forms; a test holds it.
    EVIDENCE.get(form as usize).map_or(ReleaseRange::ALL, |(_, range)| *range)
}

/// The releases that have a wait reason.
pub fn of_reason(reason: &str) -> ReleaseRange {
    let found = REASONS.iter().find(|(known, _)| *known == reason);
    found.map_or(ReleaseRange::ALL, |(_, range)| *range)
}

/// What `preemptoff` may be, of all releases (src/runtime/proc.go, `stopTheWorld`; stwReasonStrings).
const PREEMPT_OFF: [&str; 19] = [
    "",
    "gcing",
    "GC worker init",
    "GOMAXPROCS",
    "read mem stats",
    "profile",
    "stack trace",
    "start tracing",
    "stop tracing",
    "write heap dump",
    "GC mark termination",
    "GC sweep termination",
    "goroutine profile",
    "goroutine profile cleanup",
    "all goroutines stack trace",
    "AllThreadsSyscall",
    "start trace",
    "stop trace",
    "unknown",
];

/// Whether a known release has this wait reason. A whole line may hold any text: later ones have more.
pub fn is_reason(reason: &str) -> bool {
    OTHER_REASONS.contains(&reason) || REASONS.iter().any(|(known, _)| *known == reason)
}

/// Whether a known release prints this as `preemptoff`: why an M must not be preempted
/// (src/runtime/mgc.go, `gcing`; else the reasons to stop the world).
pub fn is_preempt_off(why: &str) -> bool {
    PREEMPT_OFF.contains(&why)
}

/// The releases that print such a heap goal (MiB); one that is a real goal tells nothing.
pub fn of_goal(goal_mb: u64) -> ReleaseRange {
    match goal_mb {
        GOAL_MAX_UINT => of_form(Form::GoalMaxUint),
        GOAL_1_19 => of_form(Form::GoalOf1_19),
        goal if GOAL_SINCE_1_20.contains(&goal) => of_form(Form::GoalSince1_20),
        _ => ReleaseRange::ALL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_forms() {
        for (at, (form, _)) in EVIDENCE.iter().enumerate() {
            assert_eq!(*form as usize, at, "{form:?}");
        }
        assert_eq!(EVIDENCE.len(), Form::FinalizerQueue as usize + 1);
    }

    #[test]
    fn every_wait_reason_is_there_once() {
        let mut all: Vec<&str> = REASONS.iter().map(|(reason, _)| *reason).collect();
        all.extend(OTHER_REASONS);
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
        assert!(all.iter().all(|reason| is_reason(reason)));
        assert!(is_reason("") && is_reason("force gc (idle)") && is_reason("GC assist wait"));
        assert!(!is_reason("sleepWARN ") && !is_reason("sleep "));
    }
}
