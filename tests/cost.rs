//! What we cost a service, and how long we let others wait for it.

use std::time::{Duration, Instant};

use crate::support::endpoint::{Behaviour, Endpoint};
use crate::support::exporter::Exporter;
use crate::support::metrics::Page;
use crate::support::service::Remote;
use crate::support::{go, http};

const GOOD: &str = r#"{"memstats": {"Alloc": 1}}"#;
const READS: &str = "godebug_exporter_scrapes_total";

fn reading(endpoint: &Endpoint, keys: &str) -> Exporter {
    let exporter = Exporter::configured(&format!(
        "services: [{{name: s, expvar: {{url: 'http://{}', interval: scrape, {keys}}}}}]\n",
        endpoint.address
    ));
    exporter.address();
    exporter
}

fn a_hundred_pages_at_once(exporter: &Exporter) -> Vec<Page> {
    let address = exporter.address();
    let clients: Vec<_> = (0..100)
        .map(|_| std::thread::spawn(move || Page::read(&http::body(address, "/metrics"))))
        .collect();
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

#[test]
fn a_hundred_scrapes_at_once_are_one_read() {
    let endpoint = Endpoint::start(Behaviour::Slow(Duration::from_secs(3), GOOD.into()));
    let exporter = reading(&endpoint, "max_age: 0s");
    let pages = a_hundred_pages_at_once(&exporter);
    assert!(pages.iter().all(|page| page.value("go_memstats_alloc_bytes") == 1.0));
    assert_eq!(endpoint.requests(), 1);
    // Nobody is left who asked for another.
    endpoint.behave(Behaviour::Body(GOOD.into()));
    assert_eq!(exporter.page().value(READS), 2.0);
}

#[test]
fn scrapes_one_after_the_other_are_one_read_as_long_as_it_is_young() {
    for (behaviour, success) in
        [(Behaviour::Body(GOOD.into()), 1.0), (Behaviour::Raw(String::new()), 0.0)]
    {
        let endpoint = Endpoint::start(behaviour);
        let exporter = reading(&endpoint, "max_age: 10m");
        for _ in 0..5 {
            let page = exporter.page();
            assert_eq!(page.value("godebug_exporter_scrape_success"), success);
        }
        a_hundred_pages_at_once(&exporter);
        assert_eq!(endpoint.requests(), 1);
    }
    let endpoint = Endpoint::start(Behaviour::Body(GOOD.into()));
    let exporter = reading(&endpoint, "max_age: 100ms");
    exporter.page_where("it is read anew", |page| page.value(READS) >= 2.0);
}

#[test]
fn prometheus_gets_its_page_in_time_however_slow_a_service_is() {
    let (slow, good) =
        (Endpoint::start(Behaviour::Hang), Endpoint::start(Behaviour::Body(GOOD.into())));
    let exporter = Exporter::configured(&format!(
        "services:\n\
         - {{name: slow, expvar: {{url: 'http://{}', interval: scrape, timeout: 2m}}}}\n\
         - {{name: good, expvar: {{url: 'http://{}', interval: scrape}}}}\n",
        slow.address, good.address
    ));
    let address = exporter.address();
    let started = Instant::now();
    let header = "X-Prometheus-Scrape-Timeout-Seconds: 2\r\n";
    let answer = http::request_with("GET", address, "/metrics", header).unwrap();
    let page = Page::read(answer.text());
    let took = started.elapsed();
    assert!((Duration::from_millis(1400)..Duration::from_secs(60)).contains(&took), "{took:?}");
    assert_eq!(page.value(r#"go_memstats_alloc_bytes{service="good"}"#), 1.0);
    let late = |name: &str| {
        page.value(&format!(r#"godebug_exporter_scrapes_late_total{{service="{name}"}}"#))
    };
    assert_eq!((late("slow"), late("good")), (1.0, 0.0));
}

#[test]
fn what_scheddetail_costs_a_service_with_many_goroutines_is_told() {
    let flags = ["--godebug", "gctrace=1,schedtrace=1000,scheddetail=1"];
    let exec = Exporter::exec_service(go::NEWEST, &flags, &[]);
    let service = Remote::announced_on(&exec.stdout);
    let ratio = "go_sched_detail_stopped_ratio";
    let few = exec.page_where("two blocks", |page| page.has(ratio));
    assert!((0.0..0.01).contains(&few.value(ratio)), "{few}");
    assert!(exec.log("warn").is_empty(), "{:?}", exec.log("warn"));
    service.control("leak?n=4000");
    let many = exec.page_where("it is much", |page| page.value(ratio) > 0.01);
    exec.page_where("it is told", |_| !exec.log("warn").is_empty());
    exec.page_where("two more blocks", |page| {
        page.value("go_sched_samples_total") >= many.value("go_sched_samples_total") + 2.0
    });
    let warnings = exec.log("warn");
    assert!(warnings.len() == 1 && warnings[0].contains("schedtrace"), "{warnings:?}");
}

#[test]
fn a_profile_that_takes_the_service_long_is_read_less_often_and_it_is_told() {
    let body = "goroutine profile: total 1\n1 @ 0x1\n#\t0x1\tmain.f+0x1\t/a.go:1\n\n";
    let endpoint = Endpoint::start(Behaviour::Slow(Duration::from_millis(600), body.into()));
    let reading = |keys: &str| {
        let exporter = Exporter::configured(&format!(
            "services: [{{name: s, pprof: {{url: 'http://{}', interval: scrape, max_age: 0s, heap: off{keys}}}}}]\n",
            endpoint.address
        ));
        exporter.address();
        exporter
    };
    let of = |metric: &str| format!("godebug_exporter_{metric}{{source=\"goroutine\"}}");
    let exporter = reading("");
    // 600 ms are 1 % of a minute.
    for _ in 0..3 {
        let page = exporter.page();
        assert_eq!((page.value("go_goroutines"), page.value(&of("scrapes_total"))), (1.0, 1.0));
        assert!(page.value(&of("scrape_interval_seconds")) >= 59.0, "{page}");
    }
    let warned = |exporter: &Exporter| {
        let mut lines = exporter.log("warn");
        lines.retain(|line| line.contains("max_share") && line.contains("source=goroutine"));
        lines.len()
    };
    assert_eq!(warned(&exporter), 1);
    let exporter = reading(", max_share: 100%");
    for reads in 1..=3_u32 {
        assert_eq!(exporter.page().value(&of("scrapes_total")), f64::from(reads));
    }
    assert_eq!(
        (warned(&exporter), exporter.page().value(&of("scrape_interval_seconds"))),
        (0, 0.0)
    );
}
