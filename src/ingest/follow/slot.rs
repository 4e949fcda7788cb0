//! One followed path among many: when its next turn is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::fstatfs;
use tokio::time::Instant;

use super::mark::FileId;
use super::tail::{Tail, Turn};
use crate::config::Watch;
use crate::model::service::ServiceName;
use crate::runtime::backoff::Backoff;
use crate::runtime::health::Latch;

/// How often a file is looked at that gives no events: a stat and a read, some 5 µs.
const POLL: Duration = Duration::from_millis(250);

/// The same where events tell of changes; some file systems have events only of our own machine.
const POLL_BEHIND_EVENTS: Duration = Duration::from_secs(2);

/// Bytes that came without an event, so often in a row, show that events do not come here.
const SILENT_MAX: u32 = 3;

/// Longest wait before a missing file is looked for again.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A file of a pattern is forgotten after so long without its name.
const GONE: Duration = Duration::from_secs(30);

/// Earlier files of the same path that may still be about under other names.
const IDS_MAX: usize = 4;

/// A path. Those that are due are looked for among all, many times a second, so what tells it is kept apart.
pub(super) struct Slot {
    due: Instant,
    cold: Box<Cold>,
}

/// What matters when it is due: all else, and its tail unless that is having its turn.
struct Cold {
    service: ServiceName,
    path: PathBuf,
    follows_folder: bool,
    tail: Option<Box<Tail>>,
    /// Something happened during its turn.
    again: bool,
    events: bool,
    watch: Option<i32>,
    folder: bool,
    /// The last is the one that is open.
    ids: Vec<FileId>,
    by_event: bool,
    silent: u32,
    latch: Option<Latch>,
    backoff: Backoff,
    /// Of which pattern it is, and the value of its label `log`.
    instance: Option<(usize, String)>,
    gone_since: Option<Instant>,
}

/// What a turn is to watch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    pub(super) wants_events: bool,
    pub(super) folder: bool,
    pub(super) file: Option<FileId>,
}

impl Slot {
    pub(super) fn new(
        service: ServiceName,
        tail: Tail,
        watch: Watch,
        latch: Option<Latch>,
        instance: Option<(usize, String)>,
    ) -> Self {
        let cold = Cold {
            service,
            path: tail.path().to_owned(),
            follows_folder: tail.follows_folder(),
            tail: Some(Box::new(tail)),
            again: false,
            events: watch == Watch::Auto,
            watch: None,
            folder: false,
            ids: Vec::new(),
            by_event: false,
            silent: 0,
            latch,
            backoff: Backoff::new(POLL, RETRY_MAX),
            instance,
            gone_since: None,
        };
        Self { due: Instant::now(), cold: Box::new(cold) }
    }

    pub(super) fn service(&self) -> &ServiceName {
        &self.cold.service
    }

    pub(super) fn path(&self) -> &Path {
        &self.cold.path
    }

    /// Whether a file of this name, in its folder, is of interest to it.
    pub(super) fn is_called(&self, name: &[u8]) -> bool {
        self.cold.follows_folder || self.cold.path.file_name().map(OsStr::as_bytes) == Some(name)
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn device(&self) -> Option<u64> {
        self.cold.ids.last().map(|id| id.device)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = FileId> {
        self.cold.ids.iter().copied()
    }

    pub(super) fn watch(&self) -> Option<i32> {
        self.cold.watch
    }

    pub(super) fn pattern(&self) -> Option<usize> {
        self.cold.instance.as_ref().map(|(pattern, _)| *pattern)
    }

    pub(super) fn wait_for(&self) -> Wait {
        Wait {
            wants_events: self.cold.events,
            folder: !self.cold.folder && self.cold.instance.is_none(),
            file: self.cold.ids.last().copied().filter(|_| self.cold.watch.is_some()),
        }
    }

    pub(super) fn take(&mut self) -> Option<Box<Tail>> {
        self.cold.tail.take()
    }

    /// An event tells of it.
    pub(super) fn wake(&mut self, now: Instant) {
        self.cold.again = true;
        self.cold.by_event = true;
        self.due = now;
    }

    /// After a turn; gives a watch that is not needed any more.
    pub(super) fn give_back(
        &mut self,
        tail: Box<Tail>,
        turn: Turn,
        watch: Option<i32>,
        folder: bool,
        now: Instant,
    ) -> Option<i32> {
        self.cold.folder |= folder;
        if tail.is_caught_up() {
            self.cold.latch = None;
        }
        let old = self.note_file(&tail, watch);
        self.note_silence(&tail, turn);
        let wait = match turn {
            Turn::More => Duration::ZERO,
            Turn::Settling => POLL,
            Turn::Idle if tail.is_gone() => POLL,
            Turn::Idle if self.cold.watch.is_some() && self.cold.silent < SILENT_MAX => {
                POLL_BEHIND_EVENTS
            }
            Turn::Idle => POLL,
            Turn::Failed => self.cold.backoff.wait(),
        };
        if turn != Turn::Failed {
            self.cold.backoff.reset();
        }
        self.cold.gone_since = tail.is_gone().then(|| self.cold.gone_since.unwrap_or(now));
        self.cold.tail = Some(tail);
        let again = std::mem::take(&mut self.cold.again) && turn != Turn::Failed;
        self.due = if again { now } else { now + wait };
        old
    }

    /// The pattern and label of a file that is not there any more.
    pub(super) fn gone(&self) -> Option<(usize, String)> {
        let gone = self.cold.gone_since.is_some_and(|since| since.elapsed() >= GONE);
        self.cold.instance.clone().filter(|_| gone)
    }

    pub(super) fn finish(self) {
        if let Some(tail) = self.cold.tail {
            tail.finish();
        }
    }

    fn note_file(&mut self, tail: &Tail, watch: Option<i32>) -> Option<i32> {
        if let Some(id) = tail.id().filter(|id| self.cold.ids.last() != Some(id)) {
            self.cold.ids.retain(|other| *other != id);
            self.cold.ids.push(id);
            self.cold.ids.drain(..self.cold.ids.len().saturating_sub(IDS_MAX));
            self.cold.events &= tail.file().is_none_or(tells_of_changes);
        }
        if !self.cold.events {
            // The first turn had one set up before it was known that it is of no use.
            return self.cold.watch.take().or(watch);
        }
        let watch = watch.filter(|watch| self.cold.watch != Some(*watch))?;
        self.cold.watch.replace(watch)
    }

    /// Whether events come at all is seen from the bytes that come without one.
    fn note_silence(&mut self, tail: &Tail, turn: Turn) {
        if std::mem::take(&mut self.cold.by_event) {
            self.cold.silent = 0;
        } else if tail.has_read() && turn == Turn::Idle && self.cold.watch.is_some() {
            self.cold.silent += 1;
        }
    }
}

/// Network file systems tell of what is done on this machine only (inotify(7), limitations).
fn tells_of_changes(file: &std::fs::File) -> bool {
    /// Of NFS, SMB, CIFS, SMB2, 9P, AFS, Ceph, FUSE, Coda: statfs(2).
    const REMOTE: [u64; 9] = [
        0x6969,
        0x517B,
        0xFF53_4D42,
        0xFE53_4D42,
        0x0102_1997,
        0x5346_414F,
        0x00C3_6400,
        0x6573_5546,
        0x7375_7245,
    ];
    fstatfs(file)
        .is_ok_and(|info| u64::try_from(info.f_type).is_ok_and(|kind| !REMOTE.contains(&kind)))
}
