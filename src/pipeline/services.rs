//! The pipelines of all services, and the page that they give.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::proto::MetricFamily;

use super::Pipeline;
use crate::aggregate::catalog::METRICS;
use crate::aggregate::variables::agree::agree;
use crate::config::Service;
use crate::export::{text, variables};
use crate::frame::packets::TraceLines;
use crate::model::service::{Identity, ServiceName};
use crate::model::snapshot::ServiceSnapshot;
use crate::telemetry::metrics::Metrics;

/// All services, and ourselves.
#[derive(Debug, Clone)]
pub struct Pipelines {
    services: Arc<[Arc<Pipeline>]>,
    /// Those of the files of patterns, by service and label; they come and go.
    files: Arc<Mutex<Files>>,
    metrics: Arc<Metrics>,
}

type Files = BTreeMap<(ServiceName, Box<str>), Arc<Pipeline>>;

impl Pipelines {
    /// The services in the order of the config.
    #[must_use]
    pub fn new(services: Vec<Arc<Pipeline>>, metrics: Arc<Metrics>) -> Self {
        Self { services: services.into(), files: Arc::default(), metrics }
    }

    /// One more file of a service that reads several: a pipeline of its own, with the label `log`;
    /// `restore` comes before anybody else sees it.
    #[must_use]
    pub fn add_file(
        &self,
        service: &Service,
        log: &str,
        restore: impl FnOnce(&Pipeline),
    ) -> Arc<Pipeline> {
        let identity = Identity { log: Some(log.into()), ..service.identity.clone() };
        let file = Service { identity, expvar: None, pprof: None, ..service.clone() };
        let pipeline = Pipeline::new(&file, Arc::clone(&self.metrics), TraceLines::Keep);
        restore(&pipeline);
        let key = (service.identity.service.clone(), log.into());
        self.files().insert(key, Arc::clone(&pipeline));
        pipeline
    }

    /// Such a file is gone: its series end.
    pub fn remove_file(&self, service: &ServiceName, log: &str) -> Option<Arc<Pipeline>> {
        let gone = self.files().remove(&(service.clone(), log.into()))?;
        // What it counted about ourselves stays.
        let _last = gone.snapshot();
        Some(gone)
    }

    /// Every service, and every file of those that read several.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Pipeline>> {
        let files = self.files();
        self.services.iter().chain(files.values()).cloned().collect()
    }

    /// Those of one service.
    #[must_use]
    pub fn of(&self, service: &ServiceName) -> Vec<Arc<Pipeline>> {
        let files = self.files();
        let files = files.iter().filter(|((of, _), _)| of == service).map(|(_, file)| file);
        let own = self.services.iter().filter(|own| own.name() == service.as_str());
        own.chain(files).cloned().collect()
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A picture of all services that are not behind, and then of ourselves.
    #[must_use]
    pub fn snapshot(&self) -> (Vec<ServiceSnapshot>, Vec<MetricFamily>) {
        let all = self.all();
        let given = all.iter().filter_map(|service| Some((service, service.snapshot()?)));
        let (pipelines, mut services): (Vec<_>, Vec<_>) = given.unzip();
        for one in agree(&mut services) {
            let (of, other) = (pipelines.get(one.service), pipelines.get(one.other));
            if let Some((of, other)) = of.zip(other) {
                of.variables.disagrees(&one.name, one.kinds, other.name(), one.left_off);
            }
        }
        (services, self.metrics.gather())
    }

    /// The page at `/metrics`, in the Prometheus text format.
    #[must_use]
    pub fn page(&self) -> Vec<u8> {
        let (services, own) = self.snapshot();
        let mut page = Vec::with_capacity(32 * 1024);
        text::services(&mut page, METRICS, &services);
        variables::variables(&mut page, &services);
        text::own(&mut page, &own);
        page
    }
}
