//! What service discovery finds: a target and its labels.

use std::collections::BTreeMap;

/// The label that is a target's address, as Prometheus calls it.
pub const ADDRESS: &str = "__address__";

/// A target: its labels, the address among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Those that begin with `__` are known here only, as in Prometheus.
    pub labels: BTreeMap<String, String>,
}

impl Target {
    /// One at `address`.
    #[must_use]
    pub fn at(address: &str, mut labels: BTreeMap<String, String>) -> Self {
        labels.insert(ADDRESS.to_owned(), address.to_owned());
        labels.entry("__scheme__".to_owned()).or_insert_with(|| "http".to_owned());
        Self { labels }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &str {
        self.labels.get(ADDRESS).map_or("", String::as_str)
    }
}
