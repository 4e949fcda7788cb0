//! What the pure stations counted of one service's trace stream, as metrics.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tracing::{info, warn};

use super::metrics::Metrics;
use crate::model::stats::{LostReason, PerKind, RecordKind, TraceStats};

/// A thing that may happen with every line is told once in this time.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The counters of one service's trace stream.
#[derive(Debug)]
pub struct TraceTelemetry {
    metrics: Arc<Metrics>,
    service: Box<str>,
    /// What the counters have of it: other files of the same service count there too.
    published: Mutex<TraceStats>,
    /// Where the stream comes from, as the config has it.
    source: Box<str>,
    max_line_bytes: usize,
    told_too_long: Mutex<Option<Instant>>,
}

impl TraceTelemetry {
    /// Shows nothing before the first [`Self::publish`]: a counter that goes on from what was
    /// saved must not stand at 0 before.
    #[must_use]
    pub fn new(
        metrics: Arc<Metrics>,
        service: &str,
        source: String,
        max_line_bytes: usize,
    ) -> Self {
        Self {
            metrics,
            service: service.into(),
            published: Mutex::default(),
            source: source.into(),
            max_line_bytes,
            told_too_long: Mutex::default(),
        }
    }

    /// So much is not to be counted again.
    pub fn note_published(&self, stats: &TraceStats) {
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = *stats;
    }

    /// Brings the counters to what the pure stations counted.
    pub fn publish(&self, stats: &TraceStats) {
        let metrics = &self.metrics;
        let service = [&*self.service];
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *published, *stats);
        raise(&metrics.bytes.with_label_values(&service), before.bytes, stats.bytes);
        raise(&metrics.lines.with_label_values(&service), before.lines, stats.lines);
        let too_long = metrics.lines_too_long.with_label_values(&service);
        raise(&too_long, before.lines_too_long, stats.lines_too_long);
        let malformed = metrics.entries_malformed.with_label_values(&service);
        raise(&malformed, before.entries_malformed, stats.entries_malformed);
        let crash_dumps = metrics.crash_dumps.with_label_values(&service);
        raise(&crash_dumps, before.crash_dumps, stats.crash_dumps);
        let per_kind: [(&prometheus::IntCounterVec, &PerKind, &PerKind); 4] = [
            (&metrics.records, &before.records, &stats.records),
            (&metrics.recovered, &before.recovered, &stats.recovered),
            (&metrics.malformed, &before.malformed, &stats.malformed),
            (&metrics.unknown_forms, &before.unknown_forms, &stats.unknown_forms),
        ];
        for (counters, before, counts) in per_kind {
            for kind in RecordKind::ALL.into_iter().filter(|kind| stats.has_counters(*kind)) {
                raise(
                    &counters.with_label_values(&[&self.service, kind.as_str()]),
                    before.get(kind),
                    counts.get(kind),
                );
            }
        }
        for (kind, reason) in
            RecordKind::ALL.iter().flat_map(|kind| LostReason::ALL.map(|reason| (*kind, reason)))
        {
            if !stats.has_counters(kind) {
                continue;
            }
            let labels = [&*self.service, kind.as_str(), reason.as_str()];
            let lost = metrics.lost.with_label_values(&labels);
            raise(&lost, before.lost.by(reason).get(kind), stats.lost.by(reason).get(kind));
        }
    }

    /// The first line of a kind in a form that no known Go release prints; `unknown_forms_total`
    /// counts them all.
    pub fn unknown_form(&self, kind: RecordKind, sample: &[u8]) {
        warn!(
            service = %self.service,
            kind = kind.as_str(),
            sample = %sample.escape_ascii(),
            "trace line in a form that no known Go release prints, please report it"
        );
    }

    /// A line is too long to be kept; `publish` counts it. `line` and `byte` are counted from
    /// where reading began; the line is at that byte or later, in the same chunk.
    pub fn line_too_long(&self, line: u64, byte: u64) {
        let mut told = self.told_too_long.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            return;
        }
        *told = Some(Instant::now());
        warn!(service = %self.service, source = %self.source, line, from_byte = byte, max_line = self.max_line_bytes, "line is too long and passed over; more of them in the next minute are only counted");
    }

    /// Printing scheddetail stops the service's scheduler for long, or often; by estimate.
    pub fn dump_costs(&self, goroutines: u64, stop: Duration, every: Duration) {
        warn!(service = %self.service, goroutines, stop = ?stop, every = ?every, "scheddetail stops the service's scheduler for so long each time; give its GODEBUG a larger schedtrace, or take scheddetail=1 out");
    }

    /// A leak of goroutines began to be suspected; `go_goroutines_leak_suspected` says how long.
    /// Growth in goroutines over a window; and the function that gained most, with how many.
    pub fn leak_suspected(
        &self,
        shape: &str,
        growth: i32,
        window: Duration,
        blamed: Option<(&str, u64)>,
    ) {
        let hours = window.as_secs() / 3600;
        let (service, what) =
            (&self.service, "goroutines grow and do not go away: a leak is suspected");
        match blamed {
            Some((function, gained)) => {
                warn!(%service, shape, growth, hours, function, gained, "{what}");
            }
            None => warn!(
                %service, shape, growth, hours,
                "{what}; with `pprof` in the config we could say in which function"
            ),
        }
    }

    /// It ended: they went away, or the service was started anew.
    pub fn leak_over(&self) {
        info!(service = %self.service, "a leak of goroutines is no longer suspected");
    }
}

fn raise(counter: &IntCounter, from: u64, to: u64) {
    counter.inc_by(to.saturating_sub(from));
}
