//! What stood between two pieces of a torn line, and whether a piece may be hidden in it.

use serde::{Deserialize, Serialize};

use super::reassemble::PIPE_BUF;

/// What stood between the last piece and now.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Gap {
    pub(super) lines: u32,
    bytes: usize,
    /// A line that may be a part of a write of many lines, or of one that was cut.
    strange: bool,
    minus: bool,
    remark: bool,
}

impl Gap {
    /// `known`: it begins as lines of the service do.
    pub(super) fn add(&mut self, line: &[u8], known: bool) {
        self.lines += 1;
        self.bytes += line.len() + 1;
        self.strange |= line.len() >= PIPE_BUF || !known;
        self.minus |= memchr::memchr(b'-', line).is_some();
        self.remark |= [&b" (forced)"[..], b" (checking for"]
            .iter()
            .any(|remark| memchr::memmem::find(line, remark).is_some());
    }

    /// Whether a piece that may be left out of the line could be hidden in a long write.
    pub(super) fn may_hide(&self, way: &[u8], next: &[u8]) -> bool {
        if !self.strange || self.bytes <= PIPE_BUF {
            return false;
        }
        // The numbers that are ever negative are so by one: ids until Go 1.19, nmidlelocked.
        let one =
            matches!(next, [b'1', rest @ ..] if !rest.first().is_some_and(u8::is_ascii_digit));
        let signed = [&b"m="[..], b"p=", b"g=", b"throwing=", b"nmidlelocked="];
        // A wait reason may be empty, which is no piece at all. (`preemptoff` may be so too, but
        // says nothing that a record has.)
        let text = way.ends_with(b"(") && next.starts_with(b")");
        text || self.minus && one && signed.iter().any(|field| way.ends_with(field))
            || self.remark
                && way.starts_with(b"gc ")
                && [&b" P"[..], b"%"].iter().any(|end| way.ends_with(end))
    }
}
