//! How a service's processes ended, over time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::catalog::Metric;
use super::service::Collector;
use super::tally::OTHER;
use crate::model::crash::{Crash, FatalKind, Signal, What};
use crate::model::snapshot::Text;

/// Most pairs of cause and function that get a series of their own: a service crashes in few
/// places, or somebody makes up names. What is past it counts as [`OTHER`].
pub const FUNCTIONS_MAX: usize = 20;

/// The label value where the function is not known for certain.
const UNKNOWN: &str = "unknown";

/// State made of crashes.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CrashState {
    panics: u64,
    races: u64,
    fatal: [u64; FatalKind::ALL.len()],
    signals: [u64; Signal::ALL.len()],
    functions: Vec<(What, Arc<str>, u64)>,
    functions_over: u64,
    goroutines: Option<u64>,
}

impl CrashState {
    /// Takes a record; gives true if the process ended by it.
    pub fn observe(&mut self, crash: &Crash) -> bool {
        match crash.what {
            What::Panic => self.panics += 1,
            What::Race => self.races += 1,
            What::Fatal | What::Deadlock | What::OutOfMemory => {
                add(&mut self.fatal, crash.fatal_kind.unwrap_or(FatalKind::Other) as usize);
            }
            What::Signal => add(&mut self.signals, crash.signal.unwrap_or(Signal::Other) as usize),
        }
        self.blame(crash.what, crash.function.as_deref().unwrap_or(UNKNOWN));
        let ended = crash.what != What::Race;
        if ended {
            self.goroutines = crash.goroutines;
        }
        ended
    }

    fn blame(&mut self, what: What, function: &str) {
        if let Some(known) =
            self.functions.iter_mut().find(|(w, name, _)| *w == what && **name == *function)
        {
            known.2 += 1;
        } else if self.functions.len() < FUNCTIONS_MAX || matches!(function, UNKNOWN | OTHER) {
            self.functions.push((what, function.into(), 1));
        } else {
            self.functions_over += 1;
            self.blame(what, OTHER);
        }
    }

    /// Gives the series.
    pub fn collect(&self, out: &mut Collector) {
        out.count(Metric::Panics, &[], self.panics);
        out.count(Metric::DataRaces, &[], self.races);
        for (kind, n) in FatalKind::ALL.iter().zip(self.fatal) {
            out.count(Metric::FatalErrors, &[kind.as_str()], n);
        }
        for (signal, n) in Signal::ALL.iter().zip(self.signals) {
            out.count(Metric::SignalDumps, &[signal.as_str()], n);
        }
        for (what, function, n) in &self.functions {
            let labels = vec![Text::Static(what.as_str()), Text::Shared(Arc::clone(function))];
            out.shared(Metric::Crashes, labels, *n);
        }
        out.count(Metric::CrashesOther, &[], self.functions_over);
        if let Some(goroutines) = self.goroutines {
            out.count(Metric::CrashGoroutines, &[], goroutines);
        }
    }
}

fn add(counts: &mut [u64], at: usize) {
    if let Some(count) = counts.get_mut(at) {
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(what: What, function: Option<&str>) -> Crash {
        Crash { function: function.map(str::to_owned), ..Crash::new(what) }
    }

    #[test]
    fn functions_without_end_are_summed() {
        let mut state = CrashState::default();
        for n in 0..1000 {
            state.observe(&crash(What::Panic, Some(&format!("main.f{n}"))));
        }
        state.observe(&crash(What::Panic, None));
        state.observe(&crash(What::Race, Some("main.f0")));
        assert_eq!(state.functions.len(), FUNCTIONS_MAX + 3);
        assert_eq!((state.panics, state.races, state.functions_over), (1000 + 1, 1, 981));
        let all: u64 = state.functions.iter().map(|(_, _, n)| n).sum();
        assert_eq!(all, 1002);
    }
}
