//! What a reader of the child's stderr has begun and not finished, kept where its death does not
//! reach: an open trace line goes on with the next reader.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{pread, pwrite};

/// Most that is kept: one page, so that no death leaves half of it. The open line of a machine
/// with hundreds of Ps may be longer; that one is lost.
const CARRY_BYTES: usize = 4096;

/// Two lengths and a hash stand before the rest.
const HEAD_BYTES: usize = 2 + 2 + 8 + 8;

/// One step of a reader: what was begun before and after it, and which bytes it took between. A
/// reader that died may have taken them or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Begun and not finished before these bytes.
    pub before: Vec<u8>,
    /// The same after them.
    pub after: Vec<u8>,
    /// How many they are.
    pub bytes: u64,
    /// Their hash, to know them again.
    pub hash: u64,
}

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

    /// Keeps a step, in one write.
    pub fn save(&self, step: &Step) {
        let length = |begun: &[u8]| u16::try_from(begun.len()).unwrap_or(u16::MAX).to_le_bytes();
        let mut page = Vec::with_capacity(HEAD_BYTES + step.before.len() + step.after.len());
        page.extend_from_slice(&length(&step.before));
        page.extend_from_slice(&length(&step.after));
        page.extend_from_slice(&step.bytes.to_le_bytes());
        page.extend_from_slice(&step.hash.to_le_bytes());
        page.extend_from_slice(&step.before);
        page.extend_from_slice(&step.after);
        if page.len() > CARRY_BYTES || pwrite(&self.0, &page, 0).is_err() {
            self.clear();
        }
    }

    /// Forgets it: somebody else has read on.
    pub fn clear(&self) {
        // Without it, what comes next would have to fit an old line to the letter to do harm.
        let _kept = ftruncate(&self.0, 0);
    }

    /// The step that was kept last; an empty one if there is none.
    #[must_use]
    pub fn load(&self) -> Step {
        let mut page = [0; CARRY_BYTES];
        let n = pread(&self.0, &mut page, 0).unwrap_or(0);
        step(page.get(..n).unwrap_or_default()).unwrap_or_default()
    }
}

fn step(page: &[u8]) -> Option<Step> {
    let (before, rest) = page.split_first_chunk()?;
    let (after, rest) = rest.split_first_chunk()?;
    let (bytes, rest) = rest.split_first_chunk()?;
    let (hash, rest) = rest.split_first_chunk()?;
    let (before, rest) = rest.split_at_checked(u16::from_le_bytes(*before).into())?;
    let after = rest.get(..u16::from_le_bytes(*after).into())?;
    Some(Step {
        before: before.to_vec(),
        after: after.to_vec(),
        bytes: u64::from_le_bytes(*bytes),
        hash: u64::from_le_bytes(*hash),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_last_is_there_for_the_next_one() {
        let carry = Carry::new().unwrap();
        assert_eq!(carry.load(), Step::default());
        let long = Step { before: b"SCHED 8562ms: gomaxprocs=".to_vec(), ..Step::default() };
        carry.save(&long);
        let step = Step { before: b"gc 5".to_vec(), after: b"gc 51".to_vec(), bytes: 7, hash: 9 };
        carry.save(&step);
        let next = Carry::of(carry.descriptor().try_clone().unwrap());
        assert_eq!(next.load(), step);
        carry.save(&Step { after: vec![b'x'; CARRY_BYTES], ..Step::default() });
        assert_eq!(next.load(), Step::default(), "what does not fit is lost, not cut");
        carry.save(&long);
        carry.clear();
        assert_eq!(next.load(), Step::default());
    }
}
