//! How the exporter ended: one thread waits for all children, another one asks.

use std::fmt;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitStatus};

/// The end of a process is seen a moment before it can be waited for.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where the one leaves what the other takes.
#[derive(Debug, Default)]
pub(super) struct Reaped {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    expected: Option<Pid>,
    status: Option<WaitStatus>,
}

impl Reaped {
    /// Starts a process whose end is of interest.
    pub(super) fn expect(&self, start: impl FnOnce() -> io::Result<Pid>) -> io::Result<Pid> {
        // Held meanwhile: it may end before we know its number.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = start()?;
        *state = State { expected: Some(pid), status: None };
        Ok(pid)
    }

    /// A child has ended.
    pub(super) fn note(&self, pid: Pid, status: WaitStatus) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.expected == Some(pid) {
            *state = State { expected: None, status: Some(status) };
            self.arrived.notify_one();
        }
    }

    /// How the expected one ended.
    pub(super) fn take(&self) -> Ending {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited =
            self.arrived.wait_timeout_while(state, PATIENCE, |state| state.status.is_none());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Ending(state.status.take())
    }
}

/// How a process ended, in words.
#[derive(Debug)]
pub(super) struct Ending(Option<WaitStatus>);

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(status) = self.0 else { return f.write_str("unknown") };
        match (status.terminating_signal(), status.exit_status()) {
            (Some(signal), _) => write!(f, "signal {signal}"),
            (None, Some(code)) => write!(f, "exit code {code}"),
            (None, None) => f.write_str("unknown"),
        }
    }
}
