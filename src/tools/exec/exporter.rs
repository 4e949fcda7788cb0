//! The exporter proper: reads the command's stderr, serves /metrics, passes the service's own text
//! on. It may end at any moment without harm to the command; the supervisor starts another one.

use std::io::{stderr, stdin};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::sync::oneshot;
use tracing::{debug, error, warn};

use super::control::{Before, Control, Handover, Message};
use super::thread;
use crate::app::listen::{adopt, bind_patiently, guard_patiently};
use crate::app::{App, Stations};
use crate::config::Config;
use crate::frame::packets::TraceLines;
use crate::ingest::carry::Carry;
use crate::ingest::child::LAST_WORDS;
use crate::ingest::intake::{Intake, Taken, Unpack};
use crate::ingest::spool::{Feed, LogWriter, Mover, Spool};
use crate::model::sink::TraceSink;
use crate::pipeline::Sink;
use crate::runtime::signals::outlive;
use crate::telemetry::logs;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::SourceTelemetry;
use crate::tools::tokio_runtime;

/// Lowest number of a descriptor that is not one of the standard three.
const FIRST_FREE: i32 = 3;

/// The exit code of a panic.
const DEFECT: i32 = 101;

/// Runs until the command has ended and everything it wrote is passed on.
///
/// # Errors
/// It was not started by `exec`, or the system gives no threads or descriptors.
pub fn run(config: Config, trace_lines: TraceLines) -> anyhow::Result<ExitCode> {
    let control = Control::of(fcntl_dupfd_cloexec(stdin(), FIRST_FREE)?);
    let Ok(Some(Message::Handover(given))) = control.receive() else {
        bail!("exec starts this command by itself");
    };
    outlive().context("cannot take signals")?;
    // The kernel named us after /proc/self/exe.
    let _named = rustix::thread::set_name(c"godebug-exporter");
    let Handover { stderr, spool: (spool, spool_out), carry, listeners, before } = given;
    let spool = Arc::new(Spool::of(spool));
    let log = Arc::clone(&spool);
    logs::start_on(config.log.format, config.log.level, move || LogWriter(Arc::clone(&log)))
        .context("cannot start logging")?;
    let stations = Stations::new(&config, trace_lines)?;
    let (news, news_writer) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
    let (stop, stopped) = oneshot::channel::<()>();
    let reader = reader(&config, &stations, before, Intake::new(stderr)?, Carry::of(carry))?;
    let feed = Feed::new(spool);
    let runtime = tokio_runtime().context("cannot start the runtime")?;
    // Another one reads until we can.
    if control.ready().is_ok() {
        control.receive().context("cannot hear the supervisor")?;
    }
    let control = Arc::new(control);
    let mover = Arc::new(Mutex::new(None));
    let (heard, moving) = (Arc::clone(&control), Arc::clone(&mover));
    thread("control", move || listen(&heard, news_writer, spool_out, &moving))?;
    let told = Arc::clone(&control);
    let reading = move || {
        read_to_the_end(reader, feed, &news);
        if let Err(error) = told.done() {
            debug!(%error, "nobody hears that we are done");
        }
        // An error means that the server has stopped already.
        let _stopped = stop.send(());
    };
    thread("stderr-reader", move || or_abandon(reading))?;
    runtime.block_on(serve(config, stations, listeners, &control, stopped))?;
    if let Some(mover) = &*mover.lock().unwrap_or_else(PoisonError::into_inner) {
        Mover::finish(mover);
    }
    Ok(ExitCode::SUCCESS)
}

/// What the thread that reads works with.
struct Reader {
    unpack: FromPipeline,
    intake: Intake,
    carry: Carry,
    telemetry: Arc<SourceTelemetry>,
}

struct FromPipeline(Sink);

impl Unpack for FromPipeline {
    fn packet(&mut self, packet: &[u8], passed: &mut Vec<u8>) {
        self.0.packet(packet, passed);
    }

    fn begun(&self, begun: &mut Vec<u8>) {
        self.0.begun(begun);
    }
}

fn reader(
    config: &Config,
    stations: &Stations,
    before: Before,
    intake: Intake,
    carry: Carry,
) -> anyhow::Result<Reader> {
    let service = config.services.first().zip(stations.services.first());
    let (service, pipeline) = service.context("exec has no service")?;
    let name = service.identity.key().as_str();
    let telemetry = SourceTelemetry::trace(Arc::clone(&stations.metrics), name, "child");
    telemetry.exec_before(before.restarts, before.unread, before.dropped);
    if before.restarts == 0 {
        pipeline.watched_from_its_start();
    }
    Ok(Reader { unpack: FromPipeline(pipeline.sink()), intake, carry, telemetry })
}

/// A reader lost by a defect would leave the command's stderr unread, so it takes us with it; the
/// supervisor starts another exporter.
fn or_abandon(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        error!("reading the command's stderr ended by a defect; please report it");
        std::process::exit(DEFECT);
    }
}

/// What the thread that listens to the supervisor has heard.
enum News {
    Nothing,
    /// There is nobody any more who knows when the command ends: only the pipe's end tells.
    Orphaned,
    CommandEnded,
}

fn read_to_the_end(reader: Reader, mut feed: Feed, news: &OwnedFd) {
    let Reader { mut unpack, mut intake, carry, telemetry } = reader;
    telemetry.up();
    unpack.0.resume(&intake.resume(&carry));
    let mut heard = News::Nothing;
    loop {
        let mut dropped = 0;
        let taken = intake.take(&mut unpack, &mut feed, &carry, &mut dropped);
        if dropped > 0 {
            telemetry.stderr_dropped(dropped);
        }
        let stderr = match taken {
            Ok(Taken::Some) => continue,
            Ok(Taken::Nothing) => Some(intake.stderr()),
            Ok(Taken::End) => None,
            Err(error) => {
                telemetry.failed(Reason::Io, &error);
                None
            }
        };
        if !wait(stderr, news, &mut heard) {
            break;
        }
    }
    let mut last = Vec::new();
    unpack.0.end(&mut last);
    let dropped = feed.push(&last);
    if dropped > 0 {
        telemetry.stderr_dropped(dropped as u64);
    }
}

/// Waits for something to read; false when nothing more can come.
fn wait(stderr: Option<&OwnedFd>, news: &OwnedFd, heard: &mut News) -> bool {
    loop {
        let news_too = matches!(heard, News::Nothing);
        if stderr.is_none() && !news_too {
            return false;
        }
        let mut fds = Vec::with_capacity(2);
        fds.extend(news_too.then(|| PollFd::new(news, PollFlags::IN)));
        fds.extend(stderr.map(|stderr| PollFd::new(stderr, PollFlags::IN)));
        let limit = matches!(heard, News::CommandEnded).then_some(&LAST_WORDS);
        match poll(&mut fds, limit) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return false,
        }
        let (is_news, is_stderr) = match fds.as_slice() {
            [news, stderr] => (!news.revents().is_empty(), !stderr.revents().is_empty()),
            _ => (news_too, !news_too),
        };
        if is_news {
            *heard = match rustix::io::read(news, &mut [0; 1]) {
                Ok(1) => News::Orphaned,
                _ => News::CommandEnded,
            };
        }
        if is_stderr {
            return true;
        }
    }
}

/// Hears of the command's end and of the supervisor's. A supervisor that is gone moves nothing
/// out of the spool any more, so we do.
fn listen(control: &Control, news: OwnedFd, spool: OwnedFd, mover: &Mutex<Option<Mover>>) {
    loop {
        match control.receive() {
            Ok(Some(Message::Ended)) => return,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    match Mover::start(spool, stderr()) {
        Ok(moving) => *mover.lock().unwrap_or_else(PoisonError::into_inner) = Some(moving),
        Err(error) => debug!(%error, "cannot pass the command's stderr on"),
    }
    warn!("the supervisor was killed; reading the command's stderr to its end");
    let _read = rustix::io::write(&news, b"o");
}

async fn serve(
    config: Config,
    stations: Stations,
    inherited: Vec<OwnedFd>,
    control: &Control,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let (settings, metrics) = (config.clone(), Arc::clone(&stations.metrics));
    let app = App::build(config, None, stations);
    app.start().await?;
    let listeners = if inherited.is_empty() {
        let listeners = tokio::select! {
            listeners = bind_patiently(&settings.listen) => listeners,
            _ = &mut stopped => return Ok(()),
        };
        let sockets: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        if let Err(error) = control.listeners(&sockets) {
            debug!(%error, "the next exporter has to open the addresses anew");
        }
        listeners
    } else {
        adopt(inherited, &settings.listen)?
    };
    let guard = tokio::select! {
        guard = guard_patiently(&settings, &metrics) => guard,
        _ = &mut stopped => return Ok(()),
    };
    app.run(listeners, guard, async move {
        // The sender's end is the same as its word.
        let _ended = stopped.await;
    })
    .await;
    Ok(())
}
