//! Passing the child's stderr on to ours, without ever letting a stalled reader stop the child.
//!
//! What is to be passed on waits in a pipe, the spool, and one thread moves it to our stderr. Under
//! `exec` the supervisor holds the spool and moves; so what the exporter proper has put there
//! outlives it, and comes out in order whoever wrote it.
//!
//! A slow reader slows the service's log down, as it would without us. One that stands still
//! would freeze the whole service, because the runtime writes its traces while it holds the
//! scheduler's lock; so after a second we drop what does not fit and count it.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tracing::debug;

/// Size asked for the spool, the most that Linux gives without privilege: a burst of the service's
/// log that its reader takes more slowly.
const SPOOL_BYTES: usize = 1024 * 1024;

/// Written at once, so whole or not at all (pipe(7), PIPE_BUF): no death cuts it.
const PIECE_BYTES: usize = 4096;

/// Moved at once.
const MOVE_BYTES: usize = 64 * 1024;

/// Held between a read and a write where the bytes cannot be moved inside the kernel.
const COPY_BYTES: usize = 16 * 1024;

/// A reader that took nothing for so long stands still.
const STALL: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// How long a reader may stand still at the end before what is left is dropped.
const LAST_STALL: Duration = Duration::from_secs(5);

/// Longest that our own log waits for the end of a line of the child's, and most of it that waits.
const LINE_PATIENCE: Duration = Duration::from_secs(1);
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// The way in, shared by all of a process who write.
#[derive(Debug)]
pub struct Spool {
    way_in: OwnedFd,
    line: Mutex<Line>,
}

/// The child's line at hand: one longer than a piece must not have our own log in its midst.
#[derive(Debug, Default)]
struct Line {
    /// Since when it has been without an end.
    open: Option<Instant>,
    /// What of our own log waits for its end.
    waiting: Vec<u8>,
}

/// Makes a spool, and gives its way out too.
///
/// # Errors
/// There are no descriptors left.
pub fn spool() -> io::Result<(Spool, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    if let Err(error) = fcntl_setpipe_size(&writer, SPOOL_BYTES) {
        debug!(%error, "the spool keeps its usual size");
    }
    Ok((Spool::of(writer), reader))
}

impl Spool {
    /// The way in of a spool that somebody else made.
    #[must_use]
    pub fn of(way_in: OwnedFd) -> Self {
        Self { way_in, line: Mutex::default() }
    }

    /// The descriptor, to hand it on.
    #[must_use]
    pub const fn descriptor(&self) -> &OwnedFd {
        &self.way_in
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a piece of the child's text, and what waited for the line to end.
    fn piece(&self, piece: &[u8]) -> Result<(), Errno> {
        let mut line = self.line();
        rustix::io::write(&self.way_in, piece)?;
        if !piece.ends_with(b"\n") {
            line.open.get_or_insert_with(Instant::now);
        } else if line.open.take().is_some() {
            self.log(&std::mem::take(&mut line.waiting));
        }
        Ok(())
    }

    /// Writes lines of our own log; what does not fit is dropped.
    fn log(&self, lines: &[u8]) {
        let mut rest = lines;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(piece_len(rest));
            if rustix::io::write(&self.way_in, piece).is_err() {
                break;
            }
            rest = later;
        }
    }
}

/// Puts the service's text into a spool.
#[derive(Debug)]
pub struct Feed {
    spool: Arc<Spool>,
    stalled: bool,
}

impl Feed {
    /// Into `spool`.
    #[must_use]
    pub const fn new(spool: Arc<Spool>) -> Self {
        Self { spool, stalled: false }
    }

    /// Waits until something fits in; false if whoever reads stands still.
    pub fn has_room(&mut self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let limit = if self.stalled { at_once } else { STALL };
        let mut fds = [PollFd::new(&self.spool.way_in, PollFlags::OUT)];
        self.stalled = match poll(&mut fds, Some(&limit)) {
            Ok(ready) => ready == 0,
            Err(Errno::INTR) => self.stalled,
            Err(_) => true,
        };
        !self.stalled
    }

    /// Puts bytes into the spool, waiting while it is full and its reader still moves; gives how
    /// many were dropped.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(piece_len(rest));
            match self.spool.piece(piece) {
                Ok(()) => rest = later,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.has_room() => {}
                Err(_) => return rest.len(),
            }
        }
        0
    }
}

impl Drop for Feed {
    /// The child says nothing more.
    fn drop(&mut self) {
        let mut line = self.spool.line();
        line.open = None;
        self.spool.log(&std::mem::take(&mut line.waiting));
    }
}

/// Whole lines, where they fit.
fn piece_len(bytes: &[u8]) -> usize {
    match bytes.get(..PIECE_BYTES) {
        Some(piece) => memchr::memrchr(b'\n', piece).map_or(PIECE_BYTES, |at| at + 1),
        None => bytes.len(),
    }
}

/// Our own log beside the child's stderr. It must not wait for a reader that stands still: a line
/// that does not fit is dropped.
#[derive(Debug)]
pub struct LogWriter(pub Arc<Spool>);

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut child = self.0.line();
        let is_open = child.open.is_some_and(|since| since.elapsed() < LINE_PATIENCE);
        if is_open && child.waiting.len() + line.len() <= WAITING_BYTES_MAX {
            child.waiting.extend_from_slice(line);
        } else {
            self.0.log(&std::mem::take(&mut child.waiting));
            self.0.log(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread that moves a spool to where it is read.
#[derive(Debug)]
pub struct Mover {
    stop: OwnedFd,
    ended: Receiver<()>,
    moved: Arc<AtomicU64>,
}

impl Mover {
    /// Begins to move what comes out of the spool to `out`.
    ///
    /// # Errors
    /// There are no threads or descriptors left.
    pub fn start(spool: OwnedFd, out: impl AsFd + Send + 'static) -> io::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let stopped = stop.try_clone()?;
        let moved = Arc::new(AtomicU64::new(0));
        let (ends, ended) = sync_channel(1);
        // A pipe takes over the pages themselves. What else may wait for its reader would do so
        // with the spool locked, and who writes there would wait too (fs/splice.c).
        let is_pipe =
            fstat(&out).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        let work = Work { spool, stopped, moved: Arc::clone(&moved), is_pipe, chunk: Vec::new() };
        std::thread::Builder::new().name("stderr-writer".into()).spawn(move || {
            work.run(&out);
            drop(ends);
        })?;
        Ok(Self { stop, ended, moved })
    }

    /// Counts the bytes moved, for who wants to see whether it goes on.
    #[must_use]
    pub const fn moved(&self) -> &Arc<AtomicU64> {
        &self.moved
    }

    /// Waits until everything is moved; gives up on a reader that stands still, since the child's
    /// end must not wait for it.
    pub fn finish(&self) {
        if rustix::io::write(&self.stop, &1u64.to_ne_bytes()).is_err() {
            return;
        }
        let mut before = self.moved.load(Ordering::Relaxed);
        while self.ended.recv_timeout(LAST_STALL) == Err(RecvTimeoutError::Timeout) {
            let now = self.moved.load(Ordering::Relaxed);
            if now == before {
                return;
            }
            before = now;
        }
    }
}

#[derive(Debug)]
struct Work {
    spool: OwnedFd,
    stopped: OwnedFd,
    moved: Arc<AtomicU64>,
    is_pipe: bool,
    chunk: Vec<u8>,
}

impl Work {
    fn run(mut self, out: &impl AsFd) {
        loop {
            let mut fds = [
                PollFd::new(&self.spool, PollFlags::IN),
                PollFd::new(&self.stopped, PollFlags::IN),
            ];
            let polled = poll(&mut fds, None);
            let [spool, stop] = fds.map(|fd| !fd.revents().is_empty());
            match polled {
                Ok(_) if !spool && stop => return,
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(_) => return,
            }
            let moved = if self.is_pipe { self.splice(out) } else { self.copy(out) };
            match moved {
                // Nobody writes any more.
                Ok(0) => return,
                Ok(n) => self.moved.fetch_add(n as u64, Ordering::Relaxed),
                Err(Errno::INTR | Errno::AGAIN) => continue,
                // Nobody reads any more.
                Err(_) => return,
            };
        }
    }

    fn splice(&mut self, out: &impl AsFd) -> Result<usize, Errno> {
        match splice(&self.spool, None, out, None, MOVE_BYTES, SpliceFlags::NONBLOCK) {
            Err(Errno::AGAIN) => wait_writable(out).and(Err(Errno::AGAIN)),
            Err(Errno::INVAL) => {
                self.is_pipe = false;
                Err(Errno::AGAIN)
            }
            moved => moved,
        }
    }

    fn copy(&mut self, out: &impl AsFd) -> Result<usize, Errno> {
        self.chunk.resize(COPY_BYTES, 0);
        let n = rustix::io::read(&self.spool, self.chunk.as_mut_slice())?;
        let mut rest = self.chunk.get(..n).unwrap_or_default();
        while !rest.is_empty() {
            match rustix::io::write(out, rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_writable(out)?,
                Err(error) => return Err(error),
            }
        }
        Ok(n)
    }
}

fn wait_writable(out: &impl AsFd) -> Result<(), Errno> {
    match poll(&mut [PollFd::new(out, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::time::Instant;

    use super::*;

    fn numbered(lines: u32) -> Vec<u8> {
        (0..lines).flat_map(|n| format!("line {n}\n").into_bytes()).collect()
    }

    #[test]
    fn everything_arrives_in_order_in_pipes_and_files() {
        let expected = numbered(200_000);
        let feed = |spool| {
            let mut feed = Feed::new(Arc::new(spool));
            expected.chunks(9_700).map(|chunk| feed.push(chunk)).sum::<usize>()
        };

        let (spool_in, spool_out) = spool().unwrap();
        let (pipe, written) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mover = Mover::start(spool_out, written).unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            File::from(pipe).read_to_end(&mut all).unwrap();
            all
        });
        assert_eq!(feed(spool_in), 0);
        mover.finish();
        assert!(reader.join().unwrap() == expected);

        let (spool_in, spool_out) = spool().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let mover = Mover::start(spool_out, file.try_clone().unwrap()).unwrap();
        assert_eq!(feed(spool_in), 0);
        mover.finish();
        let mut all = Vec::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut all).unwrap();
        assert!(all == expected);
        assert_eq!(mover.moved().load(Ordering::Relaxed), expected.len() as u64);
    }

    #[test]
    fn a_reader_that_stands_still_costs_log_lines_and_not_the_service() {
        let (spool_in, _spool_out) = spool().unwrap();
        let mut feed = Feed::new(Arc::new(spool_in));
        let chunk = [&[b'x'; 999][..], b"\n"].concat().repeat(64);
        let started = Instant::now();
        let dropped: usize = (0..1000).map(|_| feed.push(&chunk)).sum();
        assert!(dropped > 0 && dropped < 1000 * chunk.len());
        assert_eq!(dropped % 1000, 0, "only whole lines");
        assert!(started.elapsed() < Duration::from_secs(5), "waited once, not at every push");
    }

    #[test]
    fn our_log_waits_for_the_end_of_a_line() {
        let (spool_in, spool_out) = spool().unwrap();
        let spool = Arc::new(spool_in);
        let mut feed = Feed::new(Arc::clone(&spool));
        let mut log = LogWriter(Arc::clone(&spool));
        log.write_all(b"one\n").unwrap();
        assert_eq!(feed.push(&[b'x'; 5000]), 0);
        log.write_all(b"two\n").unwrap();
        assert_eq!(feed.push(b"x\nnext\n"), 0);
        log.write_all(b"three\n").unwrap();
        assert_eq!(feed.push(b"no end"), 0);
        log.write_all(b"four\n").unwrap();
        drop(feed);
        drop((log, spool));
        let mut all = String::new();
        File::from(spool_out).read_to_string(&mut all).unwrap();
        let expected = format!("one\n{}\nnext\ntwo\nthree\nno endfour\n", "x".repeat(5001));
        assert_eq!(all, expected);
    }

    #[test]
    fn pieces_end_with_a_line() {
        let lines = [&[b'x'; 99][..], b"\n"].concat().repeat(50);
        assert_eq!(piece_len(&lines), 4000);
        assert_eq!(piece_len(&[b'x'; 5000]), PIECE_BYTES);
        assert_eq!(piece_len(b"a\nb"), 3);
    }
}
