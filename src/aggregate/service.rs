//! All that is known of one service.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::gc::GcState;
use super::histogram::{Buckets, Histogram};
use super::memstats::MemState;
use super::sched::SchedState;
use super::tally::Tally;
use super::variables::VariableState;
use crate::model::memstats::MemStats;
use crate::model::record::Record;
use crate::model::service::Identity;
use crate::model::snapshot::{MetricId, Number, Quantiles, Series, ServiceSnapshot, Text, Value};
use crate::model::variable::Variable;

/// Which sources a service has, and which costly series are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// It has a trace source.
    pub trace: bool,
    /// It has an expvar source.
    pub expvar: bool,
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
    kept: Kept,
}

/// What outlives us.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    sched: SchedState,
    gc: GcState,
    memstats: MemState,
    /// Says nothing of a later moment.
    #[serde(skip)]
    variables: VariableState,
    starts_by_trace: u64,
    starts_by_expvar: u64,
}

impl ServiceState {
    /// `watching_since_ns`: the time of day, in nanoseconds since 1970, at which we began to look.
    #[must_use]
    pub fn new(identity: Identity, options: Options, watching_since_ns: u64) -> Self {
        let kept = Kept { memstats: MemState::new(watching_since_ns), ..Kept::default() };
        Self { identity: Arc::new(identity), options, kept }
    }

    /// What is to be saved.
    #[must_use]
    pub const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Goes on from what was saved.
    pub fn restore(&mut self, kept: Kept) {
        self.kept = kept;
    }

    /// Something of the trace was not read: what follows is not measured against what came before.
    pub fn gap(&mut self) {
        self.kept.sched.gap();
        self.kept.gc.gap();
    }

    /// Takes a record of the trace. `now`: time since any fixed moment.
    pub fn observe(&mut self, record: Record<Tally>, now: Duration) {
        let Kept { sched, gc, starts_by_trace, .. } = &mut self.kept;
        let by_sched = match record {
            Record::Sched(record) => sched.observe(record, now),
            Record::SchedDetail(block) => sched.observe_detail(*block, now),
            Record::Gc(record) => {
                if gc.observe(record, now) {
                    sched.restarted();
                    *starts_by_trace += 1;
                }
                false
            }
        };
        if by_sched {
            gc.restarted();
            *starts_by_trace += 1;
        }
    }

    /// Takes a read of memstats.
    pub fn observe_memstats(&mut self, stats: MemStats) {
        let restarted = self.kept.memstats.observe(stats);
        self.kept.starts_by_expvar += u64::from(restarted);
    }

    /// Takes the service's own variables; gives how many of them are not exported.
    pub fn observe_variables(&mut self, variables: Vec<Variable>) -> u64 {
        self.kept.variables.observe(variables)
    }

    /// A read of expvar failed: what it said last is no longer exported.
    pub fn expvar_failed(&mut self) {
        self.kept.memstats.failed();
        self.kept.variables.failed();
    }

    /// Every series at this moment, ordered by metric.
    #[must_use]
    pub fn snapshot(&self, now: Duration) -> ServiceSnapshot {
        let mut out = Collector { series: Vec::with_capacity(96) };
        if self.options.trace {
            self.kept.sched.collect(now, self.options.per_p, &mut out);
            self.kept.gc.collect(now, self.options.expvar, &mut out);
        }
        if self.options.expvar {
            self.kept.memstats.collect(self.options.by_size, &mut out);
        }
        // Both sources see the same restart.
        out.count(
            Metric::ProcessStarts,
            &[],
            self.kept.starts_by_trace.max(self.kept.starts_by_expvar),
        );
        out.series.sort_by_key(|series| series.metric);
        ServiceSnapshot {
            identity: Arc::clone(&self.identity),
            series: out.series,
            variables: self.kept.variables.series(),
        }
    }
}

/// Takes the series that the parts of a service give.
#[derive(Debug)]
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
