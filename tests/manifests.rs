//! What deploy/ has for Kubernetes: taken by several of its releases, and by the Prometheus Operator.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::manifests::{kustomized, objects, problems};

fn are_valid(from: &str, objects: &[Value]) {
    assert!(!objects.is_empty(), "{from}");
    for object in objects {
        let problems = problems(object);
        assert!(problems.is_empty(), "{from}: {problems:#?}\n{object:#}");
    }
}

fn file(path: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    objects(&fs::read_to_string(path).unwrap())
}

#[test]
fn what_kubernetes_refuses_is_seen() {
    let check = |object: Value, told: &str| {
        let problems = problems(&object);
        assert!(problems.iter().any(|problem| problem.contains(told)), "{problems:#?}");
    };
    let pod = |container: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}});
    assert!(problems(&pod(json!({"name": "c", "image": "i"}))).is_empty());
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
    assert!(problems(&monitor(json!({"port": "p"}))).is_empty());
    check(monitor(json!({"prot": "p"})), "prot");
}

#[test]
fn the_examples_are_valid() {
    for example in ["wrapper", "sidecar"] {
        let folder = format!("deploy/kubernetes/{example}");
        are_valid(&folder, &kustomized(&folder));
    }
    let monitor = "deploy/kubernetes/podmonitor.yaml";
    are_valid(monitor, &file(monitor));
}

#[test]
fn the_rules_are_valid() {
    for rules in ["alerts", "recording"] {
        let path = format!("deploy/prometheus-operator/{rules}.yaml");
        are_valid(&path, &file(&path));
    }
}

#[test]
fn the_pod_monitor_finds_the_examples_pods() {
    let monitor = file("deploy/kubernetes/podmonitor.yaml").remove(0);
    let selected = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    for example in ["wrapper", "sidecar"] {
        let pod = &kustomized(&format!("deploy/kubernetes/{example}"))[0]["spec"]["template"];
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
