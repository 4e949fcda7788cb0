//! Whether the log of a container shows that a Go runtime writes to it.
//!
//! Every line of every container on a node passes here, so it is a search for a few bytes; what
//! stands around them is looked at only where they are found.

use memchr::{memchr, memmem, memrchr};

/// How the runtime begins the lines that GODEBUG asks for: proc.go, schedtrace; mgc.go, gcMarkTermination.
const SCHED: &[u8] = b"SCHED ";
const GC: &[u8] = b"gc ";

/// What stands before the text of an entry of Docker's json-file.
const DOCKER: &[u8] = b"{\"log\":\"";

/// Whether one of the lines begins as the runtime's do. `log` begins where a line does.
pub(super) fn is_go(log: &[u8]) -> bool {
    let begins = |start: &[u8], is_ours: fn(&[u8]) -> bool| {
        memmem::find_iter(log, start).any(|at| {
            let (before, line) = log.split_at(at);
            let header = memrchr(b'\n', before)
                .map_or(before, |end| before.get(end + 1..).unwrap_or_default());
            is_header(header) && line.get(start.len()..).is_some_and(is_ours)
        })
    };
    begins(SCHED, is_uptime) || begins(GC, is_cycle)
}

/// Whether these are all that a runtime wrote before the text, which begins a line: `time stream F `.
fn is_header(header: &[u8]) -> bool {
    let is_cri = header.ends_with(b" F ") || header.ends_with(b" P ");
    header.is_empty()
        || header == DOCKER
        || (is_cri && header.iter().filter(|byte| **byte == b' ').count() == 3)
}

/// `1009ms: …`. What follows the first write may be torn off, so that a digit must do.
fn is_uptime(rest: &[u8]) -> bool {
    rest.first().is_some_and(u8::is_ascii_digit)
}

/// `12 @0.071s …`
fn is_cycle(rest: &[u8]) -> bool {
    let Some(end) = memchr(b' ', rest) else { return false };
    let (cycle, rest) = rest.split_at(end);
    !cycle.is_empty()
        && cycle.iter().all(u8::is_ascii_digit)
        && rest.strip_prefix(b" @").and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-21T10:00:00.123456789Z";

    #[test]
    fn traces_are_known_in_the_logs_of_every_runtime() {
        for line in [
            format!("{TIME} stderr F SCHED 1009ms: gomaxprocs=2 idleprocs=0"),
            format!("{TIME} stdout F SCHED 0ms: gomaxprocs=2"),
            format!("{TIME} stderr P SCHED 1009ms: gomaxprocs=2"),
            format!("{TIME} stderr F SCHED 8562026/11/21 10:00:00 INFO torn"),
            format!("{TIME} stderr F gc 12 @0.071s 0%: 0.018+0.46"),
            r#"{"log":"SCHED 1009ms: gomaxprocs=2\n","stream":"stderr","time":"x"}"#.into(),
            r#"{"log":"gc 1 @0.071s 0%: 0.018\n","stream":"stderr"}"#.into(),
            "SCHED 1009ms: gomaxprocs=2".into(),
        ] {
            assert!(is_go(line.as_bytes()), "{line}");
            assert!(is_go(format!("{TIME} stderr F hello\n{line}\n").as_bytes()), "{line}");
        }
    }

    #[test]
    fn what_others_say_about_traces_is_none() {
        for line in [
            format!("{TIME} stderr F level=info msg=\"SCHED 1009ms\""),
            format!("{TIME} stderr F the SCHED 5"),
            format!("{TIME} stderr F SCHED up"),
            format!("{TIME} stderr F gc 12 pauses"),
            format!("{TIME} stderr F gc now @5"),
            format!("{TIME} stderr F a F SCHED 5"),
            format!("{TIME} stderr F jsgc 12 @5"),
            format!("{TIME} stderr F gc "),
            format!("{TIME} stderr F SCHED "),
            r#"{"log":"x SCHED 1009ms: gomaxprocs=2\n"}"#.into(),
            String::new(),
        ] {
            assert!(!is_go(line.as_bytes()), "{line}");
        }
    }
}
