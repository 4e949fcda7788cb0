//! Waiting for conditions; nothing else in the tests sleeps.

use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine; a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Nor does anything take longer that gets on.
const DEADLINE_MOVING: Duration = Duration::from_secs(300);

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
    wait_while_it_moves(what, || look().ok_or(()), or)
}

/// The same of what is on its way: `look` says how far it has come, and the time is over once that
/// is the same for so long.
pub(crate) fn wait_while_it_moves<T, P: PartialEq>(
    what: &str,
    mut look: impl FnMut() -> Result<T, P>,
    or: impl Fn() -> String,
) -> T {
    let started = Instant::now();
    let (mut moved, mut last) = (started, None);
    loop {
        match look() {
            Ok(found) => return found,
            Err(progress) if last.as_ref() == Some(&progress) => {}
            Err(progress) => (moved, last) = (Instant::now(), Some(progress)),
        }
        let in_time = moved.elapsed() < DEADLINE && started.elapsed() < DEADLINE_MOVING;
        assert!(in_time, "waited {:?} in vain: {what}\n{}", started.elapsed(), or());
        std::thread::sleep(LOOK_EVERY);
    }
}
