//! A real Prometheus between us and the answers.

use std::fmt::Write as _;

use tempfile::NamedTempFile;

use crate::support::exporter::Exporter;
use crate::support::go;
use crate::support::prometheus::Prometheus;
use crate::support::service::Remote;

#[test]
fn prometheus_answers_with_what_the_service_knows() {
    let flags = ["--godebug", "gctrace=1,schedtrace=100"];
    let exec = Exporter::exec_service(go::NEWEST, &flags, &[]);
    let service = Remote::announced_on(&exec.stdout);
    let prometheus = Prometheus::scraping(exec.address());
    prometheus.wait("up is 1", || (prometheus.query("up") == Some(1.0)).then_some(()));
    service.control("alloc?mb=50");
    service.control("gc?n=30");
    let truth = service.truth();
    prometheus.wait("the cycles are the service's NumGC", || {
        let cycles = f64::from(u32::try_from(service.truth().memstats("NumGC")).unwrap());
        (prometheus.query("sum(go_gc_cycles_total)") == Some(cycles)).then_some(())
    });
    let check = |query: &str, expected: f64| {
        assert_eq!(prometheus.query(query), Some(expected), "{query}");
    };
    check(
        "go_sched_gomaxprocs_threads",
        f64::from(u32::try_from(truth.get("GOMAXPROCS")).unwrap()),
    );
    check("go_gc_records_missed_total", 0.0);
    check("sum(godebug_exporter_records_malformed_total)", 0.0);
    check(
        "sum(go_gc_cycles_total) == bool ignoring(phase) sum(go_gc_phase_seconds_count{phase=\"mark\"})",
        1.0,
    );

    let marks = "go_gc_phase_seconds_bucket{phase=\"mark\"}";
    let quantile = prometheus.query(&format!("histogram_quantile(0.9, {marks})")).unwrap();
    assert!(quantile > 0.0 && quantile <= 10.0, "{quantile}");

    every_family_is_known(&exec, &prometheus);
}

/// Each family of our page has its type in Prometheus' metadata, and nothing was dropped. It asks for
/// OpenMetrics, where a counter's family has no `_total`.
fn every_family_is_known(exec: &Exporter, prometheus: &Prometheus) {
    let page = exec.page();
    let metadata = prometheus.api("/api/v1/metadata");
    for (family, kind) in page.types() {
        let (name, kind) = match kind.as_str() {
            "counter" => (family.trim_end_matches("_total"), "counter"),
            "gauge" if family.ends_with("_info") => (family.trim_end_matches("_info"), "info"),
            kind => (family.as_str(), kind),
        };
        assert_eq!(metadata[name][0]["type"], kind, "{family}: {}", metadata[name]);
        assert_ne!(metadata[name][0]["help"], "", "{family}");
    }
    assert!(page.types().len() > 40, "{page}");
    let samples = prometheus.query("scrape_samples_scraped").unwrap();
    assert_eq!(prometheus.query("scrape_samples_post_metric_relabeling"), Some(samples));
}

/// Pauses that a service made, in microseconds: from 10 to 10,000, evenly on a logarithmic scale.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "10 to 10,000")]
fn marks() -> Vec<u32> {
    (0..400).map(|n| (10.0 * 1000f64.powf(f64::from(n) / 399.0)).round() as u32).collect()
}

fn trace_of_marks() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    let mut trace = String::new();
    for (n, mark) in marks().iter().enumerate() {
        let (n, millis) = (n + 1, f64::from(*mark) / 1000.0);
        writeln!(trace, "gc {n} @{n}.000s 1%: 0.031+{millis}+0.048 ms clock, 0.063+0.12/0.26/0+0.097 ms cpu, 4->4->1 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P").unwrap();
    }
    std::fs::write(file.path(), trace).unwrap();
    file
}

fn read(trace: &NamedTempFile) -> Exporter {
    let path = trace.path().to_str().unwrap();
    let config = format!("services: [{{name: s, trace: {{file: {path}, from: beginning}}}}]");
    let exporter = Exporter::configured(&config);
    exporter.wait_for("go_gc_phase_seconds_count{phase=\"mark\"}", marks().len() as f64);
    exporter
}

/// What the server must know whatever the form it scraped.
fn check_values(prometheus: &Prometheus, form: &str) {
    let marks = marks();
    prometheus.wait(form, || (prometheus.query("up") == Some(1.0)).then_some(()));
    let check = |query: &str, expected: f64| {
        assert_eq!(prometheus.query(query), Some(expected), "{form}: {query}");
    };
    check("go_gc_cycles_total{kind=\"automatic\"}", marks.len() as f64);
    check("go_gc_records_missed_total", 0.0);
    check("count(godebug_exporter_build_info)", 1.0);
    let sum = prometheus.query("sum(rate(go_gc_cycles_total[1m]))");
    assert!(sum.is_none_or(|rate| rate >= 0.0), "{form}");
}

/// Exact quantiles of what was observed against those of a histogram whose buckets are so wide.
fn check_quantiles(prometheus: &Prometheus, series: &str, width: f64, form: &str) {
    let marks = marks();
    for percent in [5, 25, 50, 90, 99] {
        let q = percent as f64 / 100.0;
        let query = format!("histogram_quantile({q}, {series}{{phase=\"mark\"}})");
        let found = prometheus.query(&query).unwrap_or_else(|| panic!("{form}: no {query}"));
        let exact = f64::from(marks[marks.len() * percent / 100]) / 1e6;
        let off = (found / exact).max(exact / found);
        assert!(off <= width, "{form}: {query} is {found}, exactly {exact}");
    }
}

/// Ten octaves in at most 160 buckets: sixteen an octave.
const NATIVE_WIDTH: f64 = 1.0443 * 1.01;

#[test]
fn prometheus_3_takes_every_form_that_it_can_ask_for() {
    let trace = trace_of_marks();
    let exporter = read(&trace);
    for protocol in ["PrometheusText0.0.4", "PrometheusText1.0.0", "OpenMetricsText1.0.0"] {
        let keys = format!(", scrape_protocols: [{protocol}]");
        let prometheus = Prometheus::newest_scraping(exporter.address(), &keys);
        check_values(&prometheus, protocol);
        check_quantiles(&prometheus, "go_gc_phase_seconds_bucket", 2.6, protocol);
    }
    let native = ", scrape_protocols: [PrometheusProto], scrape_native_histograms: true";
    let prometheus = Prometheus::newest_scraping(exporter.address(), native);
    check_values(&prometheus, "protobuf");
    check_quantiles(&prometheus, "go_gc_phase_seconds", NATIVE_WIDTH, "protobuf");
    assert_eq!(prometheus.query("count(go_gc_phase_seconds_bucket)"), None, "natives alone");
    let count = prometheus.query("histogram_count(go_gc_phase_seconds{phase=\"mark\"})");
    assert_eq!(count, Some(marks().len() as f64));
    let sum = prometheus.query("histogram_sum(go_gc_phase_seconds{phase=\"mark\"})").unwrap();
    let exact = f64::from(marks().iter().sum::<u32>()) / 1e6;
    assert!((sum / exact - 1.0).abs() < 1e-9, "{sum} {exact}");
    let both = format!("{native}, always_scrape_classic_histograms: true");
    let prometheus = Prometheus::newest_scraping(exporter.address(), &both);
    check_values(&prometheus, "both kinds");
    check_quantiles(&prometheus, "go_gc_phase_seconds", NATIVE_WIDTH, "both kinds");
    check_quantiles(&prometheus, "go_gc_phase_seconds_bucket", 2.6, "both kinds");
}

#[test]
fn prometheus_2_takes_native_histograms() {
    let trace = trace_of_marks();
    let exporter = read(&trace);
    let prometheus = Prometheus::scraping_natives(exporter.address());
    check_values(&prometheus, "protobuf");
    check_quantiles(&prometheus, "go_gc_phase_seconds", NATIVE_WIDTH, "protobuf");
}
