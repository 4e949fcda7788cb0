//! Everything that GODEBUG can switch on at once, of real services: under `exec` beside a busy
//! log, and into a file.

use std::fs::File;

use serde_json::Value;

use crate::support::exporter::{Exporter, is_own_log, output};
use crate::support::go;
use crate::support::metrics::Page;
use crate::support::service::{Remote, Service, Truth};
use crate::support::wait::wait_until_or;

const GODEBUG: &str = "gctrace=2,gcpacertrace=1,scavtrace=1,inittrace=1,checkfinalizers=1,schedtrace=50,scheddetail=1";

/// Log lines beside the traces, at so many a second.
const LINES: u64 = 2000;
const RATE: &str = "2000";

/// Between a line of the scavenger and the truth the service allocates again.
const TAKEN_BACK: f64 = 16.0 * 1024.0 * 1024.0;

mod exec_reads_every_line_and_strips_them_all {
    on_each_release!(super::under_exec);
}

mod a_file_tells_the_same_as_the_service {
    on_each_release!(super::from_a_file);
}

fn minor(version: &str) -> u8 {
    version.strip_prefix("1.").unwrap().parse().unwrap()
}

fn under_exec(version: &str) {
    let count = LINES.to_string();
    let arguments = ["-logger", "json", "-log", RATE, "-count", &count];
    let mut exec = Exporter::exec_service(version, &["--godebug", GODEBUG], &arguments);
    let service = Remote::announced_on(&exec.stdout);
    while service.truth().get("LinesLogged") < LINES {
        service.control("alloc?mb=40");
        service.control("gc?n=1");
        service.control("free?n=1");
    }
    let (truth, page) = settled(&exec, service);
    for counter in [
        "go_gc_records_missed_total",
        "godebug_exporter_records_malformed_total",
        "godebug_exporter_records_lost_total",
        "godebug_exporter_unknown_forms_total",
    ] {
        assert_eq!(page.sum(counter), 0.0, "{counter}\n{page}");
    }
    has_each_metric(version, &page);
    scavenged(&truth, &page);
    has_range(version, &page);

    assert_eq!(exec.stop().code(), Some(0), "{}", exec.stderr.text());
    let stderr = exec.stderr.text();
    let numbers: Vec<u64> =
        stderr.lines().filter(|line| !is_own_log(line)).map(number_of).collect();
    assert_eq!(numbers, (1..=LINES).collect::<Vec<_>>());
}

/// A log line's number; nothing but the service's JSON may be left.
fn number_of(line: &str) -> u64 {
    let json: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
    json["n"].as_u64().unwrap()
}

/// Waits until the page tells of as many cycles as the service has had.
fn settled(exec: &Exporter, service: Remote) -> (Truth, Page) {
    wait_until_or(
        "the GC cycles on the page are the service's NumGC",
        || {
            let (truth, page) = (service.truth(), exec.page());
            let cycles = truth.memstats("NumGC") as f64;
            (page.sum("go_gc_cycles_total") == cycles).then_some((truth, page))
        },
        || exec.page().to_string(),
    )
}

fn has_each_metric(version: &str, page: &Page) {
    let scan = minor(version) >= 25;
    for (metric, expected) in [
        ("go_gc_pacer_cpu_ratio_count", true),
        ("go_gc_pacer_assist_ratio", true),
        (r#"go_gc_pacer_scan_bytes_total{area="heap"}"#, true),
        ("go_scavenger_heap_in_use_ratio", true),
        ("go_init_done_seconds", true),
        (r#"go_gc_scanned_objects_total{size_class="16"}"#, scan),
        (r#"go_gc_finalizer_queue_functions{kind="cleanup"}"#, scan),
    ] {
        assert_eq!(page.has(metric), expected, "{metric}\n{page}");
    }
    let pacer = page.value(r#"godebug_exporter_records_total{kind="pacer"}"#);
    assert!(pacer >= page.sum("go_gc_cycles_total"), "{page}");
    let init = page.value(r#"go_init_seconds_total{package="other"}"#);
    assert!(init > 0.0 && page.value("go_init_done_seconds") < 60.0, "{page}");
    assert!(page.value(r#"godebug_exporter_records_total{kind="init"}"#) > 20.0, "{page}");
}

/// The service's own figure of what is released is the last line's.
fn scavenged(truth: &Truth, page: &Page) {
    // Which of the scavengers was first is the runtime's affair.
    let released = page.sum("go_scavenger_released_bytes_total");
    let (ours, theirs) =
        (page.value("go_memstats_heap_released_bytes"), truth.memstats("HeapReleased") as f64);
    assert!(released > 0.0, "{page}");
    assert!((ours - theirs).abs() < TAKEN_BACK, "{ours} {theirs}");
}

/// The range of releases has the service's own, and is as narrow as the forms allow; goroutines
/// of a newer kind may have been seen or not.
fn has_range(version: &str, page: &Page) {
    let (lowest, max) = match minor(version) {
        19 => (18, "1.19"),
        21..=24 => (21, "1.25"),
        _ => (26, "1.27+"),
    };
    let fits = |min: u8| {
        let range = format!("go_version_range_info{{min=\"1.{min}\",max=\"{max}\"}}");
        page.get(&range) == Some(1.0)
    };
    assert!((lowest..=minor(version)).any(fits), "{page}");
}

fn from_a_file(version: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr");
    let service = Service::of(version, &[], GODEBUG, File::create(&path).unwrap());
    service.remote.control("alloc?mb=60");
    service.remote.control("gc?n=5");
    service.remote.control("free?n=2");
    let truth = service.remote.truth();
    drop(service);
    let output = output(&["parse", path.to_str().unwrap()]);
    let records: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = String::from_utf8(output.stderr).unwrap();
    let count = |kind: &str, key: &str, value: &str| {
        let is_it =
            |record: &&Value| record["kind"] == kind && (key.is_empty() || record[key] == value);
        records.iter().filter(is_it).count() as u64
    };
    let cycles = truth.memstats("NumGC");
    assert_eq!(count("gc", "", ""), cycles, "{summary}");
    assert_eq!(count("pacer", "event", "assist_ratio"), cycles, "{summary}");
    let scans = if minor(version) >= 25 { cycles } else { 0 };
    assert_eq!(count("gc_scan", "scope", "total"), scans, "{summary}");
    assert_eq!(count("finalizer_queue", "", ""), scans, "{summary}");
    let objects = |scope: &[&str]| -> u64 {
        let scopes = |record: &&Value| scope.iter().any(|scope| record["scope"] == *scope);
        records.iter().filter(scopes).map(|record| record["objects"].as_u64().unwrap()).sum()
    };
    assert_eq!(objects(&["total"]), objects(&["class", "large"]), "{summary}");
    let forced = |record: &&Value| record["kind"] == "scavenge" && record["forced"] == true;
    assert_eq!(records.iter().filter(forced).count(), 2, "{summary}");
    for (kind, line) in summary.lines().filter_map(|line| line.split_once(": ")) {
        assert!(
            line.contains(" 0 malformed, 0 lost, 0 of unknown form") || kind == "sched_detail",
            "{summary}"
        );
    }
}

/// With no more than what `exec` asks for itself.
#[test]
fn the_writes_of_gctrace_tell_the_release() {
    let exec = Exporter::exec_service(go::NEWEST, &[], &[]);
    let service = Remote::announced_on(&exec.stdout);
    service.control("gc?n=3");
    exec.wait_for(r#"go_version_range_info{min="1.26",max="1.27+"}"#, 1.0);
}
