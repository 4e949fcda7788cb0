//! Targets in files: Prometheus' `file_sd`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Look, targets};
use crate::model::target::Target;

/// How often we look whether a file has changed.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Largest file read, in bytes.
const FILE_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Which content a file had: inode, size, time of the last change.
type State = (u64, u64, i64, i64);

/// Files, and what they said when they were right last.
#[derive(Debug, Default)]
pub(super) struct Files {
    patterns: Vec<PathBuf>,
    every: Duration,
    read: BTreeMap<PathBuf, Content>,
    all_read: Option<Instant>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    state: State,
    targets: Vec<Target>,
    wrong: Option<String>,
}

impl Files {
    pub(super) fn new(patterns: Vec<PathBuf>, every: Duration) -> Self {
        Self { patterns, every, ..Self::default() }
    }

    /// Reads what has changed; a file that is wrong stays as it was.
    pub(super) async fn look(&mut self) -> Look {
        let now = Instant::now();
        // A network file system may not tell that a file has changed.
        let again = self.all_read.is_none_or(|read| now.duration_since(read) >= self.every);
        let mut files = std::mem::take(self);
        let read = tokio::task::spawn_blocking(move || {
            files.read_now(again);
            files
        });
        match read.await {
            Ok(files) => *self = files,
            Err(lost) => return Look::of(Err(lost.to_string())),
        }
        if again {
            self.all_read = Some(now);
        }
        let wrong = self.read.iter().find_map(|(file, content)| {
            content.wrong.as_ref().map(|what| format!("{} {what}", file.display()))
        });
        let targets = self.read.values().flat_map(|content| &content.targets);
        Look { targets: Some(targets.cloned().collect()), wrong }
    }

    fn read_now(&mut self, again: bool) {
        let mut now = BTreeMap::new();
        for file in self.patterns.iter().flat_map(|pattern| paths(pattern)) {
            let before = self.read.get(&file).cloned();
            let content = content(&file, before.unwrap_or_default(), again);
            now.extend(content.map(|content| (file, content)));
        }
        self.read = now;
    }
}

fn paths(pattern: &Path) -> Vec<PathBuf> {
    let Some(pattern) = pattern.to_str() else { return Vec::new() };
    glob::glob(pattern).into_iter().flatten().flatten().collect()
}

/// None: there is no such file any more.
fn content(file: &Path, mut before: Content, again: bool) -> Option<Content> {
    let metadata = match fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            before.wrong = Some(format!("cannot be read: {error}"));
            return Some(before);
        }
    };
    let state = (metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec());
    if state == before.state && !again {
        return Some(before);
    }
    before.state = state;
    match read(file) {
        Ok(targets) => Some(Content { state, targets, wrong: None }),
        Err(wrong) => {
            before.wrong = Some(wrong);
            Some(before)
        }
    }
}

fn read(file: &Path) -> Result<Vec<Target>, String> {
    let mut text = String::new();
    let read = fs::File::open(file)
        .and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(format!("is larger than {FILE_MAX_BYTES} bytes"));
    }
    if file.extension().is_some_and(|end| end == "json") {
        targets::json(text.as_bytes())
    } else {
        targets::yaml(&text)
    }
}
