//! Looks into the log of a container of which it is not known yet whether it is a Go service.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use memchr::memrchr;

use super::evidence;
use crate::ingest::follow::newest_log;

/// Read at once. A longer line is looked at in its first bytes only.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// Most that is read at one look, the newest: a service that traces says so again.
const LOOK_BYTES: u64 = 1024 * 1024;

/// What is read of a log at the first look: a minute and more of a service that traces.
const FIRST_BYTES: u64 = 256 * 1024;

/// A service traces within seconds of its start, or at its first collection.
const OFTEN: Duration = Duration::from_secs(2);
const SELDOM: Duration = Duration::from_secs(10);
const YOUNG: Duration = Duration::from_secs(60);

/// Where in a container's log we are.
#[derive(Debug)]
pub(super) struct Sniffer {
    /// Device and inode.
    file: Option<(u64, u64)>,
    offset: u64,
    since: Instant,
    due: Instant,
}

impl Sniffer {
    pub(super) fn new(now: Instant) -> Self {
        Self { file: None, offset: 0, since: now, due: now }
    }

    /// Whether it is time for a look: seldom at logs that never show anything.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Whether what came since the last look shows a Go service.
    pub(super) fn look(
        &mut self,
        folder: &Path,
        now: Instant,
        buffer: &mut [u8],
    ) -> io::Result<bool> {
        let is_young = now.duration_since(self.since) < YOUNG;
        self.due = now + if is_young { OFTEN } else { SELDOM };
        let Some(log) = newest_log(folder) else { return Ok(false) };
        let metadata = fs::metadata(&log)?;
        let id = Some((metadata.dev(), metadata.ino()));
        let size = metadata.size();
        if id != self.file || size < self.offset {
            // The first one may be old; any other is new.
            let first = if self.file.is_none() { FIRST_BYTES } else { LOOK_BYTES };
            self.offset = size.saturating_sub(first);
            self.file = id;
            (self.since, self.due) = (now, now + OFTEN);
        }
        if size == self.offset {
            return Ok(false);
        }
        self.offset = self.offset.max(size.saturating_sub(LOOK_BYTES));
        self.read(&File::open(&log)?, buffer)
    }

    /// Reads on to the end of the last whole line.
    fn read(&mut self, file: &File, buffer: &mut [u8]) -> io::Result<bool> {
        for _ in 0..=LOOK_BYTES / BUFFER_BYTES as u64 {
            let length = file.read_at(buffer, self.offset)?;
            let Some(chunk) = buffer.get(..length) else { break };
            let whole = match memrchr(b'\n', chunk) {
                Some(end) => end + 1,
                None if length == buffer.len() => length,
                None => break,
            };
            self.offset += whole as u64;
            if chunk.get(..whole).is_some_and(evidence::is_go) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TRACE: &str = "2026-11-21T10:00:00.1Z stderr F SCHED 1009ms: gomaxprocs=2 idleprocs=0\n";
    const OTHER: &str = "2026-11-21T10:00:00.1Z stderr F SCHED is what I say\n";

    struct Log {
        folder: tempfile::TempDir,
        sniffer: Sniffer,
        now: Instant,
    }

    impl Log {
        fn new() -> Self {
            let now = Instant::now();
            Self { folder: tempfile::tempdir().unwrap(), sniffer: Sniffer::new(now), now }
        }

        fn write(&self, name: &str, text: &str) {
            let file = self.folder.path().join(name);
            let mut file = File::options().create(true).append(true).open(file).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn look(&mut self, after: Duration) -> bool {
            self.now += after;
            let (mut buffer, folder) = (vec![0; BUFFER_BYTES], self.folder.path());
            self.sniffer.is_due(self.now)
                && self.sniffer.look(folder, self.now, &mut buffer).unwrap()
        }
    }

    #[test]
    fn a_trace_is_seen_once_its_line_is_whole_whatever_came_before() {
        let mut log = Log::new();
        assert!(!log.look(OFTEN), "there is no file");
        log.write("0.log", &OTHER.repeat(3 * BUFFER_BYTES / OTHER.len()));
        assert!(!log.look(OFTEN));
        let (first, rest) = TRACE.split_at(40);
        log.write("0.log", first);
        assert!(!log.look(OFTEN));
        log.write("0.log", rest);
        assert!(log.look(OFTEN));
    }

    #[test]
    fn a_log_that_is_new_or_begins_anew_is_looked_at_often_again() {
        let mut log = Log::new();
        log.write("0.log", OTHER);
        assert!(!log.look(Duration::ZERO) && !log.look(YOUNG));
        log.write("1.log", TRACE);
        assert!(!log.look(OFTEN), "it is not its turn");
        assert!(log.look(SELDOM));
        let mut log = Log::new();
        log.write("0.log", &OTHER.repeat(100));
        assert!(!log.look(OFTEN));
        fs::write(log.folder.path().join("0.log"), TRACE).unwrap();
        assert!(log.look(OFTEN), "it was truncated");
    }

    #[test]
    fn only_the_end_of_much_is_read() {
        let mut log = Log::new();
        log.write("0.log", TRACE);
        log.write("0.log", &OTHER.repeat(usize::try_from(FIRST_BYTES).unwrap() / OTHER.len() + 1));
        assert!(!log.look(OFTEN));
        log.write("0.log", &"x".repeat(2 * usize::try_from(LOOK_BYTES).unwrap()));
        log.write("0.log", &format!("\n{TRACE}"));
        assert!(log.look(OFTEN));
    }
}
