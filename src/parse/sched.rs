//! `SCHED 1009ms: gomaxprocs=…`: the schedtrace line and the head of a scheddetail block
//! (src/runtime/proc.go, `schedtrace`; forms of Go 1.5–1.19, 1.20–1.24, 1.25 on).

use nom::Parser;
use nom::branch::alt;
use nom::combinator::{opt, success};
use nom::multi::{many0, separated_list1};
use nom::sequence::{delimited, preceded, terminated};

use super::primitive::{
    Grammar, field, flag, signed, split_unknown, tag, unknown_fields, unsigned,
};
use crate::model::record::{DetailHead, Sched, SchedSummary};

/// What every such line begins with.
pub const START: &[u8] = b"SCHED ";

/// A SCHED line of either kind.
#[derive(Debug, PartialEq, Eq)]
pub enum SchedLine {
    /// A whole record.
    Summary(Sched),
    /// P, M and G lines follow.
    Head(DetailHead),
}

/// The line without its line feed.
pub fn line<'a>() -> impl Grammar<'a, SchedLine> {
    let tail = alt((queues().map(Tail::Queues), detail().map(Tail::Detail)));
    (summary(), tail, unknown_fields()).map_opt(
        |((summary, mut unknown), tail, after)| match tail {
            Tail::Queues((before, local_runqueues, schedticks)) => {
                unknown.extend(split_unknown(&[before, after]));
                Sched { summary, local_runqueues, schedticks, unknown, torn: false }
                    .checked()
                    .map(SchedLine::Summary)
            }
            Tail::Detail((before, mut head)) => {
                unknown.extend(before);
                unknown.extend(split_unknown(&[after]));
                head.summary = summary;
                head.unknown = unknown;
                Some(SchedLine::Head(head))
            }
        },
    )
}

enum Tail<'a> {
    Queues(Queues<'a>),
    Detail((Vec<String>, DetailHead)),
}

/// Unknown fields before, run queues, ticks.
type Queues<'a> = (&'a [u8], Vec<u32>, Option<Vec<u32>>);

impl Sched {
    /// The runtime prints one queue a P; another number of them means that the line is damaged.
    fn checked(self) -> Option<Self> {
        let procs = usize::try_from(self.summary.gomaxprocs).ok()?;
        let ticks_fit = self.schedticks.as_ref().is_none_or(|ticks| ticks.len() == procs);
        (self.local_runqueues.len() == procs && ticks_fit).then_some(self)
    }
}

fn summary<'a>() -> impl Grammar<'a, (SchedSummary, Vec<String>)> {
    (
        preceded(tag(START), unsigned()),
        preceded(tag(b"ms:"), field(" gomaxprocs=", unsigned())),
        field(" idleprocs=", signed()),
        field(" threads=", signed()),
        field(" spinningthreads=", signed()),
        opt(field(" needspinning=", signed())),
        field(" idlethreads=", signed()),
        field(" runqueue=", signed()),
    )
        .map(|(uptime_ms, procs, idle, threads, spinning, need, parked, queue)| {
            let need_skipped = need.map_or(&b""[..], |(skipped, _)| skipped);
            let skipped = [procs.0, idle.0, threads.0, spinning.0, need_skipped, parked.0, queue.0];
            let summary = SchedSummary {
                uptime_ms,
                gomaxprocs: procs.1,
                idleprocs: idle.1,
                threads: threads.1,
                spinningthreads: spinning.1,
                needspinning: need.map(|(_, n)| n),
                idlethreads: parked.1,
                runqueue: queue.1,
            };
            (summary, split_unknown(&skipped))
        })
}

/// ` [0 1]` (until Go 1.24) or ` [ 0 1 ] schedticks=[ 5 6 ]` (Go 1.25 on).
fn queues<'a>() -> impl Grammar<'a, Queues<'a>> {
    let spaced = || many0(terminated(unsigned(), tag(b" ")));
    let ticks = delimited(tag(b"schedticks=[ "), spaced(), tag(b"]"));
    let new = (delimited(tag(b" "), spaced(), tag(b"] ")), ticks.map(Some));
    let old = (terminated(separated_list1(tag(b" "), unsigned()), tag(b"]")), success(None));
    field(" [", alt((new, old))).map(|(before, (queues, ticks))| (before, queues, ticks))
}

fn detail<'a>() -> impl Grammar<'a, (Vec<String>, DetailHead)> {
    (
        field(" gcwaiting=", flag()),
        field(" nmidlelocked=", signed()),
        field(" stopwait=", signed()),
        field(" sysmonwait=", flag()),
    )
        .map(|(gcwaiting, idle_locked, stopwait, sysmonwait)| {
            let head = DetailHead {
                gcwaiting: gcwaiting.1,
                nmidlelocked: idle_locked.1,
                stopwait: stopwait.1,
                sysmonwait: sysmonwait.1,
                ..DetailHead::default()
            };
            (split_unknown(&[gcwaiting.0, idle_locked.0, stopwait.0, sysmonwait.0]), head)
        })
}

#[cfg(test)]
mod tests {
    use super::super::primitive::{assert_begins, whole};
    use super::*;

    fn sched(text: &str) -> Sched {
        match whole(line(), text.as_bytes()) {
            Some(SchedLine::Summary(sched)) => sched,
            other => panic!("{text}: {other:?}"),
        }
    }

    const FORMS: [&str; 5] = [
        "SCHED 1009ms: gomaxprocs=1 idleprocs=0 threads=3 spinningthreads=0 idlethreads=1 runqueue=0 [4]",
        "SCHED 30ms: gomaxprocs=2 idleprocs=1 threads=4 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=1 [0 12]",
        "SCHED 30ms: gomaxprocs=2 idleprocs=1 threads=4 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=1 [ 0 0 ] schedticks=[ 48 83 ]",
        "SCHED 0ms: gomaxprocs=2 idleprocs=1 threads=3 spinningthreads=0 idlethreads=0 runqueue=0 gcwaiting=0 nmidlelocked=-1 stopwait=0 sysmonwait=1",
        "SCHED 0ms: gomaxprocs=2 idleprocs=0 threads=3 spinningthreads=0 needspinning=1 idlethreads=0 runqueue=0 gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=true",
    ];

    #[test]
    fn every_form_is_read() {
        assert_eq!(sched(FORMS[0]).local_runqueues, [4]);
        assert_eq!(sched(FORMS[0]).summary.needspinning, None);
        assert_eq!(sched(FORMS[1]).local_runqueues, [0, 12]);
        assert_eq!(sched(FORMS[2]).schedticks, Some(vec![48, 83]));
        for head in &FORMS[3..] {
            let Some(SchedLine::Head(head)) = whole(line(), head.as_bytes()) else {
                panic!("{head}")
            };
            assert!(head.sysmonwait && !head.gcwaiting);
        }
    }

    #[test]
    fn every_beginning_of_every_form_is_known_as_one() {
        assert_begins(line, &FORMS);
    }

    #[test]
    fn unknown_fields_are_kept_apart() {
        let text = "SCHED 3ms: gomaxprocs=1 idleprocs=0 newthing=7 threads=3 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=2 other=[ 1 2 ] [ 5 ] schedticks=[ 9 ] last=nil";
        let sched = sched(text);
        assert_eq!(sched.unknown, ["newthing=7", "other=[ 1 2 ]", "last=nil"]);
        assert_eq!((sched.summary.threads, sched.summary.runqueue), (3, 2));
        assert_eq!(sched.local_runqueues, [5]);
    }

    #[test]
    fn damaged_lines_do_not_fit() {
        for bad in [
            "SCHED 1009ms: gomaxprocs=2 idleprocs=0 threads=3 spinningthreads=0 idlethreads=1 runqueue=0 [4]",
            "SCHED 1009ms: gomaxprocs=1 idleprocs=0 threads=3 spinningthreads=0 idlethreads=1 runqueue=0 [4",
            "SCHED 1009ms: gomaxprocs=1 idleprocs=0 threads=3 spinningthreads=0 idlethreads=1 runqueue=0",
            "SCHED 1009ms: gomaxprocs=2026/11/21 10:00:00 INFO request handled id=42390",
            "SCHED 99999999999999999999ms: gomaxprocs=1 idleprocs=0 threads=3 spinningthreads=0 idlethreads=1 runqueue=0 [4]",
        ] {
            assert!(whole(line(), bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
