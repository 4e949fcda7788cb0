//! One line of each kind that is in an unknown form, for a person to report.

use crate::model::stats::RecordKind;

/// Bytes of a line that are kept: enough to see the form.
const SAMPLE_MAX_BYTES: usize = 512;

/// The first line of each kind.
#[derive(Debug, Default)]
pub struct Samples {
    waiting: Vec<(RecordKind, Box<[u8]>)>,
    seen: Vec<RecordKind>,
}

impl Samples {
    /// Keeps the line if it is the first of its kind.
    pub fn note(&mut self, kind: RecordKind, line: &[u8]) {
        if !self.seen.contains(&kind) {
            self.seen.push(kind);
            let sample = line.get(..SAMPLE_MAX_BYTES).unwrap_or(line);
            self.waiting.push((kind, sample.into()));
        }
    }

    /// What was kept since the last call.
    pub fn take(&mut self) -> Vec<(RecordKind, Box<[u8]>)> {
        std::mem::take(&mut self.waiting)
    }
}
