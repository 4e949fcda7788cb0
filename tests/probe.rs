//! `/probe`: targets read for whoever asks, and those that are not.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use crate::support::endpoint::{Behaviour, Endpoint};
use crate::support::exporter::Exporter;
use crate::support::http::{self, Answer};
use crate::support::metrics::Page;
use crate::support::ports;
use crate::support::service::Service;
use crate::support::wait::wait_until;

fn exporter(port: u16, more: &str) -> Exporter {
    Exporter::configured(&format!("probe: {{networks: [127.0.0.1/32], ports: [{port}]{more}}}\n"))
}

fn ask(exporter: &Exporter, query: &str) -> Answer {
    http::get(exporter.address(), &format!("/probe?{query}")).unwrap()
}

fn probe(exporter: &Exporter, target: SocketAddr) -> Page {
    let answer = ask(exporter, &format!("target=http%3A%2F%2F{target}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    Page::read(answer.text())
}

/// The comment that says why, and the page below it.
fn failed(answer: &Answer) -> (&str, Page) {
    assert_eq!(answer.status, 200);
    let (why, page) = answer.text().split_once('\n').unwrap();
    (why, Page::read(page))
}

#[test]
fn a_target_is_read_and_nothing_of_it_is_kept() {
    let service = Service::start(&[], "", Stdio::null());
    let address = service.remote.address();
    let exporter = exporter(address.port(), "");
    service.remote.control("gc?n=3");
    for _ in 0..2 {
        let before = service.remote.truth();
        let page = probe(&exporter, address);
        let after = service.remote.truth();
        assert_eq!(page.value("probe_success"), 1.0);
        assert!((0.0..60.0).contains(&page.value("probe_duration_seconds")));
        let ours: u64 = page.raw("go_memstats_mallocs_total").unwrap().parse().unwrap();
        assert!((before.memstats("Mallocs")..=after.memstats("Mallocs")).contains(&ours));
        assert!(page.has(&format!("go_memstats_alloc_bytes{{service=\"{address}\"}}")));
        // What one read cannot know is not there.
        for absent in
            ["go_gc_stw_seconds_count", "go_process_starts_total", "go_gc_pauses_missed_total"]
        {
            assert!(!page.has(absent), "{absent}");
        }
    }
    let own = exporter.page();
    assert!(!own.has("go_memstats_alloc_bytes") && !own.to_string().contains(&address.to_string()));
    let requests = r#"godebug_exporter_http_requests_total{path="/probe",code="200"}"#;
    assert_eq!(own.value(requests), 2.0);
}

mod the_profiles_of_a_target_are_read_too {
    on_each_release!(super::profiles);
}

fn profiles(version: &str) {
    let service = Service::of(version, &[], "", Stdio::null());
    let address = service.remote.address();
    let exporter = exporter(address.port(), ", paths: [/debug/vars, /debug/pprof]");
    service.remote.control("leak?n=40");
    let query = format!("module=pprof&target=http://{address}");
    let page = wait_until("all of them wait", || {
        let answer = ask(&exporter, &query);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = Page::read(answer.text());
        let waiting = "go_goroutines_by_function{function=\"main.leakyHandler\"}";
        Some(page).filter(|page| page.get(waiting) == Some(40.0))
    });
    assert_eq!(page.value("probe_success"), 1.0);
    assert_eq!(page.sum("go_goroutines_by_function"), page.value("go_goroutines"), "{page}");
    assert!(page.value("go_threads") >= 2.0 && page.has("go_memstats_alloc_bytes"), "{page}");
    for absent in ["go_process_starts_total", "go_goroutines_leak_suspected", "expvar_goroutines"] {
        assert!(!page.has(absent), "{absent}");
    }
    // What the list of paths does not have is not read by another module either.
    let answer = ask(&exporter, &format!("module=expvar&target=http://{address}/debug/pprof/heap"));
    assert_eq!(answer.status, 403);
}

#[test]
fn what_the_config_does_not_allow_is_not_asked() {
    let endpoint = Endpoint::start(Behaviour::Body("{}".into()));
    let port = endpoint.address.port();
    let exporter =
        exporter(port, ", hosts: ['127.0.0.*', localhost, 0.0.0.0, '*.2130706433', '[[]::ffff:*']");
    let check = |target: &str, status: u16, text: &str| {
        let answer = ask(&exporter, target);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        assert!(answer.text().contains(text), "{target}: {}", answer.text());
    };
    check("", 400, "target is missing");
    check("target=ftp://x", 400, "must begin with http://");
    check("target=http://me:pw@127.0.0.1", 400, "user name");
    check("target=http://127.0.0.1&module=http_2xx", 400, "two modules: expvar and pprof");
    check(&format!("target=http://example.com:{port}"), 403, "probe.hosts");
    check(&format!("module=pprof&target=http://127.0.0.1:{port}"), 403, "probe.paths");
    check("target=http://127.0.0.1:1", 403, "probe.ports");
    check(&format!("target=http://127.0.0.1:{port}/debug/pprof/heap"), 403, "probe.paths");
    check(&format!("target=http://127.0.0.1:{port}/debug/vars%3Fa=b"), 403, "probe.paths");
    // The host is allowed, and the address is not.
    check(
        &format!("target=http://127.0.0.2:{port}"),
        403,
        "probe.networks does not allow 127.0.0.2",
    );
    check(&format!("target=http://0.0.0.0:{port}"), 403, "probe.networks does not allow 0.0.0.0");
    assert_eq!(endpoint.requests(), 0);
    // A name that leads to an address that is allowed.
    check(&format!("target=http://localhost:{port}"), 200, "probe_success");
    assert_eq!(endpoint.requests(), 1);
}

#[test]
fn a_target_that_fails_is_a_page_that_says_why() {
    let endpoint = Endpoint::start(Behaviour::Hang);
    let port = endpoint.address.port();
    let exporter = exporter(port, ", timeout: 1s, max_body: 64KiB");
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    for (behaviour, reason) in [
        (Behaviour::Hang, "timeout"),
        (Behaviour::Flood(100 << 20), "too_large"),
        (Behaviour::Raw(redirect.into()), "http_redirect"),
        (Behaviour::Body("<html>".into()), "unexpected_body"),
        (Behaviour::Raw("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".into()), "http_401"),
    ] {
        endpoint.behave(behaviour);
        let answer = ask(&exporter, &format!("target=http://127.0.0.1:{port}"));
        let (why, page) = failed(&answer);
        assert!(why.starts_with(&format!("# {reason}: ")), "{reason}: {why}");
        assert_eq!(page.value("probe_success"), 0.0);
        assert!(!page.has("go_memstats_alloc_bytes"));
        let errors = format!(r#"godebug_exporter_probe_errors_total{{reason="{reason}"}}"#);
        assert_eq!(exporter.page().value(&errors), 1.0);
    }
}

#[test]
fn a_probe_ends_before_prometheus_gives_up() {
    let endpoint = Endpoint::start(Behaviour::Hang);
    let exporter = exporter(endpoint.address.port(), ", timeout: 2m");
    let target = format!("/probe?target=http://{}", endpoint.address);
    let header = "X-Prometheus-Scrape-Timeout-Seconds: 1\r\n";
    let answer = http::request_with("GET", exporter.address(), &target, header).unwrap();
    let (_, page) = failed(&answer);
    assert_eq!(page.value("probe_success"), 0.0);
    assert!(page.value("probe_duration_seconds") < Duration::from_secs(60).as_secs_f64());
}

#[test]
fn it_is_off_unless_configured() {
    let exporter = Exporter::run(&["--service", "s", "--stdin"]);
    let answer = ask(&exporter, &format!("target=http://{}", ports::free()));
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("/probe is off"));
}
