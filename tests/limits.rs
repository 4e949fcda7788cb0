//! Clients that mean harm, or are many.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::exporter::Exporter;
use crate::support::http;
use crate::support::metrics::Page;
use crate::support::wait::wait_until;

const SERVICE: &str = "services: [{name: s, trace: {stdin: true}}]\n";

fn ended(reason: &str) -> String {
    format!(r#"godebug_exporter_http_connections_ended_early_total{{reason="{reason}"}}"#)
}

/// What comes back for these bytes.
fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // It may answer and close before it has read everything.
    let _reset = stream.write_all(request);
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_client_that_takes_no_answers_is_disconnected() {
    let exporter = Exporter::configured(&format!("web: {{write_timeout: 1s}}\n{SERVICE}"));
    let mut slow = TcpStream::connect(exporter.address()).unwrap();
    // More than fits into all buffers between us.
    slow.write_all(&b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3000)).unwrap();
    exporter.wait_for(&ended("write_timeout"), 1.0);
    exporter.wait_for("godebug_exporter_http_connections", 1.0);
}

#[test]
fn half_open_connections_end() {
    let exporter = Exporter::configured(SERVICE);
    let address = exporter.address();
    let begun: Vec<_> = (0..20)
        .map(|n| {
            let mut stream = TcpStream::connect(address).unwrap();
            let head: &[u8] = if n % 2 == 0 { b"" } else { b"GET /metrics HTTP/1.1\r\nHost:" };
            stream.write_all(head).unwrap();
            stream
        })
        .collect();
    exporter.wait_for("godebug_exporter_http_connections", 21.0);
    exporter.wait_for(&ended("head_timeout"), 20.0);
    drop(begun);
}

#[test]
fn a_thousand_scrapers_at_once_are_served_or_told() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let exporter = Exporter::configured(SERVICE);
    let address = exporter.address();
    let scrapers: Vec<_> =
        (0..1000).map(|_| thread::spawn(move || http::get(address, "/metrics").ok())).collect();
    let (mut whole, mut told, mut refused) = (0.0, 0.0, 0.0);
    for scraper in scrapers {
        match scraper.join().unwrap() {
            Some(answer) if answer.status == 200 => {
                assert!(Page::read(answer.text()).has("go_sched_samples_total"));
                whole += 1.0;
            }
            Some(answer) => {
                assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
                told += 1.0;
            }
            None => refused += 1.0,
        }
    }
    let page = exporter.page();
    let requests = |code: &str| {
        let labels = format!(r#"{{path="/metrics",code="{code}"}}"#);
        page.get(&format!("godebug_exporter_http_requests_total{labels}")).unwrap_or(0.0)
    };
    assert_eq!((requests("200"), requests("503")), (whole, told));
    assert_eq!(page.value("godebug_exporter_http_connections_refused_total"), refused);
    assert!(whole >= 40.0, "{whole} {told} {refused}");
}

#[test]
fn who_gets_no_turn_is_told() {
    // It takes connections and never answers, so that a probe waits for it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let probe = format!("/probe?target=http://{}", silent.local_addr().unwrap());
    let exporter = Exporter::configured(&format!(
        "web: {{max_requests: 1}}\nprobe: {{networks: [127.0.0.0/8], ports: [{}]}}\n{SERVICE}",
        silent.local_addr().unwrap().port()
    ));
    let address = exporter.address();
    let first = thread::spawn(move || http::get(address, &probe).unwrap().status);
    let patience = "X-Prometheus-Scrape-Timeout-Seconds: 0.2\r\n";
    let refusal = wait_until("one gets no turn", || {
        let answer = http::request_with("GET", address, "/metrics", patience).unwrap();
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(refusal.header("retry-after"), Some("5"));
    assert!(refusal.text().contains("web.max_requests"), "{}", refusal.text());
    // What an orchestrator asks has no limit.
    assert_eq!(http::get(address, "/-/healthy").unwrap().status, 200);
    assert_eq!(first.join().unwrap(), 200);
}

#[test]
fn no_path_is_another_one_in_disguise() {
    let exporter = Exporter::configured(SERVICE);
    let address = exporter.address();
    for path in [
        "//metrics",
        "/metrics/",
        "/metrics//",
        "/./metrics",
        "/x/../metrics",
        "/%6detrics",
        "/metrics%2e",
        "/metrics%00",
        "/-/../metrics",
        "/METRICS",
        "/metrics;a=b",
    ] {
        let answer = raw(
            address,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    let check = |request: &str, status: &str| {
        let answer = raw(address, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.80}: {answer}");
    };
    let end = "Host: x\r\nConnection: close\r\n\r\n";
    check(&format!("GET /{} HTTP/1.1\r\n{end}", "x".repeat(15_000)), "404");
    check(&format!("GET /{} HTTP/1.1\r\n{end}", "x".repeat(20_000)), "431");
    check(&format!("GET / HTTP/1.1\r\n{}{end}", "X: y\r\n".repeat(2000)), "431");
    check(&format!("GET / HTTP/1.1\r\nX: {}\r\n{end}", "y".repeat(30_000)), "431");
    check(&format!("TRACE /metrics HTTP/1.1\r\n{end}"), "405");
    check(&format!("PUT /metrics HTTP/1.1\r\n{end}"), "405");
    check("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nConnection: close\r\n\r\n", "404");
    exporter.page();
}

#[test]
fn the_body_of_a_get_is_not_waited_for() {
    let exporter = Exporter::configured(SERVICE);
    let request = "GET /-/healthy HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n";
    let answer = raw(exporter.address(), request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("healthy\n"), "{answer}");
    let chunked =
        "GET /-/healthy HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let answer = raw(exporter.address(), chunked.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("healthy\n"), "{answer}");
}
