//! What is followed: a path, or whatever is a container's newest log.
//!
//! The kubelet gives a container a folder, and each of its starts a file in it: `0.log`, `1.log`, …
//! (Kubernetes, pkg/kubelet/kuberuntime/helpers.go, buildContainerLogsPath).

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::siblings::Home;

/// A folder is listed again after so many looks, even if its time says that nothing has changed:
/// that time moves in steps, of up to 10 ms.
const LOOKS_MAX: u32 = 16;

/// A path that is followed, or a folder.
#[derive(Debug)]
pub(super) struct Followed {
    path: PathBuf,
    folder: Option<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// When it had changed last as it was listed.
    changed: Option<(i64, i64)>,
    looks: u32,
}

impl Followed {
    /// A path that ends with `/` is a container's folder.
    pub(super) fn new(path: PathBuf) -> Self {
        if !is_folder(&path) {
            return Self { path, folder: None };
        }
        let first = path.join("0.log");
        let mut this = Self { path: first, folder: Some(Folder { path, changed: None, looks: 0 }) };
        this.look();
        this
    }

    pub(super) fn is_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// What is written to now, as of the last look.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn home(&self) -> Home {
        if self.is_folder() { Home::of_container(&self.path) } else { Home::of(&self.path) }
    }

    /// Looks which file is the newest. While there is none, it stays as it was.
    pub(super) fn look(&mut self) {
        let Some(folder) = &mut self.folder else { return };
        let changed = fs::metadata(&folder.path).ok().map(|now| (now.mtime(), now.mtime_nsec()));
        folder.looks += 1;
        if changed == folder.changed && folder.looks < LOOKS_MAX {
            return;
        }
        (folder.changed, folder.looks) = (changed, 0);
        if let Some(newest) = newest_log(&folder.path) {
            self.path = newest;
        }
    }
}

/// Whether a path is written as that of a folder.
fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}

/// The log of a container's last start; the numbers count its starts.
#[must_use]
pub fn newest_log(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let newest = entries.filter_map(|entry| {
        let name = entry.file_name();
        let digits = name.as_bytes().strip_suffix(b".log")?;
        let digits = std::str::from_utf8(digits).ok()?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        Some((digits.parse::<u64>().ok().filter(|_| plain)?, entry.path()))
    });
    newest.max_by_key(|(starts, _)| *starts).map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_log_of_a_container_is_found_as_it_starts_again() {
        let folder = tempfile::tempdir().unwrap();
        let container = folder.path().join("app");
        let mut followed = Followed::new(PathBuf::from(format!("{}/", container.display())));
        assert_eq!(followed.path(), container.join("0.log"), "it is to come");
        fs::create_dir(&container).unwrap();
        for (made, newest) in [
            ("0.log", "0.log"),
            ("0.log.20261121-101500", "0.log"),
            ("9.log", "9.log"),
            ("10.log", "10.log"),
            ("+11.log", "10.log"),
            ("99.log.gz", "10.log"),
        ] {
            fs::write(container.join(made), "").unwrap();
            // As often as it takes to list the folder for certain.
            (0..LOOKS_MAX).for_each(|_| followed.look());
            assert_eq!(followed.path(), container.join(newest), "{made}");
        }
        fs::remove_dir_all(&container).unwrap();
        followed.look();
        assert_eq!(followed.path(), container.join("10.log"), "it may be read to its end");
        assert!(!Followed::new(container.join("0.log")).is_folder());
    }
}
