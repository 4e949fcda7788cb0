//! Signals: for ourselves, and forwarded to a child.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::signal::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::reload::Reload;

/// Returns when we are asked to stop (SIGTERM or SIGINT).
///
/// # Errors
/// Signals cannot be taken.
pub async fn asked_to_stop() -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let name = tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    };
    info!(signal = name, "stopping");
    Ok(())
}

/// Asks for the config to be read again at each SIGHUP, until `stop`.
pub async fn reload_on_hangup(reload: Reload, stop: CancellationToken) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return warn!(%error, "cannot take SIGHUP; use POST /-/reload"),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(()) = hangup.recv() => {}
        }
        // What it came to is told where it happens.
        let _told = reload.now().await;
    }
}

/// Takes every signal that would end us, for ever: who waits for a child to end must not end before.
///
/// # Errors
/// Signals cannot be taken.
pub fn outlive() -> io::Result<()> {
    let nobody_looks = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM] {
        signal_hook::flag::register(signal, Arc::clone(&nobody_looks))?;
    }
    Ok(())
}

/// What is passed on to a child.
const FORWARDED: [i32; 9] =
    [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGALRM];

/// Takes the signals that a child is to get, from before it exists.
#[derive(Debug)]
pub struct Forwarder(SignalsInfo<WithOrigin>);

impl Forwarder {
    /// Begins to take signals. One that we were started to ignore (`nohup`) stays ignored, for us
    /// and the child.
    ///
    /// # Errors
    /// Signals cannot be taken.
    pub fn start() -> io::Result<Self> {
        let ignored = ignored_signals();
        let taken = FORWARDED.iter().filter(|signal| ignored & (1 << (**signal - 1)) == 0);
        Ok(Self(SignalsInfo::new(taken)?))
    }

    /// Passes signals on to `child`, for ever.
    pub fn forward_to(mut self, child: Pid) {
        for origin in self.0.forever() {
            if is_from_terminal(&origin) {
                // The terminal sent it to the child as well.
                continue;
            }
            if let Some(signal) = Signal::from_named_raw(origin.signal) {
                let sent = kill_process(child, signal);
                debug!(signal = origin.signal, ?sent, "signal passed on");
            }
        }
    }
}

/// Ctrl-C and the like reach every process of the terminal's foreground group.
fn is_from_terminal(origin: &Origin) -> bool {
    matches!(origin.cause, Cause::Kernel) && origin.signal != SIGALRM
}

/// The bits of the signals that are ignored (signal N at bit N − 1); proc(5), `SigIgn`.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
