//! What a service's endpoints answer, into its stations.

use super::Pipeline;
use crate::aggregate::variables::walk::walk;
use crate::model::container::ContainerUse;
use crate::parse::expvar::{self, ExpvarError};

impl Pipeline {
    /// Takes the body of `/debug/vars`.
    ///
    /// # Errors
    /// It is none, or is cut; the state says then that expvar gives nothing.
    pub fn expvar(&self, body: &[u8]) -> Result<(), ExpvarError> {
        // A large page takes a while; the lock is taken for what is left of it.
        let vars = expvar::read(body);
        let walked = vars.as_ref().ok().zip(self.rules.as_ref());
        let walked = walked.map(|(vars, rules)| walk(&vars.own, rules)).unwrap_or_default();
        let now = self.now();
        let mut inner = self.lock();
        inner.taken += 1;
        let vars = vars.inspect_err(|_| inner.state.expvar_failed())?;
        let Some(rules) = &self.rules else { return Ok(()) };
        let observed = inner.state.observe_expvar(vars.memstats, walked, rules, now);
        self.tell(&mut inner);
        drop(inner);
        self.variables.unreadable(vars.unreadable);
        self.variables.dropped(&observed.dropped);
        self.variables.retyped(&observed.retyped);
        Ok(())
    }

    /// Takes a reading of the container; `None`: it could not be read.
    pub fn container(&self, reading: Option<ContainerUse>) {
        let mut inner = self.lock();
        inner.taken += 1;
        inner.state.observe_container(reading);
    }

    /// `/debug/vars` could not be read.
    pub fn expvar_failed(&self) {
        let mut inner = self.lock();
        inner.taken += 1;
        inner.state.expvar_failed();
    }
}
