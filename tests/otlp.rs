//! OTLP to those who take it: a real Collector, a real Prometheus 3.

use std::fs::File;

use tempfile::{NamedTempFile, TempDir};

use crate::support::certificates::Authority;
use crate::support::exporter::Exporter;
use crate::support::metrics::Page;
use crate::support::otlp::{Collector, Point};
use crate::support::prometheus::Prometheus;
use crate::support::service::Service;
use crate::support::wait::wait_until_or;

/// What is known of a service that has ended, so that it stays as it is: its trace, and one read of its
/// variables.
struct Ended {
    exporter: Exporter,
    _folder: TempDir,
}

impl Ended {
    fn pushing(otlp: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("stderr.log");
        let godebug = "gctrace=1,schedtrace=100";
        let service = Service::start(&[], godebug, File::create(&trace).unwrap());
        let config = format!(
            "services:\n  - name: shop\n    labels: {{team: a}}\n    trace: {{file: {}, from: beginning}}\n    \
             expvar: {{url: 'http://{}/debug/vars', interval: 1h}}\notlp: {otlp}\n",
            trace.display(),
            service.remote.address()
        );
        service.remote.control("alloc?mb=20");
        service.remote.control("gc?n=7");
        let exporter = Exporter::configured(&config);
        exporter.page_where("both sources were read", |page| {
            page.has("go_memstats_sys_bytes") && page.get("go_sched_samples_total") > Some(3.0)
        });
        Self { exporter, _folder: folder }
    }
}

/// The newest point of each stream.
fn newest(points: Vec<Point>) -> Vec<Point> {
    let mut by_stream = std::collections::BTreeMap::new();
    for point in points {
        by_stream.insert(point.stream(), point);
    }
    by_stream.into_values().collect()
}

/// How many values are the same as on the page, or what differs.
fn compared(points: &[Point], page: &Page) -> Result<usize, String> {
    let mut same = 0;
    let close = |a: f64, b: f64| (a - b).abs() <= f64::EPSILON * 4.0 * a.abs().max(b.abs());
    for point in points {
        let Some(series) = point.on_page() else { continue };
        let (name, labels) = series.split_once('{').unwrap();
        let expected = match point.count {
            None => vec![(series.clone(), point.value)],
            Some(count) => vec![
                (format!("{name}_count{{{labels}"), count as f64),
                (format!("{name}_sum{{{labels}"), point.value),
            ],
        };
        for (series, value) in expected {
            match page.get(&series) {
                Some(there) if close(there, value) => same += 1,
                there => {
                    return Err(format!("{series} is {there:?} on the page, and {value} by OTLP"));
                }
            }
        }
    }
    Ok(same)
}

/// Waits until what was taken last is what the page shows.
fn same_as_the_page(exporter: &Exporter, taken: impl Fn() -> Vec<Point>, log: impl Fn() -> String) {
    let compare = || {
        let points = newest(taken());
        compared(&points, &exporter.page()).map(|same| (same, points))
    };
    let said =
        || format!("{:?}\n{}\n{}", compare().map(|(same, _)| same), exporter.stderr.text(), log());
    let look = || compare().ok().filter(|(same, _)| *same > 0);
    let (same, points) = wait_until_or("OTLP says what the page says", look, said);
    let page = exporter.page();
    let on_page = page.to_string().lines().filter(|line| line.starts_with("go_")).count();
    let buckets = page.to_string().lines().filter(|line| line.contains("_bucket{")).count();
    // Those that have another form by OTLP: quantiles, and what is only a part of go.memory.used.
    assert!(
        same > 60 && same + 10 > on_page - buckets,
        "{same} of {on_page}, {buckets} of them buckets"
    );
    let used: f64 =
        points.iter().filter(|one| one.name == "go.memory.used").map(|one| one.value).sum();
    let all = page.value("go_memstats_sys_bytes") - page.value("go_memstats_heap_released_bytes");
    assert!((used - all).abs() < 0.5, "{used} {all}");
    let starts = points.iter().filter(|one| one.name == "godebug.sched.samples");
    assert!(
        starts.clone().count() > 0
            && starts.clone().all(|one| one.start_ns > 0 && one.start_ns < one.time_ns)
    );
    assert!(
        points
            .iter()
            .any(|one| one.service() == "godebug-exporter" && one.name == "process.memory.usage")
    );
    let shop = points.iter().find(|one| one.service() == "shop").unwrap();
    assert_eq!(shop.resource["team"], "a");
    assert_eq!(shop.resource["process.runtime.name"], "go");
}

fn collector_takes_all(protocol: &str, compression: &str, histograms: &str) {
    let collector = Collector::start("");
    let address = if protocol == "grpc" { collector.grpc } else { collector.http };
    let ended = Ended::pushing(&format!(
        "{{endpoint: 'http://{address}', protocol: {protocol}, compression: {compression}, histograms: {histograms}, interval: 1s}}"
    ));
    same_as_the_page(&ended.exporter, || collector.taken(), || collector.log());
}

#[test]
fn a_collector_takes_all_by_grpc() {
    collector_takes_all("grpc", "gzip", "exponential");
}

#[test]
fn a_collector_takes_all_by_grpc_uncompressed() {
    collector_takes_all("grpc", "none", "explicit");
}

#[test]
fn a_collector_takes_all_by_http() {
    collector_takes_all("http/protobuf", "gzip", "explicit");
}

#[test]
fn a_collector_takes_all_by_http_uncompressed() {
    collector_takes_all("http/protobuf", "none", "exponential");
}

#[test]
fn a_collector_that_wants_certificates() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, client) = (authority.signs(&["localhost", "127.0.0.1"]), authority.signs(&["us"]));
    let collector = Collector::start(&format!(
        "{{cert_file: '{}', key_file: '{}', client_ca_file: '{}'}}",
        server.cert,
        server.key,
        authority.file()
    ));
    let trace = NamedTempFile::new().unwrap();
    let start = |ca: &str, name: &str, protocol: &str, with_certificate: bool| {
        let address = if protocol == "grpc" { collector.grpc } else { collector.http };
        let flags = ["run", "--listen", "127.0.0.1:0", "--service", name, "--file"];
        let mut command = crate::support::exporter::command(flags);
        command
            .arg(trace.path())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("https://localhost:{}", address.port()))
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_CERTIFICATE", ca)
            .env("OTEL_METRIC_EXPORT_INTERVAL", "1000");
        if with_certificate {
            command
                .env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &client.cert)
                .env("OTEL_EXPORTER_OTLP_CLIENT_KEY", &client.key);
        }
        Exporter::start(command)
    };
    let ca = authority.file();
    let _good = [start(&ca, "by-grpc", "grpc", true), start(&ca, "by-http", "http/protobuf", true)];
    let bad = [
        (start(&ca, "nobody-1", "grpc", false), "tls_client_certificate"),
        (start(&ca, "nobody-2", "http/protobuf", false), "tls_client_certificate"),
        (start(&other.file(), "nobody-3", "grpc", true), "tls_unknown_authority"),
    ];
    for service in ["by-grpc", "by-http"] {
        let came =
            || collector.taken().iter().any(|point| point.service() == service).then_some(());
        wait_until_or(service, came, || collector.log());
    }
    for (exporter, reason) in bad {
        let failed = format!("godebug_exporter_otlp_errors_total{{reason=\"{reason}\"}}");
        exporter.page_where(&failed, |page| page.get(&failed) > Some(1.0));
        assert_eq!(exporter.log("warn").len(), 1, "{:?}", exporter.log("warn"));
    }
    assert!(!collector.taken().iter().any(|point| point.service().starts_with("nobody")));
}

#[test]
fn prometheus_3_takes_all() {
    let prometheus = Prometheus::taking_otlp();
    let endpoint = format!("http://{}/api/v1/otlp", prometheus.address());
    let ended = Ended::pushing(&format!("{{endpoint: '{endpoint}', interval: 1s}}"));
    let page = ended.exporter.page();
    let check = |query: &str, series: &str| {
        let expected = page.value(series);
        prometheus.wait(query, || (prometheus.query(query) == Some(expected)).then_some(()));
    };
    check("go_processor_limit{job=\"shop\"}", "go_sched_gomaxprocs_threads");
    check("go_memory_gc_goal_bytes", "go_memstats_next_gc_bytes");
    check("go_memory_allocated_bytes_total", "go_memstats_alloc_bytes_total");
    check("go_memory_used_bytes{go_memory_type=\"stack\"}", "go_memstats_stack_inuse_bytes");
    check("godebug_memstats_heap_alloc_bytes", "go_memstats_heap_alloc_bytes");
    check("histogram_count(godebug_gc_stw_seconds)", "go_gc_stw_seconds_count");
    check("godebug_gc_duration_seconds_count", "go_gc_duration_seconds_count");
    let cpu = "godebug_gc_cpu_time_seconds_total{phase=\"background\"}";
    check(cpu, "go_gc_cpu_seconds_total{phase=\"background\"}");
    prometheus.wait("our own", || prometheus.query("godebug_exporter_build_info"));
    let target = prometheus.results("target_info{job=\"shop\"}", None);
    assert_eq!(target[0]["metric"]["process_runtime_name"], "go", "{target:?}");
    let refused =
        ended.exporter.page().sum("godebug_exporter_otlp_points_total{fate=\"rejected\"}");
    assert!(refused.abs() < 0.5, "{}", ended.exporter.stderr.text());
}
