//! What a process writes to a pipe, read by a thread so that it never waits for us.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::wait::wait_until_or;

/// A pipe's bytes so far.
pub(crate) struct Captured {
    pipe: Arc<Mutex<Pipe>>,
    reader: Option<JoinHandle<()>>,
}

struct Pipe {
    stream: Box<dyn Read + Send>,
    descriptor: OwnedFd,
    bytes: Vec<u8>,
    ended: bool,
}

impl Captured {
    pub(crate) fn of(stream: impl Read + AsFd + Send + 'static) -> Self {
        let descriptor = stream.as_fd().try_clone_to_owned().unwrap();
        let waiting = descriptor.try_clone().unwrap();
        let stream = Box::new(stream);
        let pipe = Pipe { stream, descriptor, bytes: Vec::new(), ended: false };
        let pipe = Arc::new(Mutex::new(pipe));
        let its = Arc::clone(&pipe);
        let reader = std::thread::spawn(move || {
            loop {
                is_readable(&waiting, None);
                let mut pipe = its.lock().unwrap();
                pipe.drain();
                if pipe.ended {
                    break;
                }
            }
        });
        Self { pipe, reader: Some(reader) }
    }

    /// All that was written before this is called.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut pipe = self.pipe.lock().unwrap();
        pipe.drain();
        pipe.bytes.clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Waits for a whole line in which `find` finds something.
    pub(crate) fn line<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        wait_until_or(
            what,
            || {
                let text = self.text();
                let whole = text.rfind('\n').map_or("", |end| &text[..end]);
                whole.lines().find_map(&find)
            },
            || self.text(),
        )
    }

    /// Waits for the other end to close, and gives everything.
    pub(crate) fn whole(&mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.bytes()
    }
}

impl Pipe {
    /// Takes what is there; of a writer that never pauses no more than a pipe holds.
    fn drain(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        for _ in 0..16 {
            if self.ended || !is_readable(&self.descriptor, Some(&Timespec::default())) {
                return;
            }
            let n = self.stream.read(&mut buffer).unwrap_or(0);
            self.ended = n == 0;
            self.bytes.extend_from_slice(&buffer[..n]);
        }
    }
}

/// Whether something can be read, or the other end is closed.
fn is_readable(descriptor: &OwnedFd, timeout: Option<&Timespec>) -> bool {
    poll(&mut [PollFd::new(descriptor, PollFlags::IN)], timeout).is_ok_and(|ready| ready > 0)
}
