//! The key `container`: the limits that a service runs under, and what it uses of them.

use std::path::{Path, PathBuf};

use super::fields::Fields;
use super::units::{cores, size};

/// Where cgroups are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// The container of a service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Container {
    /// Where the kernel tells of it.
    pub cgroup: Option<Cgroup>,
    /// CPU that it may use, in cores; told by whoever runs it.
    pub cpu_limit: Option<f64>,
    /// Memory that it may use, in bytes; told by whoever runs it.
    pub memory_limit: Option<u64>,
}

/// Which cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cgroup {
    /// The one that we are in ourselves.
    Own,
    /// A folder of cgroup v2.
    Folder(PathBuf),
    /// That of a pod, by the kubelet's names.
    Pod {
        /// The pod's `metadata.uid`.
        uid: String,
        /// Where the host's cgroups are mounted.
        root: PathBuf,
    },
}

/// The limits as flags: Kubernetes' downward API puts them into the arguments of a sidecar.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Limits {
    /// CPU that the service's container may use: 2, 0.5 or 1500m; exec reads its own cgroup.
    #[arg(long, value_name = "CORES", value_parser = cores)]
    pub container_cpu_limit: Option<f64>,
    /// Memory that the service's container may use, in bytes or like 512MiB.
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub container_memory_limit: Option<u64>,
}

impl Limits {
    /// Whether any was given.
    #[must_use]
    pub const fn are_given(&self) -> bool {
        self.container_cpu_limit.is_some() || self.container_memory_limit.is_some()
    }

    /// The container that has them.
    #[must_use]
    pub(super) fn container(&self, cgroup: Option<Cgroup>) -> Option<Container> {
        let is_known = cgroup.is_some() || self.are_given();
        let Self { container_cpu_limit: cpu_limit, container_memory_limit: memory_limit } = *self;
        is_known.then_some(Container { cgroup, cpu_limit, memory_limit })
    }
}

impl Container {
    pub(super) fn read(mut fields: Fields<'_>) -> Option<Self> {
        let folder = fields.parsed("cgroup", cgroup);
        let uid = fields.parsed("pod_uid", pod_uid);
        let root = fields.text("cgroup_root").map(|(_, root)| PathBuf::from(root));
        let cpu_limit = fields.parsed("cpu_limit", cores);
        let memory_limit = fields.parsed("memory_limit", bytes);
        if folder.is_some() && uid.is_some() {
            fields.problem_at_map("has both cgroup and pod_uid; give one of them");
        }
        if root.is_some() && uid.is_none() {
            fields.problem(fields.line(), "cgroup_root", "belongs to pod_uid only");
        }
        let keys = ["cgroup", "pod_uid", "cpu_limit", "memory_limit"];
        if keys.iter().all(|key| fields.get(key).is_none()) {
            fields.problem_at_map(
                "is empty; give cgroup: own, pod_uid, or cpu_limit and memory_limit",
            );
        }
        fields.finish();
        let root = root.unwrap_or_else(|| ROOT.into());
        let cgroup = folder.or_else(|| uid.map(|uid| Cgroup::Pod { uid, root }));
        Some(Self { cgroup, cpu_limit, memory_limit })
    }
}

fn cgroup(text: &str) -> Result<Cgroup, &'static str> {
    match text {
        "own" => Ok(Cgroup::Own),
        folder if Path::new(folder).is_absolute() => Ok(Cgroup::Folder(folder.into())),
        _ => Err("must be own, or a folder like /sys/fs/cgroup/system.slice/checkout.service"),
    }
}

fn pod_uid(text: &str) -> Result<String, &'static str> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match text {
        "" => Err("must not be empty"),
        uid if uid.bytes().all(is_part) => Ok(uid.to_owned()),
        _ => Err("must be a pod's metadata.uid: letters, digits and dashes"),
    }
}

/// A size, or bytes alone, as Kubernetes' downward API gives them.
fn bytes(text: &str) -> Result<u64, String> {
    text.parse().or_else(|_| size(text).map(|bytes| bytes as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::read;

    fn container(keys: &str) -> Result<Container, String> {
        let text = format!("services: [{{name: a, trace: {{stdin: true}}, container: {keys}}}]\n");
        match read(&text) {
            Ok(config) => Ok(config.services[0].container.clone().unwrap()),
            Err(problems) => Err(problems[0].to_string()),
        }
    }

    #[test]
    fn which_container() {
        assert_eq!(
            container("{cgroup: own}"),
            Ok(Container { cgroup: Some(Cgroup::Own), ..Container::default() })
        );
        let told = container("{cpu_limit: 1500m, memory_limit: '536870912'}").unwrap();
        assert_eq!((told.cpu_limit, told.memory_limit), (Some(1.5), Some(512 << 20)));
        let told = container("{cpu_limit: '2', memory_limit: 512MiB}").unwrap();
        assert_eq!((told.cpu_limit, told.memory_limit), (Some(2.0), Some(512 << 20)));
        let pod = container("{pod_uid: a-1}").unwrap().cgroup;
        assert_eq!(pod, Some(Cgroup::Pod { uid: "a-1".into(), root: ROOT.into() }));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (keys, what) in [
            ("{}", "is empty"),
            ("{cgroup: mine}", "must be own, or a folder"),
            ("{cgroup: own, pod_uid: a}", "both cgroup and pod_uid"),
            ("{cgroup: own, cgroup_root: /x}", "belongs to pod_uid only"),
            ("{pod_uid: ../x}", "letters, digits and dashes"),
            ("{cpu_limit: none}", "is not a number of cores"),
            ("{cpu_limit: '-1'}", "is not a number of cores"),
            ("{memory_limit: much}", "is not a size"),
        ] {
            let problem = container(keys).unwrap_err();
            assert!(problem.contains(what), "{keys}: {problem}");
        }
    }
}
