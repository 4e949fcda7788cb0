//! The bodies of `/debug/pprof`. They are read before the lock is taken: a large one takes a while.

use std::sync::Arc;

use super::Pipeline;
use crate::aggregate::places::Places;
use crate::parse::pprof::stacks::{self, Profile};
use crate::parse::pprof::{PprofError, heap};
use crate::runtime::trigger::Trigger;

impl Pipeline {
    /// Takes the body of a profile.
    ///
    /// # Errors
    /// It is none, or is cut; the state says then that the profile gives nothing.
    pub fn profile(&self, profile: Profile, body: &[u8]) -> Result<(), PprofError> {
        let mut places = Places::new(Arc::clone(&self.profiler_labels));
        let by_place = profile != Profile::ThreadCreate;
        let read = stacks::read(profile, body, &mut |stack| {
            if by_place {
                places.add(stack);
            }
        });
        let total = read.inspect_err(|_| self.profile_failed(profile))?;
        let now = self.now();
        let mut inner = self.lock();
        inner.taken += 1;
        match profile {
            Profile::Goroutine => inner.state.observe_goroutines(&places, total, now),
            Profile::GoroutineLeak => inner.state.observe_leaked(&places, total, now),
            Profile::ThreadCreate => inner.state.observe_threads(Some(total)),
        }
        self.tell(&mut inner);
        Ok(())
    }

    /// Has the goroutineleak profile read when a leak is suspected.
    pub fn ask_when_suspected(&self, trigger: Arc<Trigger>) {
        // Each pipeline is given one.
        let _only = self.on_suspicion.set(trigger);
    }

    /// A profile could not be read.
    pub fn profile_failed(&self, profile: Profile) {
        let mut inner = self.lock();
        inner.taken += 1;
        match profile {
            Profile::Goroutine => inner.state.goroutines_failed(),
            Profile::GoroutineLeak => inner.state.leaked_failed(),
            Profile::ThreadCreate => inner.state.observe_threads(None),
        }
    }

    /// Takes the body of the heap profile, for its memstats.
    ///
    /// # Errors
    /// As for the others.
    pub fn heap_profile(&self, body: &[u8]) -> Result<(), PprofError> {
        let stats = heap::memstats(body).inspect_err(|_| self.heap_profile_failed())?;
        let now = self.now();
        let mut inner = self.lock();
        inner.taken += 1;
        inner.state.observe_heap(stats, now);
        self.tell(&mut inner);
        Ok(())
    }

    /// The heap profile could not be read.
    pub fn heap_profile_failed(&self) {
        let mut inner = self.lock();
        inner.taken += 1;
        inner.state.heap_failed();
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::Duration;

    use super::*;
    use crate::frame::packets::TraceLines;
    use crate::model::stack::Stack;
    use crate::telemetry::metrics::Metrics;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A read a minute over so many hours, by a clock of its own; gives the hours in which the trigger
    /// was asked.
    async fn asked_in(
        pipeline: &Pipeline,
        trigger: &Trigger,
        hours: std::ops::Range<u32>,
        goroutines: impl Fn(u32) -> u64,
    ) -> Vec<u32> {
        let mut asked = Vec::new();
        for minute in hours.start * 60..hours.end * 60 {
            let count = goroutines(minute);
            let mut places = Places::new(Arc::default());
            places.add(&Stack { count, frames: &[], labels: &[] });
            {
                let mut inner = pipeline.lock();
                inner.state.observe_goroutines(&places, count, MINUTE * minute);
                pipeline.tell(&mut inner);
            }
            tokio::select! {
                biased;
                () = trigger.asked() => asked.push(minute / 60),
                () = ready(()) => {}
            }
        }
        asked
    }

    #[tokio::test]
    async fn each_suspicion_asks_for_proof_once() {
        let text = "services: [{name: s, pprof: {url: 'http://h', goroutineleak: 10m}}]\n";
        let service = crate::config::file::read(text).unwrap().services.remove(0);
        let metrics = Arc::new(Metrics::new().unwrap());
        let pipeline = Pipeline::new(&service, metrics, TraceLines::Keep);
        let trigger = Arc::new(Trigger::default());
        pipeline.ask_when_suspected(Arc::clone(&trigger));
        let quiet =
            asked_in(&pipeline, &trigger, 0..30, |minute| 100 + u64::from(minute % 7)).await;
        assert!(quiet.is_empty(), "{quiet:?}");
        let leak = asked_in(&pipeline, &trigger, 30..90, |minute| u64::from(minute) - 1700).await;
        assert!(leak.len() == 1 && leak[0] > 40, "{leak:?}");
        // It is over, and another one begins.
        let over = asked_in(&pipeline, &trigger, 90..150, |_| 100).await;
        assert!(over.is_empty(), "{over:?}");
        let again =
            asked_in(&pipeline, &trigger, 150..320, |minute| u64::from(minute) - 8900).await;
        assert_eq!(again.len(), 1, "{again:?}");
    }
}
