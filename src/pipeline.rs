//! One service's pure stations in a row, behind one lock: frame → parse → aggregate.
//!
//! The lock is held while a chunk is worked on (at most 64 KiB) or a snapshot is taken; never
//! across an await.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::proto::MetricFamily;

use crate::aggregate::catalog::METRICS;
use crate::aggregate::service::{Options, ServiceState};
use crate::aggregate::tally::Tally;
use crate::config::{LINE_MAX_BYTES, Service, Trace, TraceSource};
use crate::export::text;
use crate::frame::cri::{Stream, Unwrap};
use crate::frame::lines::Lines;
use crate::frame::packets::{Grammar, Packets, TraceLines};
use crate::model::position::Position;
use crate::model::sink::TraceSink;
use crate::model::snapshot::ServiceSnapshot;
use crate::model::stats::{LostReason, TraceStats};
use crate::model::wrapping::Wrapping;
use crate::parse::expvar::{self, ExpvarError};
use crate::parse::line::{self, Verdict};
use crate::parse::reader::Reader;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::service::TraceTelemetry;

/// What the packet framer needs of the grammars.
const GRAMMAR: Grammar = Grammar {
    is_beginning: line::is_beginning,
    is_whole: |text| matches!(line::read(text), Verdict::Trace(_)),
};

/// A process that crashes prints its dump without a pause; a service that only says "panic" waits
/// so long for its traces to go on.
const CRASH_QUIET: Duration = Duration::from_secs(5);

/// The stations of one service.
#[derive(Debug)]
pub struct Pipeline {
    inner: Mutex<Inner>,
    telemetry: TraceTelemetry,
    started: Instant,
}

#[derive(Debug)]
struct Inner {
    unwrap: Unwrap,
    lines: Lines,
    packets: Packets,
    reader: Reader<Tally>,
    /// A container's stdout, which its log file has too: a trace is there with `2>&1` or a terminal.
    stdout: (Lines, Reader<Tally>),
    state: ServiceState,
    stats: TraceStats,
    /// Since when a crash has stood at the same line, on stderr and on stdout: how far it had come,
    /// and the moment.
    crash: [Option<(u64, Duration)>; 2],
}

impl Inner {
    /// A crash of which nothing more came for a while is at its end.
    fn look_at_crash(&mut self, now: Duration) {
        let Self { reader, stdout, state, stats, crash, .. } = self;
        for (reader, crash) in [reader, &mut stdout.1].into_iter().zip(crash) {
            let progress = reader.crash_progress();
            match (progress, *crash) {
                (Some(progress), Some((before, since))) if progress == before => {
                    if now.saturating_sub(since) >= CRASH_QUIET {
                        *crash = None;
                        reader.settle(stats, &mut |record| state.observe(record, now));
                    }
                }
                _ => *crash = progress.map(|progress| (progress, now)),
            }
        }
    }
}

impl Pipeline {
    /// For one service of the config. `trace_lines` matters where the service's stderr is passed on.
    #[must_use]
    pub fn new(service: &Service, metrics: Arc<Metrics>, trace_lines: TraceLines) -> Arc<Self> {
        let options = Options {
            trace: service.trace.is_some(),
            expvar: service.expvar.is_some(),
            per_p: service.runqueue_per_p,
            by_size: service.expvar.as_ref().is_some_and(|expvar| expvar.by_size),
        };
        let recorded = matches!(service.trace, Some(Trace { source: TraceSource::Recording, .. }));
        let watching_since_ns = if recorded { 0 } else { now_ns() };
        let max_line = service.trace.as_ref().map_or(LINE_MAX_BYTES, |trace| trace.max_line_bytes);
        let by_packets = matches!(service.trace, Some(Trace { source: TraceSource::Child, .. }));
        let wrapping = match &service.trace {
            Some(Trace { source: TraceSource::File { .. }, wrapping, .. }) => *wrapping,
            _ => Wrapping::Plain,
        };
        let inner = Inner {
            unwrap: Unwrap::new(wrapping),
            lines: Lines::new(max_line),
            packets: Packets::new(GRAMMAR, trace_lines),
            reader: if by_packets { Reader::of_packets() } else { Reader::of_stream() },
            stdout: (Lines::new(max_line), Reader::of_stream()),
            state: ServiceState::new(service.identity.clone(), options, watching_since_ns),
            stats: TraceStats::default(),
            crash: [None; 2],
        };
        let name = service.identity.service.as_str();
        let source = service.trace.as_ref().map(|trace| trace.source.to_string());
        let telemetry = TraceTelemetry::new(metrics, name, source.unwrap_or_default(), max_line);
        Arc::new(Self { inner: Mutex::new(inner), telemetry, started: Instant::now() })
    }

    /// Where ingest puts the bytes of the trace.
    #[must_use]
    pub fn sink(self: &Arc<Self>) -> Sink {
        Sink(Arc::clone(self))
    }

    /// The service was started for us, a moment ago.
    pub fn watched_from_its_start(&self) {
        self.lock().state.watched_from_its_start();
    }

    /// Takes the body of `/debug/vars`.
    ///
    /// # Errors
    /// It is none, or is cut; the state says then that expvar gives nothing.
    pub fn expvar(&self, body: &[u8]) -> Result<(), ExpvarError> {
        let vars = expvar::read(body);
        let mut inner = self.lock();
        let vars = vars.inspect_err(|_| inner.state.expvar_failed())?;
        match vars.memstats {
            Some(stats) => inner.state.observe_memstats(stats),
            // Somebody took it out of the page.
            None => inner.state.expvar_failed(),
        }
        let dropped = inner.state.observe_variables(vars.own);
        self.telemetry.expvar(vars.unreadable, dropped);
        Ok(())
    }

    /// `/debug/vars` could not be read.
    pub fn expvar_failed(&self) {
        self.lock().state.expvar_failed();
    }

    /// Records read so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.lock().stats.records.total()
    }

    /// Lines read so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lock().stats.lines
    }

    /// Every series at this moment; brings the counters about the stream up to date too.
    #[must_use]
    pub fn snapshot(&self) -> ServiceSnapshot {
        let now = self.now();
        let inner = &mut *self.lock();
        inner.look_at_crash(now);
        self.telemetry.publish(&inner.stats);
        let Inner { reader, stdout: (_, stdout), .. } = inner;
        for (kind, sample) in reader.take_samples().into_iter().chain(stdout.take_samples()) {
            self.telemetry.unknown_form(kind, &sample);
        }
        let releases = reader.releases().or_else(|| stdout.releases());
        inner.state.set_releases(releases);
        inner.state.snapshot(now)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes what `unwrap` gives of a file, each of a container's streams by itself. Gives the first
    /// line that is too long.
    fn unwrapped(
        &mut self,
        now: Duration,
        unwrap: impl FnOnce(&mut Unwrap, &mut dyn FnMut(Stream, &[u8])) -> u64,
    ) -> Option<u64> {
        let Self { unwrap: framer, lines, reader, stdout, state, stats, .. } = self;
        let mut too_long = None;
        let malformed = unwrap(framer, &mut |stream, text| {
            let (lines, reader) = match stream {
                Stream::Stderr => (&mut *lines, &mut *reader),
                Stream::Stdout => (&mut stdout.0, &mut stdout.1),
            };
            let counted = lines.push(text, |line| {
                reader.line(line, stats, &mut |record| state.observe(record, now));
            });
            if counted.too_long > 0 {
                too_long = too_long.or(Some(stats.lines + counted.before_too_long + 1));
            }
            stats.lines += counted.lines;
            stats.lines_too_long += counted.too_long;
        });
        self.stats.entries_malformed += malformed;
        too_long
    }
}

/// Nanoseconds since 1970.
fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// A service's pipeline as ingest sees it.
#[derive(Debug)]
pub struct Sink(Arc<Pipeline>);

impl Sink {
    /// Appends what of the packets is begun and not finished: the trace line at hand.
    pub fn begun(&self, begun: &mut Vec<u8>) {
        self.0.lock().packets.begun(begun);
    }

    /// Goes on with the trace line that another process had begun.
    pub fn resume(&mut self, begun: &[u8]) {
        self.0.lock().packets.resume(begun);
    }
}

impl TraceSink for Sink {
    fn bytes(&mut self, chunk: &[u8]) {
        let now = self.0.now();
        let inner = &mut *self.0.lock();
        inner.look_at_crash(now);
        let before = inner.stats.bytes;
        inner.stats.bytes += chunk.len() as u64;
        let too_long = inner.unwrapped(now, |unwrap, text| unwrap.push(chunk, text));
        inner.look_at_crash(now);
        if let Some(line) = too_long {
            self.0.telemetry.line_too_long(line, before);
        }
    }

    fn file_bytes(&mut self, chunk: &[u8], _end: Position) {
        self.bytes(chunk);
    }

    fn saved_position(&self) -> Option<Position> {
        None
    }

    fn caught_up(&mut self) {}

    fn packet(&mut self, packet: &[u8], passed: &mut Vec<u8>) {
        let inner = &mut *self.0.lock();
        let Inner { packets, reader, state, stats, .. } = inner;
        stats.bytes += packet.len() as u64;
        let mut lines = 0;
        let given_up = packets.push(packet, passed, |line| {
            lines += 1;
            reader.line(line, stats, &mut |record| state.observe(record, self.0.now()));
        });
        stats.lines += lines;
        if let Some(alone) = packets.take_percent_alone() {
            reader.note_percent(alone);
        }
        for kind in given_up {
            stats.note_lost(Some(kind), LostReason::Cut);
        }
        if reader.crash_progress().is_some() {
            inner.look_at_crash(self.0.now());
        }
    }

    fn break_line(&mut self) {
        let now = self.0.now();
        let inner = &mut *self.0.lock();
        let too_long = inner.unwrapped(now, |unwrap, text| {
            unwrap.cut(text);
            0
        });
        if let Some(line) = too_long {
            self.0.telemetry.line_too_long(line, inner.stats.bytes);
        }
        let Inner { lines, reader, stats, stdout, .. } = inner;
        for (lines, reader) in [(lines, reader), (&mut stdout.0, &mut stdout.1)] {
            if let Some(rest) = lines.cut() {
                reader.line_cut();
                stats.note_lost(line::beginning(&rest), LostReason::Cut);
            }
        }
    }

    fn end(&mut self, passed: &mut Vec<u8>) {
        self.break_line();
        let now = self.0.now();
        let Inner { packets, reader, stdout, state, stats, .. } = &mut *self.0.lock();
        for kind in packets.end(passed) {
            stats.note_lost(Some(kind), LostReason::Cut);
        }
        for reader in [reader, &mut stdout.1] {
            reader.end(stats, &mut |record| state.observe(record, now));
            reader.reset();
        }
    }
}

/// All services, and ourselves.
#[derive(Debug, Clone)]
pub struct Pipelines {
    services: Arc<[Arc<Pipeline>]>,
    metrics: Arc<Metrics>,
}

impl Pipelines {
    /// The services in the order of the config.
    #[must_use]
    pub fn new(services: Vec<Arc<Pipeline>>, metrics: Arc<Metrics>) -> Self {
        Self { services: services.into(), metrics }
    }

    /// A picture of all services, and then of ourselves.
    #[must_use]
    pub fn snapshot(&self) -> (Vec<ServiceSnapshot>, Vec<MetricFamily>) {
        let services = self.services.iter().map(|service| service.snapshot()).collect();
        (services, self.metrics.gather())
    }

    /// The page at `/metrics`, in the Prometheus text format.
    #[must_use]
    pub fn page(&self) -> Vec<u8> {
        let (services, own) = self.snapshot();
        let mut page = Vec::with_capacity(32 * 1024);
        text::services(&mut page, METRICS, &services);
        text::variables(&mut page, &services);
        text::own(&mut page, &own);
        page
    }
}
