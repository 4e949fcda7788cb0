//! Who a series belongs to: a service's name and the user's own labels.

use std::fmt;

/// Labels that the catalogue uses itself; a user's label may not take their place.
pub const RESERVED_LABELS: &[&str] = &[
    "service",
    "log",
    "le",
    "quantile",
    "queue",
    "state",
    "reason",
    "kind",
    "phase",
    "area",
    "min",
    "max",
    "package",
    "size_class",
    "status",
    "p",
    "size",
    "signal",
    "what",
    "source",
    "code",
    "namespace",
    "pod",
    "container",
    "function",
    "file",
    "line",
    "job",
    "instance",
];

/// The name of a service: 1 to 200 bytes of printable text without line breaks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(Box<str>);

impl ServiceName {
    /// Longest accepted name in bytes: Prometheus and Kubernetes tools cut labels beyond it.
    pub const MAX_BYTES: usize = 200;

    /// Checks a name.
    ///
    /// # Errors
    /// What a right name looks like.
    pub fn new(name: &str) -> Result<Self, &'static str> {
        if name.is_empty() {
            return Err("must not be empty");
        }
        if name.len() > Self::MAX_BYTES {
            return Err("must be at most 200 bytes long");
        }
        if name.chars().any(char::is_control) {
            return Err("must be one line of printable text");
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user's label: a Prometheus label name and any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    name: Box<str>,
    value: Box<str>,
}

impl Label {
    /// Checks a label.
    ///
    /// # Errors
    /// What a right label looks like.
    pub fn new(name: &str, value: &str) -> Result<Self, &'static str> {
        let mut chars = name.chars();
        let head = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !head || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err("a label name is letters, digits and `_`, and does not begin with a digit");
        }
        if name.starts_with("__") {
            return Err("label names that begin with `__` belong to Prometheus");
        }
        if RESERVED_LABELS.contains(&name) {
            return Err(
                "this label is set by the exporter itself or by Prometheus; choose another name",
            );
        }
        Ok(Self { name: name.into(), value: value.into() })
    }

    /// The label's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The label's value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// What every series of one service carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The value of the label `service`.
    pub service: ServiceName,
    /// Which container of Kubernetes it runs in; several have one name then.
    pub container: Option<Container>,
    /// The value of the label `log`: which of a pattern's files it is.
    pub log: Option<Box<str>>,
    /// The user's labels, in the order written.
    pub labels: Vec<Label>,
}

/// A container, as Kubernetes knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    namespace: Box<str>,
    pod: Box<str>,
    uid: Box<str>,
    name: Box<str>,
    key: ServiceName,
}

impl Container {
    /// Of a pod, whose UID tells it from one of the same name before or after it.
    #[must_use]
    pub fn new(namespace: &str, pod: &str, uid: &str, name: &str) -> Self {
        // At most 63, 253 and 63 bytes (RFC 1123).
        let key = ServiceName(format!("{namespace}/{pod}/{name}").into());
        Self {
            namespace: namespace.into(),
            pod: pod.into(),
            uid: uid.into(),
            name: name.into(),
            key,
        }
    }

    /// The namespace's name.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The pod's name.
    #[must_use]
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// The container's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pod's UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Its labels, with their values.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        [("namespace", &*self.namespace), ("pod", &*self.pod), ("container", &*self.name)]
            .into_iter()
    }
}

impl Identity {
    /// Of a service that is no container, as far as is known.
    #[must_use]
    pub const fn new(service: ServiceName, labels: Vec<Label>) -> Self {
        Self { service, container: None, log: None, labels }
    }

    /// What no other service has: its name, or `namespace/pod/container`. Our own metrics have it as
    /// their label `service`.
    #[must_use]
    pub fn key(&self) -> &ServiceName {
        self.container.as_ref().map_or(&self.service, |container| &container.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_checked() {
        assert!(ServiceName::new("checkout v2/ü").is_ok());
        assert!(ServiceName::new("").is_err());
        assert!(ServiceName::new("a\nb").is_err());
        assert!(ServiceName::new(&"x".repeat(201)).is_err());
        assert!(Label::new("team", "a \"b\"\n").is_ok());
        for bad in ["", "1a", "a-b", "__name__", "service", "le", "ü"] {
            assert!(Label::new(bad, "x").is_err(), "{bad}");
        }
    }
}
