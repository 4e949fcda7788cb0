//! What a command prints on its stdout; when it ends it is started again.

use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

use super::fifo::drain;
use crate::model::sink::TraceSink;
use crate::runtime::backoff::Backoff;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::SourceTelemetry;

/// Waits before a command that ended is started again.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// A command that ran for so long works: if it ends, it is started again soon.
const STEADY: Duration = Duration::from_secs(60);

/// Runs `words` and reads its stdout until `stop`; its stderr is ours.
pub async fn follow(
    words: Vec<String>,
    mut sink: Box<dyn TraceSink>,
    telemetry: Arc<SourceTelemetry>,
    stop: CancellationToken,
) {
    let Some((program, arguments)) = words.split_first() else { return };
    let mut backoff = RETRY;
    loop {
        let started = tokio::time::Instant::now();
        match start(program, arguments) {
            Ok((mut child, receiver)) => {
                telemetry.up();
                let stopped = tokio::select! {
                    () = stop.cancelled() => true,
                    _end = drain(&receiver, &mut *sink) => false,
                };
                drop(receiver);
                let status = end(&mut child).await;
                if stopped {
                    return;
                }
                if started.elapsed() >= STEADY {
                    backoff.reset();
                }
                telemetry.failed(Reason::Ended, &format_args!("{program} ended: {status}"));
            }
            Err(error) => telemetry
                .failed(Reason::of_io(&error), &format_args!("cannot start {program}: {error}")),
        }
        sink.end(&mut Vec::new());
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff.wait()) => {}
        }
    }
}

fn start(program: &str, arguments: &[String]) -> io::Result<(Child, pipe::Receiver)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let child =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(writer).spawn()?;
    Ok((child, pipe::Receiver::from_owned_fd(reader)?))
}

/// It closed its output, or we stop: it is asked to end, and waited for.
async fn end(child: &mut Child) -> String {
    let waited = async {
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => return error.to_string(),
            }
        }
    };
    if let Ok(status) = tokio::time::timeout(Duration::from_millis(500), waited).await {
        return status;
    }
    match child.kill().and_then(|()| child.wait()) {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
