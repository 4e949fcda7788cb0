//! Following one path, turn by turn, through whatever happens to the files under it.
//!
//! A turn blocks and has no clock: who calls it decides when.

mod begin;
mod rotation;

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mark::{Existed, FileId};
use super::search::Ahead;
use super::siblings::Home;
use super::stream::{Next, Stream};
use crate::config::StartAt;
use crate::model::position::Position;
use crate::model::sink::TraceSink;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::{Gap, SourceTelemetry};

/// Bytes read before others get their turn.
const TURN_BYTES: u64 = 1024 * 1024;

/// A followed path.
pub struct Tail {
    path: PathBuf,
    start: StartAt,
    begun: bool,
    /// Where the open file was found.
    home: Home,
    open: Option<Reading>,
    ahead: VecDeque<Ahead>,
    /// Files beside it that are older than the open one, or were read.
    known: HashSet<Existed>,
    /// The place to find again: after our own death, or after a failure.
    resume: Option<Position>,
    left: Option<Left>,
    /// When the folder had changed last as we found nothing newer in it.
    listed: Option<(i64, i64)>,
    /// Where the last file ended when we began; `None` once that was reached.
    goal: Option<Goal>,
    gone: bool,
    has_read: bool,
    sink: Box<dyn TraceSink>,
    telemetry: Arc<SourceTelemetry>,
}

/// What a turn found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There is more to read.
    More,
    /// Nothing for now.
    Idle,
    /// Nothing for now; another file has taken the place of the one at hand, which is left as soon
    /// as its writer is done with it.
    Settling,
    /// The file cannot be read.
    Failed,
}

struct Reading {
    stream: Stream,
    /// What copytruncate left behind: it has no writer.
    copy: bool,
    /// It was empty when it was opened: it may be copied and truncated before we see a byte of it.
    is_untouched: bool,
    /// How often a newer file was there when we came to the end of this one.
    looks: u32,
    /// How often we could not tell which are newer.
    doubts: u32,
}

struct Left {
    stream: Stream,
    size: u64,
    looks: u32,
}

#[derive(Debug, Clone, Copy)]
enum Goal {
    NotSet,
    /// There was no file of that name.
    Idle,
    At(FileId, u64),
}

enum Share {
    More,
    End { bytes: u64 },
    Changed,
}

enum Step {
    Done(Turn),
    /// To be read at once: what has not given a byte cannot be known again.
    Next,
}

type Failure = (Reason, io::Error);

impl Tail {
    /// Follows `path`. If nothing is known of it from before, a file that is there already is read
    /// from `start` on, one that appears later from its beginning.
    #[must_use]
    pub fn new(
        path: PathBuf,
        start: StartAt,
        sink: Box<dyn TraceSink>,
        telemetry: Arc<SourceTelemetry>,
    ) -> Self {
        Self {
            home: Home::of(Path::new("")),
            path,
            start,
            begun: false,
            open: None,
            ahead: VecDeque::new(),
            known: HashSet::new(),
            resume: None,
            left: None,
            listed: None,
            goal: Some(Goal::NotSet),
            gone: false,
            has_read: false,
            sink,
            telemetry,
        }
    }

    /// Everything that was there when we began has been read.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.goal.is_none()
    }

    /// All was read, and there is no file of this name any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Its last turn gave bytes.
    pub(super) fn has_read(&self) -> bool {
        self.has_read
    }

    /// What is followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that is open.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        self.open.as_ref().map(|open| open.stream.file())
    }

    /// Which file is open.
    pub(super) fn id(&self) -> Option<FileId> {
        self.open.as_ref().map(|open| open.stream.mark.id)
    }

    /// The source is not followed any more.
    pub fn finish(mut self) {
        self.sink.end(&mut Vec::new());
        self.telemetry.finished();
    }

    /// Looks at the files and reads at most a few chunks. `buffer` is for its own use, of
    /// [`super::BUFFER_BYTES`].
    pub fn turn(&mut self, buffer: &mut [u8]) -> Turn {
        (self.gone, self.has_read) = (false, false);
        let turn = match self.try_turn(buffer) {
            Ok(turn) => {
                self.telemetry.up();
                turn
            }
            Err((reason, error)) => {
                self.gone = reason == Reason::NotFound && self.open.is_none();
                self.telemetry.failed(reason, &format_args!("{}: {error}", self.path.display()));
                Turn::Failed
            }
        };
        if matches!(turn, Turn::Idle | Turn::Failed) || self.is_at_goal() {
            self.note_caught_up();
        }
        turn
    }

    fn is_at_goal(&self) -> bool {
        match (self.goal, &self.open) {
            (Some(Goal::At(id, size)), Some(Reading { stream, .. })) => {
                stream.mark.id == id && stream.mark.offset >= size
            }
            _ => false,
        }
    }

    fn note_caught_up(&mut self) {
        if self.goal.take().is_some() {
            self.sink.caught_up();
        }
    }

    fn try_turn(&mut self, buffer: &mut [u8]) -> Result<Turn, Failure> {
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.open_first().map_err(failure)?,
            };
            let step = match self.read_new(&mut open, buffer) {
                Ok(Share::More) => {
                    self.open = Some(open);
                    Step::Done(Turn::More)
                }
                Ok(Share::End { bytes }) => self.at_end(open, bytes).map_err(failure)?,
                Ok(Share::Changed) => self.changed(open).map_err(failure)?,
                Err(_damaged) if open.stream.is_packed() => {
                    self.telemetry.gap(Gap::Unreadable, None, &self.path.display());
                    self.sink.gap();
                    self.at_end(open, 0).map_err(failure)?
                }
                Err(error) => {
                    // A network file system may want it opened anew.
                    self.resume = Some(open.stream.mark.position());
                    self.ahead.clear();
                    return Err(failure(error));
                }
            };
            if let Step::Done(turn) = step {
                return Ok(turn);
            }
        }
    }

    fn read_new(&mut self, open: &mut Reading, buffer: &mut [u8]) -> io::Result<Share> {
        if open.is_untouched && open.has_content()? {
            open.is_untouched = false;
            let named = fs::metadata(&self.path);
            if named.is_ok_and(|named| FileId::of(&named) == open.stream.mark.id) {
                open.stream = self.open_new()?;
            }
        }
        self.read(open, buffer)
    }

    fn read(&mut self, open: &mut Reading, buffer: &mut [u8]) -> io::Result<Share> {
        let metadata = open.stream.metadata()?;
        if open.stream.is_unchanged(&metadata) {
            return Ok(Share::End { bytes: 0 });
        }
        if !open.stream.is_packed() && metadata.size() < open.stream.mark.offset {
            return Ok(Share::Changed);
        }
        if !open.stream.begins_as_before()? {
            return Ok(Share::Changed);
        }
        let mut bytes = 0;
        while bytes < TURN_BYTES {
            match open.stream.read(buffer)? {
                Next::Bytes(chunk) => {
                    bytes += chunk.len() as u64;
                    self.has_read = true;
                    self.sink.file_bytes(chunk, open.stream.mark.position());
                }
                Next::End => break,
                Next::Changed => return Ok(Share::Changed),
            }
        }
        self.telemetry.lag(open.stream.behind(&metadata));
        if bytes >= TURN_BYTES {
            return Ok(Share::More);
        }
        open.stream.note_end(&metadata);
        Ok(Share::End { bytes })
    }
}

impl Reading {
    fn of(stream: Stream) -> io::Result<Self> {
        let is_untouched = stream.mark.offset == 0 && stream.metadata()?.size() == 0;
        Ok(Self { stream, copy: false, is_untouched, looks: 0, doubts: 0 })
    }

    fn has_content(&self) -> io::Result<bool> {
        Ok(self.stream.metadata()?.size() > 0)
    }
}

fn failure(error: io::Error) -> Failure {
    (Reason::of_io(&error), error)
}
