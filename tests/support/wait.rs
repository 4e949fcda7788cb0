//! Waiting for conditions; nothing else in the tests sleeps.

use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine; a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `look` finds something.
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    wait_until_or(what, &mut look, String::new)
}

/// The same; `or` tells what there is instead, once the time is over.
pub(crate) fn wait_until_or<T>(
    what: &str,
    mut look: impl FnMut() -> Option<T>,
    or: impl Fn() -> String,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}\n{}", or());
        std::thread::sleep(LOOK_EVERY);
    }
}
