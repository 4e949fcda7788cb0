//! The body of `/debug/vars` (src/expvar/expvar.go, `Handler`).

use thiserror::Error;

use super::json::Cursor;
use crate::model::json::Json;
use crate::model::memstats::{MemStats, SizeClass};

/// Why a body is not one of expvar's.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ExpvarError {
    /// It does not begin with `{`.
    #[error("the body is not JSON; is the path right? expvar serves /debug/vars")]
    NotJson,
    /// It ends before the closing `}`.
    #[error("the body ends in the middle")]
    Truncated,
}

/// What a service said at `/debug/vars`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vars {
    /// The runtime's memory statistics.
    pub memstats: Option<MemStats>,
    /// The service's own variables, in the order of the page.
    pub own: Vec<(String, Json)>,
    /// Variables that could not be read; `"x": ,` for one.
    pub unreadable: u64,
}

/// Reads a body.
///
/// # Errors
/// The body is no expvar page, or is cut: then none of it is used.
pub fn read(body: &[u8]) -> Result<Vars, ExpvarError> {
    let mut cursor = Cursor::new(body);
    cursor.skip_blanks();
    if !cursor.take(b"{") {
        return Err(ExpvarError::NotJson);
    }
    let mut vars = Vars::default();
    loop {
        cursor.skip_blanks();
        if cursor.take(b"}") {
            return Ok(vars);
        }
        if cursor.rest().is_empty() {
            return Err(ExpvarError::Truncated);
        }
        entry(&mut cursor, &mut vars);
    }
}

fn entry(cursor: &mut Cursor<'_>, vars: &mut Vars) {
    match key_and_value(cursor) {
        Some((key, Json::Object(fields))) if key == "memstats" => {
            vars.memstats = Some(memstats(&fields))
        }
        Some((key, _)) if key == "cmdline" => {}
        Some(variable) => vars.own.push(variable),
        None => {
            vars.unreadable += 1;
            to_next_line(cursor);
        }
    }
    cursor.skip_blanks();
    cursor.take(b",");
}

fn key_and_value(cursor: &mut Cursor<'_>) -> Option<(String, Json)> {
    let key = cursor.string()?;
    cursor.skip_blanks();
    if !cursor.take(b":") {
        return None;
    }
    let value = cursor.value()?;
    cursor.skip_blanks();
    matches!(cursor.rest().first(), Some(b',' | b'}')).then_some((key, value))
}

/// expvar begins every variable on a line of its own, and ends the page with `}` on one.
fn to_next_line(cursor: &mut Cursor<'_>) {
    loop {
        cursor.skip_to(b"\n");
        if !cursor.take(b"\n") || matches!(cursor.rest().first(), Some(b'"' | b'}')) {
            return;
        }
    }
}

fn memstats(fields: &[(String, Json)]) -> MemStats {
    let mut stats = MemStats::default();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("GCCPUFraction", value) => stats.gc_cpu_fraction = value.as_f64(),
            ("PauseNs", Json::Array(items)) => stats.pause_ns = unsigned_items(items),
            ("PauseEnd", Json::Array(items)) => stats.pause_end_ns = unsigned_items(items),
            ("BySize", Json::Array(items)) => {
                stats.by_size = items.iter().filter_map(size_class).collect()
            }
            (name, value) => {
                if let Some(slot) = slot(&mut stats, name) {
                    *slot = value.as_u64();
                }
            }
        }
    }
    stats
}

fn unsigned_items(items: &[Json]) -> Vec<u64> {
    items.iter().map_while(Json::as_u64).collect()
}

fn size_class(item: &Json) -> Option<SizeClass> {
    let Json::Object(fields) = item else { return None };
    let get = |key: &str| {
        fields.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_u64())
    };
    Some(SizeClass { size: get("Size")?, mallocs: get("Mallocs")?, frees: get("Frees")? })
}

pub(super) fn slot<'a>(stats: &'a mut MemStats, name: &str) -> Option<&'a mut Option<u64>> {
    Some(match name {
        "Alloc" => &mut stats.alloc,
        "TotalAlloc" => &mut stats.total_alloc,
        "Sys" => &mut stats.sys,
        "Lookups" => &mut stats.lookups,
        "Mallocs" => &mut stats.mallocs,
        "Frees" => &mut stats.frees,
        "HeapAlloc" => &mut stats.heap_alloc,
        "HeapSys" => &mut stats.heap_sys,
        "HeapIdle" => &mut stats.heap_idle,
        "HeapInuse" => &mut stats.heap_inuse,
        "HeapReleased" => &mut stats.heap_released,
        "HeapObjects" => &mut stats.heap_objects,
        "StackInuse" => &mut stats.stack_inuse,
        "StackSys" => &mut stats.stack_sys,
        "MSpanInuse" => &mut stats.mspan_inuse,
        "MSpanSys" => &mut stats.mspan_sys,
        "MCacheInuse" => &mut stats.mcache_inuse,
        "MCacheSys" => &mut stats.mcache_sys,
        "BuckHashSys" => &mut stats.buck_hash_sys,
        "GCSys" => &mut stats.gc_sys,
        "OtherSys" => &mut stats.other_sys,
        "NextGC" => &mut stats.next_gc,
        "LastGC" => &mut stats.last_gc_ns,
        "PauseTotalNs" => &mut stats.pause_total_ns,
        "NumGC" => &mut stats.num_gc,
        "NumForcedGC" => &mut stats.num_forced_gc,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "{\n\"bad\": ,\n\"cmdline\": [\"/bin/app\"],\n\"custom\": hello\nworld,\n\"f\": NaN,\n\"k\\x00\": 7,\n\"memstats\": {\"Alloc\":5,\"NextGC\":18446744073709551615,\"LastGC\":1790000000123456789,\"PauseNs\":[1,2],\"PauseEnd\":[3,4],\"NumGC\":2,\"GCCPUFraction\":0.25,\"EnableGC\":true,\"BySize\":[{\"Size\":8,\"Mallocs\":3,\"Frees\":1}]},\n\"z\": {\"a\": 1}\n}\n";

    #[test]
    fn invalid_values_do_not_hide_the_others() {
        let vars = read(BODY.as_bytes()).unwrap();
        let names: Vec<&str> = vars.own.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["f", "k\0", "z"]);
        assert_eq!(vars.unreadable, 2);
        assert_eq!(vars.own[1].1.as_u64(), Some(7));
        let memstats = vars.memstats.unwrap();
        assert_eq!(memstats.next_gc, Some(u64::MAX));
        assert_eq!(memstats.last_gc_ns, Some(1_790_000_000_123_456_789));
        assert_eq!((memstats.pause_ns.len(), memstats.by_size.len()), (2, 1));
        assert_eq!(memstats.frees, None);
    }

    #[test]
    fn a_page_that_is_cut_or_is_none_is_refused() {
        assert_eq!(read(b"<html>"), Err(ExpvarError::NotJson));
        assert_eq!(read(b""), Err(ExpvarError::NotJson));
        for end in 1..BODY.len() - 2 {
            assert_eq!(read(&BODY.as_bytes()[..end]), Err(ExpvarError::Truncated), "{end}");
        }
    }
}
