//! What the API server says of a pod, as far as it matters here.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// Our annotations.
pub(super) const PREFIX: &str = "godebug-exporter.io/";

/// Which of a pod's containers is meant when nothing else is said (kubectl's own).
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The kubelet's own pods have this as UID in paths (pkg/kubelet/types, ConfigMirrorAnnotationKey).
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The name that a pod's application is to be called by (kubernetes.io, "Recommended Labels").
const NAME: &str = "app.kubernetes.io/name";

/// A pod, with the labels and annotations that somebody asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pod {
    /// As it stands in paths.
    pub(super) uid: String,
    pub(super) version: String,
    ip: Option<String>,
    /// The first of them unless the pod says otherwise: whose the endpoints are.
    container: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// Of what is not there the API server says nothing, or null: `spec: {containers: null}` of a bookmark.
#[derive(Deserialize)]
pub(super) struct Object {
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_nothing")]
    spec: Spec,
    #[serde(default, deserialize_with = "or_nothing")]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default, deserialize_with = "or_nothing")]
    uid: String,
    #[serde(default, deserialize_with = "or_nothing")]
    resource_version: String,
    #[serde(default, deserialize_with = "or_nothing")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_nothing")]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct Spec {
    #[serde(default, deserialize_with = "or_nothing")]
    containers: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
}

fn or_nothing<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Pod {
    pub(super) fn of(object: Object) -> Self {
        let Object { metadata, spec, status } = object;
        let mut annotations = metadata.annotations;
        let uid = annotations.remove(MIRROR).unwrap_or(metadata.uid);
        let first = spec.containers.into_iter().next().map(|container| container.name);
        let container = annotations.remove(DEFAULT_CONTAINER).or(first);
        annotations.retain(|name, _| name.starts_with(PREFIX));
        Self {
            uid,
            version: metadata.resource_version,
            ip: status.pod_ip.filter(|ip| !ip.is_empty()),
            container: annotations.get(&format!("{PREFIX}container")).cloned().or(container),
            labels: metadata.labels,
            annotations,
        }
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(&format!("{PREFIX}{name}")).map(String::as_str)
    }

    /// What its annotation `scrape` says; it is for the whole pod if it says no.
    pub(super) fn is_wanted(&self, container: &str) -> Option<bool> {
        match self.annotation("scrape") {
            Some("false") => Some(false),
            Some("true") if self.is_its_own(container) => Some(true),
            _ => None,
        }
    }

    /// Whether the pod's endpoints are this container's.
    fn is_its_own(&self, container: &str) -> bool {
        self.container.as_deref() == Some(container)
    }

    /// The service that it is.
    pub(super) fn service(&self) -> Option<&str> {
        self.annotation("service").or_else(|| self.labels.get(NAME).map(String::as_str))
    }

    /// Where an endpoint of a container is: `expvar`, `pprof`. None: it has none, or no address yet.
    pub(super) fn endpoint(&self, kind: &str, container: &str) -> Option<String> {
        let port = self.annotation(&format!("{kind}-port"))?;
        let ip = self.ip.as_deref().filter(|_| self.is_its_own(container))?;
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        let path = self.annotation(&format!("{kind}-path")).unwrap_or("/");
        let path = path.trim_start_matches('/');
        Some(format!("http://{host}:{port}/{path}"))
    }

    /// Labels of its series: of its annotation `labels`, and those of its own that are `chosen`, each by the
    /// name that it is to have.
    pub(super) fn labels<'p>(
        &'p self,
        chosen: &'p [(String, String)],
    ) -> impl Iterator<Item = (&'p str, &'p str)> {
        let chosen = chosen
            .iter()
            .filter_map(|(name, of)| Some((name.as_str(), self.labels.get(of)?.as_str())));
        let pairs = self.annotation("labels").unwrap_or_default().split(',');
        let own = pairs.filter_map(|pair| pair.split_once('='));
        chosen.chain(own.map(|(name, value)| (name.trim(), value.trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(annotations: &str, more: &str) -> Pod {
        let text = format!(
            r#"{{"kind":"Pod","metadata":{{"name":"p","uid":"u","resourceVersion":"7","labels":{{"team":"a","app.kubernetes.io/name":"cart"}},"annotations":{{{annotations}}}}},"spec":{{"containers":[{{"name":"app","image":"x"}},{{"name":"proxy"}}]}},"status":{{"phase":"Running"{more}}}}}"#
        );
        Pod::of(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn annotations_say_what_is_read_and_of_which_container() {
        let ip = r#","podIP":"10.0.0.7""#;
        let plain = pod("", ip);
        assert_eq!((plain.is_wanted("app"), plain.service()), (None, Some("cart")));
        assert_eq!(plain.endpoint("expvar", "app"), None);
        let said = r#""godebug-exporter.io/scrape":"true","godebug-exporter.io/service":"shop-cart","godebug-exporter.io/expvar-port":"6060","godebug-exporter.io/pprof-port":"6061","godebug-exporter.io/pprof-path":"/x/pprof""#;
        let own = pod(said, ip);
        assert_eq!((own.is_wanted("app"), own.is_wanted("proxy")), (Some(true), None));
        assert_eq!(own.service(), Some("shop-cart"));
        assert_eq!(own.endpoint("expvar", "app").unwrap(), "http://10.0.0.7:6060/");
        assert_eq!(own.endpoint("pprof", "app").unwrap(), "http://10.0.0.7:6061/x/pprof");
        assert_eq!(own.endpoint("pprof", "proxy"), None);
        assert_eq!(pod(said, "").endpoint("pprof", "app"), None, "it has no address yet");
        let six = pod(said, r#","podIP":"fd00::7""#);
        assert_eq!(six.endpoint("expvar", "app").unwrap(), "http://[fd00::7]:6060/");
        let other = format!(r#"{said},"kubectl.kubernetes.io/default-container":"proxy""#);
        assert_eq!(pod(&other, ip).is_wanted("proxy"), Some(true));
        let other = format!(r#"{other},"godebug-exporter.io/container":"app""#);
        assert_eq!(pod(&other, ip).is_wanted("app"), Some(true));
        let not = pod(r#""godebug-exporter.io/scrape":"false""#, ip);
        assert_eq!((not.is_wanted("app"), not.is_wanted("proxy")), (Some(false), Some(false)));
    }

    #[test]
    fn labels_are_those_that_somebody_asks_for() {
        let pod = pod(r#""godebug-exporter.io/labels":"tier=1, zone = eu,nonsense""#, "");
        let chosen = [("owner".to_owned(), "team".to_owned()), ("x".into(), "absent".into())];
        let labels: Vec<_> = pod.labels(&chosen).collect();
        assert_eq!(labels, [("owner", "a"), ("tier", "1"), ("zone", "eu")]);
    }

    #[test]
    fn the_kubelets_own_pods_are_known_by_what_stands_in_their_paths() {
        let pod = pod(r#""kubernetes.io/config.mirror":"0123456789abcdef""#, "");
        assert_eq!((&*pod.uid, &*pod.version), ("0123456789abcdef", "7"));
    }
}
