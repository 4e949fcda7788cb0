//! The pipelines of all services, and the page that they give.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;

use super::Pipeline;
use crate::aggregate::catalog::METRICS;
use crate::aggregate::semantic::SEMANTICS;
use crate::aggregate::variables::agree::agree;
use crate::config::Service;
use crate::export::otlp;
use crate::export::page::Draft;
use crate::frame::packets::TraceLines;
use crate::model::exposition::{Exposition, Wanted};
use crate::model::otlp::Shape;
use crate::model::service::{Identity, ServiceName};
use crate::model::snapshot::ServiceSnapshot;
use crate::telemetry::metrics::Metrics;

/// What OTLP needs to know of the catalogue.
static CATALOG: otlp::Catalog = otlp::Catalog { metrics: METRICS, semantics: SEMANTICS };

/// One of those whose metrics are exported; a service that comes back is another one.
#[derive(Debug, Clone)]
pub struct Source(Option<Arc<Pipeline>>);

impl Source {
    /// Whether it is ourselves.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.0.is_none()
    }

    /// A number that no other one has while this is kept.
    #[must_use]
    pub fn id(&self) -> usize {
        self.0.as_ref().map_or(0, |pipeline| Arc::as_ptr(pipeline).addr())
    }
}

/// All services, and ourselves.
#[derive(Debug, Clone)]
pub struct Pipelines {
    services: Arc<RwLock<Services>>,
    /// Those of the files of patterns, by service and label; they come and go.
    files: Arc<Mutex<Files>>,
    metrics: Arc<Metrics>,
    exposition: Exposition,
    /// Length of the last page: the next one will be about as long.
    last_page: Arc<AtomicUsize>,
    /// Held while a picture is taken: it brings our own counters to its moment, and no other may before they
    /// are read; nor may a service go before all that is known of it was read.
    picture: Arc<Mutex<()>>,
}

/// Somebody asks for a service that there is not.
#[derive(Debug, thiserror::Error)]
#[error("there is no service {0:?}")]
pub struct UnknownService(pub String);

/// Room for a page of which nothing is known.
const PAGE_BYTES: usize = 32 * 1024;

type Files = BTreeMap<(ServiceName, Box<str>), Arc<Pipeline>>;

/// The services in the order of the config, and where each is.
#[derive(Debug)]
struct Services {
    all: Vec<Arc<Pipeline>>,
    by_name: HashMap<Box<str>, usize>,
}

impl Services {
    fn new(all: Vec<Arc<Pipeline>>) -> Self {
        let by_name = all.iter().enumerate().map(|(n, one)| (one.name().into(), n)).collect();
        Self { all, by_name }
    }

    fn of(&self, name: &str) -> Option<&Arc<Pipeline>> {
        self.all.get(*self.by_name.get(name)?)
    }
}

fn files_in<'a>(
    files: &'a Files,
    service: &'a ServiceName,
) -> impl Iterator<Item = (&'a str, &'a Arc<Pipeline>)> {
    let from = (service.clone(), Box::default());
    let its = files.range(from..).take_while(move |((of, _), _)| of == service);
    its.map(|((_, log), file)| (&**log, file))
}

impl Pipelines {
    /// The services in the order of the config.
    #[must_use]
    pub fn new(
        services: Vec<Arc<Pipeline>>,
        metrics: Arc<Metrics>,
        exposition: Exposition,
    ) -> Self {
        let last_page = Arc::new(AtomicUsize::new(PAGE_BYTES));
        let services = Arc::new(RwLock::new(Services::new(services)));
        let (files, picture) = (Arc::default(), Arc::default());
        Self { services, files, metrics, exposition, last_page, picture }
    }

    /// From now on these are the services; files of patterns stay. Of those that are `gone` nothing stays.
    pub fn replace<'a>(
        &self,
        services: Vec<Arc<Pipeline>>,
        gone: impl IntoIterator<Item = &'a ServiceName>,
    ) {
        let _picture = self.lock_picture();
        gone.into_iter().for_each(|service| self.metrics.forget(service.as_str()));
        *self.services.write().unwrap_or_else(PoisonError::into_inner) = Services::new(services);
    }

    fn services(&self) -> RwLockReadGuard<'_, Services> {
        self.services.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of one service's files.
    #[must_use]
    pub fn files_of(&self, service: &ServiceName) -> Vec<Box<str>> {
        files_in(&self.files(), service).map(|(log, _)| log.into()).collect()
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
        let key = (service.identity.key().clone(), log.into());
        self.files().insert(key, Arc::clone(&pipeline));
        pipeline
    }

    /// Such a file is gone: its series end.
    pub fn remove_file(&self, service: &ServiceName, log: &str) -> Option<Arc<Pipeline>> {
        let gone = self.files().remove(&(service.clone(), log.into()))?;
        // What it counted about ourselves stays.
        let _picture = self.lock_picture();
        let _last = gone.snapshot();
        Some(gone)
    }

    /// Every service, and every file of those that read several.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Pipeline>> {
        let files = self.files();
        self.services().all.iter().chain(files.values()).cloned().collect()
    }

    /// Those of one service.
    #[must_use]
    pub fn of(&self, service: &ServiceName) -> Vec<Arc<Pipeline>> {
        let files = self.files();
        let services = self.services();
        let own = services.of(service.as_str()).into_iter();
        own.chain(files_in(&files, service).map(|(_, file)| file)).cloned().collect()
    }

    fn lock_picture(&self) -> MutexGuard<'_, ()> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all services that are not behind, and then ourselves, at one moment: no other picture is taken
    /// meanwhile. What is not written yet, the services' own variables, is given.
    fn picture(
        &self,
        all: &[Arc<Pipeline>],
        wanted: &Wanted,
        draft: &mut Draft<'_>,
    ) -> Vec<ServiceSnapshot> {
        let is_wanted = |service: &Identity| {
            let is_its_key = |wanted: &String| wanted == service.key().as_str();
            wanted.services.is_empty() || wanted.services.iter().any(is_its_key)
        };
        let (mut pipelines, mut services) = (Vec::new(), Vec::new());
        for pipeline in all {
            let Some(mut snapshot) = pipeline.snapshot() else { continue };
            if is_wanted(&snapshot.identity) {
                draft.service(&snapshot);
            }
            snapshot.series = Vec::new();
            pipelines.push(pipeline);
            services.push(snapshot);
        }
        for one in agree(&mut services) {
            let (of, other) = (pipelines.get(one.service), pipelines.get(one.other));
            if let Some((of, other)) = of.zip(other) {
                of.variables.disagrees(&one.name, one.kinds, other.name(), one.left_off);
            }
        }
        services.retain(|service| is_wanted(&service.identity));
        draft.own(self.metrics.families());
        services
    }

    /// Everything that is pushed: each service that [`Self::all`] has, and ourselves.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        let services = self.all().into_iter().map(|pipeline| Source(Some(pipeline)));
        services.chain([Source(None)]).collect()
    }

    /// The metrics of one of them now, for OTLP; none while it is behind.
    #[must_use]
    pub fn resource(&self, source: &Source, shape: &Shape, now_ns: u64) -> Option<ResourceMetrics> {
        match &source.0 {
            Some(pipeline) => {
                let picture = self.lock_picture();
                let snapshot = pipeline.snapshot()?;
                drop(picture);
                Some(otlp::service(shape, &CATALOG, &snapshot, now_ns))
            }
            None => Some(otlp::own(shape, &self.metrics.families().collect::<Vec<_>>(), now_ns)),
        }
    }

    /// The page at `/metrics` as it is without any wish: the Prometheus text format.
    #[must_use]
    pub fn page(&self) -> Vec<u8> {
        self.page_of(&Wanted::default(), &mut |_| {})
    }

    /// Writes the page that somebody wants; see [`Draft::finish`].
    ///
    /// # Errors
    /// It is to be of a service that we do not have; one that is behind has no series.
    pub fn write_page(
        &self,
        wanted: &Wanted,
        take: &mut impl FnMut(&mut Vec<u8>),
    ) -> Result<Vec<u8>, UnknownService> {
        // A name may be that of several containers.
        let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for one in self.all() {
            let key = one.service().to_owned();
            keys.entry(one.label().to_owned()).or_default().insert(key.clone());
            keys.entry(key.clone()).or_default().insert(key);
        }
        let mut services = Vec::new();
        for service in &wanted.services {
            let keys = keys.get(service).ok_or_else(|| UnknownService(service.clone()))?;
            services.extend(keys.iter().cloned());
        }
        Ok(self.page_of(&Wanted { services, ..wanted.clone() }, take))
    }

    /// How long a page was lately, as a guess of how long the next one will be.
    #[must_use]
    pub fn page_length(&self) -> usize {
        self.last_page.load(Ordering::Relaxed)
    }

    fn page_of(&self, wanted: &Wanted, take: &mut impl FnMut(&mut Vec<u8>)) -> Vec<u8> {
        let picture = self.lock_picture();
        let all = self.all();
        let mut draft = Draft::new(METRICS, self.exposition, wanted, all.len());
        let services = self.picture(&all, wanted, &mut draft);
        drop(picture);
        let mut length = 0;
        let rest = draft.finish(&services, &mut |written| {
            let before = written.len();
            take(written);
            length += before - written.len();
        });
        self.last_page.store(length + rest.len(), Ordering::Relaxed);
        rest
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::file;
    use crate::model::snapshot::MetricId;

    #[test]
    fn names_by_otlp_are_unique_and_the_conventions_names_are_not_ours() {
        let ids = (0..METRICS.len()).map(|id| MetricId(u16::try_from(id).unwrap()));
        let names = ids.filter_map(|id| otlp::name_and_unit(&CATALOG, id)).map(|(name, _)| name);
        let mut seen = HashSet::new();
        for name in names {
            assert!(name.starts_with("godebug."), "{name}");
            assert!(seen.insert(name.clone()), "{name} twice");
        }
        assert!(SEMANTICS.iter().all(|one| one.name.starts_with("go.") && !one.unit.is_empty()));
    }

    #[test]
    fn who_goes_is_gone_from_every_page_as_a_whole() {
        // Others make a page take its time.
        let one = |n: u32| format!("{{name: x{n}, trace: {{fifo: /x}}}}");
        let list: Vec<_> =
            (0..30).map(one).chain(["{name: a, trace: {fifo: /x}}".into()]).collect();
        let config = file::read(&format!("services: [{}]", list.join(","))).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let new = |service| Pipeline::new(service, Arc::clone(&metrics), TraceLines::Keep);
        let (a, others) = config.services.split_last().unwrap();
        let others: Vec<_> = others.iter().map(new).collect();
        let pipelines = Pipelines::new(others.clone(), Arc::clone(&metrics), Exposition::default());
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..100 {
                    let all = [&others[..], &[new(a)]].concat();
                    pipelines.replace(all, []);
                    pipelines.replace(others.clone(), [a.identity.key()]);
                }
                is_over.store(true, Ordering::Relaxed);
            });
            while !is_over.load(Ordering::Relaxed) {
                let page = String::from_utf8(pipelines.page()).unwrap();
                let has = |series: &str| page.contains(&format!("\n{series}{{service=\"a\"}} "));
                let of_us = has("godebug_exporter_lines_total");
                assert!(of_us || !has("go_process_starts_total"), "{page}");
            }
        });
    }

    #[test]
    fn a_service_has_its_own_pipeline_and_those_of_its_files() {
        let one = |name: &&str| format!("{{name: {name}, expvar: {{url: 'http://h'}}}}");
        let list: Vec<_> = ["ab", "a", "b"].iter().map(one).collect();
        let config = file::read(&format!("services: [{}]", list.join(","))).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let new = |service| Pipeline::new(service, Arc::clone(&metrics), TraceLines::Keep);
        let services = config.services.iter().map(new).collect();
        let pipelines = Pipelines::new(services, Arc::clone(&metrics), Exposition::default());
        for (service, log) in [(0, "1"), (1, "2"), (1, "1"), (2, "")] {
            let _added = pipelines.add_file(&config.services[service], log, |_| {});
        }
        let names = |service: usize| {
            let of = pipelines.of(config.services[service].identity.key());
            of.iter().map(|one| one.name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(0), ["ab", "ab\t1"]);
        assert_eq!(names(1), ["a", "a\t1", "a\t2"]);
        assert_eq!(pipelines.files_of(config.services[1].identity.key()), ["1".into(), "2".into()]);
        pipelines.replace(config.services.iter().skip(1).map(new).collect(), []);
        assert_eq!((names(0), names(2)), (vec!["ab\t1".into()], vec!["b".into(), "b\t".into()]));
    }
}
