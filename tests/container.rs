//! The container that a service runs in: its limits, and what it uses of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::exporter::{Exporter, exec_command};
use crate::support::go;
use crate::support::service::{Remote, Service};

/// A cgroup of v1 or v2 that is made for a test; it is removed with it.
struct Limited {
    folders: Vec<PathBuf>,
}

impl Limited {
    /// 1.5 cores and 512 MiB. `None` where we may not make one: in a container without rights.
    fn new() -> Option<Self> {
        let name = format!("godebug-exporter-test-{}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let limits: &[(&str, &str, &str)] = if root.join("memory").is_dir() {
            &[
                ("cpu", "cpu.cfs_period_us", "100000"),
                ("cpu", "cpu.cfs_quota_us", "150000"),
                ("memory", "memory.limit_in_bytes", "536870912"),
                ("cpuacct", "cgroup.clone_children", "0"),
            ]
        } else {
            &[("", "cpu.max", "150000 100000"), ("", "memory.max", "536870912")]
        };
        let mut made = Self { folders: Vec::new() };
        for (controller, file, limit) in limits {
            let folder = root.join(controller).join(&name);
            // cpu and cpuacct may be one.
            if !folder.exists() {
                fs::create_dir(&folder).ok()?;
                made.folders.push(folder.clone());
            }
            fs::write(folder.join(file), limit).ok()?;
        }
        Some(made)
    }

    /// A shell's words that go into it first.
    fn enter(&self) -> String {
        let each = |folder: &PathBuf| format!("echo $$ > {}/cgroup.procs; ", folder.display());
        self.folders.iter().map(each).collect()
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Processes that are killed leave it a moment later.
        for folder in &self.folders {
            for _ in 0..1000 {
                if fs::remove_dir(folder).is_ok() {
                    break;
                }
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn exec_tells_the_limits_that_it_runs_under() {
    let service = go::service(go::NEWEST);
    let words = [service.to_str().unwrap()];
    let exec = exec_command(&["--godebug", "gctrace=1,schedtrace=100"], &words);
    let limited = Limited::new();
    let Some(limited) = &limited else {
        // Then what it says is what holds for us all, or nothing, and that in silence.
        let exec = Exporter::start(exec);
        Remote::announced_on(&exec.stdout);
        exec.page_where("it traces", |page| page.has("go_sched_samples_total"));
        assert!(exec.log("warn").is_empty(), "{:?}", exec.log("warn"));
        return;
    };
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg(format!("{}exec \"$0\" \"$@\"", limited.enter()));
    shell.arg(exec.get_program()).args(exec.get_args());
    let mut exec = Exporter::start(shell);
    let service = Remote::announced_on(&exec.stdout);
    exec.wait_for("go_container_cpu_limit_cores", 1.5);
    let page = exec.wait_for("go_container_memory_limit_bytes", 536_870_912.0);
    let used = page.value("go_container_memory_usage_bytes");
    let working_set = page.value("go_container_memory_working_set_bytes");
    assert!(working_set > 1e6 && working_set <= used && used <= 536_870_912.0, "{page}");
    service.control("gc?n=20");
    exec.page_where("CPU is used", |page| page.value("go_container_cpu_seconds_total") > 0.0);
    assert_eq!(page.value("go_container_oom_kills_total"), 0.0);
    assert_eq!(page.value(r#"godebug_exporter_source_up{source="container"}"#), 1.0);
    exec.stop();
}

#[test]
fn a_sidecar_is_told_the_limits_and_an_agent_finds_a_pod() {
    let service = Service::start(&[], "", std::process::Stdio::null());
    let root = tempfile::tempdir().unwrap();
    let pod = root.path().join("kubepods/burstable/podu-1");
    fs::create_dir_all(&pod).unwrap();
    let write = |name: &str, text: &str| fs::write(pod.join(name), text).unwrap();
    write("memory.max", "1048576\n");
    write("memory.current", "65536\n");
    write("memory.events", "oom_kill 0\n");
    let url = format!("http://{}/debug/vars", service.remote.address());
    let exporter = Exporter::configured(&format!(
        "services:\n  - name: told\n    expvar: {{url: '{url}'}}\n    container: {{cpu_limit: 1500m, memory_limit: 64MiB}}\n  - name: pod\n    expvar: {{url: '{url}'}}\n    container: {{pod_uid: u-1, cgroup_root: {0}}}\n  - name: none\n    expvar: {{url: '{url}'}}\n    container: {{pod_uid: u-2, cgroup_root: {0}}}\n",
        root.path().display()
    ));
    exporter.wait_for(r#"go_container_cpu_limit_cores{service="told"}"#, 1.5);
    let of = |metric: &str| format!("go_container_{metric}{{service=\"pod\"}}");
    let page = exporter.wait_for(&of("memory_limit_bytes"), 1_048_576.0);
    assert_eq!(page.value(r#"go_container_memory_limit_bytes{service="told"}"#), 67_108_864.0);
    assert_eq!(page.value(&of("memory_usage_bytes")), 65_536.0);
    assert!(!page.has(&of("cpu_limit_cores")), "{page}");
    write("memory.events", "oom_kill 2\n");
    exporter.wait_for(&of("oom_kills_total"), 2.0);
    let up = r#"godebug_exporter_source_up{service="none",source="container"}"#;
    exporter.wait_for(up, 0.0);
    let told = exporter.log("warn").join("\n");
    assert!(told.contains("pod u-2 has no cgroup"), "{told}");
}
