//! Which grammar a line belongs to, and what it says.

use super::primitive::{begins, split_unknown, whole};
use super::sched::SchedLine;
use super::{detail, event, gc, sched};
use crate::model::record::{Event, Gc, Goroutine, Proc, Sched, Thread};
use crate::model::stats::RecordKind;

/// One line of the runtime.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A schedtrace record.
    Sched(Sched),
    /// A gctrace record.
    Gc(Gc),
    /// The head of a scheddetail block.
    Head(crate::model::record::DetailHead),
    /// A P of the block, and unknown fields.
    Proc(Proc, &'a [u8]),
    /// An M of the block, and unknown fields.
    Thread(Thread, &'a [u8]),
    /// A G of the block, and unknown fields.
    Goroutine(Goroutine<'a>, &'a [u8]),
    /// A record of another kind.
    Event(Event),
}

impl Line<'_> {
    /// The kind of the record that it is, or is a part of.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Sched(_) => RecordKind::Sched,
            Self::Gc(_) => RecordKind::Gc,
            Self::Event(event) => event.kind(),
            Self::Head(_) | Self::Proc(..) | Self::Thread(..) | Self::Goroutine(..) => {
                RecordKind::SchedDetail
            }
        }
    }

    /// How many fields no known release prints.
    #[must_use]
    pub fn unknown_fields(&self) -> usize {
        match self {
            Self::Sched(sched) => sched.unknown.len(),
            Self::Gc(gc) => gc.unknown.len(),
            Self::Event(_) => 0,
            Self::Head(head) => head.unknown.len(),
            Self::Proc(_, unknown) | Self::Thread(_, unknown) | Self::Goroutine(_, unknown) => {
                if unknown.is_empty() {
                    0
                } else {
                    split_unknown(&[unknown]).len()
                }
            }
        }
    }
}

/// What a line is.
#[expect(clippy::large_enum_variant, reason = "lives as long as its line")]
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The service's own line.
    Foreign,
    /// It looks like a trace and is none: torn, cut, or of a form nobody knows.
    Malformed(RecordKind),
    /// A trace line.
    Trace(Line<'a>),
}

/// Whether a line begins as only a few others than the runtime's do: cheap enough for every line
/// of a service.
#[inline]
#[must_use]
pub const fn is_candidate(line: &[u8]) -> bool {
    // Compiles to one test of a bit, which ends it for nearly all lines.
    matches!(line, [b' ' | b'S' | b'g' | b'G' | b'c' | b'f' | b'i' | b'p' | b's', ..])
        && begins_like_one(line)
}

const fn begins_like_one(line: &[u8]) -> bool {
    matches!(line, [b'S', b'C', ..] | [b'g', b'c', ..] | [b' ', b' ', b'P' | b'M' | b'G', ..])
        || event::is_candidate(line)
}

/// What a line without its line feed is.
#[must_use]
pub fn read(line: &[u8]) -> Verdict<'_> {
    match line {
        [b'S', ..] if line.starts_with(sched::START) => sched_line(line),
        [b'g', ..] if looks_like_gc(line) => match whole(gc::line(), line) {
            Some(gc) => Verdict::Trace(Line::Gc(gc)),
            None => Verdict::Malformed(RecordKind::Gc),
        },
        [b' ', b' ', b'P' | b'M' | b'G', b'0'..=b'9', ..] => detail_line(line),
        _ => event::read(line),
    }
}

fn sched_line(line: &[u8]) -> Verdict<'_> {
    if !line.get(sched::START.len()).is_some_and(u8::is_ascii_digit) {
        return Verdict::Foreign;
    }
    match whole(sched::line(), line) {
        Some(SchedLine::Summary(sched)) => Verdict::Trace(Line::Sched(sched)),
        Some(SchedLine::Head(head)) => Verdict::Trace(Line::Head(head)),
        None => Verdict::Malformed(RecordKind::Sched),
    }
}

/// `gc `, digits, ` @`: no service of ours logs that, and the runtime always does.
fn looks_like_gc(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(gc::START) else { return false };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && rest.get(digits..).is_some_and(|rest| rest.starts_with(b" @"))
}

fn detail_line(line: &[u8]) -> Verdict<'_> {
    let parsed = match line.get(2) {
        Some(b'P') => whole(detail::proc(), line).map(|(proc, unknown)| Line::Proc(proc, unknown)),
        Some(b'M') => {
            whole(detail::thread(), line).map(|(thread, unknown)| Line::Thread(thread, unknown))
        }
        _ => whole(detail::goroutine(), line)
            .map(|(goroutine, unknown)| Line::Goroutine(goroutine, unknown)),
    };
    parsed.map_or(Verdict::Malformed(RecordKind::SchedDetail), Verdict::Trace)
}

/// Whether bytes without a line feed can be a trace line from its beginning, whole or cut.
#[must_use]
pub fn is_beginning(bytes: &[u8]) -> bool {
    beginning(bytes).is_some()
}

/// The kind of record that bytes without a line feed can begin, whole or cut.
#[must_use]
pub fn beginning(bytes: &[u8]) -> Option<RecordKind> {
    let (kind, begins) = match bytes {
        [b'S', ..] => (RecordKind::Sched, begins(sched::line(), bytes)),
        [b'g', ..] => (RecordKind::Gc, begins(gc::line(), bytes)),
        [b' ', b' ', b'P', ..] => (RecordKind::SchedDetail, begins(detail::proc(), bytes)),
        [b' ', b' ', b'M', ..] => (RecordKind::SchedDetail, begins(detail::thread(), bytes)),
        [b' ', b' ', b'G', ..] => (RecordKind::SchedDetail, begins(detail::goroutine(), bytes)),
        _ => return event::beginning(bytes),
    };
    begins.then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_no_candidate_is_foreign(line in "(SCHED |gc |  [PMG]|pacer: |scav |scvg|init |scan: total |GC forced)?[0-9 @]{0,3}[ -~]{0,12}") {
            let foreign = read(line.as_bytes()) == Verdict::Foreign;
            prop_assert!(foreign || is_candidate(line.as_bytes()));
        }
    }

    #[test]
    fn foreign_and_malformed_are_told_apart() {
        for foreign in [
            "",
            "S",
            "SCHED",
            "SCHED ",
            "SCHED is fine",
            "gc 5 apples",
            "gc 5 @",
            " P0",
            "  Pz",
            "  G: x",
            "2026/11/21 SCHED 5ms:",
        ] {
            let expected = if foreign == "gc 5 @" {
                Verdict::Malformed(RecordKind::Gc)
            } else {
                Verdict::Foreign
            };
            assert_eq!(read(foreign.as_bytes()), expected, "{foreign}");
        }
        assert_eq!(read(b"SCHED 5ms: x"), Verdict::Malformed(RecordKind::Sched));
        assert_eq!(read(b"  G3: stat"), Verdict::Malformed(RecordKind::SchedDetail));
    }
}
