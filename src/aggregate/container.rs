//! The container that a service runs in.

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::service::Collector;
use crate::model::container::ContainerUse;

const NS_PER_S: f64 = 1e9;

/// What the kernel said last, and what it counted under our eyes.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    #[serde(skip)]
    last: Option<ContainerUse>,
    cpu_ns: Count,
    periods: Count,
    throttled_periods: Count,
    throttled_ns: Count,
    oom_kills: Count,
}

/// A counter of the kernel's, which begins anew with each container.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Count {
    total: u64,
    last: Option<u64>,
}

impl Count {
    /// What stood there at the first look was counted before.
    fn advance(&mut self, now: Option<u64>) {
        let Some(now) = now else { return };
        if let Some(before) = self.last.replace(now) {
            self.total += if now >= before { now - before } else { now };
        }
    }

    fn collect(&self, metric: Metric, out: &mut Collector) {
        if self.last.is_some() {
            out.count(metric, &[], self.total);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "104 days of nanoseconds are exact")]
    fn collect_seconds(&self, metric: Metric, out: &mut Collector) {
        if self.last.is_some() {
            out.float(metric, &[], self.total as f64 / NS_PER_S);
        }
    }
}

impl ContainerState {
    /// Takes a reading.
    pub fn observe(&mut self, reading: ContainerUse) {
        self.cpu_ns.advance(reading.cpu_ns);
        self.periods.advance(reading.periods);
        self.throttled_periods.advance(reading.throttled_periods);
        self.throttled_ns.advance(reading.throttled_ns);
        self.oom_kills.advance(reading.oom_kills);
        self.last = Some(reading);
    }

    /// It could not be read: what was said last is not exported any more.
    pub fn failed(&mut self) {
        self.last = None;
    }

    pub(super) fn collect(&self, out: &mut Collector) {
        self.cpu_ns.collect_seconds(Metric::ContainerCpu, out);
        self.periods.collect(Metric::ContainerPeriods, out);
        self.throttled_periods.collect(Metric::ContainerThrottledPeriods, out);
        self.throttled_ns.collect_seconds(Metric::ContainerThrottled, out);
        self.oom_kills.collect(Metric::ContainerOomKills, out);
        let Some(last) = &self.last else { return };
        if let Some(cores) = last.cpu_limit {
            out.float(Metric::ContainerCpuLimit, &[], cores);
        }
        let bytes = [
            (Metric::ContainerMemoryLimit, last.memory_limit),
            (Metric::ContainerMemory, last.memory),
            (Metric::ContainerWorkingSet, last.working_set),
        ];
        for (metric, bytes) in bytes {
            if let Some(bytes) = bytes {
                out.count(metric, &[], bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::{Number, Value};

    fn counted(state: &ContainerState, metric: Metric) -> Option<Number> {
        let mut out = Collector::default();
        state.collect(&mut out);
        let series = out.series().iter().find(|series| series.metric.0 == metric as u16);
        series.map(|series| match &series.value {
            Value::Number(number) => *number,
            _ => panic!("a number"),
        })
    }

    #[test]
    fn counters_count_under_our_eyes_and_begin_anew_with_a_container() {
        let reading = |kills| ContainerUse { oom_kills: Some(kills), ..ContainerUse::default() };
        let mut state = ContainerState::default();
        assert_eq!(counted(&state, Metric::ContainerOomKills), None);
        for (kills, total) in [(5, 0), (7, 2), (1, 3), (1, 3)] {
            state.observe(reading(kills));
            assert_eq!(counted(&state, Metric::ContainerOomKills), Some(Number::Unsigned(total)));
        }
        state.failed();
        assert_eq!(counted(&state, Metric::ContainerOomKills), Some(Number::Unsigned(3)));
        assert_eq!(counted(&state, Metric::ContainerCpu), None);
    }

    #[test]
    fn gauges_go_when_nothing_is_known() {
        let mut state = ContainerState::default();
        let reading = ContainerUse {
            memory_limit: Some(100),
            cpu_limit: Some(1.5),
            cpu_ns: Some(1),
            ..ContainerUse::default()
        };
        state.observe(reading);
        state.observe(ContainerUse { cpu_ns: Some(1_500_000_001), ..reading });
        assert_eq!(counted(&state, Metric::ContainerCpuLimit), Some(Number::Float(1.5)));
        assert_eq!(counted(&state, Metric::ContainerCpu), Some(Number::Float(1.5)));
        assert_eq!(counted(&state, Metric::ContainerMemoryLimit), Some(Number::Unsigned(100)));
        assert_eq!(counted(&state, Metric::ContainerMemory), None);
        state.failed();
        assert_eq!(counted(&state, Metric::ContainerMemoryLimit), None);
    }
}
