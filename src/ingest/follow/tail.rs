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

use super::followed::Followed;
use super::mark::{Existed, FileId};
use super::search::{Ahead, Rotated};
use super::siblings::Home;
use super::stream::{Next, Stream};
use crate::config::StartAt;
use crate::model::position::{Place, Position};
use crate::model::sink::TraceSink;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::{Gap, SourceTelemetry};

/// A doubt that more bytes would take away is given up after so many looks.
const DOUBTS_MAX: u32 = 3;

/// Bytes read before others get their turn.
const TURN_BYTES: u64 = 1024 * 1024;

/// A followed path.
pub struct Tail {
    followed: Followed,
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
    /// How it came to be beside the current file, if it is not that one.
    rotated: Rotated,
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
    End {
        bytes: u64,
    },
    /// It cannot be told yet what comes first.
    Unsure,
    Changed,
}

enum Step {
    Done(Turn),
    /// To be read at once: what has not given a byte cannot be known again.
    Next,
}

type Failure = (Reason, io::Error);

impl Tail {
    /// Follows `path`: a file, or a container's folder if it ends with `/`. If nothing is known of it from before, a file that is there already is read
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
            followed: Followed::new(path),
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
        self.followed.path()
    }

    /// Whether files that come into its folder may be the next to be followed.
    pub(super) fn follows_folder(&self) -> bool {
        self.followed.is_folder()
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
        self.followed.look();
        (self.gone, self.has_read) = (false, false);
        let turn = match self.try_turn(buffer) {
            Ok(turn) => {
                self.telemetry.up();
                turn
            }
            Err((reason, error)) => {
                self.gone = reason == Reason::NotFound && self.open.is_none();
                self.telemetry.failed(reason, &format_args!("{}: {error}", self.path().display()));
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
                Ok(Share::Unsure) => {
                    self.open = Some(open);
                    Step::Done(Turn::Settling)
                }
                Ok(Share::End { bytes }) => self.at_end(open, bytes).map_err(failure)?,
                Ok(Share::Changed) => self.changed(open).map_err(failure)?,
                Err(_damaged) if open.stream.is_packed() => {
                    self.telemetry.gap(Gap::Unreadable, None, &self.path().display());
                    self.sink.gap();
                    self.at_end(open, 0).map_err(failure)?
                }
                Err(error) => {
                    // A network file system may want it opened anew. Any file agrees with no byte.
                    let place = Some(open.stream.mark.position());
                    self.resume = place.filter(|_| !open.stream.is_blank());
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
        if open.stream.is_blank() && open.stream.metadata()?.size() == 0 {
            return Ok(Share::End { bytes: 0 });
        }
        if open.stream.is_blank() && self.is_current(&open.stream) {
            // It may have been copied and truncated before we saw a byte: these copies come first.
            let Some(first) = self.open_new(Rotated::Copied, open.is_patient())? else {
                open.doubts += 1;
                return Ok(Share::Unsure);
            };
            let doubts = open.doubts;
            *open = Reading { doubts, ..first };
            if open.stream.is_blank() {
                return Ok(Share::Unsure);
            }
        }
        self.read(open, buffer)
    }

    /// Whether the path leads to it.
    fn is_current(&self, stream: &Stream) -> bool {
        let named = fs::metadata(self.path());
        named.is_ok_and(|named| FileId::of(&named) == stream.mark.id)
    }

    fn read(&mut self, open: &mut Reading, buffer: &mut [u8]) -> io::Result<Share> {
        let metadata = open.stream.metadata()?;
        if open.stream.is_unchanged(&metadata) {
            return Ok(Share::End { bytes: 0 });
        }
        if !open.stream.is_packed() && metadata.size() < open.stream.mark.offset {
            return Ok(Share::Changed);
        }
        let mut bytes = 0;
        while bytes < TURN_BYTES {
            match open.stream.read(buffer)? {
                Next::Bytes(chunk) => {
                    bytes += chunk.len() as u64;
                    self.has_read = true;
                    self.sink.placed_bytes(chunk, Place::File(open.stream.mark.position()));
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
    /// The file that the path leads to. If another takes its place, it was renamed.
    fn current(stream: Stream) -> Self {
        Self { stream, rotated: Rotated::Renamed, looks: 0, doubts: 0 }
    }

    fn of(next: Ahead, rotated: Rotated) -> Self {
        let current = Self::current(next.stream);
        if next.current { current } else { Self { rotated, ..current } }
    }

    /// What copytruncate left behind: it has no writer.
    fn is_copy(&self) -> bool {
        self.rotated == Rotated::Copied
    }

    fn is_patient(&self) -> bool {
        self.doubts < DOUBTS_MAX
    }
}

fn failure(error: io::Error) -> Failure {
    (Reason::of_io(&error), error)
}
