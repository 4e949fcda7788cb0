//! What the seldom lines say, over time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::init::InitState;
use super::pacer::PacerState;
use super::scavenge::ScavengeState;
use super::service::Collector;
use super::tally::OTHER;
use crate::model::record::{Event, FinalizerQueue, GcScan, ScanScope};
use crate::model::snapshot::Text;

/// A queue older than this says nothing of now: a cycle is forced after two minutes.
const FRESH: Duration = Duration::from_secs(300);

/// Most size classes that have series of their own: the runtime has 68 (src/internal/runtime/gc,
/// sizeclasses.go), and a damaged line must not make series without end.
const CLASSES_MAX: usize = 80;

/// State made of the seldom lines.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventState {
    pacer: PacerState,
    scavenge: ScavengeState,
    init: InitState,
    scanned: BTreeMap<u32, u64>,
    scanned_large: u64,
    scanned_other: u64,
    queue: Option<(FinalizerQueue, Duration)>,
    periodic: u64,
}

impl EventState {
    /// Takes a record; gives true if it shows that the service was started anew.
    pub fn observe(&mut self, event: Event, now: Duration) -> bool {
        match event {
            Event::Pacer(pacer) => self.pacer.observe(pacer, now),
            Event::Scavenge(scavenge) => self.scavenge.observe(&scavenge, now),
            Event::Init(init) => {
                let restarted = self.init.observe(&init);
                if restarted {
                    self.restarted_but_init();
                }
                return restarted;
            }
            Event::GcScan(scan) => self.scan(&scan),
            Event::FinalizerQueue(queue) => self.queue = Some((queue, now)),
            Event::ForcedGc {} => self.periodic += 1,
        }
        false
    }

    fn scan(&mut self, scan: &GcScan) {
        let sum = match (scan.scope, scan.class_bytes) {
            // The classes make it up.
            (ScanScope::Total, _) => return,
            (ScanScope::Class, Some(size)) => {
                let known = self.scanned.contains_key(&size) || self.scanned.len() < CLASSES_MAX;
                if known { self.scanned.entry(size).or_default() } else { &mut self.scanned_other }
            }
            (ScanScope::Large | ScanScope::Class, _) => &mut self.scanned_large,
        };
        *sum = sum.saturating_add(scan.objects);
    }

    /// The service was started anew, as another part has seen.
    pub fn restarted(&mut self) {
        self.restarted_but_init();
        self.init.restarted();
    }

    fn restarted_but_init(&mut self) {
        self.pacer.restarted();
        self.scavenge.restarted();
        self.queue = None;
    }

    /// Gives the series of what was seen. `memstats`: expvar gives the heap that is released.
    pub fn collect(&self, now: Duration, memstats: bool, out: &mut Collector) {
        out.count(Metric::GcPeriodicTriggers, &[], self.periodic);
        self.pacer.collect(now, out);
        self.scavenge.collect(now, memstats, out);
        self.init.collect(out);
        for (size, objects) in &self.scanned {
            let label = Text::Shared(Arc::from(size.to_string()));
            out.shared(Metric::GcScannedObjects, vec![label], *objects);
        }
        if !self.scanned.is_empty() || self.scanned_large > 0 {
            out.count(Metric::GcScannedObjects, &["large"], self.scanned_large);
            out.count(Metric::GcScannedObjects, &[OTHER], self.scanned_other);
        }
        if let Some((queue, _)) =
            self.queue.as_ref().filter(|(_, at)| now.saturating_sub(*at) <= FRESH)
        {
            out.count(Metric::GcFinalizerQueue, &["finalizer"], queue.finalizers);
            out.count(Metric::GcFinalizerQueue, &["cleanup"], queue.cleanups);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Init, Milli};

    fn init(package: &str, at: u64, micros: u64) -> Event {
        let (at_ms, clock_ms) = (Milli(at), Milli(micros));
        Event::Init(Init { package: package.into(), at_ms, clock_ms, bytes: 10, allocs: 1 })
    }

    #[test]
    fn packages_without_end_and_quick_ones_are_summed() {
        let mut state = EventState::default();
        for n in 0..1000 {
            assert!(!state.observe(init(&format!("p{n}"), n, 200), Duration::ZERO));
        }
        assert!(!state.observe(init("quick", 2000, 1), Duration::ZERO));
        let mut out = Collector::default();
        state.collect(Duration::ZERO, false, &mut out);
        let allocs = |series: &&crate::model::snapshot::Series| {
            series.metric.0 == Metric::InitAllocations as u16
        };
        assert_eq!(
            out.series().iter().filter(allocs).count(),
            super::super::init::PACKAGES_MAX + 1
        );
    }

    #[test]
    fn init_going_back_is_a_restart_seen_once() {
        let mut state = EventState::default();
        let starts: Vec<bool> = [(1, 5), (7, 9), (0, 3), (2, 4)]
            .map(|(at, micros)| state.observe(init("main", at, micros), Duration::ZERO))
            .into();
        assert_eq!(starts, [false, false, true, false]);
    }
}
