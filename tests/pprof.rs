//! /debug/pprof of real services: how many goroutines, where they wait, and which have leaked.

use std::process::Stdio;

use crate::support::endpoint::{Behaviour, Endpoint};
use crate::support::exporter::Exporter;
use crate::support::go::{NEWEST, WITH_LEAK_PROFILE};
use crate::support::metrics::Page;
use crate::support::service::Service;
use crate::support::wait::wait_until;

/// The test service's source, to know its lines.
const SOURCE: &str = include_str!("go/service/main.go");

/// An exporter that reads a service's profiles whenever its own page is read.
fn reading(service: &Service, keys: &str) -> Exporter {
    let exporter = Exporter::configured(&format!(
        "services: [{{name: s, pprof: {{url: 'http://{}', interval: scrape, max_share: 100%, timeout: 5s{keys}}}}}]\n",
        service.remote.address()
    ));
    exporter.address();
    exporter
}

fn service(version: &str) -> Service {
    Service::of(version, &["-badvars=false"], "", Stdio::null())
}

fn leaked_by(function: &str) -> String {
    format!("go_goroutines_leaked_by_function{{function=\"main.{function}\"}}")
}

fn waiting_in(function: &str) -> String {
    format!("go_goroutines_by_function{{function=\"main.{function}\"}}")
}

/// The line of the test service's source where `function` has this statement.
fn line_of(function: &str, statement: &str) -> usize {
    let begin = SOURCE.find(&format!("func {function}(")).unwrap();
    let at = begin + SOURCE[begin..].find(statement).unwrap();
    SOURCE[..at].lines().count()
}

mod goroutines_agree_with_the_service {
    on_each_release!(super::goroutines_agree);
}

fn goroutines_agree(version: &str) {
    let service = service(version);
    let exporter = reading(&service, "");
    for (leak, leaked) in [("leak?n=1000", 1000.0), ("leak?n=7", 1007.0)] {
        service.remote.control(leak);
        let line = line_of("leakyHandler", "<-answer");
        let place =
            format!("go_goroutines_by_function{{function=\"main.leakyHandler\",line=\"{line}\"}}");
        // One that was started a moment ago may not wait yet.
        let page = exporter.page_where("the numbers agree", |page| {
            let ours = page.get("go_goroutines");
            let truth = u32::try_from(service.remote.truth().get("NumGoroutine")).unwrap();
            ours == Some(f64::from(truth)) && page.get(&place) == Some(leaked)
        });
        assert_eq!(page.sum("go_goroutines_by_function"), page.value("go_goroutines"), "{page}");
        assert!(page.value("go_threads") >= 2.0);
    }
}

mod what_the_runtime_proved_is_told {
    #[test]
    fn go_1_26_with_the_experiment() {
        super::leaks_are_proved(super::WITH_LEAK_PROFILE);
    }

    #[test]
    fn go_1_27() {
        super::leaks_are_proved(super::NEWEST);
    }
}

fn leaks_are_proved(version: &str) {
    let service = service(version);
    service.remote.control("leak?n=5");
    service.remote.control("leakmutex?n=4");
    service.remote.control("leakcontext?n=3");
    service.remote.control("leakglobal?n=2");
    // What was started a moment ago may not wait yet, and a stale pointer may hide one from a GC: each
    // exporter looks once at its start.
    let page = wait_until("all leaks are proved", || {
        let exporter = reading(&service, ", goroutineleak: on");
        let page = exporter.page_where("leaks are read", |page| page.has("go_goroutines_leaked"));
        Some(page).filter(|page| page.value("go_goroutines_leaked") >= 12.0)
    });
    assert_eq!(page.value("go_goroutines_leaked"), 12.0, "{page}");
    assert_eq!(page.sum("go_goroutines_leaked_by_function"), 12.0, "{page}");
    for (function, statement, leaked) in [
        ("leakyHandler", "<-answer", 5.0),
        ("waitForMutex", "mu.Lock()", 4.0),
        ("waitForContext", "<-ctx.Done()", 3.0),
    ] {
        let line = line_of(function, statement);
        let place = format!("{},line=\"{line}\"}}", leaked_by(function).trim_end_matches('}'));
        assert_eq!(page.value(&place), leaked, "{page}");
    }
    // Somebody might still send to a global channel.
    assert!(!page.has(&leaked_by("waitForGlobal")), "{page}");
    assert_eq!(page.value(&waiting_in("waitForGlobal")), 2.0, "{page}");
}

#[test]
fn a_service_without_leaks_has_none() {
    let service = service(NEWEST);
    let exporter = reading(&service, ", goroutineleak: on");
    let page = exporter.page_where("leaks are read", |page| page.has("go_goroutines_leaked"));
    assert_eq!(page.value("go_goroutines_leaked"), 0.0);
    assert_eq!(page.value("go_goroutines_leaked_by_function{function=\"other\"}"), 0.0);
    assert_eq!(page.sum("go_goroutines_leaked_by_function"), 0.0);
}

mod a_release_without_the_profile_is_told_once_and_is_no_failure {
    on_each_release!(super::no_leak_profile: go_1_19 "1.19", go_1_21 "1.21", go_1_22 "1.22", go_1_24 "1.24", go_1_26 "1.26");
}

fn no_leak_profile(version: &str) {
    let service = service(version);
    let exporter = reading(&service, ", goroutineleak: on");
    exporter.page_where("it was told", |_| !absent_told(&exporter).is_empty());
    let page = exporter.page();
    assert!(!page.has("go_goroutines_leaked"), "{page}");
    assert!(!page.has("godebug_exporter_scrape_success{source=\"goroutineleak\"}"), "{page}");
    assert_eq!(page.sum("godebug_exporter_scrape_errors_total{source=\"goroutineleak\"}"), 0.0);
    assert_eq!(absent_told(&exporter).len(), 1);
    assert!(exporter.log("warn").is_empty(), "{:?}", exporter.log("warn"));
}

fn absent_told(exporter: &Exporter) -> Vec<String> {
    let mut lines = exporter.log("info");
    lines.retain(|line| line.contains("no goroutineleak profile"));
    lines
}

#[test]
fn profiler_labels_are_labels_where_asked_for() {
    let service = service(NEWEST);
    service.remote.control("leaklabelled?n=5");
    let page = reading(&service, ", labels: [tenant]").page();
    let by_tenant =
        |tenant: &str| page.sum(&format!("go_goroutines_by_function{{tenant=\"{tenant}\"}}"));
    assert_eq!((by_tenant("tenant-0"), by_tenant("tenant-1")), (3.0, 2.0), "{page}");
    let page = reading(&service, "").page();
    assert!(!page.to_string().contains("tenant"), "{page}");
    assert_eq!(page.value(&waiting_in("waitLabelled.func1")), 5.0, "{page}");
}

mod memstats_come_from_the_heap_profile_where_there_is_no_expvar {
    on_each_release!(super::heap_memstats);
}

fn heap_memstats(version: &str) {
    let service = service(version);
    service.remote.control("alloc?mb=30");
    service.remote.control("gc?n=3");
    let before = service.remote.truth();
    let exporter = reading(&service, "");
    let page = exporter.page_where("memstats are read", |page| page.has("go_memstats_alloc_bytes"));
    let after = service.remote.truth();
    for (series, field) in [
        ("go_memstats_alloc_bytes_total", "TotalAlloc"),
        ("go_memstats_mallocs_total", "Mallocs"),
        ("go_memstats_sys_bytes", "Sys"),
        ("go_gc_cycles_total_gc_cycles_total", "NumGC"),
        ("go_gc_cycles_forced_gc_cycles_total", "NumForcedGC"),
    ] {
        let ours: u64 = page.raw(series).unwrap().parse().unwrap();
        let (least, most) = (before.memstats(field), after.memstats(field));
        assert!((least..=most).contains(&ours), "{series}: {least} {ours} {most}");
    }
    let page = reading(&service, ", heap: off").page();
    assert!(page.has("go_goroutines") && !page.has("go_memstats_alloc_bytes"), "{page}");
    assert!(!page.has("godebug_exporter_scrape_success{source=\"heap\"}"), "{page}");
}

#[test]
fn flags_alone_describe_it_and_a_variable_is_the_next_best_source() {
    let service = service(NEWEST);
    service.remote.control("leak?n=40");
    let url = format!("http://{}", service.remote.address());
    let exporter = Exporter::run(&["--service", "s", "--pprof", &url, "--expvar", &url]);
    exporter.page_where("it is read", |page| page.has(&waiting_in("leakyHandler")));
    let exporter = Exporter::run(&["--service", "s", "--expvar", &url]);
    let page = exporter.page_where("it is read", |page| page.has("go_goroutines"));
    assert_eq!(page.value("go_goroutines"), page.value("expvar_goroutines"));
    assert!(page.value("go_goroutines") > 40.0 && !page.has("go_goroutines_by_function"), "{page}");
}

#[test]
fn a_profile_that_is_none_or_is_cut_gives_nothing_and_says_why() {
    for (body, reason) in [
        ("<html></html>", "unexpected_body"),
        ("goroutine profile: total 5\n3 @ 0x1\n#\t0x1\tmain.f+0x1\t/a.go:1\n\n", "truncated"),
        ("goroutine profile: total 1\n3 @ 0x1\n#\t0x1\tmain.f+0x1\t/a.go:1\n\n", "unexpected_body"),
    ] {
        let endpoint = Endpoint::start(Behaviour::Body(body.to_owned()));
        let exporter = Exporter::configured(&format!(
            "services: [{{name: s, pprof: {{url: 'http://{}', interval: scrape, max_share: 100%, heap: off}}}}]\n",
            endpoint.address
        ));
        let page: Page = exporter.page();
        assert!(!page.has("go_goroutines") && !page.has("go_goroutines_by_function"), "{page}");
        let errors = format!(
            "godebug_exporter_scrape_errors_total{{source=\"goroutine\",reason=\"{reason}\"}}"
        );
        assert!(page.value(&errors) >= 1.0, "{page}");
    }
}
