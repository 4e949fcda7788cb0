//! What expvarmon takes with `-vars`: `mem:cache.Size,duration:Response.Mean,str:version,requests`
//! (<https://github.com/divan/expvarmon>).

use super::fields::nearest;
use crate::model::variable::pattern::Pattern;
use crate::model::variable::rule::{Export, Rule, SERIES_MAX, Target};
use crate::model::variable::template::Template;
use crate::model::variable::unit::Conversion;

/// Fields of runtime.MemStats, all of which have series of their own already.
const MEMSTATS: [&str; 32] = [
    "Alloc",
    "TotalAlloc",
    "Sys",
    "Lookups",
    "Mallocs",
    "Frees",
    "HeapAlloc",
    "HeapSys",
    "HeapIdle",
    "HeapInuse",
    "HeapReleased",
    "HeapObjects",
    "StackInuse",
    "StackSys",
    "MSpanInuse",
    "MSpanSys",
    "MCacheInuse",
    "MCacheSys",
    "BuckHashSys",
    "GCSys",
    "OtherSys",
    "NextGC",
    "LastGC",
    "PauseTotalNs",
    "PauseNs",
    "PauseEnd",
    "NumGC",
    "NumForcedGC",
    "GCCPUFraction",
    "EnableGC",
    "DebugGC",
    "BySize",
];

/// Reads one of them. `None`: it is one of memstats.
pub(super) fn rule(spec: &str) -> Result<Option<Rule>, String> {
    let (kind, path) = spec.split_once(':').unwrap_or(("", spec));
    let (to, unit) = match kind {
        "" => (Target::Inferred, None),
        "mem" => (Target::Inferred, Some("B")),
        "duration" => (Target::Inferred, Some("ns")),
        "str" => (Target::Info, None),
        _ => return Err(format!("{spec:?}: the kind must be mem, duration or str")),
    };
    if let Some(field) = path.strip_prefix("memstats.") {
        return match nearest(field, &MEMSTATS) {
            _ if MEMSTATS.contains(&field) => Ok(None),
            Some(near) => Err(format!("{spec:?}: memstats has no {field}; did you mean {near}?")),
            None => Err(format!("{spec:?}: memstats has no {field}")),
        };
    }
    let pattern = Pattern::plain(path).map_err(|what| format!("{spec:?}: {what}"))?;
    let labels = match to {
        Target::Info => vec![(Template::fixed("value"), Template::value())],
        _ => Vec::new(),
    };
    let export = Export {
        name: None,
        to,
        labels,
        help: format!("Variable {path} of /debug/vars.").into(),
        conversion: Conversion::new(unit.map(str::parse).transpose()?, None),
        max_series: SERIES_MAX,
    };
    Ok(Some(Rule { pattern, export: Some(Box::new(export)) }))
}
