//! Why a goroutine waits, in the words of Go 1.5 to 1.27 (src/runtime/runtime2.go,
//! `waitReasonStrings`; until Go 1.10 texts all over the runtime).

/// All of them. Later releases may have more: a whole line may hold any text.
const KNOWN: [&str; 57] = [
    "",
    "Concurrent GC wait",
    "GC assist marking",
    "GC assist wait",
    "GC mark termination",
    "GC scavenge wait",
    "GC sweep wait",
    "GC weak to strong wait",
    "GC worker (active)",
    "GC worker (idle)",
    "GOMAXPROCS updater (idle)",
    "IO wait",
    "chan receive",
    "chan receive (durable)",
    "chan receive (nil chan)",
    "chan receive (synctest)",
    "chan send",
    "chan send (durable)",
    "chan send (nil chan)",
    "chan send (synctest)",
    "cleanup wait",
    "coroutine",
    "debug call",
    "dumping heap",
    "finalizer wait",
    "flushing proc caches",
    "force gc (idle)",
    "garbage collection",
    "garbage collection scan",
    "mark wait (idle)",
    "mark worker (idle)",
    "page trace flush",
    "panicwait",
    "preempted",
    "select",
    "select (durable)",
    "select (no cases)",
    "select (synctest)",
    "semacquire",
    "semarelease",
    "sleep",
    "stack growth",
    "stopping the world",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.Lock",
    "sync.RWMutex.RLock",
    "sync.WaitGroup.Wait",
    "sync.WaitGroup.Wait (durable)",
    "synctest.Run",
    "synctest.Wait",
    "timer goroutine (idle)",
    "trace goroutine status",
    "trace proc status",
    "trace reader (blocked)",
    "unknown wait reason",
    "wait for GC cycle",
];

/// Whether a known release prints it.
#[must_use]
pub fn is_known(reason: &str) -> bool {
    KNOWN.binary_search(&reason).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found() {
        assert!(KNOWN.is_sorted());
        assert!(is_known("") && is_known("force gc (idle)") && is_known("wait for GC cycle"));
        assert!(!is_known("sleepWARN ") && !is_known("sleep "));
    }
}
