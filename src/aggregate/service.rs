//! All that is known of one service.

mod goroutines;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::container::ContainerState;
use super::crash::CrashState;
use super::dump::DumpCost;
use super::events::EventState;
use super::gc::GcState;
use super::goroutines::GoroutineState;
use super::histogram::{Buckets, Histogram};
use super::leak::{Detector, Verdict};
use super::memstats::MemState;
use super::process::{self, ProcessStart};
use super::sched::SchedState;
use super::tally::Tally;
use super::variables::walk::Walked;
use super::variables::{Observed, VariableState};
use crate::model::container::ContainerUse;
use crate::model::crash::Crash;
use crate::model::leak::Params;
use crate::model::memstats::MemStats;
use crate::model::record::Record;
use crate::model::release::ReleaseRange;
use crate::model::service::Identity;
use crate::model::snapshot::{
    MetricId, Number, Quantiles, Series, ServiceSnapshot, Starts, Text, Value,
};
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
    /// Its container's limits and use are read.
    pub container: bool,
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
    /// The time of day at which `now` was 0, in nanoseconds since 1970.
    epoch_ns: i64,
    /// When memstats were read last.
    memstats_at: Duration,
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
    container: ContainerState,
    /// When every counter was 0, in nanoseconds since 1970; unknown where the state is older than
    /// this field.
    watching_since_ns: Option<u64>,
    process: ProcessStart,
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
        let kept = Kept {
            memstats: MemState::new(watching_since_ns),
            watching_since_ns: Some(watching_since_ns).filter(|since| *since > 0),
            ..Kept::default()
        };
        Self {
            identity: Arc::new(identity),
            options,
            releases: None,
            leak_params,
            epoch_ns: 0,
            memstats_at: Duration::ZERO,
            kept,
        }
    }

    /// The time of day at which `now` was 0, in nanoseconds since 1970.
    pub const fn set_epoch(&mut self, epoch_ns: i64) {
        self.epoch_ns = epoch_ns;
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
        let uptime = record.uptime();
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
        if let Some(uptime) = uptime {
            self.kept.process.observe(uptime, now);
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
        self.kept.process.restarted();
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
        own: Walked,
        rules: &Rules,
        now: Duration,
    ) -> Observed {
        let starts = self.starts();
        let restarted = memstats.map(|stats| self.observe_memstats(stats, now));
        if restarted.is_none() {
            self.kept.memstats.failed();
        }
        let observed = self.kept.variables.take(own, rules, restarted);
        self.kept.starts_by_expvar += u64::from(restarted == Some(true) || observed.restarted);
        let counted =
            self.kept.goroutines.alive().is_none() && self.kept.variables.goroutines().is_some();
        self.watch_for_leaks(starts, counted, now);
        observed
    }

    /// Gives true if it shows that the service was started anew.
    fn observe_memstats(&mut self, stats: MemStats, now: Duration) -> bool {
        let restarted = self.kept.memstats.observe(stats);
        if restarted && !self.kept.process.is_after(self.memstats_at) {
            self.kept.process.restarted();
        }
        self.memstats_at = now;
        restarted
    }

    /// What the counters count since: memstats are those of the process that traces if it began
    /// before they were read.
    fn counting_since(&self) -> Starts {
        let process = self.kept.process.began().filter(|_| self.options.trace);
        let process = process.filter(|began| *began <= process::nanos(self.memstats_at));
        let process_ns = process.map(|began| self.epoch_ns.saturating_add(began));
        Starts {
            watching_ns: self.kept.watching_since_ns,
            process_ns: process_ns.and_then(|ns| u64::try_from(ns).ok()),
        }
    }

    /// Takes a reading of its cgroup; `None`: it could not be read.
    pub fn observe_container(&mut self, reading: Option<ContainerUse>) {
        match reading {
            Some(reading) => self.kept.container.observe(reading),
            None => self.kept.container.failed(),
        }
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
        if self.options.container {
            self.kept.container.collect(&mut out);
        }
        self.collect_leak(now, &mut out);
        out.count(Metric::ProcessStarts, &[], self.starts());
        out.series.sort_by_key(|series| series.metric);
        ServiceSnapshot {
            identity: Arc::clone(&self.identity),
            series: out.series,
            more_labels: Arc::clone(&self.options.labels),
            variables: self.kept.variables.series(),
            starts: self.counting_since(),
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
        self.push(metric, texts(labels), Value::Distribution(Box::new(histogram.snapshot())));
    }

    /// A summary.
    pub fn quantiles(&mut self, metric: Metric, quantiles: Quantiles) {
        self.push(metric, Vec::new(), Value::Quantiles(Box::new(quantiles)));
    }
}

fn texts(labels: &[&'static str]) -> Vec<Text> {
    labels.iter().map(|label| Text::Static(label)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Sched, SchedSummary};
    use crate::model::service::ServiceName;

    const EPOCH: u64 = 1_000_000_000_000_000_000;

    fn service() -> ServiceState {
        let service = ServiceName::new("s").unwrap();
        let identity = Identity::new(service, Vec::new());
        let options = Options { trace: true, expvar: true, ..Options::default() };
        let mut state = ServiceState::new(identity, options, Arc::default(), 7);
        state.set_epoch(EPOCH as i64);
        state
    }

    /// Reads a line a second from `now` on, of a process that began then.
    fn trace(state: &mut ServiceState, now: u64, seconds: u64) {
        for n in 0..seconds {
            let summary =
                SchedSummary { uptime_ms: n * 1000, gomaxprocs: 1, ..SchedSummary::default() };
            let sched = Sched { summary, ..Sched::default() };
            state.observe(Record::Sched(sched), Duration::from_secs(now + n));
        }
    }

    fn memstats(state: &mut ServiceState, now: u64, num_gc: u64) {
        let stats = MemStats { num_gc: Some(num_gc), ..MemStats::default() };
        state.observe_expvar(
            Some(stats),
            Walked::default(),
            &Rules::default(),
            Duration::from_secs(now),
        );
    }

    fn starts(state: &ServiceState) -> (Option<u64>, Option<u64>) {
        let starts = state.snapshot(Duration::ZERO).starts;
        let since_epoch = |ns: u64| (ns - EPOCH) / 1_000_000_000;
        (starts.watching_ns, starts.process_ns.map(since_epoch))
    }

    #[test]
    fn memstats_count_since_the_start_of_their_process() {
        let mut state = service();
        assert_eq!(starts(&state), (Some(7), None));
        trace(&mut state, 10, 20);
        assert_eq!(starts(&state), (Some(7), None), "of no memstats");
        memstats(&mut state, 30, 5);
        assert_eq!(starts(&state), (Some(7), Some(10)));
        trace(&mut state, 40, 20);
        assert_eq!(starts(&state), (Some(7), None), "memstats are still the old process's");
        memstats(&mut state, 60, 1);
        assert_eq!(starts(&state), (Some(7), Some(40)));
        memstats(&mut state, 70, 0);
        assert_eq!(starts(&state), (Some(7), None), "the trace is still the old process's");
    }
}
