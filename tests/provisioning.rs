//! The alerts in two more forms, from the one source deploy/prometheus/alerts.yaml: Grafana-managed rules, and
//! PrometheusRule objects. After a change: `BLESS=1 tests/run.sh provisioning`.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::alerts::{Group, groups};
use crate::support::exporter::output;
use crate::support::prometheus::promtool;

const GRAFANA: &str = "deploy/grafana/provisioning/alerting/rules.yaml";

const GRAFANA_HEAD: &str = "\
# Written by a test from deploy/prometheus/alerts.yaml; do not edit it here.
#
# Instead of Prometheus' own alerts, for who has Grafana send them. Prometheus still needs recording.yaml. A series that
# an expression leaves fires, whatever its value: B is that value, C says whether there is one.
apiVersion: 1
groups:
";

/// Of deploy/grafana/provisioning/datasources.
const DATA_SOURCE: &str = "godebug-prometheus";

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_default()
}

fn is_committed(path: &str, expected: &str) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(file(path).parent().unwrap()).unwrap();
        // The other tests read it at this moment.
        let new = file(&format!("{path}.new"));
        std::fs::write(&new, expected).unwrap();
        std::fs::rename(&new, file(path)).unwrap();
    }
    let found = text(path);
    let differs = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    assert!(found == expected, "{path}: run with BLESS=1 and look at what changed: {differs:#?}");
}

/// A text as YAML has it in quotes: what JSON says, YAML reads alike.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn grafana_rules(groups: &[Group]) -> String {
    let mut out = GRAFANA_HEAD.to_owned();
    for group in groups {
        write!(
            out,
            "  - orgId: 1\n    name: {}\n    folder: godebug-exporter\n    interval: 1m\n    rules:\n",
            group.name
        )
        .unwrap();
        for rule in &group.rules {
            let name = rule.alert.as_ref().unwrap();
            let hold = rule.hold.as_deref().unwrap_or("0s");
            // Grafana's $value is a text of all values.
            let summary = rule.annotations["summary"].replace("$value", "$values.B.Value");
            let (severity, runbook) = (&rule.labels["severity"], &rule.annotations["runbook"]);
            let expression = rule.expr.trim_end().replace('\n', "\n                ");
            write!(
                out,
                "      - uid: {name}
        title: {name}
        condition: C
        for: {hold}
        noDataState: OK
        execErrState: Error
        labels: {{severity: {severity}}}
        annotations:
          summary: {summary}
          runbook: {runbook}
        data:
          - refId: A
            relativeTimeRange: {{from: 600, to: 0}}
            datasourceUid: {DATA_SOURCE}
            model:
              refId: A
              instant: true
              range: false
              expr: |-
                {expression}
          - refId: B
            datasourceUid: __expr__
            model: {{refId: B, type: reduce, reducer: last, expression: A, datasource: {{type: __expr__, uid: __expr__}}}}
          - refId: C
            datasourceUid: __expr__
            model:
              refId: C
              type: math
              expression: is_number($B) || is_nan($B) || is_inf($B)
              datasource: {{type: __expr__, uid: __expr__}}
",
                summary = quoted(&summary),
            )
            .unwrap();
        }
    }
    out
}

/// The rules file as it is, comments too, a level deeper.
fn prometheus_rule(name: &str) -> String {
    let source = format!("deploy/prometheus/{name}.yaml");
    let mut out = format!(
        "# Written by a test from {source}; do not edit it here.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: godebug-exporter-{name}
  labels:
    app.kubernetes.io/name: godebug-exporter
spec:
"
    );
    for line in text(&source).lines() {
        out += if line.is_empty() { "" } else { "  " };
        out += line;
        out.push('\n');
    }
    out
}

#[test]
fn grafana_managed_rules_are_those_of_prometheus() {
    is_committed(GRAFANA, &grafana_rules(&groups("alerts.yaml")));
}

#[test]
fn prometheus_rules_of_kubernetes_are_those_of_prometheus() {
    for name in ["alerts", "recording"] {
        is_committed(&format!("deploy/prometheus-operator/{name}.yaml"), &prometheus_rule(name));
    }
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn each_form_reads_as_it_should() {
    let alerts = groups("alerts.yaml");
    let grafana = yaml(GRAFANA);
    let kubernetes = yaml("deploy/prometheus-operator/alerts.yaml");
    for (at, group) in alerts.iter().enumerate() {
        assert_eq!(kubernetes["spec"]["groups"][at]["name"], group.name.as_str());
        for (n, rule) in group.rules.iter().enumerate() {
            let theirs = &kubernetes["spec"]["groups"][at]["rules"][n];
            assert_eq!(theirs["expr"], rule.expr.as_str());
            let theirs = &grafana["groups"][at]["rules"][n];
            let query = &theirs["data"][0];
            assert_eq!(query["model"]["expr"], rule.expr.trim_end());
            assert_eq!(theirs["for"], rule.hold.as_deref().unwrap_or("0s"));
            assert_eq!(theirs["labels"]["severity"], rule.labels["severity"].as_str());
            // Labels are the one part in which Grafana takes $x for a variable of the environment.
            assert!(!theirs["labels"].to_string().contains('$'));
            // At most 40, of these.
            let uid = theirs["uid"].as_str().unwrap();
            assert!(uid.len() <= 40 && uid.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let summary = theirs["annotations"]["summary"].as_str().unwrap();
            assert!(!summary.contains("$value "), "{summary}");
        }
    }
}

#[test]
fn what_grafana_is_given_fits_together() {
    let sources = yaml("deploy/grafana/provisioning/datasources/prometheus.yaml");
    assert_eq!(sources["datasources"][0]["uid"], DATA_SOURCE);
    let dashboards = yaml("deploy/grafana/provisioning/dashboards/godebug-exporter.yaml");
    let path = dashboards["providers"][0]["options"]["path"].as_str().unwrap();
    let compose = text("deploy/compose/compose.yaml");
    assert!(compose.contains(&format!("../../dashboards:{path}:ro")), "{path}");
    let points = yaml("deploy/grafana/provisioning/alerting/contact-points.yaml");
    assert_eq!(points["contactPoints"][0]["orgId"], 1);
}

#[test]
fn what_compose_is_given_is_right() {
    let said = output(&["check", file("deploy/compose/exporter.yaml").to_str().unwrap()]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    // Where the container has them.
    let rules = file("deploy/prometheus");
    let config = text("deploy/compose/prometheus.yml")
        .replace("/etc/prometheus/rules", rules.to_str().unwrap());
    let mounted = "../prometheus:/etc/prometheus/rules:ro";
    assert!(text("deploy/compose/compose.yaml").contains(mounted));
    let here = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(here.path(), config).unwrap();
    promtool(&["check", "config"], &[here.path().to_path_buf()]);
}
