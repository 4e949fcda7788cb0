//! The containers of a node are found by what they log, and followed as they come, start again, are
//! rotated and go; with real Go services in the files that the kubelet and containerd write.

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use crate::support::api_server::ApiServer;
use crate::support::exporter::{Exporter, output};
use crate::support::http;
use crate::support::kubelet::{Container, Node};
use crate::support::wait::wait_until_or;

const GODEBUG: &str = "gctrace=1,schedtrace=200";
const FOUND: &str = r#"godebug_exporter_discovery_services{state="found"}"#;
const GAPS: &str = "godebug_exporter_file_gaps_total";

fn agent(node: &Node, keys: &str) -> Exporter {
    let logs = node.logs().display();
    Exporter::configured(&format!(
        "discovery: [{{kubernetes: {{logs: '{logs}'{keys}}}, grace: 2s}}]"
    ))
}

/// The cycles of a service's container.
fn cycles(container: &str) -> String {
    format!("go_gc_cycles_total{{{container}}}")
}

/// Waits until as many cycles were read as the service had, in all its lives.
fn reads_to(exporter: &Exporter, container: &str, expected: u64) {
    let expected = f64::from(u32::try_from(expected).unwrap());
    wait_until_or(
        &format!("{container} had {expected} cycles"),
        || (exporter.page().sum(&cycles(container)) == expected).then_some(()),
        || format!("{}\n{}", exporter.stderr.text(), exporter.page()),
    );
}

/// Has a service collect, and gives how often it has done so.
fn collect(container: &mut Container, start: bool) -> u64 {
    let service = if start { container.runs(GODEBUG) } else { container.running() };
    service.remote.control("gc?n=5");
    service.remote.truth().memstats("NumGC")
}

#[test]
fn containers_are_found_by_their_traces_and_all_of_a_new_one_is_read() {
    let node = Node::new();
    let others: Vec<_> =
        (0..20).map(|n| node.container("kube-system", &format!("proxy-{n}"), n, "proxy")).collect();
    for other in &others {
        other.prints("SCHED is what I call my scheduler");
        other.prints("gc 5 pauses");
    }
    let mut old = node.container("shop", "cart-0", 100, "app");
    let before = collect(&mut old, true);
    let mut exporter = agent(&node, "");
    let cart = r#"service="cart",namespace="shop",pod="cart-0",container="app""#;
    exporter.page_where("the old one is found", |page| page.has(&cycles(cart)));

    // What an old one wrote before us is not ours; of a new one all is, also what was rotated before
    // it was found.
    let since = collect(&mut old, false);
    reads_to(&exporter, cart, since - before);
    let mut new = node.container("shop", "checkout-7d9f8b6c5d-x2x4z", 101, "app");
    new.prints("starting");
    new.rotates();
    let cycles_of_new = collect(&mut new, true);
    new.rotates();
    let checkout =
        r#"service="checkout",namespace="shop",pod="checkout-7d9f8b6c5d-x2x4z",container="app""#;
    reads_to(&exporter, checkout, cycles_of_new);

    let page = exporter.page();
    assert_eq!(page.value(FOUND), 2.0, "{page}");
    assert!(!page.to_string().contains("proxy"), "{page}");
    assert_eq!(page.sum(GAPS), 0.0, "{page}");
    assert_eq!(page.sum("godebug_exporter_log_entries_malformed_total"), 0.0, "{page}");
    let of_one = http::body(exporter.address(), "/metrics?service=cart");
    assert!(of_one.contains("shop/cart-0/app") && !of_one.contains("checkout"), "{of_one}");
    new.removed();
    exporter.page_where("its series end", |page| !page.has(&cycles(checkout)));
    exporter.stop();
    assert_eq!(exporter.log("warn"), [""; 0]);
}

#[test]
fn restarts_and_rotations_lose_and_double_nothing() {
    let node = Node::new();
    let exporter = agent(&node, "");
    exporter.ready();
    let mut container = node.container("shop", "cart-0", 1, "app");
    let cart = r#"pod="cart-0""#;
    let mut lives = 0;
    for life in 0..3 {
        let mut now = collect(&mut container, true);
        for _ in 0..3 {
            container.rotates();
            now = collect(&mut container, false);
            if life > 0 {
                reads_to(&exporter, cart, lives + now);
            }
        }
        lives += now;
        container.ends();
        container.starts_again();
    }
    reads_to(&exporter, cart, lives);
    let page = exporter.page();
    assert_eq!(page.sum(GAPS), 0.0, "{}\n{page}", exporter.stderr.text());
    assert_eq!(page.value("go_process_starts_total"), 2.0, "{page}");
}

#[test]
fn a_pod_of_the_same_name_goes_on_with_its_counters() {
    let node = Node::new();
    let exporter = agent(&node, ", from: beginning");
    let mut first = node.container("shop", "db-0", 1, "app");
    let mut cycles = collect(&mut first, true);
    reads_to(&exporter, r#"service="db""#, cycles);
    first.removed();
    let mut second = node.container("shop", "db-0", 2, "app");
    cycles += collect(&mut second, true);
    reads_to(&exporter, r#"service="db""#, cycles);
    assert_eq!(exporter.page().sum(GAPS), 0.0, "{}", exporter.stderr.text());
}

#[test]
fn logs_that_cannot_be_read_are_told_and_found_later() {
    let node = Node::new();
    let logs = node.logs().join("pods");
    let exporter = Exporter::configured(&format!(
        "discovery: [{{kubernetes: {{logs: '{}'}}}}]",
        logs.display()
    ));
    let errors = r#"godebug_exporter_discovery_errors_total{mechanism="kubernetes"}"#;
    exporter.page_where("it fails", |page| page.value(errors) > 0.0);
    let told = exporter.log("warn").join("\n");
    assert!(told.contains("the folder of logs") && told.contains("No such file"), "{told}");
    fs::create_dir(&logs).unwrap();
    fs::create_dir_all(logs.join("shop_cart-0_1/app")).unwrap();
    let line = "2026-11-21T10:00:00.1Z stderr F SCHED 5ms: gomaxprocs=2\n";
    fs::write(logs.join("shop_cart-0_1/app/0.log"), line).unwrap();
    exporter.wait_for(FOUND, 1.0);
}

#[test]
fn mistakes_in_the_config_are_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "discovery:\n  - kubernetes: {logs: '', from: oldest}\n  - kubernetes: {}\n    dns_sd_configs: [{names: [a.b]}]\n  - kubernetes: {log: /x}\n    service: {trace: {file: /x}}\n  - kubernetes: {}\n    service: {expvar: {intervall: 1s}}\n";
    fs::write(file.path(), text).unwrap();
    let output = output(&["check", file.path().to_str().unwrap()]);
    let told = String::from_utf8(output.stderr).unwrap();
    for expected in [
        "line 2: discovery[0].kubernetes.logs: must not be empty",
        "line 2: discovery[0].kubernetes.from: must be end or beginning",
        "line 3: discovery[1]: kubernetes needs an entry of its own",
        "line 5: discovery[2].kubernetes.log: is not a key; did you mean logs?",
        "line 6: discovery[2].service: a container's trace is in its log; leave out its source",
        "line 8: discovery[3].service.expvar.intervall: is not a key; did you mean interval?",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

const API_ERRORS: &str = r#"godebug_exporter_discovery_errors_total{mechanism="kubernetes_api"}"#;

/// The UID of the pod of a [`Node`]'s container.
fn uid(n: u32) -> String {
    format!("{n:08x}-3a0b-4f6e-9a55-0f0f6f1f2f3f")
}

#[test]
fn the_api_server_says_what_a_pod_is_called_and_where_its_endpoints_are() {
    let (node, api) = (Node::new(), ApiServer::start());
    let mut cart = node.container("shop", "cart-0", 1, "app");
    let port = cart.runs(GODEBUG).remote.address().port().to_string();
    let annotations = json!({
        "godebug-exporter.io/service": "shop-cart",
        "godebug-exporter.io/labels": "tier=front,__path__=/etc/passwd,service=not-this",
        "godebug-exporter.io/expvar-port": port,
        "godebug-exporter.io/pprof-port": port,
        "godebug-exporter.io/pprof-path": "/debug/pprof",
    });
    let labels = json!({"team": "payments", "other": "x"});
    api.put("cart-0", &uid(1), "app", json!({"annotations": annotations, "labels": labels}));
    let mut silent = node.container("shop", "silent-0", 2, "app");
    silent.runs(GODEBUG);
    let not = json!({"godebug-exporter.io/scrape": "false"});
    api.put("silent-0", &uid(2), "app", json!({"annotations": not}));
    let untraced = node.container("shop", "untraced-0", 3, "app");
    untraced.prints("starting");
    let wanted = json!({"godebug-exporter.io/scrape": "true"});
    api.put("untraced-0", &uid(3), "app", json!({"annotations": wanted}));
    let mut exporter = agent(
        &node,
        &format!("{}, pod_labels: {{owner: team, absent: nobody}}", api.keys("node-1")),
    );
    let identity = r#"service="shop-cart",namespace="shop",pod="cart-0",container="app",owner="payments",tier="front""#;
    exporter.page_where("its expvar is read", |page| {
        page.has(&format!("go_memstats_heap_alloc_bytes{{{identity}}}"))
    });
    exporter
        .page_where("its profiles are read", |page| page.has(&format!("go_threads{{{identity}}}")));
    let page = exporter.page_where("its traces are read", |page| {
        page.sum(&format!("go_sched_samples_total{{{identity}}}")) > 0.0
    });
    assert_eq!(page.value(FOUND), 2.0, "{page}");
    assert!(page.has(r#"go_gc_cycles_total{service="untraced",namespace="shop"}"#), "{page}");
    assert!(!page.to_string().contains("silent"), "{page}");

    // What changes is taken up; a port that is none is told.
    let annotations = json!({"godebug-exporter.io/expvar-port": "http"});
    api.put("untraced-0", &uid(3), "app", json!({"annotations": annotations}));
    let page = exporter.page_where("it is not wanted any more", |page| {
        page.get(FOUND) == Some(1.0) && !page.has(r#"go_gc_cycles_total{service="untraced"}"#)
    });
    assert_eq!(page.value("godebug_exporter_discovery_targets_refused"), 0.0, "{page}");
    api.put("cart-0", &uid(1), "app", json!({"annotations": annotations}));
    exporter.wait_for("godebug_exporter_discovery_targets_refused", 1.0);
    assert!(exporter.log("warn").join("\n").contains("expvar.url"), "{}", exporter.stderr.text());
    let requests = api.requests();
    let is_small = |request: &String| {
        request.starts_with("GET /api/v1/pods?watch=1&")
            && request.contains("&fieldSelector=spec.nodeName%3Dnode-1&")
    };
    assert!(!requests.is_empty() && requests.iter().all(is_small), "{requests:?}");
    exporter.stop();
}

#[test]
fn a_watch_outlives_what_happens_to_api_servers() {
    let (node, api) = (Node::new(), ApiServer::start());
    let mut cart = node.container("shop", "cart-0", 1, "app");
    let named = |name: &str| json!({"annotations": {"godebug-exporter.io/service": name}});
    api.put("cart-0", &uid(1), "app", named("first"));
    api.put("other-0", &uid(2), "app", json!({}));
    api.expects_token("second");
    let exporter = agent(&node, &format!("{}, from: beginning", api.keys("node-1")));
    let mut total = collect(&mut cart, true);

    // Our token has expired: names come from the path. The kubelet writes a new one, which is read.
    reads_to(&exporter, r#"service="cart""#, total);
    assert!(exporter.page().value(API_ERRORS) > 0.0);
    let told = exporter.log("warn").join("\n");
    assert!(told.contains("does not know our token"), "{told}");
    api.gives_token("second");
    reads_to(&exporter, r#"service="first",pod="cart-0""#, total);

    // It breaks off in the middle of an event: we go on where we were.
    let asked = api.requests().len();
    api.breaks();
    api.put("cart-0", &uid(1), "app", named("second"));
    total = collect(&mut cart, false);
    reads_to(&exporter, r#"service="second""#, total);
    let again = &api.requests()[asked];
    assert!(!again.contains("&resourceVersion=0&"), "{again}");

    // It does not know that place any more: from the beginning.
    let asked = api.requests().len();
    api.remove(&uid(2));
    api.compacts();
    api.put("cart-0", &uid(1), "app", named("third"));
    reads_to(&exporter, r#"service="third""#, total);
    let requests = api.requests();
    assert!(!requests[asked].contains("&resourceVersion=0&"), "{requests:?}");
    assert!(requests[asked + 1].contains("&resourceVersion=0&"), "{requests:?}");

    // We may not: it is told which rule is missing, and what is known stays.
    api.forbids(true);
    let rule = r#"{apiGroups: [\"\"], resources: [pods], verbs: [watch]}"#;
    wait_until_or(
        "the rule is named",
        || exporter.log("warn").iter().any(|line| line.contains(rule)).then_some(()),
        || exporter.stderr.text(),
    );
    total = collect(&mut cart, false);
    reads_to(&exporter, r#"service="third""#, total);
    api.forbids(false);
    api.put("cart-0", &uid(1), "app", named("fourth"));
    reads_to(&exporter, r#"service="fourth""#, total);
    assert_eq!(exporter.page().sum(GAPS), 0.0, "{}", exporter.stderr.text());
}

#[test]
fn an_agent_that_is_killed_goes_on_where_it_was() {
    let (node, state) = (Node::new(), tempfile::tempdir().unwrap());
    let config = format!(
        "discovery: [{{kubernetes: {{logs: '{}', from: beginning}}}}]\nstate: {{directory: '{}'}}",
        node.logs().display(),
        state.path().display()
    );
    let mut cart = node.container("shop", "cart-0", 1, "app");
    let first = collect(&mut cart, true);
    let exporter = Exporter::configured(&config);
    reads_to(&exporter, r#"pod="cart-0""#, first);
    exporter.process.signal(Signal::KILL);
    drop(exporter);

    // Meanwhile the log is rotated, and the container starts again.
    cart.rotates();
    let first = collect(&mut cart, false);
    cart.ends();
    cart.starts_again();
    let second = collect(&mut cart, true);
    let exporter = Exporter::configured(&config);
    reads_to(&exporter, r#"pod="cart-0""#, first + second);
    let page = exporter.page();
    assert_eq!(page.sum(GAPS), 0.0, "{}", exporter.stderr.text());
    assert_eq!(page.value("go_process_starts_total"), 1.0, "{page}");
}
