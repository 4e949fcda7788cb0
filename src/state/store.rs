//! The state directory: one file a service, replaced as a whole, so that a bad one never disturbs
//! the others.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::model::position::Print;

/// Held as long as we live: the system frees it however we end.
const LOCK: &str = "lock";

const ENDING: &str = ".state";

/// Largest state that is read: the longest line kept by config, many times over.
const STATE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Longest name of a service in the name of its file; file systems take 255 bytes.
const NAME_BYTES_MAX: usize = 150;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there, and cannot be made.
    #[error("cannot make the state directory {}", path.display())]
    Make {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its lock file cannot be opened.
    #[error("cannot open {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another exporter has it.
    #[error(
        "another exporter uses the state directory {}; give each its own, or stop the other one",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

impl OpenError {
    /// The system's error behind it.
    #[must_use]
    pub const fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Make { source, .. } | Self::Lock { source, .. } => Some(source),
            Self::InUse { .. } => None,
        }
    }
}

/// What a save must outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlives {
    /// Our own end.
    Us,
    /// The machine's too: slower, because the disk is waited for.
    TheMachine,
}

/// A state directory that is ours.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    _lock: File,
}

impl Store {
    /// Makes the directory if it is missing, and takes it.
    ///
    /// # Errors
    /// It cannot be made or read, or another exporter has it.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let at = |path: &Path| path.to_owned();
        fs::create_dir_all(directory)
            .map_err(|source| OpenError::Make { path: at(directory), source })?;
        let path = directory.join(LOCK);
        // A directory that is read-only still says how far we were.
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .or_else(|error| File::open(&path).map_err(|_also| error))
            .map_err(|source| OpenError::Lock { path, source })?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: at(directory) }),
            // A file system without locks: then there is none to respect.
            Ok(()) | Err(_) => Ok(Self { directory: at(directory), _lock: lock }),
        }
    }

    /// Where a service's state is.
    #[must_use]
    pub fn path(&self, service: &str) -> PathBuf {
        self.directory.join(file_name(service) + ENDING)
    }

    /// What was saved last, if anything.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(&self, service: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path(service)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut bytes = Vec::new();
        file.take(STATE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Replaces what was saved before, as a whole or not at all.
    ///
    /// # Errors
    /// It cannot be written; then what was there before still is.
    pub fn save(&self, service: &str, bytes: &[u8], outlives: Outlives) -> io::Result<()> {
        let path = self.path(service);
        let new = path.with_extension("new");
        let written = write(&new, bytes, outlives).and_then(|()| fs::rename(&new, &path));
        if written.is_err() {
            // A part of a file takes what little room there is.
            let _kept = fs::remove_file(&new);
        }
        written?;
        if outlives == Outlives::TheMachine {
            File::open(&self.directory)?.sync_all()?;
        }
        Ok(())
    }

    /// Renames a state that cannot be used, so that a person can look at it; gives its new place.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn set_aside(&self, service: &str) -> io::Result<PathBuf> {
        let path = self.path(service);
        let aside = path.with_extension("state.bad");
        fs::rename(&path, &aside)?;
        Ok(aside)
    }

    /// Deletes what was saved.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub fn remove(&self, service: &str) -> io::Result<()> {
        match fs::remove_file(self.path(service)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn write(path: &Path, bytes: &[u8], outlives: Outlives) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    if outlives == Outlives::TheMachine { file.sync_all() } else { Ok(()) }
}

/// A different one for each service, without a path in it: letters, digits, `-` and `_` as they
/// are, other bytes as `%XX`.
fn file_name(service: &str) -> String {
    let mut name = String::new();
    for byte in service.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    if name.len() > NAME_BYTES_MAX {
        name.truncate(NAME_BYTES_MAX);
        name.push_str(&format!("~{:016x}", Print::of(service.as_bytes()).hash));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_short_and_different() {
        assert_eq!(file_name("check-out_2"), "check-out_2");
        assert_eq!(file_name("../a b.ü%"), "%2E%2E%2Fa%20b%2E%C3%BC%25");
        let (long, longer) = (file_name(&"ü".repeat(90)), file_name(&"ü".repeat(91)));
        assert!(long.len() < 200 && long != longer);
    }

    #[test]
    fn a_state_is_replaced_as_a_whole_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/b");
        let store = Store::open(&directory).unwrap();
        assert_eq!(store.load("s").unwrap(), None);
        for (bytes, outlives) in [(&b"one"[..], Outlives::Us), (b"2", Outlives::TheMachine)] {
            store.save("s", bytes, outlives).unwrap();
            assert_eq!(store.load("s").unwrap().as_deref(), Some(bytes));
        }
        let aside = store.set_aside("s").unwrap();
        assert_eq!(fs::read(aside).unwrap(), b"2");
        assert_eq!(store.load("s").unwrap(), None);
        store.remove("s").unwrap();
    }

    #[test]
    fn a_directory_has_one_owner_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let first = Store::open(folder.path()).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(OpenError::InUse { .. })));
        drop(first);
        Store::open(folder.path()).unwrap();
    }

    #[test]
    fn a_save_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.save("s", b"good", Outlives::Us).unwrap();
        fs::create_dir(folder.path().join("s.new")).unwrap();
        store.save("s", b"more", Outlives::Us).unwrap_err();
        assert_eq!(store.load("s").unwrap().unwrap(), b"good");
    }
}
