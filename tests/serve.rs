//! The HTTP server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::exporter::Exporter;
use crate::support::metrics::Page;
use crate::support::service::Remote;
use crate::support::trace::{RECORDED, append};
use crate::support::{go, http, prometheus};

fn idle() -> Exporter {
    Exporter::run(&["--service", "s", "--stdin"])
}

#[test]
fn each_path_and_method_has_its_status() {
    let exporter = idle();
    let address = exporter.address();
    let check = |method: &str, path: &str, status: u16, kind: &str, body: &str| {
        let answer = http::request(method, address, path).unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some(kind), "{method} {path}");
        assert!(answer.text().contains(body), "{method} {path}: {}", answer.text());
    };
    let (metrics, text) = ("text/plain; version=0.0.4; charset=utf-8", "text/plain; charset=utf-8");
    let html = "text/html; charset=utf-8";
    check("GET", "/metrics", 200, metrics, "go_sched_samples_total{service=\"s\"} 0\n");
    check("GET", "/metrics?x=y", 200, metrics, "go_sched_samples_total");
    check("HEAD", "/metrics", 200, metrics, "");
    check("GET", "/", 200, html, "href=\"/metrics\"");
    check("GET", "/-/healthy", 200, text, "healthy");
    check("GET", "/-/ready", 200, text, "ready");
    check("POST", "/metrics", 405, text, "GET");
    check("DELETE", "/", 405, text, "GET");
    check("GET", "/nothing", 404, text, "/metrics");
    check("GET", "/metrics/", 404, text, "/metrics");
    let allow = http::request("POST", address, "/metrics").unwrap();
    assert_eq!(allow.header("allow"), Some("GET, HEAD"));
    let page = exporter.page();
    let requests =
        |labels: &str| page.value(&format!("godebug_exporter_http_requests_total{labels}"));
    assert_eq!(requests(r#"{path="other",code="404"}"#), 2.0);
    assert_eq!(requests(r#"{path="/metrics",code="405"}"#), 2.0);
}

#[test]
fn a_connection_serves_several_requests() {
    let exporter = idle();
    let mut stream = TcpStream::connect(exporter.address()).unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"healthy\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(exporter.page().value("godebug_exporter_http_connections"), 2.0);
}

#[test]
fn what_is_no_http_is_refused_and_changes_nothing() {
    let exporter = idle();
    let check = |request: &[u8]| {
        let mut stream = TcpStream::connect(exporter.address()).unwrap();
        stream.write_all(request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // It may close before it has read everything.
        let _reset = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    };
    check(b"");
    check(b"GET /met");
    check(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    check(&[b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 64 * 1024], b"\r\n\r\n"].concat());
    exporter.page();
}

#[test]
fn many_clients_at_once_all_get_the_whole_page() {
    let exporter = idle();
    let address = exporter.address();
    let clients: Vec<_> = (0..100)
        .map(|_| std::thread::spawn(move || Page::read(&http::body(address, "/metrics"))))
        .collect();
    for client in clients {
        assert!(client.join().unwrap().has("go_sched_samples_total"));
    }
    let page = exporter.page();
    let answered =
        page.value(r#"godebug_exporter_http_requests_total{path="/metrics",code="200"}"#);
    // The page that tells it is not counted yet.
    assert_eq!(answered, 100.0);
}

#[test]
fn sigterm_ends_it_at_once_although_clients_are_connected() {
    let mut exporter = idle();
    let mut idle_client = TcpStream::connect(exporter.address()).unwrap();
    idle_client.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(idle_client.read(&mut [0; 1024]).unwrap() > 0);
    let started = Instant::now();
    assert_eq!(exporter.stop().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let stderr = exporter.stderr.text();
    assert!(stderr.contains("message=stopped"), "{stderr}");
}

#[test]
fn a_client_that_never_finishes_its_request_does_not_hold_up_the_end() {
    let mut exporter = idle();
    let address = exporter.address();
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(b"GET /metr").unwrap();
    exporter.page_where("it is connected", |page| {
        page.value("godebug_exporter_http_connections") >= 2.0
    });
    let started = Instant::now();
    assert_eq!(exporter.stop().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[test]
fn it_is_ready_once_a_long_file_was_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr.log");
    let times = 5000;
    append(&path, RECORDED.repeat(times));
    let file = path.to_str().unwrap();
    let exporter = Exporter::run(&["--service", "s", "--file", file, "--from-beginning"]);
    exporter.ready();
    let lines = u32::try_from(RECORDED.lines().count() * times).unwrap();
    assert_eq!(exporter.page().value("godebug_exporter_lines_total"), f64::from(lines));
    assert_eq!(exporter.page().value("godebug_exporter_file_lag_bytes"), 0.0);
}

#[test]
fn an_address_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let mut exporter = Exporter::start(crate::support::exporter::command([
        "run",
        "--listen",
        &address.to_string(),
        "--service",
        "s",
        "--stdin",
    ]));
    assert_eq!(exporter.process.end("run").code(), Some(1));
    let stderr = String::from_utf8(exporter.stderr.whole()).unwrap();
    assert!(stderr.contains(&format!("cannot listen on {address}")), "{stderr}");
}

#[test]
fn promtool_finds_nothing_wrong_with_the_page() {
    let flags = ["--godebug", "gctrace=1,schedtrace=50,scheddetail=1"];
    let exec = Exporter::exec_service(go::NEWEST, &flags, &[]);
    let service = Remote::announced_on(&exec.stdout);
    let url = format!("http://{}/debug/vars", service.address());
    service.control("gc?n=3");
    exec.page_where("all of it", |page| page.has("go_goroutines"));
    prometheus::check_page(&http::body(exec.address(), "/metrics"));

    let exporter = Exporter::configured(&format!(
        "services: [{{name: s, expvar: {{url: '{url}', interval: scrape, by_size: true}}}}]\n"
    ));
    prometheus::check_page(&http::body(exporter.address(), "/metrics"));
}
