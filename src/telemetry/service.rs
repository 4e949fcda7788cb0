//! Events of one service's sources.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::IntCounter;
use tracing::{info, warn};

use super::metrics::Metrics;
use crate::model::stats::{LostReason, PerKind, RecordKind, TraceStats};

/// Why a source could not be read: the closed set of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Reason {
    NotFound,
    PermissionDenied,
    NotAFile,
    Ended,
    ConnectionRefused,
    Timeout,
    HttpStatus,
    TooLarge,
    NotExpvar,
    Truncated,
    Io,
}

impl Reason {
    /// What a trace source fails with.
    const OF_TRACES: [Self; 5] =
        [Self::NotFound, Self::PermissionDenied, Self::NotAFile, Self::Ended, Self::Io];

    /// What an endpoint fails with.
    const OF_ENDPOINTS: [Self; 7] = [
        Self::ConnectionRefused,
        Self::Timeout,
        Self::HttpStatus,
        Self::TooLarge,
        Self::NotExpvar,
        Self::Truncated,
        Self::Io,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::PermissionDenied => "permission_denied",
            Self::NotAFile => "not_a_file",
            Self::Ended => "ended",
            Self::ConnectionRefused => "connection_refused",
            Self::Timeout => "timeout",
            Self::HttpStatus => "http_status",
            Self::TooLarge => "too_large",
            Self::NotExpvar => "not_expvar",
            Self::Truncated => "truncated",
            Self::Io => "io",
        }
    }

    /// The reason behind an I/O error.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            ErrorKind::ConnectionRefused => Self::ConnectionRefused,
            ErrorKind::TimedOut => Self::Timeout,
            ErrorKind::IsADirectory | ErrorKind::InvalidInput => Self::NotAFile,
            _ => Self::Io,
        }
    }
}

/// An endpoint that fails for less is not worth a line: a service that starts, or starts anew.
const GRACE: Duration = Duration::from_secs(2);

/// How a followed file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Another file took its name.
    Rename,
    /// It became shorter.
    Truncate,
}

impl Rotation {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::Truncate => "truncate",
        }
    }
}

/// A thing that may happen with every line is told once in this time.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The counters of one service's trace stream.
#[derive(Debug)]
pub struct TraceTelemetry {
    metrics: Arc<Metrics>,
    service: Box<str>,
    /// Where the stream comes from, as the config has it.
    source: Box<str>,
    max_line_bytes: usize,
    told_too_long: Mutex<Option<Instant>>,
}

impl TraceTelemetry {
    /// Begins every counter at 0.
    #[must_use]
    pub fn new(
        metrics: Arc<Metrics>,
        service: &str,
        source: String,
        max_line_bytes: usize,
    ) -> Self {
        let telemetry = Self {
            metrics,
            service: service.into(),
            source: source.into(),
            max_line_bytes,
            told_too_long: Mutex::new(None),
        };
        telemetry.publish(&TraceStats::default());
        telemetry
    }

    /// Brings the counters to what the pure stations counted.
    pub fn publish(&self, stats: &TraceStats) {
        let metrics = &self.metrics;
        let service = [&*self.service];
        raise(&metrics.bytes.with_label_values(&service), stats.bytes);
        raise(&metrics.lines.with_label_values(&service), stats.lines);
        raise(&metrics.lines_too_long.with_label_values(&service), stats.lines_too_long);
        raise(&metrics.entries_malformed.with_label_values(&service), stats.entries_malformed);
        raise(&metrics.crash_dumps.with_label_values(&service), stats.crash_dumps);
        let per_kind: [(&prometheus::IntCounterVec, &PerKind); 4] = [
            (&metrics.records, &stats.records),
            (&metrics.recovered, &stats.recovered),
            (&metrics.malformed, &stats.malformed),
            (&metrics.unknown_forms, &stats.unknown_forms),
        ];
        for (counters, counts) in per_kind {
            for kind in RecordKind::ALL.into_iter().filter(|kind| stats.has_counters(*kind)) {
                raise(
                    &counters.with_label_values(&[&self.service, kind.as_str()]),
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
            raise(&metrics.lost.with_label_values(&labels), stats.lost.by(reason).get(kind));
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

    /// Variables of one expvar page that could not be read, and that were too many.
    pub fn expvar(&self, unreadable: u64, dropped: u64) {
        let service = [&*self.service];
        self.metrics.unreadable_vars.with_label_values(&service).inc_by(unreadable);
        self.metrics.dropped_vars.with_label_values(&service).inc_by(dropped);
    }
}

fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

/// Events of one source of one service.
#[derive(Debug)]
pub struct SourceTelemetry {
    metrics: Arc<Metrics>,
    service: Box<str>,
    source: &'static str,
    /// The failure at hand was told.
    told: AtomicBool,
    failing_since: Mutex<Option<Instant>>,
}

impl SourceTelemetry {
    /// A trace source: down until it says otherwise.
    #[must_use]
    pub fn trace(metrics: Arc<Metrics>, service: &str, source: &'static str) -> Arc<Self> {
        metrics.source_up.with_label_values(&[service, source]).set(0);
        for reason in Reason::OF_TRACES {
            metrics.source_errors.with_label_values(&[service, source, reason.as_str()]);
        }
        if source == "file" {
            metrics.lag.with_label_values(&[service]).set(0);
            for how in [Rotation::Rename, Rotation::Truncate] {
                metrics.rotations.with_label_values(&[service, how.as_str()]);
            }
        }
        if source == "child" {
            metrics.stderr_dropped.with_label_values(&[service]);
            metrics.exec_restarts.with_label_values(&[service]);
            metrics.exec_unread.with_label_values(&[service]);
        }
        Self::new(metrics, service, source)
    }

    /// An HTTP endpoint.
    #[must_use]
    pub fn endpoint(metrics: Arc<Metrics>, service: &str, source: &'static str) -> Arc<Self> {
        metrics.scrape_success.with_label_values(&[service, source]).set(0);
        metrics.scrapes.with_label_values(&[service, source]);
        metrics.scrape_last_success.with_label_values(&[service, source]).set(0.0);
        for reason in Reason::OF_ENDPOINTS {
            metrics.scrape_errors.with_label_values(&[service, source, reason.as_str()]);
        }
        metrics.unreadable_vars.with_label_values(&[service]);
        metrics.dropped_vars.with_label_values(&[service]);
        Self::new(metrics, service, source)
    }

    fn new(metrics: Arc<Metrics>, service: &str, source: &'static str) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            service: service.into(),
            source,
            told: AtomicBool::new(false),
            failing_since: Mutex::new(None),
        })
    }

    fn labels(&self) -> [&str; 2] {
        [&self.service, self.source]
    }

    /// The source can be read.
    pub fn up(&self) {
        self.metrics.source_up.with_label_values(&self.labels()).set(1);
        if self.told.swap(false, Ordering::Relaxed) {
            info!(service = %self.service, source = self.source, "source can be read again");
        }
    }

    /// The source cannot be read; it is tried again. Logged once until it recovers.
    pub fn failed(&self, reason: Reason, error: &dyn Display) {
        let [service, source] = self.labels();
        self.metrics.source_up.with_label_values(&[service, source]).set(0);
        self.metrics.source_errors.with_label_values(&[service, source, reason.as_str()]).inc();
        if !self.told.swap(true, Ordering::Relaxed) {
            warn!(service, source, reason = reason.as_str(), error = %error, "cannot read source, trying again");
        }
    }

    /// The source came to its end and gives no more.
    pub fn ended(&self) {
        self.metrics.source_up.with_label_values(&self.labels()).set(0);
        info!(service = %self.service, source = self.source, "source ended");
    }

    /// A file is followed from `offset` on.
    pub fn following(&self, path: &dyn Display, offset: u64) {
        info!(service = %self.service, path = %path, offset, "following file");
    }

    /// A followed file was rotated.
    pub fn rotated(&self, how: Rotation) {
        self.metrics.rotations.with_label_values(&[&*self.service, how.as_str()]).inc();
        info!(service = %self.service, how = how.as_str(), "followed file was rotated");
    }

    /// Bytes of the file that are not read yet.
    pub fn lag(&self, bytes: u64) {
        self.metrics
            .lag
            .with_label_values(&[&*self.service])
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Bytes of the child's stderr were not passed on.
    pub fn stderr_dropped(&self, bytes: u64) {
        self.metrics.stderr_dropped.with_label_values(&[&*self.service]).inc_by(bytes);
        if !self.told.swap(true, Ordering::Relaxed) {
            warn!(service = %self.service, "the reader of our stderr stands still; dropping the service's log so that the service does not stop");
        }
    }

    /// What happened to the child's stderr before this process began: how often the exporter was
    /// started again, and the bytes that were passed on unread or dropped meanwhile.
    pub fn exec_before(&self, restarts: u64, unread: u64, dropped: u64) {
        let service = [&*self.service];
        self.metrics.exec_restarts.with_label_values(&service).inc_by(restarts);
        self.metrics.exec_unread.with_label_values(&service).inc_by(unread);
        self.metrics.stderr_dropped.with_label_values(&service).inc_by(dropped);
    }

    /// An endpoint was read.
    pub fn scraped(&self, took: Duration) {
        let labels = self.labels();
        self.finish_scrape(took, 1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.metrics.scrape_last_success.with_label_values(&labels).set(now.as_secs_f64());
        *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if self.told.swap(false, Ordering::Relaxed) {
            info!(service = %self.service, source = self.source, "endpoint can be read again");
        }
    }

    /// An endpoint could not be read. Logged once until it recovers.
    pub fn scrape_failed(&self, took: Duration, reason: Reason, error: &dyn Display) {
        let [service, source] = self.labels();
        self.finish_scrape(took, 0);
        self.metrics.scrape_errors.with_label_values(&[service, source, reason.as_str()]).inc();
        if self.fails_for(GRACE) && !self.told.swap(true, Ordering::Relaxed) {
            warn!(service, source, reason = reason.as_str(), error = %error, "cannot read endpoint, trying again");
        }
    }

    fn fails_for(&self, grace: Duration) -> bool {
        let mut since = self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.get_or_insert_with(Instant::now).elapsed() >= grace
    }

    fn finish_scrape(&self, took: Duration, success: i64) {
        let labels = self.labels();
        self.metrics.scrapes.with_label_values(&labels).inc();
        self.metrics.scrape_success.with_label_values(&labels).set(success);
        self.metrics.scrape_duration.with_label_values(&labels).set(took.as_secs_f64());
    }
}
