//! What deploy/ has for Kubernetes: taken by several of its releases, and by the Prometheus Operator.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::manifests::{kustomized, objects, problems, run, tool};

fn are_valid(from: &str, objects: &[Value]) {
    assert!(!objects.is_empty(), "{from}");
    let problems = problems(objects);
    assert!(problems.is_empty(), "{from}: {problems:#?}");
}

fn file(path: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    objects(&fs::read_to_string(path).unwrap())
}

#[test]
fn what_kubernetes_refuses_is_seen() {
    let check = |object: Value, told: &str| {
        let problems = problems(&[object]);
        assert!(problems.iter().any(|problem| problem.contains(told)), "{problems:#?}");
    };
    let pod = |container: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}});
    assert_eq!(problems(&[pod(json!({"name": "c", "image": "i"}))]), [""; 0]);
    check(pod(json!({"name": "c", "image": "i", "comand": []})), "comand");
    check(pod(json!({"image": "i"})), "name");
    check(pod(json!({"name": "c", "ports": [{"containerPort": "x"}]})), "containerPort");
    check(
        json!({"apiVersion": "apps/v1beta1", "kind": "Deployment", "metadata": {"name": "d"}}),
        "schema",
    );
    let monitor = |endpoint: Value| {
        json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "m"},
            "spec": {"selector": {}, "podMetricsEndpoints": [endpoint]}})
    };
    assert_eq!(problems(&[monitor(json!({"port": "p"}))]), [""; 0]);
    check(monitor(json!({"prot": "p"})), "prot");
}

#[test]
fn the_examples_are_valid() {
    for example in ["wrapper", "sidecar", "sidecar-api"] {
        let folder = format!("deploy/kubernetes/{example}");
        are_valid(&folder, &kustomized(&folder));
    }
    let monitor = "deploy/kubernetes/podmonitor.yaml";
    are_valid(monitor, &file(monitor));
}

#[test]
fn the_rules_are_valid() {
    let rules = kustomized("deploy/prometheus-operator");
    are_valid("deploy/prometheus-operator", &rules);
    assert_eq!(rules.len(), 2, "alerts and recording rules");
}

#[test]
fn every_dashboard_has_a_config_map() {
    let maps = kustomized("dashboards");
    are_valid("dashboards", &maps);
    let labelled = maps.iter().all(|map| map["metadata"]["labels"]["grafana_dashboard"] == "1");
    assert!(labelled, "Grafana's sidecar finds them by it");
    let mut texts: Vec<&str> = maps
        .iter()
        .flat_map(|map| map["data"].as_object().unwrap().values())
        .map(|text| text.as_str().unwrap())
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|end| end == "json"));
    let mut there: Vec<String> = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    texts.sort_unstable();
    there.sort_unstable();
    assert!(texts == there, "{} of {}", texts.len(), there.len());
}

#[test]
fn the_pod_monitor_finds_the_examples_pods() {
    let monitor = file("deploy/kubernetes/podmonitor.yaml").remove(0);
    let selected = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    for example in ["wrapper", "sidecar", "sidecar-api"] {
        let objects = kustomized(&format!("deploy/kubernetes/{example}"));
        let deployment = objects.iter().find(|one| one["kind"] == "Deployment").unwrap();
        let pod = &deployment["spec"]["template"];
        for (label, value) in selected {
            assert_eq!(&pod["metadata"]["labels"][label], value, "{example}");
        }
        let of = |key: &str| pod["spec"][key].as_array().cloned().unwrap_or_default();
        let ours = [of("containers"), of("initContainers")].concat().into_iter();
        let ports = ours.flat_map(|one| one["ports"].as_array().cloned().unwrap_or_default());
        let ports: Vec<Value> = ports.filter(|one| &one["name"] == port).collect();
        assert_eq!(ports, [json!({"name": port, "containerPort": 10390})], "{example}");
    }
}

#[test]
fn the_release_workflow_is_one() {
    run(Command::new(tool("actionlint")).arg(".github/workflows/release.yml"));
}

/// Nobody shall have to look for all of them.
#[test]
fn versions_agree() {
    let version = env!("CARGO_PKG_VERSION");
    let text =
        |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let says = |path: &str, line: &str| {
        let found = text(path).lines().any(|one| one.trim() == line);
        assert!(found, "{path} does not say {line}");
    };
    for line in [format!("version: {version}"), format!("appVersion: {version}")] {
        says("deploy/helm/godebug-exporter/Chart.yaml", &line);
    }
    for folder in
        ["kubernetes/wrapper", "kubernetes/sidecar", "kubernetes/sidecar-api", "kustomize/base"]
    {
        says(&format!("deploy/{folder}/kustomization.yaml"), &format!("newTag: {version}"));
    }
    let rust = text("deploy/Dockerfile");
    let rust = rust.lines().find_map(|line| line.strip_prefix("ARG RUST=")).unwrap();
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    assert!(
        rust.starts_with(oldest),
        "the image is built with the oldest release that is promised: {oldest}"
    );
}
