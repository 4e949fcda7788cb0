//! `parse::line`: the verdict on a line, the cheap look at its first bytes, and "can it begin so?".

use godebug_exporter::parse::line::{Verdict, is_beginning, is_candidate, read};

/// The first bytes that tell the kinds of lines apart.
const KIND_BYTES: usize = 3;

/// So many does the cheap look need at most: `pacer:`, `forced`, `checkf`.
const CANDIDATE_BYTES: usize = 6;

pub fn run(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        check(line);
    }
}

fn check(line: &[u8]) {
    let verdict = read(line);
    assert!(verdict == Verdict::Foreign || is_candidate(line), "no candidate is foreign");
    if matches!(verdict, Verdict::Trace(_)) || is_beginning(line) {
        assert!(is_candidate(line) || line.len() < CANDIDATE_BYTES);
        for end in KIND_BYTES.min(line.len())..=line.len() {
            assert!(is_beginning(&line[..end]), "{end} bytes of a beginning are none");
        }
    }
}
