//! What inittrace lines say, over all starts of a service.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::service::Collector;
use super::tally::OTHER;
use crate::model::record::{Init, Milli};
use crate::model::snapshot::Text;

/// Most packages that have series of their own. A large service has some hundred packages, few of
/// which matter; what is past it counts as [`OTHER`].
pub const PACKAGES_MAX: usize = 100;

/// A package is worth series of its own if its initialisation once took so long, in thousandths of
/// a millisecond, or allocated so much.
const NAMED_FROM_MICROS: u64 = 100;
const NAMED_FROM_BYTES: u64 = 64 << 10;

/// inittrace prints milliseconds with three places.
const MICROS_IN_SECOND: f64 = 1e6;

/// State made of inittrace lines.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InitState {
    packages: BTreeMap<Arc<str>, Cost>,
    other: Cost,
    summed: u64,
    last_at: Option<Milli>,
    done: Option<Milli>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
struct Cost {
    micros: u64,
    bytes: u64,
    allocs: u64,
}

impl InitState {
    /// Takes a record; gives true if it shows that the service was started anew: packages are
    /// initialised one after the other, in one goroutine.
    pub fn observe(&mut self, init: &Init) -> bool {
        let restarted = self.last_at.is_some_and(|last| init.at_ms < last);
        self.last_at = Some(init.at_ms);
        self.done = Some(Milli(init.at_ms.0.saturating_add(init.clock_ms.0)));
        let cost = self.cost(init);
        cost.micros = cost.micros.saturating_add(init.clock_ms.0);
        cost.bytes = cost.bytes.saturating_add(init.bytes);
        cost.allocs = cost.allocs.saturating_add(init.allocs);
        restarted
    }

    fn cost(&mut self, init: &Init) -> &mut Cost {
        let counts = init.clock_ms.0 >= NAMED_FROM_MICROS || init.bytes >= NAMED_FROM_BYTES;
        let known = self.packages.contains_key(&*init.package);
        if known || (counts && self.packages.len() < PACKAGES_MAX) {
            self.packages.entry(Arc::from(&*init.package)).or_default()
        } else {
            self.summed += 1;
            &mut self.other
        }
    }

    /// The service was started anew, as another part has seen.
    pub fn restarted(&mut self) {
        self.last_at = None;
        self.done = None;
    }

    /// Gives the series, once there was a line.
    pub fn collect(&self, out: &mut Collector) {
        if self.packages.is_empty() && self.summed == 0 {
            return;
        }
        for (package, cost) in &self.packages {
            cost.collect(&Text::Shared(Arc::clone(package)), out);
        }
        self.other.collect(&Text::Static(OTHER), out);
        out.count(Metric::InitPackagesOther, &[], self.summed);
        if let Some(done) = self.done {
            out.float(Metric::InitDoneSeconds, &[], seconds(done.0));
        }
    }
}

impl Cost {
    fn collect(&self, package: &Text, out: &mut Collector) {
        let label = || vec![package.clone()];
        out.shared_float(Metric::InitSeconds, label(), seconds(self.micros));
        out.shared(Metric::InitAllocatedBytes, label(), self.bytes);
        out.shared(Metric::InitAllocations, label(), self.allocs);
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / MICROS_IN_SECOND
}
