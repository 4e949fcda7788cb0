//! What a process writes to a pipe, read by a thread so that it never waits for us.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::wait::wait_until_or;

/// A pipe's bytes so far.
pub(crate) struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Captured {
    pub(crate) fn of(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let filled = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(n @ 1..) = stream.read(&mut buffer) {
                filled.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
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
