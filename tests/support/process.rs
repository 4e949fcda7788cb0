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

fn children(pid: u32) -> Vec<Pid> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// A figure of /proc/PID/status, in KiB.
pub(crate) fn status_kib(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").trim().parse().unwrap()
}
