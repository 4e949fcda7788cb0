//! `exec`: starts a command, gives its exit status; two processes.
//!
//! What the command does never depends on us. This process, the supervisor, starts the command,
//! forwards signals, reaps orphans, and moves what is to be passed on to stderr; it parses nothing
//! and serves nothing. The exporter proper (`exporter`) is a second process. It may crash or be
//! killed: the reading end of the command's stderr is open here too, and `keeper` starts another
//! one.

mod control;
pub mod exporter;
mod keeper;
mod reaped;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use tracing::{error, info, warn};

use self::keeper::Keeper;
use self::reaped::Reaped;
use crate::config::{Config, godebug};
use crate::ingest::child::{self, StartError};
use crate::ingest::spool::{LogWriter, Mover, spool};
use crate::runtime::signals::Forwarder;
use crate::telemetry::logs;

pub use self::keeper::EXPORTER_COMMAND;

/// Exit codes of a shell that cannot start a command (POSIX, 2.8.2).
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Runs `command` to its end.
///
/// # Errors
/// It cannot be started for want of threads, pipes or signals.
pub fn run(config: &Config, command: &[OsString], wanted: &str) -> anyhow::Result<ExitCode> {
    let (spool, spool_out) = spool().context("cannot make a pipe")?;
    let spool = Arc::new(spool);
    let log = Arc::clone(&spool);
    logs::start_on(config.log.format, config.log.level, move || LogWriter(Arc::clone(&log)))
        .context("cannot start logging")?;
    let mover = Mover::start(spool_out.try_clone()?, std::io::stderr())?;
    let forwarder = Forwarder::start().context("cannot take signals")?;
    // Everything that can be wanting is there before the command starts.
    let (stderr, stderr_writer) = child::stderr_pipe()?;
    let (ended, ended_writer) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
    let reaped = Arc::new(Reaped::default());
    let (spool, moved) = ((spool, spool_out), Arc::clone(mover.moved()));
    let keeper = Keeper::new(stderr, spool, ended, Arc::clone(&reaped), moved)?;
    let inherited = std::env::var_os("GODEBUG");
    let godebug = godebug::merge(inherited.as_deref(), wanted);
    let child = match child::start(command, &godebug, stderr_writer) {
        Ok(child) => child,
        Err(StartError::Spawn { program, source }) => {
            let code = cannot_start(&program, &source);
            mover.finish();
            return Ok(code);
        }
        Err(error) => return Err(error.into()),
    };
    let pid = Pid::from_child(&child);
    info!(pid = child.id(), godebug = %godebug.to_string_lossy(), "command started");
    thread("signals", move || forwarder.forward_to(pid))?;
    let keeping = thread("keeper", move || keeper.keep())?;
    let status = wait_for(pid, &reaped);
    drop(ended_writer);
    if keeping.join().is_err() {
        error!("keeping the exporter ended by a defect; please report it");
    }
    mover.finish();
    Ok(ExitCode::from(status))
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .with_context(|| format!("cannot start the thread for {name}"))
}

fn cannot_start(program: &str, source: &std::io::Error) -> ExitCode {
    error!(command = program, error = %source, "cannot start the command");
    ExitCode::from(if source.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE })
}

/// Waits for the child, and as PID 1 for every orphan that becomes ours.
fn wait_for(child: Pid, reaped: &Reaped) -> u8 {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => return exit_code(status),
            Ok(Some((pid, status))) => reaped.note(pid, status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => {
                warn!(%error, "cannot wait for the command");
                return 1;
            }
        }
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    let code =
        status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    info!(code, "command ended");
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
