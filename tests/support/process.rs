//! A child process that does not outlive its test.

use std::process::{Child, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};

use super::wait::wait_until;

/// Killed when dropped.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self, what: &str) -> ExitStatus {
        wait_until(&format!("{what} ends"), || self.0.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its own children first: a service outlives an exporter that is killed. Any of them may
        // have ended already.
        for child in children(self.0.id()) {
            let _ended = kill_process(child, Signal::KILL);
        }
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Its children at this moment, whichever of its threads started them.
pub(crate) fn children(pid: u32) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.flat_map(|thread| std::fs::read_to_string(thread.path().join("children")));
    let pids = |list: String| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>();
    lists.flat_map(pids).filter_map(Pid::from_raw).collect()
}

/// A figure of /proc/PID/status, in KiB.
pub(crate) fn status_kib(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").trim().parse().unwrap()
}

/// The exporter proper of an `exec`: the second process, which may die.
pub(crate) fn exporter_of(exec: u32) -> Option<Pid> {
    let command = |pid: &Pid| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is_exporter =
        |pid: &Pid| command(pid).split(|byte| *byte == 0).nth(1) == Some(b"exec-exporter");
    children(exec).into_iter().find(is_exporter)
}

/// A process that is not our child; killed when dropped.
pub(crate) struct Stranger(pub(crate) Pid);

impl Stranger {
    pub(crate) fn runs(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        // A zombie has ended.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ended = kill_process(self.0, Signal::KILL);
    }
}
