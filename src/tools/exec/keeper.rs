//! Keeps an exporter running beside the command, and does its least part while there is none.
//!
//! The exporter reads the command's stderr; the reading end is ours too, so that the command never
//! writes to a pipe that nobody has open (it would die of SIGPIPE).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tracing::{debug, warn};

use super::control::{Before, Control, Handover, Message};
use super::reaped::Reaped;
use crate::ingest::carry::Carry;
use crate::ingest::child::LAST_WORDS;
use crate::ingest::intake::{Intake, Taken, Unpack};
use crate::ingest::spool::{Feed, Spool};
use crate::runtime::backoff::Backoff;

/// The hidden command by which the exporter is started.
pub const EXPORTER_COMMAND: &str = "exec-exporter";

/// The binary that runs, whatever has become of its path.
const OURSELVES: &str = "/proc/self/exe";

/// An exporter that lived so long is started again at once.
const STEADY: Duration = Duration::from_secs(1);

/// Waits between exporters that do not live so long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(60);

/// How long the command's stderr may wait in its pipe for an exporter that begins: what it reads
/// itself is counted, what we pass on is not. Starting takes some milliseconds.
const GRACE: Duration = Duration::from_secs(1);

/// How often we look whether the exporter still reads. Bytes that wait for so long, neither more
/// nor less, show that it does not: it hangs or was stopped, and the command waits.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long the exporter may go on after the command's end while nothing comes out of the spool:
/// its own deadline for open connections, and some.
const END_DEADLINE: Duration = Duration::from_secs(6);

/// What a keeper works with.
#[derive(Debug)]
pub(super) struct Keeper {
    intake: Intake,
    spool: Arc<Spool>,
    spool_out: OwnedFd,
    feed: Feed,
    carry: Carry,
    /// Hangs up when the command has ended.
    command_ended: OwnedFd,
    has_ended: bool,
    /// The exporter has read everything.
    is_done: bool,
    listeners: Vec<OwnedFd>,
    before: Before,
    reaped: Arc<Reaped>,
    /// Bytes moved out of the spool.
    moved: Arc<AtomicU64>,
}

/// Passes packets on as they are.
#[derive(Debug, Default)]
struct Unread(u64);

impl Unpack for Unread {
    fn packet(&mut self, packet: &[u8], passed: &mut Vec<u8>) {
        passed.extend_from_slice(packet);
        self.0 += packet.len() as u64;
    }

    fn begun(&self, _begun: &mut Vec<u8>) {}
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Control,
    CommandEnded,
    Stderr,
    Time,
}

impl Keeper {
    pub(super) fn new(
        stderr: OwnedFd,
        (spool, spool_out): (Arc<Spool>, OwnedFd),
        command_ended: OwnedFd,
        reaped: Arc<Reaped>,
        moved: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        Ok(Self {
            intake: Intake::new(stderr)?,
            feed: Feed::new(Arc::clone(&spool)),
            spool,
            spool_out,
            carry: Carry::new()?,
            command_ended,
            has_ended: false,
            is_done: false,
            listeners: Vec::new(),
            before: Before::default(),
            reaped,
            moved,
        })
    }

    /// Works until the command has ended, its exporter too, and everything is in the spool.
    pub(super) fn keep(mut self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LAST_WAIT);
        let mut told = false;
        loop {
            let began = Instant::now();
            match self.start() {
                Ok((control, pid)) => {
                    self.attend(&control, pid);
                    self.note_death(&mut told);
                }
                Err(error) if !told => {
                    warn!(%error, "cannot start the exporter, trying again; the command runs all the same");
                    told = true;
                }
                Err(_) => {}
            }
            if self.has_ended {
                break;
            }
            if began.elapsed() >= STEADY {
                backoff.reset();
                told = false;
            } else {
                self.pass_on(Instant::now() + backoff.wait());
            }
            self.before.restarts += 1;
        }
        if !self.is_done {
            self.pass_on_the_rest();
        }
    }

    fn note_death(&self, told: &mut bool) {
        let ending = self.reaped.take();
        if self.has_ended {
            debug!(%ending, "exporter ended");
        } else if !*told {
            let restarts = self.before.restarts + 1;
            warn!(%ending, restarts, "the exporter died, starting it again; the command is not affected");
            // Once, until one lives again.
            *told = true;
        }
    }

    /// Starts an exporter and gives it everything.
    fn start(&mut self) -> io::Result<(Control, Pid)> {
        let (control, theirs) = Control::pair()?;
        let handover = Handover {
            stderr: self.intake.stderr().as_fd(),
            spool: (self.spool.descriptor().as_fd(), self.spool_out.as_fd()),
            carry: self.carry.descriptor().as_fd(),
            listeners: self.listeners.iter().map(AsFd::as_fd).collect(),
            before: self.before,
        };
        // It waits in the socket until the exporter reads it.
        control.hand_over(&handover)?;
        let mut words = std::env::args_os();
        let mut command = Command::new(OURSELVES);
        command
            .arg0(words.next().unwrap_or_else(|| OURSELVES.into()))
            .arg(EXPORTER_COMMAND)
            .args(words.skip(1))
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            // Ctrl-C and Ctrl-Z are for the command.
            .process_group(0);
        let pid = self.reaped.expect(|| Ok(Pid::from_child(&command.spawn()?)))?;
        Ok((control, pid))
    }

    /// Goes along with one exporter until it ends.
    fn attend(&mut self, control: &Control, pid: Pid) {
        let (mut reads, mut drains) = (false, false);
        let mut until = later(GRACE);
        let mut waiting = 0;
        let mut moved = self.moved.load(Ordering::Relaxed);
        loop {
            match self.wait(Some(control), drains && !reads, until) {
                Event::Control => match control.receive() {
                    Ok(Some(Message::Ready)) => {
                        reads = true;
                        until = until.filter(|_| self.has_ended).or_else(|| later(LOOK_EVERY));
                        // If it cannot hear, its end comes next.
                        let _told = control.go();
                        let _told = self.has_ended.then(|| control.ended());
                    }
                    Ok(Some(Message::Listeners(listeners))) => self.listeners = listeners,
                    Ok(Some(Message::Done)) => self.is_done = true,
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                    Err(error) => {
                        debug!(%error, "cannot hear the exporter");
                        kill(pid);
                    }
                },
                Event::CommandEnded => {
                    self.has_ended = true;
                    let _told = reads.then(|| control.ended());
                    until = later(END_DEADLINE);
                }
                Event::Stderr => drains = self.take() != Taken::End,
                Event::Time if self.has_ended => {
                    let before = std::mem::replace(&mut moved, self.moved.load(Ordering::Relaxed));
                    if before == moved {
                        warn!("the exporter does not end, killing it");
                        kill(pid);
                    }
                    until = later(END_DEADLINE);
                }
                Event::Time if reads => {
                    let before = std::mem::replace(&mut waiting, self.intake.waiting());
                    if waiting > 0 && before == waiting {
                        warn!("the exporter does not read any more, killing it");
                        kill(pid);
                    }
                    until = later(LOOK_EVERY);
                }
                Event::Time => (drains, until) = (true, None),
            }
        }
    }

    /// Passes the command's stderr on until then, or until the command has ended.
    fn pass_on(&mut self, until: Instant) {
        let mut drains = true;
        while !self.has_ended {
            match self.wait(None, drains, Some(until)) {
                Event::Time => return,
                Event::CommandEnded => self.has_ended = true,
                Event::Stderr => drains = self.take() != Taken::End,
                Event::Control => {}
            }
        }
    }

    /// What a dead exporter has left after the command's end.
    fn pass_on_the_rest(&mut self) {
        loop {
            match self.take() {
                Taken::Some => continue,
                Taken::Nothing => {}
                Taken::End => return,
            }
            let mut fds = [PollFd::new(self.intake.stderr(), PollFlags::IN)];
            match poll(&mut fds, Some(&LAST_WORDS)) {
                Ok(1..) | Err(Errno::INTR) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    fn take(&mut self) -> Taken {
        let (mut unread, mut dropped) = (Unread::default(), 0);
        let Self { intake, feed, carry, .. } = self;
        // What comes next does not go on where the exporter stopped.
        intake.forget(carry);
        let taken = intake.take(&mut unread, feed, carry, &mut dropped);
        self.before.unread += unread.0;
        self.before.dropped += dropped;
        taken.unwrap_or(Taken::End)
    }

    fn wait(&self, control: Option<&Control>, drains: bool, until: Option<Instant>) -> Event {
        let mut watched = Vec::with_capacity(3);
        watched.extend(control.map(|control| (Event::Control, control.as_fd())));
        watched
            .extend((!self.has_ended).then(|| (Event::CommandEnded, self.command_ended.as_fd())));
        watched.extend(drains.then(|| (Event::Stderr, self.intake.stderr().as_fd())));
        loop {
            let mut fds: Vec<_> =
                watched.iter().map(|(_, fd)| PollFd::new(fd, PollFlags::IN)).collect();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            // No wait here is so long that it does not fit.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut fds, left.as_ref()) {
                Err(Errno::INTR) => {}
                Ok(0) | Err(_) => return Event::Time,
                Ok(_) => {
                    let ready = fds.iter().position(|fd| !fd.revents().is_empty());
                    let event = ready.and_then(|at| watched.get(at));
                    return event.map_or(Event::Time, |(event, _)| *event);
                }
            }
        }
    }
}

fn later(wait: Duration) -> Option<Instant> {
    Instant::now().checked_add(wait)
}

/// Its end is seen at the socket.
fn kill(pid: Pid) {
    // It may have ended already.
    let _ended = kill_process(pid, Signal::KILL);
}
