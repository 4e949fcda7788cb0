//! The rules of deploy/prometheus: promtool takes them, each alert fires as its test in tests/alerts says, and all of
//! them name only what the exporter exports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use godebug_exporter::aggregate::catalog::METRICS;
use godebug_exporter::model::metric::Kind;
use godebug_exporter::telemetry::metrics::Metrics;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::support::prometheus::promtool;
use crate::support::promql::Expression;

/// Added to each series by Prometheus, and to each one of a service by us.
const OF_TARGETS: [&str; 2] = ["job", "instance"];
const OF_SERVICES: [&str; 4] = ["job", "instance", "service", "log"];

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) rules: Vec<Rule>,
}

#[derive(Deserialize)]
pub(crate) struct Rule {
    record: Option<String>,
    pub(crate) alert: Option<String>,
    pub(crate) expr: String,
    #[serde(rename = "for")]
    pub(crate) hold: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Tests {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    input_series: Vec<Series>,
    alert_rule_test: Vec<AlertTest>,
}

#[derive(Deserialize)]
struct Series {
    series: String,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<IgnoredAny>,
}

/// The labels of each metric by its name.
pub(crate) type Known = BTreeMap<String, BTreeSet<String>>;

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn files(path: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(path)).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|file| file.extension().is_some_and(|found| found == extension));
    found.sort();
    assert!(!found.is_empty(), "{path}");
    found
}

fn stems(files: &[PathBuf]) -> BTreeSet<String> {
    files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

pub(crate) fn groups(file: &str) -> Vec<Group> {
    let text = std::fs::read_to_string(folder("deploy/prometheus").join(file)).unwrap();
    let rules: Rules = serde_yaml::from_str(&text).unwrap();
    rules.groups
}

fn rules(file: &str) -> Vec<Rule> {
    groups(file).into_iter().flat_map(|group| group.rules).collect()
}

fn alerts() -> Vec<(String, Rule)> {
    rules("alerts.yaml").into_iter().map(|mut rule| (rule.alert.take().unwrap(), rule)).collect()
}

fn set(labels: &[impl AsRef<str>], more: &[&str]) -> BTreeSet<String> {
    let labels = labels.iter().map(|label| label.as_ref().to_owned());
    labels.chain(more.iter().map(|label| (*label).to_owned())).collect()
}

fn exported() -> Known {
    let mut known = Known::new();
    for desc in METRICS {
        let labels = set(desc.labels, &OF_SERVICES);
        if matches!(desc.kind, Kind::Histogram | Kind::Summary) {
            known.insert(format!("{}_sum", desc.name), labels.clone());
            known.insert(format!("{}_count", desc.name), labels.clone());
        }
        if desc.kind == Kind::Histogram {
            let labels = &labels | &set(&["le"], &[]);
            known.insert(format!("{}_bucket", desc.name), labels);
        }
        known.insert(desc.name.to_owned(), labels);
    }
    for own in Metrics::new().unwrap().described() {
        known.insert(own.name.clone(), set(&own.labels, &OF_TARGETS));
    }
    known
}

/// What rules may name: also what rules record, and the one series that Prometheus makes.
pub(crate) fn nameable() -> Known {
    let mut known = exported();
    known.insert("up".to_owned(), set(&OF_TARGETS, &[]));
    for rule in rules("recording.yaml") {
        let labels: Vec<&String> = rule.labels.keys().collect();
        let of_it = known.entry(rule.record.unwrap()).or_default();
        of_it.extend(set(&OF_SERVICES, &[]));
        of_it.extend(set(&labels, &[]));
    }
    for rule in rules("overrides.example.yaml") {
        let labels: Vec<&String> = rule.labels.keys().collect();
        known.entry(rule.record.unwrap()).or_default().extend(set(&labels, &[]));
    }
    known
}

/// What of an expression is not known, and all labels of its metrics.
pub(crate) fn judge(expression: &str, known: &Known) -> (Vec<String>, BTreeSet<String>) {
    let expression = Expression::read(expression);
    let mut unknown = Vec::new();
    let mut labels = BTreeSet::new();
    for selector in &expression.selectors {
        let Some(of_metric) = known.get(&selector.metric) else {
            unknown.push(selector.metric.clone());
            continue;
        };
        let wrong = selector.labels.iter().filter(|label| !of_metric.contains(*label));
        unknown.extend(wrong.map(|label| format!("{}{{{label}}}", selector.metric)));
        labels.extend(of_metric.iter().cloned());
    }
    unknown.extend(expression.grouping.into_iter().filter(|label| !labels.contains(label)));
    (unknown, labels)
}

/// The labels that an annotation shows.
fn shown(text: &str) -> impl Iterator<Item = &str> {
    text.split("$labels.")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap())
}

#[test]
fn promtool_takes_the_rules() {
    promtool(&["check", "rules"], &files("deploy/prometheus", "yaml"));
}

#[test]
fn each_alert_fires_as_its_test_says() {
    promtool(&["test", "rules"], &files("tests/alerts", "yaml"));
}

#[test]
fn an_unknown_metric_or_label_is_found() {
    let check = |expression: &str, expected: &[&str]| {
        assert_eq!(judge(expression, &nameable()).0, expected, "{expression}");
    };
    check("sum by (service) (rate(go_panics_total{service=~\"a.*\"}[5m])) > 0 # x", &[]);
    check("sum without (kind) (go_panics_total)", &["kind"]);
    check(
        "rate(go_fatal_errors_total{knd=\"go_x\"}[5m] offset 1d)",
        &["go_fatal_errors_total{knd}"],
    );
    check("go_goroutine > on (service) group_left (pod) up", &["go_goroutine", "service", "pod"]);
    check(
        "go_gc_stw_seconds_bucket{le=\"1.0\"} or go_goroutines_bucket",
        &["go_goroutines_bucket"],
    );
    check("topk(3, go_goroutines) and max(go_thread)", &["go_thread"]);
}

#[test]
fn the_rules_name_only_what_is_exported() {
    let known = nameable();
    for file in ["recording.yaml", "overrides.example.yaml", "alerts.yaml"] {
        for rule in rules(file) {
            let (unknown, labels) = judge(&rule.expr, &known);
            assert!(unknown.is_empty(), "{file}: {unknown:?} in {}", rule.expr);
            for text in rule.annotations.values() {
                let strange: Vec<&str> =
                    shown(text).filter(|label| !labels.contains(*label)).collect();
                assert!(strange.is_empty(), "{file}: {strange:?} in {text}");
            }
        }
    }
}

#[test]
fn the_tests_are_of_series_that_are_exported() {
    let known = nameable();
    for file in files("tests/alerts", "yaml") {
        for test in tests(&file) {
            for input in test.input_series {
                let (unknown, _) = judge(&input.series, &known);
                assert!(unknown.is_empty(), "{}: {unknown:?}", file.display());
            }
        }
    }
}

fn tests(file: &Path) -> Vec<Test> {
    let tests: Tests = serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    tests.tests
}

#[test]
fn each_alert_has_a_test_a_runbook_and_a_severity() {
    let alerts = alerts();
    let names: BTreeSet<String> = alerts.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(stems(&files("tests/alerts", "yaml")), names);
    assert_eq!(stems(&files("docs/runbooks", "md")), names);
    for (name, rule) in alerts {
        assert_eq!(rule.annotations["runbook"], format!("docs/runbooks/{name}.md"));
        assert!(["critical", "warning"].contains(&rule.labels["severity"].as_str()), "{name}");
        let summary = &rule.annotations["summary"];
        assert!(summary.contains("$labels.instance"), "{name}: {summary}");
        for test in tests(&folder("tests/alerts").join(format!("{name}.yaml"))) {
            let cases = test.alert_rule_test;
            assert!(cases.iter().all(|case| case.alertname == name), "{name}");
            assert!(cases.iter().any(|case| case.exp_alerts.is_empty()), "{name}: when not yet?");
            assert!(cases.iter().any(|case| case.exp_alerts.len() == 1), "{name}: when?");
            // The one that fires, and the near miss.
            assert!(test.input_series.len() > 1, "{name}: beside what?");
        }
    }
}

#[test]
fn the_runbooks_tell_of_what_is_exported() {
    let known = nameable();
    for file in files("docs/runbooks", "md") {
        let text = std::fs::read_to_string(&file).unwrap();
        for heading in ["## What it means", "## What to look at", "## What to do"] {
            assert!(text.contains(heading), "{}: {heading}", file.display());
        }
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
        let ours = words.filter(|word| {
            ["go_", "godebug_", "service:go"].iter().any(|start| word.starts_with(start))
        });
        let unknown: Vec<&str> = ours.filter(|word| !known.contains_key(*word)).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", file.display());
    }
}
