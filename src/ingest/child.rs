//! `exec`: a child whose stderr is a packet-mode pipe, and waiting for what it writes there.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use rustix::event::Timespec;
use rustix::io::ioctl_fionbio;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use thiserror::Error;
use tracing::debug;

/// Size asked for the pipe: 256 packets instead of 16, so that the runtime, which writes while it
/// holds the scheduler's lock, does not wait for us. The most that Linux gives without privilege.
const PIPE_BYTES: usize = 1024 * 1024;

/// How long after the child's end we wait for what its own children still write.
pub const LAST_WORDS: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Why the child could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// No pipe.
    #[error("cannot make a pipe for the command's stderr")]
    Pipe(#[source] io::Error),
    /// No process.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// What was to be started.
        program: String,
        /// Why not.
        source: io::Error,
    },
}

/// Makes the pipe for a child's stderr: its reading end, which does not block, and its writing end.
///
/// # Errors
/// There are no descriptors left.
pub fn stderr_pipe() -> Result<(OwnedFd, OwnedFd), StartError> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT)
        .map_err(|error| StartError::Pipe(error.into()))?;
    // Only our end: the child's is another open file, and its writes must wait, not fail.
    ioctl_fionbio(&reader, true).map_err(|error| StartError::Pipe(error.into()))?;
    if let Err(error) = fcntl_setpipe_size(&reader, PIPE_BYTES) {
        debug!(%error, "the pipe keeps its usual size");
    }
    Ok((reader, writer))
}

/// Starts a command with `godebug` as its GODEBUG; stdin and stdout stay as they are.
///
/// # Errors
/// There is no such command, or it may not be run.
pub fn start(words: &[OsString], godebug: &OsString, stderr: OwnedFd) -> Result<Child, StartError> {
    let (program, arguments) =
        words.split_first().map_or((OsString::new(), words), |(first, rest)| (first.clone(), rest));
    Command::new(&program).args(arguments).env("GODEBUG", godebug).stderr(stderr).spawn().map_err(
        |source| StartError::Spawn { program: program.to_string_lossy().into_owned(), source },
    )
}
