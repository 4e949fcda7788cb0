//! A real Prometheus between us and the answers.

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

/// Each family of our page has its type in Prometheus' metadata, and nothing was dropped.
fn every_family_is_known(exec: &Exporter, prometheus: &Prometheus) {
    let page = exec.page();
    let metadata = prometheus.api("/api/v1/metadata");
    for (family, kind) in page.types() {
        assert_eq!(metadata[family][0]["type"], kind.as_str(), "{family}: {}", metadata[family]);
        assert_ne!(metadata[family][0]["help"], "", "{family}");
    }
    assert!(page.types().len() > 40, "{page}");
    let samples = prometheus.query("scrape_samples_scraped").unwrap();
    assert_eq!(prometheus.query("scrape_samples_post_metric_relabeling"), Some(samples));
}
