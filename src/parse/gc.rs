//! `gc 5 @0.071s 0%: …`: the gctrace line (src/runtime/mgc.go, `gcMarkTermination`; forms of
//! Go 1.5, 1.6–1.17, 1.18–1.25, 1.26 on).

use nom::Parser;
use nom::branch::alt;
use nom::combinator::{opt, recognize};
use nom::multi::{fold_many0, many0_count};
use nom::sequence::{delimited, preceded, terminated};

use super::primitive::{Grammar, milli, signed, tag, unsigned, until, word};
use crate::model::record::{Gc, GcClock, GcCpu, Milli};

/// What every such line begins with; a number and ` @` follow.
pub const START: &[u8] = b"gc ";

const LEAK_CHECK: &[u8] = b" (checking for goroutine leaks)";
const FORCED: &[u8] = b" (forced)";

/// The line without its line feed.
pub fn line<'a>() -> impl Grammar<'a, Gc> {
    (head(), clock(), cpu(), heap(), areas(), tail()).map_opt(
        |(head, clock_ms, cpu_ms, heap, areas, tail)| {
            let ((cycle, at_s, cpu_percent), notes) = head;
            let (procs, endings) = tail;
            let mut unknown = areas.unknown;
            unknown.extend(unknown_notes(notes, LEAK_CHECK));
            unknown.extend(unknown_notes(endings, FORCED));
            // Both lists have Go 1.5's form, or none has: else a piece is not the runtime's.
            let one_form = clock_ms.scan.is_some() == cpu_ms.scan.is_some();
            one_form.then(|| Gc {
                cycle,
                at_s,
                cpu_percent,
                clock_ms,
                cpu_ms,
                heap_start_mb: heap.0,
                heap_end_mb: heap.1,
                heap_live_mb: heap.2,
                goal_mb: heap.3,
                stacks_mb: areas.stacks,
                globals_mb: areas.globals,
                procs,
                forced: has_note(endings, FORCED),
                leak_check: has_note(notes, LEAK_CHECK),
                unknown,
                torn: false,
            })
        },
    )
}

type Head<'a> = ((u32, Milli, i64), &'a [u8]);

fn head<'a>() -> impl Grammar<'a, Head<'a>> {
    let numbers = (
        preceded(tag(START), unsigned()),
        preceded(tag(b" @"), milli()),
        delimited(tag(b"s "), signed(), tag(b"%")),
    );
    (numbers, terminated(notes(), tag(b": ")))
}

/// Remarks in parentheses, as printed.
fn notes<'a>() -> impl Grammar<'a, &'a [u8]> {
    recognize(many0_count((tag(b" ("), until(b")"), tag(b")"))))
}

fn has_note(notes: &[u8], note: &[u8]) -> bool {
    memchr::memmem::find(notes, note).is_some()
}

fn unknown_notes(notes: &[u8], known: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(notes);
    let known = String::from_utf8_lossy(known);
    text.split_inclusive(')')
        .filter(|note| *note != known)
        .map(|note| note.trim().to_owned())
        .collect()
}

fn plus<'a>() -> impl Grammar<'a, Milli> {
    preceded(tag(b"+"), milli())
}

fn slash<'a>() -> impl Grammar<'a, Milli> {
    preceded(tag(b"/"), milli())
}

/// `a+b+c ms clock, `; Go 1.5: `a+scan+installWB+b+c`.
fn clock<'a>() -> impl Grammar<'a, GcClock> {
    terminated((milli(), plus(), plus(), opt((plus(), plus()))), tag(b" ms clock, ")).map(
        |(sweep_termination, second, third, go1_5)| match go1_5 {
            None => GcClock {
                sweep_termination,
                mark: second,
                mark_termination: third,
                ..GcClock::default()
            },
            Some((mark, mark_termination)) => GcClock {
                sweep_termination,
                scan: Some(second),
                install_write_barrier: Some(third),
                mark,
                mark_termination,
            },
        },
    )
}

/// `a+b/c/d+e ms cpu, `; Go 1.5: `a+scan+installWB+b/c/d+e`.
fn cpu<'a>() -> impl Grammar<'a, GcCpu> {
    let go1_5 = opt((plus(), plus(), plus()));
    let go1_6 = (plus(), slash(), slash(), plus());
    let rest_of_1_5 = (slash(), slash(), plus());
    let marks = alt((
        go1_6.map(|(assist, background, idle, end)| (None, assist, background, idle, end)),
        (go1_5, rest_of_1_5).map_opt(|(first, (background, idle, end))| {
            let (scan, barrier, assist) = first?;
            Some((Some((scan, barrier)), assist, background, idle, end))
        }),
    ));
    terminated((milli(), marks), tag(b" ms cpu, ")).map(
        |(sweep_termination, (early, assist, background, idle, end))| GcCpu {
            sweep_termination,
            scan: early.map(|(scan, _)| scan),
            install_write_barrier: early.map(|(_, barrier)| barrier),
            assist,
            background,
            idle,
            mark_termination: end,
        },
    )
}

/// `4->4->2 MB, 4 MB goal`.
fn heap<'a>() -> impl Grammar<'a, (u64, u64, u64, u64)> {
    (
        unsigned(),
        preceded(tag(b"->"), unsigned()),
        preceded(tag(b"->"), unsigned()),
        delimited(tag(b" MB, "), unsigned(), tag(b" MB goal")),
    )
}

#[derive(Default)]
struct Areas {
    stacks: Option<u64>,
    globals: Option<u64>,
    unknown: Vec<String>,
}

/// `, 0 MB stacks, 0 MB globals`; none until Go 1.17.
fn areas<'a>() -> impl Grammar<'a, Areas> {
    let area = (delimited(tag(b", "), unsigned(), tag(b" MB ")), word());
    fold_many0(area, Areas::default, |mut areas: Areas, (size, name): (u64, &[u8])| {
        match name {
            b"stacks" => areas.stacks = Some(size),
            b"globals" => areas.globals = Some(size),
            other => areas.unknown.push(format!("{size} MB {}", String::from_utf8_lossy(other))),
        }
        areas
    })
}

/// `, 2 P (forced)`.
fn tail<'a>() -> impl Grammar<'a, (u32, &'a [u8])> {
    (delimited(tag(b", "), unsigned(), tag(b" P")), notes())
}

#[cfg(test)]
mod tests {
    use super::super::primitive::{assert_begins, whole};
    use super::*;

    const FORMS: [&str; 5] = [
        "gc 1 @0.018s 8%: 1.2+0.13+0.42+0.096+0.37 ms clock, 2.5+0.13+0+0.15/0.005/0+0.74 ms cpu, 4->4->2 MB, 4 MB goal, 2 P",
        "gc 17 @0.702s 1%: 0.067+0+0.64 ms clock, 0.13+0.17/0.47/0.66+1.2 ms cpu, 34->34->28 MB, 34 MB goal, 2 P (forced)",
        "gc 5 @0.071s 0%: 0.018+0.46+0.071 ms clock, 0.14+0/0.38/0.14+0.56 ms cpu, 29->29->29 MB, 30 MB goal, 8 P",
        "gc 2 @0.027s 4%: 1.5+0.76+0.14 ms clock, 3.1+0.073/1.5/0+0.28 ms cpu, 3->4->2 MB, 4 MB goal, 0 MB stacks, 1 MB globals, 2 P",
        "gc 6 @1.883s 1% (checking for goroutine leaks): 0.046+21+0.003 ms clock, 0.09+0/21/0+0.006 ms cpu, 5->5->4 MB, 8532210231534 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)",
    ];

    fn gc(text: &str) -> Gc {
        whole(line(), text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn every_form_is_read() {
        let first = gc(FORMS[0]);
        assert_eq!((first.clock_ms.scan, first.clock_ms.mark), (Some(Milli(130)), Milli(96)));
        assert_eq!(
            (first.cpu_ms.install_write_barrier, first.cpu_ms.assist),
            (Some(Milli(0)), Milli(150))
        );
        assert_eq!(first.stacks_mb, None);
        let forced = gc(FORMS[1]);
        assert!(forced.forced && !forced.leak_check);
        assert_eq!((forced.cycle, forced.at_s, forced.heap_live_mb), (17, Milli(702), 28));
        let recent = gc(FORMS[3]);
        assert_eq!((recent.stacks_mb, recent.globals_mb, recent.procs), (Some(0), Some(1), 2));
        let leaks = gc(FORMS[4]);
        assert!(leaks.forced && leaks.leak_check && leaks.unknown.is_empty());
    }

    #[test]
    fn every_beginning_of_every_form_is_known_as_one() {
        assert_begins(line, &FORMS);
    }

    #[test]
    fn unknown_parts_are_kept_apart() {
        let gc = gc(
            "gc 2 @0.027s 4% (something new): 1.5+0.76+0.14 ms clock, 3.1+0.073/1.5/0+0.28 ms cpu, 3->4->2 MB, 4 MB goal, 0 MB stacks, 7 MB arenas, 1 MB globals, 2 P (forced) (odd)",
        );
        assert_eq!(gc.unknown, ["7 MB arenas", "(something new)", "(odd)"]);
        assert!(gc.forced);
        assert_eq!(gc.globals_mb, Some(1));
    }

    #[test]
    fn damaged_lines_do_not_fit() {
        for bad in [
            "gc 5 @",
            "gc 8 @0.395s 0%: 0.061+0.662026/11/21 03:06:58.287324 APP g=0",
            "gc 4276 @s %gc 4277",
            "gc 1 @0.018s 8%: 1.2+18446744073709+0.37 ms clock, 2.5+0.15/0.005/0+0.74 ms cpu, 4->4->2 MB, 4 MB goal, 2 P",
            "gc 1 @0.018s 8%: 1.2+0.1+0.37 ms clock, 2.5+0.15/0.005/0+0.74 ms cpu, 4->4->2 MB, 4 MB goal, 2",
        ] {
            assert!(whole(line(), bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
