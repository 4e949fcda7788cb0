//! The agent's two forms, the Helm chart and the kustomizations: the same objects, which Kubernetes takes.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::exporter::output;
use crate::support::manifests::{helm, kustomized, problems, run, templated};

/// Each kustomization, and the chart's values that give the same.
const PAIRS: [(&str, &[&str]); 3] = [
    ("deploy/kustomize/base", &[]),
    (
        "deploy/kustomize/overlays/prometheus-operator",
        &["podMonitor.enabled=true", "prometheusRule.enabled=true", "dashboards.enabled=true"],
    ),
    ("deploy/kustomize/overlays/network-policy", &["networkPolicy.enabled=true"]),
];

const EVERYTHING: [&str; 12] = [
    "podMonitor.enabled=true",
    "podMonitor.interval=30s",
    "podMonitor.labels.release=prometheus",
    "serviceMonitor.enabled=true",
    "serviceMonitor.scrapeTimeout=10s",
    "prometheusRule.enabled=true",
    "dashboards.enabled=true",
    "networkPolicy.enabled=true",
    "networkPolicy.egress[0].ports[0].port=443",
    "state.type=hostPath,podSecurityContext.runAsUser=0,podSecurityContext.runAsNonRoot=false",
    "logs.docker=/var/lib/docker/containers",
    "extraLabels.team=platform,priorityClassName=high,image.digest=",
];

type Objects = BTreeMap<(String, String), Value>;

/// By kind and name, without what only one of the two has: labels that tell of Helm, and the mark of a changed config,
/// which kustomize has in the ConfigMap's name.
fn plain(objects: Vec<Value>) -> Objects {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    let kind = |object: &Value| object["kind"].as_str().unwrap().to_owned();
    let config = objects.iter().find(|object| object["data"]["config.yaml"].is_string());
    let config = name(config.expect("a config"));
    let mut all = Objects::new();
    for object in objects {
        let mut object = renamed(object, &config);
        let pod = object.pointer_mut("/spec/template/metadata").map(Value::take);
        if let Some(mut pod) = pod {
            pod["annotations"].as_object_mut().map(|all| all.remove("checksum/config"));
            object["spec"]["template"]["metadata"] = without_labels_of_helm(pod);
        }
        object["metadata"] = without_labels_of_helm(object["metadata"].take());
        if let Some(text) = object["data"]["config.yaml"].as_str() {
            object["data"]["config.yaml"] = serde_yaml::from_str(text).unwrap();
        }
        let key = (kind(&object), name(&object));
        assert!(all.insert(key.clone(), without_nothing(object)).is_none(), "{key:?} twice");
    }
    all
}

/// The config by a name that tells nothing of what is in it.
fn renamed(value: Value, config: &str) -> Value {
    match value {
        Value::String(text) if text == config && text != "godebug-exporter" => {
            "godebug-exporter".into()
        }
        Value::Array(all) => all.into_iter().map(|one| renamed(one, config)).collect(),
        Value::Object(all) => {
            all.into_iter().map(|(key, one)| (key, renamed(one, config))).collect()
        }
        other => other,
    }
}

fn without_labels_of_helm(mut metadata: Value) -> Value {
    for label in ["helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"] {
        metadata["labels"].as_object_mut().map(|labels| labels.remove(label));
    }
    metadata
}

/// A map with nothing in it says as much as none, and so does null.
fn without_nothing(value: Value) -> Value {
    let is_nothing =
        |value: &Value| value.is_null() || value.as_object().is_some_and(|map| map.is_empty());
    match value {
        Value::Array(all) => all.into_iter().map(without_nothing).collect(),
        Value::Object(all) => all
            .into_iter()
            .map(|(key, one)| (key, without_nothing(one)))
            .filter(|(key, one)| key == "kubernetes" || !is_nothing(one))
            .collect(),
        other => other,
    }
}

#[test]
fn chart_and_kustomization_are_the_same_objects() {
    for (folder, values) in PAIRS {
        let mut kustomized = plain(kustomized(folder));
        // Helm has --create-namespace.
        let namespace = ("Namespace".to_owned(), "godebug-exporter".to_owned());
        assert!(kustomized.remove(&namespace).is_some(), "{folder}");
        let templated = plain(templated(values));
        let names = |all: &Objects| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&kustomized), names(&templated), "{folder}");
        for (key, object) in &kustomized {
            assert_eq!(object, &templated[key], "{folder}: {key:?}");
        }
    }
}

#[test]
fn every_release_takes_the_agents_objects() {
    let everything = templated(&EVERYTHING);
    assert_eq!(everything.iter().filter(|one| one["kind"] == "ServiceMonitor").count(), 1);
    let mut all = vec![everything];
    for (folder, values) in PAIRS {
        all.extend([kustomized(folder), templated(values)]);
    }
    all.push(templated(&[&["mode=sidecar"], PAIRS[1].1].concat()));
    assert!(all.iter().all(|objects| objects.len() > 4), "{all:#?}");
    let problems = problems(&all.concat());
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn helm_finds_no_fault_and_the_schema_does() {
    run(helm("lint", &[]).arg("--strict"));
    let check = |value: &str, told: &str| {
        let output = helm("template", &[value]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(told), "{value}: {said}");
    };
    check("mode=demonset", "'/mode'");
    check("podMonitr.enabled=true", "podMonitr");
    check("podMonitor.interval=30", "'/podMonitor/interval'");
    check("logs.pods=var/log", "'/logs/pods'");
    // The kubelet makes that folder for root alone.
    check("state.type=hostPath", "'/podSecurityContext/runAsUser'");
    check("state.type=none", "'/config/state'");
    let stateless = templated(&["state.type=none", "config.state=null"]);
    let agent = stateless.iter().find(|one| one["kind"] == "DaemonSet").unwrap();
    assert!(!agent.to_string().contains("/var/lib/godebug-exporter"), "{agent:#}");
}

#[test]
fn the_agents_config_is_valid() {
    for objects in [kustomized("deploy/kustomize/base"), templated(&[])] {
        let text = objects.iter().find_map(|object| object["data"]["config.yaml"].as_str());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text.unwrap()).unwrap();
        let output = output(&["check", file.path().to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
}

#[test]
fn only_pods_are_watched_and_only_logs_are_mounted() {
    let objects = templated(&[]);
    let of = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let rules = &of("ClusterRole")["rules"];
    assert_eq!(
        rules,
        &serde_json::json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["watch"]}])
    );
    let pod = &of("DaemonSet")["spec"]["template"]["spec"];
    let host: Vec<&Value> = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|volume| volume["hostPath"].get("path"))
        .collect();
    assert_eq!(host, ["/var/log/pods"]);
    for mount in pod["containers"][0]["volumeMounts"].as_array().unwrap() {
        assert!(mount["name"] == "state" || mount["readOnly"] == true, "{mount}");
    }
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(shared).is_none(), "{shared}");
    }
}

#[test]
fn the_chart_is_packed_with_what_it_links_to() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    let chart = env!("CARGO_MANIFEST_DIR").to_owned() + "/deploy/helm/godebug-exporter";
    let mut package = Command::new(crate::support::manifests::tool("helm"));
    run(package.args(["package", &chart, "--destination", to]));
    let packed = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let listed = run(Command::new("tar").arg("tzf").arg(&packed));
    for file in ["rules/alerts.yaml", "rules/recording.yaml", "dashboards/service.json"] {
        assert!(listed.contains(&format!("godebug-exporter/{file}\n")), "{file}: {listed}");
    }
    assert!(!listed.contains("source/"), "{listed}");
}
