//! Answers on their way, and clients that do not take them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::coding::Pieces;

/// How much of an answer is given away at once; the rest can still be stopped.
const PIECE_BYTES: usize = 64 * 1024;

/// The answers of one connection.
#[derive(Debug)]
pub(super) struct Answers(Mutex<State>);

#[derive(Debug)]
struct State {
    next: u64,
    /// Requests that are not answered to the end: when something was taken of the answer last.
    open: BTreeMap<u64, Option<Instant>>,
    /// Since when there is none, if there is none.
    idle: Instant,
}

impl Default for Answers {
    fn default() -> Self {
        Self(Mutex::new(State { next: 0, open: BTreeMap::new(), idle: Instant::now() }))
    }
}

impl Answers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has come.
    pub(super) fn begin(self: &Arc<Self>) -> Open {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.open.insert(id, None);
        Open { id, answers: Arc::clone(self) }
    }

    /// Ends when nothing was taken of one of the answers for so long.
    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            let oldest = self.state().open.values().flatten().min().copied();
            if !waited(oldest, limit).await {
                return;
            }
        }
    }

    /// Whether no request is open.
    pub(super) fn are_given(&self) -> bool {
        self.state().open.is_empty()
    }

    /// Ends when there was no request for so long.
    pub(super) async fn idle(&self, limit: Duration) {
        loop {
            let idle = {
                let state = self.state();
                state.open.is_empty().then_some(state.idle)
            };
            if !waited(idle, limit).await {
                return;
            }
        }
    }
}

/// Whether there is still something to wait for, after having waited for it.
async fn waited(since: Option<Instant>, limit: Duration) -> bool {
    match since.map(|since| since.checked_add(limit)) {
        Some(Some(end)) if end <= Instant::now() => return false,
        Some(Some(end)) => sleep_until(end).await,
        Some(None) => pending().await,
        None => sleep(limit).await,
    }
    true
}

/// A request that is not answered to the end.
#[derive(Debug)]
pub(super) struct Open {
    id: u64,
    answers: Arc<Answers>,
}

impl Open {
    fn moved(&self) {
        self.answers.state().open.insert(self.id, Some(Instant::now()));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.answers.state();
        state.open.remove(&self.id);
        state.idle = Instant::now();
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    rest: Pieces,
    open: Open,
    /// Its place among those that may be made at once.
    _place: Option<OwnedSemaphorePermit>,
}

impl Answer {
    pub(super) fn new(body: Pieces, open: Open, place: Option<OwnedSemaphorePermit>) -> Self {
        open.moved();
        Self { rest: body, open, _place: place }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.len() == 0 {
            return Poll::Ready(None);
        }
        self.open.moved();
        let mut length = self.rest.len().min(PIECE_BYTES);
        if length == self.rest.len() && length > 1 {
            // HTTP/2 takes a piece as soon as the client would take a byte, and keeps it; so one more byte
            // is taken only when the client has had the rest, and the answer is open until then.
            length -= 1;
        }
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// A stream whose other side has to take what is written.
pub(super) struct Taken<S> {
    stream: S,
    limit: Duration,
    full: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Taken<S> {
    pub(super) const fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, full: None }
    }

    /// `written`, or an error if it has been pending for too long.
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.full = None;
            return written;
        }
        let limit = self.limit;
        let full = self.full.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(full.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
