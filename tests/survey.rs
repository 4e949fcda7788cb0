//! `/api/v1/services`: what real services offer, and what it tells of the rest.

use std::fs::File;

use serde_json::Value;

use crate::support::exporter::Exporter;
use crate::support::http;
use crate::support::service::Service;
use crate::support::wait::wait_until_or;

fn capability(exporter: &Exporter, name: &str) -> Value {
    let answer: Value =
        serde_json::from_str(&http::body(exporter.address(), "/api/v1/services")).unwrap();
    let all = answer["services"][0]["capabilities"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap().clone()
}

/// Waits until a capability is in this state, and gives what to do about it.
fn advice(exporter: &Exporter, name: &str, state: &str) -> String {
    let found = wait_until_or(
        &format!("{name} is {state}"),
        || Some(capability(exporter, name)).filter(|found| found["state"] == state),
        || format!("{}\n{}", capability(exporter, name), exporter.stderr.text()),
    );
    found["advice"].as_str().unwrap_or_default().to_owned()
}

fn check(version: &str) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("stderr.log");
    let service = Service::of(version, &["-gc", "5"], "gctrace=1", File::create(&log).unwrap());
    let exporter = Exporter::configured(&format!(
        "services: [{{name: s, labels: {{team: a}}, trace: {{file: {}}}, expvar: {{url: \"http://{}\"}}}}]",
        log.display(),
        service.remote.address(),
    ));
    assert_eq!(advice(&exporter, "gctrace", "read"), "");
    assert_eq!(advice(&exporter, "expvar", "read"), "");
    let add = advice(&exporter, "pprof", "offered");
    let url = format!("http://{}/debug/pprof", service.remote.address());
    assert!(add.contains("our config") && add.contains(&url), "{add}");
    let (state, add) = match version {
        "1.27" => ("offered", "goroutineleak: 10m"),
        _ => ("missing", "Go 1.27"),
    };
    assert!(advice(&exporter, "goroutineleak", state).contains(add));
    let add = advice(&exporter, "schedtrace", "missing");
    assert!(add.contains("schedtrace=1000"), "{add}");
    assert!(advice(&exporter, "scheddetail", "missing").contains("scheddetail=1"));

    let page = exporter.page();
    let offers = |name: &str| {
        page.get(&format!(r#"godebug_exporter_capability{{capability="{name}",service="s"}}"#))
    };
    let found = ["gctrace", "expvar", "pprof", "schedtrace"].map(offers);
    assert_eq!(found, [Some(1.0), Some(1.0), Some(1.0), Some(0.0)], "{page}");
}

mod what_a_service_offers_is_found {
    on_each_release!(super::check: go_1_19 "1.19", go_1_27 "1.27");
}

#[test]
fn a_service_that_is_away_is_not_judged() {
    let exporter = Exporter::configured(
        "services: [{name: s, expvar: {url: \"http://127.0.0.1:1\", timeout: 1s}}]",
    );
    advice(&exporter, "expvar", "failing");
    let pprof = wait_until_or(
        "pprof was asked for",
        || Some(capability(&exporter, "pprof")).filter(|found| found["error"].is_string()),
        || capability(&exporter, "pprof").to_string(),
    );
    assert_eq!(pprof["state"], "unknown");
    assert!(advice(&exporter, "gctrace", "unknown").contains("trace: {file"));
    let page = exporter.page().to_string();
    assert!(!page.contains("godebug_exporter_capability{"), "{page}");
}
