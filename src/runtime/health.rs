//! Whether we are alive and ready, without flags that somebody forgets to set.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Held by a part that is not ready yet; dropped when it is.
#[derive(Debug, Clone)]
pub struct Latch(#[expect(dead_code, reason = "alive as long as it is held")] Arc<()>);

impl Latch {
    /// One that nobody waits for: its part came later, and we were ready before.
    #[must_use]
    pub fn detached() -> Self {
        Self(Arc::default())
    }
}

/// Ready when every latch is dropped; healthy while no part was lost.
#[derive(Debug, Default)]
pub struct Health {
    latches: Mutex<Weak<()>>,
    lost: AtomicBool,
}

impl Health {
    /// One more part to wait for.
    pub fn latch(&self) -> Latch {
        let mut latches = self.latches.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = latches.upgrade().unwrap_or_default();
        *latches = Arc::downgrade(&shared);
        Latch(shared)
    }

    /// A part ended by a defect.
    pub fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Whether every part works.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.lost.load(Ordering::Relaxed)
    }

    /// Whether every part has caught up.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let latches = self.latches.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_healthy() && latches.strong_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_all_latches_are_gone() {
        let health = Health::default();
        assert!(health.is_ready());
        let (a, b) = (health.latch(), health.latch());
        drop(a);
        assert!(!health.is_ready());
        drop(b);
        assert!(health.is_ready());
        health.lose();
        assert!(!health.is_ready() && !health.is_healthy());
    }
}
