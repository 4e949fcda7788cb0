//! A service that writes its log and its traces to a file, and has it rotated; it remembers every
//! byte.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::random::Random;

/// A service takes its time; without this the disk would be full before the test is over.
const PACE: Duration = Duration::from_millis(2);

/// A block that Go 1.27 wrote with scheddetail.
const DETAIL: &str = include_str!("../fixtures/samples/go1.27-scheddetail.log");

/// Writes on a thread of its own.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    steps: AtomicUsize,
    stop: AtomicBool,
    written: Mutex<Vec<u8>>,
}

impl Writer {
    /// Begins to write to `path`; rotates after each `rotate_every` steps.
    pub(crate) fn start(path: PathBuf, rotate_every: usize) -> Self {
        let shared = Arc::<Shared>::default();
        let its = Arc::clone(&shared);
        let thread = std::thread::spawn(move || Log::new(path).write(&its, rotate_every));
        Self { shared, thread: Some(thread) }
    }

    /// Records of each kind so far.
    pub(crate) fn steps(&self) -> usize {
        self.shared.steps.load(Ordering::SeqCst)
    }

    /// Ends; gives all that was ever written.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.shared.written.lock().unwrap())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

struct Log {
    path: PathBuf,
    file: File,
    random: Random,
    rotations: usize,
}

impl Log {
    fn new(path: PathBuf) -> Self {
        let file = File::options().append(true).create(true).open(&path).unwrap();
        Self { path, file, random: Random(0x2545_F491_4F6C_DD1D), rotations: 0 }
    }

    fn write(mut self, shared: &Shared, rotate_every: usize) {
        let mut step = 0;
        while !shared.stop.load(Ordering::SeqCst) {
            step += 1;
            let text = self.step(step);
            self.put(&text, shared);
            shared.steps.store(step, Ordering::SeqCst);
            if step.is_multiple_of(rotate_every) {
                self.rotate();
            }
            std::thread::sleep(PACE);
        }
        // A block is whole when the next sample begins, and a torn line given up when a whole one of
        // its kind is read.
        self.put(&(gc(step + 1) + &sched(step + 1)), shared);
    }

    /// In pieces, as a runtime that is preempted in the middle writes it.
    fn put(&mut self, text: &str, shared: &Shared) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(1 + self.random.below(rest.len()));
            // What is in the file is in the truth, whenever one looks.
            let mut written = shared.written.lock().unwrap();
            self.file.write_all(piece).unwrap();
            written.extend_from_slice(piece);
            rest = later;
        }
    }

    fn step(&mut self, n: usize) -> String {
        let mut text = request(n);
        let gc = gc(n);
        text.push_str(&self.torn(gc, n));
        if n.is_multiple_of(10) {
            text.push_str(&self.detail(n));
        } else {
            let sched = sched(n);
            text.push_str(&self.torn(sched, n));
        }
        text
    }

    /// One line in four has a line of the service within.
    fn torn(&mut self, line: String, n: usize) -> String {
        if self.random.below(4) > 0 {
            return line;
        }
        let at = 1 + self.random.below(line.len() - 2);
        [&line[..at], &request(n), &line[at..]].concat()
    }

    fn detail(&mut self, n: usize) -> String {
        let block = DETAIL.split("SCHED ").nth(2).unwrap();
        let (_, rest) = block.split_once("ms:").unwrap();
        let block = format!("SCHED {}ms:{rest}", n * 10);
        let ticks = block.replace("schedtick=", &format!("schedtick={n}"));
        let at = ticks.lines().count() / 2;
        let lines = ticks.lines().enumerate();
        lines
            .map(|(i, line)| if i == at { request(n) + line + "\n" } else { format!("{line}\n") })
            .collect()
    }

    /// As logrotate does: each file gets the next number, the newest is 1. By turns the log is
    /// renamed, or copied and truncated.
    fn rotate(&mut self) {
        let name = self.path.file_name().unwrap().to_str().unwrap();
        let numbered = |n: usize| self.path.with_file_name(format!("{name}.{n}"));
        for n in (1..=self.rotations).rev() {
            fs::rename(numbered(n), numbered(n + 1)).unwrap();
        }
        self.rotations += 1;
        if self.rotations.is_multiple_of(2) {
            fs::copy(&self.path, numbered(1)).unwrap();
            self.file.set_len(0).unwrap();
            return;
        }
        fs::rename(&self.path, numbered(1)).unwrap();
        self.file = File::options().append(true).create(true).open(&self.path).unwrap();
    }
}

fn request(n: usize) -> String {
    format!("2026/11/21 10:00:00 INFO request handled id={n}\n")
}

fn gc(n: usize) -> String {
    let forced = if n.is_multiple_of(7) { " (forced)" } else { "" };
    format!(
        "gc {n} @{}.{:03}s 1%: 0.031+0.{}+0.048 ms clock, 0.063+0.12/0.26/0+0.{} ms cpu, 4->4->1 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P{forced}\n",
        n / 100,
        n % 100 * 10,
        10 + n % 90,
        10 + n % 80,
    )
}

fn sched(n: usize) -> String {
    format!(
        "SCHED {}ms: gomaxprocs=2 idleprocs={} threads=4 spinningthreads=0 needspinning=0 idlethreads=1 runqueue={} [ 0 {} ] schedticks=[ {} {} ]\n",
        n * 10,
        n % 3,
        n % 5,
        n % 2,
        n * 100,
        n * 7,
    )
}
