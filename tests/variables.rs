//! The service's own variables: real ones of several releases, by the example rules and by our own.

use crate::support::endpoint::{Behaviour, Endpoint};
use crate::support::exporter::{Exporter, output};
use crate::support::metrics::Page;
use crate::support::service::Service;
use crate::support::{http, ports, prometheus};

const DROPPED: &str = "godebug_exporter_expvar_dropped_total";

fn example(name: &str, address: &str) -> String {
    let path = format!("{}/config/expvar/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let url = text.lines().find(|line| line.trim_start().starts_with("url:")).unwrap();
    text.replace(
        url,
        &format!(
            "      url: http://{address}/debug/vars\n      interval: scrape\n      max_age: 0s"
        ),
    )
}

fn own(address: &str, keys: &str) -> String {
    format!(
        "services:\n- name: s\n  expvar:\n    url: http://{address}\n    interval: scrape\n    max_age: 0s\n{keys}"
    )
}

fn service(version: &str, address: &str) -> Service {
    let flags = ["-addr", address, "-vars", "-badvars=false"];
    let service = Service::of(version, &flags, "", std::process::Stdio::null());
    service.remote.control("work?n=12");
    // Its pauses tell it from another process.
    service.remote.control("gc?n=3");
    service
}

fn expect(page: &Page, expected: &[(&str, f64)]) {
    for (series, value) in expected {
        assert_eq!(page.value(series), *value, "{series}");
    }
}

mod tailscales_variables {
    on_each_release!(super::tailscale);
}

fn tailscale(version: &str) {
    let address = ports::free().to_string();
    let _service = service(version, &address);
    let exporter = Exporter::configured(&example("tailscale", &address));
    let page = exporter.page();
    expect(
        &page,
        &[
            (r#"http_in_total{code="200"}"#, 6.0),
            (r#"http_in_total{code="503"}"#, 6.0),
            (r#"latency_seconds_bucket{le="0.005"}"#, 4.0),
            (r#"latency_seconds_bucket{le="+Inf"}"#, 12.0),
            ("latency_seconds_count", 12.0),
            ("derp_packets_total", 24.0),
            ("derp_clients", 0.0),
            (r#"version_info{version="1.4.2"}"#, 1.0),
        ],
    );
    assert!((page.value("latency_seconds_sum") - 1.2).abs() < 1e-9);
    assert!(page.value("goroutines") >= 1.0 && page.has("uptime_seconds_total"));
    assert_eq!(page.types()["http_in_total"], "counter");
    assert_eq!(page.types()["latency_seconds"], "histogram");
    prometheus::check_page(&http::body(exporter.address(), "/metrics"));
}

mod go_metrics_variables {
    on_each_release!(super::go_metrics);
}

fn go_metrics(version: &str) {
    let address = ports::free().to_string();
    let _service = service(version, &address);
    let exporter = Exporter::configured(&example("go-metrics", &address));
    let page = exporter.page();
    expect(
        &page,
        &[
            (r#"db_duration_seconds{query="query",percentile="95"}"#, 0.008),
            (r#"db_duration_seconds{query="query",percentile="999"}"#, 0.009),
            (r#"db_duration_std_dev_seconds{query="query"}"#, 0.0005),
            (r#"db_bytes_rate_per_second{window="1m"}"#, 12.5),
            (r#"cache{percentile="95"}"#, 8e6),
        ],
    );
    prometheus::check_page(&http::body(exporter.address(), "/metrics"));
}

mod our_own_rules {
    on_each_release!(super::own_rules);
}

const RULES: &str = r#"    goroutines: runtime.NumGoroutine
    rules:
    - {path: "http.codes.{code}", name: http_responses, type: counter, help: Responses by status code.}
    - {path: "users.{user}", name: hits, type: counter, max_series: 3}
    - {path: sizes, name: request_size, type: histogram, unit: B, buckets: [100, 1000, 10000]}
    - {path: "shards.{shard}", name: shard_depth, type: gauge}
    - {path: timeout, name: timeout, type: gauge, unit: ns}
    - {path: period, name: period, type: gauge, unit: s}
    - {path: limit, name: work_limit, type: gauge}
    - {path: ready, name: ready, type: gauge}
    - {path: nested.*.b.c.d, name: deep, type: gauge}
    - {path: "**", drop: true}
"#;

fn own_rules(version: &str) {
    let address = ports::free().to_string();
    let service = service(version, &address);
    let exporter = Exporter::configured(&own(&address, RULES));
    let page = exporter.page();
    expect(
        &page,
        &[
            (r#"http_responses_total{code="200"}"#, 6.0),
            (r#"http_responses_total{code="503"}"#, 6.0),
            // user1, user10 and user11 stand first on the page; 12 users did 1 to 12 hits.
            (r#"hits_total{user="user10"}"#, 10.0),
            (r#"hits_total{user="other"}"#, 78.0 - 22.0),
            (r#"request_size_bytes_bucket{le="1000.0"}"#, 6.0),
            ("request_size_bytes_count", 12.0),
            (r#"shard_depth{shard="2"}"#, 4.0),
            ("timeout_seconds", 1.5),
            ("period_seconds", 90.0),
            ("work_limit", 12.0),
            ("ready", 1.0),
            ("deep", 1.0),
            (r#"godebug_exporter_expvar_dropped_total{reason="too_many"}"#, 9.0),
        ],
    );
    assert!(!page.types().keys().any(|name| name.starts_with("expvar_")), "{page}");
    service.remote.control("work?n=1");
    let page = exporter.page();
    expect(
        &page,
        &[(r#"hits_total{user="other"}"#, 56.0 + 13.0), ("request_size_bytes_count", 13.0)],
    );
    prometheus::check_page(&http::body(exporter.address(), "/metrics"));
}

#[test]
fn expvarmons_vars_are_what_is_exported() {
    let address = ports::free().to_string();
    let _service = service(crate::support::go::NEWEST, &address);
    let vars = r"    vars: 'mem:memstats.Alloc,duration:timeout,str:version,work,http\.codes.200,mem:big'
";
    let exporter = Exporter::configured(&own(&address, vars));
    let page = exporter.page();
    let mut found: Vec<&str> = page
        .types()
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("expvar_"))
        .collect();
    found.sort_unstable();
    let expected = [
        "expvar_big_bytes",
        "expvar_http_codes_200",
        "expvar_timeout_seconds",
        "expvar_version_info",
        "expvar_work",
    ];
    assert_eq!(found, expected);
    assert_eq!(page.raw("expvar_big_bytes"), Some("9007199254740993"), "2^53 + 1");
    assert!(page.has("go_memstats_alloc_bytes"));
}

#[test]
fn without_rules_types_are_inferred_and_outlive_our_restart() {
    let address = ports::free().to_string();
    let state = tempfile::tempdir().unwrap();
    let config = own(&address, "") + &format!("state: {{directory: {}}}\n", state.path().display());
    let mut running = service(crate::support::go::NEWEST, &address);
    let mut exporter = Exporter::configured(&config);
    let kinds = |exporter: &Exporter| {
        let page = exporter.page();
        ["expvar_work", "expvar_queued", "expvar_big"].map(|name| page.types()[name].clone())
    };
    assert_eq!(kinds(&exporter), ["untyped"; 3]);
    for _ in 0..10 {
        running.remote.control("work?n=1");
        exporter.page();
    }
    assert_eq!(kinds(&exporter), ["counter", "gauge", "untyped"]);
    prometheus::check_page(&http::body(exporter.address(), "/metrics"));
    exporter.process.signal(rustix::process::Signal::KILL);
    drop(exporter);
    exporter = Exporter::configured(&config);
    assert_eq!(kinds(&exporter), ["counter", "gauge", "untyped"], "as it was before");
    // Another process begins at 12 again: no fall, but a restart.
    drop(running);
    running = service(crate::support::go::NEWEST, &address);
    assert_eq!(kinds(&exporter), ["counter", "gauge", "untyped"]);
    let page = exporter.page();
    expect(&page, &[("expvar_work", 12.0), ("go_process_starts_total", 1.0)]);
    expect(&page, &[("godebug_exporter_expvar_retyped_total", 0.0)]);
    drop(running);
}

#[test]
fn without_memstats_a_declared_counter_tells_a_restart() {
    let endpoint = Endpoint::start(Behaviour::Body(r#"{"n": 7}"#.into()));
    let rules = "    rules: [{path: 'n', name: work, type: counter}]\n";
    let exporter = Exporter::configured(&own(&endpoint.address.to_string(), rules));
    expect(&exporter.page(), &[("work_total", 7.0), ("go_process_starts_total", 0.0)]);
    endpoint.behave(Behaviour::Body(r#"{"n": 3}"#.into()));
    expect(&exporter.page(), &[("work_total", 3.0), ("go_process_starts_total", 1.0)]);
}

#[test]
fn a_map_with_a_key_for_every_user_does_not_explode_and_is_told_once() {
    let users: Vec<String> = (0..20_000).map(|n| format!("\"user{n}\": {n}")).collect();
    let endpoint =
        Endpoint::start(Behaviour::Body(format!("{{\"users\": {{{}}}}}", users.join(","))));
    let exporter = Exporter::configured(&own(&endpoint.address.to_string(), ""));
    for reads in 1..=2_u32 {
        let page = exporter.page();
        let series = page.types().keys().filter(|name| name.starts_with("expvar_users_")).count();
        assert_eq!(series, 500);
        let dropped = format!("{DROPPED}{{reason=\"too_many\"}}");
        assert_eq!(page.value(&dropped), f64::from(reads * 19_500));
    }
    let warnings = exporter.log("warn");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("too_many") && warnings[0].contains("max_variables"),
        "{warnings:?}"
    );
}

#[test]
fn services_that_differ_on_a_type_share_one_page_and_it_is_told_once() {
    let page = r#"{"wait": [1, 2], "jobs": 5, "load": 7}"#;
    let endpoints = [(); 2].map(|()| Endpoint::start(Behaviour::Body(page.into())));
    let service = |n: usize, name: &str, rules: &str| {
        let url = endpoints[n].address;
        format!(
            "- name: {name}\n  expvar:\n    url: http://{url}\n    interval: scrape\n    max_age: 0s\n    rules: [{rules}]\n"
        )
    };
    let histogram = "{path: wait, name: wait, type: histogram, buckets: [1]}";
    let load = |kind: &str| format!("{{path: load, name: load_total, type: {kind}}}");
    let exporter = Exporter::configured(&format!(
        "services:\n{}{}",
        service(0, "first", &format!("{histogram}, {}", load("counter"))),
        service(1, "second", "{path: jobs, name: wait_count, type: gauge}"),
    ));
    for pages in [1.0, 2.0] {
        let text = http::body(exporter.address(), "/metrics");
        prometheus::check_page(&text);
        let page = Page::read(&text);
        expect(&page, &[("wait_count{service=\"first\"}", 3.0), ("load_total", 7.0)]);
        assert!(!page.has("wait_count{service=\"second\"}"), "{page}");
        let dropped = format!("{DROPPED}{{service=\"second\",reason=\"other_type\"}}");
        assert_eq!(page.value(&dropped), pages);
    }
    let warnings = exporter.log("warn");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for word in ["service=second", "wait_count (gauge; service first has it as histogram)", "rule"]
    {
        assert!(warnings[0].contains(word), "{word} in {warnings:?}");
    }

    let exporter = Exporter::configured(&format!(
        "services:\n{}{}",
        service(0, "first", "{path: load, name: load, type: gauge}"),
        service(1, "second", "{path: load, name: load, type: untyped}"),
    ));
    for _ in 0..2 {
        let text = http::body(exporter.address(), "/metrics");
        prometheus::check_page(&text);
        let page = Page::read(&text);
        expect(&page, &[("load{service=\"first\"}", 7.0), ("load{service=\"second\"}", 7.0)]);
        assert_eq!((&*page.types()["load"], page.sum(DROPPED)), ("untyped", 0.0));
    }
    let warnings = exporter.log("warn");
    assert!(warnings.len() == 1 && warnings[0].contains("differ on the type"), "{warnings:?}");
}

#[test]
fn mistakes_in_rules_are_told_by_check() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let rules = "    rules:\n    - {path: \"a.{x\"}\n    - {path: b, type: rate}\n";
    std::fs::write(file.path(), own("h:1", rules)).unwrap();
    let output = output(&["check", file.path().to_str().unwrap()]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64));
    for problem in [
        "line 8: services[0].expvar.rules[0].path: has a { without }",
        "line 9: services[0].expvar.rules[1].type: must be counter, gauge",
    ] {
        assert!(stderr.contains(problem), "{stderr}");
    }
}

#[test]
fn the_example_rules_are_valid() {
    for name in ["tailscale", "go-metrics"] {
        let path = format!("{}/config/expvar/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        let output = output(&["check", &path]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
