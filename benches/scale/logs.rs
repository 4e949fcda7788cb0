//! Containers whose logs are written all the time, as the kubelet keeps them.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::outcome::Outcome;

/// How often containers write, each its share of a second.
const TICK: Duration = Duration::from_millis(100);
const TICKS_PER_SECOND: u32 = 10;

/// A service collects every so many seconds.
const CYCLE_SECONDS: usize = 10;

/// When the container's runtime says that a line was written.
const TIME: &str = "2026-11-21T10:00:00.123456789Z";

/// What services of these releases printed: samples, cycles.
const RECORDED: [(&str, &str); 4] = [
    (
        include_str!("../../tests/fixtures/samples/go1.22-schedtrace.log"),
        include_str!("../../tests/fixtures/samples/go1.22-gctrace.log"),
    ),
    (
        include_str!("../../tests/fixtures/samples/go1.24-schedtrace.log"),
        include_str!("../../tests/fixtures/samples/go1.24-gctrace.log"),
    ),
    (
        include_str!("../../tests/fixtures/samples/go1.26-schedtrace.log"),
        include_str!("../../tests/fixtures/samples/go1.26-gctrace.log"),
    ),
    (
        include_str!("../../tests/fixtures/samples/go1.27-schedtrace.log"),
        include_str!("../../tests/fixtures/samples/go1.27-gctrace.log"),
    ),
];

/// Each container begins elsewhere in its recording, so that values differ.
const FIRST_LINES: usize = 64;

/// A node's /var/log/pods, whose containers trace until this is dropped.
pub(crate) struct Node {
    folder: TempDir,
    written: Arc<AtomicU64>,
    /// When so many records had been written.
    history: Arc<Mutex<Vec<(Instant, u64)>>>,
    stop: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

/// Who writes.
struct Writer {
    logs: Vec<File>,
    recorded: Vec<[Vec<String>; 2]>,
}

impl Node {
    /// So many containers, each of which has printed something.
    pub(crate) fn new(containers: usize) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let logs: Outcome<Vec<File>> = (0..containers).map(|n| log(folder.path(), n)).collect();
        let recorded = RECORDED.map(|(samples, cycles)| [entries(samples), entries(cycles)]).into();
        let mut writer = Writer { logs: logs?, recorded };
        let mut first = 0;
        for n in 0..containers {
            first += writer.write(n, 0)?;
        }
        let written = Arc::new(AtomicU64::new(first));
        let history = Arc::new(Mutex::new(vec![(Instant::now(), first)]));
        let stop = Arc::new(AtomicBool::new(false));
        let mut this = Self { folder, written, history, stop, writer: None };
        this.go_on(writer);
        Ok(this)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn go_on(&mut self, mut writer: Writer) {
        let (written, history) = (Arc::clone(&self.written), Arc::clone(&self.history));
        let stop = Arc::clone(&self.stop);
        self.writer = Some(std::thread::spawn(move || {
            let began = Instant::now();
            // The first entries are there already.
            let mut tick = TICKS_PER_SECOND;
            while !stop.load(Ordering::Relaxed) {
                let Ok(records) = writer.tick(tick) else { return };
                let all = written.fetch_add(records, Ordering::Relaxed) + records;
                lock(&history).push((Instant::now(), all));
                tick += 1;
                let due = TICK * (tick - TICKS_PER_SECOND);
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
        }));
    }

    /// How long ago, at `now`, the first record was written that is not among the first `read`. None: not even what
    /// was there at the start was read.
    pub(crate) fn lag(&self, read: u64, now: Instant) -> Option<Duration> {
        let history = lock(&self.history);
        let missed = history.iter().position(|(_, written)| *written > read);
        let Some((at, _)) = missed.and_then(|at| history.get(at)) else {
            return Some(Duration::ZERO);
        };
        missed.filter(|at| *at > 0).map(|_| now.saturating_duration_since(*at))
    }

    /// Writes no more, and gives how many records were written.
    pub(crate) fn stop(&mut self) -> Outcome<u64> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.join().map_err(|_panic| "the writer of logs panicked")?;
        }
        Ok(self.written.load(Ordering::Relaxed))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Writer {
    /// What is written in one tick: by a tenth of the containers, the entries of a second.
    fn tick(&mut self, tick: u32) -> Outcome<u64> {
        let (second, share) = (tick / TICKS_PER_SECOND, tick % TICKS_PER_SECOND);
        let (second, share) = (usize::try_from(second)?, usize::try_from(share)?);
        let mut records = 0;
        for n in (share..self.logs.len()).step_by(usize::try_from(TICKS_PER_SECOND)?) {
            records += self.write(n, second)?;
        }
        Ok(records)
    }

    /// The entries of one second: each by one write, as containerd does.
    fn write(&mut self, n: usize, second: usize) -> Outcome<u64> {
        let kinds = self.recorded.get(n % self.recorded.len()).ok_or("nothing was recorded")?;
        let log = self.logs.get_mut(n).ok_or("no such container")?;
        let first = n % FIRST_LINES;
        let mut records = 0;
        for (entries, [every, from]) in kinds.iter().zip([[1, first], [CYCLE_SECONDS, 0]]) {
            if second.is_multiple_of(every) {
                let entry = entries.get(from + second / every);
                log.write_all(entry.ok_or("the recording is at its end")?.as_bytes())?;
                records += 1;
            }
        }
        Ok(records)
    }
}

fn log(folder: &Path, n: usize) -> Outcome<File> {
    let pod = format!("shop_service-{n}-7d9f8b6c5d-x2x4z_{n:08x}-3a0b-4f6e-9a55-0f0f6f1f2f3f");
    let container = folder.join(pod).join("app");
    fs::create_dir_all(&container)?;
    Ok(File::create(container.join("0.log"))?)
}

fn entries(recorded: &str) -> Vec<String> {
    recorded.lines().map(|line| format!("{TIME} stderr F {line}\n")).collect()
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
