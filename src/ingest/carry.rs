//! What a reader of the child's stderr has begun and not finished, kept where its death does not
//! reach: an open trace line goes on with the next reader.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{pread, pwrite};

/// Most that is kept: one page, so that no death leaves half of it. The open line of a machine
/// with hundreds of Ps may be longer; that one is lost.
const CARRY_BYTES: usize = 4096;

/// Bytes of the length that stands before them.
const LENGTH_BYTES: usize = 2;

/// Memory that belongs to no process: the supervisor hands it to every exporter.
#[derive(Debug)]
pub struct Carry(OwnedFd);

impl Carry {
    /// Empty.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(memfd_create("godebug-exporter", MemfdFlags::CLOEXEC)?))
    }

    /// One that somebody else made.
    #[must_use]
    pub const fn of(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// The descriptor, to hand it on.
    #[must_use]
    pub const fn descriptor(&self) -> &OwnedFd {
        &self.0
    }

    /// Keeps `begun`, in one write.
    pub fn save(&self, begun: &[u8]) {
        let length = u16::try_from(begun.len()).unwrap_or(u16::MAX);
        let mut page = Vec::with_capacity(LENGTH_BYTES + begun.len());
        page.extend_from_slice(&length.to_le_bytes());
        page.extend_from_slice(begun);
        if page.len() > CARRY_BYTES || pwrite(&self.0, &page, 0).is_err() {
            self.clear();
        }
    }

    /// Forgets it: somebody else has read on.
    pub fn clear(&self) {
        // Without it, what comes next would have to fit an old line to the letter to do harm.
        let _kept = ftruncate(&self.0, 0);
    }

    /// What was kept last; empty if nothing was.
    #[must_use]
    pub fn load(&self) -> Vec<u8> {
        let mut page = [0; CARRY_BYTES];
        let n = pread(&self.0, &mut page, 0).unwrap_or(0);
        let kept = page.get(..n).and_then(|kept| kept.split_first_chunk::<LENGTH_BYTES>());
        let begun = kept.and_then(|(length, rest)| rest.get(..u16::from_le_bytes(*length).into()));
        begun.unwrap_or_default().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_last_is_there_for_the_next_one() {
        let carry = Carry::new().unwrap();
        assert_eq!(carry.load(), b"");
        carry.save(b"SCHED 8562ms: gomaxprocs=");
        carry.save(b"gc 5");
        let next = Carry::of(carry.descriptor().try_clone().unwrap());
        assert_eq!(next.load(), b"gc 5");
        carry.save(&[b'x'; CARRY_BYTES]);
        assert_eq!(next.load(), b"", "what does not fit is lost, not cut");
        carry.save(b"gc 6");
        carry.clear();
        assert_eq!(next.load(), b"");
    }
}
