//! The whole stack: real services (leaking, a GC storm, saturated, crashing, healthy), one exporter, a real Prometheus
//! with the alerts, a real Alertmanager; and each query of each dashboard.
//!
//! Time runs sixty times as fast: every duration in the rules is a sixtieth, as is the time between scrapes. The rules'
//! real windows are promtool's to test (tests/alerts).

mod draw;

use std::cell::RefCell;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::dashboards::asked;
use crate::support::captured::Captured;
use crate::support::exporter::Exporter;
use crate::support::otlp::{Receiver, Reply};
use crate::support::process::Process;
use crate::support::prometheus::Prometheus;
use crate::support::service::Service;
use crate::support::wait::wait_until_or;
use crate::support::{go, http, ports};

const ALL_TRACES: &str =
    "gctrace=2,gcpacertrace=1,scavtrace=1,inittrace=1,checkfinalizers=1,schedtrace=100";
const DETAIL: &str = "gctrace=1,schedtrace=100,scheddetail=1";
const USUAL: &str = "gctrace=1,schedtrace=100";

/// Floors of a second, as in tests/leaks.rs.
const DETECTOR: &str = "leak_detector:
  bucket: 1s
  warm_up: 2s
  unknown: 12s:1.2
  tune: {rise_evenness: 0.2, rise_least_step: 0.03, rise_later_half: 0.4, rise_last_step: 0.03}
";

/// A memory limit, which nobody can see from outside; and a threshold: GC takes its share of the time that has passed,
/// and a busy machine leaves a storm little of that.
const LIMITS: &str = "groups:
  - name: limits
    rules:
      - {record: 'godebug:memory_limit_bytes', labels: {service: leaking}, expr: '17179869184'}
      - {record: 'godebug:threshold', labels: {service: storm, alert: GoGCCPUHigh}, expr: '0.02'}
";

/// Whom to blame is told from whole ten minutes, longer than this test; tests/alerts and src/aggregate have it.
const LATE: &str = "go_goroutines_leak_blamed";

/// Its services, and what watches them.
struct Stack {
    leaking: Service,
    crashing: Service,
    _others: [Service; 3],
    _exporter: Exporter,
    _receiver: Receiver,
    prometheus: Prometheus,
    alertmanager: Alertmanager,
    folder: TempDir,
}

/// A service whose stderr goes to NAME.log in the folder. Whoever burns CPU gets little if others want it too.
fn service(folder: &Path, name: &str, godebug: &str, arguments: &[&str]) -> Service {
    let log = File::options().create(true).append(true).open(folder.join(format!("{name}.log")));
    let burns = arguments.contains(&"-spin") || arguments.contains(&"-alloc");
    let mut command = Command::new("nice");
    command.args(["-n", if burns { "10" } else { "0" }]).arg(go::service(go::NEWEST));
    command
        .args(arguments)
        .env("GODEBUG", godebug)
        .env("GOGC", if burns { "20" } else { "100" })
        .env("GOMAXPROCS", if burns { "1" } else { "2" });
    Service::of_command(&mut command, log.unwrap())
}

impl Stack {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let leaking = service(at, "leaking", USUAL, &["-traffic", "5"]);
        let storm = service(at, "storm", ALL_TRACES, &["-alloc", "600", "-live", "80"]);
        let saturated = service(at, "saturated", DETAIL, &["-spin", "6"]);
        let crashing = service(at, "crashing", USUAL, &["-traffic", "5"]);
        let healthy = service(at, "healthy", USUAL, &["-traffic", "5", "-live", "5"]);
        let receiver = Receiver::start(&[], Reply::Take);
        let found = format!(
            r#"[{{"targets": ["{}"], "labels": {{"app": "healthy"}}}}]"#,
            healthy.remote.address()
        );
        fs::write(at.join("targets.json"), found).unwrap();
        let endpoints = [
            ("leaking", &leaking),
            ("storm", &storm),
            ("saturated", &saturated),
            ("crashing", &crashing),
        ];
        write_cgroup(&at.join("cgroup"));
        let exporter = Exporter::configured(&exporter_config(at, &receiver, &endpoints));
        exporter.ready();
        let alertmanager = Alertmanager::start();
        let prometheus = Prometheus::newest_configured(&prometheus_config(
            at,
            exporter.address(),
            alertmanager.address,
        ));
        let others = [storm, saturated, healthy];
        Self {
            leaking,
            crashing,
            _others: others,
            _exporter: exporter,
            _receiver: receiver,
            prometheus,
            alertmanager,
            folder,
        }
    }
}

/// As version 2 of cgroups has it: not every machine lets us make one.
fn write_cgroup(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for (name, content) in [
        ("cgroup.procs", ""),
        ("cpu.stat", "usage_usec 900\nnr_periods 7\nnr_throttled 1\nthrottled_usec 5\n"),
        ("memory.max", "536870912\n"),
        ("memory.current", "20000000\n"),
        ("memory.stat", "inactive_file 0\n"),
    ] {
        fs::write(folder.join(name), content).unwrap();
    }
}

fn exporter_config(at: &Path, receiver: &Receiver, services: &[(&str, &Service)]) -> String {
    let folder = at.display();
    let mut text = format!(
        "{DETECTOR}state: {{directory: {folder}/state, interval: 1s}}
otlp: {{endpoint: '{}', protocol: http/protobuf, interval: 1s}}
discovery:
  - file_sd_configs: [{{files: [{folder}/targets.json]}}]
    service:
      name: \"${{app}}\"
      trace: {{file: '{folder}/${{app}}.log', from: beginning}}
      expvar: {{url: 'http://${{__address__}}', interval: 1s}}
      pprof: {{url: 'http://${{__address__}}', interval: 1s, max_share: 100%, goroutineleak: 1h}}
services:
",
        receiver.url(),
    );
    for (name, service) in services {
        let url = service.remote.address();
        text += &format!(
            "  - name: {name}
    trace: {{file: '{folder}/{name}.log', from: beginning}}
    expvar: {{url: 'http://{url}', interval: 1s}}
    pprof: {{url: 'http://{url}', interval: 1s, max_share: 100%, goroutineleak: 1h}}
    container: {{cgroup: '{folder}/cgroup', cpu_limit: 8}}
    runqueue_per_p: {}
",
            *name == "saturated",
        );
    }
    text
}

fn prometheus_config(at: &Path, exporter: SocketAddr, alertmanager: SocketAddr) -> String {
    fs::write(at.join("limits.yaml"), LIMITS).unwrap();
    for name in ["alerts.yaml", "recording.yaml"] {
        let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus").join(name);
        fs::write(at.join(name), sixty_times_as_fast(&fs::read_to_string(real).unwrap())).unwrap();
    }
    let folder = at.display();
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ['{folder}/limits.yaml', '{folder}/recording.yaml', '{folder}/alerts.yaml']
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}
scrape_configs:
  - job_name: godebug-exporter
    honor_labels: true
    scrape_protocols: [PrometheusProto]
    scrape_native_histograms: true
    always_scrape_classic_histograms: true
    static_configs: [{{targets: ['{exporter}'], labels: {{namespace: shop, pod: exporter-0}}}}]
"
    )
}

/// Rules whose durations are a sixtieth; `3600` in them are the seconds of an hour.
fn sixty_times_as_fast(rules: &str) -> String {
    let mut found = String::new();
    let mut rest = rules;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let in_name =
            rest[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        let digits =
            rest[at..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| at + end);
        let number: u64 = rest[at..digits].parse().unwrap();
        let after = &rest[digits..];
        let ends = !after.get(1..2).is_some_and(|next| next.as_bytes()[0].is_ascii_alphanumeric());
        let seconds = match after.as_bytes().first() {
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => 86_400,
            Some(b'w') => 604_800,
            _ => 0,
        };
        found += &rest[..at];
        if seconds > 0 && ends && !in_name {
            found += &format!("{}s", number * seconds / 60);
            rest = &after[1..];
        } else {
            found += if number == 3600 { "60" } else { &rest[at..digits] };
            rest = after;
        }
    }
    found + rest
}

#[test]
fn rules_are_made_fast_and_otherwise_left_alone() {
    let check = |rules: &str, expected: &str| assert_eq!(sixty_times_as_fast(rules), expected);
    check(
        "rate(x:p99_rate15m[15m] offset 1d) > 0.25",
        "rate(x:p99_rate15m[15s] offset 1440s) > 0.25",
    );
    check("for: 5m\nlabels: {a: m}", "for: 5s\nlabels: {a: m}");
    check("predict_linear(x[6h], 24 * 3600) > 10000", "predict_linear(x[360s], 24 * 60) > 10000");
    check("[1w]) < 50", "[10080s]) < 50");
}

struct Alertmanager {
    address: SocketAddr,
    log: Captured,
    _process: Process,
    _folder: TempDir,
}

impl Alertmanager {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("alertmanager.yml");
        fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").unwrap();
        let address = ports::free();
        let mut child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Alertmanager is missing: run tests/toolchains.sh alertmanager");
        let log = Captured::of(child.stderr.take().unwrap());
        let this = Self { address, log, _process: Process(child), _folder: folder };
        wait_until_or(
            "Alertmanager is ready",
            || http::get(address, "/-/ready").ok().filter(|answer| answer.status == 200),
            || this.log.text(),
        );
        this
    }

    /// Labels and annotations of what it was sent.
    fn alerts(&self) -> Vec<Value> {
        serde_json::from_str(&http::body(self.address, "/api/v2/alerts")).unwrap()
    }

    fn wait_for(&self, name: &str, service: &str) -> Value {
        let is_it = |alert: &Value| {
            alert["labels"]["alertname"] == name && alert["labels"]["service"] == service
        };
        wait_until_or(
            &format!("{name} of {service}"),
            || self.alerts().into_iter().find(is_it),
            || format!("{:#}", Value::from(self.alerts())),
        )
    }
}

/// As Grafana would send them, in the time of this test.
fn sent(expression: &str) -> String {
    asked(expression, "10s", "2m")
}

/// Those that have had no data yet: the dashboard, the panel and the query.
fn wait_for_data(prometheus: &Prometheus) {
    let mut queries = Vec::new();
    for (name, dashboard) in crate::dashboards::all() {
        for (title, expression) in crate::dashboards::expressions(&dashboard) {
            if !expression.contains(LATE) {
                queries.push((name, title, sent(&expression)));
            }
        }
    }
    assert!(queries.len() > 150, "{}", queries.len());
    let left = RefCell::new(queries);
    wait_until_or(
        "every query has had data",
        || {
            let now = prometheus.query("vector(time())").unwrap();
            // Marks are of a moment: in the whole run.
            let none = |query: &str| prometheus.range(query, now - 300.0, now, 2).is_empty();
            left.borrow_mut().retain(|(_, _, query)| none(query));
            left.borrow().is_empty().then_some(())
        },
        || format!("{:#?}", left.borrow()),
    );
}

#[test]
fn it_sees_what_services_do_and_says_so() {
    let mut stack = Stack::start();
    let (prometheus, alertmanager) = (&stack.prometheus, &stack.alertmanager);
    prometheus.wait("services are seen as they are before", || {
        let seen = "go_panics_total{service=\"crashing\"} and on () group (go_goroutines_by_function{service=\"leaking\"})";
        prometheus.query(seen)
    });
    stack.leaking.remote.control("leakrate?n=20");
    http::get(stack.crashing.remote.address(), "/control/panic?text=boom").unwrap();
    alertmanager.wait_for("GoCrashed", "crashing");
    stack.crashing = service(stack.folder.path(), "crashing", USUAL, &["-traffic", "5"]);

    let alert = alertmanager.wait_for("GoGoroutinesLeaked", "leaking");
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert_eq!(alert["labels"]["function"], "main.leakyHandler", "{alert}");
    assert!(summary.contains("in main.leakyHandler (service/main.go:"), "{summary}");
    alertmanager.wait_for("GoGoroutineLeakSuspected", "leaking");
    alertmanager.wait_for("GoSchedulerSaturated", "saturated");
    alertmanager.wait_for("GoGCCPUHigh", "storm");
    wait_for_data(prometheus);
    draw::if_asked(prometheus);

    // In the whole run, and nobody else was said to leak.
    let truth = stack.leaking.remote.truth();
    assert!(truth.memstats("NumGC") > 0, "it runs still");
    let fired =
        "count by (alertname, service) (count_over_time(ALERTS{alertstate=\"firing\"}[1h]))";
    for alert in prometheus.results(fired, None) {
        let labels = &alert["metric"];
        assert_ne!(labels["service"], "healthy", "{labels}");
        let name = labels["alertname"].as_str().unwrap();
        assert!(!name.contains("Leak") || labels["service"] == "leaking", "{labels}");
    }
}
