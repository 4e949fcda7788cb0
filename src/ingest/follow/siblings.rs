//! The rotated files beside a followed one, in the order in which they were written.

use std::ffi::OsString;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::mark::{Existed, FileId};
use super::names::{Age, Family, Packed, Rank};

/// A folder that is being rotated is read again until it stands still, so often.
const READS_MAX: u32 = 10;

/// Links that lead to links, before it is a circle.
const LINKS_MAX: u32 = 16;

/// Where the path that is followed leads at the moment.
#[derive(Debug, Clone)]
pub(super) struct Home {
    pub(super) folder: PathBuf,
    base: OsString,
    /// The path is a link, which can be led to another file.
    linked: bool,
    /// The file is one of a container's, which are numbered.
    of_container: bool,
}

/// One file of the family, or of another name if it was asked for by its inode.
#[derive(Debug)]
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) existed: Existed,
    pub(super) size: u64,
    pub(super) modified: (i64, i64),
    pub(super) packed: Packed,
    pub(super) rank: Option<Rank>,
    /// What the path leads to.
    pub(super) current: bool,
}

impl Home {
    /// Resolves a path. One that does not exist is taken as it is written.
    pub(super) fn of(path: &Path) -> Self {
        let target = target(path);
        let linked = target.is_some();
        let path = target.as_deref().unwrap_or(path);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Self {
            folder: parent.unwrap_or(Path::new(".")).to_owned(),
            base: path.file_name().unwrap_or_default().to_owned(),
            linked,
            of_container: false,
        }
    }

    /// The path without links.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.base)
    }

    /// The same for a log of a container.
    pub(super) fn of_container(path: &Path) -> Self {
        Self { of_container: true, ..Self::of(path) }
    }

    /// Where a path of the same kind leads now.
    pub(super) fn again(&self, path: &Path) -> Self {
        Self { of_container: self.of_container, ..Self::of(path) }
    }

    /// Another file may be followed next although this one keeps its name.
    pub(super) fn is_link(&self) -> bool {
        self.linked || self.of_container
    }

    /// Whether a file is still there under the name that it had.
    pub(super) fn still_names(&self, file: &Metadata) -> bool {
        let named = fs::symlink_metadata(self.path());
        named.is_ok_and(|named| FileId::of(&named) == FileId::of(file))
    }

    /// The family, from the oldest to the newest, and whatever file has `inode`; first of all if
    /// its name does not tell its place.
    pub(super) fn siblings(&self, inode: Option<u64>) -> io::Result<Vec<Sibling>> {
        let family = Family::of(self.base.as_bytes(), self.is_link());
        let mut before = self.read(&family, inode)?;
        // Renames move names while we read them.
        for _ in 0..READS_MAX {
            let now = self.read(&family, inode)?;
            let same = before.len() == now.len()
                && before.iter().zip(&now).all(|(a, b)| a.path == b.path && a.id == b.id);
            before = now;
            if same {
                break;
            }
        }
        Ok(before)
    }

    fn read(&self, family: &Family, inode: Option<u64>) -> io::Result<Vec<Sibling>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let rank = family.rank(entry.file_name().as_bytes());
            if rank.is_some() || Some(entry.ino()) == inode {
                let mut sibling = sibling(&entry, rank)?;
                if let Some(sibling) = &mut sibling {
                    sibling.current = entry.file_name() == self.base;
                }
                found.extend(sibling);
            }
        }
        sort(&mut found);
        // What the order puts behind the current one is not reached by the path any more.
        if let Some(at) = found.iter().position(|sibling| sibling.current) {
            found.truncate(at + 1);
        }
        Ok(without_halves(found))
    }
}

/// Where a link leads, whether there is a file or not: the kubelet's lead to links.
fn target(path: &Path) -> Option<PathBuf> {
    let mut target = None;
    for _ in 0..LINKS_MAX {
        let link = target.as_deref().unwrap_or(path);
        let Ok(next) = fs::read_link(link) else { break };
        let next = link.parent().unwrap_or(Path::new("")).join(next);
        target = Some(next);
    }
    target
}

fn sibling(entry: &DirEntry, rank: Option<(Rank, Packed)>) -> io::Result<Option<Sibling>> {
    let metadata = match entry.metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (rank, packed) = rank.map_or((None, Packed::No), |(rank, packed)| (Some(rank), packed));
    Ok(Some(Sibling {
        path: entry.path(),
        id: FileId::of(&metadata),
        existed: Existed::of(&metadata),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        packed,
        current: false,
        rank,
    }))
}

/// By name; two ways of naming do not compare, so then by time.
fn sort(found: &mut [Sibling]) {
    let has = |like: fn(&Age) -> bool| {
        found.iter().any(|sibling| sibling.rank.as_ref().is_some_and(|rank| like(&rank.age)))
    };
    let mixed =
        has(|age| matches!(age, Age::Dated(_))) && has(|age| matches!(age, Age::Counted(_)));
    if mixed {
        found.sort_by_key(|sibling| (sibling.current, sibling.modified, sibling.path.clone()));
    } else {
        // A compressed file stands behind the plain one of the same name.
        found.sort_by(|a, b| (&a.rank, &a.path).cmp(&(&b.rank, &b.path)));
    }
}

/// Where a file stands beside its compressed form, that one is still being written.
fn without_halves(mut found: Vec<Sibling>) -> Vec<Sibling> {
    let plain: Vec<Rank> = found
        .iter()
        .filter(|sibling| sibling.packed == Packed::No)
        .filter_map(|sibling| sibling.rank.clone())
        .collect();
    found.retain(|sibling| {
        sibling.packed == Packed::No
            || sibling.rank.as_ref().is_none_or(|rank| !plain.contains(rank))
    });
    found
}
