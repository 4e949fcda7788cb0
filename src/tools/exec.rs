//! `exec`: starts a command, reads its stderr, gives its exit status.
//!
//! What the command does never depends on us: it starts even if we cannot listen, its stderr is
//! drained on a thread that does nothing else, and a reader of ours that stands still costs log
//! lines, not the service.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::tokio_runtime;
use crate::app::{App, Stations, bind_patiently};
use crate::config::{Config, godebug};
use crate::frame::packets::TraceLines;
use crate::ingest::child::{self, StartError};
use crate::ingest::relay::{LogWriter, Relay};
use crate::runtime::signals::Forwarder;
use crate::telemetry::logs;
use crate::telemetry::service::SourceTelemetry;

/// Exit codes of a shell that cannot start a command (POSIX, 2.8.2).
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Runs `command` to its end.
///
/// # Errors
/// It cannot be started for want of threads, pipes or signals.
pub fn run(
    config: Config,
    command: &[OsString],
    wanted: &str,
    trace_lines: TraceLines,
) -> anyhow::Result<ExitCode> {
    let relay = Arc::new(Relay::default());
    let log = Arc::clone(&relay);
    logs::start_on(config.log.format, config.log.level, move || LogWriter(Arc::clone(&log)))
        .context("cannot start logging")?;
    let writing = Arc::clone(&relay);
    thread("stderr-writer", move || writing.write_to(&mut std::io::stderr()))?;
    let stations = Stations::new(&config, trace_lines)?;
    let forwarder = Forwarder::start().context("cannot take signals")?;
    let inherited = std::env::var_os("GODEBUG");
    let godebug = godebug::merge(inherited.as_deref(), wanted);
    let (child, stderr) = match child::start(command, &godebug) {
        Ok(started) => started,
        Err(StartError::Spawn { program, source }) => {
            let code = cannot_start(&program, &source);
            relay.close();
            relay.wait_written();
            return Ok(code);
        }
        Err(error) => return Err(error.into()),
    };
    let pid = Pid::from_child(&child);
    info!(pid = child.id(), godebug = %godebug.to_string_lossy(), "command started");
    thread("signals", move || forwarder.forward_to(pid))?;
    let (ended, ended_writer) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
    let reader = read_stderr(&config, &stations, stderr, ended, Arc::clone(&relay))?;
    let server = serve(config, stations).inspect_err(|error| {
        error!(error = format!("{error:#}"), "no /metrics; the command runs all the same");
    });
    let status = wait_for(pid);
    drop(ended_writer);
    join(reader);
    if let Ok(server) = server {
        server.stop();
    }
    relay.wait_written();
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

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        error!("passing on the command's stderr ended by a defect; please report it");
    }
}

fn read_stderr(
    config: &Config,
    stations: &Stations,
    stderr: OwnedFd,
    ended: OwnedFd,
    relay: Arc<Relay>,
) -> anyhow::Result<JoinHandle<()>> {
    let service = config.services.first().zip(stations.services.first());
    let (service, pipeline) = service.context("exec has no service")?;
    let name = service.identity.service.as_str();
    let telemetry = SourceTelemetry::trace(Arc::clone(&stations.metrics), name, "child");
    let mut sink = pipeline.sink();
    thread("stderr-reader", move || child::read(&stderr, &mut sink, &relay, &telemetry, &ended))
}

/// The exporter proper, on a thread of its own.
struct Server {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    fn stop(self) {
        // An error means that it has stopped already.
        let _stopped = self.stop.send(());
        if self.thread.join().is_err() {
            error!("the exporter ended by a defect; please report it");
        }
    }
}

fn serve(config: Config, stations: Stations) -> anyhow::Result<Server> {
    let (stop, stopped) = oneshot::channel::<()>();
    let runtime = tokio_runtime().context("cannot start the runtime")?;
    let work = move || {
        runtime.block_on(async move {
            let listen = config.listen;
            let app = App::build(config, stations);
            app.start_watch();
            app.start_endpoints();
            let mut stopped = stopped;
            let listener = tokio::select! {
                listener = bind_patiently(listen) => listener,
                _ = &mut stopped => return,
            };
            app.run(listener, async move {
                // The sender's end is the same as its word.
                let _ended = stopped.await;
            })
            .await;
        });
    };
    Ok(Server { stop, thread: thread("exporter", work)? })
}

/// Waits for the child, and as PID 1 for every orphan that becomes ours.
fn wait_for(child: Pid) -> u8 {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => return exit_code(status),
            Ok(_) | Err(Errno::INTR) => {}
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
