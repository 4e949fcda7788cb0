//! Reading the child's packet-mode pipe so that a death of ours at any moment costs next to
//! nothing.
//!
//! What is in the pipe is looked at first (tee(2)) and taken out only when what becomes of it is
//! ready to be written. A process killed in between leaves it to the next one; what it can lose is
//! one portion, and only between two system calls.

use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, ioctl_fionread};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice, tee};
use tracing::debug;

use super::CHUNK_BYTES;
use super::carry::{Carry, Step};
use super::spool::Feed;

/// Size of the pipe in which we look at packets, each of which takes a page: fewer looks at 64
/// than at the usual 16, and no more memory than a portion needs.
const PEEK_BYTES: usize = 64 * 4096;

/// No look is longer than the pipe it goes to.
const PEEK_ALL: usize = i32::MAX as usize;

/// A portion: as much of the service's text is taken out and passed on at once. With a line of
/// 1 KiB more it is still one write of the spool's, for which there is room or not.
const PORTION_BYTES: usize = 3072;

/// Takes the packets apart.
pub trait Unpack {
    /// One packet; what is to be passed on is appended to `passed`.
    fn packet(&mut self, packet: &[u8], passed: &mut Vec<u8>);

    /// Appends what is begun and not finished after the last packet.
    fn begun(&self, begun: &mut Vec<u8>);
}

/// What one [`Intake::take`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Packets; there may be more.
    Some,
    /// Nothing at this moment.
    Nothing,
    /// The pipe has no writer any more.
    End,
}

/// The child's stderr.
#[derive(Debug)]
pub struct Intake {
    stderr: OwnedFd,
    /// Reader and writer of the pipe in which we look.
    peek: (OwnedFd, OwnedFd),
    /// Where packets go that are done with; none in a root without /dev.
    null: Option<File>,
    buffer: Vec<u8>,
    passed: Vec<u8>,
    /// Of the portion at hand.
    hash: DefaultHasher,
    step: Step,
}

impl Intake {
    /// Of the reading end of the child's pipe, which must not block.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn new(stderr: OwnedFd) -> io::Result<Self> {
        let peek = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        if let Err(error) = fcntl_setpipe_size(&peek.1, PEEK_BYTES) {
            debug!(%error, "looking at fewer packets at once");
        }
        let null = OpenOptions::new().write(true).open("/dev/null").ok();
        Ok(Self {
            stderr,
            peek,
            null,
            buffer: Vec::new(),
            passed: Vec::new(),
            hash: DefaultHasher::new(),
            step: Step::default(),
        })
    }

    /// The pipe, to wait for it and to hand it on.
    #[must_use]
    pub const fn stderr(&self) -> &OwnedFd {
        &self.stderr
    }

    /// Bytes that wait in the pipe.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        ioctl_fionread(&self.stderr).unwrap_or_default()
    }

    /// Goes on where the last reader was; gives what it had begun. It may have died before or
    /// after it took its last step: the bytes at hand tell.
    pub fn resume(&mut self, carry: &Carry) -> Vec<u8> {
        let last = carry.load();
        let again = last.before != last.after && self.begins_with(&last).unwrap_or(false);
        let begun = if again { last.before } else { last.after };
        self.step.before.clone_from(&begun);
        begun
    }

    /// Others have read meanwhile: nothing is begun.
    pub fn forget(&mut self, carry: &Carry) {
        carry.clear();
        self.step.before.clear();
    }

    fn begins_with(&mut self, step: &Step) -> Result<bool, Errno> {
        let mut left = tee(&self.stderr, &self.peek.1, PEEK_ALL, SpliceFlags::NONBLOCK)?;
        self.buffer.resize(CHUNK_BYTES, 0);
        let (mut hash, mut bytes) = (DefaultHasher::new(), 0);
        while left > 0 {
            let n = rustix::io::read(&self.peek.0, self.buffer.as_mut_slice())?;
            left = left.saturating_sub(n);
            if bytes < step.bytes {
                hash.write(self.buffer.get(..n).unwrap_or_default());
                bytes += n as u64;
            }
        }
        Ok(bytes == step.bytes && hash.finish() == step.hash)
    }

    /// Takes what is there now and passes it on; `dropped` gets the bytes for which there was no
    /// room.
    ///
    /// # Errors
    /// The pipe cannot be read.
    pub fn take(
        &mut self,
        unpack: &mut impl Unpack,
        feed: &mut Feed,
        carry: &Carry,
        dropped: &mut u64,
    ) -> Result<Taken, Errno> {
        let mut left = match tee(&self.stderr, &self.peek.1, PEEK_ALL, SpliceFlags::NONBLOCK) {
            Ok(0) => return Ok(Taken::End),
            Ok(n) => n,
            Err(Errno::AGAIN) => return Ok(Taken::Nothing),
            Err(Errno::INTR) => return Ok(Taken::Some),
            Err(error) => return Err(error),
        };
        self.buffer.resize(CHUNK_BYTES, 0);
        let mut looked_at = 0;
        while left > 0 {
            let n = rustix::io::read(&self.peek.0, self.buffer.as_mut_slice())?;
            let packet = self.buffer.get(..n).unwrap_or_default();
            self.hash.write(packet);
            unpack.packet(packet, &mut self.passed);
            looked_at += n;
            left = left.saturating_sub(n);
            if left == 0 || self.passed.len() >= PORTION_BYTES {
                self.commit(looked_at, unpack, feed, carry, dropped)?;
                looked_at = 0;
            }
        }
        Ok(Taken::Some)
    }

    /// Takes what was looked at out of the pipe, then passes on what became of it: in this order,
    /// so that nothing is passed on twice.
    fn commit(
        &mut self,
        looked_at: usize,
        unpack: &impl Unpack,
        feed: &mut Feed,
        carry: &Carry,
        dropped: &mut u64,
    ) -> Result<(), Errno> {
        let fits = self.passed.is_empty() || feed.has_room();
        let hash = std::mem::take(&mut self.hash);
        self.step.after.clear();
        unpack.begun(&mut self.step.after);
        if self.step.before != self.step.after {
            self.step.bytes = looked_at as u64;
            self.step.hash = hash.finish();
            carry.save(&self.step);
        }
        self.discard(looked_at)?;
        std::mem::swap(&mut self.step.before, &mut self.step.after);
        let lost = if fits { feed.push(&self.passed) } else { self.passed.len() };
        *dropped += lost as u64;
        self.passed.clear();
        Ok(())
    }

    fn discard(&mut self, mut bytes: usize) -> Result<(), Errno> {
        while bytes > 0 {
            let gone = match &self.null {
                Some(null) => splice(&self.stderr, None, null, None, bytes, SpliceFlags::NONBLOCK),
                None => {
                    let most = bytes.min(self.buffer.len());
                    rustix::io::read(&self.stderr, self.buffer.get_mut(..most).unwrap_or_default())
                }
            };
            match gone {
                Ok(0) => return Err(Errno::IO),
                Ok(n) => bytes = bytes.saturating_sub(n),
                Err(Errno::INTR) => {}
                Err(Errno::INVAL) if self.null.is_some() => self.null = None,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
