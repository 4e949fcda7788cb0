//! Finds the file that a place stands in, and the files that were written after another.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::mark::{CERTAIN_BYTES, Existed, FileId};
use super::names::Packed;
use super::siblings::{Home, Sibling};
use super::stream::{Stream, is_certain};
use crate::model::position::Position;

/// Files held open ahead; the rest are looked for again when these are read.
const AHEAD_MAX: usize = 8;

/// A search in a folder that is being rotated is made again so often.
const TRIES_MAX: u32 = 20;

/// A file to be read after the one at hand.
pub(super) struct Ahead {
    pub(super) stream: Stream,
    /// The path led to it when it was opened: it may be written to.
    pub(super) current: bool,
}

/// What comes after a file.
#[derive(Default)]
pub(super) struct After {
    pub(super) ahead: VecDeque<Ahead>,
    /// There is one of which we cannot tell yet whether it is a copy of the current file.
    pub(super) unsure: bool,
    /// There are some with nothing in them yet.
    pub(super) empty: bool,
    /// Files among them that cannot be read.
    pub(super) unreadable: u64,
    /// Files of which we cannot tell whether they came before or after.
    pub(super) doubtful: u64,
    /// Files that were there before the one itself.
    pub(super) older: HashSet<Existed>,
}

/// The file after which others are looked for.
struct Anchor {
    id: Option<FileId>,
    /// Where it stands in the list.
    at: Option<usize>,
    modified: (i64, i64),
}

/// What is known of how the files after another came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotated {
    /// They were renamed: each holds something else.
    Renamed,
    Unknown,
    /// They were copied before the current file was truncated, and one of them may hold the same.
    Copied,
}

#[derive(PartialEq, Eq)]
enum Age {
    Older,
    Newer,
    Unknown,
}

/// A place that was found again.
pub(super) struct Located {
    pub(super) stream: Stream,
    pub(super) after: After,
}

/// The file in which everything before a place was read, whatever it is called now, and those after
/// it. `except`: a file that is known to hold something else.
pub(super) fn locate(
    home: &Home,
    place: &Position,
    except: Option<FileId>,
    known: Option<&HashSet<Existed>>,
) -> io::Result<Option<Located>> {
    let path = home.path();
    for _ in 0..TRIES_MAX {
        let current = Current::now(&path)?;
        let list = match home.siblings(Some(place.inode)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            list => list?,
        };
        let stream = match holder(&list, place, except) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
            Ok(None) => return Ok(None),
            Ok(Some(stream)) => stream,
        };
        let anchor = Anchor::of(&stream, &list)?;
        let how = if except.is_some() { Rotated::Copied } else { how_found(&stream, place) };
        let after = open_after(list, anchor, known, except)?;
        let after = after.map(|after| current.leave_out_copies(after, how, true)).transpose()?;
        if let Some(after) = after
            && current.is_as_before()?
        {
            return Ok(Some(Located { stream, after }));
        }
    }
    Err(io::Error::other("the files beside it change all the time"))
}

/// Files written after `anchor`, the last being the one that `path` leads to, if it has anything.
/// `patient`: none is wanted while there is a doubt that more bytes will take away.
pub(super) fn after(
    path: &Path,
    home: &Home,
    anchor: Option<&Stream>,
    how: Rotated,
    known: &HashSet<Existed>,
    patient: bool,
) -> io::Result<After> {
    let inode = anchor.map(|anchor| anchor.mark.id.inode);
    for _ in 0..TRIES_MAX {
        let current = Current::now(path)?;
        let now = home.again(path);
        let moved = now.folder != home.folder;
        let mut list = match (if moved { home } else { &now }).siblings(inode) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            list => list?,
        };
        add_current(&mut list, path)?;
        let anchor = match anchor {
            Some(stream) => Anchor::of(stream, &list)?.or_by_content(stream, &list)?,
            None => Anchor { id: None, at: None, modified: (i64::MIN, 0) },
        };
        let after = open_after(list, anchor, Some(known), None)?;
        let after = after.map(|after| current.leave_out_copies(after, how, patient)).transpose()?;
        if let Some(after) = after
            && current.is_as_before()?
        {
            return Ok(after);
        }
    }
    Err(io::Error::other("the files beside it change all the time"))
}

/// Everything that stands beside a path now.
pub(super) fn existing(home: &Home) -> HashSet<Existed> {
    let list = home.siblings(None).unwrap_or_default();
    list.iter().map(|sibling| sibling.existed).collect()
}

/// What stands before a file in the order; all that is not the current one if its name is lost.
pub(super) fn older(home: &Home, stream: &Stream) -> io::Result<HashSet<Existed>> {
    let id = stream.mark.id;
    let list = home.siblings(Some(id.inode))?;
    let at = list.iter().position(|sibling| sibling.id == id && sibling.rank.is_some());
    let is_older =
        |i, sibling: &Sibling| at.map_or(!sibling.current && sibling.size > 0, |at| i < at);
    let older = list.iter().enumerate().filter(|(i, sibling)| is_older(*i, sibling));
    Ok(older.map(|(_, sibling)| sibling.existed).collect())
}

/// The current file ends the list, whatever it is called.
fn add_current(list: &mut Vec<Sibling>, path: &Path) -> io::Result<()> {
    list.iter_mut().for_each(|sibling| sibling.current = false);
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let id = FileId::of(&metadata);
    match list.iter_mut().find(|sibling| sibling.id == id) {
        Some(sibling) => sibling.current = true,
        None => list.push(Sibling {
            path: path.to_owned(),
            id,
            existed: Existed::of(&metadata),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            packed: Packed::No,
            rank: None,
            current: true,
        }),
    }
    Ok(())
}

impl Anchor {
    fn of(stream: &Stream, list: &[Sibling]) -> io::Result<Self> {
        let id = stream.mark.id;
        let at = list.iter().position(|sibling| sibling.id == id && sibling.rank.is_some());
        let metadata = stream.metadata()?;
        Ok(Self { id: Some(id), at, modified: (metadata.mtime(), metadata.mtime_nsec()) })
    }

    /// An open file that has no name any more may have been compressed.
    fn or_by_content(mut self, stream: &Stream, list: &[Sibling]) -> io::Result<Self> {
        let place = stream.mark.position();
        if self.at.is_none() && is_certain(&place) {
            for (i, sibling) in list.iter().enumerate().rev() {
                let can_be = sibling.packed == Packed::Gzip && !sibling.current;
                if can_be && matches!(Stream::find(&sibling.path, &place), Ok(Some(_))) {
                    self.at = Some(i);
                    break;
                }
            }
        }
        Ok(self)
    }
}

/// The same inode first: it needs no more than to agree. Then by content alone, the newest first.
fn holder(
    list: &[Sibling],
    place: &Position,
    except: Option<FileId>,
) -> io::Result<Option<Stream>> {
    let readable = |sibling: &&Sibling| {
        sibling.packed != Packed::Other && Some(sibling.id) != except && sibling.size > 0
    };
    let same = list.iter().filter(|sibling| sibling.id.inode == place.inode);
    let others =
        list.iter().rev().filter(|sibling| sibling.id.inode != place.inode && is_certain(place));
    for sibling in same.chain(others).filter(readable) {
        match Stream::find(&sibling.path, place) {
            Ok(None) => {}
            Err(error) if sibling.current || error.kind() == ErrorKind::NotFound => {
                return Err(error);
            }
            // One that cannot be read does not hold it, as far as we can tell.
            Err(_) => {}
            found => return found,
        }
    }
    Ok(None)
}

/// A name is changed with the inode kept; a copy has its own, as a compressed file has.
pub(super) fn how_found(stream: &Stream, place: &Position) -> Rotated {
    match stream.mark.id.inode == place.inode {
        true => Rotated::Renamed,
        false if stream.is_packed() => Rotated::Unknown,
        false => Rotated::Copied,
    }
}

/// `None`: the folder changed meanwhile.
fn open_after(
    list: Vec<Sibling>,
    anchor: Anchor,
    known: Option<&HashSet<Existed>>,
    except: Option<FileId>,
) -> io::Result<Option<After>> {
    let mut after = After::default();
    let mut vanished = known.map_or(0, |known| vanished(known, &list));
    for (i, sibling) in list.into_iter().enumerate() {
        let old = known.is_some_and(|known| known.contains(&sibling.existed));
        let mut age =
            if old || Some(sibling.id) == anchor.id { Age::Older } else { anchor.age(i, &sibling) };
        if age == Age::Unknown && anchor.id.is_none() && sibling.packed == Packed::Gzip {
            // The oldest are what became of those that were known.
            age = if vanished > 0 { Age::Older } else { Age::Newer };
            vanished = vanished.saturating_sub(1);
        }
        if age != Age::Newer {
            let doubtful = age == Age::Unknown && sibling.size > 0 && known.is_some();
            after.doubtful += u64::from(doubtful && anchor.id.is_some());
            let may_grow = age == Age::Unknown && sibling.size == 0;
            let is_anchor = Some(sibling.id) == anchor.id;
            if !is_anchor && (age == Age::Older || (anchor.id.is_some() && !may_grow)) {
                after.older.insert(sibling.existed);
            }
            continue;
        }
        after.empty |= sibling.size == 0 && !sibling.current;
        let is_excepted = Some(sibling.id) == except && !sibling.current;
        if sibling.size == 0 || is_excepted || after.ahead.len() > AHEAD_MAX {
            continue;
        }
        match Stream::beginning(&sibling.path) {
            Ok(stream) if stream.mark.id != sibling.id => return Ok(None),
            Ok(stream) if sibling.packed != Packed::Other => {
                after.ahead.push_back(Ahead { stream, current: sibling.current });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if sibling.current => return Err(error),
            _unreadable => {
                after.unreadable += 1;
                after.older.insert(sibling.existed);
            }
        }
    }
    Ok(Some(after))
}

/// How many known files are there no more: deleted, or compressed.
fn vanished(known: &HashSet<Existed>, list: &[Sibling]) -> usize {
    known.iter().filter(|known| !list.iter().any(|sibling| sibling.existed == **known)).count()
}

impl Anchor {
    /// Names first; times only where the anchor has no name any more.
    fn age(&self, i: usize, sibling: &Sibling) -> Age {
        match self.at {
            Some(at) if i > at => Age::Newer,
            Some(_) => Age::Older,
            None if sibling.current => Age::Newer,
            None if sibling.packed == Packed::No && sibling.modified >= self.modified => Age::Newer,
            None => Age::Unknown,
        }
    }
}

/// How the current file began before others were looked for.
///
/// copytruncate copies first and truncates then: between the two, both files hold the same, and it
/// is to be read once. As long as the current file begins as before, a copy that is being made is
/// one of what it holds.
struct Current<'p> {
    path: &'p Path,
    head: Vec<u8>,
}

impl<'p> Current<'p> {
    fn now(path: &'p Path) -> io::Result<Self> {
        Ok(Self { path, head: Stream::first_bytes(path)? })
    }

    fn is_as_before(&self) -> io::Result<bool> {
        Ok(Stream::first_bytes(self.path)? == self.head)
    }

    fn leave_out_copies(&self, mut after: After, how: Rotated, patient: bool) -> io::Result<After> {
        let mut kept = VecDeque::with_capacity(after.ahead.len());
        for mut ahead in after.ahead {
            let head = ahead.stream.peek()?;
            let common = head.len().min(self.head.len());
            let few = common < CERTAIN_BYTES as usize;
            let is_copy = how != Rotated::Renamed
                && !ahead.current
                && !self.head.is_empty()
                && head.get(..common) == self.head.get(..common);
            after.unsure |= is_copy && few;
            // Of few bytes, all of which stand there too, there is nothing to lose.
            let is_needed = how != Rotated::Copied || head.len() > self.head.len();
            if !is_copy || few && is_needed {
                ahead.stream.expect(if ahead.current { &self.head } else { &head });
                kept.push_back(ahead);
            }
        }
        // A copy that is being made grows.
        after.ahead = if after.unsure && patient { VecDeque::new() } else { kept };
        Ok(after)
    }
}

impl std::fmt::Debug for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ahead").field("current", &self.current).finish_non_exhaustive()
    }
}
