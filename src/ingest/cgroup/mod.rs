//! Reading a cgroup: what a container may use, and what it uses.

mod files;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use files::Unit;

use crate::config::container::{Cgroup, Container};
use crate::model::container::ContainerUse;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::SourceTelemetry;

/// How often it is read: some ten files that are no disk's.
const EVERY: Duration = Duration::from_secs(5);

/// Where Kubernetes' kubelet puts pods, by quality of service and by who names the folders.
const QOS: [&str; 3] = ["", "burstable", "besteffort"];

/// Who takes what was read.
pub trait ContainerSink: Send + Sync {
    /// A reading.
    fn reading(&self, reading: ContainerUse);
    /// It cannot be read.
    fn failed(&self);
}

/// The folders of one cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Folders {
    V2 {
        folder: PathBuf,
        top: PathBuf,
    },
    /// A hierarchy a controller, those that there are.
    V1 {
        cpu: Option<Hierarchy>,
        cpuacct: Option<PathBuf>,
        memory: Option<PathBuf>,
    },
}

/// A folder, and the highest one above it that we see.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    folder: PathBuf,
    top: PathBuf,
}

/// The cgroup of one service's container.
pub struct ContainerReader {
    /// Which.
    pub container: Container,
    /// Who takes the readings.
    pub sink: Arc<dyn ContainerSink>,
    /// What is told of it.
    pub telemetry: Arc<SourceTelemetry>,
}

impl ContainerReader {
    /// Reads until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let me = Arc::new(self);
        loop {
            let it = Arc::clone(&me);
            // A panic in it is none of ours; then there is a reading less.
            let _read = tokio::task::spawn_blocking(move || it.once()).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    fn once(&self) {
        match read(&self.container) {
            Ok(reading) => {
                self.telemetry.up();
                self.sink.reading(reading);
            }
            Err(error) => {
                self.sink.failed();
                self.telemetry.failed(Reason::of_io(&error), &error);
            }
        }
    }
}

/// Whether there is anything to read.
#[must_use]
pub fn is_there(container: &Container) -> bool {
    read(container).is_ok_and(|reading| reading != ContainerUse::default())
}

/// Reads what a container uses; limits that were told win.
///
/// # Errors
/// There is no such cgroup, or it cannot be read.
pub fn read(container: &Container) -> io::Result<ContainerUse> {
    let found = match &container.cgroup {
        Some(Cgroup::Own) => Some(own()?),
        Some(Cgroup::Folder(folder)) => Some(Folders::at(folder)?),
        Some(Cgroup::Pod { uid, root }) => Some(pod(root, uid)?),
        None => None,
    };
    let read = found.map(|folders| folders.read()).unwrap_or_default();
    Ok(ContainerUse {
        cpu_limit: container.cpu_limit.or(read.cpu_limit),
        memory_limit: container.memory_limit.or(read.memory_limit),
        ..read
    })
}

/// Our own cgroup.
fn own() -> io::Result<Folders> {
    let cgroup = fs::read_to_string("/proc/self/cgroup")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let hierarchy = |controller: Option<&str>| {
        let path = files::path_in(&cgroup, controller)?;
        let (root, point) = files::mount_of(&mounts, controller)?;
        // What is mounted may be a part of the tree, and our path one of the host.
        let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        let top = PathBuf::from(point);
        let folder = top.join(below);
        let is_root = is_root(&folder, controller.is_some());
        (!is_root).then_some(Hierarchy { folder, top })
    };
    let folder = |controller| hierarchy(Some(controller)).map(|found| found.folder);
    let (cpu, memory) = (hierarchy(Some("cpu")), folder("memory"));
    if cpu.is_some() || memory.is_some() {
        return Ok(Folders::V1 { cpu, cpuacct: folder("cpuacct"), memory });
    }
    let Some(Hierarchy { folder, top }) = hierarchy(None) else {
        return Err(not_found("we are in no cgroup but the machine's own, or none is mounted"));
    };
    Ok(Folders::V2 { folder, top })
}

/// The root of a hierarchy is the whole machine, and no container. Only there v1 has `release_agent`, and
/// everywhere but there v2 has `cgroup.type` (kernel: kernel/cgroup/cgroup-v1.c, cgroup.c).
fn is_root(folder: &Path, is_v1: bool) -> bool {
    if is_v1 { folder.join("release_agent").exists() } else { !folder.join("cgroup.type").exists() }
}

/// A pod's, as the kubelet makes them (pkg/kubelet/cm/pod_container_manager_linux.go).
fn pod(root: &Path, uid: &str) -> io::Result<Folders> {
    let is_v1 = root.join("memory").is_dir();
    let tree = if is_v1 { "memory" } else { "" };
    for below in pod_folders(uid) {
        let folder = root.join(tree).join(&below);
        let at = |controller: &str| root.join(controller).join(&below);
        if folder.is_dir() && is_v1 {
            let cpu = Hierarchy { folder: at("cpu"), top: root.join("cpu") };
            return Ok(Folders::V1 {
                cpu: Some(cpu),
                cpuacct: Some(at("cpuacct")),
                memory: Some(folder),
            });
        }
        if folder.is_dir() {
            return Ok(Folders::V2 { folder, top: root.to_owned() });
        }
    }
    Err(not_found(&format!(
        "pod {uid} has no cgroup below {}: is the host's mounted there?",
        root.display()
    )))
}

fn pod_folders(uid: &str) -> impl Iterator<Item = PathBuf> {
    let uid = uid.to_owned();
    QOS.into_iter().flat_map(move |qos| {
        let dash = if qos.is_empty() { "" } else { "-" };
        let slice = format!("kubepods{dash}{qos}.slice");
        let leaf = format!("kubepods{dash}{qos}-pod{}.slice", uid.replace('-', "_"));
        let systemd = Path::new("kubepods.slice");
        let systemd = if qos.is_empty() { systemd.to_owned() } else { systemd.join(slice) };
        let cgroupfs = Path::new("kubepods").join(qos).join(format!("pod{uid}"));
        [systemd.join(leaf), cgroupfs]
    })
}

impl Folders {
    /// A folder of v2.
    fn at(folder: &Path) -> io::Result<Self> {
        if !folder.join("cgroup.procs").exists() {
            let what = format!("{} is no cgroup: it has no cgroup.procs", folder.display());
            return Err(not_found(&what));
        }
        let is_cgroup = |folder: &&Path| folder.join("cgroup.procs").exists();
        let top = folder.ancestors().take_while(is_cgroup).last().unwrap_or(folder);
        Ok(Self::V2 { folder: folder.to_owned(), top: top.to_owned() })
    }

    fn read(&self) -> ContainerUse {
        match self {
            Self::V2 { folder, top } => read_v2(folder, top),
            Self::V1 { cpu, cpuacct, memory } => {
                read_v1(cpu.as_ref(), cpuacct.as_deref(), memory.as_deref())
            }
        }
    }
}

fn read_v2(folder: &Path, top: &Path) -> ContainerUse {
    let cpu = text(folder, "cpu.stat");
    let memory = number(folder, "memory.current");
    let inactive = files::value(&text(folder, "memory.stat"), "inactive_file");
    let time = |key| files::time_ns(&cpu, key, Unit::Microseconds);
    ContainerUse {
        cpu_limit: least(folder, top, |at| files::cpu_max(&text(at, "cpu.max"))),
        cpu_ns: time("usage_usec"),
        periods: files::value(&cpu, "nr_periods"),
        throttled_periods: files::value(&cpu, "nr_throttled"),
        throttled_ns: time("throttled_usec"),
        memory_limit: least(folder, top, |at| files::limit(&text(at, "memory.max"))),
        memory,
        working_set: memory.zip(inactive).map(|(used, file)| used.saturating_sub(file)),
        oom_kills: files::value(&text(folder, "memory.events"), "oom_kill"),
    }
}

fn read_v1(cpu: Option<&Hierarchy>, cpuacct: Option<&Path>, memory: Option<&Path>) -> ContainerUse {
    let quota =
        |at: &Path| files::cores(&text(at, "cpu.cfs_quota_us"), &text(at, "cpu.cfs_period_us"));
    let cpu_stat = cpu.map(|cpu| text(&cpu.folder, "cpu.stat")).unwrap_or_default();
    let stat = memory.map(|memory| text(memory, "memory.stat")).unwrap_or_default();
    let used = memory.and_then(|memory| number(memory, "memory.usage_in_bytes"));
    let inactive = files::value(&stat, "total_inactive_file");
    let control = memory.map(|memory| text(memory, "memory.oom_control")).unwrap_or_default();
    // It is the least of all above, too.
    let limit = files::value(&stat, "hierarchical_memory_limit");
    ContainerUse {
        cpu_limit: cpu.and_then(|cpu| least(&cpu.folder, &cpu.top, quota)),
        cpu_ns: cpuacct.and_then(|cpuacct| number(cpuacct, "cpuacct.usage")),
        periods: files::value(&cpu_stat, "nr_periods"),
        throttled_periods: files::value(&cpu_stat, "nr_throttled"),
        throttled_ns: files::time_ns(&cpu_stat, "throttled_time", Unit::Nanoseconds),
        memory_limit: limit.and_then(|bytes| files::limit(&bytes.to_string())),
        memory: used,
        working_set: used.zip(inactive).map(|(used, file)| used.saturating_sub(file)),
        oom_kills: files::value(&control, "oom_kill"),
    }
}

/// The least limit of a folder and those above it: each of them holds.
fn least<T: PartialOrd>(
    folder: &Path,
    top: &Path,
    limit: impl Fn(&Path) -> Option<T>,
) -> Option<T> {
    let seen = folder.ancestors().take_while(|folder| folder.starts_with(top));
    seen.filter_map(limit).reduce(|least, limit| if limit < least { limit } else { least })
}

fn text(folder: &Path, name: &str) -> String {
    // A controller that is off has no files.
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

fn number(folder: &Path, name: &str) -> Option<u64> {
    files::number(&text(folder, name))
}

fn not_found(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    fn of(cgroup: Cgroup) -> Container {
        Container { cgroup: Some(cgroup), ..Container::default() }
    }

    #[test]
    fn a_pod_of_v2_has_the_least_limits_above_it() {
        let uid = "0f1e2d3c-aaaa-bbbb-cccc-000000000001";
        let slice = "kubepods.slice/kubepods-burstable.slice";
        let pod =
            format!("{slice}/kubepods-burstable-pod0f1e2d3c_aaaa_bbbb_cccc_000000000001.slice");
        let at = |name: &str| format!("{pod}/{name}");
        let root = tree(&[
            ("kubepods.slice/cpu.max", "400000 100000\n"),
            ("kubepods.slice/memory.max", "2147483648\n"),
            (&format!("{slice}/cpu.max"), "max 100000\n"),
            (&at("cpu.max"), "150000 100000\n"),
            (
                &at("cpu.stat"),
                "usage_usec 5000000\nuser_usec 1\nnr_periods 100\nnr_throttled 20\nthrottled_usec 3000\n",
            ),
            (&at("memory.max"), "max\n"),
            (&at("memory.current"), "1000000\n"),
            (&at("memory.stat"), "anon 5\ninactive_file 200000\n"),
            (&at("memory.events"), "low 0\noom 2\noom_kill 1\n"),
        ]);
        let read = read(&of(Cgroup::Pod { uid: uid.into(), root: root.path().into() })).unwrap();
        let expected = ContainerUse {
            cpu_limit: Some(1.5),
            cpu_ns: Some(5_000_000_000),
            periods: Some(100),
            throttled_periods: Some(20),
            throttled_ns: Some(3_000_000),
            memory_limit: Some(2_147_483_648),
            memory: Some(1_000_000),
            working_set: Some(800_000),
            oom_kills: Some(1),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_pod_of_v1_with_folders_of_cgroupfs() {
        let at = |controller: &str, name: &str| {
            format!("{controller}/kubepods/besteffort/podu-1/{name}")
        };
        let root = tree(&[
            (&at("cpu", "cpu.cfs_quota_us"), "-1\n"),
            (&at("cpu", "cpu.cfs_period_us"), "100000\n"),
            ("cpu/kubepods/cpu.cfs_quota_us", "50000\n"),
            ("cpu/kubepods/cpu.cfs_period_us", "100000\n"),
            (&at("cpu", "cpu.stat"), "nr_periods 4\nnr_throttled 2\nthrottled_time 7000\n"),
            (&at("cpuacct", "cpuacct.usage"), "123\n"),
            (&at("memory", "memory.usage_in_bytes"), "5000\n"),
            (
                &at("memory", "memory.stat"),
                "hierarchical_memory_limit 9223372036854771712\ntotal_inactive_file 6000\n",
            ),
            (&at("memory", "memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
        ]);
        let read = read(&of(Cgroup::Pod { uid: "u-1".into(), root: root.path().into() })).unwrap();
        let expected = ContainerUse {
            cpu_limit: Some(0.5),
            cpu_ns: Some(123),
            periods: Some(4),
            throttled_periods: Some(2),
            throttled_ns: Some(7000),
            memory_limit: None,
            memory: Some(5000),
            working_set: Some(0),
            oom_kills: Some(3),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_told_wins_and_what_is_missing_is_told() {
        let root =
            tree(&[("a/cgroup.procs", ""), ("a/memory.max", "1000\n"), ("a/memory.current", "x")]);
        let folder = Cgroup::Folder(root.path().join("a"));
        let container =
            Container { cgroup: Some(folder), cpu_limit: Some(2.0), memory_limit: Some(900) };
        let limits = ContainerUse {
            cpu_limit: Some(2.0),
            memory_limit: Some(900),
            ..ContainerUse::default()
        };
        assert_eq!(read(&container).unwrap(), limits);
        let error = read(&of(Cgroup::Folder(root.path().join("b")))).unwrap_err().to_string();
        assert!(error.contains("/b is no cgroup"), "{error}");
        let pod = Cgroup::Pod { uid: "u".into(), root: root.path().into() };
        assert!(read(&of(pod)).unwrap_err().to_string().contains("pod u has no cgroup"));
    }
}
