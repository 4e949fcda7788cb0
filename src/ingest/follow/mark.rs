//! Which file, and where in it: by number and by content.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use crate::model::position::{Position, Print};

/// Bytes of the beginning, and before a place, by which a file is known again: two lines of most
/// logs, so their times are among them.
pub(super) const PRINT_BYTES: usize = 256;

/// Fewer bytes than these do not tell two files apart: a date alone may be all of them.
pub(super) const CERTAIN_BYTES: u32 = 32;

/// Device and inode: which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A file that existed, even if its inode was given to another since: with the time of its birth
/// where the file system knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Existed(FileId, Option<SystemTime>);

impl Existed {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self(FileId::of(metadata), metadata.created().ok())
    }
}

/// A place in a file, with the bytes by which it is known again.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) id: FileId,
    pub(super) offset: u64,
    /// The first bytes, at most [`PRINT_BYTES`]. They may be known before they are read.
    head: Vec<u8>,
    head_print: Print,
    /// The last bytes before `offset`, at most as many.
    before: Vec<u8>,
}

impl Mark {
    /// The beginning of a file.
    pub(super) fn beginning(id: FileId) -> Self {
        Self { id, offset: 0, head: Vec::new(), head_print: Print::of(&[]), before: Vec::new() }
    }

    /// A place that was not reached by reading; both parts as long as they can be.
    pub(super) fn at(id: FileId, offset: u64, head: Vec<u8>, before: Vec<u8>) -> Self {
        Self { id, offset, head_print: Print::of(&head), head, before }
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(super) fn before(&self) -> &[u8] {
        &self.before
    }

    /// Behind bytes that were just read.
    pub(super) fn advance(&mut self, chunk: &[u8]) {
        if self.head.len() < PRINT_BYTES {
            let ahead = (self.head.len() as u64).saturating_sub(self.offset);
            let unknown = usize::try_from(ahead).ok().and_then(|ahead| chunk.get(ahead..));
            self.know_head(unknown.unwrap_or_default());
        }
        keep_last(&mut self.before, chunk);
        self.offset += chunk.len() as u64;
    }

    /// More of the first bytes.
    pub(super) fn know_head(&mut self, more: &[u8]) {
        let more = more.get(..PRINT_BYTES - self.head.len()).unwrap_or(more);
        self.head.extend_from_slice(more);
        self.head_print = Print::of(&self.head);
    }

    /// For who keeps it.
    pub(super) fn position(&self) -> Position {
        Position {
            device: self.id.device,
            inode: self.id.inode,
            offset: self.offset,
            head: self.head_print,
            before: Print::of(&self.before),
        }
    }
}

/// Leaves the last [`PRINT_BYTES`] of what is there and what comes.
pub(super) fn keep_last(kept: &mut Vec<u8>, chunk: &[u8]) {
    let new = chunk.get(chunk.len().saturating_sub(PRINT_BYTES)..).unwrap_or(chunk);
    let too_many = (kept.len() + new.len()).saturating_sub(PRINT_BYTES);
    kept.drain(..too_many.min(kept.len()));
    kept.extend_from_slice(new);
}

/// How much of a file's beginning a place has behind it.
pub(super) fn print_bytes(offset: u64) -> usize {
    usize::try_from(offset).map_or(PRINT_BYTES, |offset| offset.min(PRINT_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_the_same_however_the_bytes_came() {
        let bytes: Vec<u8> = (0..2000_u32).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
        let id = FileId { device: 1, inode: 2 };
        for size in [1, 7, 255, 256, 257, 1000, 2000] {
            let mut mark = Mark::beginning(id);
            bytes.chunks(size).for_each(|chunk| mark.advance(chunk));
            let mut foreseen = Mark::beginning(id);
            foreseen.know_head(&bytes[..100]);
            bytes.chunks(size).for_each(|chunk| foreseen.advance(chunk));
            assert_eq!(mark.position(), foreseen.position(), "{size}");
            let there = Mark::at(id, 2000, bytes[..256].to_vec(), bytes[2000 - 256..].to_vec());
            assert_eq!(mark.position(), there.position(), "{size}");
            assert_eq!(mark.before(), there.before());
        }
    }
}
