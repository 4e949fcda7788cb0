//! docs/METRICS.md is what the catalogue says. After a change: `BLESS=1 tests/run.sh metrics_doc`.

use std::fmt::Write;

use godebug_exporter::aggregate::catalog::METRICS;
use godebug_exporter::model::metric::{NameSet, Since, unit};
use godebug_exporter::telemetry::metrics::Metrics;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md");

const HEAD: &str = "\
# Metrics

Written by a test from the catalogue (`src/aggregate/catalog.rs`, `src/telemetry/metrics.rs`); do not edit it here.

## Of the services

Each series carries `service`; one of several files of a pattern also `log`; then the service's own labels of the
config. The type is that of the Prometheus text format. In OpenMetrics a gauge ending in `_info` is of type info, and
`go_memstats_alloc_bytes_total` is unknown, because the gauge `go_memstats_alloc_bytes` has its family's name.
Histograms have classic buckets in the text formats, and native ones in protobuf: at most 160 from the first to the
last, at first 2.2 % wide (schema 5), wider where the values need it.

*Since* tells since when it counts (`_created` in OpenMetrics, created_timestamp in protobuf): *watching* is since the
exporter first watched the service, across restarts of either if it keeps state; *process* is since the service's
process began, and is exported only where the trace tells it for certain (schedtrace or gctrace lines that come as they
are printed). A histogram that a new release of the exporter had to begin anew has none. Of the services' own
variables, and of the metrics about the exporter, nothing is said.

*Collector*: its name with `metrics: {names: expvarreceiver}`: what the OpenTelemetry Collector's expvarreceiver has,
after the translation of its prometheus exporters, units included where they are wrong (`num_gc_bytes_total`). Its
`pause_total` and `last_pause` are not there: see `go_gc_duration_seconds`. All others keep their name.

The services' own variables are named by your rules, or `expvar_…` by their paths: docs/EXPVAR.md.

";

const OWN: &str = "
## About the exporter

| metric | type | unit | labels | meaning |
|---|---|---|---|---|
";

fn document() -> String {
    let mut text = HEAD.to_owned();
    text += "| metric | type | unit | labels | since | Collector | meaning, source |\n|---|---|---|---|---|---|---|\n";
    for desc in METRICS {
        let since = match desc.since {
            Since::Nothing => "",
            Since::Watching => "watching",
            Since::Process => "process",
        };
        let (collector, _) = desc.named(NameSet::ExpvarReceiver);
        let collector =
            if collector == desc.name { String::new() } else { format!("`{collector}`") };
        let (name, kind, help) = (desc.name, desc.kind.as_str(), cell(desc.help));
        let (unit, labels) = (unit(name).unwrap_or_default(), names(desc.labels));
        writeln!(
            text,
            "| `{name}` | {kind} | {unit} | {labels} | {since} | {collector} | {help} |"
        )
        .unwrap();
    }
    text += OWN;
    for own in Metrics::new().unwrap().described() {
        let kind = if own.name.ends_with("_total") { "counter" } else { "gauge" };
        let (unit, labels) = (unit(&own.name).unwrap_or_default(), names(&own.labels));
        let (name, help) = (&own.name, cell(&own.help));
        writeln!(text, "| `{name}` | {kind} | {unit} | {labels} | {help} |").unwrap();
    }
    text
}

fn names(labels: &[impl AsRef<str>]) -> String {
    labels.iter().map(|label| format!("`{}`", label.as_ref())).collect::<Vec<_>>().join(", ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn the_document_is_what_the_catalogue_says() {
    let expected = document();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(FILE, &expected).unwrap();
    }
    let found = std::fs::read_to_string(FILE).unwrap_or_default();
    let differs = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    assert!(found == expected, "run with BLESS=1 and look at what changed: {differs:#?}");
}

#[test]
fn every_help_names_its_source() {
    let sources = [
        "pprof",
        "expvar",
        "memstats",
        "schedtrace",
        "scheddetail",
        "gctrace",
        "gcpacertrace",
        "scavtrace",
        "inittrace",
        "checkfinalizers",
        "stderr",
        "goroutineleak",
        "leak detector",
        "trace",
        "uptime",
        "cgroup",
    ];
    let silent: Vec<&str> = METRICS
        .iter()
        .filter(|desc| {
            let help = desc.help.to_lowercase();
            !sources.iter().any(|source| help.contains(source))
        })
        .map(|desc| desc.name)
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}
