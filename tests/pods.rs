//! The image of deploy/Dockerfile and the examples of deploy/kubernetes, as real containers: with nothing but the
//! binary in the image, a root that is read-only, no capability and limits, real numbers of a real Go service.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::api_server::ApiServer;
use crate::support::kubelet::{Kubelet, Node};
use crate::support::metrics::Page;
use crate::support::podman::{Pod, Podman};
use crate::support::service::Truth;
use crate::support::wait::{wait_until, wait_until_or};

const MIB: u64 = 1 << 20;

fn page(pod: &Pod) -> Page {
    Page::read(&pod.get(10390, "/metrics"))
}

fn truth(pod: &Pod) -> Truth {
    Truth::from_line(&pod.get(6060, "/truth"))
}

/// What the kernel says of a container's first process.
fn is_locked_down(pod: &Pod, container: &str, gid: &str, memory: u64) {
    let process = format!("/proc/{}", pod.process(container));
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(field("Uid:"), "65532", "{container}");
    assert_eq!(field("Gid:"), gid, "{container}");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{container}: {set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1", "{container}");
    assert_eq!(field("Seccomp:"), "2", "{container}: a filter");
    let mounts = fs::read_to_string(format!("{process}/mounts")).unwrap();
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap();
    let options = root.split(' ').nth(3).unwrap();
    assert!(options.split(',').any(|option| option == "ro"), "{container}: {root}");
    assert_eq!(pod.memory_limit(container), memory, "{container}");
}

/// Garbage collections that are over when this returns are counted, no more and no fewer; the rest is there too.
fn tells_the_truth(pod: &Pod) {
    pod.get(6060, "/control/gc?n=3");
    let before = truth(pod).memstats("NumGC");
    assert!(before >= 3);
    let cycles = |page: &Page| page.sum("go_gc_cycles_total");
    let page_then = wait_until_or(
        &format!("{before} cycles are counted"),
        || Some(page(pod)).filter(|page| cycles(page) >= before as f64),
        || page(pod).to_string(),
    );
    let after = truth(pod).memstats("NumGC");
    assert!(cycles(&page_then) <= after as f64, "more than {after} cycles:\n{page_then}");

    let series = ["go_goroutines", "go_threads", "go_memstats_sys_bytes", "go_sched_idle_procs"];
    let page = wait_until("expvar, pprof and schedtrace are read", || {
        Some(page(pod)).filter(|page| series.iter().all(|name| page.has(name)))
    });
    for name in series {
        assert!(page.has(&format!("{name}{{service=\"checkout\"}}")), "{name}:\n{page}");
    }
    let usable = std::thread::available_parallelism().unwrap().get();
    assert!(page.value("go_sched_gomaxprocs_threads") <= usable as f64, "{page}");
}

#[test]
fn the_image_is_the_binary_alone() {
    let podman = Podman::new();
    let image = Podman::exporter_image();
    let config = |key: &str| {
        let format = format!("{{{{json .Config.{key}}}}}");
        podman.run(&["image", "inspect", "--format", &format, image]).trim().to_owned()
    };
    assert_eq!(config("User"), "\"65532:65532\"");
    assert_eq!(config("Entrypoint"), "[\"/usr/bin/godebug-exporter\"]");
    assert_eq!(config("Cmd"), "[\"run\",\"--config\",\"/etc/godebug-exporter/config.yaml\"]");
    let version = podman.run(&[
        "run",
        "--rm",
        "--network=none",
        "--read-only",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        image,
        "--version",
    ]);
    assert!(version.starts_with("godebug-exporter "), "{version}");
}

#[test]
fn the_wrapper_needs_no_rights() {
    let pod = Podman::new().play("wrapper");
    tells_the_truth(&pod);
    is_locked_down(&pod, "checkout", "65532", 256 * MIB);
    // The trace lines are ours; the rest of the log is the service's.
    assert!(!pod.logs("checkout").contains("SCHED "), "{}", pod.logs("checkout"));
}

#[test]
fn the_sidecar_needs_no_rights_and_may_be_killed() {
    let pod = Podman::new().play("sidecar");
    tells_the_truth(&pod);
    is_locked_down(&pod, "checkout", "65532", 256 * MIB);
    is_locked_down(&pod, "godebug-exporter", "65532", 32 * MIB);

    let samples = page(&pod).value("go_sched_samples_total");
    let before = pod.process("godebug-exporter");
    let process = rustix::process::Pid::from_raw(before.cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    wait_until("there is another one", || {
        let now = pod.process("godebug-exporter");
        (now != 0 && now != before).then_some(())
    });
    let after = wait_until("it has caught up", || {
        page(&pod).get("go_sched_samples_total").filter(|after| *after > samples)
    });
    // One a second: what was written meanwhile was read, and nothing twice.
    assert!(after < samples + 60.0, "{samples} {after}");
    tells_the_truth(&pod);
}

#[test]
fn the_sidecar_by_the_api_server_needs_no_right_but_to_read_its_log() {
    let (api, folder) = (ApiServer::start(), tempfile::tempdir().unwrap());
    let (account, logs) = (folder.path().join("account"), folder.path().join("logs/checkout"));
    fs::create_dir(&account).unwrap();
    fs::create_dir_all(&logs).unwrap();
    api.gives_account(&account, "default");
    // The folder is its owner's alone, and the sidecar somebody else.
    for path in [folder.path().to_owned(), account.clone()] {
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(account.join("token"), Permissions::from_mode(0o644)).unwrap();
    let pod = Podman::new().play_by_api(&account, 6443);
    std::os::unix::fs::symlink(pod.log("checkout"), logs.join("0.log")).unwrap();
    let kubelet = Kubelet::of(&folder.path().join("logs"));
    api.asks(kubelet.address);
    api.listens(pod.listener(6443));
    tells_the_truth(&pod);
    is_locked_down(&pod, "checkout", "65532", 256 * MIB);
    is_locked_down(&pod, "godebug-exporter", "65532", 32 * MIB);
    assert!(pod.logs("checkout").contains("SCHED "), "they stay in the log");
}

#[test]
fn the_agent_needs_no_right_but_to_read_logs() {
    let node = Node::new();
    fs::set_permissions(node.logs(), Permissions::from_mode(0o755)).unwrap();
    let mut container = node.container("shop", "checkout-7d9f8b6c5d-x2x4z", 1, "app");
    let folder = fs::read_dir(node.logs()).unwrap().next().unwrap().unwrap().path();
    // As containerd makes it, and the group of its owner is root's.
    let log = folder.join("app/0.log");
    fs::set_permissions(&log, Permissions::from_mode(0o640)).unwrap();

    let pod = Podman::new().play_agent(node.logs());
    pod.get(10390, "/-/ready");
    let service = container.runs("gctrace=1,schedtrace=1000").remote;
    let labels = "service=\"checkout\",namespace=\"shop\",pod=\"checkout-7d9f8b6c5d-x2x4z\",container=\"app\"";
    let forced = format!("go_gc_cycles_total{{{labels},kind=\"forced\"}}");
    let before = wait_until_or(
        "it is found",
        || page(&pod).get(&forced),
        || format!("{}{}", page(&pod), pod.logs("godebug-exporter")),
    );
    service.control("gc?n=3");
    let after = wait_until_or(
        "three more cycles are counted",
        || page(&pod).get(&forced).filter(|after| *after >= before + 3.0),
        || page(&pod).to_string(),
    );
    assert!(after <= service.truth().memstats("NumGC") as f64, "{}", page(&pod));
    is_locked_down(&pod, "godebug-exporter", "0", 128 * MIB);
}
