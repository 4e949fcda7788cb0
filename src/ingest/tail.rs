//! Following a file through rotation by rename and by truncation.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::OFlags;
use tokio_util::sync::CancellationToken;

use super::CHUNK_BYTES;
use crate::config::StartAt;
use crate::model::sink::TraceSink;
use crate::runtime::backoff::Backoff;
use crate::runtime::health::Latch;
use crate::telemetry::service::{Reason, Rotation, SourceTelemetry};

/// How often a file is looked at while nothing is written: a stat and a read, some 5 µs.
const POLL: Duration = Duration::from_millis(250);

/// Longest wait before a missing file is looked for again.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Bytes read before others get their turn.
const TURN_BYTES: u64 = 1024 * 1024;

/// A renamed file that is still written to is left after so many looks (10 s): two writers.
const LOOKS_MAX: u32 = 40;

/// A followed file.
pub struct Tail {
    path: PathBuf,
    start: StartAt,
    open: Option<Open>,
    /// Where to go on if the same file is opened again after a failure.
    resume: Option<(FileId, u64)>,
    sink: Box<dyn TraceSink>,
    telemetry: Arc<SourceTelemetry>,
}

struct Open {
    file: File,
    id: FileId,
    offset: u64,
    /// How often another file had the name when we came to the end of this one.
    looks_since_replaced: u32,
}

/// What was read in a turn.
struct Share {
    bytes: u64,
    more: bool,
}

/// Device and inode: which file it is, whatever its name.
type FileId = (u64, u64);

type Failure = (Reason, io::Error);

/// What a turn found.
enum Turn {
    /// There is more to read.
    More,
    /// Nothing for now.
    Idle,
    /// The file cannot be read.
    Failed,
}

impl Tail {
    /// Follows `path`; a file that is there already is read from `start` on, one that appears
    /// later from its beginning.
    #[must_use]
    pub fn new(
        path: PathBuf,
        start: StartAt,
        sink: Box<dyn TraceSink>,
        telemetry: Arc<SourceTelemetry>,
    ) -> Self {
        Self { path, start, open: None, resume: None, sink, telemetry }
    }

    /// Reads until `stop`. `latch` is dropped when the end was reached for the first time.
    pub async fn follow(mut self, latch: Latch, stop: CancellationToken) {
        let mut latch = Some(latch);
        let mut backoff = Backoff::new(POLL, RETRY_MAX);
        loop {
            // Reads block: a dead file system must not stop the others.
            let done = tokio::task::spawn_blocking(move || {
                let turn = self.turn();
                (self, turn)
            });
            let Ok((this, turn)) = done.await else {
                // The thread panicked, which the supervisor sees through us.
                std::panic::resume_unwind(Box::new("a read of a followed file panicked"));
            };
            self = this;
            let wait = match turn {
                Turn::More => Duration::ZERO,
                Turn::Idle => {
                    backoff.reset();
                    latch = None;
                    POLL
                }
                Turn::Failed => {
                    latch = None;
                    backoff.wait()
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait), if !wait.is_zero() => {}
                () = tokio::task::yield_now(), if wait.is_zero() => {}
            }
        }
        drop(latch);
    }

    fn turn(&mut self) -> Turn {
        match self.try_turn() {
            Ok(turn) => {
                self.telemetry.up();
                turn
            }
            Err((reason, error)) => {
                self.telemetry.failed(reason, &format_args!("{}: {error}", self.path.display()));
                Turn::Failed
            }
        }
    }

    fn try_turn(&mut self) -> Result<Turn, Failure> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_file()?,
        };
        let share = match self.read(&mut open) {
            Ok(share) => share,
            Err(error) => {
                self.resume = Some((open.id, open.offset));
                return Err((Reason::of_io(&error), error));
            }
        };
        if share.more {
            self.open = Some(open);
            return Ok(Turn::More);
        }
        let left = self.has_left(&mut open, share.bytes);
        if matches!(left, Ok(true)) {
            self.telemetry.rotated(Rotation::Rename);
            self.sink.break_line();
            return Ok(Turn::More);
        }
        self.open = Some(open);
        left.map(|_stays| Turn::Idle)
    }

    fn open_file(&mut self) -> Result<Open, Failure> {
        let opened = open_regular(&self.path);
        // A file that appears later is new: nothing of it was there before us.
        let start = std::mem::replace(&mut self.start, StartAt::Beginning);
        let (mut file, id, size) = opened?;
        let offset = match (self.resume.take(), start) {
            (Some((same, offset)), _) if same == id && offset <= size => offset,
            (_, StartAt::End) => size,
            (_, StartAt::Beginning) => 0,
        };
        file.seek(SeekFrom::Start(offset)).map_err(|error| (Reason::Io, error))?;
        self.telemetry.following(&self.path.display(), offset);
        Ok(Open { file, id, offset, looks_since_replaced: 0 })
    }

    fn read(&mut self, open: &mut Open) -> io::Result<Share> {
        let size = open.file.metadata()?.size();
        if size < open.offset {
            self.telemetry.rotated(Rotation::Truncate);
            self.sink.break_line();
            open.offset = open.file.seek(SeekFrom::Start(0))?;
        }
        if size == open.offset {
            self.telemetry.lag(0);
            return Ok(Share { bytes: 0, more: false });
        }
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut bytes = 0;
        while bytes < TURN_BYTES {
            let n = open.file.read(&mut buffer)?;
            let Some(chunk) = buffer.get(..n).filter(|chunk| !chunk.is_empty()) else { break };
            self.sink.bytes(chunk);
            open.offset += n as u64;
            bytes += n as u64;
        }
        self.telemetry.lag(size.saturating_sub(open.offset));
        Ok(Share { bytes, more: bytes >= TURN_BYTES })
    }

    /// Whether the file under the name is another one that is written to, and the open one is not
    /// any more: the writer may go on in the old file for a moment after it was renamed.
    fn has_left(&self, open: &mut Open, new_bytes: u64) -> Result<bool, Failure> {
        let named = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            // Renamed or deleted, and no new one yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err((Reason::of_io(&error), error)),
        };
        if (named.dev(), named.ino()) == open.id || named.size() == 0 {
            open.looks_since_replaced = 0;
            return Ok(false);
        }
        open.looks_since_replaced += 1;
        let quiet = new_bytes == 0 && open.looks_since_replaced > 1;
        Ok(quiet || open.looks_since_replaced > LOOKS_MAX)
    }
}

/// Opens a regular file; a FIFO would keep us waiting, a folder cannot be read.
fn open_regular(path: &Path) -> Result<(File, FileId, u64), Failure> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| (Reason::of_io(&error), error))?;
    let metadata = file.metadata().map_err(|error| (Reason::of_io(&error), error))?;
    if !metadata.is_file() {
        let what = "is not a regular file; for a named pipe use fifo";
        return Err((Reason::NotAFile, io::Error::other(what)));
    }
    Ok((file, (metadata.dev(), metadata.ino()), metadata.size()))
}

/// Reads a file from its beginning to its end, for `run --once`.
///
/// # Errors
/// It cannot be opened or read.
pub fn read_whole(path: &Path, sink: &mut dyn TraceSink) -> io::Result<()> {
    read_to_end(&mut File::open(path)?, sink)
}

/// Reads to the end of a stream.
///
/// # Errors
/// It cannot be read.
pub fn read_to_end(stream: &mut impl Read, sink: &mut dyn TraceSink) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => sink.bytes(buffer.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    sink.end(&mut Vec::new());
    Ok(())
}
