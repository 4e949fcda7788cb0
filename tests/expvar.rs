//! /debug/vars of real services, and of endpoints that answer anything but that.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use crate::support::endpoint::{Behaviour, Endpoint};
use crate::support::exporter::Exporter;
use crate::support::metrics::Page;
use crate::support::service::Service;
use crate::support::{http, ports};

const SUCCESS: &str = "godebug_exporter_scrape_success";
/// Long enough for what answers, on a busy machine too.
const LIMITS: &str = "interval: scrape, max_age: 0s, timeout: 30s, max_body: 64KiB";
/// For what never answers.
const IMPATIENT: &str = "interval: scrape, max_age: 0s, timeout: 500ms, max_body: 64KiB";

/// An exporter that reads one endpoint whenever its own page is read.
fn reading(address: impl std::fmt::Display) -> Exporter {
    reading_within(address, LIMITS)
}

fn reading_within(address: impl std::fmt::Display, limits: &str) -> Exporter {
    let exporter = Exporter::configured(&format!(
        "services: [{{name: s, expvar: {{url: 'http://{address}/debug/vars', {limits}}}}}]\n"
    ));
    exporter.address();
    exporter
}

mod memstats_agree_with_the_service {
    on_each_release!(super::memstats_agree);
}

/// The service's own figures only rise: ours lie between those of just before and just after.
fn memstats_agree(version: &str) {
    let address = ports::free().to_string();
    let exporter = reading(&address);
    let service = Service::of(version, &["-addr", &address], "", std::process::Stdio::null());
    service.remote.control("alloc?mb=30");
    service.remote.control("gc?n=50");
    let before = service.remote.truth();
    let page = exporter.page();
    let after = service.remote.truth();
    for (series, field) in [
        ("go_memstats_alloc_bytes_total", "TotalAlloc"),
        ("go_memstats_mallocs_total", "Mallocs"),
        ("go_memstats_frees_total", "Frees"),
        ("go_memstats_sys_bytes", "Sys"),
        ("go_gc_cycles_total_gc_cycles_total", "NumGC"),
        ("go_gc_cycles_forced_gc_cycles_total", "NumForcedGC"),
        ("go_gc_duration_seconds_count", "NumGC"),
    ] {
        let ours: u64 = page.raw(series).unwrap().parse().unwrap();
        let (least, most) = (before.memstats(field), after.memstats(field));
        assert!((least..=most).contains(&ours), "{series}: {least} {ours} {most}");
    }
    assert_eq!(page.value("go_memstats_next_gc_bytes"), whole(before.memstats("NextGC")));
    assert_eq!(page.value(SUCCESS), 1.0);
    every_pause_is_counted(&page);
    // The service has NaN and worse among its variables, which makes its page invalid JSON.
    assert!(
        serde_json::from_str::<Value>(&http::body(service.remote.address(), "/debug/vars"))
            .is_err()
    );
}

fn whole(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap())
}

/// We were there before the service, so every pause is ours.
fn every_pause_is_counted(page: &Page) {
    let cycles = page.value("go_gc_cycles_total_gc_cycles_total");
    assert_eq!(page.value("go_gc_stw_seconds_count"), cycles, "{page}");
    assert_eq!(page.value("go_gc_pauses_missed_total"), 0.0);
    let (ours, theirs) =
        (page.value("go_gc_stw_seconds_sum"), page.value("go_gc_duration_seconds_sum"));
    assert!((ours - theirs).abs() <= 1e-6 * theirs, "{ours} {theirs}");
}

#[test]
fn pauses_that_left_the_ring_between_two_reads_are_missed_and_counted() {
    let address = ports::free().to_string();
    let exporter = reading(&address);
    let service = Service::start(&["-addr", &address], "", std::process::Stdio::null());
    service.remote.control("gc?n=10");
    let first = exporter.page();
    every_pause_is_counted(&first);
    service.remote.control("gc?n=300");
    let second = exporter.page();
    let cycles = |page: &Page| page.value("go_gc_cycles_total_gc_cycles_total");
    let missed = cycles(&second) - cycles(&first) - 256.0;
    assert!(missed >= 44.0, "{missed}");
    assert_eq!(second.value("go_gc_pauses_missed_total"), missed);
    assert_eq!(second.value("go_gc_stw_seconds_count"), cycles(&second) - missed);
}

#[test]
fn a_restart_of_the_service_is_seen_and_its_pauses_are_counted_on() {
    let address = ports::free().to_string();
    let exporter = reading(&address);
    let mut pauses = 0.0;
    for restarts in 0..3_u32 {
        let service = Service::start(&["-addr", &address], "", std::process::Stdio::null());
        // More each time: the number of cycles alone would not tell.
        service.remote.control(&format!("gc?n={}", 5 * (restarts + 1)));
        let page = exporter.page();
        pauses += page.value("go_gc_cycles_total_gc_cycles_total");
        assert_eq!(page.value("go_process_starts_total"), f64::from(restarts));
        assert_eq!(page.value("go_gc_stw_seconds_count"), pauses);
        assert_eq!(page.value("go_gc_pauses_missed_total"), 0.0);
    }
}

const GOOD: &str = r#"{"cmdline": ["x"], "memstats": {"Alloc": 1, "NextGC": 18446744073709551615, "LastGC": 1763700000123456789, "NumGC": 0, "PauseTotalNs": 0, "PauseNs": [], "PauseEnd": [], "TotalAlloc": 9007199254740993}}"#;

#[test]
fn numbers_above_2_to_the_53_are_exact() {
    let endpoint = Endpoint::start(Behaviour::Body(GOOD.into()));
    let page = reading(endpoint.address).page();
    assert_eq!(page.raw("go_memstats_next_gc_bytes"), Some("18446744073709551615"));
    assert_eq!(page.raw("go_memstats_alloc_bytes_total"), Some("9007199254740993"));
}

#[test]
fn an_endpoint_is_read_once_whenever_we_are() {
    let endpoint = Endpoint::start(Behaviour::Body(GOOD.into()));
    let path = format!("/read-once-{}/", std::process::id());
    let exporter = reading(format!("{}{path}", endpoint.address));
    for reads in 1..=5_u32 {
        let page = exporter.page();
        assert_eq!(page.value("godebug_exporter_scrapes_total"), f64::from(reads));
    }
    // Another test's exporter may still ask for what listened at this port before.
    assert_eq!(endpoint.requests_with(&path), 5);
}

#[test]
fn an_endpoint_on_an_interval_is_read_whether_we_are_or_not() {
    let endpoint = Endpoint::start(Behaviour::Body(GOOD.into()));
    let exporter = Exporter::configured(&format!(
        "services: [{{name: s, expvar: {{url: 'http://{}', interval: 1s}}}}]\n",
        endpoint.address
    ));
    exporter.wait_for("godebug_exporter_scrapes_total", 3.0);
    assert!((3..=4).contains(&endpoint.requests()), "{}", endpoint.requests());
}

/// What a failing endpoint does, and the reason we give for it.
fn failures() -> Vec<(Behaviour, &'static str)> {
    let raw = |text: &str| Behaviour::Raw(text.into());
    let status = |code: u16| raw(&format!("HTTP/1.1 {code} So\r\nContent-Length: 0\r\n\r\n"));
    let body = |text: &str| Behaviour::Body(text.into());
    let cut = &GOOD[..GOOD.len() - 40];
    vec![
        (status(401), "http_401"),
        (status(403), "http_403"),
        (status(404), "http_404"),
        (status(405), "http_405"),
        (status(500), "http_5xx"),
        (status(503), "http_5xx"),
        (status(418), "http_status"),
        (status(204), "http_status"),
        (
            raw("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"),
            "http_redirect",
        ),
        (Behaviour::Flood(100 << 20), "too_large"),
        (Behaviour::Drip, "timeout"),
        (Behaviour::Packed(packed(&vec![b' '; 100 << 20])), "too_large"),
        (Behaviour::Packed(GOOD.into()), "bad_gzip"),
        (Behaviour::Packed(packed(GOOD.as_bytes())[..60].into()), "truncated"),
        (Behaviour::Hang, "timeout"),
        (Behaviour::Body(" ".repeat(64 * 1024 + 1)), "too_large"),
        (
            Behaviour::Raw(format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{GOOD}")),
            "truncated",
        ),
        (body(cut), "truncated"),
        (body("<html>login</html>"), "unexpected_body"),
        (body(""), "unexpected_body"),
        (body("[1]"), "unexpected_body"),
        (raw("SSH-2.0-OpenSSH_9.2\r\n"), "io"),
        (raw(""), "truncated"),
    ]
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_failure_has_its_reason_and_is_recovered_from() {
    let endpoint = Endpoint::start(Behaviour::Body(GOOD.into()));
    let patient = reading(endpoint.address);
    let impatient = reading_within(endpoint.address, IMPATIENT);
    for (behaviour, reason) in failures() {
        let exporter = if reason == "timeout" { &impatient } else { &patient };
        endpoint.behave(Behaviour::Body(GOOD.into()));
        let what = format!("it is read before {behaviour:?}");
        let good = exporter.page_where(&what, |page| page.value(SUCCESS) == 1.0);
        assert!(good.has("go_memstats_alloc_bytes"));

        endpoint.behave(behaviour.clone());
        exporter.page();
        let failed = exporter.page();
        let series = format!(r#"godebug_exporter_scrape_errors_total{{reason="{reason}"}}"#);
        assert_eq!(failed.sum(&series) - good.sum(&series), 2.0, "{behaviour:?}\n{failed}");
        let all = "godebug_exporter_scrape_errors_total";
        assert_eq!(failed.sum(all) - good.sum(all), 2.0, "{behaviour:?}\n{failed}");
        assert_eq!(failed.value(SUCCESS), 0.0, "{behaviour:?}");
        assert!(!failed.has("go_memstats_alloc_bytes"), "{behaviour:?}: an old value is left");
    }
}

#[test]
fn a_refused_connection_is_told_once_and_recovered_from() {
    let address = ports::free();
    let exporter = reading(address);
    for failures in 1..=3_u32 {
        let page = exporter.page();
        let refused = r#"godebug_exporter_scrape_errors_total{reason="connection_refused"}"#;
        assert_eq!(page.value(refused), f64::from(failures));
    }
    // Not at once: a service that is being started is no trouble.
    exporter.page_where("the failure is told", |_| !exporter.log("warn").is_empty());
    let arguments = ["-addr", &address.to_string()];
    let service = Service::start(&arguments, "", std::process::Stdio::null());
    assert_eq!(exporter.page().value(SUCCESS), 1.0);
    drop(service);
    assert_eq!(exporter.page().value(SUCCESS), 0.0);
    let warnings = exporter.log("warn");
    assert!(warnings.len() == 1 && warnings[0].contains("connection_refused"), "{warnings:?}");
}

#[test]
fn an_endpoint_that_is_not_there_yet_is_tried_again_long_before_the_interval_is_over() {
    let url = format!("http://{}", ports::free());
    let exporter = Exporter::run(&["--service", "s", "--expvar", &url]);
    let started = Instant::now();
    exporter.page_where("it is tried again and again", |page| {
        page.value("godebug_exporter_scrapes_total") >= 4.0
    });
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
}

#[test]
fn one_hung_endpoint_does_not_keep_the_others_from_the_page() {
    let hung = Endpoint::start(Behaviour::Hang);
    let good = Endpoint::start(Behaviour::Body(GOOD.into()));
    let exporter = Exporter::configured(&format!(
        "services:\n\
         - {{name: hung, expvar: {{url: 'http://{}', {IMPATIENT}}}}}\n\
         - {{name: good, expvar: {{url: 'http://{}', {LIMITS}}}}}\n",
        hung.address, good.address
    ));
    let page = exporter.page();
    assert_eq!(page.value(r#"godebug_exporter_scrape_success{service="hung"}"#), 0.0);
    assert_eq!(page.value(r#"godebug_exporter_scrape_success{service="good"}"#), 1.0);
}
