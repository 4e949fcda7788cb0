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
