//! `scav …` (src/runtime/mgcscavenge.go, `printScavTrace`; forms of Go 1.14, 1.15–1.18, 1.19–1.20,
//! 1.21 on) and `scvg…` (src/runtime/mheap.go; forms of Go 1.5–1.12, 1.13).

use nom::Parser;
use nom::branch::alt;
use nom::combinator::{opt, success};
use nom::sequence::{delimited, preceded, terminated};

use super::primitive::{Grammar, signed, tag, unsigned};
use crate::model::record::{ScavTrace, Scavenge, ScvgHeap, ScvgReleased};

/// What every scavtrace line begins with.
pub const START: &[u8] = b"scav ";

/// What gctrace's lines of the scavenger begin with, until Go 1.13.
pub const OLD_START: &[u8] = b"scvg";

/// The same, if it was debug.FreeOSMemory that asked, in Go 1.13.
pub const FORCED_START: &[u8] = b"forced scvg: ";

/// The line without its line feed.
pub fn line<'a>() -> impl Grammar<'a, Scavenge> {
    alt((trace().map(Scavenge::Trace), scvg()))
}

/// What none but the runtime says.
pub fn head<'a>() -> impl Grammar<'a, ()> {
    let work = || tag(b" KiB work");
    let trace = (
        tag(START),
        unsigned::<u64>(),
        alt((work(), preceded((tag(b" "), unsigned::<u64>()), work()))),
    );
    let heap = || tag(b"inuse: ");
    let released = || preceded(unsigned::<u64>(), tag(b" MB released"));
    let scvg = (run(), alt((heap(), released())));
    alt((trace.map(|_| ()), scvg.map(|_| ())))
}

/// What a scavtrace line says was released: undivided, in the background, eagerly, and in all.
type Work = (Option<u64>, Option<u64>, Option<u64>, u64);

fn trace<'a>() -> impl Grammar<'a, ScavTrace> {
    let numbered = (preceded(tag(b" "), unsigned()), undivided());
    (
        preceded(tag(START), unsigned()),
        alt((
            divided().map(|rest| (None, rest)),
            undivided().map(|rest| (None, rest)),
            numbered.map(|(work, rest)| (Some(work), rest)),
        )),
        terminated(unsigned(), tag(b"% util")),
        opt(alt((tag(b" (forced)").map(|_| true), tag(b" [controller reset]").map(|_| false)))),
    )
        .map(|(first, (second, rest), percent, forced)| {
            let (divided, released_kib): (Option<(u64, u64)>, u64) = rest;
            let (generation, work): (Option<u64>, u64) =
                second.map_or((None, first), |work| (Some(first), work));
            let (work_kib, background_kib, eager_kib, released_kib): Work = match divided {
                None => (Some(work), None, None, released_kib),
                Some((eager, now)) => (None, Some(work), Some(eager), now),
            };
            ScavTrace {
                generation,
                work_kib,
                background_kib,
                eager_kib,
                released_kib,
                heap_in_use_percent: percent,
                forced: forced == Some(true),
                controller_reset: forced == Some(false),
            }
        })
}

/// ` KiB work (bg), 0 KiB work (eager), 3808 KiB now, `.
fn divided<'a>() -> impl Grammar<'a, (Option<(u64, u64)>, u64)> {
    (
        delimited(tag(b" KiB work (bg), "), unsigned(), tag(b" KiB work (eager), ")),
        terminated(unsigned(), tag(b" KiB now, ")),
    )
        .map(|(eager, now)| (Some((eager, now)), now))
}

/// ` KiB work, 3488 KiB total, `.
fn undivided<'a>() -> impl Grammar<'a, (Option<(u64, u64)>, u64)> {
    (tag(b" KiB work, "), terminated(unsigned(), tag(b" KiB total, "))).map(|(_, now)| (None, now))
}

/// `scvg7: `, `scvg-1: `, `scvg: `, `forced scvg: `: number, forced.
fn run<'a>() -> impl Grammar<'a, (Option<i64>, bool)> {
    let numbered = delimited(tag(OLD_START), opt(signed()), tag(b": "));
    alt((
        preceded(tag(FORCED_START), success((None, true))),
        numbered.map(|number| (number, number.is_some_and(|number| number < 0))),
    ))
}

fn scvg<'a>() -> impl Grammar<'a, Scavenge> {
    let sizes = (
        preceded(tag(b"inuse: "), unsigned()),
        preceded(tag(b", idle: "), unsigned()),
        preceded(tag(b", sys: "), unsigned()),
        preceded(tag(b", released: "), unsigned()),
        delimited(tag(b", consumed: "), unsigned(), tag(b" (MB)")),
    );
    let released = terminated(unsigned(), tag(b" MB released"));
    (run(), alt((sizes.map(Ok), released.map(Err)))).map(|((number, forced), said)| match said {
        Err(released_mb) => Scavenge::Released(ScvgReleased { number, released_mb, forced }),
        Ok((inuse_mb, idle_mb, sys_mb, released_mb, consumed_mb)) => Scavenge::Heap(ScvgHeap {
            number,
            inuse_mb,
            idle_mb,
            sys_mb,
            released_mb,
            consumed_mb,
            forced,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::primitive::{assert_begins, whole};
    use super::*;
    use proptest::prelude::*;

    const FORMS: [&str; 12] = [
        "scav 128 KiB work, 60680 KiB total, 60% util",
        "scav 19 26576 KiB work, 34416 KiB total, 98% util (forced)",
        "scav 0 KiB work, 3488 KiB total, 69% util [controller reset]",
        "scav 3 KiB work (bg), 5 KiB work (eager), 3808 KiB now, 69% util",
        "scav 0 KiB work (bg), 36896 KiB work (eager), 46896 KiB now, 99% util (forced)",
        "scvg-1: 20 MB released",
        "scvg0: inuse: 0, idle: 20, sys: 21, released: 20, consumed: 0 (MB)",
        "scvg: 0 MB released",
        "scvg: inuse: 2, idle: 60, sys: 63, released: 59, consumed: 17592186044415 (MB)",
        "forced scvg: 15 MB released",
        "forced scvg: inuse: 0, idle: 63, sys: 63, released: 63, consumed: 0 (MB)",
        "scvg12: 3 MB released",
    ];

    fn scavenge(text: &str) -> Scavenge {
        whole(line(), text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    fn trace_of(text: &str) -> ScavTrace {
        match scavenge(text) {
            Scavenge::Trace(trace) => trace,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_form_is_read() {
        let (first, numbered, reset) = (trace_of(FORMS[0]), trace_of(FORMS[1]), trace_of(FORMS[2]));
        assert_eq!(
            (first.work_kib, first.generation, first.released_kib),
            (Some(128), None, 60_680)
        );
        assert_eq!((numbered.work_kib, numbered.generation), (Some(26_576), Some(19)));
        assert!(numbered.forced && !numbered.controller_reset);
        assert!(reset.controller_reset && !reset.forced);
        let (now, forced) = (trace_of(FORMS[3]), trace_of(FORMS[4]));
        assert_eq!((now.background_kib, now.eager_kib, now.work_kib), (Some(3), Some(5), None));
        assert_eq!((now.released_kib, now.heap_in_use_percent), (3808, 69));
        assert!(forced.forced);
        let released = |number, released_mb, forced| {
            Scavenge::Released(ScvgReleased { number, released_mb, forced })
        };
        assert_eq!(scavenge(FORMS[5]), released(Some(-1), 20, true));
        assert_eq!(scavenge(FORMS[7]), released(None, 0, false));
        assert_eq!(scavenge(FORMS[9]), released(None, 15, true));
        assert_eq!(scavenge(FORMS[11]), released(Some(12), 3, false));
        let Scavenge::Heap(heap) = scavenge(FORMS[6]) else { panic!() };
        assert_eq!((heap.idle_mb, heap.sys_mb, heap.number), (20, 21, Some(0)));
    }

    #[test]
    fn every_beginning_of_every_form_is_known_as_one() {
        assert_begins(line, &FORMS);
    }

    #[test]
    fn damaged_lines_do_not_fit() {
        for form in FORMS {
            for end in 0..form.len() {
                let (begin, rest) = form.as_bytes().split_at(end);
                let whole_too = [&b" (forced)"[..], b" [controller reset]"].contains(&rest);
                assert!(whole_too || whole(line(), begin).is_none(), "{form} to {end}");
            }
        }
        for bad in [
            "scav ",
            "scav enging 3 KiB work",
            "scvg",
            "forced scvg",
            "scav 1 KiB work,  2 KiB total, 3% util",
        ] {
            assert!(whole(line(), bad.as_bytes()).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(n in any::<[u64; 4]>(), forced in any::<bool>()) {
            let note = if forced { " (forced)" } else { "" };
            let text = format!("scav {} KiB work (bg), {} KiB work (eager), {} KiB now, {}% util{note}", n[0], n[1], n[2], n[3]);
            let expected = ScavTrace {
                background_kib: Some(n[0]),
                eager_kib: Some(n[1]),
                released_kib: n[2],
                heap_in_use_percent: n[3],
                forced,
                ..ScavTrace::default()
            };
            prop_assert_eq!(trace_of(&text), expected);
        }
    }
}
