//! What kubectl and helm make of the files below deploy/.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::go;

/// The objects that `kubectl kustomize` makes of a folder.
pub(crate) fn kustomized(folder: &str) -> Vec<Value> {
    let mut command = Command::new(tool("kubectl"));
    objects(&run(command.arg("kustomize").arg(folder)))
}

/// A program that tests/toolchains.sh installed, or one that was there.
pub(crate) fn tool(name: &str) -> PathBuf {
    let ours = go::cache().join("bin").join(name);
    if ours.exists() { ours } else { name.into() }
}

/// Runs a program in the repository's folder, which must succeed, and gives what it prints.
pub(crate) fn run(command: &mut Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output
        .unwrap_or_else(|error| panic!("{name}: {error}: run tests/toolchains.sh kubernetes"));
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {said}{printed}");
    printed
}

pub(crate) fn objects(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_yaml::from_multiple(text).unwrap();
    all.into_iter().filter(|one| !one.is_null()).collect()
}

/// Kubernetes from the first with native sidecars on by default, to the newest whose schemas are there.
const RELEASES: [&str; 3] = ["1.29.0", "1.33.0", "1.37.0"];

/// What several releases of Kubernetes, or the Prometheus Operator, would refuse of these objects.
pub(crate) fn problems(objects: &[Value]) -> Vec<String> {
    let of_operator = |object: &&Value| {
        object["apiVersion"].as_str().unwrap().starts_with("monitoring.coreos.com/")
    };
    let (theirs, own): (Vec<&Value>, Vec<&Value>) = objects.iter().partition(of_operator);
    let mut outputs = Vec::new();
    for object in theirs {
        let mut command = Command::new(tool("operator-objects"));
        command.arg(object["kind"].as_str().unwrap());
        outputs.push(fed(command, &object.to_string()));
    }
    let own: Vec<String> = own.into_iter().map(Value::to_string).collect();
    let schemas = go::cache().join("kubernetes-schemas");
    let schemas = format!(
        "{}/{{{{.NormalizedKubernetesVersion}}}}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        schemas.display()
    );
    for release in RELEASES {
        let mut command = Command::new(tool("kubeconform"));
        command.args(["-strict", "-kubernetes-version", release, "-schema-location", &schemas]);
        outputs.push(fed(command, &own.join("\n---\n")));
    }
    let failed = outputs.iter().filter(|output| !output.status.success());
    let said = |output: &Output| [output.stdout.as_slice(), &output.stderr].concat();
    failed.map(|output| String::from_utf8_lossy(&said(output)).into_owned()).collect()
}

fn fed(mut command: Command, input: &str) -> Output {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("a tool is missing: run tests/toolchains.sh kubernetes");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What `helm template` makes of our chart with these values (`key=value`).
pub(crate) fn templated(values: &[&str]) -> Vec<Value> {
    objects(&run(&mut helm("template", values)))
}

/// A command of helm on our chart; the release has the name that the kustomizations have.
pub(crate) fn helm(what: &str, values: &[&str]) -> Command {
    let mut command = Command::new(tool("helm"));
    command.arg(what);
    if what == "template" {
        command.arg("godebug-exporter");
    }
    command.args(["deploy/helm/godebug-exporter", "--namespace", "godebug-exporter"]);
    // Helm's own is of its build, if it was built by `go install`.
    command.args(["--kube-version", "1.33.0"]);
    for value in values {
        command.args(["--set", value]);
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}
