//! `runtime.MemStats` at the end of the heap profile (src/runtime/pprof/pprof.go, `writeHeap`).
//!
//! It has one field a line since Go 1.5; LastGC, PauseEnd, NumForcedGC and GCCPUFraction since 1.9,
//! GCSys and OtherSys since 1.8; the size classes are not there.

use super::PprofError;
use crate::model::memstats::MemStats;
use crate::parse::expvar::slot;

/// The line before the fields. Lines of stacks begin with `#` and a tab.
const BEGINNING: &str = "\n# runtime.MemStats\n";

/// The last field that every release prints.
const LAST_FIELD: &str = "DebugGC";

/// Reads the memstats of a body of the heap profile with `debug=1`. The records before it are passed
/// over.
///
/// # Errors
/// The body is another, or cut.
pub fn memstats(body: &[u8]) -> Result<MemStats, PprofError> {
    if !body.starts_with(b"heap profile: ") {
        return Err(PprofError::Other("heap profile"));
    }
    let at = memchr::memmem::rfind(body, BEGINNING.as_bytes()).ok_or(PprofError::Truncated)?;
    let fields = body.get(at + BEGINNING.len()..).unwrap_or_default();
    let fields = fields.strip_suffix(b"\n").ok_or(PprofError::Truncated)?;
    let mut stats = MemStats::default();
    let mut is_whole = false;
    for (n, line) in String::from_utf8_lossy(fields).split('\n').enumerate() {
        let line = line.strip_prefix("# ").and_then(|field| field.split_once(" = "));
        let (name, value) = line.ok_or_else(|| {
            let before = body.get(..at + BEGINNING.len()).unwrap_or_default();
            PprofError::Malformed(memchr::memchr_iter(b'\n', before).count() + 1 + n)
        })?;
        is_whole |= name == LAST_FIELD;
        field(&mut stats, name, value);
    }
    if is_whole { Ok(stats) } else { Err(PprofError::Truncated) }
}

fn field(stats: &mut MemStats, name: &str, value: &str) {
    match name {
        "GCCPUFraction" => stats.gc_cpu_fraction = value.parse().ok(),
        "PauseNs" => stats.pause_ns = list(value),
        "PauseEnd" => stats.pause_end_ns = list(value),
        "Stack" => (stats.stack_inuse, stats.stack_sys) = pair(value),
        "MSpan" => (stats.mspan_inuse, stats.mspan_sys) = pair(value),
        "MCache" => (stats.mcache_inuse, stats.mcache_sys) = pair(value),
        _ => {
            if let Some(slot) = slot(stats, name) {
                *slot = value.parse().ok();
            }
        }
    }
}

/// `[1 2 3]`
fn list(text: &str) -> Vec<u64> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let numbers: Option<Vec<u64>> = inner.map_or(Some(Vec::new()), |inner| {
        inner.split(' ').map(|number| number.parse().ok()).collect()
    });
    numbers.unwrap_or_default()
}

/// `inuse / sys`
fn pair(text: &str) -> (Option<u64>, Option<u64>) {
    match text.split_once(" / ") {
        Some((inuse, sys)) => (inuse.parse().ok(), sys.parse().ok()),
        None => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "heap profile: 1: 2 [3: 4] @ heap/1048576\n\
        1: 2 [3: 4] @ 0x1\n#\t0x1\tmain.main+0x1\t/a.go:1\n\n\
        # runtime.MemStats\n# Alloc = 5\n# NextGC = 18446744073709551615\n# Stack = 6 / 7\n\
        # PauseNs = [1 2 3]\n# NumGC = 3\n# GCCPUFraction = 0.25\n# DebugGC = false\n# MaxRSS = 9\n";

    #[test]
    fn fields_are_read_and_what_is_missing_is_unknown() {
        let stats = memstats(BODY.as_bytes()).unwrap();
        assert_eq!((stats.alloc, stats.next_gc), (Some(5), Some(u64::MAX)));
        assert_eq!((stats.stack_inuse, stats.stack_sys), (Some(6), Some(7)));
        assert_eq!((stats.pause_ns, stats.num_gc), (vec![1, 2, 3], Some(3)));
        assert_eq!((stats.gc_cpu_fraction, stats.frees), (Some(0.25), None));
        assert!(stats.pause_end_ns.is_empty() && stats.by_size.is_empty());
    }

    #[test]
    fn a_body_that_is_cut_or_another_is_refused() {
        // MaxRSS is not everywhere, so that without it the body may be whole.
        let whole = BODY.find("# MaxRSS").unwrap();
        for end in 0..whole {
            let expected =
                if end < 14 { PprofError::Other("heap profile") } else { PprofError::Truncated };
            assert_eq!(memstats(&BODY.as_bytes()[..end]), Err(expected), "{end}");
        }
        assert_eq!(
            memstats(b"goroutine profile: total 1\n"),
            Err(PprofError::Other("heap profile"))
        );
        assert!(memstats(&BODY.as_bytes()[..whole]).is_ok());
        let torn = BODY.replace("# NumGC = 3", "# NumG");
        assert_eq!(memstats(torn.as_bytes()), Err(PprofError::Malformed(10)));
    }
}
