//! What comes after the end of a file: more of it, or another that took its place.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;

use super::{Left, Reading, Step, Tail, Turn};
use crate::ingest::follow::mark::FileId;
use crate::ingest::follow::search::{self, Ahead, Rotated};
use crate::telemetry::service::{Gap, Rotation};

/// A renamed file that is still written to is left after so many looks: two writers.
const LOOKS_MAX: u32 = 40;

/// A file that was left is looked at so often again: a writer may have gone on in it.
const LEFT_LOOKS: u32 = 30;

impl Tail {
    pub(super) fn at_end(&mut self, mut open: Reading, bytes: u64) -> io::Result<Step> {
        if self.ahead.is_empty() {
            let found = self.look_ahead(&mut open);
            if !matches!(found, Ok(Some(true))) {
                self.open = Some(open);
                let turn = |known: Option<bool>| known.map_or(Turn::Settling, |_none| Turn::Idle);
                return found.map(|known| Step::Done(turn(known)));
            }
        }
        open.looks += 1;
        let next_is_current = self.ahead.front().is_some_and(|next| next.current);
        let has_writer = next_is_current && !open.is_copy() && !open.stream.is_packed();
        let quiet = bytes == 0 && open.looks > 1;
        if has_writer && !quiet && open.looks <= LOOKS_MAX {
            self.ahead.clear();
            self.open = Some(open);
            return Ok(Step::Done(Turn::Settling));
        }
        if has_writer && !quiet {
            self.telemetry.gap(Gap::Late, None, &self.path().display());
            self.sink.gap();
        }
        self.leave(open)?;
        Ok(if next_is_current { Step::Next } else { Step::Done(Turn::More) })
    }

    /// Whether there are newer files with something in them; `None` if that cannot be told yet.
    fn look_ahead(&mut self, open: &mut Reading) -> io::Result<Option<bool>> {
        let named = match fs::metadata(self.path()) {
            Ok(metadata) => Some(metadata),
            // Renamed or deleted, and no new one yet.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if named.as_ref().is_some_and(|named| FileId::of(named) == open.stream.mark.id) {
            open.looks = 0;
            self.look_back();
            return Ok(Some(false));
        }
        let folder = fs::metadata(&self.home.folder).ok();
        let folder = folder.map(|folder| (folder.mtime(), folder.mtime_nsec()));
        let waiting = named.as_ref().is_none_or(|named| named.size() == 0);
        if waiting && folder.is_some() && folder == self.listed {
            self.gone = named.is_none();
            return Ok(Some(false));
        }
        let patient = open.is_patient();
        let (anchor, how) = (Some(&open.stream), open.rotated);
        let after = search::after(self.path(), &self.home, anchor, how, &self.known, patient)?;
        if after.unsure && patient {
            open.doubts += 1;
            return Ok(None);
        }
        let empty = after.empty;
        self.adopt(after, true);
        self.listed = folder.filter(|_| self.ahead.is_empty() && !empty);
        self.gone = named.is_none() && self.ahead.is_empty();
        Ok(Some(!self.ahead.is_empty()))
    }

    /// Goes on to the next file.
    fn leave(&mut self, open: Reading) -> io::Result<()> {
        let Some(next) = self.ahead.pop_front() else {
            self.open = Some(open);
            return Ok(());
        };
        let metadata = open.stream.metadata()?;
        if !open.is_copy() {
            self.telemetry.rotated(self.how_rotated(&metadata));
        }
        self.sink.break_line();
        self.known.insert(open.stream.existed);
        if next.current {
            self.home = self.followed.home();
        }
        if !open.stream.is_packed() && !open.is_copy() {
            let size = open.stream.mark.offset;
            self.left = Some(Left { stream: open.stream, size, looks: 0 });
        }
        self.open = Some(Reading::of(next, open.rotated));
        Ok(())
    }

    fn how_rotated(&self, left: &Metadata) -> Rotation {
        if left.nlink() == 0 {
            Rotation::Recreate
        } else if self.home.is_link() && self.home.still_names(left) {
            Rotation::Relink
        } else {
            Rotation::Rename
        }
    }

    /// Whether the file that was left last has grown since.
    fn look_back(&mut self) {
        let Some(left) = &mut self.left else { return };
        left.looks += 1;
        let size = left.stream.metadata().map_or(left.size, |metadata| metadata.size());
        if size > left.size {
            self.telemetry.gap(Gap::Late, Some(size - left.size), &self.followed.path().display());
            left.size = size;
        }
        if left.looks >= LEFT_LOOKS {
            self.left = None;
        }
    }

    /// The open file has another content now: what we had not read of the old one is in a copy, if
    /// there is one.
    pub(super) fn changed(&mut self, mut open: Reading) -> io::Result<Step> {
        let place = open.stream.mark.position();
        let copy = if self.ahead.is_empty() {
            search::locate(&self.home, &place, Some(open.stream.mark.id), Some(&self.known))
        } else {
            Ok(None)
        };
        let copy = match copy {
            Ok(copy) => copy,
            Err(error) => {
                self.open = Some(open);
                return Err(error);
            }
        };
        self.telemetry.rotated(Rotation::Truncate);
        open.stream.restart();
        open.looks = 0;
        if let Some(located) = copy {
            self.adopt(located.after, false);
            if !self.is_current(&open.stream) {
                // No name leads back to it. Copies of what replaced it cannot be told from its own.
                if self.ahead.is_empty() {
                    self.ahead.push_back(Ahead { stream: open.stream, current: false });
                } else {
                    self.telemetry.gap(Gap::Gone, None, &self.path().display());
                }
            }
            let copy = Ahead { stream: located.stream, current: false };
            self.open = Some(Reading::of(copy, Rotated::Copied));
        } else {
            self.known = search::older(&self.home, &open.stream)?;
            self.telemetry.gap(Gap::Truncated, None, &self.path().display());
            self.sink.gap();
            self.open = Some(open);
        }
        Ok(Step::Next)
    }
}
