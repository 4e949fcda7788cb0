//! The seldom lines: which grammar they belong to. They begin with words that services say too
//! (`init `, `pacer: `), so that only a line that is surely the runtime's counts as malformed.

use nom::Parser;
use nom::sequence::{preceded, terminated};

use super::line::{Line, Verdict};
use super::primitive::{Grammar, begins, fits, tag, unsigned, whole};
use super::{init, pacer, scan, scavenge};
use crate::model::record::{Event, FinalizerQueue};
use crate::model::stats::RecordKind;

/// The whole line that says that there was no cycle for two minutes (src/runtime/proc.go,
/// `forcegchelper`).
const FORCED_GC: &[u8] = b"GC forced";

/// What a checkfinalizers line begins with (src/runtime/mgc.go, `gcMarkTermination`).
const QUEUE: &[u8] = b"checkfinalizers: queue: ";

/// What each kind begins with, and the length of the first write of such a line.
const STARTS: [(&[u8], RecordKind); 8] = [
    (pacer::START, RecordKind::Pacer),
    (scavenge::START, RecordKind::Scavenge),
    (scavenge::FORCED_START, RecordKind::Scavenge),
    (scavenge::OLD_START, RecordKind::Scavenge),
    (init::START, RecordKind::Init),
    (scan::TOTAL, RecordKind::GcScan),
    (scan::CLASS, RecordKind::GcScan),
    (QUEUE, RecordKind::FinalizerQueue),
];

/// Pieces of these lines that end with a letter.
pub const PIECE_ENDS: [&[u8]; 6] = [b"% util", b" allocs", b" objs", b" cleanups", b"NaN", b"Inf"];

/// Whether a line begins as only few others than these do: cheap enough for every line.
#[inline]
#[must_use]
pub const fn is_candidate(line: &[u8]) -> bool {
    matches!(
        line,
        [b'p', b'a', b'c', b'e', b'r', b':', ..]
            | [b's', b'c', b'a', b'v' | b'n', ..]
            | [b's', b'c', b'v', b'g', ..]
            | [b'i', b'n', b'i', b't', b' ', ..]
            | [b'G', b'C', b' ', b'f', ..]
            | [b'f', b'o', b'r', b'c', b'e', b'd', ..]
            | [b'c', b'h', b'e', b'c', b'k', b'f', ..]
    )
}

/// The kind of line that begins so, and how long the first piece of it is.
#[must_use]
pub fn start(line: &[u8]) -> Option<(RecordKind, usize)> {
    if !is_candidate(line) {
        return None;
    }
    let (start, kind) = STARTS.iter().find(|(start, _)| line.starts_with(start))?;
    // Services say "init db"; the runtime is seldom interrupted before it has said when.
    let is_word = *kind == RecordKind::Init && !fits(init::start(), line);
    (!is_word).then_some((*kind, start.len()))
}

/// What a line without its line feed is.
#[must_use]
pub fn read(line: &[u8]) -> Verdict<'_> {
    if line == FORCED_GC {
        return Verdict::Trace(Line::Event(Event::ForcedGc {}));
    }
    let Some((kind, _)) = start(line) else { return Verdict::Foreign };
    let (event, sure) = match kind {
        RecordKind::Pacer => {
            (whole(pacer::line(), line).map(Event::Pacer), fits(pacer::head(), line))
        }
        RecordKind::Scavenge => {
            (whole(scavenge::line(), line).map(Event::Scavenge), fits(scavenge::head(), line))
        }
        RecordKind::Init => (whole(init::line(), line).map(Event::Init), fits(init::head(), line)),
        RecordKind::GcScan => {
            (whole(scan::line(), line).map(Event::GcScan), fits(scan::head(), line))
        }
        _ => (whole(queue(), line).map(Event::FinalizerQueue), true),
    };
    match event {
        Some(event) => Verdict::Trace(Line::Event(event)),
        None if sure => Verdict::Malformed(kind),
        None => Verdict::Foreign,
    }
}

/// `checkfinalizers: queue: 1 finalizers + 2 cleanups`.
pub fn queue<'a>() -> impl Grammar<'a, FinalizerQueue> {
    (
        preceded(tag(QUEUE), unsigned()),
        preceded(tag(b" finalizers + "), terminated(unsigned(), tag(b" cleanups"))),
    )
        .map(|(finalizers, cleanups)| FinalizerQueue { finalizers, cleanups })
}

/// The kind of line that bytes without a line feed can begin, whole or cut.
#[must_use]
pub fn beginning(bytes: &[u8]) -> Option<RecordKind> {
    let (kind, begins) = match bytes {
        [b'p', ..] => (RecordKind::Pacer, begins(pacer::line(), bytes)),
        [b's', b'c', b'a', b'n', ..] => (RecordKind::GcScan, begins(scan::line(), bytes)),
        [b's' | b'f', ..] => (RecordKind::Scavenge, begins(scavenge::line(), bytes)),
        [b'i', ..] => (RecordKind::Init, begins(init::line(), bytes)),
        [b'c', ..] => (RecordKind::FinalizerQueue, begins(queue(), bytes)),
        [b'G', ..] => (RecordKind::ForcedGc, FORCED_GC.starts_with(bytes)),
        _ => return None,
    };
    begins.then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(line: &str) -> Option<Option<RecordKind>> {
        match read(line.as_bytes()) {
            Verdict::Trace(line) => Some(Some(line.kind())),
            Verdict::Malformed(_) => Some(None),
            Verdict::Foreign => None,
        }
    }

    #[test]
    fn words_of_a_service_are_its_own() {
        for words in [
            "pacer: started",
            "pacer: 29 requests",
            "scav is a gas",
            "scav 3 files",
            "scvg",
            "forced scvg",
            "init db",
            "init db @2.5 ms",
            "init db @2.5 ms, done",
            "scan: total files",
            "scan: class list",
            "scan: 12 objs",
            "GC forced by hand",
            "GC forced ",
            "checkfinalizers: no",
        ] {
            assert_eq!(verdict(words), None, "{words}");
        }
    }

    #[test]
    fn what_is_surely_the_runtimes_and_does_not_fit_is_malformed() {
        for cut in [
            "pacer: assist ratio=+1.5",
            "pacer: 29% CPU (25 exp",
            "scav 3 KiB wor",
            "scav 3 KiB work (bg), 5 KiB",
            "scvg0: inuse: 3",
            "init db @2.5 ms, 1 ms clock, 3",
            "scan: total 12 obj",
            "checkfinalizers: queue: 1 fin",
        ] {
            let expected = if cut == "scav 3 KiB wor" { None } else { Some(None) };
            assert_eq!(verdict(cut), expected, "{cut}");
        }
    }

    #[test]
    fn whole_lines_are_records() {
        for (line, kind) in [
            ("GC forced", RecordKind::ForcedGc),
            ("checkfinalizers: queue: 1 finalizers + 2 cleanups", RecordKind::FinalizerQueue),
            ("scan: total 715 objs", RecordKind::GcScan),
            ("scvg: 0 MB released", RecordKind::Scavenge),
        ] {
            assert_eq!(verdict(line), Some(Some(kind)), "{line}");
            for end in 1..=line.len() {
                let found = beginning(&line.as_bytes()[..end]);
                assert!(found == Some(kind) || end < 4, "{line} to {end}: {found:?}");
            }
        }
    }
}
