//! The containers of a node, by the folders of their logs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::names::{self, PodFolder};
use super::sniffer::{BUFFER_BYTES, Sniffer};
use crate::config::StartAt;

/// The folder of all logs, and what was in it at the last look.
#[derive(Debug, Default)]
pub(super) struct Folders {
    logs: PathBuf,
    from: StartAt,
    /// By their folders.
    containers: BTreeMap<PathBuf, Container>,
    /// Those of the first look were there before us.
    were_listed: bool,
}

/// A container, by its folder.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) pod: PodFolder,
    pub(super) name: String,
    /// Where its log is to be read from.
    pub(super) from: StartAt,
    /// None: it is a Go service.
    sniffer: Option<Sniffer>,
    /// Why the last look failed.
    failed: Option<String>,
}

impl Container {
    /// Its log showed that it is a Go service.
    pub(super) const fn is_go(&self) -> bool {
        self.sniffer.is_none()
    }
}

impl Folders {
    pub(super) fn new(logs: PathBuf, from: StartAt) -> Self {
        Self { logs, from, ..Self::default() }
    }

    pub(super) const fn were_listed(&self) -> bool {
        self.were_listed
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = (&Path, &Container)> {
        self.containers.iter().map(|(folder, container)| (folder.as_path(), container))
    }

    /// Lists them, and looks into their logs; blocks. What cannot be read is told, and the rest is looked at
    /// all the same.
    pub(super) fn look(&mut self) -> Result<(), String> {
        self.list().and(self.sniff())
    }

    /// Containers come and go with their folders.
    fn list(&mut self) -> Result<(), String> {
        let told = |folder: &Path, error: io::Error| {
            format!("the folder of logs {} cannot be read: {error}", folder.display())
        };
        let now = Instant::now();
        let folders = fs::read_dir(&self.logs).map_err(|error| told(&self.logs, error))?;
        let mut before = std::mem::take(&mut self.containers);
        let mut failed = None;
        for folder in folders.flatten() {
            let Some(pod) = PodFolder::of(&folder.file_name()) else { continue };
            let folder = folder.path();
            match fs::read_dir(&folder) {
                Ok(containers) => self.pod(&pod, containers, &mut before, now),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => failed = Some(told(&folder, error)),
            }
        }
        self.were_listed = true;
        failed.map_or(Ok(()), Err)
    }

    fn pod(
        &mut self,
        pod: &PodFolder,
        containers: fs::ReadDir,
        before: &mut BTreeMap<PathBuf, Container>,
        now: Instant,
    ) {
        // What came since the last look is new, and read from its first byte on.
        let from = if self.were_listed { StartAt::Oldest } else { self.from };
        for entry in containers.flatten() {
            let Some(name) = names::container(&entry.file_name()) else { continue };
            let folder = entry.path();
            let container = before.remove(&folder).unwrap_or_else(|| Container {
                pod: pod.clone(),
                name,
                from,
                sniffer: Some(Sniffer::new(now)),
                failed: None,
            });
            self.containers.insert(folder, container);
        }
    }

    fn sniff(&mut self) -> Result<(), String> {
        let now = Instant::now();
        let mut buffer = vec![0; BUFFER_BYTES];
        for (folder, container) in &mut self.containers {
            let due = container.sniffer.as_mut().filter(|sniffer| sniffer.is_due(now));
            let Some(sniffer) = due else { continue };
            container.failed = None;
            match sniffer.look(folder, now, &mut buffer) {
                Ok(true) => container.sniffer = None,
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => container.failed = Some(unreadable(folder, &error)),
            }
        }
        let mut failed = self.containers.values().filter_map(|container| container.failed.clone());
        failed.next().map_or(Ok(()), Err)
    }
}

fn unreadable(folder: &Path, error: &io::Error) -> String {
    let advice = if error.kind() == ErrorKind::PermissionDenied {
        "; logs of pods are root's: run as user 0, or with the capability DAC_READ_SEARCH"
    } else {
        ""
    };
    format!("the log in {} cannot be read: {error}{advice}", folder.display())
}
