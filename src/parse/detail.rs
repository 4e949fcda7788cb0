//! `  P0: …`, `  M0: …`, `  G1: …`: the lines of a scheddetail block (src/runtime/proc.go,
//! `schedtrace`; forms of Go 1.5–1.11, 1.14–1.19, 1.20 on).

use nom::Parser;
use nom::combinator::opt;
use nom::sequence::{delimited, preceded};

use super::primitive::{
    Grammar, field, flag, maybe_id, signed, tag, unknown_fields, unsigned, until,
};
use crate::model::record::{Goroutine, Proc, Thread};

/// A line's value, and the fields in it that no known release prints.
pub type WithUnknown<'a, T> = (T, &'a [u8]);

/// A P line without its line feed.
pub fn proc<'a>() -> impl Grammar<'a, WithUnknown<'a, Proc>> {
    (
        delimited(tag(b"  P"), unsigned(), tag(b":")),
        field(" status=", unsigned()),
        field(" schedtick=", unsigned()),
        field(" syscalltick=", unsigned()),
        field(" m=", maybe_id()),
        field(" runqsize=", unsigned()),
        field(" gfreecnt=", signed()),
        opt(preceded(tag(b" timerslen="), unsigned())),
        unknown_fields(),
    )
        .map(
            |(id, status, schedtick, syscalltick, m, runqsize, gfreecnt, timerslen, unknown)| {
                let proc = Proc {
                    id,
                    status: status.1,
                    schedtick: schedtick.1,
                    syscalltick: syscalltick.1,
                    m: m.1,
                    runqsize: runqsize.1,
                    gfreecnt: gfreecnt.1,
                    timerslen,
                };
                let between = [status.0, schedtick.0, syscalltick.0, m.0, runqsize.0, gfreecnt.0];
                (proc, first_unknown(&between, unknown))
            },
        )
}

/// An M line without its line feed.
pub fn thread<'a>() -> impl Grammar<'a, WithUnknown<'a, Thread>> {
    (
        delimited(tag(b"  M"), signed(), tag(b":")),
        field(" p=", maybe_id()),
        field(" curg=", maybe_id()),
        field(" mallocing=", signed()),
        field(" throwing=", signed()),
        field(" preemptoff=", until(b" locks=")),
        preceded(tag(b" locks="), signed()),
        field(" dying=", signed()),
        opt(preceded(tag(b" helpgc="), signed())),
        field(" spinning=", flag()),
        field(" blocked=", flag()),
        field(" lockedg=", maybe_id()),
        unknown_fields(),
    )
        .map(
            |(
                id,
                p,
                curg,
                mallocing,
                throwing,
                off,
                locks,
                dying,
                _,
                spinning,
                blocked,
                g,
                after,
            )| {
                let thread = Thread {
                    id,
                    p: p.1,
                    curg: curg.1,
                    spinning: spinning.1,
                    blocked: blocked.1,
                    locks,
                    lockedg: g.1,
                    dying: dying.1,
                };
                let between = [
                    p.0,
                    curg.0,
                    mallocing.0,
                    throwing.0,
                    off.0,
                    dying.0,
                    spinning.0,
                    blocked.0,
                    g.0,
                ];
                (thread, first_unknown(&between, after))
            },
        )
}

/// A G line without its line feed.
pub fn goroutine<'a>() -> impl Grammar<'a, WithUnknown<'a, Goroutine<'a>>> {
    (
        preceded(tag(b"  G"), unsigned()),
        preceded(tag(b": status="), unsigned()),
        preceded(tag(b"("), until(b") m=")),
        preceded(tag(b") m="), maybe_id()),
        preceded(tag(b" lockedm="), maybe_id()),
        unknown_fields(),
    )
        .map(|(id, status, wait_reason, m, lockedm, unknown)| {
            (Goroutine { id, status, wait_reason, m, lockedm }, unknown)
        })
}

/// The unknown fields at the first place that has any; one is enough to say that there are some.
fn first_unknown<'a>(between: &[&'a [u8]], after: &'a [u8]) -> &'a [u8] {
    between.iter().find(|span| !span.is_empty()).copied().unwrap_or(after)
}

#[cfg(test)]
mod tests {
    use super::super::primitive::{assert_begins, whole};
    use super::*;

    const PROCS: [&str; 3] = [
        "  P0: status=1 schedtick=10 syscalltick=0 m=3 runqsize=3 gfreecnt=0",
        "  P1: status=0 schedtick=42104 syscalltick=1131 m=-1 runqsize=0 gfreecnt=5 timerslen=3",
        "  P1: status=0 schedtick=42104 syscalltick=1131 m=nil runqsize=0 gfreecnt=5 timerslen=3",
    ];
    const THREADS: [&str; 4] = [
        "  M3: p=0 curg=4 mallocing=0 throwing=0 preemptoff= locks=0 dying=0 helpgc=0 spinning=false blocked=false lockedg=-1",
        "  M3: p=-1 curg=-1 mallocing=0 throwing=-1 preemptoff= locks=1 dying=0 spinning=0 blocked=1 lockedg=-1",
        "  M1: p=nil curg=nil mallocing=0 throwing=0 preemptoff=all goroutines stack trace locks=1 dying=1 spinning=false blocked=true lockedg=nil",
        "  M0: p=0 curg=1 mallocing=1 throwing=0 preemptoff= locks=18 dying=0 spinning=false blocked=false lockedg=1",
    ];
    const GOROUTINES: [&str; 4] = [
        "  G1: status=8() m=0 lockedm=0",
        "  G2: status=4(force gc (idle)) m=nil lockedm=nil",
        "  G3: status=4(chan receive (nil chan)) m=-1 lockedm=-1",
        "  G18446744073709551615: status=4100(sleep) m=nil lockedm=nil",
    ];

    #[test]
    fn every_form_is_read() {
        let procs = PROCS.map(|line| whole(proc(), line.as_bytes()).unwrap().0);
        assert_eq!((procs[0].m, procs[0].timerslen), (Some(3), None));
        assert_eq!(procs[1], procs[2]);
        let threads = THREADS.map(|line| whole(thread(), line.as_bytes()).unwrap().0);
        assert_eq!((threads[0].curg, threads[0].lockedg), (Some(4), None));
        assert!(threads[1].blocked && !threads[1].spinning);
        assert_eq!((threads[2].dying, threads[2].locks), (1, 1));
        let goroutines = GOROUTINES.map(|line| whole(goroutine(), line.as_bytes()).unwrap().0);
        assert_eq!(goroutines[1].wait_reason, "force gc (idle)");
        assert_eq!((goroutines[2].wait_reason, goroutines[2].m), ("chan receive (nil chan)", None));
        assert_eq!((goroutines[0].m, goroutines[3].id), (Some(0), u64::MAX));
    }

    #[test]
    fn every_beginning_of_every_form_is_known_as_one() {
        assert_begins(proc, &PROCS);
        assert_begins(thread, &THREADS);
        assert_begins(goroutine, &GOROUTINES);
    }

    #[test]
    fn unknown_fields_are_seen_wherever_they_stand() {
        let line = "  G9: status=4(sleep) m=nil lockedm=nil bubble=7";
        assert_eq!(whole(goroutine(), line.as_bytes()).unwrap().1, b" bubble=7");
        let line = "  P1: status=0 schedtick=4 newtick=9 syscalltick=1 m=nil runqsize=0 gfreecnt=5 timerslen=3";
        assert_eq!(whole(proc(), line.as_bytes()).unwrap().1, b" newtick=9");
        for field in [
            " p=",
            " curg=",
            " mallocing=",
            " throwing=",
            " preemptoff=",
            " dying=",
            " spinning=",
            " blocked=",
            " lockedg=",
        ] {
            let line = THREADS[1].replace(field, &format!(" new=9{field}"));
            assert_eq!(whole(thread(), line.as_bytes()).unwrap().1, b" new=9", "{line}");
        }
    }

    #[test]
    fn damaged_lines_do_not_fit() {
        for bad in [
            "  G3: status=4(sleep",
            "  G3: status=4(sleep) m=",
            "  G3: status=4(sleep) m=APPPRINTLN 852 x",
            "  G32026/11/21 03:06:58 INFO",
        ] {
            assert!(whole(goroutine(), bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
