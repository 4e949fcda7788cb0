//! Services are found in files, by HTTP and by DNS; who vanishes stays for the grace; and Prometheus finds
//! us the same way.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::support::endpoint::{Behaviour, Endpoint};
use crate::support::exporter::Exporter;
use crate::support::http;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::prometheus::Prometheus;
use crate::support::service::Service;
use crate::support::wait::wait_until_or;

/// A service that answers; which release it is of does not matter here.
fn service() -> Service {
    Service::start(&[], "", Stdio::null())
}

fn up(service: &str) -> String {
    format!(r#"godebug_exporter_scrape_success{{service="{service}",source="expvar"}}"#)
}

fn found(state: &str) -> String {
    format!(r#"godebug_exporter_discovery_services{{state="{state}"}}"#)
}

const TEMPLATE: &str =
    r#"service: {name: "${app}", expvar: {url: "http://${__address__}", interval: 1s}}"#;

fn group(app: &str, address: SocketAddr) -> String {
    format!(r#"{{"targets": ["{address}"], "labels": {{"app": "{app}", "zone": "eu"}}}}"#)
}

#[test]
fn files_are_read_again_when_they_change_and_who_vanishes_stays_for_the_grace() {
    let (a, b) = (service(), service());
    let (a_address, b_address) = (a.remote.address(), b.remote.address());
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("targets.json");
    fs::write(&json, format!("[{}, {}]", group("a", a_address), group("b", b_address))).unwrap();
    let yaml = folder.path().join("more.yaml");
    fs::write(&yaml, format!("- targets: ['{a_address}']\n  labels: {{app: c}}\n")).unwrap();
    let mut exporter = Exporter::configured(&format!(
        "discovery:\n  - file_sd_configs: [{{files: [{0}/*.json, {0}/*.yaml]}}]\n    grace: 4s\n    {TEMPLATE}\n",
        folder.path().display()
    ));
    for name in ["a", "b", "c"] {
        exporter.wait_for(&up(name), 1.0);
    }
    let page = exporter.page();
    assert!(page.has(r#"go_memstats_heap_alloc_bytes{service="a",app="a",zone="eu"}"#), "{page}");
    assert_eq!((page.value(&found("found")), page.value(&found("vanished"))), (3.0, 0.0));

    // One goes, and a third file is wrong: what that one said before is all there is to know.
    fs::write(&json, format!("[{}]", group("a", a_address))).unwrap();
    let page = exporter.wait_for(&found("vanished"), 1.0);
    assert!(page.has(&up("b")), "its series stay: {page}");
    fs::write(&yaml, "- targets: 7\n").unwrap();
    let errors = r#"godebug_exporter_discovery_errors_total{mechanism="file"}"#;
    exporter.page_where("the file is wrong", |page| page.get(errors) > Some(0.0));
    let page = exporter.page_where("b is gone", |page| !page.has(&up("b")));
    assert_eq!((page.value(&found("found")), page.value(&found("vanished"))), (2.0, 0.0));
    assert!(!page.has(r#"go_memstats_heap_alloc_bytes{service="b",app="b",zone="eu"}"#), "{page}");
    assert_eq!(page.get(&up("c")), Some(1.0));

    // Its file is right again, and names what is no service.
    fs::write(
        &yaml,
        format!("- targets: ['{b_address}']\n- targets: ['{b_address}']\n  labels: {{app: a}}\n"),
    )
    .unwrap();
    exporter.wait_for("godebug_exporter_discovery_targets_refused", 2.0);
    // The first of its name in the order of the files is it, which has to be read first.
    exporter.wait_for(&up("a"), 1.0);
    exporter.stop();
    let log = exporter.log("warn").join("\n");
    for told in
        ["it has no label app", "another target has the name a too", "is no list of targets"]
    {
        assert!(log.contains(told), "{told}: {log}");
    }
    assert!(exporter.log("info").iter().any(|line| line.contains("not found any more")));
}

#[test]
fn http_is_asked_again_and_its_failure_changes_nothing() {
    let (a, b) = (service(), service());
    let list = |groups: &[String]| Behaviour::Body(format!("[{}]", groups.join(",")));
    let endpoint = Endpoint::start(list(&[group("a", a.remote.address())]));
    let exporter = Exporter::configured(&format!(
        "discovery:\n  - http_sd_configs: [{{url: 'http://{}/targets', refresh_interval: 1s}}]\n    grace: 0s\n    {TEMPLATE}\n",
        endpoint.address
    ));
    exporter.wait_for(&up("a"), 1.0);
    let request = endpoint.last_request().to_lowercase();
    assert!(request.contains("x-prometheus-refresh-interval-seconds: 1\r\n"), "{request}");
    endpoint.behave(list(&[group("a", a.remote.address()), group("b", b.remote.address())]));
    exporter.wait_for(&up("b"), 1.0);
    let errors = r#"godebug_exporter_discovery_errors_total{mechanism="http"}"#;
    let failures = [
        Behaviour::Raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".into()),
        Behaviour::Body("{}".into()),
        Behaviour::Body("[{\"targets\":[\"a b\"]}]".into()),
        Behaviour::Flood(9 * 1024 * 1024),
    ];
    for failure in failures {
        endpoint.behave(failure.clone());
        let before = exporter.page().value(errors);
        let page = exporter.page_where("it fails", |page| page.value(errors) > before);
        assert_eq!(page.value(&found("found")), 2.0, "{failure:?}");
    }
    endpoint.behave(list(&[group("b", b.remote.address())]));
    let page = exporter.page_where("a is gone", |page| !page.has(&up("a")));
    assert_eq!(page.get(&up("b")), Some(1.0));
}

fn dnsmasq(address: SocketAddr, records: &[String]) -> Process {
    let program = ["/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"];
    let program = program.into_iter().find(|program| fs::exists(program).unwrap());
    let mut command =
        Command::new(program.expect("dnsmasq is missing: run tests/toolchains.sh dns"));
    command
        .args([
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--no-poll",
            "--bind-interfaces",
        ])
        .args(["--conf-file=/dev/null", "--pid-file=", "--user=", "--local=/test/"])
        .arg(format!("--listen-address={}", address.ip()))
        .arg(format!("--port={}", address.port()))
        .args(records)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    Process(command.spawn().unwrap())
}

#[test]
fn names_in_dns_lead_to_services() {
    let (a, b) = (service(), service());
    let (a, b) = (a.remote.address(), b.remote.address());
    let server = ports::free();
    let srv = |port: u16| format!("--srv-host=_debug._tcp.shop.test,localhost,{port}");
    let host = "--host-record=pods.shop.test,127.0.0.1".to_owned();
    let running = dnsmasq(server, &[srv(a.port()), srv(b.port()), host.clone()]);
    let exporter = Exporter::configured(&format!(
        r#"
discovery:
  - dns_sd_configs: [{{names: [_debug._tcp.shop.test, none.test], server: "{server}", refresh_interval: 1s}}]
    service: {{name: "srv-${{__meta_dns_srv_record_port}}", expvar: {{url: "http://${{__address__}}", interval: 1s}}}}
    grace: 0s
  - dns_sd_configs: [{{names: [pods.shop.test], type: A, port: {port}, server: "{server}", refresh_interval: 1s}}]
    service: {{name: "a-${{__address__}}", expvar: {{url: "http://${{__address__}}", interval: 1s}}}}
"#,
        port = a.port()
    ));
    exporter.wait_for(&up(&format!("srv-{}", a.port())), 1.0);
    exporter.wait_for(&up(&format!("srv-{}", b.port())), 1.0);
    exporter.wait_for(&up(&format!("a-{a}")), 1.0);

    drop(running);
    let errors = r#"godebug_exporter_discovery_errors_total{mechanism="dns"}"#;
    let page = exporter.page_where("nobody answers", |page| page.value(errors) > 0.0);
    assert_eq!(page.value(&found("found")), 3.0, "{page}");
    let _running = dnsmasq(server, &[srv(b.port()), host]);
    let page =
        exporter.page_where("a has left", |page| !page.has(&up(&format!("srv-{}", a.port()))));
    assert_eq!(page.value(&found("found")), 2.0, "{page}");
}

#[test]
fn prometheus_finds_each_service_with_us() {
    let (a, b) = (service(), service());
    let one = |name: &str, service: &Service| {
        format!(
            "{{name: {name}, labels: {{team: t}}, expvar: {{url: 'http://{}'}}}}",
            service.remote.address()
        )
    };
    let exporter = Exporter::configured(&format!("services: [{}, {}]", one("a", &a), one("b", &b)));
    exporter.wait_for(&up("a"), 1.0);
    exporter.wait_for(&up("b"), 1.0);
    let answer = http::get(exporter.address(), "/api/v1/sd").unwrap();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let prometheus = Prometheus::discovering(exporter.address());
    let both = |query: &str| {
        wait_until_or(
            query,
            || prometheus.query(&format!("count({query})")).filter(|count| *count > 1.0),
            || answer.text().to_owned(),
        )
    };
    assert_eq!(both("up == 1"), 2.0);
    assert_eq!(both(r#"go_memstats_heap_alloc_bytes{team="t"}"#), 2.0);
    // Each target has the series of its own service alone.
    let strange = r#"{__name__=~"go_.*",instance="a",service!="a"}"#;
    assert!(prometheus.results(strange, None).is_empty());
}

#[test]
fn mistakes_in_the_config_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let text = r#"discovery:
  - file_sd_configs: [{files: [targets.txt], refresh_interval: 10ms}]
    dns_sd_configs: [{names: [a.b], type: A}]
    http_sd_configs: [{}]
    grace: 25h
    service: {name: "${app}", expvar: {url: "${__address__}", intervall: 1s}}
  - {grace: 1m}
"#;
    fs::write(&file, text).unwrap();
    let output = crate::support::exporter::output(&["check", file.to_str().unwrap()]);
    let told = String::from_utf8(output.stderr).unwrap();
    for expected in [
        "line 2: discovery[0].file_sd_configs[0].files: \"targets.txt\" must end with .json, .yml or .yaml",
        "line 2: discovery[0].file_sd_configs[0].refresh_interval: must be at least 1s",
        "line 3: discovery[0].dns_sd_configs[0].port: is missing",
        "line 4: discovery[0].http_sd_configs[0].url: is missing",
        "line 5: discovery[0].grace: must be at most 24h",
        "line 6: discovery[0].service.expvar.url: must begin with http://",
        "line 6: discovery[0].service.expvar.intervall: is not a key; did you mean interval?",
        "line 7: discovery[1]: finds nothing",
        "line 7: discovery[1].service: is missing",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}
