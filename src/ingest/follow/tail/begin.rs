//! Finding the file to begin with: at our start, after a failure, when a missing one appears.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;

use super::{Goal, Reading, Tail};
use crate::config::StartAt;
use crate::ingest::follow::mark::FileId;
use crate::ingest::follow::search::{self, After, Ahead, Rotated};
use crate::ingest::follow::stream::Stream;
use crate::model::position::{Place, Position};
use crate::telemetry::service::Gap;

impl Tail {
    /// The file to begin with, and those after it.
    pub(super) fn open_first(&mut self) -> io::Result<Reading> {
        self.home = self.followed.home();
        let again = std::mem::replace(&mut self.begun, true);
        if !again {
            self.resume = match self.sink.saved_place() {
                Some(Place::File(position)) => Some(position),
                Some(Place::Log(_)) | None => None,
            };
        }
        let reading = match self.resume.clone() {
            Some(place) => self.find_again(&place)?,
            None if self.start == StartAt::Oldest
                || (again && self.start == StartAt::Beginning) =>
            {
                // Nothing is known yet that would be older.
                self.start = StartAt::Beginning;
                match self.open_new(Rotated::Unknown, false)? {
                    Some(first) => first,
                    None => Reading::current(Stream::beginning(self.path())?),
                }
            }
            None => Reading::current(self.open_existing()?),
        };
        self.telemetry.following(&self.path().display(), reading.stream.mark.offset);
        if matches!(self.goal, Some(Goal::NotSet)) {
            self.goal =
                Some(fs::metadata(self.path()).map_or(Goal::Idle, |metadata| {
                    Goal::At(FileId::of(&metadata), metadata.size())
                }));
        }
        Ok(reading)
    }

    /// The first look ever: what stands beside the file was there before us.
    fn open_existing(&mut self) -> io::Result<Stream> {
        self.known = search::existing(&self.home);
        let opened = match self.start {
            StartAt::End => Stream::end(self.path()),
            StartAt::Beginning | StartAt::Oldest => Stream::beginning(self.path()),
        };
        match &opened {
            // One that appears later is new.
            Err(error) if error.kind() == ErrorKind::NotFound => self.start = StartAt::Beginning,
            // So that what comes while we are dead is not taken for what was before us.
            Ok(stream) => {
                self.start = StartAt::Beginning;
                self.known.remove(&stream.existed);
                if stream.mark.offset > 0 {
                    self.sink.placed_bytes(&[], Place::File(stream.mark.position()));
                }
            }
            Err(_) => {}
        }
        opened
    }

    /// A file that was missing or empty, or what became of it before we looked again; `None` if it
    /// cannot be told yet, which it always can if we are not `patient`.
    pub(super) fn open_new(
        &mut self,
        rotated: Rotated,
        patient: bool,
    ) -> io::Result<Option<Reading>> {
        let after = search::after(self.path(), &self.home, None, rotated, &self.known, patient)?;
        if after.unsure && patient {
            return Ok(None);
        }
        self.adopt(after, true);
        match self.ahead.pop_front() {
            Some(first) => Ok(Some(Reading::of(first, rotated))),
            None => Stream::beginning(self.path()).map(|stream| Some(Reading::current(stream))),
        }
    }

    fn find_again(&mut self, place: &Position) -> io::Result<Reading> {
        let known = Some(&self.known).filter(|known| !known.is_empty());
        if let Some(located) = search::locate(&self.home, place, None, known)? {
            self.resume = None;
            self.adopt(located.after, false);
            let rotated = search::how_found(&located.stream, place);
            let current = self.is_current(&located.stream);
            return Ok(Reading::of(Ahead { stream: located.stream, current }, rotated));
        }
        let stream = Stream::beginning(self.path())?;
        self.resume = None;
        // What stands beside it may have been read before.
        self.known = search::older(&self.home, &stream)?;
        self.telemetry.gap(Gap::Gone, None, &self.path().display());
        self.sink.gap();
        Ok(Reading::current(stream))
    }

    /// `now`: the first of them is the next to be read.
    pub(super) fn adopt(&mut self, after: After, now: bool) {
        for (n, gap) in [(after.unreadable, Gap::Unreadable), (after.doubtful, Gap::Gone)] {
            for _ in 0..n {
                self.telemetry.gap(gap, None, &self.path().display());
                self.sink.gap();
            }
        }
        self.ahead = after.ahead;
        // The current file may be rotated before its turn comes: it is opened only then.
        if self.ahead.len() > 1 || !now {
            self.ahead.pop_back_if(|last| last.current);
        }
        self.known = after.older;
    }
}
