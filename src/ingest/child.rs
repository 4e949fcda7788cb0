//! `exec`: a child whose stderr is a packet-mode pipe, and the thread that reads it.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use thiserror::Error;
use tracing::debug;

use super::CHUNK_BYTES;
use super::relay::Relay;
use crate::model::sink::TraceSink;
use crate::telemetry::service::{Reason, SourceTelemetry};

/// Size asked for the pipe: 256 packets instead of 16, so that the runtime, which writes while it
/// holds the scheduler's lock, does not wait for us. The most that Linux gives without privilege.
const PIPE_BYTES: usize = 1024 * 1024;

/// Bytes gathered before they are handed on, while more is waiting to be read.
const BATCH_BYTES: usize = 32 * 1024;

/// How long after the child's end we wait for what its own children still write.
const LAST_WORDS: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

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

/// Starts a command with `godebug` as its GODEBUG; stdin and stdout stay as they are.
///
/// # Errors
/// There is no such command, or it may not be run.
pub fn start(words: &[OsString], godebug: &OsString) -> Result<(Child, OwnedFd), StartError> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT)
        .map_err(|error| StartError::Pipe(error.into()))?;
    // Only our end: the child's is another open file, and its writes must wait, not fail.
    ioctl_fionbio(&reader, true).map_err(|error| StartError::Pipe(error.into()))?;
    if let Err(error) = fcntl_setpipe_size(&reader, PIPE_BYTES) {
        debug!(%error, "the pipe keeps its usual size");
    }
    let (program, arguments) =
        words.split_first().map_or((OsString::new(), words), |(first, rest)| (first.clone(), rest));
    let child = Command::new(&program)
        .args(arguments)
        .env("GODEBUG", godebug)
        .stderr(writer)
        .spawn()
        .map_err(|source| StartError::Spawn {
            program: program.to_string_lossy().into_owned(),
            source,
        })?;
    Ok((child, reader))
}

/// Reads the child's stderr to its end, or until `child_ended` hangs up and nothing more comes.
pub fn read(
    reader: &OwnedFd,
    sink: &mut dyn TraceSink,
    relay: &Arc<Relay>,
    telemetry: &SourceTelemetry,
    child_ended: &OwnedFd,
) {
    telemetry.up();
    // A packet has at most 4096 bytes; a larger buffer serves a pipe that was reopened without
    // packet mode.
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut passed = Vec::new();
    let mut ended = false;
    loop {
        match rustix::io::read(reader, buffer.as_mut_slice()) {
            Ok(0) => break,
            Ok(n) => {
                sink.packet(buffer.get(..n).unwrap_or_default(), &mut passed);
                if passed.len() >= BATCH_BYTES {
                    pass_on(&mut passed, relay, telemetry);
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                pass_on(&mut passed, relay, telemetry);
                if !wait(reader, child_ended, &mut ended) {
                    break;
                }
            }
            Err(error) => {
                telemetry.failed(Reason::Io, &error);
                break;
            }
        }
    }
    sink.end(&mut passed);
    pass_on(&mut passed, relay, telemetry);
    relay.close();
}

fn pass_on(passed: &mut Vec<u8>, relay: &Relay, telemetry: &SourceTelemetry) {
    if !passed.is_empty() {
        let dropped = relay.push(passed);
        if dropped > 0 {
            telemetry.stderr_dropped(dropped as u64);
        }
        passed.clear();
    }
}

/// Waits for something to read; false when the child has ended and nothing came since.
fn wait(reader: &OwnedFd, child_ended: &OwnedFd, ended: &mut bool) -> bool {
    loop {
        let mut fds = [PollFd::new(reader, PollFlags::IN), PollFd::new(child_ended, PollFlags::IN)];
        let watched = if *ended { 1 } else { 2 };
        let limit = ended.then_some(&LAST_WORDS);
        match poll(fds.get_mut(..watched).unwrap_or_default(), limit) {
            Ok(0) => return false,
            Err(Errno::INTR) => continue,
            Ok(_) | Err(_) => {}
        }
        let [ours, theirs] = fds;
        *ended |= !theirs.revents().is_empty();
        if !ours.revents().is_empty() {
            return true;
        }
    }
}
