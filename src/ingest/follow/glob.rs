//! A pattern: one instance for each file that matches, as they come and go.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use super::mark::FileId;
use super::names;

/// A pattern and what was found last.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    pattern: PathBuf,
    /// Everything before the first wildcard.
    folder: PathBuf,
    /// When the folder changed last, if it is the only one.
    changed: Option<SystemTime>,
}

/// A file that matches and is nobody's rotated file.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    /// The value of the label `log`.
    pub(super) log: String,
}

impl Glob {
    pub(super) fn new(pattern: PathBuf) -> Self {
        let is_plain = |part: &Component<'_>| !is_pattern(Path::new(part));
        let folder = pattern.components().take_while(is_plain).collect();
        Self { pattern, folder, changed: None }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files that match and are not among `known`; `None` if nothing can have changed.
    pub(super) fn scan(&mut self, known: &HashSet<PathBuf>) -> Option<Vec<Match>> {
        let changed = fs::metadata(&self.folder).and_then(|folder| folder.modified()).ok();
        let is_flat = self.pattern.parent() == Some(&*self.folder);
        if is_flat && changed.is_some() && changed == self.changed {
            return None;
        }
        self.changed = changed;
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let paths = glob::glob_with(&self.pattern.to_string_lossy(), options).ok()?;
        let paths: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
        let all: HashSet<&Path> = paths.iter().chain(known).map(PathBuf::as_path).collect();
        let new = paths.iter().filter(|path| !known.contains(*path) && !is_rotated(path, &all));
        Some(new.filter_map(|path| self.found(path)).collect())
    }

    fn found(&self, path: &Path) -> Option<Match> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let log = path.strip_prefix(&self.folder).unwrap_or(path);
        let log = log.to_string_lossy().into_owned();
        Some(Match { path: path.to_owned(), id: FileId::of(&metadata), log })
    }
}

/// Whether a path has wildcards.
fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_bytes().iter().any(|b| matches!(b, b'*' | b'?' | b'['))
}

/// Whether it is what rotation made of another of the files; compressed files always are.
fn is_rotated(path: &Path, all: &HashSet<&Path>) -> bool {
    let Some(name) = path.file_name().map(OsStr::as_bytes) else { return true };
    if names::is_packed(name) {
        return true;
    }
    let extension = name.iter().rposition(|b| *b == b'.').and_then(|dot| name.get(dot..));
    let cuts = name.iter().enumerate().filter(|(_, b)| matches!(b, b'.' | b'-' | b'_'));
    cuts.filter_map(|(cut, _)| name.get(..cut)).any(|stem| {
        [&[][..], extension.unwrap_or_default()].iter().any(|end| {
            let base = [stem, end].concat();
            all.contains(&*path.with_file_name(OsStr::from_bytes(&base)))
                && names::is_rotated_name_of(name, &base)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_that_match_are_no_files_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::write(folder.path().join(name), name).unwrap();
        for name in [
            "app.log",
            "app.log.1",
            "app.log.2.gz",
            "app.log-20261121",
            "app.1.log",
            "app-1.log",
            "app-2026-11-21T10-00-00.000.log",
            "worker-20261121.log",
            "orphan.log.1",
            ".hidden.log",
        ] {
            make(name);
        }
        fs::create_dir(folder.path().join("folder.log")).unwrap();
        let mut glob = Glob::new(folder.path().join("*.log*"));
        let logs = |found: Option<Vec<Match>>| {
            let found = found.unwrap().into_iter();
            found.map(|found| found.log).collect::<Vec<_>>()
        };
        let first = logs(glob.scan(&HashSet::new()));
        assert_eq!(first, ["app-1.log", "app.log", "orphan.log.1", "worker-20261121.log"]);
        assert!(glob.scan(&HashSet::new()).is_none(), "the folder did not change");
        // The file is between two names: what it was called before is not forgotten.
        fs::remove_file(folder.path().join("app.log")).unwrap();
        let known = first.iter().map(|log| folder.path().join(log)).collect();
        assert_eq!(logs(glob.scan(&known)), [""; 0]);
        let deep = Glob::new(PathBuf::from("/var/log/*/stderr.log"));
        assert_eq!(deep.folder(), Path::new("/var/log"));
    }
}
