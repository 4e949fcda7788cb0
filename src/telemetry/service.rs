//! Events of one service's sources.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

use super::metrics::Metrics;
use super::reason::Reason;
use crate::model::variable::DropReason;

/// An endpoint that fails for less is not worth a line: a service that starts, or starts anew.
const GRACE: Duration = Duration::from_secs(2);

/// Where an endpoint is read whenever we are, a rest no longer than Prometheus' usual interval is not
/// noticed.
const RESTS_FOR: Duration = Duration::from_secs(15);

/// How a followed file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Another file took its name.
    Rename,
    /// It became shorter, or was written anew.
    Truncate,
    /// It was deleted, and another one made.
    Recreate,
    /// It is a link, which leads to another file now.
    Relink,
}

impl Rotation {
    const ALL: [Self; 4] = [Self::Rename, Self::Truncate, Self::Recreate, Self::Relink];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::Truncate => "truncate",
            Self::Recreate => "recreate",
            Self::Relink => "relink",
        }
    }
}

/// Why bytes of a followed file may never have been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// It was truncated, and there is no copy of what it held.
    Truncated,
    /// The file that was read last is not there any more, under any name.
    Gone,
    /// A rotated file is damaged, or may not be read, or is packed in a way that we do not read.
    Unreadable,
    /// A writer went on in a rotated file long after another took its place.
    Late,
}

impl Gap {
    const ALL: [Self; 4] = [Self::Truncated, Self::Gone, Self::Unreadable, Self::Late];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Gone => "gone",
            Self::Unreadable => "unreadable",
            Self::Late => "late",
        }
    }

    const fn told(self) -> &'static str {
        match self {
            Self::Truncated => {
                "truncated, and no copy of it is there: what was written between our last look and the truncation is lost"
            }
            Self::Gone => {
                "the file that was read last is gone: what was written to it since is lost, and so are files rotated since"
            }
            Self::Unreadable => "a rotated file cannot be read: what it held is lost",
            Self::Late => "a writer went on in a rotated file: what it wrote there is lost",
        }
    }
}

/// Events of one source of one service.
#[derive(Debug)]
pub struct SourceTelemetry {
    metrics: Arc<Metrics>,
    service: Box<str>,
    source: &'static str,
    /// The failure at hand was told.
    told: AtomicBool,
    /// The reasons for which an endpoint fails that were told.
    told_reasons: AtomicU32,
    told_rest: AtomicBool,
    failing_since: Mutex<Option<Instant>>,
    /// It can be read; and how many of the service's files can.
    is_up: AtomicBool,
    readable: Arc<AtomicI64>,
    lag: AtomicI64,
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
            for how in Rotation::ALL {
                metrics.rotations.with_label_values(&[service, how.as_str()]);
            }
            for gap in Gap::ALL {
                metrics.gaps.with_label_values(&[service, gap.as_str()]);
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
        if source == "expvar" {
            metrics.unreadable_vars.with_label_values(&[service]);
            metrics.retyped_vars.with_label_values(&[service]);
            for reason in DropReason::ALL {
                metrics.dropped_vars.with_label_values(&[service, reason.as_str()]);
            }
        }
        Self::new(metrics, service, source)
    }

    fn new(metrics: Arc<Metrics>, service: &str, source: &'static str) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            service: service.into(),
            source,
            told: AtomicBool::new(false),
            told_reasons: AtomicU32::new(0),
            told_rest: AtomicBool::new(false),
            failing_since: Mutex::new(None),
            is_up: AtomicBool::new(false),
            readable: Arc::default(),
            lag: AtomicI64::new(0),
        })
    }

    fn labels(&self) -> [&str; 2] {
        [&self.service, self.source]
    }

    /// The source can be read.
    pub fn up(&self) {
        self.set_up(true);
        if self.told.swap(false, Ordering::Relaxed) {
            info!(service = %self.service, source = self.source, "source can be read again");
        }
    }

    /// The source cannot be read; it is tried again. Logged once until it recovers.
    pub fn failed(&self, reason: Reason, error: &dyn Display) {
        let [service, source] = self.labels();
        self.set_up(false);
        self.metrics.source_errors.with_label_values(&[service, source, reason.as_str()]).inc();
        if !self.told.swap(true, Ordering::Relaxed) {
            warn!(service, source, reason = reason.as_str(), error = %error, "cannot read source, trying again");
        }
    }

    /// What was being read broke off, and is read on at once: a failure only if that fails.
    pub fn broken_off(&self, reason: Reason) {
        let [service, source] = self.labels();
        self.metrics.source_errors.with_label_values(&[service, source, reason.as_str()]).inc();
    }

    /// The source came to its end and gives no more.
    pub fn ended(&self) {
        self.set_up(false);
        info!(service = %self.service, source = self.source, "source ended");
    }

    /// One more file of the same service.
    #[must_use]
    pub fn another(&self) -> Arc<Self> {
        let metrics = Arc::clone(&self.metrics);
        self.metrics.files.with_label_values(&[&*self.service]).inc();
        Arc::new(Self {
            service: self.service.clone(),
            readable: Arc::clone(&self.readable),
            metrics,
            told: AtomicBool::new(false),
            told_reasons: AtomicU32::new(0),
            told_rest: AtomicBool::new(false),
            failing_since: Mutex::new(None),
            is_up: AtomicBool::new(false),
            lag: AtomicI64::new(0),
            source: self.source,
        })
    }

    /// A file is not followed any more: it is gone, and all of it was read.
    pub fn finished(&self) {
        self.lag(0);
        self.set_up(false);
        self.metrics.files.with_label_values(&[&*self.service]).dec();
        info!(service = %self.service, "followed file is gone");
    }

    /// Files of the pattern that are not followed.
    pub fn passed_over(&self, files: usize) {
        let gauge = self.metrics.files_passed_over.with_label_values(&[&*self.service]);
        gauge.set(i64::try_from(files).unwrap_or(i64::MAX));
        if files > 0 && !self.told.swap(true, Ordering::Relaxed) {
            warn!(service = %self.service, files, "too many files match the pattern, the rest is not followed");
        }
    }

    fn set_up(&self, up: bool) {
        if self.is_up.swap(up, Ordering::Relaxed) != up {
            self.readable.fetch_add(if up { 1 } else { -1 }, Ordering::Relaxed);
        }
        let up = self.readable.load(Ordering::Relaxed) > 0;
        self.metrics.source_up.with_label_values(&self.labels()).set(up.into());
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

    /// Bytes of a followed file may never have been read; how many is seldom known.
    pub fn gap(&self, gap: Gap, bytes: Option<u64>, path: &dyn Display) {
        self.metrics.gaps.with_label_values(&[&*self.service, gap.as_str()]).inc();
        warn!(service = %self.service, path = %path, reason = gap.as_str(), bytes, what = gap.told(), "a gap in a followed file");
    }

    /// Bytes of the file that are not read yet.
    pub fn lag(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let before = self.lag.swap(bytes, Ordering::Relaxed);
        self.metrics.lag.with_label_values(&[&*self.service]).add(bytes - before);
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
        if self.told_reasons.swap(0, Ordering::Relaxed) != 0 {
            info!(service = %self.service, source = self.source, "endpoint can be read again");
        }
    }

    /// An endpoint is left alone for `rest`, so that reads do not take too much of the service's time, or
    /// else for `every`. That the former is longer is logged once until it is over.
    pub fn rests(&self, every: Duration, rest: Duration) {
        let labels = self.labels();
        self.metrics.scrape_interval.with_label_values(&labels).set(every.max(rest).as_secs_f64());
        let is_late = rest > every.max(RESTS_FOR);
        if is_late && !self.told_rest.swap(true, Ordering::Relaxed) {
            warn!(
                service = %self.service,
                source = self.source,
                next_in = ?rest,
                "a read takes the service long, so it is read less often; max_share says how much of the time reads may take"
            );
        } else if !is_late {
            self.told_rest.store(false, Ordering::Relaxed);
        }
    }

    /// An endpoint could not be read. Each reason is logged once until it recovers.
    pub fn scrape_failed(&self, took: Duration, reason: Reason, error: &dyn Display) {
        let [service, source] = self.labels();
        self.finish_scrape(took, 0);
        self.metrics.scrape_errors.with_label_values(&[service, source, reason.as_str()]).inc();
        if self.fails_for(GRACE)
            && self.told_reasons.fetch_or(reason.bit(), Ordering::Relaxed) & reason.bit() == 0
        {
            let (reason, advice) = (reason.as_str(), reason.advice());
            warn!(service, source, reason, error = %error, advice, "cannot read endpoint, trying again");
        }
    }

    /// The service has no goroutineleak profile: no failure, so nothing says that it is one.
    pub fn no_leak_profile(&self) {
        let labels = self.labels();
        let _was_there = self.metrics.scrape_success.remove_label_values(&labels);
        let _was_there = self.metrics.scrape_last_success.remove_label_values(&labels);
        *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.told.store(false, Ordering::Relaxed);
        info!(service = %self.service, "no goroutineleak profile: Go 1.27 has it, Go 1.26 if the program was built with GOEXPERIMENT=goroutineleakprofile; looking again every hour");
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
