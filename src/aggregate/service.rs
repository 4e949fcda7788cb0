//! All that is known of one service.

mod goroutines;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::crash::CrashState;
use super::dump::DumpCost;
use super::events::EventState;
use super::gc::GcState;
use super::goroutines::GoroutineState;
use super::histogram::{Buckets, Histogram};
use super::leak::{Detector, Verdict};
use super::memstats::MemState;
use super::sched::SchedState;
use super::tally::Tally;
use super::variables::{Observed, VariableState};
use crate::model::crash::Crash;
use crate::model::json::Json;
use crate::model::leak::Params;
use crate::model::memstats::MemStats;
use crate::model::record::Record;
use crate::model::release::ReleaseRange;
use crate::model::service::Identity;
use crate::model::snapshot::{MetricId, Number, Quantiles, Series, ServiceSnapshot, Text, Value};
use crate::model::stats::RecordKind;
use crate::model::variable::rule::Rules;

/// Which sources a service has, and which costly series are wanted.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// It has a trace source.
    pub trace: bool,
    /// It has an expvar source.
    pub expvar: bool,
    /// It has a pprof source.
    pub pprof: bool,
    /// Its memstats are read from the heap profile.
    pub heap: bool,
    /// Most functions that have series.
    pub functions: usize,
    /// Names of the labels that profiler labels become.
    pub labels: Arc<[Box<str>]>,
    /// One run queue series a P.
    pub per_p: bool,
    /// The allocator's size classes.
    pub by_size: bool,
}

/// The state of one service.
#[derive(Debug)]
pub struct ServiceState {
    identity: Arc<Identity>,
    options: Options,
    releases: Option<ReleaseRange>,
    leak_params: Arc<Params>,
    kept: Kept,
}

/// What outlives us.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    sched: SchedState,
    gc: GcState,
    events: EventState,
    crash: CrashState,
    /// The process that traced last has crashed.
    crashed: bool,
    memstats: MemState,
    variables: VariableState,
    goroutines: GoroutineState,
    starts_by_trace: u64,
    starts_by_expvar: u64,
    /// Since there is a number of goroutines.
    leak: Option<Detector>,
}

impl ServiceState {
    /// `watching_since_ns`: the time of day, in nanoseconds since 1970, at which we began to look.
    #[must_use]
    pub fn new(
        identity: Identity,
        options: Options,
        leak_params: Arc<Params>,
        watching_since_ns: u64,
    ) -> Self {
        let kept = Kept { memstats: MemState::new(watching_since_ns), ..Kept::default() };
        Self { identity: Arc::new(identity), options, releases: None, leak_params, kept }
    }

    /// What is to be saved.
    #[must_use]
    pub const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Goes on from what was saved.
    pub fn restore(&mut self, kept: Kept) {
        self.kept = kept;
        let params = &self.leak_params;
        let leak = self.kept.leak.take();
        self.kept.leak = leak.map(|detector| detector.resumed(Arc::clone(params)));
    }

    /// Something of the trace was not read: what follows is not measured against what came before.
    pub fn gap(&mut self) {
        self.kept.sched.gap();
        self.kept.gc.gap();
    }

    /// Nothing of the service was before us: every GC pause it had counts.
    pub fn watched_from_its_start(&mut self) {
        self.kept.memstats = MemState::new(0);
    }

    /// Takes a record of the trace. `now`: time since any fixed moment.
    pub fn observe(&mut self, record: Record<Tally>, now: Duration) {
        let kind = record.kind();
        let starts = self.starts();
        let restarted = match record {
            Record::Crash(crash) => return self.observe_crash(&crash),
            Record::Sched(sched) => self.kept.sched.observe(sched, now),
            Record::SchedDetail(block) => self.kept.sched.observe_detail(*block, now),
            Record::Gc(gc) => self.kept.gc.observe(gc, now),
            Record::Event(event, _) => self.kept.events.observe(event, now),
        };
        if restarted {
            self.tell_restart(kind);
        }
        let follows_crash = std::mem::take(&mut self.kept.crashed);
        self.kept.starts_by_trace += u64::from(restarted || follows_crash);
        let counted = kind == RecordKind::SchedDetail && !self.has_better_than_trace();
        self.watch_for_leaks(starts, counted, now);
    }

    /// Process starts seen; both sources see the same.
    #[must_use]
    pub fn starts(&self) -> u64 {
        self.kept.starts_by_trace.max(self.kept.starts_by_expvar)
    }

    /// Tells the leak detector of a start since there were `starts`, and of a new count.
    fn watch_for_leaks(&mut self, starts: u64, counted: bool, now: Duration) {
        let is_new = starts < self.starts();
        if is_new {
            self.kept.goroutines.restarted();
        }
        if let Some(leak) = self.kept.leak.as_mut().filter(|_| is_new) {
            leak.restarted(now);
        }
        if let Some(goroutines) = counted.then(|| self.goroutines(now)).flatten() {
            let params = &self.leak_params;
            let leak = self.kept.leak.get_or_insert_with(|| Detector::new(Arc::clone(params)));
            leak.observe(now, goroutines);
        }
    }

    /// Whether goroutines leak, as far as their number tells.
    #[must_use]
    pub fn leak(&self) -> Verdict {
        self.kept.leak.as_ref().map(Detector::verdict).unwrap_or_default()
    }

    /// What scheddetail costs the service.
    #[must_use]
    pub fn dump_cost(&self) -> Option<DumpCost> {
        self.kept.sched.dump_cost()
    }

    /// One part saw that the service was started anew; the others have to know.
    fn tell_restart(&mut self, seen_by: RecordKind) {
        if !matches!(seen_by, RecordKind::Sched | RecordKind::SchedDetail) {
            self.kept.sched.restarted();
        }
        if seen_by != RecordKind::Gc {
            self.kept.gc.restarted();
        }
        if seen_by != RecordKind::Init {
            self.kept.events.restarted();
        }
    }

    /// After a crash nothing is compared with what comes, and what comes is a new process's.
    fn observe_crash(&mut self, crash: &Crash) {
        if self.kept.crash.observe(crash) {
            self.kept.crashed = true;
            self.tell_restart(RecordKind::Crash);
        }
    }

    /// Takes a read of expvar: memstats, unless somebody took them out of the page, and the service's
    /// own variables.
    pub fn observe_expvar(
        &mut self,
        memstats: Option<MemStats>,
        own: &[(String, Json)],
        rules: &Rules,
        now: Duration,
    ) -> Observed {
        let starts = self.starts();
        let restarted = memstats.map(|stats| self.kept.memstats.observe(stats));
        if restarted.is_none() {
            self.kept.memstats.failed();
        }
        let observed = self.kept.variables.observe(own, rules, restarted);
        self.kept.starts_by_expvar += u64::from(restarted == Some(true) || observed.restarted);
        let counted =
            self.kept.goroutines.alive().is_none() && self.kept.variables.goroutines().is_some();
        self.watch_for_leaks(starts, counted, now);
        observed
    }

    /// A read of expvar failed: what it said last is no longer exported.
    pub fn expvar_failed(&mut self) {
        self.kept.memstats.failed();
        self.kept.variables.failed();
    }

    /// The Go releases that can have printed the trace, as far as is known.
    pub fn set_releases(&mut self, releases: Option<ReleaseRange>) {
        self.releases = releases;
    }

    fn collect_leak(&self, now: Duration, out: &mut Collector) {
        // A verdict on a number that is not known any more would stand for ever.
        if self.goroutines(now).is_none() {
            return;
        }
        let verdict = self.leak();
        out.count(Metric::GoroutinesLeakSuspected, &[], verdict.evidence.is_some().into());
        if let Some(growth) = verdict.growth_per_second {
            out.float(Metric::GoroutinesGrowth, &[], growth);
        }
        if let Some(blamed) = self.blamed() {
            out.shared(Metric::GoroutinesLeakBlamed, blamed.labels(), blamed.goroutines);
        }
    }

    /// Every series at this moment, ordered by metric.
    #[must_use]
    pub fn snapshot(&self, now: Duration) -> ServiceSnapshot {
        let mut out = Collector { series: Vec::with_capacity(96) };
        if self.options.trace {
            self.kept.sched.collect(now, self.options.per_p, &mut out);
            let has_memstats = self.options.expvar || self.options.heap;
            self.kept.gc.collect(now, has_memstats, &mut out);
            self.kept.events.collect(now, has_memstats, &mut out);
            self.kept.crash.collect(&mut out);
        }
        if let Some(releases) = self.releases.filter(|_| self.options.trace) {
            let range = [releases.min(), releases.max()].map(|text| Text::Shared(text.into()));
            out.shared(Metric::VersionRange, range.into(), 1);
        }
        if let Some(goroutines) = self.goroutines(now) {
            out.count(Metric::Goroutines, &[], goroutines);
        }
        if self.options.pprof {
            self.kept.goroutines.collect(&mut out);
        }
        if self.options.expvar || self.options.heap {
            self.kept.memstats.collect(self.options.by_size, &mut out);
        }
        self.collect_leak(now, &mut out);
        out.count(Metric::ProcessStarts, &[], self.starts());
        out.series.sort_by_key(|series| series.metric);
        ServiceSnapshot {
            identity: Arc::clone(&self.identity),
            series: out.series,
            more_labels: Arc::clone(&self.options.labels),
            variables: self.kept.variables.series(),
        }
    }
}

/// Takes the series that the parts of a service give.
#[derive(Debug, Default)]
pub struct Collector {
    series: Vec<Series>,
}

impl Collector {
    fn push(&mut self, metric: Metric, labels: Vec<Text>, value: Value) {
        self.series.push(Series { metric: MetricId(metric as u16), labels, value });
    }

    /// A whole number.
    pub fn count(&mut self, metric: Metric, labels: &[&'static str], n: u64) {
        self.push(metric, texts(labels), Value::Number(Number::Unsigned(n)));
    }

    /// A whole number that may be negative.
    pub fn signed(&mut self, metric: Metric, n: i64) {
        self.push(metric, Vec::new(), Value::Number(Number::Signed(n)));
    }

    /// Any number.
    pub fn float(&mut self, metric: Metric, labels: &[&'static str], x: f64) {
        self.push(metric, texts(labels), Value::Number(Number::Float(x)));
    }

    /// A whole number with label values that are not known at build time.
    pub fn shared(&mut self, metric: Metric, labels: Vec<Text>, n: u64) {
        self.push(metric, labels, Value::Number(Number::Unsigned(n)));
    }

    /// Any number with label values that are not known at build time.
    pub fn shared_float(&mut self, metric: Metric, labels: Vec<Text>, x: f64) {
        self.push(metric, labels, Value::Number(Number::Float(x)));
    }

    /// What was taken.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// A histogram.
    pub fn histogram<B: Buckets>(
        &mut self,
        metric: Metric,
        labels: &[&'static str],
        histogram: &Histogram<B>,
    ) {
        self.push(metric, texts(labels), Value::Distribution(histogram.snapshot()));
    }

    /// A summary.
    pub fn quantiles(&mut self, metric: Metric, quantiles: Quantiles) {
        self.push(metric, Vec::new(), Value::Quantiles(Box::new(quantiles)));
    }
}

fn texts(labels: &[&'static str]) -> Vec<Text> {
    labels.iter().map(|label| Text::Static(label)).collect()
}
