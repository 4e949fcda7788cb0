//! Passing the child's stderr on to ours, without ever letting a stalled reader stop the child.
//!
//! A slow reader slows the service's log down, as it would without us. One that stands still
//! would freeze the whole service, because the runtime writes its traces while it holds the
//! scheduler's lock; so after a second we drop what does not fit and count it.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes held for the reader, at most.
pub const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// A reader that took nothing for so long stands still.
const STALL: Duration = Duration::from_secs(1);

/// How long a reader may stand still at the end before what is left is dropped.
const LAST_STALL: Duration = Duration::from_secs(5);

/// Memory kept when nothing is waiting.
const IDLE_BYTES: usize = 64 * 1024;

/// A bounded queue of bytes between the thread that reads the child and the one that writes.
#[derive(Debug)]
pub struct Relay {
    state: Mutex<State>,
    filled: Condvar,
    taken: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: Vec<u8>,
    last_progress: Instant,
    writing: bool,
    closed: bool,
    /// Who writes has ended.
    written: bool,
}

impl Default for Relay {
    fn default() -> Self {
        let state = State {
            waiting: Vec::new(),
            last_progress: Instant::now(),
            writing: false,
            closed: false,
            written: false,
        };
        Self { state: Mutex::new(state), filled: Condvar::new(), taken: Condvar::new() }
    }
}

impl Relay {
    /// Puts bytes into the queue; gives how many were dropped. Waits while the queue is full and
    /// its reader still moves.
    pub fn push(&self, bytes: &[u8]) -> usize {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.waiting.len() + bytes.len() > BUFFER_BYTES && !state.closed {
            let stalled_for = state.last_progress.elapsed();
            let Some(left) = STALL.checked_sub(stalled_for).filter(|left| !left.is_zero()) else {
                return bytes.len();
            };
            let (next, _timeout) =
                self.taken.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = next;
        }
        if state.closed {
            return bytes.len();
        }
        if state.waiting.is_empty() && !state.writing {
            state.last_progress = Instant::now();
        }
        state.waiting.extend_from_slice(bytes);
        drop(state);
        self.filled.notify_one();
        0
    }

    /// Puts a line of our own log into the queue, or drops it if there is no room: our log must
    /// not wait for a reader that stands still. Gives false if nothing is taken any more.
    fn offer(&self, line: &[u8]) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return !state.written;
        }
        if state.waiting.len() + line.len() <= BUFFER_BYTES {
            if state.waiting.is_empty() && !state.writing {
                state.last_progress = Instant::now();
            }
            state.waiting.extend_from_slice(line);
            drop(state);
            self.filled.notify_one();
        }
        true
    }

    /// Nothing more comes.
    pub fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.filled.notify_one();
        self.taken.notify_one();
    }

    /// Waits until everything is written; gives up on a reader that stands still, since the
    /// child's end must not wait for it.
    pub fn wait_written(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.written && state.last_progress.elapsed() < LAST_STALL {
            let left = LAST_STALL.saturating_sub(state.last_progress.elapsed());
            let waited = self.taken.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes what comes to `out` until the queue is closed and empty, or `out` is gone.
    pub fn write_to(&self, out: &mut impl Write) {
        self.write_all_to(out);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).written = true;
        self.taken.notify_all();
    }

    fn write_all_to(&self, out: &mut impl Write) {
        let mut batch = Vec::new();
        while self.take(&mut batch) {
            let mut rest = batch.as_slice();
            while !rest.is_empty() {
                // Small writes show progress to `push` while a large batch goes out.
                let (now, later) = rest.split_at(rest.len().min(IDLE_BYTES));
                if out.write_all(now).is_err() {
                    self.close();
                    return;
                }
                self.progress();
                rest = later;
            }
            if batch.capacity() > IDLE_BYTES {
                batch = Vec::new();
            }
        }
    }

    fn take(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.writing = false;
        while state.waiting.is_empty() {
            if state.closed {
                return false;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(batch, &mut state.waiting);
        state.writing = true;
        state.last_progress = Instant::now();
        drop(state);
        self.taken.notify_one();
        true
    }

    fn progress(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).last_progress = Instant::now();
    }
}

/// Our own log beside the child's stderr: through the relay while it is open, then directly.
#[derive(Debug)]
pub struct LogWriter(pub Arc<Relay>);

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.offer(line) { Ok(line.len()) } else { io::stderr().write(line) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn everything_arrives_in_order() {
        let relay = Arc::new(Relay::default());
        let writer = Arc::clone(&relay);
        let thread = std::thread::spawn(move || {
            let mut out = Vec::new();
            writer.write_to(&mut out);
            out
        });
        let expected: Vec<u8> =
            (0..200_000u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let dropped: usize = expected.chunks(97).map(|chunk| relay.push(chunk)).sum();
        relay.close();
        assert_eq!((dropped, thread.join().unwrap() == expected), (0, true));
    }

    /// Blocks in `write` until it is told to go on.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_costs_log_lines_and_not_the_service() {
        let relay = Arc::new(Relay::default());
        let writer = Arc::clone(&relay);
        let (go, wait) = sync_channel(0);
        let thread = std::thread::spawn(move || writer.write_to(&mut Stuck(wait)));
        let chunk = vec![b'x'; 64 * 1024];
        let started = Instant::now();
        let dropped: usize = (0..1000).map(|_| relay.push(&chunk)).sum();
        assert!(dropped > 0 && dropped < 1000 * chunk.len());
        assert!(started.elapsed() < STALL * 5, "waited once, not at every push");
        drop(go);
        thread.join().unwrap();
        assert_eq!(relay.push(b"x"), 1);
    }
}
