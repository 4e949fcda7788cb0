//! Puts the stations together: `Config` → [`App::build`] (binds the socket) → [`App::run`].

mod census;
pub mod listen;
mod pprof;
mod reload;
mod roster;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::config::otlp::Otlp;
use crate::config::{Config, Service};
use crate::frame::packets::TraceLines;
use crate::ingest::follow::run::{self as follow, Instances};
use crate::ingest::scrape::BodySink;
use crate::keeper::Keeper;
use crate::model::sink::TraceSink;
use crate::pipeline::{Pipeline, services::Pipelines};
use crate::probe::Prober;
use crate::push::Pusher;
use crate::runtime::clock::now_ns;
use crate::runtime::health::Health;
use crate::runtime::reload::{self as runtime_reload, Asked, Reload};
use crate::runtime::supervise::Supervisor;
use crate::runtime::trigger::OnScrapes;
use crate::serve::guard::Guard;
use crate::serve::listener::Listener;
use crate::serve::routes::Routes;
use crate::state::store::OpenError;
use crate::survey::Survey;
use crate::telemetry::config::ConfigTelemetry;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::otlp::OtlpTelemetry;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::SourceTelemetry;
use crate::telemetry::state::StateTelemetry;
use census::Census;
use reload::Reloader;
pub use reload::Source;
use roster::Roster;

/// Orders on their way to who follows files; whoever finds it full waits.
const ORDERS: usize = 16;

/// How long tasks may take to end when we stop.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Everything but the sockets: what all commands that export have in common.
#[derive(Debug)]
pub struct Stations {
    /// One a service, in the order of the config.
    pub services: Vec<Arc<Pipeline>>,
    /// All of them, and ourselves.
    pub pipelines: Pipelines,
    /// About ourselves.
    pub metrics: Arc<Metrics>,
    /// Keeps their state, if it is kept.
    pub keeper: Option<Arc<Keeper>>,
    /// When we began to count, in nanoseconds since 1970.
    began_ns: u64,
}

impl Stations {
    /// Makes the pipelines.
    ///
    /// # Errors
    /// Our own metrics cannot be registered: a defect.
    pub fn new(config: &Config, trace_lines: TraceLines) -> anyhow::Result<Self> {
        let began_ns = now_ns();
        for ignored in &config.ignored {
            warn!("ignoring {ignored}");
        }
        let metrics = Arc::new(Metrics::new().context("cannot register our own metrics")?);
        let pipeline = |service| Pipeline::new(service, Arc::clone(&metrics), trace_lines);
        let services: Vec<_> = config.services.iter().map(pipeline).collect();
        let own = config.services.iter().zip(&services);
        let own = own.filter(|(service, _)| roster::has_own_series(service));
        let own = own.map(|(_, pipeline)| Arc::clone(pipeline)).collect();
        let pipelines = Pipelines::new(own, Arc::clone(&metrics), config.exposition);
        Ok(Self { services, pipelines, metrics, keeper: None, began_ns })
    }

    /// Goes on from saved state, if the config says where it is.
    ///
    /// # Errors
    /// Another exporter uses it.
    pub fn keep_state(&mut self, config: &Config) -> Result<(), OpenError> {
        let Some(state) = &config.state else {
            info!(
                "no state directory: after a restart counters begin at 0, and files are read from where the config says"
            );
            return Ok(());
        };
        let telemetry = StateTelemetry::new(Arc::clone(&self.metrics));
        self.keeper = Some(Keeper::open(state, self.pipelines.clone(), telemetry)?);
        Ok(())
    }
}

/// The daemon, ready to run.
#[derive(Debug)]
pub struct App {
    metrics: Arc<Metrics>,
    keeper: Option<Arc<Keeper>>,
    supervisor: Supervisor,
    routes: Arc<Routes>,
    pusher: Option<Arc<Pusher>>,
    roster: Arc<Roster>,
    config: Config,
    from_file: Mutex<Option<FromFile>>,
}

/// Where the config came from, and who asks for it to be read again.
#[derive(Debug)]
struct FromFile {
    source: Source,
    asked: Asked,
}

impl App {
    /// Puts the stations together; starts nothing of the services yet. `source`: where the config came
    /// from; it is read again when somebody asks.
    #[must_use]
    pub fn build(config: Config, source: Option<Source>, stations: Stations) -> Self {
        let health = Arc::new(Health::default());
        let supervisor = Supervisor::new(Arc::clone(&health), Arc::clone(&stations.metrics));
        let (metrics, keeper) = (Arc::clone(&stations.metrics), stations.keeper.clone());
        let (survey, on_scrape) = (Arc::<Survey>::default(), OnScrapes::default());
        let prober = config.probe.clone().map(|probe| Prober::new(probe, Arc::clone(&metrics)));
        let (orders, follower) = mpsc::channel(ORDERS);
        supervisor.spawn("files", follow::run(follower, supervisor.clone()));
        let mut routes = Routes {
            pipelines: stations.pipelines.clone(),
            keeper: keeper.clone(),
            on_scrape: on_scrape.clone(),
            health,
            metrics: Arc::clone(&metrics),
            survey: Arc::clone(&survey),
            prober,
            push: config.otlp.as_ref().map(Otlp::told),
            reload: None,
        };
        let pusher = pusher(&config, &stations, &on_scrape);
        let roster = Arc::new(Roster::new(stations, supervisor.clone(), survey, on_scrape, orders));
        let mut from_file = None;
        if let Some(source) = source {
            let (reload, asked) = runtime_reload::channel();
            routes.reload = Some(reload);
            from_file = Some(FromFile { source, asked });
        }
        let from_file = Mutex::new(from_file);
        let routes = Arc::new(routes);
        Self { metrics, keeper, supervisor, routes, pusher, roster, config, from_file }
    }

    /// The owner of all tasks.
    #[must_use]
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Begins to read the services.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.roster.begin(&self.config.services).await?;
        let from_file = self.from_file.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(FromFile { source: Source { file, config, guard }, asked }) = from_file {
            let telemetry = ConfigTelemetry::new(Arc::clone(&self.metrics));
            let census =
                Census::begin(config, Arc::clone(&self.roster), &self.supervisor, &self.metrics);
            let reloader = Reloader { file, guard, census, telemetry };
            let stop = self.supervisor.stop().clone();
            self.supervisor.spawn("census", async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = reloader.run(asked) => {}
                }
            });
        }
        Ok(())
    }

    /// Asks for the config to be read again, if it came from a file.
    #[must_use]
    pub fn reload(&self) -> Option<Reload> {
        self.routes.reload.clone()
    }

    /// Serves until `stop`, then ends in order: sources, then connections.
    pub async fn run(
        &self,
        listeners: Vec<Listener>,
        guard: Option<Arc<Guard>>,
        stop: impl Future<Output = ()>,
    ) {
        for address in &listeners {
            info!(%address, services = self.config.services.len(), "listening");
        }
        crate::serve::start(
            listeners,
            &self.config.web,
            Arc::clone(&self.routes),
            guard,
            &self.supervisor,
        );
        if let Some(keeper) = &self.keeper {
            let run = Arc::clone(keeper).run(self.supervisor.stop().clone());
            self.supervisor.spawn("keeper", run);
        }
        if let Some(pusher) = &self.pusher {
            let run = Arc::clone(pusher).run(self.supervisor.stop().clone());
            self.supervisor.spawn("otlp", run);
        }
        stop.await;
        self.supervisor.shut_down(STOP_DEADLINE).await;
        if let Some(keeper) = &self.keeper {
            keeper.last().await;
        }
        if let Some(pusher) = &self.pusher {
            pusher.last().await;
        }
        info!("stopped");
    }
}

/// What pushes, if the config wants it; it reads the same endpoints first as `/metrics` does.
fn pusher(config: &Config, stations: &Stations, on_scrape: &OnScrapes) -> Option<Arc<Pusher>> {
    let otlp = config.otlp.as_ref()?;
    let telemetry = OtlpTelemetry::new(Arc::clone(&stations.metrics));
    let (pipelines, keeper) = (stations.pipelines.clone(), stations.keeper.clone());
    Some(Pusher::new(otlp, pipelines, keeper, on_scrape.clone(), telemetry, stations.began_ns))
}

fn has_pattern(service: &Service) -> bool {
    service.trace.as_ref().is_some_and(|trace| trace.source.is_pattern())
}

/// Makes a pipeline for each file of a pattern.
struct Files {
    service: Service,
    pipelines: Pipelines,
    keeper: Option<Arc<Keeper>>,
    telemetry: Arc<SourceTelemetry>,
}

impl Instances for Files {
    fn add(&mut self, log: &str) -> (Box<dyn TraceSink>, Arc<SourceTelemetry>) {
        let restore = |pipeline: &Pipeline| {
            if let Some(keeper) = &self.keeper {
                keeper.restore(pipeline);
            }
        };
        let pipeline = self.pipelines.add_file(&self.service, log, restore);
        (Box::new(pipeline.sink()), self.telemetry.another())
    }

    fn remove(&mut self, log: &str) {
        let gone = self.pipelines.remove_file(self.service.identity.key(), log);
        if let Some((keeper, gone)) = self.keeper.as_ref().zip(gone) {
            keeper.forget(&gone);
        }
    }

    fn passed_over(&mut self, files: usize) {
        self.telemetry.passed_over(files);
    }
}

/// A service's pipeline as the expvar scraper sees it.
struct ExpvarSink(Arc<Pipeline>);

impl BodySink for ExpvarSink {
    fn body(&self, body: &[u8]) -> Result<(), (Reason, String)> {
        use crate::parse::expvar::ExpvarError;
        self.0.expvar(body).map_err(|error| {
            let reason = match error {
                ExpvarError::NotJson => Reason::UnexpectedBody,
                ExpvarError::Truncated => Reason::Truncated,
            };
            (reason, error.to_string())
        })
    }

    fn failed(&self, _reason: Reason) {
        self.0.expvar_failed();
    }
}
