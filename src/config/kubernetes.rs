//! The keys of `kubernetes`: services in the containers of a node; and what such a container becomes.

use std::path::PathBuf;
use std::time::Duration;

use super::discovery::Finder;
use super::endpoint::Kind;
use super::fields::Fields;
use super::http::{Auth, Http, Tls};
use super::node::{Node, Value};
use super::{Service, StartAt, TraceSource, file};
use crate::model::service::{Container, Label};
use crate::model::target::Target;

/// Labels of such a target that a template need not name: the folder of its logs, where they are read
/// from, what it is called unless the template says otherwise, and its endpoints if there are any.
pub const PATH: &str = "__path__";
#[expect(missing_docs, reason = "see PATH")]
pub const FROM: &str = "__from__";
#[expect(missing_docs, reason = "see PATH")]
pub const SERVICE: &str = "__service__";
#[expect(missing_docs, reason = "see PATH")]
pub const EXPVAR: &str = "__expvar__";
#[expect(missing_docs, reason = "see PATH")]
pub const PPROF: &str = "__pprof__";

/// Names that Prometheus has for what we know of a container.
pub const NAMESPACE: &str = "__meta_kubernetes_namespace";
#[expect(missing_docs, reason = "see NAMESPACE")]
pub const POD: &str = "__meta_kubernetes_pod_name";
#[expect(missing_docs, reason = "see NAMESPACE")]
pub const UID: &str = "__meta_kubernetes_pod_uid";
#[expect(missing_docs, reason = "see NAMESPACE")]
pub const CONTAINER: &str = "__meta_kubernetes_pod_container_name";

/// The API server; watches have times of their own.
pub(super) const SERVER: Kind = Kind {
    path: "/",
    interval: Duration::ZERO,
    timeout: Duration::ZERO,
    max_body_bytes: 0,
    max_share: 1.0,
    accept: "application/json",
};

/// Where the kubelet keeps the logs of pods (pkg/kubelet/kuberuntime, podLogsRootDirectory).
const LOGS: &str = "/var/log/pods";

/// Stands for every container when a template is checked.
pub(super) const SAMPLES: [(&str, &str); 9] = [
    (PATH, "/var/log/pods/n_p_1/c/"),
    (FROM, "end"),
    (SERVICE, "1"),
    (EXPVAR, "http://127.0.0.1:6060/"),
    (PPROF, "http://127.0.0.1:6060/"),
    (NAMESPACE, "n"),
    (POD, "p"),
    (UID, "1"),
    (CONTAINER, "c"),
];

/// Where the service account of a pod has its token, and the authority that signs the API server's certificate
/// (kubernetes.io, "Accessing the Kubernetes API from a Pod").
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const AUTHORITY: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

/// How more is known of containers than their paths say.
#[derive(Debug, Clone, PartialEq)]
pub struct Api {
    /// Whether it is asked; None: if we are in a cluster.
    pub wanted: Option<bool>,
    /// Its address, unless the environment says it.
    pub server: Option<String>,
    /// How it is reached.
    pub http: Http,
    /// The node's name, unless the environment says it.
    pub node: Option<String>,
    /// Labels of series, and the pods' labels that they are taken from.
    pub pod_labels: Vec<(String, String)>,
}

/// Reads the key `kubernetes`.
pub(super) fn read(mut fields: Fields<'_>) -> Finder {
    let api = Box::new(api(&mut fields));
    let logs = fields.parsed("logs", |text| match text {
        "" => Err("must not be empty"),
        path => Ok(PathBuf::from(path)),
    });
    let from = fields.parsed("from", file::start_at).unwrap_or_default();
    fields.finish();
    Finder::Kubernetes { logs: logs.unwrap_or_else(|| LOGS.into()), from, api }
}

fn api(fields: &mut Fields<'_>) -> Api {
    let wanted = fields.get("api").is_some().then(|| fields.flag("api"));
    let server = fields.parsed("api_server", |text| SERVER.url(text).map(|_url| text.to_owned()));
    let node = fields.parsed("node", |text| {
        let good = !text.is_empty() && text.bytes().all(is_of_a_name);
        if good { Ok(text.to_owned()) } else { Err("must be the name of a node") }
    });
    let http = fields.map("http").map(Http::read);
    let pod_labels = fields.map("pod_labels").map(pod_labels).unwrap_or_default();
    let http = http.unwrap_or_else(|| if server.is_some() { Http::default() } else { of_a_pod() });
    Api { wanted, server, http, node, pod_labels }
}

/// Of the names of Kubernetes (RFC 1123).
pub(super) fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

/// As a pod reaches its cluster's API server.
pub(super) fn of_a_pod() -> Http {
    let tls = Tls { ca_file: Some(AUTHORITY.into()), ..Tls::default() };
    let token = Auth::Credentials { scheme: "Bearer".into(), credentials_file: TOKEN.into() };
    Http { tls, auth: Some(token), ..Http::default() }
}

/// The API server of the cluster that we are in, if we are in one (kubernetes.io, "Accessing the Kubernetes API
/// from a Pod").
#[must_use]
pub fn server_of_cluster(environment: impl Fn(&str) -> Option<String>) -> Option<String> {
    let host = environment("KUBERNETES_SERVICE_HOST")?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let port = environment("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".into());
    Some(format!("https://{host}:{port}"))
}

fn pod_labels(fields: Fields<'_>) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for (name, of) in fields.entries() {
        match (&name.value, &of.value) {
            (Value::Text(name_text), Value::Text(of)) => match Label::new(name_text, of) {
                Ok(_) => labels.push((name_text.clone(), of.clone())),
                Err(what) => fields.problem(name.line, name_text, what),
            },
            _ => {
                fields.problem_at_map("must be a map of our labels to those of pods: {team: team}")
            }
        }
    }
    labels
}

/// Adds to a service what of it is known of its container. An endpoint that the container does not have is
/// left out.
pub(super) fn complete(service: &mut Node, target: &Target) {
    let line = service.line;
    let Value::Map(keys) = &mut service.value else { return };
    let label = |name: &str| target.labels.get(name).map(String::as_str);
    set(keys, line, "name", label(SERVICE));
    if let Some(trace) = map(keys, line, "trace") {
        set(trace, line, "file", label(PATH));
    }
    for (key, url) in [("expvar", label(EXPVAR)), ("pprof", label(PPROF))] {
        if let (Some(endpoint), Some(_)) = (map(keys, line, key), url) {
            set(endpoint, line, "url", url);
        }
        let has_url = |value: &Node| !matches!(&value.value, Value::Map(keys) if !has(keys, "url"));
        keys.retain(|(name, value)| !is(name, key) || has_url(value));
    }
    if has(keys, "container")
        && let Some(container) = map(keys, line, "container")
    {
        set(container, line, "pod_uid", label(UID));
    }
    if !has(keys, "expvar") && !has(keys, "pprof") {
        keys.retain(|(name, _)| !is(name, "http"));
    }
}

/// Says which container a service is.
pub(super) fn settle(service: &mut Service, target: &Target) {
    let label = |name: &str| target.labels.get(name).map_or("", String::as_str);
    let container = Container::new(label(NAMESPACE), label(POD), label(UID), label(CONTAINER));
    service.identity.container = Some(container);
    if let Some(TraceSource::File { from, .. }) = service.trace.as_mut().map(|it| &mut it.source) {
        *from = StartAt::named(label(FROM)).unwrap_or_default();
    }
}

fn is(node: &Node, key: &str) -> bool {
    matches!(&node.value, Value::Text(text) if text == key)
}

fn has(keys: &[(Node, Node)], key: &str) -> bool {
    keys.iter().any(|(name, _)| is(name, key))
}

/// What the user wrote stays.
fn set(keys: &mut Vec<(Node, Node)>, line: u64, key: &str, value: Option<&str>) {
    let text = |text: &str| Node { line, value: Value::Text(text.to_owned()) };
    if let Some(value) = value.filter(|_| !has(keys, key)) {
        keys.push((text(key), text(value)));
    }
}

/// The map below a key, which is made if it is missing. None: it is something else, which is told later.
fn map<'k>(
    keys: &'k mut Vec<(Node, Node)>,
    line: u64,
    key: &str,
) -> Option<&'k mut Vec<(Node, Node)>> {
    if !has(keys, key) {
        let name = Node { line, value: Value::Text(key.to_owned()) };
        keys.push((name, Node { line, value: Value::Map(Vec::new()) }));
    }
    match keys.iter_mut().find(|(name, _)| is(name, key)) {
        Some((_, Node { value: Value::Map(below), .. })) => Some(below),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::container::Cgroup;
    use crate::config::{discovery::Discovery, http::Auth};

    fn discovery(text: &str) -> Discovery {
        file::read(&format!("discovery: [{text}]")).unwrap().discovery.remove(0)
    }

    fn target(more: &[(&str, &str)]) -> Target {
        let known = [
            (PATH, "/var/log/pods/shop_cart-0_1/app/"),
            (FROM, "oldest"),
            (SERVICE, "cart"),
            (NAMESPACE, "shop"),
            (POD, "cart-0"),
            (UID, "1"),
            (CONTAINER, "app"),
        ];
        let labels = known.iter().chain(more);
        let labels = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Target::at("shop/cart-0/app", labels.collect())
    }

    #[test]
    fn a_container_becomes_a_service_of_its_path_alone() {
        let found = discovery("{kubernetes: {}}").template.service(&target(&[])).unwrap();
        assert_eq!(found.identity.service.as_str(), "cart");
        assert_eq!(found.identity.key().as_str(), "shop/cart-0/app");
        let trace = found.trace.unwrap().source;
        let TraceSource::File { path, from, .. } = trace else { panic!("{trace:?}") };
        assert!(path.as_os_str().as_encoded_bytes().ends_with(b"/app/"), "{path:?}");
        assert_eq!(from, StartAt::Oldest);
        assert!(found.expvar.is_none() && found.pprof.is_none());
    }

    #[test]
    fn its_endpoints_are_read_as_the_template_says_if_it_has_any() {
        let template = discovery(
            "{kubernetes: {}, service: {name: 'x-${__meta_kubernetes_pod_name}', labels: {a: b}, expvar: {interval: 7s}, pprof: {goroutineleak: 10m}, http: {headers: {X-A: {file: /x}}}}}",
        )
        .template;
        let without = template.service(&target(&[])).unwrap();
        assert!(without.expvar.is_none() && without.pprof.is_none());
        let with = [(EXPVAR, "http://10.0.0.7:6060/"), ("team", "t"), ("pod", "not-this")];
        let found = template.service(&target(&with)).unwrap();
        let endpoint = found.expvar.unwrap().endpoint;
        assert_eq!(endpoint.url, "http://10.0.0.7:6060/debug/vars");
        assert!(found.pprof.is_none());
        assert_eq!(found.identity.service.as_str(), "x-cart-0");
        let labels: Vec<_> =
            found.identity.labels.iter().map(|it| (it.name(), it.value())).collect();
        assert_eq!(labels, [("a", "b"), ("team", "t")]);
        let port = [(EXPVAR, "http://10.0.0.7:http/")];
        assert!(template.service(&target(&port)).unwrap_err().contains("expvar.url"));
    }

    #[test]
    fn a_pods_cgroup_is_read_where_it_is_mounted() {
        let template = "{kubernetes: {}, service: {container: {cgroup_root: /host/cgroup}}}";
        let found = discovery(template).template.service(&target(&[])).unwrap();
        let pod = Cgroup::Pod { uid: "1".into(), root: "/host/cgroup".into() };
        assert_eq!(found.container.unwrap().cgroup, Some(pod));
        let without = discovery("{kubernetes: {}}").template.service(&target(&[])).unwrap();
        assert_eq!(without.container, None);
    }

    #[test]
    fn a_pod_asks_as_its_service_account() {
        let api = |text: &str| match discovery(text).finders.remove(0) {
            Finder::Kubernetes { api, .. } => *api,
            other => panic!("{other:?}"),
        };
        let own = api("{kubernetes: {pod_labels: {team: owner/team}}}");
        assert_eq!(own.pod_labels, [("team".to_owned(), "owner/team".to_owned())]);
        assert_eq!(own.http.tls.ca_file.unwrap(), PathBuf::from(AUTHORITY));
        assert!(matches!(own.http.auth, Some(Auth::Credentials { .. })));
        let other = api("{kubernetes: {api_server: 'https://k8s.internal', api: false}}");
        // Our token is not for anybody else.
        assert_eq!((other.http, other.wanted), (Http::default(), Some(false)));
    }
}
