//! What the supervisor of `exec` and the exporter proper tell each other, over a socket pair that
//! is the exporter's stdin: a message is one packet, some with descriptors. Each sees the other's
//! death as the end of the socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::config::listen::LISTEN_MAX;

/// Most descriptors in a message: those of [`Handover`], and the listening sockets.
const DESCRIPTORS_MAX: usize = 4 + LISTEN_MAX;

/// Longest message: a kind and three numbers.
const MESSAGE_BYTES: usize = 1 + 3 * size_of::<u64>();

/// What the supervisor knows of the time before this exporter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// How often an exporter was started again.
    pub(super) restarts: u64,
    /// Bytes passed on unread.
    pub(super) unread: u64,
    /// Bytes of them for which there was no room.
    pub(super) dropped: u64,
}

/// What an exporter is given.
#[derive(Debug)]
pub(super) struct Handover<Fd> {
    /// Reading end of the command's stderr.
    pub(super) stderr: Fd,
    /// The spool's way in, and its way out for the case that the supervisor dies.
    pub(super) spool: (Fd, Fd),
    /// What the last exporter had begun.
    pub(super) carry: Fd,
    /// The listening sockets of the last exporter, if it had them; in the order of the config.
    pub(super) listeners: Vec<Fd>,
    pub(super) before: Before,
}

/// A message.
#[derive(Debug)]
pub(super) enum Message {
    /// To the exporter, first of all.
    Handover(Handover<OwnedFd>),
    /// From the exporter: it could begin to read.
    Ready,
    /// To the exporter: nobody else reads now.
    Go,
    /// From the exporter: the sockets it listens on, to be kept for the next one.
    Listeners(Vec<OwnedFd>),
    /// To the exporter: the command has ended.
    Ended,
    /// From the exporter: everything that the command wrote is in the spool.
    Done,
}

/// One end of the socket pair.
#[derive(Debug)]
pub(super) struct Control(OwnedFd);

impl Control {
    /// Both ends.
    pub(super) fn pair() -> Result<(Self, OwnedFd), Errno> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(ours), theirs))
    }

    /// The exporter's end.
    pub(super) const fn of(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub(super) fn hand_over(&self, to_give: &Handover<BorrowedFd<'_>>) -> Result<(), Errno> {
        let Before { restarts, unread, dropped } = to_give.before;
        let mut message = vec![b'h'];
        for number in [restarts, unread, dropped] {
            message.extend_from_slice(&number.to_ne_bytes());
        }
        let mut descriptors = vec![to_give.stderr, to_give.spool.0, to_give.spool.1, to_give.carry];
        descriptors.extend(&to_give.listeners);
        self.send(&message, &descriptors)
    }

    pub(super) fn ready(&self) -> Result<(), Errno> {
        self.send(b"r", &[])
    }

    pub(super) fn go(&self) -> Result<(), Errno> {
        self.send(b"g", &[])
    }

    pub(super) fn ended(&self) -> Result<(), Errno> {
        self.send(b"e", &[])
    }

    pub(super) fn done(&self) -> Result<(), Errno> {
        self.send(b"d", &[])
    }

    pub(super) fn listeners(&self, listeners: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        self.send(b"l", listeners)
    }

    fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
        {
            return Err(Errno::NOBUFS);
        }
        sendmsg(&self.0, &[IoSlice::new(message)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for a message; none when the other side has ended.
    pub(super) fn receive(&self) -> Result<Option<Message>, Errno> {
        let mut message = [0; MESSAGE_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut message)];
            match recvmsg(&self.0, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                // It ended with words of ours unread.
                Err(Errno::CONNRESET) => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        let descriptors = ancillary.drain().filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let message = message.get(..received.bytes).unwrap_or_default();
        if message.is_empty() {
            return Ok(None);
        }
        read(message, descriptors.flatten()).map(Some).ok_or(Errno::BADMSG)
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn read(message: &[u8], mut descriptors: impl Iterator<Item = OwnedFd>) -> Option<Message> {
    let (kind, rest) = message.split_first()?;
    Some(match kind {
        b'h' => {
            let (numbers, _) = rest.as_chunks();
            let mut numbers = numbers.iter().map(|bytes| u64::from_ne_bytes(*bytes));
            Message::Handover(Handover {
                stderr: descriptors.next()?,
                spool: (descriptors.next()?, descriptors.next()?),
                carry: descriptors.next()?,
                listeners: descriptors.collect(),
                before: Before {
                    restarts: numbers.next()?,
                    unread: numbers.next()?,
                    dropped: numbers.next()?,
                },
            })
        }
        b'r' => Message::Ready,
        b'g' => Message::Go,
        b'l' => Message::Listeners(descriptors.collect()),
        b'e' => Message::Ended,
        b'd' => Message::Done,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_with_their_descriptors() {
        let (ours, theirs) = Control::pair().unwrap();
        let theirs = Control::of(theirs);
        let before = Before { restarts: 3, unread: u64::MAX, dropped: 7 };
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let handover = Handover {
            stderr: reader.as_fd(),
            spool: (writer.as_fd(), reader.as_fd()),
            carry: writer.as_fd(),
            listeners: Vec::new(),
            before,
        };
        ours.hand_over(&handover).unwrap();
        let Some(Message::Handover(given)) = theirs.receive().unwrap() else { panic!() };
        assert_eq!((given.before, given.listeners.is_empty()), (before, true));
        rustix::io::write(&given.carry, b"x").unwrap();
        assert_eq!(rustix::io::read(&reader, &mut [0; 8]), Ok(1), "it is the same pipe");

        theirs.ready().unwrap();
        theirs.listeners(&[writer.as_fd(); LISTEN_MAX]).unwrap();
        assert!(matches!(ours.receive(), Ok(Some(Message::Ready))));
        let Ok(Some(Message::Listeners(listeners))) = ours.receive() else { panic!() };
        assert_eq!(listeners.len(), LISTEN_MAX);
        ours.go().unwrap();
        drop(ours);
        assert!(matches!(theirs.receive(), Ok(Some(Message::Go))));
        assert!(matches!(theirs.receive(), Ok(None)), "the other side's end");
    }
}
