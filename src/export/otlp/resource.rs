//! Whose the metrics are: one resource a service, and one for ourselves.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_semantic_conventions::attribute::{
    CONTAINER_ID, K8S_CLUSTER_NAME, K8S_CONTAINER_NAME, K8S_NAMESPACE_NAME, K8S_NODE_NAME,
    K8S_POD_NAME, K8S_POD_UID, PROCESS_RUNTIME_NAME, PROCESS_RUNTIME_VERSION, SERVICE_INSTANCE_ID,
    SERVICE_NAME, SERVICE_VERSION,
};

use crate::model::otlp::Shape;
use crate::model::service::Identity;

/// Labels that have a name in the conventions wherever they stand, and those that mean what they say only beside
/// a pod.
const OF_CONTAINERS: [(&str, &str); 1] = [("container_id", CONTAINER_ID)];
const OF_PODS: [(&str, &str); 2] = [("node", K8S_NODE_NAME), ("cluster", K8S_CLUSTER_NAME)];

/// Length of a container's id, in hexadecimal digits.
const CONTAINER_ID_DIGITS: usize = 64;

/// Attributes in the order in which they were said first; a later one with the same name replaces it.
#[derive(Debug, Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn of(shape: &Shape) -> Self {
        let mut attributes = Self::default();
        for (key, value) in &shape.attributes {
            attributes.set(key, value.to_string());
        }
        attributes
    }

    fn set(&mut self, key: &str, value: impl Into<String>) {
        let pair = attribute(key, value);
        match self.0.iter_mut().find(|there| there.key == key) {
            Some(there) => *there = pair,
            None => self.0.push(pair),
        }
    }
}

/// A text attribute.
pub(super) fn attribute(key: &str, value: impl Into<String>) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.into())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// A service's. `release`: the one Go release that its traces are from, if it is but one.
pub(super) fn service(shape: &Shape, identity: &Identity, release: Option<&str>) -> Resource {
    let mut attributes = Attributes::of(shape);
    let pod = Pod::of(identity);
    let of_pods = if pod.is_some() { OF_PODS.as_slice() } else { &[] };
    for label in &identity.labels {
        let known = OF_CONTAINERS.iter().chain(of_pods).find(|(name, _)| *name == label.name());
        attributes.set(known.map_or(label.name(), |(_, key)| key), label.value());
    }
    attributes.set(SERVICE_NAME, identity.service.as_str());
    let mut instance = shape.instance.to_string();
    if let Some(log) = &identity.log {
        attributes.set("log", &**log);
        instance = format!("{instance}:{log}");
    }
    if let Some(id) = identity.log.as_deref().and_then(container_id) {
        attributes.set(CONTAINER_ID, id);
    }
    if let Some(pod) = pod {
        attributes.set(K8S_NAMESPACE_NAME, pod.namespace);
        attributes.set(K8S_POD_NAME, pod.name);
        attributes.set(K8S_POD_UID, pod.uid);
        attributes.set(K8S_CONTAINER_NAME, pod.container);
        instance = format!("{}.{}.{}", pod.namespace, pod.name, pod.container);
    }
    attributes.set(SERVICE_INSTANCE_ID, instance);
    attributes.set(PROCESS_RUNTIME_NAME, "go");
    if let Some(release) = release {
        attributes.set(PROCESS_RUNTIME_VERSION, format!("go{release}"));
    }
    Resource { attributes: attributes.0, ..Resource::default() }
}

/// Our own.
pub(super) fn own(shape: &Shape, version: &str) -> Resource {
    let mut attributes = Attributes::of(shape);
    attributes.set(SERVICE_NAME, &*shape.own_name);
    attributes.set(SERVICE_VERSION, version);
    attributes.set(SERVICE_INSTANCE_ID, &*shape.instance);
    Resource { attributes: attributes.0, ..Resource::default() }
}

/// Where a container runs; for a log that is one of many, what its path says, below the folder where the kubelet keeps them:
/// `<namespace>_<pod>_<uid>/<container>/<restarts>.log`.
#[derive(Debug, PartialEq, Eq)]
struct Pod<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    container: &'a str,
}

impl<'a> Pod<'a> {
    /// Where a service runs, if that is known.
    fn of(identity: &'a Identity) -> Option<Self> {
        let Some(container) = &identity.container else {
            return identity.log.as_deref().and_then(Self::of_path);
        };
        let (namespace, name) = (container.namespace(), container.pod());
        Some(Self { namespace, name, uid: container.uid(), container: container.name() })
    }

    /// None of these names can hold `_` or `/` (Kubernetes, pkg/kubelet/kuberuntime/helpers.go,
    /// BuildContainerLogsDirectory). A UID is a UUID, or a hash for a pod of the node itself.
    fn of_path(path: &'a str) -> Option<Self> {
        let mut parts = path.split('/');
        let (pod, container, file) = (parts.next()?, parts.next()?, parts.next()?);
        let mut pod = pod.split('_');
        let this = Self { namespace: pod.next()?, name: pod.next()?, uid: pod.next()?, container };
        let is_digits = |text: &str, is: fn(&char) -> bool| text.chars().all(|c| is(&c));
        let hex = this.uid.chars().filter(char::is_ascii_hexdigit).count();
        let is_uid = hex == 32 && is_digits(this.uid, |c| *c == '-' || c.is_ascii_hexdigit());
        let number = file.strip_suffix(".log")?;
        let is_log = !number.is_empty() && is_digits(number, char::is_ascii_digit);
        let named = [this.namespace, this.name, this.container].iter().all(|part| !part.is_empty());
        let whole = pod.next().is_none() && parts.next().is_none();
        (whole && named && is_uid && is_log).then_some(this)
    }
}

/// What the path of a log of Docker's says, below the folder where it keeps them: `<id>/<id>-json.log`.
fn container_id(path: &str) -> Option<&str> {
    let (id, file) = path.split_once('/')?;
    let is_id = id.len() == CONTAINER_ID_DIGITS && id.bytes().all(|c| c.is_ascii_hexdigit());
    (is_id && file.strip_suffix("-json.log") == Some(id)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::service::{Container, Label, ServiceName};

    const UID: &str = "0c6a1a6e-3a0b-4f6e-9a55-0f0f6f1f2f3f";

    fn text(resource: &Resource) -> Vec<String> {
        let value = |pair: &KeyValue| match &pair.value.as_ref().unwrap().value {
            Some(any_value::Value::StringValue(text)) => text.clone(),
            other => panic!("{other:?}"),
        };
        resource.attributes.iter().map(|pair| format!("{}={}", pair.key, value(pair))).collect()
    }

    fn shape() -> Shape {
        let attributes = [("deployment.environment.name", "test"), ("service.name", "not theirs")];
        let attributes = attributes.map(|(key, value)| (key.into(), value.into())).into();
        Shape { attributes, instance: "node-1".into(), own_name: "us".into(), ..Shape::default() }
    }

    #[test]
    fn a_service_is_known_by_its_name_host_and_log() {
        let mut identity = Identity {
            service: ServiceName::new("checkout").unwrap(),
            container: None,
            log: None,
            labels: vec![Label::new("team", "payments").unwrap()],
        };
        let check = |identity: &Identity, release, more: &[&str]| {
            let base =
                ["deployment.environment.name=test", "service.name=checkout", "team=payments"];
            assert_eq!(text(&service(&shape(), identity, release)), [&base, more].concat());
        };
        check(
            &identity,
            Some("1.22"),
            &[
                "service.instance.id=node-1",
                "process.runtime.name=go",
                "process.runtime.version=go1.22",
            ],
        );
        let log = format!("shop_checkout-7d9_{UID}/app/3.log");
        identity.log = Some(log.as_str().into());
        check(
            &identity,
            None,
            &[
                &format!("log={log}"),
                "k8s.namespace.name=shop",
                "k8s.pod.name=checkout-7d9",
                &format!("k8s.pod.uid={UID}"),
                "k8s.container.name=app",
                "service.instance.id=shop.checkout-7d9.app",
                "process.runtime.name=go",
            ],
        );
        identity.log = None;
        identity.container = Some(Container::new("shop", "checkout-7d9", UID, "app"));
        check(
            &identity,
            None,
            &[
                "k8s.namespace.name=shop",
                "k8s.pod.name=checkout-7d9",
                &format!("k8s.pod.uid={UID}"),
                "k8s.container.name=app",
                "service.instance.id=shop.checkout-7d9.app",
                "process.runtime.name=go",
            ],
        );
        identity.container = None;
        identity.log = Some("app.log".into());
        check(
            &identity,
            None,
            &["log=app.log", "service.instance.id=node-1:app.log", "process.runtime.name=go"],
        );
    }

    #[test]
    fn labels_and_paths_of_containers_have_names_in_the_conventions() {
        let id = "0123456789abcdef".repeat(4);
        let check = |labels: &[(&str, &str)], log: Option<&str>, expected: &[&str]| {
            let labels = labels.iter().map(|(name, value)| Label::new(name, value).unwrap());
            let identity = Identity {
                service: ServiceName::new("s").unwrap(),
                container: None,
                log: log.map(Into::into),
                labels: labels.collect(),
            };
            let found = text(&service(&Shape::default(), &identity, None));
            for attribute in expected {
                assert!(found.iter().any(|there| there == attribute), "{attribute}: {found:?}");
            }
        };
        check(&[("container_id", "docker://1")], None, &["container.id=docker://1"]);
        let labels = [("node", "n"), ("cluster", "c")];
        // Of what?
        check(&labels, None, &["node=n", "cluster=c"]);
        let log = format!("shop_p_{UID}/app/0.log");
        check(&labels, Some(&log), &["k8s.node.name=n", "k8s.cluster.name=c", "k8s.pod.name=p"]);
        let log = format!("{id}/{id}-json.log");
        check(&[], Some(&log), &[&format!("container.id={id}")]);
        for log in [format!("{id}/app-json.log"), format!("{id}/{id}.log"), "a/a-json.log".into()] {
            assert_eq!(container_id(&log), None, "{log}");
        }
    }

    #[test]
    fn other_paths_say_nothing_of_a_pod() {
        for path in [
            "app.log".into(),
            "a_b_c/app/0.log".into(),
            format!("a_b_{UID}_d/app/0.log"),
            format!("a_b_{UID}/app/app.log"),
            format!("a_b_{UID}/app/x/0.log"),
            format!("_b_{UID}/app/0.log"),
        ] {
            assert_eq!(Pod::of_path(&path), None, "{path}");
        }
    }

    #[test]
    fn we_have_our_own_name() {
        let found = text(&own(&shape(), "1.2.3"));
        let expected = ["service.name=us", "service.version=1.2.3", "service.instance.id=node-1"];
        assert_eq!(
            found.get(1..),
            Some(&[expected[0].to_owned(), expected[1].into(), expected[2].into()][..])
        );
    }
}
