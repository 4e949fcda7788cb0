//! What the lines of the scavenger say, over time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::service::Collector;
use crate::model::record::{ScavTrace, Scavenge};

/// A figure older than this says nothing of now: a line follows each cycle, and one is forced
/// after two minutes.
const FRESH: Duration = Duration::from_secs(300);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// State made of scavtrace and scvg lines.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScavengeState {
    background_kib: u64,
    eager_kib: u64,
    forced_kib: u64,
    undivided_kib: u64,
    traces: u64,
    divided: bool,
    released_bytes: Option<(u64, Duration)>,
    in_use_percent: Option<(u64, Duration)>,
}

impl ScavengeState {
    /// Takes a record. What scvg lines say was released is in whole MiB, mostly 0, so it is not
    /// summed.
    pub fn observe(&mut self, scavenge: &Scavenge, now: Duration) {
        match scavenge {
            Scavenge::Trace(trace) => self.trace(trace, now),
            Scavenge::Released(_) => {}
            Scavenge::Heap(heap) => {
                self.released_bytes = Some((heap.released_mb.saturating_mul(MIB), now));
            }
        }
    }

    fn trace(&mut self, trace: &ScavTrace, now: Duration) {
        self.traces += 1;
        self.divided = trace.work_kib.is_none();
        let work = trace.work_kib.unwrap_or(0);
        let (background, eager) = (trace.background_kib.unwrap_or(0), trace.eager_kib.unwrap_or(0));
        if trace.forced {
            let all = work.saturating_add(background).saturating_add(eager);
            self.forced_kib = self.forced_kib.saturating_add(all);
        } else {
            self.undivided_kib = self.undivided_kib.saturating_add(work);
            self.background_kib = self.background_kib.saturating_add(background);
            self.eager_kib = self.eager_kib.saturating_add(eager);
        }
        self.released_bytes = Some((trace.released_kib.saturating_mul(KIB), now));
        self.in_use_percent = Some((trace.heap_in_use_percent, now));
    }

    /// The service was started anew.
    pub fn restarted(&mut self) {
        self.released_bytes = None;
        self.in_use_percent = None;
    }

    /// Gives the series, once there was a line. `memstats`: expvar gives what is released, too.
    pub fn collect(&self, now: Duration, memstats: bool, out: &mut Collector) {
        if self.traces > 0 {
            let mut released = |kind: &'static str, kib: u64| {
                out.count(Metric::ScavengerReleasedBytes, &[kind], kib.saturating_mul(KIB));
            };
            released("forced", self.forced_kib);
            if self.divided || self.background_kib + self.eager_kib > 0 {
                released("background", self.background_kib);
                released("eager", self.eager_kib);
            }
            if !self.divided || self.undivided_kib > 0 {
                released("undivided", self.undivided_kib);
            }
        }
        let is_fresh = |at: Duration| now.saturating_sub(at) <= FRESH;
        if let Some((bytes, _)) = self.released_bytes.filter(|(_, at)| !memstats && is_fresh(*at)) {
            out.count(Metric::MemHeapReleased, &[], bytes);
        }
        if let Some((percent, _)) = self.in_use_percent.filter(|(_, at)| is_fresh(*at)) {
            #[expect(clippy::cast_precision_loss, reason = "a percentage")]
            out.float(Metric::ScavengerHeapInUseRatio, &[], percent as f64 / 100.0);
        }
    }
}
