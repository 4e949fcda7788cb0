//! `aggregate::variables`: any rules and any pages give a page of metrics that Prometheus takes, through
//! restarts of the service and of ourselves.

use std::sync::{Arc, OnceLock};

use godebug_exporter::config::file;
use godebug_exporter::export::variables::variables;
use godebug_exporter::frame::packets::TraceLines;
use godebug_exporter::pipeline::Pipeline;
use godebug_exporter::state::store::Outlives;
use godebug_exporter::telemetry::metrics::Metrics;

/// Before the rules, so that they stand where the keys of expvar do.
const HEAD: &str = "services:\n- name: s\n  labels: {team: a}\n  expvar:\n    url: http://h\n";

/// Made once: they are many.
static METRICS: OnceLock<Arc<Metrics>> = OnceLock::new();

/// Between the rules and the pages.
const BORDER: u8 = 0;

pub fn run(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == BORDER);
    let Some(Ok(keys)) = parts.next().map(std::str::from_utf8) else { return };
    let keys: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    let Ok(mut config) = file::read(&format!("{HEAD}{keys}")) else { return };
    let service = config.services.remove(0);
    let new = || {
        let make = || Arc::new(Metrics::new().expect("the names are right"));
        Pipeline::new(&service, Arc::clone(METRICS.get_or_init(make)), TraceLines::Keep)
    };
    let mut pipeline = new();
    for body in parts {
        let _read = pipeline.expvar(body);
        let Some(snapshot) = pipeline.snapshot() else { continue };
        let mut page = Vec::new();
        variables(&mut page, &[snapshot]);
        crate::page::check(&page);
        let saved = pipeline.save(Outlives::Us).expect("it can be saved").expect("it has changed");
        pipeline = new();
        pipeline.restore(&saved.bytes).expect("what we saved can be read");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let page = br#"{"http.codes": {"200": 7, "503": 1}, "sizes": [1, 2, 3], "lat": {"0.1": 1, "+Inf": 4, "sum": 2.5}, "took": 15e6, "v": "1.4", "on": true, "users": {"a": 1, "b": 2, "c": 3}}"#;
    let later = br#"{"http.codes": {"200": 9, "404": 1}, "sizes": [2, 2, 3], "took": "1m30s", "users": {"c": 4, "d": 1}, "x": NaN}"#;
    let rules: &[&str] = &[
        "",
        "vars: 'mem:took,duration:took,str:v,http\\.codes.200'",
        "rules:\n- {path: 'http.codes.{code}', name: responses, type: counter, labels: {a: b}, max_series: 1}\n- {path: sizes, type: histogram, buckets: [1, 10], unit: kB}\n- {path: lat, name: lat, type: histogram, cumulative: true}",
        "max_variables: 3\nmax_depth: 2\nrules:\n- {path: '{x}.{y}', name: 'n_{x}', type: counter, max_series: 2}\n- {path: 'v', type: info}\n- {path: 'took', unit: ns, scale: 0.5}\n- {path: '**', drop: true}",
        "rules:\n- {path: '{a}.{b}', name: '{a}', labels: {'{b}': '{a}'}}\n- {path: '*', type: gauge}",
    ];
    rules.iter().map(|rules| [rules.as_bytes(), page, later, page].join(&BORDER)).collect()
}
