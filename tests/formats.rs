//! The forms of /metrics: each has the same values, and each is what its specification says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use godebug_exporter::aggregate::catalog::METRICS;
use godebug_exporter::config::file;
use godebug_exporter::export::accept;
use godebug_exporter::frame::packets::TraceLines;
use godebug_exporter::model::exposition::{Escaping, Format, Wanted};
use godebug_exporter::model::metric::Since;
use godebug_exporter::model::sink::TraceSink;
use godebug_exporter::pipeline::{Pipeline, services::Pipelines};
use godebug_exporter::telemetry::metrics::Metrics;

use crate::support::endpoint::{Behaviour, Endpoint};
use crate::support::exporter::Exporter;
use crate::support::http::{self, Answer};
use crate::support::metrics::Page;
use crate::support::open_metrics::{self, sample};
use crate::support::prometheus::check_page;
use crate::support::protobuf;
use crate::support::trace::RECORDED;

const VARS: &str = include_str!("fixtures/samples/go1.27-debug-vars.json");

const FORMATS: [Format; 5] =
    [Format::Text, Format::Text1, Format::OpenMetrics, Format::OpenMetrics0, Format::Protobuf];

/// Two services with equal labels that say the same.
fn two_services(more: &str) -> Pipelines {
    let labels = r#"labels: {team: "a \"b\" \\c\n"}"#;
    let service = |name: &str| {
        format!(
            "{{name: {name}, {labels}, trace: {{file: /nowhere/{name}}}, expvar: {{url: 'http://h/', by_size: true}}}}"
        )
    };
    let text = format!("{more}services: [{}, {}]", service("a"), service("b"));
    let config = file::read(&text).unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let pipelines: Vec<Arc<Pipeline>> = config
        .services
        .iter()
        .map(|service| Pipeline::new(service, Arc::clone(&metrics), TraceLines::Keep))
        .collect();
    let own = r#""requests": 7, "big": 9007199254740993, "load": -0.25, "#;
    let vars = VARS.replacen('{', &format!("{{{own}"), 1);
    for pipeline in &pipelines {
        pipeline.sink().bytes(RECORDED.as_bytes());
        pipeline.expvar(vars.as_bytes()).unwrap();
    }
    Pipelines::new(pipelines, metrics, config.exposition)
}

type Lines = BTreeMap<(String, String), f64>;

/// Of our own process they change from one page to the next.
fn lines(all: impl IntoIterator<Item = (String, String, f64)>) -> Lines {
    let mut lines = Lines::new();
    for (name, labels, value) in all {
        if !name.starts_with("process_") && !name.ends_with("_created") {
            let before = lines.insert((name.clone(), labels.clone()), value);
            assert_eq!(before, None, "{name}{{{labels}}} is there twice");
        }
    }
    lines
}

fn page(pipelines: &Pipelines, format: Format) -> Vec<u8> {
    pipelines.write_page(&Wanted { format, ..Wanted::default() }, &mut |_| {}).unwrap()
}

#[track_caller]
fn assert_same(expected: &Lines, found: &Lines) {
    for (series, value) in expected {
        let other = found.get(series).unwrap_or_else(|| panic!("{series:?} is missing"));
        assert!(value == other || value.is_nan() && other.is_nan(), "{series:?}: {value} {other}");
    }
    assert_eq!(expected.len(), found.len());
}

#[test]
fn every_form_has_the_same_series_and_values() {
    let pipelines = two_services("");
    let text = String::from_utf8(page(&pipelines, Format::Text)).unwrap();
    let types = Page::read(&text).types().clone();
    let expected = lines(text.lines().filter(|line| !line.starts_with('#')).map(sample));
    assert!(expected.len() > 2 * 150, "{} lines", expected.len());

    let open = String::from_utf8(page(&pipelines, Format::OpenMetrics)).unwrap();
    let open = open_metrics::families(&open);
    assert_same(&expected, &lines(open.values().flat_map(|family| family.lines.clone())));

    let proto = protobuf::families(&page(&pipelines, Format::Protobuf));
    assert_same(&expected, &lines(proto.iter().flat_map(|family| family.lines.clone())));
    assert_eq!(proto.len(), types.len());
    let kinds = ["counter", "gauge", "summary", "untyped", "histogram"];
    for family in &proto {
        assert_eq!(types[&family.name], kinds[family.kind], "{}", family.name);
        assert!(!family.help.is_empty());
    }
    check_units_and_types(&open, &proto);
    check_created(&open, &proto);
}

fn check_units_and_types(
    open: &BTreeMap<String, open_metrics::Family>,
    proto: &[protobuf::Family],
) {
    for (name, kind, unit) in [
        ("go_gc_cpu_seconds", "counter", Some("seconds")),
        ("go_gc_phase_seconds", "histogram", Some("seconds")),
        ("go_memstats_alloc_bytes", "gauge", Some("bytes")),
        // Its name without _total is the gauge's above.
        ("go_memstats_alloc_bytes_total", "unknown", None),
        ("go_version_range", "info", None),
        ("godebug_exporter_build", "info", None),
        ("expvar_requests", "unknown", None),
        ("go_gc_duration_seconds", "summary", Some("seconds")),
    ] {
        let family = &open[name];
        assert_eq!((family.kind.as_str(), family.unit.as_deref()), (kind, unit), "{name}");
        assert!(!family.help.is_empty());
    }
    let phases = proto.iter().find(|family| family.name == "go_gc_phase_seconds").unwrap();
    assert_eq!(phases.unit.as_deref(), Some("seconds"));
    assert_eq!(phases.native.len(), 6);
    for (labels, native) in &phases.native {
        assert!((1..=5).contains(&native.schema) && !native.buckets.is_empty(), "{labels}");
    }
}

/// What we count has the moment when we began to look; nothing tells when the recorded process began.
fn check_created(open: &BTreeMap<String, open_metrics::Family>, proto: &[protobuf::Family]) {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let mut checked = 0;
    for family in proto {
        let desc = METRICS.iter().find(|desc| desc.name == family.name);
        let is_ours = desc.is_some_and(|desc| desc.since == Since::Watching);
        assert_eq!(!family.created.is_empty(), is_ours, "{}", family.name);
        let Some(in_open) = open.get(family.name.trim_end_matches("_total")) else { continue };
        for (labels, created) in &family.created {
            assert!((now - 300.0..=now).contains(created), "{}", family.name);
            let is_it = |(name, its, _): &&(String, String, f64)| {
                name.ends_with("_created") && its == labels
            };
            let (_, _, other) = in_open.lines.iter().find(is_it).expect("a line _created");
            assert!((created - other).abs() < 0.002, "{}: {created} {other}", family.name);
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn promtool_finds_nothing_wrong_with_the_text_forms() {
    let pipelines = two_services("");
    for format in [Format::Text, Format::Text1] {
        check_page(std::str::from_utf8(&page(&pipelines, format)).unwrap());
    }
}

fn get(exporter: &Exporter, path: &str, headers: &str) -> Answer {
    http::request_with("GET", exporter.address(), path, headers).unwrap()
}

#[test]
fn a_client_gets_the_form_and_compression_it_asks_for() {
    let exporter = Exporter::run(&["--service", "s", "--stdin"]);
    let plain = get(&exporter, "/metrics", "");
    assert_eq!(plain.header("vary"), Some("Accept, Accept-Encoding"));
    assert_eq!(plain.header("content-encoding"), None);
    for format in FORMATS {
        let kind = accept::content_type(format, Some(Escaping::AllowUtf8));
        for coding in ["gzip", "zstd"] {
            let headers = format!("Accept: {kind}\r\nAccept-Encoding: {coding}\r\n");
            let answer = get(&exporter, "/metrics", &headers);
            assert_eq!(answer.header("content-type"), Some(kind.as_str()));
            assert_eq!(answer.header("content-encoding"), Some(coding));
            let mut page = Vec::new();
            match coding {
                "gzip" => flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut page),
                _ => {
                    zstd::stream::read::Decoder::new(&*answer.body).unwrap().read_to_end(&mut page)
                }
            }
            .unwrap();
            let is_there = |name: &str| page.windows(name.len()).any(|at| at == name.as_bytes());
            assert!(is_there("go_sched_samples") && page.len() > answer.body.len());
        }
        let head = http::request_with(
            "HEAD",
            exporter.address(),
            "/metrics",
            &format!("Accept: {kind}\r\n"),
        );
        let head = head.unwrap();
        assert_eq!(head.header("content-type"), Some(kind.as_str()));
        let length: usize = head.header("content-length").unwrap().parse().unwrap();
        assert!(length > 1000, "{length}");
    }
}

#[test]
fn families_and_services_are_left_out_as_asked() {
    let config =
        "services: [{name: a, trace: {file: /nowhere/a}}, {name: b/c, trace: {file: /nowhere/b}}]";
    let exporter = Exporter::configured(config);
    let names = |query: &str| {
        let answer = get(&exporter, &format!("/metrics?{query}"), "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = Page::read(answer.text());
        let mut names: Vec<String> = page.types().keys().cloned().collect();
        names.sort();
        (names, page)
    };
    let (all, _) = names("");
    let (few, page) =
        names("name[]=go_panics&name%5B%5D=go_gc_phase_seconds_bucket&name[]=nothing");
    assert_eq!(few, ["go_gc_phase_seconds", "go_panics_total"]);
    assert!(page.has("go_panics_total{service=\"a\"}"));
    assert!(page.has("go_gc_phase_seconds_sum{service=\"b/c\",phase=\"mark\"}"));
    let (of_one, page) = names("service=b%2Fc");
    assert!(of_one.len() < all.len() && of_one.len() > 30);
    assert!(
        !page.has("go_panics_total{service=\"a\"}") && page.has("go_panics_total{service=\"b/c\"}")
    );
    assert!(!page.has("godebug_exporter_build_info"), "it is of no service");
    assert!(page.has("godebug_exporter_source_up{service=\"b/c\"}"));
    let (both, _) = names("service=a&service=b/c&name[]=go_panics_total");
    assert_eq!(both, ["go_panics_total"]);
    for (query, status, text) in [
        ("service=z", 404, "there is no service \"z\"\n"),
        ("service=%", 400, "percent"),
        ("name[]=", 400, "value"),
    ] {
        let answer = get(&exporter, &format!("/metrics?{query}"), "");
        assert_eq!(answer.status, status, "{query}");
        assert!(answer.text().contains(text), "{query}: {}", answer.text());
    }
}

#[test]
fn those_who_come_from_the_collector_keep_the_names_of_memstats() {
    let pipelines = two_services("metrics: {names: expvarreceiver}\n");
    let (page, default) = (pipelines.page(), two_services("").page());
    let page = Page::read(std::str::from_utf8(&page).unwrap());
    let default = Page::read(std::str::from_utf8(&default).unwrap());
    for (theirs, ours, kind) in [
        ("process_runtime_memstats_heap_alloc_bytes", "go_memstats_heap_alloc_bytes", "gauge"),
        ("process_runtime_memstats_mallocs_total", "go_memstats_mallocs_total", "counter"),
        ("process_runtime_memstats_lookups", "go_memstats_lookups_total", "gauge"),
        (
            "process_runtime_memstats_num_gc_bytes_total",
            "go_gc_cycles_total_gc_cycles_total",
            "counter",
        ),
        ("go_panics_total", "go_panics_total", "counter"),
    ] {
        assert_eq!(page.types()[theirs], kind);
        let of_a = |name: &str| format!("{name}{{service=\"a\"}}");
        assert_eq!(page.value(&of_a(theirs)), default.value(&of_a(ours)), "{theirs}");
        assert!(theirs == ours || !page.has(ours), "{ours}");
    }
}

/// A page of any form, however it is packed.
fn read(format: Format, coding: &str, answer: &Answer) -> Lines {
    assert_eq!(answer.status, 200);
    let mut page = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut page),
        "zstd" => zstd::stream::read::Decoder::new(&*answer.body).unwrap().read_to_end(&mut page),
        _ => (&*answer.body).read_to_end(&mut page),
    }
    .unwrap();
    if format == Format::Protobuf {
        let families = protobuf::families(&page);
        let names: BTreeSet<&String> = families.iter().map(|family| &family.name).collect();
        assert_eq!(names.len(), families.len(), "a family is there twice");
        return lines(families.iter().flat_map(|family| family.lines.clone()));
    }
    let text = String::from_utf8(page).unwrap();
    if matches!(format, Format::OpenMetrics | Format::OpenMetrics0) {
        let families = open_metrics::families(&text);
        return lines(families.values().flat_map(|family| family.lines.clone()));
    }
    lines(text.lines().filter(|line| !line.starts_with('#')).map(sample))
}

/// What has the same origin is of the same moment. Gives the moment: the number of GC cycles.
fn check_moment(page: &Lines) -> f64 {
    let value = |name: &str, labels: &str| {
        let key = (name.to_owned(), labels.replace('\'', "\""));
        *page.get(&key).unwrap_or_else(|| panic!("{key:?} is missing"))
    };
    let cycles = value("go_gc_cycles_total", "service='s',kind='automatic'");
    for (name, labels, expected) in [
        ("go_gc_phase_seconds_count", "service='s',phase='mark'", cycles),
        ("go_gc_phase_seconds_bucket", "service='s',phase='mark',le='+Inf'", cycles),
        ("go_gc_stw_seconds_count", "service='s'", cycles),
        ("go_gc_interval_seconds_count", "service='s'", (cycles - 1.0).max(0.0)),
        // Ours, which tell of the same lines.
        ("godebug_exporter_records_total", "kind='gc',service='s'", cycles),
    ] {
        assert_eq!(value(name, labels), expected, "{name}{{{labels}}}");
    }
    let read = value("expvar_a", "service='v'");
    assert_eq!(value("expvar_b", "service='v'"), read);
    assert_eq!(value("go_memstats_heap_alloc_bytes", "service='v'"), read);
    assert_eq!(value("go_memstats_sys_bytes", "service='v'"), read);
    cycles
}

#[test]
fn no_page_mixes_two_moments_or_has_a_series_twice() {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let endpoint = Endpoint::start(Behaviour::Body(variables(0)));
    // Others, so that a page takes a while.
    let others = (0..50).map(|n| format!("- {{name: other-{n}, trace: {{file: /nowhere/{n}}}}}\n"));
    let exporter = Exporter::configured(&format!(
        "services:\n- {{name: s, trace: {{file: {}, from: beginning}}}}\n\
         - {{name: v, expvar: {{url: 'http://{}/', interval: scrape, max_age: 0s}}}}\n{}",
        trace.path().display(),
        endpoint.address,
        others.collect::<String>()
    ));
    exporter.page_where("both are there", |page| page.has("expvar_a"));
    let address = exporter.address();
    let (stop, cycles) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let cycle = cycles.fetch_add(1, Ordering::Relaxed) + 1;
                collect_once(&mut trace.as_file(), cycle);
                endpoint.behave(Behaviour::Body(variables(cycle)));
                std::thread::yield_now();
            }
        });
        let scrape = || {
            let mut moments = BTreeSet::new();
            for _ in 0..2 {
                for format in FORMATS {
                    for coding in ["identity", "gzip", "zstd"] {
                        let kind = accept::content_type(format, None);
                        let headers = format!("Accept: {kind}\r\nAccept-Encoding: {coding}\r\n");
                        let answer = http::request_with("GET", address, "/metrics", &headers);
                        let page = read(format, coding, &answer.unwrap());
                        moments.insert(check_moment(&page).to_bits());
                    }
                }
            }
            moments.len()
        };
        // Two at a time, as a pair of Prometheus does it.
        let other = scope.spawn(scrape);
        let moments = std::panic::catch_unwind(std::panic::AssertUnwindSafe(scrape));
        let others = other.join();
        stop.store(true, Ordering::Relaxed);
        let (moments, others) = (moments.unwrap(), others.unwrap());
        assert!(moments > 10 && others > 10, "the pages were of {moments}, {others} moments only");
    });
}

fn collect_once(mut trace: impl Write, cycle: u64) {
    let seconds = cycle as f64 / 100.0;
    writeln!(
        trace,
        "gc {cycle} @{seconds:.3}s 1%: 0.01+1.5+0.02 ms clock, 0.02+0.1/0.2/0.3+0.04 ms cpu, 4->5->2 MB, 5 MB goal, 2 P"
    )
    .unwrap();
}

fn variables(n: u64) -> String {
    format!(r#"{{"a": {n}, "memstats": {{"HeapAlloc": {n}, "Sys": {n}}}, "b": {n}}}"#)
}
