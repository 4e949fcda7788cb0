//! One service's pure stations in a row, behind one lock: frame → parse → aggregate.
//!
//! The lock is held while a chunk is worked on (at most 64 KiB) or a snapshot is taken; never
//! across an await.

mod endpoints;
mod pprof;
pub mod saved;
pub mod services;
mod sink;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::aggregate::dump::DumpCost;
use crate::aggregate::service::{Options, ServiceState};
use crate::aggregate::tally::Tally;
use crate::config::{LINE_MAX_BYTES, Service, Trace, TraceSource};
use crate::frame::cri::{Stream, Unwrap};
use crate::frame::lines::Lines;
use crate::frame::packets::{Grammar, Packets, TraceLines};
use crate::model::position::Place;
use crate::model::release::ReleaseRange;
use crate::model::snapshot::ServiceSnapshot;
use crate::model::stats::{LostReason, RecordKind, TraceStats};
use crate::model::variable::rule::Rules;
use crate::model::wrapping::Wrapping;
use crate::parse::line::{self, Verdict};
use crate::parse::reader::Reader;
use crate::runtime::clock::now_ns;
use crate::runtime::trigger::Trigger;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::TraceTelemetry;
use crate::telemetry::variables::VariableTelemetry;
use saved::Exportable;
pub use sink::Sink;

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
    variables: VariableTelemetry,
    /// How the service's own variables become series, if it has any.
    rules: Option<Arc<Rules>>,
    started: Instant,
    /// What our clock showed when we started; it goes on where a saved state left it.
    epoch: OnceLock<Duration>,
    name: Box<str>,
    label: Box<str>,
    source: Box<str>,
    can_go_on: bool,
    is_one_of_many: bool,
    replays: bool,
    profiler_labels: Arc<[Box<str>]>,
    /// Asked when a leak is suspected.
    on_suspicion: OnceLock<Arc<Trigger>>,
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
    /// Up to where bytes were taken that can be read again.
    place: Option<Place>,
    /// Not everything was read again yet that was read before we were restarted.
    behind: bool,
    /// Rises with everything that is taken in.
    taken: u64,
    /// It was told that a leak is suspected.
    leak_told: bool,
    /// It was told what scheddetail costs.
    cost_told: bool,
    /// While state is kept: what of it was saved.
    exportable: Option<Exportable>,
}

impl Pipeline {
    /// For one service of the config. `trace_lines` matters where the service's stderr is passed on.
    #[must_use]
    pub fn new(service: &Service, metrics: Arc<Metrics>, trace_lines: TraceLines) -> Arc<Self> {
        let watching_since_ns = if service.is_recorded() { 0 } else { now_ns() };
        let max_line = service.trace.as_ref().map_or(LINE_MAX_BYTES, |trace| trace.max_line_bytes);
        let by_packets = matches!(service.trace, Some(Trace { source: TraceSource::Child, .. }));
        let wrapping = match &service.trace {
            Some(Trace { source: TraceSource::File { .. }, wrapping, .. }) => *wrapping,
            _ => Wrapping::Plain,
        };
        let mut inner = Inner {
            unwrap: Unwrap::new(wrapping),
            lines: Lines::new(max_line),
            packets: Packets::new(GRAMMAR, trace_lines),
            reader: if by_packets { Reader::of_packets() } else { Reader::of_stream() },
            stdout: (Lines::new(max_line), Reader::of_stream()),
            state: ServiceState::new(
                service.identity.clone(),
                options(service),
                Arc::clone(&service.leak_detector),
                watching_since_ns,
            ),
            stats: TraceStats::default(),
            crash: [None; 2],
            place: None,
            behind: false,
            taken: 0,
            leak_told: false,
            cost_told: false,
            exportable: None,
        };
        inner.state.set_epoch(i64::try_from(now_ns()).unwrap_or(i64::MAX));
        let pprof = service.pprof.as_ref();
        let profiler_labels = pprof.map(|pprof| Arc::clone(&pprof.labels)).unwrap_or_default();
        let key = service.identity.key();
        let name = key.as_str();
        let stream = service.trace.as_ref().map(|trace| trace.source.to_string());
        let stream =
            service.identity.log.as_deref().map_or(stream.unwrap_or_default(), str::to_owned);
        let name_of_file = match &service.identity.log {
            // A name has no tab.
            Some(log) => format!("{name}\t{log}"),
            None => name.to_owned(),
        };
        let can_go_on = service.trace.as_ref().is_some_and(|trace| trace.source.has_places());
        Arc::new(Self {
            inner: Mutex::new(inner),
            variables: VariableTelemetry::new(Arc::clone(&metrics), name),
            rules: service.expvar.as_ref().map(|expvar| Arc::clone(&expvar.variables)),
            telemetry: TraceTelemetry::new(metrics, name, stream, max_line),
            started: Instant::now(),
            epoch: OnceLock::new(),
            name: name_of_file.into(),
            label: service.identity.service.as_str().into(),
            is_one_of_many: service.identity.log.is_some(),
            source: source_of(service).into(),
            can_go_on,
            on_suspicion: OnceLock::new(),
            replays: can_go_on && service.expvar.is_none() && service.pprof.is_none(),
            profiler_labels,
        })
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

    /// Records read so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.lock().stats.records.total()
    }

    /// Records of a kind read so far.
    #[must_use]
    pub fn records_of(&self, kind: RecordKind) -> u64 {
        self.lock().stats.records.get(kind)
    }

    /// Starts of the service seen so far.
    #[must_use]
    pub fn process_starts(&self) -> u64 {
        self.lock().state.starts()
    }

    /// The Go releases that can have printed the trace, as far as is known.
    #[must_use]
    pub fn releases(&self) -> Option<ReleaseRange> {
        let inner = self.lock();
        inner.reader.releases().or_else(|| inner.stdout.1.releases())
    }

    /// Lines read so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lock().stats.lines
    }

    /// Every series at this moment, or when it was saved last if state is kept; brings the counters
    /// about the stream to the same moment. Nothing while we are behind.
    #[must_use]
    pub fn snapshot(&self) -> Option<ServiceSnapshot> {
        let now = self.now();
        let inner = &mut *self.lock();
        inner.look_at_crash(now);
        if inner.behind {
            return None;
        }
        if let Some(saved) = inner.exportable.as_ref().filter(|saved| saved.taken != inner.taken) {
            let snapshot = saved.snapshot.clone()?;
            self.telemetry.publish(&saved.stats);
            return Some(snapshot);
        }
        self.telemetry.publish(&inner.stats);
        for (kind, sample) in inner.take_samples() {
            self.telemetry.unknown_form(kind, &sample);
        }
        Some(inner.series(now))
    }

    /// What somebody should know of, once.
    fn tell(&self, inner: &mut Inner) {
        let cost = inner.state.dump_cost().filter(DumpCost::is_too_much);
        if let Some(cost) = cost.filter(|_| !inner.cost_told) {
            inner.cost_told = true;
            self.telemetry.dump_costs(cost.goroutines, cost.stop(), cost.every);
        }
        let evidence = inner.state.leak().evidence;
        match evidence.filter(|_| !inner.leak_told) {
            Some(evidence) => {
                let blamed = inner.state.blamed();
                let blamed = blamed.as_ref().map(|blamed| (&*blamed.function, blamed.goroutines));
                let shape = evidence.shape.as_str();
                self.telemetry.leak_suspected(shape, evidence.growth, evidence.span, blamed);
                if let Some(trigger) = self.on_suspicion.get() {
                    trigger.ask();
                }
            }
            None if inner.leak_told && evidence.is_none() => self.telemetry.leak_over(),
            None => {}
        }
        inner.leak_told = evidence.is_some();
    }

    fn tell_too_long(&self, line: Option<u64>, before: u64) {
        if let Some(line) = line {
            self.telemetry.line_too_long(line, before);
        }
    }

    fn now(&self) -> Duration {
        self.epoch.get().copied().unwrap_or_default().saturating_add(self.started.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn options(service: &Service) -> Options {
    let pprof = service.pprof.as_ref();
    Options {
        trace: service.trace.as_ref().is_some_and(|trace| {
            // Each file of a pattern has a pipeline of its own.
            !trace.source.is_pattern() || service.identity.log.is_some()
        }),
        expvar: service.expvar.is_some(),
        pprof: pprof.is_some(),
        container: service.container.is_some() && service.identity.log.is_none(),
        heap: service.expvar.is_none() && pprof.is_some_and(|pprof| pprof.heap),
        functions: pprof.map_or(0, |pprof| pprof.functions),
        labels: pprof.map(|pprof| Arc::clone(&pprof.label_names)).unwrap_or_default(),
        per_p: service.runqueue_per_p,
        by_size: service.expvar.as_ref().is_some_and(|expvar| expvar.by_size),
    }
}

/// Where a service's trace comes from, to know it again.
fn source_of(service: &Service) -> String {
    match service.trace.as_ref().map(|trace| &trace.source) {
        Some(TraceSource::File { path, .. }) => format!("file {}", path.display()),
        Some(TraceSource::Fifo(path)) => format!("fifo {}", path.display()),
        Some(TraceSource::Kubernetes(log)) => format!("kubernetes {}", log.container),
        Some(TraceSource::Command(words)) => format!("command {}", words.join(" ")),
        Some(other) => other.name().into(),
        None => String::new(),
    }
}

impl Inner {
    /// Gives the first line that is too long.
    fn bytes(&mut self, chunk: &[u8], now: Duration) -> Option<u64> {
        self.look_at_crash(now);
        self.stats.bytes += chunk.len() as u64;
        let too_long = self.unwrapped(now, |unwrap, text| unwrap.push(chunk, text));
        self.look_at_crash(now);
        self.taken += 1;
        too_long
    }

    /// Takes what `unwrap` gives of a file, each of a container's streams by itself. Gives the first
    /// line that is too long.
    fn unwrapped(
        &mut self,
        now: Duration,
        unwrap: impl FnOnce(&mut Unwrap, &mut dyn FnMut(Stream, &[u8])) -> u64,
    ) -> Option<u64> {
        let mut too_long = None;
        let Self { unwrap: framer, lines, reader, stdout, state, stats, .. } = self;
        let malformed = unwrap(framer, &mut |stream, text| {
            let (lines, reader) = match stream {
                Stream::Stderr => (&mut *lines, &mut *reader),
                Stream::Stdout => (&mut stdout.0, &mut stdout.1),
            };
            let observe = |record| state.observe(record, now);
            let counted = lines.push(text, reader.sink(stats, observe));
            if counted.too_long > 0 {
                too_long = too_long.or(Some(stats.lines + counted.before_too_long + 1));
            }
            stats.lines += counted.lines;
            stats.lines_too_long += counted.too_long;
        });
        self.stats.entries_malformed += malformed;
        too_long
    }

    /// The line at hand does not go on, on either stream.
    fn break_line(&mut self, now: Duration) -> Option<u64> {
        let too_long = self.unwrapped(now, |unwrap, text| {
            unwrap.cut(text);
            0
        });
        let Self { lines, reader, stats, stdout, .. } = self;
        for (lines, reader) in [(lines, reader), (&mut stdout.0, &mut stdout.1)] {
            if let Some(rest) = lines.cut() {
                reader.line_cut();
                stats.note_lost(line::beginning(&rest), LostReason::Cut);
            }
        }
        self.taken += 1;
        too_long
    }

    /// A crash of which nothing more came for a while is at its end.
    fn look_at_crash(&mut self, now: Duration) {
        let Self { reader, stdout, state, stats, crash, taken, .. } = self;
        for (reader, crash) in [reader, &mut stdout.1].into_iter().zip(crash) {
            let progress = reader.crash_progress();
            match (progress, *crash) {
                (Some(progress), Some((before, since))) if progress == before => {
                    if now.saturating_sub(since) >= CRASH_QUIET {
                        *crash = None;
                        *taken += 1;
                        reader.settle(stats, &mut |record| state.observe(record, now));
                    }
                }
                _ => *crash = progress.map(|progress| (progress, now)),
            }
        }
    }

    /// Lines in unknown forms that nobody was told of yet.
    fn take_samples(&mut self) -> Vec<(RecordKind, Box<[u8]>)> {
        let stdout = self.stdout.1.take_samples();
        self.reader.take_samples().into_iter().chain(stdout).collect()
    }

    fn series(&mut self, now: Duration) -> ServiceSnapshot {
        self.state.set_releases(self.reader.releases().or_else(|| self.stdout.1.releases()));
        self.state.snapshot(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::catalog::Metric;
    use crate::model::sink::TraceSink;
    use crate::model::snapshot::{MetricId, Number, Value};

    fn gc(cycle: u32, at_ms: u32) -> String {
        format!(
            "gc {cycle} @{}.{:03}s 1%: 0.031+0.51+0.048 ms clock, 0.063+0.12/0.26/0+0.097 ms cpu, 4->4->1 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P",
            at_ms / 1000,
            at_ms % 1000
        )
    }

    fn sched(uptime_ms: u32) -> String {
        format!(
            "SCHED {uptime_ms}ms: gomaxprocs=1 idleprocs=0 threads=4 spinningthreads=0 needspinning=0 idlethreads=1 runqueue=0 [0]"
        )
    }

    fn ticks(uptime_ms: u32, ticks: u32) -> String {
        let line = sched(uptime_ms).replace("[0]", "[ 0 ]");
        format!("{line} schedticks=[ {ticks} ]")
    }

    /// Here something was not read.
    const GAP: &str = "GAP";

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Seen {
        starts: u64,
        missed: u64,
        intervals: u64,
        ticks: u64,
    }

    fn read(lines: &[String]) -> Seen {
        let text = "services: [{name: s, trace: {file: /x}}]";
        let service = crate::config::file::read(text).unwrap().services.remove(0);
        let metrics = Arc::new(Metrics::new().unwrap());
        let pipeline = Pipeline::new(&service, metrics, TraceLines::Keep);
        for line in lines {
            if line == GAP {
                pipeline.sink().gap();
            } else {
                pipeline.sink().bytes(format!("{line}\n").as_bytes());
            }
        }
        let snapshot = pipeline.snapshot().unwrap();
        let number = |metric: Metric| {
            let mut series = snapshot.series.iter();
            let found = series.find(|series| series.metric == MetricId(metric as u16)).unwrap();
            match &found.value {
                Value::Number(Number::Unsigned(n)) => *n,
                Value::Distribution(distribution) => distribution.counts.iter().sum(),
                other => panic!("{other:?}"),
            }
        };
        Seen {
            starts: number(Metric::ProcessStarts),
            missed: number(Metric::GcRecordsMissed),
            intervals: number(Metric::GcIntervalSeconds),
            ticks: number(Metric::SchedTicks),
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn restarts_are_counted_and_nothing_is_invented_across_one() {
        let gap = || GAP.to_owned();
        let none = Seen::default;
        let table = [
            ("one process", vec![gc(7, 10), gc(8, 20), gc(9, 30)], Seen { intervals: 2, ..none() }),
            ("cycles are missing", vec![gc(7, 10), gc(9, 30)], Seen { missed: 1, ..none() }),
            (
                "the number went back",
                vec![gc(40, 50_000), gc(1, 10), gc(2, 20)],
                Seen { starts: 1, intervals: 1, ..none() },
            ),
            (
                "… and the first cycles are missing",
                vec![gc(40, 50_000), gc(5, 400)],
                Seen { starts: 1, missed: 4, ..none() },
            ),
            (
                "the number went on, its time went back",
                vec![gc(3, 9000), gc(4, 500)],
                Seen { starts: 1, missed: 3, ..none() },
            ),
            (
                "the uptime went back",
                vec![sched(5000), sched(0), sched(1000)],
                Seen { starts: 1, ..none() },
            ),
            (
                "both see it, schedtrace first",
                vec![sched(5000), gc(40, 5100), sched(0), gc(1, 10)],
                Seen { starts: 1, ..none() },
            ),
            (
                "both see it, gctrace first",
                vec![sched(5000), gc(40, 5100), gc(1, 10), sched(0)],
                Seen { starts: 1, ..none() },
            ),
            (
                "dies before its second sample",
                vec![sched(0), sched(1000), sched(0), sched(0)],
                Seen { starts: 2, ..none() },
            ),
            ("… always: every second is certain", vec![sched(0); 5], Seen { starts: 2, ..none() }),
            (
                "one process is stopped while it prints",
                vec![sched(0), sched(20), sched(80), sched(80), sched(100)],
                none(),
            ),
            ("schedtrace=1", vec![sched(0), sched(0), sched(1), sched(2)], none()),
            (
                "was quicker than its predecessor",
                vec![ticks(1000, 50_000), ticks(2000, 15)],
                Seen { starts: 1, ticks: 15, ..none() },
            ),
            (
                "ticks wrap",
                vec![ticks(1000, u32::MAX), ticks(2000, 9)],
                Seen { ticks: 10, ..none() },
            ),
            (
                "a gap",
                vec![gc(5, 1000), gap(), gc(6, 2000), gc(7, 3000)],
                Seen { intervals: 1, ..none() },
            ),
            (
                "a gap with cycles in it",
                vec![gc(5, 1000), gap(), gc(9, 3000)],
                Seen { missed: 3, ..none() },
            ),
            (
                "a gap with ticks in it",
                vec![ticks(1000, 10), gap(), ticks(9000, 500), ticks(10_000, 501)],
                Seen { ticks: 1, ..none() },
            ),
            (
                "a restart in a gap",
                vec![ticks(5000, 100), gap(), ticks(1000, 7)],
                Seen { starts: 1, ticks: 7, ..none() },
            ),
            ("a gap in a crash loop", vec![sched(0), gap(), sched(0)], none()),
            (
                "parent and child take turns",
                vec![gc(40, 50_000), gc(1, 10), gc(41, 51_000), gc(2, 20), gc(42, 52_000)],
                Seen { starts: 1, intervals: 3, ..none() },
            ),
            (
                "a new process comes as far as the old",
                vec![
                    ticks(0, 0),
                    ticks(1000, 10),
                    ticks(0, 1),
                    ticks(1000, 2),
                    ticks(2000, 4),
                    ticks(3000, 5),
                ],
                Seen { starts: 1, ticks: 15, ..none() },
            ),
            (
                "a child that has no cycles",
                vec![gc(40, 50_000), sched(5000), sched(0), gc(41, 51_000)],
                Seen { starts: 1, ..none() },
            ),
        ];
        for (name, lines, expected) in table {
            assert_eq!(read(&lines), expected, "{name}: {lines:#?}");
        }
    }
}
