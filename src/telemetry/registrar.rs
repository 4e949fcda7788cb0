//! A registry that knows what was registered: the `prometheus` crate's tells of a metric only once it has a
//! series.

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
    registry: Registry,
    described: RefCell<Vec<Described>>,
}

impl Registrar {
    pub(super) fn registered<C: Collector + Clone + 'static>(
        &self,
        metric: Result<C>,
    ) -> Result<C> {
        let metric = metric?;
        self.register(metric.clone())?;
        Ok(metric)
    }

    pub(super) fn register(&self, metric: impl Collector + 'static) -> Result<()> {
        let described = metric.desc().into_iter().map(|desc| Described {
            name: desc.fq_name.clone(),
            help: desc.help.clone(),
            labels: desc.variable_labels.clone(),
        });
        self.described.borrow_mut().extend(described);
        self.registry.register(Box::new(metric))
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What was registered, in that order.
    pub(super) fn into_described(self) -> Vec<Described> {
        self.described.into_inner()
    }
}
