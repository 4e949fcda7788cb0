//! Lines that are surely whole and the runtime's, and in a form that no known release prints.
//!
//! A line that does not fit its grammar is nearly always torn or cut. One that begins and ends as
//! such a line does, and has between these nothing but what such lines are made of, is neither:
//! the runtime prints something new. None of its values is used.

use crate::model::stats::RecordKind;

/// Words that stay apart from each other in every form of a gctrace line so far.
const GC_WORDS: [&[u8]; 4] = [b"s ", b"%", b" ms clock", b" MB"];

/// Whether a malformed line is in an unknown form.
#[must_use]
pub fn is_unknown_form(line: &[u8], kind: RecordKind) -> bool {
    match kind {
        RecordKind::Sched => {
            let ends = line.ends_with(b"]") || has(line, b" sysmonwait=");
            ends && has(line, b" gomaxprocs=") && are_fields(line)
        }
        RecordKind::SchedDetail => {
            let last = [&b" gfreecnt="[..], b" lockedg=", b" lockedm="];
            last.iter().any(|field| has(line, field)) && are_fields(line)
        }
        RecordKind::Gc => {
            let ends = line.ends_with(b" P") || line.ends_with(b")");
            let mut rest = line;
            let in_order = GC_WORDS.iter().all(|word| after(&mut rest, word));
            ends && in_order && line.iter().all(|b| is_of_gc(*b)) && !has_joined_numbers(line)
        }
        _ => false,
    }
}

fn has(line: &[u8], words: &[u8]) -> bool {
    memchr::memmem::find(line, words).is_some()
}

/// Moves behind the next `word`.
fn after(rest: &mut &[u8], word: &[u8]) -> bool {
    let found = memchr::memmem::find(rest, word).and_then(|at| rest.get(at + word.len()..));
    *rest = found.unwrap_or_default();
    found.is_some()
}

const fn is_of_gc(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b' ' | b'.' | b',' | b'+' | b'/' | b'-' | b'>' | b'@' | b'%' | b':' | b'(' | b')'
        )
}

/// A number with two points, or a date: pieces of two lines.
fn has_joined_numbers(line: &[u8]) -> bool {
    line.split(|b| !(b.is_ascii_digit() || *b == b'.'))
        .any(|number| number.iter().filter(|b| **b == b'.').count() > 1)
}

/// After the line's name, nothing but ` key=value` and ` [ lists ]`.
fn are_fields(line: &[u8]) -> bool {
    let mut rest = line;
    if !after(&mut rest, b":") {
        return false;
    }
    let mut in_list = false;
    let mut in_text = false;
    for word in rest.split(|b| *b == b' ').skip(1) {
        let value = word.splitn(2, |b| *b == b'=').nth(1);
        let opens = word.starts_with(b"[") || value.is_some_and(|list| list.starts_with(b"["));
        let is_field = value.is_some_and(is_value);
        if !(in_list || in_text || opens || is_field || word.is_empty()) {
            return false;
        }
        in_list = (in_list || opens) && !word.contains(&b']');
        // A wait reason has blanks: `status=4(chan receive)`.
        let depth = |byte: u8| word.iter().filter(|b| **b == byte).count();
        in_text = (in_text || depth(b'(') > 0) && depth(b')') < depth(b'(').max(1);
        if in_list && !word.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'[' | b'=')) {
            return false;
        }
    }
    !in_list && !in_text
}

/// A number, a word, a state with its reason, a list's beginning.
fn is_value(value: &[u8]) -> bool {
    let plain = value.strip_prefix(b"-").unwrap_or(value);
    let digits = plain.iter().take_while(|b| b.is_ascii_digit()).count();
    match plain.get(digits..) {
        Some([]) => true,
        Some([b'(' | b'[', ..]) => true,
        // A number that goes on with letters is two pieces.
        Some(rest) => digits == 0 && rest.iter().all(u8::is_ascii_alphanumeric),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_line_of_a_release_to_come_is_an_unknown_form() {
        for (line, kind) in [
            (
                "SCHED 5ms: gomaxprocs=2 idlethreads=1 runqueue=0 [ 0 0 ] schedticks=[ 1 2 ]",
                RecordKind::Sched,
            ),
            (
                "SCHED 5ms: gomaxprocs=2 procs=[ 0 1 ] gcwaiting=false sysmonwait=false stopwait=0",
                RecordKind::Sched,
            ),
            ("  P0: status=idle schedtick=5 m=nil runqsize=0 gfreecnt=0", RecordKind::SchedDetail),
            ("  G7: state=4(chan receive) m=nil lockedm=nil", RecordKind::SchedDetail),
            (
                "gc 1 @0.018s 8%: 1.2+0.13 ms clock, 0.3 ms cpu, 4->2 MB, 4 MB goal, 2 P",
                RecordKind::Gc,
            ),
            ("gc 1 @0.018s 8% (new): 1.2+0.13+3 ms clock, 4 MB live, 2 P (forced)", RecordKind::Gc),
        ] {
            assert!(is_unknown_form(line.as_bytes(), kind), "{line}");
        }
    }

    #[test]
    fn a_line_that_was_torn_or_cut_is_none() {
        for (line, kind) in [
            ("SCHED 5ms: gomaxprocs=2 idleprocs=0", RecordKind::Sched),
            ("SCHED 5ms: gomaxprocs=2 idleprocs=02026/11/21 10:00:00 INFO [x]", RecordKind::Sched),
            ("SCHED 5ms: gomaxprocs=2 idleprocs=time=12 level=info msg=[]", RecordKind::Sched),
            ("SCHED 5ms: gomaxprocs=2level=info msg=x [1]", RecordKind::Sched),
            ("SCHED 5ms: gomaxprocs=2 idleprocs={\"a\":[1]", RecordKind::Sched),
            ("  G7: status=4(chan rec", RecordKind::SchedDetail),
            ("  P0: status=1 schedtick=2026/11/21 gfreecnt= 3", RecordKind::SchedDetail),
            ("gc 8 @0.395s 0%: 0.061+0.662026/11/21 03:06:58.287324 APP g=0", RecordKind::Gc),
            ("gc 8 @0.395s 0%: 0.061+0.66.2 ms clock, 5 MB, 2 P", RecordKind::Gc),
            ("gc 8 @0.395s 0%: 0.061+0.66+3 ms clock, 5 MB", RecordKind::Gc),
        ] {
            assert!(!is_unknown_form(line.as_bytes(), kind), "{line}");
        }
    }
}
