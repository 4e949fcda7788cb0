//! Go services among the containers of a node. `folders` lists the containers by the logs that the kubelet
//! keeps, and `sniffer` looks into these for what `evidence` knows; `names` reads paths. `watch` asks the API
//! server about the node's pods, and `pod` knows what matters of one.

mod evidence;
mod folders;
mod names;
mod pod;
mod sniffer;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::Look;
use crate::config::StartAt;
use crate::config::kubernetes::{
    self as config, CONTAINER, EXPVAR, FROM, NAMESPACE, PATH, POD, PPROF, SERVICE, UID,
};
use crate::ingest::http::client::Client;
use crate::model::target::Target;
use crate::telemetry::discovery::FinderTelemetry;
use folders::{Container, Folders};
use names::PodFolder;
use pod::Pod;
use watch::{Api, Pods};

/// The containers of a node.
#[derive(Debug)]
pub(super) struct Kubernetes {
    folders: Folders,
    watching: Arc<Watching>,
}

/// Who says more of containers than their paths do.
#[derive(Debug)]
pub(super) struct Watching {
    pods: Option<Pods>,
    /// Or why nobody is asked although somebody should be.
    api: Result<Option<Api>, String>,
    pod_labels: Vec<(String, String)>,
}

impl Kubernetes {
    pub(super) fn new(logs: PathBuf, from: StartAt, api: &config::Api) -> Self {
        let watching = Arc::new(Watching::of(api));
        Self { folders: Folders::new(logs, from), watching }
    }

    pub(super) fn watching(&self) -> Arc<Watching> {
        Arc::clone(&self.watching)
    }

    pub(super) async fn look(&mut self) -> Look {
        let pods = self.watching.pods.as_ref();
        if pods.is_some_and(|pods| !pods.are_told(Instant::now())) {
            // Whoever is found now may have another name in a moment.
            return Look::default();
        }
        let mut folders = std::mem::take(&mut self.folders);
        let look = tokio::task::spawn_blocking(move || {
            let wrong = folders.look();
            (folders, wrong)
        });
        match look.await {
            Ok((folders, wrong)) => {
                self.folders = folders;
                let targets = self.folders.were_listed().then(|| self.targets());
                Look { targets, wrong: wrong.err() }
            }
            Err(lost) => Look::of(Err(lost.to_string())),
        }
    }

    fn targets(&self) -> Vec<Target> {
        let Watching { pods, pod_labels, .. } = &*self.watching;
        let nothing = Pod::default();
        let found = self.folders.containers().filter_map(|(folder, container)| {
            let known = pods.as_ref().and_then(|pods| pods.get(&container.pod.uid));
            let pod = known.as_deref().unwrap_or(&nothing);
            let is_wanted = pod.is_wanted(&container.name).unwrap_or(container.is_go());
            is_wanted.then(|| target(folder, container, pod, pod_labels))
        });
        found.collect()
    }
}

/// A container as a target; `of` is what the API server says of its pod.
fn target(folder: &Path, container: &Container, of: &Pod, chosen: &[(String, String)]) -> Target {
    let PodFolder { namespace, pod, uid } = &container.pod;
    let name = &container.name;
    let labels = [
        (NAMESPACE, namespace.clone()),
        (POD, pod.clone()),
        (UID, uid.clone()),
        (CONTAINER, name.clone()),
        (SERVICE, of.service().unwrap_or(names::workload(pod)).to_owned()),
        // The slash says that it is a container's folder.
        (PATH, format!("{}/", folder.display())),
        (FROM, container.from.as_str().to_owned()),
    ];
    let endpoint = |label, kind| Some((label, of.endpoint(kind, name)?));
    let endpoints = [endpoint(EXPVAR, "expvar"), endpoint(PPROF, "pprof")];
    // Names that begin with `__` are not a pod's to give.
    let own = of.labels(chosen).filter(|(name, _)| !name.starts_with("__"));
    let own = own.map(|(name, value)| (name, value.to_owned()));
    let labels = own.chain(labels).chain(endpoints.into_iter().flatten());
    let labels = labels.map(|(name, value)| (name.to_owned(), value)).collect();
    Target::at(&format!("{namespace}/{pod}/{name}"), labels)
}

impl Watching {
    /// As the config and the environment say.
    fn of(config: &config::Api) -> Self {
        let api = api(config, |name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let is_asked = matches!(api, Ok(Some(_)));
        let pods = is_asked.then(|| Pods::new(Instant::now()));
        Self { pods, api, pod_labels: config.pod_labels.clone() }
    }

    /// Goes on for ever.
    pub(super) async fn run(&self, telemetry: impl FnOnce() -> FinderTelemetry) {
        match (&self.api, &self.pods) {
            (Ok(Some(api)), Some(pods)) => api.watch(pods, telemetry()).await,
            (Err(why), _) => telemetry().failed(why),
            _ => {}
        }
        std::future::pending().await
    }

    /// Waits until something else is known of pods.
    pub(super) async fn changed(&self) {
        match &self.pods {
            Some(pods) => pods.changed().await,
            None => std::future::pending().await,
        }
    }
}

/// None: it is not wanted, or we are in no cluster.
fn api(
    config: &config::Api,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Api>, String> {
    if config.wanted == Some(false) {
        return Ok(None);
    }
    let of_cluster = || config::server_of_cluster(&environment);
    let Some(server) = config.server.clone().or_else(of_cluster) else {
        let what = "KUBERNETES_SERVICE_HOST is not set, so we are in no cluster; give api_server";
        return if config.wanted == Some(true) { Err(what.into()) } else { Ok(None) };
    };
    let node = config.node.clone().or_else(|| environment("NODE_NAME")).ok_or(
        "NODE_NAME is not set, so the API server cannot be asked for our node's pods: give the container env: [{name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]",
    )?;
    Ok(Some(Api::new(Client::new(config.http.clone()), &server, node)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::discovery::Finder;
    use crate::config::file;

    fn asked(keys: &str, environment: &[(&str, &str)]) -> String {
        let text = format!("discovery: [{{kubernetes: {{{keys}}}}}]");
        let mut discovery = file::read(&text).unwrap().discovery.remove(0);
        let Finder::Kubernetes { api: config, .. } = discovery.finders.remove(0) else { panic!() };
        let value = |name: &str| environment.iter().find(|(its, _)| *its == name);
        match api(&config, |name| value(name).map(|(_, value)| (*value).to_owned())) {
            Ok(Some(api)) => api.to_string(),
            Ok(None) => "nobody".into(),
            Err(why) => why,
        }
    }

    #[test]
    fn the_environment_says_which_server_is_asked_about_which_node() {
        let host = ("KUBERNETES_SERVICE_HOST", "10.96.0.1");
        let (port, node) = (("KUBERNETES_SERVICE_PORT", "6443"), ("NODE_NAME", "worker-1"));
        assert_eq!(asked("", &[host, port, node]), "https://10.96.0.1:6443 about worker-1");
        let six = ("KUBERNETES_SERVICE_HOST", "fd00::1");
        assert_eq!(asked("", &[six, node]), "https://[fd00::1]:443 about worker-1");
        assert_eq!(asked("", &[node]), "nobody");
        assert_eq!(asked("api: false", &[host, port, node]), "nobody");
        assert!(asked("api: true", &[node]).starts_with("KUBERNETES_SERVICE_HOST is not set"));
        assert!(asked("", &[host]).contains("fieldPath: spec.nodeName"));
        let own = "api_server: 'https://k8s:1/', node: node-1";
        assert_eq!(asked(own, &[host, port, node]), "https://k8s:1 about node-1");
    }
}
