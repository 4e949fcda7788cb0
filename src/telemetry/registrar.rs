//! Registries that know what was registered: the `prometheus` crate's tells of a metric only once it has a
//! series, and gathers all at once, which takes more room than all else of a page.

use std::cell::RefCell;

use prometheus::{Registry, Result, core::Collector};

/// What one of our metrics is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// The `# HELP` text.
    pub help: String,
    /// Names of its labels.
    pub labels: Vec<String>,
}

/// Registers metrics.
#[derive(Debug, Default)]
pub(super) struct Registrar {
    /// Sees whether a name is used twice.
    all: Registry,
    each: RefCell<Vec<(String, Registry)>>,
    described: RefCell<Vec<Described>>,
}

impl Registrar {
    pub(super) fn registered<C: Collector + Clone + 'static>(
        &self,
        metric: Result<C>,
    ) -> Result<C> {
        let metric = metric?;
        self.register(metric.clone(), metric.clone())?;
        Ok(metric)
    }

    /// `metric` and `same` have the same values.
    pub(super) fn register<C: Collector + 'static>(&self, metric: C, same: C) -> Result<()> {
        let described = metric.desc().into_iter().map(|desc| Described {
            name: desc.fq_name.clone(),
            help: desc.help.clone(),
            labels: desc.variable_labels.clone(),
        });
        let described: Vec<_> = described.collect();
        let first = described.first().map(|first| first.name.clone()).unwrap_or_default();
        self.described.borrow_mut().extend(described);
        let own = Registry::new();
        own.register(Box::new(same))?;
        self.each.borrow_mut().push((first, own));
        self.all.register(Box::new(metric))
    }

    /// What was registered, in that order, and a registry of each, in the order of the names.
    pub(super) fn into_parts(self) -> (Vec<Described>, Vec<Registry>) {
        let mut each = self.each.into_inner();
        each.sort_by(|(a, _), (b, _)| a.cmp(b));
        (self.described.into_inner(), each.into_iter().map(|(_, registry)| registry).collect())
    }
}
