//! What of a pipeline is saved, and how it goes on from there.
//!
//! While state is kept, nothing is exported before it is saved: what a stream or an endpoint gave
//! cannot be read again, and a counter that comes back lower is read as a reset.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Inner, Pipeline};
use crate::aggregate::service::Kept;
use crate::aggregate::tally::Tally;
use crate::frame::cri::Unwrap;
use crate::frame::lines::Partial;
use crate::model::position::Place;
use crate::model::snapshot::ServiceSnapshot;
use crate::model::stats::TraceStats;
use crate::parse::reader::Reader;
use crate::runtime::clock::now_ns;
use crate::state::codec::{self, DecodeError};
use crate::state::store::Outlives;

/// A state on its way to where it is kept.
#[derive(Debug)]
pub struct Saving {
    /// What [`Pipeline::restore`] takes.
    pub bytes: Vec<u8>,
    exportable: Exportable,
}

/// What may be exported: as much as was saved.
#[derive(Debug)]
pub(super) struct Exportable {
    pub(super) taken: u64,
    /// None: it was behind then.
    pub(super) snapshot: Option<ServiceSnapshot>,
    pub(super) stats: TraceStats,
    outlives: Outlives,
}

/// Why a state is not used.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It cannot be read.
    #[error(transparent)]
    Decode(DecodeError),
    /// It is another service's.
    #[error("it is the state of the service {0:?}")]
    OtherService(String),
}

/// The content of a state, borrowed to write it and owned to read it.
#[derive(Serialize, Deserialize)]
struct Content<U, L, R, K> {
    service: String,
    /// Where its trace came from; reading goes on only if it still does.
    source: String,
    /// Nanoseconds since 1970.
    saved_at_ns: u64,
    /// What our own clock showed then.
    clock: Duration,
    place: Option<Place>,
    unwrap: U,
    line: L,
    reader: R,
    /// Of a container's stdout.
    stdout: (L, R),
    service_state: K,
    stats: TraceStats,
}

impl Pipeline {
    /// The service's name; if it reads several files, with that of this one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of the label `service`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The service's key among all.
    #[must_use]
    pub fn service(&self) -> &str {
        // The rest says which of its files it is.
        self.name.split('\t').next().unwrap_or_default()
    }

    /// Whether everything can be read again from a saved position on.
    #[must_use]
    pub const fn replays(&self) -> bool {
        self.replays
    }

    /// From now on nothing is exported that was not saved.
    pub fn keep(&self) {
        let now = self.now();
        let mut inner = self.lock();
        inner.exportable = Some(inner.exportable(now, Outlives::Us));
    }

    /// The state at this moment, if it has changed since it was saved last.
    ///
    /// # Errors
    /// A defect of its types.
    pub fn save(&self, outlives: Outlives) -> serde_json::Result<Option<Saving>> {
        let now = self.now();
        let inner = &mut *self.lock();
        let is_saved = |saved: &Exportable| {
            saved.taken == inner.taken && (saved.outlives == outlives || outlives == Outlives::Us)
        };
        if inner.exportable.as_ref().is_some_and(is_saved) {
            return Ok(None);
        }
        let bytes = self.encoded(inner, now)?;
        Ok(Some(Saving { bytes, exportable: inner.exportable(now, outlives) }))
    }

    fn encoded(&self, inner: &Inner, now: Duration) -> serde_json::Result<Vec<u8>> {
        codec::encode(&Content {
            service: self.name.to_string(),
            source: self.source.to_string(),
            saved_at_ns: now_ns(),
            clock: now,
            place: inner.place.clone(),
            unwrap: &inner.unwrap,
            line: inner.lines.partial(),
            reader: &inner.reader,
            stdout: (inner.stdout.0.partial(), &inner.stdout.1),
            service_state: inner.state.kept(),
            stats: inner.stats,
        })
    }

    /// Another of the same service goes on from here; nothing comes here any more.
    ///
    /// # Errors
    /// A defect of the types of what is saved.
    pub fn hand_over(&self, to: &Self) -> Result<(), RestoreError> {
        let now = self.now();
        let inner = self.lock();
        let encoded = self.encoded(&inner, now);
        let bytes = encoded.map_err(|error| RestoreError::Decode(DecodeError::Content(error)))?;
        to.restore(&bytes)?;
        // What was counted about the stream up to here has been counted in the same counters.
        self.telemetry.publish(&inner.stats);
        to.telemetry.note_published(&inner.stats);
        Ok(())
    }

    /// A state was written: so much may be exported.
    pub fn saved(&self, saving: Saving) {
        self.lock().exportable = Some(saving.exportable);
    }

    /// States cannot be written: then what we know is exported as it is.
    pub fn save_failed(&self) {
        self.lock().exportable = None;
    }

    /// Goes on from a saved state; before anything is read.
    ///
    /// # Errors
    /// It is none of this service's; nothing has changed then.
    pub fn restore(&self, bytes: &[u8]) -> Result<(), RestoreError> {
        let content: Content<Unwrap, Partial, Reader<Tally>, Kept> =
            codec::decode(bytes).map_err(RestoreError::Decode)?;
        if *content.service != *self.name {
            return Err(RestoreError::OtherService(content.service));
        }
        // A clock that went back says nothing; then no time has passed.
        let away = Duration::from_nanos(now_ns().saturating_sub(content.saved_at_ns));
        let inner = &mut *self.lock();
        // Set once, before the first look at it.
        let _set = self.epoch.set(content.clock.saturating_add(away));
        inner.stats = content.stats;
        if self.is_one_of_many {
            // A sum over files that come and go is of this life only.
            self.telemetry.note_published(&content.stats);
        }
        inner.state.restore(content.service_state);
        let epoch_ns =
            now_ns().saturating_sub(u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX));
        inner.state.set_epoch(i64::try_from(epoch_ns).unwrap_or(i64::MAX));
        inner.unwrap.restore(content.unwrap);
        inner.lines.restore(content.line);
        let (stdout_line, stdout_reader) = content.stdout;
        inner.stdout.0.restore(stdout_line);
        let same_source = *content.source == *self.source;
        if same_source {
            inner.reader = content.reader;
            inner.stdout.1 = stdout_reader;
        }
        if same_source && self.can_go_on {
            inner.place = content.place;
            inner.behind = true;
        } else {
            inner.break_off();
        }
        Ok(())
    }
}

impl Inner {
    /// What comes next does not continue what came before.
    pub(super) fn break_off(&mut self) {
        // What is cut has no end, so it was told already if it is too long.
        let _told = self.break_line(Duration::ZERO);
        self.reader.abandon(&mut self.stats);
        self.stdout.1.abandon(&mut self.stats);
        self.state.gap();
    }

    fn exportable(&mut self, now: Duration, outlives: Outlives) -> Exportable {
        let snapshot = (!self.behind).then(|| self.series(now));
        Exportable { taken: self.taken, snapshot, stats: self.stats, outlives }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::config::Service;
    use crate::frame::packets::TraceLines;
    use crate::model::position::Position;
    use crate::model::sink::TraceSink;
    use crate::model::snapshot::Starts;
    use crate::telemetry::metrics::Metrics;

    const VARS: [&[u8]; 2] = [
        include_bytes!("../../tests/fixtures/samples/go1.19-debug-vars.json"),
        include_bytes!("../../tests/fixtures/samples/go1.27-debug-vars.json"),
    ];

    fn config(sources: &str) -> Service {
        let text = format!("services: [{{name: s, {sources}}}]\n");
        crate::config::file::read(&text).unwrap().services.remove(0)
    }

    const FILE: &str = "trace: {file: /x}, expvar: {url: 'http://h'}";

    fn pipeline(sources: &str) -> Arc<Pipeline> {
        Pipeline::new(&config(sources), Arc::new(Metrics::new().unwrap()), TraceLines::Keep)
    }

    fn bytes(pipeline: &Pipeline) -> Vec<u8> {
        pipeline.save(Outlives::Us).unwrap().unwrap().bytes
    }

    fn place(offset: usize) -> Place {
        let print = crate::model::position::Print::default();
        Place::File(Position {
            device: 1,
            inode: 2,
            offset: offset as u64,
            head: print,
            before: print,
        })
    }

    /// What a real service of each kind wrote, with its log lines between the pieces.
    fn trace() -> Vec<u8> {
        let fixture = |name: &str| {
            let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
            std::fs::read(path).unwrap()
        };
        let mut trace = b"2026/11/21 10:00:00 INFO started\n".to_vec();
        for name in
            ["samples/go1.27-scheddetail.log", "samples/go1.19-gctrace.log", "go1.27-trace.log"]
        {
            for (n, line) in
                fixture(name).split_inclusive(|byte| *byte == b'\n').take(400).enumerate()
            {
                // A log line of the service stands between two pieces, or between two lines.
                let piece = line.iter().position(|byte| *byte == b'=' || *byte == b'@');
                let at = piece.filter(|_| n % 5 == 0).map_or(0, |at| at + 1);
                trace.extend_from_slice(&line[..at]);
                trace.extend_from_slice(b"2026/11/21 10:00:00 INFO request\n");
                trace.extend_from_slice(&line[at..]);
            }
        }
        trace
    }

    /// Reads `trace` in the lives that end at `deaths`, each in chunks of `chunk` bytes.
    fn lives(trace: &[u8], deaths: &[usize], chunk: usize) -> Arc<Pipeline> {
        let mut life = pipeline(FILE);
        let mut from = 0;
        for (n, death) in deaths.iter().chain([&trace.len()]).enumerate() {
            let mut sink = life.sink();
            assert_eq!(sink.saved_place(), (from > 0).then(|| place(from)));
            for piece in trace[from..*death].chunks(chunk) {
                from += piece.len();
                sink.placed_bytes(piece, place(from));
            }
            if n < deaths.len() {
                life.expvar(VARS[0]).unwrap();
                let saved = bytes(&life);
                life = pipeline(FILE);
                life.restore(&saved).unwrap();
                assert!(life.snapshot().is_none(), "behind until it has caught up");
            }
        }
        life.sink().caught_up();
        life.expvar(VARS[1]).unwrap();
        life
    }

    /// Everything but the times at which it was read.
    fn result(pipeline: &Pipeline) -> (ServiceSnapshot, TraceStats) {
        let snapshot = pipeline.snapshot().unwrap();
        assert!(snapshot.starts.watching_ns.is_some());
        let snapshot = ServiceSnapshot { starts: Starts::default(), ..snapshot };
        (snapshot, pipeline.lock().stats)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn deaths_at_any_byte_change_nothing(
            deaths in prop::collection::vec(any::<Index>(), 1..6),
            chunk in 1usize..9000,
        ) {
            let trace = trace();
            let mut deaths: Vec<usize> = deaths.iter().map(|at| 1 + at.index(trace.len() - 1)).collect();
            deaths.sort_unstable();
            deaths.dedup();
            let whole = pipeline(FILE);
            let mut from = 0;
            for death in &deaths {
                whole.sink().bytes(&trace[from..*death]);
                whole.expvar(VARS[0]).unwrap();
                from = *death;
            }
            whole.sink().bytes(&trace[from..]);
            whole.expvar(VARS[1]).unwrap();
            let (expected, stats) = result(&whole);
            prop_assert!(stats.records.total() > 50 && stats.recovered.total() > 10, "{stats:?}");
            let (found, found_stats) = result(&lives(&trace, &deaths, chunk));
            prop_assert_eq!(found_stats, stats);
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn the_state_that_is_read_is_the_state_that_was_saved(length in any::<Index>()) {
            let trace = trace();
            let first = pipeline(FILE);
            let length = 1 + length.index(trace.len() - 1);
            first.sink().placed_bytes(&trace[..length], place(length));
            let saved = bytes(&first);
            let second = pipeline(FILE);
            second.restore(&saved).unwrap();
            let content = |bytes: &[u8]| {
                let mut content: serde_json::Value = codec::decode(bytes).unwrap();
                content["clock"].take();
                content["saved_at_ns"].take();
                content
            };
            prop_assert_eq!(content(&bytes(&second)), content(&saved));
        }
    }

    #[test]
    fn another_service_or_source_is_not_taken_for_this_one() {
        let first = pipeline(FILE);
        let half = &trace()[..30_000];
        first.sink().placed_bytes(half, place(half.len()));
        let saved = bytes(&first);
        let samples = |pipeline: &Pipeline| {
            let mut page = Vec::new();
            let services = [pipeline.snapshot().unwrap()];
            crate::export::text::services(&mut page, crate::aggregate::catalog::METRICS, &services);
            let page = String::from_utf8(page).unwrap();
            page.lines().find(|line| line.starts_with("go_sched_samples_total")).unwrap().to_owned()
        };
        for source in ["trace: {file: /y}", "trace: {stdin: true}", "trace: {fifo: /x}"] {
            let other = pipeline(source);
            other.restore(&saved).unwrap();
            assert_eq!(samples(&other), samples(&first), "{source}: counters go on");
            assert_eq!(other.sink().saved_place(), None, "{source}: reading does not");
        }
        let text = "services: [{name: t, trace: {file: /x}}]\n";
        let config = crate::config::file::read(text).unwrap().services.remove(0);
        let other = Pipeline::new(&config, Arc::new(Metrics::new().unwrap()), TraceLines::Keep);
        assert!(matches!(other.restore(&saved), Err(RestoreError::OtherService(_))));
        assert_eq!(other.lock().stats, TraceStats::default());
    }

    #[test]
    fn nothing_is_exported_before_it_is_saved() {
        let pipeline = pipeline("trace: {stdin: true}");
        pipeline.keep();
        let before = pipeline.snapshot().unwrap();
        pipeline.sink().bytes(&trace());
        assert_eq!(pipeline.snapshot().unwrap(), before);
        let saving = pipeline.save(Outlives::Us).unwrap().unwrap();
        pipeline.sink().bytes(&trace());
        pipeline.saved(saving);
        let saved = pipeline.snapshot().unwrap();
        assert_ne!(saved, before);
        pipeline.save_failed();
        assert_ne!(pipeline.snapshot().unwrap(), saved, "what is not saved is better than nothing");
    }

    #[test]
    fn what_was_saved_while_it_was_behind_is_not_exported() {
        let first = pipeline(FILE);
        let trace = trace();
        let (read, rest) = trace.split_at(30_000);
        first.sink().placed_bytes(read, place(read.len()));
        let second = pipeline(FILE);
        second.restore(&bytes(&first)).unwrap();
        second.keep();
        let mut at = read.len();
        for piece in rest.chunks(rest.len() / 2 + 1) {
            let saving = second.save(Outlives::Us).unwrap();
            saving.into_iter().for_each(|saving| second.saved(saving));
            at += piece.len();
            second.sink().placed_bytes(piece, place(at));
        }
        second.sink().caught_up();
        assert_eq!(second.snapshot(), None, "half of what is there");
        second.saved(second.save(Outlives::Us).unwrap().unwrap());
        assert!(second.snapshot().is_some());
    }

    #[test]
    fn what_is_saved_waits_for_the_disk_once() {
        let pipeline = pipeline(FILE);
        pipeline.keep();
        pipeline.sink().bytes(b"line\n");
        let save = |outlives| pipeline.save(outlives).unwrap().map(|saving| pipeline.saved(saving));
        assert!(save(Outlives::Us).is_some() && save(Outlives::Us).is_none());
        assert!(save(Outlives::TheMachine).is_some() && save(Outlives::TheMachine).is_none());
    }

    #[test]
    fn a_state_is_small_however_many_goroutines_there_are() {
        let detail = trace();
        let goroutine = "  G1: status=4(chan receive) m=nil lockedm=nil\n";
        let pipeline = pipeline(FILE);
        pipeline.sink().bytes(&detail[..detail.len() / 2]);
        let few = bytes(&pipeline).len();
        pipeline.sink().bytes(goroutine.repeat(20_000).as_bytes());
        let many = bytes(&pipeline).len();
        assert!(many < few + 1000 && many < 64 * 1024, "{few} and {many} bytes");
    }
}
