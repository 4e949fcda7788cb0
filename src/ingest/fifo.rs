//! A named pipe: writers may come and go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

use super::CHUNK_BYTES;
use crate::model::sink::TraceSink;
use crate::runtime::backoff::Backoff;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::SourceTelemetry;

/// Waits before a pipe that is not there is looked for again.
const RETRY: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));

/// Reads the pipe at `path` until `stop`.
pub async fn follow(
    path: PathBuf,
    mut sink: Box<dyn TraceSink>,
    telemetry: Arc<SourceTelemetry>,
    stop: CancellationToken,
) {
    let mut backoff = RETRY;
    loop {
        let error = match open(&path) {
            Ok(receiver) => {
                telemetry.up();
                backoff.reset();
                tokio::select! {
                    () = stop.cancelled() => return,
                    error = drain(&receiver, &mut *sink) => error,
                }
            }
            Err(error) => error,
        };
        sink.end(&mut Vec::new());
        telemetry.failed(Reason::of_io(&error), &format_args!("{}: {error}", path.display()));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff.wait()) => {}
        }
    }
}

/// Opened for writing too: then it never comes to its end when a writer goes.
fn open(path: &Path) -> io::Result<pipe::Receiver> {
    pipe::OpenOptions::new().read_write(true).open_receiver(path)
}

/// Reads until an error; at the end of a pipe that has no writer any more, that is one too.
pub async fn drain(receiver: &pipe::Receiver, sink: &mut dyn TraceSink) -> io::Error {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        if let Err(error) = receiver.readable().await {
            return error;
        }
        match receiver.try_read(&mut buffer) {
            Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(n) => {
                sink.bytes(buffer.get(..n).unwrap_or_default());
                // A pipe that is always full must not keep the others from their turn.
                tokio::task::yield_now().await;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return error,
        }
    }
}
