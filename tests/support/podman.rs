//! Real containers and pods, by podman: images FROM scratch, and the examples of deploy/kubernetes as they are.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::wait::wait_until;
use super::{go, manifests};

/// The names that the examples have, and that the images get here.
const EXPORTER: &str = "registry.example/godebug-exporter:0.1.0";
const SERVICE: &str = "registry.example/checkout:1";

/// Of what may be run in all; runc, because Debian's podman brings it; limits that a container may set itself.
const SETTINGS: &str = "\
[containers]
default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]
[engine]
runtime = \"runc\"
cgroup_manager = \"cgroupfs\"
";

/// A storage of its own, with the image that deploy/Dockerfile makes and one of a service; all gone at its end.
pub(crate) struct Podman {
    folder: TempDir,
}

impl Podman {
    pub(crate) fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        let context = this.folder.path().join("context");
        let program = program();
        put(&program, &context.join("binary/godebug-exporter"));
        put(go::service(go::NEWEST), &context.join("service/app/checkout"));
        put(Path::new("/bin/busybox"), &context.join("service/bin/sh"));
        for library in libraries(&program) {
            put(&library, &context.join("libraries").join(library.strip_prefix("/").unwrap()));
        }
        fs::create_dir_all(context.join("libraries")).unwrap();
        fs::write(this.folder.path().join("containers.conf"), SETTINGS).unwrap();
        fs::write(context.join("exporter"), format!("FROM {EXPORTER}\nCOPY libraries /\n"))
            .unwrap();
        fs::write(context.join("checkout"), "FROM scratch\nCOPY libraries service /\n").unwrap();

        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/Dockerfile");
        let build = |file: &Path, tag: &str| {
            let file = file.to_str().unwrap();
            let binary = format!("build={}", context.join("binary").display());
            let context = context.to_str().unwrap();
            this.run(&["build", "--build-context", &binary, "-f", file, "-t", tag, context]);
        };
        build(&shipped, EXPORTER);
        build(&context.join("exporter"), EXPORTER);
        build(&context.join("checkout"), SERVICE);
        this
    }

    /// Has it do something, and gives what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output();
        let output = output.expect("podman is missing: run tests/toolchains.sh podman");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "podman {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", folder.join("containers.conf"));
        command.arg("--root").arg(folder.join("root")).arg("--runroot").arg(folder.join("run"));
        // An image's name shall not be taken for a file's.
        command.args(arguments).current_dir(folder);
        command
    }

    pub(crate) fn exporter_image() -> &'static str {
        EXPORTER
    }

    /// Plays an example of deploy/kubernetes: the Deployment that `kubectl kustomize` makes of it.
    pub(crate) fn play(self, example: &str) -> Pod {
        let mut objects = manifests::kustomized(&format!("deploy/kubernetes/{example}"));
        assert_eq!(objects.len(), 1, "{objects:#?}");
        self.start("checkout", &[for_podman(objects.remove(0)["spec"]["template"]["spec"].take())])
    }

    /// Plays the sidecar that reads by an API server, which is to be at 127.0.0.1:`port` in the pod; `account` has the
    /// files of the service account.
    pub(crate) fn play_by_api(self, account: &Path, port: u16) -> Pod {
        let mut objects = manifests::kustomized("deploy/kubernetes/sidecar-api");
        objects.retain(|one| one["kind"] == "Deployment");
        let mut spec = objects.remove(0)["spec"]["template"]["spec"].take();
        let volumes = spec["volumes"].as_array_mut().unwrap();
        let token = volumes.iter_mut().find(|one| one["projected"].is_object()).unwrap();
        *token = json!({"name": "token", "hostPath": {"path": account, "type": "Directory"}});
        // A kubelet sets these in every container.
        let environment = spec["initContainers"][0]["env"].as_array_mut().unwrap();
        environment.push(json!({"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"}));
        environment.push(json!({"name": "KUBERNETES_SERVICE_PORT", "value": port.to_string()}));
        self.start("checkout", &[for_podman(spec)])
    }

    /// Plays the agent's DaemonSet with its config, on a node whose logs are there.
    pub(crate) fn play_agent(self, logs: &Path) -> Pod {
        let mut objects = manifests::kustomized("deploy/kustomize/base");
        objects.retain(|one| one["kind"] == "ConfigMap" || one["kind"] == "DaemonSet");
        objects.sort_by_key(|one| one["kind"].to_string());
        let [config, agent] = objects.try_into().unwrap();
        let mut spec = agent["spec"]["template"]["spec"].clone();
        // Podman knows of no node.
        spec["containers"][0]["env"] = json!([]);
        let volumes = spec["volumes"].as_array_mut().unwrap();
        let of_node = volumes.iter_mut().find(|one| one["hostPath"].is_object()).unwrap();
        of_node["hostPath"]["path"] = logs.to_str().unwrap().into();
        self.start("godebug-exporter", &[config, for_podman(spec)])
    }

    /// Starts a pod without a network; `main` is the container that is always there.
    fn start(self, main: &'static str, objects: &[Value]) -> Pod {
        let file = self.folder.path().join("pod.yaml");
        let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
        fs::write(&file, texts.join("\n---\n")).unwrap();
        let file = file.to_str().unwrap();
        let play =
            ["play", "kube", "--network", "none", "--log-driver", "k8s-file", "--start=false"];
        self.run(&[&play[..], &[file]].concat());
        // The kubelet makes every emptyDir so; podman leaves it to root.
        for volume in self.run(&["volume", "ls", "-q"]).lines() {
            let path = self.run(&["volume", "inspect", "--format", "{{.Mountpoint}}", volume]);
            fs::set_permissions(path.trim(), fs::Permissions::from_mode(0o777)).unwrap();
        }
        self.run(&["pod", "start", "pod"]);
        Pod { podman: self, main }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for arguments in [&["pod", "rm", "-af", "-t0"][..], &["rm", "-af", "-t0"]] {
            let _gone = self.command(arguments).output();
        }
        // Podman leaves it mounted on itself.
        let _gone = Command::new("umount").arg(self.folder.path().join("root/overlay")).output();
    }
}

/// A pod that runs.
pub(crate) struct Pod {
    podman: Podman,
    main: &'static str,
}

impl Pod {
    /// The process that a container began with.
    pub(crate) fn process(&self, container: &str) -> u32 {
        let name = format!("pod-{container}");
        let pid = self.podman.run(&["inspect", "--format", "{{.State.Pid}}", &name]);
        pid.trim().parse().unwrap()
    }

    pub(crate) fn logs(&self, container: &str) -> String {
        let name = format!("pod-{container}");
        let output = self.podman.command(&["logs", &name]).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// Where a container's log is, in the form that kubelets read.
    pub(crate) fn log(&self, container: &str) -> PathBuf {
        let name = format!("pod-{container}");
        let path =
            self.podman.run(&["inspect", "--format", "{{.HostConfig.LogConfig.Path}}", &name]);
        path.trim().into()
    }

    /// Listens on the loopback of the pod.
    pub(crate) fn listener(&self, port: u16) -> TcpListener {
        let network = File::open(format!("/proc/{}/ns/net", self.process(self.main))).unwrap();
        // What a thread has opened stays where it was opened.
        let listener = std::thread::spawn(move || {
            let space = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(network.as_fd(), space).unwrap();
            TcpListener::bind(("127.0.0.1", port)).unwrap()
        });
        listener.join().unwrap()
    }

    pub(crate) fn memory_limit(&self, container: &str) -> u64 {
        let name = format!("pod-{container}");
        let limit = self.podman.run(&["inspect", "--format", "{{.HostConfig.Memory}}", &name]);
        limit.trim().parse().unwrap()
    }

    /// An answer from inside of the pod, as soon as there is one.
    pub(crate) fn get(&self, port: u16, path: &str) -> String {
        let url = format!("http://127.0.0.1:{port}{path}");
        wait_until(&format!("the pod answers at {url}"), || {
            let output = Command::new("nsenter")
                .arg(format!("--net=/proc/{}/ns/net", self.process(self.main)))
                .args(["curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "20", &url])
                .output()
                .unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        })
    }
}

/// The pod that a Deployment makes, as podman 4.3 can have it: there a native sidecar is a container beside the
/// others, ports need a network, and a policy of Always holds for init containers too.
fn for_podman(mut spec: Value) -> Value {
    let list = |key: &str| spec[key].as_array().cloned().unwrap_or_default();
    let (sidecars, mut first): (Vec<_>, Vec<_>) =
        list("initContainers").into_iter().partition(|one| one["restartPolicy"] == "Always");
    let mut containers = [list("containers"), sidecars].concat();
    for one in containers.iter_mut().chain(&mut first) {
        let one = one.as_object_mut().unwrap();
        for key in ["ports", "restartPolicy", "livenessProbe", "readinessProbe"] {
            one.remove(key);
        }
    }
    spec["containers"] = containers.into();
    spec["initContainers"] = first.into();
    spec["restartPolicy"] = "OnFailure".into();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec})
}

/// The static binary, if there is one to be tested; else the one that all tests have, which needs its libraries.
fn program() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_godebug-exporter");
    std::env::var_os("GODEBUG_EXPORTER_STATIC").map_or_else(|| built.into(), PathBuf::from)
}

fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words.filter(|word| !word.ends_with(':')).map(PathBuf::from).collect()
}

fn put(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let copied = fs::copy(from, to);
    copied.unwrap_or_else(|error| panic!("{}: {error}; run tests/toolchains.sh", from.display()));
}
