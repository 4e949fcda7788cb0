//! The names of metrics that OpenTelemetry's conventions do not have: one rule, so that they can be told from
//! those on the page, and the page's from them.
//!
//! `go_gc_heap_start_bytes` → `godebug.gc.heap_start` in `By`: `_total` and the unit go, `go_` becomes
//! `godebug.`, and a dot stands after the area. What Prometheus' own translation makes of it is
//! `godebug_gc_heap_start_bytes`.

/// What stands after `go_`, as a namespace.
const AREAS: [&str; 6] = ["sched", "gc", "memstats", "goroutines", "scavenger", "init"];

/// What our own names begin with on the page.
const OWN: &str = "godebug_exporter_";

/// Last words that are units, and how UCUM writes them; those that are put back by who translates to
/// Prometheus' names are left out of ours.
const UNITS: [(&str, &str, bool); 9] = [
    ("_bytes", "By", true),
    ("_seconds", "s", true),
    ("_ratio", "1", false),
    ("_per_second", "{goroutine}/s", true),
    ("_goroutines", "{goroutine}", false),
    ("_threads", "{thread}", false),
    ("_procs", "{proc}", false),
    ("_objects", "{object}", false),
    ("_cycles", "{cycle}", false),
];

/// The name and unit of what the page calls so.
pub(super) fn of(page: &str) -> (String, &'static str) {
    let stem = page.strip_suffix("_total").unwrap_or(page);
    let unit = UNITS.iter().find(|(suffix, ..)| stem.ends_with(suffix));
    let (stem, unit) = match unit {
        Some((suffix, unit, true)) => (stem.strip_suffix(suffix).unwrap_or(stem), *unit),
        Some((_, unit, false)) => (stem, *unit),
        None => (stem, ""),
    };
    // A time that is counted is not to be mistaken for a share of the same.
    let time = if unit == "s" && page.ends_with("_total") { "_time" } else { "" };
    if let Some(own) = stem.strip_prefix(OWN) {
        return (format!("godebug.exporter.{own}{time}"), unit);
    }
    let Some(go) = stem.strip_prefix("go_") else {
        return (format!("godebug.exporter.{stem}{time}"), unit);
    };
    let area = go.split_once('_').filter(|(area, _)| AREAS.contains(area));
    let name = match area {
        Some((area, rest)) => format!("godebug.{area}.{rest}{time}"),
        None => format!("godebug.{go}{time}"),
    };
    (name, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_apart_from_names() {
        for (page, name, unit) in [
            ("go_gc_heap_start_bytes", "godebug.gc.heap_start", "By"),
            ("go_gc_cpu_seconds_total", "godebug.gc.cpu_time", "s"),
            ("go_gc_cpu_ratio", "godebug.gc.cpu_ratio", "1"),
            ("go_gc_stw_seconds", "godebug.gc.stw", "s"),
            ("go_threads", "godebug.threads", "{thread}"),
            ("go_sched_gomaxprocs_threads", "godebug.sched.gomaxprocs_threads", "{thread}"),
            ("go_panics_total", "godebug.panics", ""),
            ("go_goroutines_growth_per_second", "godebug.goroutines.growth", "{goroutine}/s"),
            ("go_version_range_info", "godebug.version_range_info", ""),
            ("godebug_exporter_records_total", "godebug.exporter.records", ""),
            ("process_open_fds", "godebug.exporter.process_open_fds", ""),
        ] {
            assert_eq!(of(page), (name.to_owned(), unit), "{page}");
        }
    }
}
