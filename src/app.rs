//! Puts the stations together: `Config` → [`App::build`] (binds the socket) → [`App::run`].

pub mod listen;
pub mod pprof;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tracing::{info, warn};

use crate::config::endpoint::ScrapeWhen;
use crate::config::{Config, Service, Trace, TraceSource};
use crate::frame::packets::TraceLines;
use crate::ingest::follow::run::{self as follow, Follow, Instances, Target};
use crate::ingest::http::client::Client;
use crate::ingest::scrape::{BodySink, Scraper};
use crate::ingest::{command, fifo, stdin};
use crate::keeper::Keeper;
use crate::model::sink::TraceSink;
use crate::pipeline::{Pipeline, services::Pipelines};
use crate::probe::Prober;
use crate::push::Pusher;
use crate::runtime::health::{Health, Latch};
use crate::runtime::supervise::Supervisor;
use crate::runtime::trigger::Trigger;
use crate::serve::listener::Listener;
use crate::serve::page::Page;
use crate::serve::routes::{OnScrape, Routes};
use crate::state::store::OpenError;
use crate::survey::Survey;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::otlp::OtlpTelemetry;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::SourceTelemetry;
use crate::telemetry::state::StateTelemetry;
use pprof::{PprofTriggers, Reading};

/// How long tasks may take to end when we stop.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// A traced service prints a line every second, by our own advice.
const SILENCE: Duration = Duration::from_secs(30);

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
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began_ns = u64::try_from(began.as_nanos()).unwrap_or_default();
        for ignored in &config.ignored {
            warn!("ignoring {ignored}");
        }
        let metrics = Arc::new(Metrics::new().context("cannot register our own metrics")?);
        let pipeline = |service| Pipeline::new(service, Arc::clone(&metrics), trace_lines);
        let services: Vec<_> = config.services.iter().map(pipeline).collect();
        // A service that is a pattern has the series of its files, and its own only from endpoints.
        let own = config.services.iter().zip(&services);
        let own = own.filter(|(service, _)| {
            !has_pattern(service) || service.expvar.is_some() || service.pprof.is_some()
        });
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
    stations: Stations,
    supervisor: Supervisor,
    routes: Arc<Routes>,
    pusher: Option<Arc<Pusher>>,
    triggers: Vec<Arc<Trigger>>,
    survey: Arc<Survey>,
    clients: Vec<Arc<Client>>,
    pprof_triggers: Vec<PprofTriggers>,
    config: Config,
}

impl App {
    /// Puts the stations together; starts nothing yet.
    #[must_use]
    pub fn build(config: Config, stations: Stations) -> Self {
        let health = Arc::new(Health::default());
        let supervisor = Supervisor::new(Arc::clone(&health), Arc::clone(&stations.metrics));
        let triggers =
            config.services.iter().map(|_| Arc::new(Trigger::default())).collect::<Vec<_>>();
        let late = &stations.metrics.scrapes_late;
        let on_scrape = config.services.iter().zip(&triggers).filter_map(|(service, trigger)| {
            let endpoint = &service.expvar.as_ref()?.endpoint;
            let labels = [service.identity.service.as_str(), "expvar"];
            (endpoint.when == ScrapeWhen::OnScrape).then(|| OnScrape {
                trigger: Arc::clone(trigger),
                late: late.with_label_values(&labels),
            })
        });
        let clients = config.services.iter();
        let clients = clients.map(|service| Arc::new(Client::new(service.http.clone())));
        let clients: Vec<_> = clients.collect();
        let reached = config.services.iter().cloned().zip(clients.iter().cloned());
        let survey = Arc::new(Survey::new(reached, &stations.pipelines, &stations.metrics));
        let pprof_triggers: Vec<_> =
            config.services.iter().map(|_| PprofTriggers::default()).collect();
        let profiles = config.services.iter().zip(&pprof_triggers);
        let profiles =
            profiles.flat_map(|(service, triggers)| triggers.on_scrape(service, &stations.metrics));
        let metrics = Arc::clone(&stations.metrics);
        let routes = Arc::new(Routes {
            pipelines: stations.pipelines.clone(),
            keeper: stations.keeper.clone(),
            on_scrape: on_scrape.chain(profiles).collect(),
            health,
            metrics: Arc::clone(&stations.metrics),
            survey: Arc::clone(&survey),
            prober: config.probe.clone().map(|probe| Prober::new(probe, metrics)),
            page: Page::new(&config),
        });
        let pusher = pusher(&config, &stations, &routes);
        Self {
            stations,
            supervisor,
            routes,
            pusher,
            triggers,
            pprof_triggers,
            survey,
            clients,
            config,
        }
    }

    /// The pipelines, for who feeds them in another way.
    #[must_use]
    pub fn stations(&self) -> &Stations {
        &self.stations
    }

    /// The owner of all tasks.
    #[must_use]
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Begins to read the trace sources.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start_traces(&self) -> anyhow::Result<()> {
        let mut files = Vec::new();
        for (service, pipeline) in self.config.services.iter().zip(&self.stations.services) {
            if let Some(trace) = &service.trace {
                self.start_trace(service, trace, pipeline, &mut files)?;
            }
        }
        if !files.is_empty() {
            self.supervisor.spawn("files", follow::run(files, self.supervisor.clone()));
        }
        Ok(())
    }

    fn start_trace(
        &self,
        service: &Service,
        trace: &Trace,
        pipeline: &Arc<Pipeline>,
        files: &mut Vec<Follow>,
    ) -> anyhow::Result<()> {
        let name = service.identity.service.as_str();
        let telemetry =
            SourceTelemetry::trace(Arc::clone(&self.stations.metrics), name, trace.source.name());
        let stop = self.supervisor.stop().clone();
        let mut sink = Box::new(pipeline.sink());
        match &trace.source {
            TraceSource::File { path, from, watch } => {
                let latch = self.supervisor.health().latch();
                let pipelines = self.stations.pipelines.clone();
                let to = if trace.source.is_pattern() {
                    let keeper = self.stations.keeper.clone();
                    let service = service.clone();
                    Target::Each(Box::new(Files { service, pipelines, keeper, telemetry }))
                } else {
                    Target::One(sink, telemetry)
                };
                files.push(Follow { path: path.clone(), from: *from, watch: *watch, latch, to });
            }
            TraceSource::Fifo(path) => {
                self.supervisor.spawn("fifo", fifo::follow(path.clone(), sink, telemetry, stop));
            }
            TraceSource::Command(words) => {
                self.supervisor
                    .spawn("command", command::follow(words.clone(), sink, telemetry, stop));
            }
            TraceSource::Stdin => {
                let read = move || stdin::read(&mut *sink, &telemetry);
                self.supervisor.thread("stdin", read).context("cannot start a thread for stdin")?;
            }
            // `exec` and `demo` read these themselves.
            TraceSource::Child | TraceSource::Recording => {}
        }
        Ok(())
    }

    /// Tells once of services whose trace has nothing in it: a newcomer's first hour.
    pub fn start_watch(&self) {
        let services = self.config.services.iter().zip(&self.stations.services);
        let traced =
            services.filter(|(service, _)| service.trace.is_some() && !has_pattern(service));
        let watched: Vec<_> = traced
            .map(|(service, pipeline)| (service.identity.service.clone(), Arc::clone(pipeline)))
            .collect();
        let stop = self.supervisor.stop().clone();
        self.supervisor.spawn("watch", async move {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SILENCE) => {}
            }
            for (service, pipeline) in watched.iter().filter(|(_, pipeline)| pipeline.records() == 0) {
                let lines = pipeline.lines();
                warn!(%service, lines, "no trace line yet: is it a Go program, and has it GODEBUG=gctrace=1,schedtrace=1000 in its environment?");
            }
        });
    }

    /// Begins to read the endpoints.
    pub fn start_endpoints(&self) {
        let services = self.config.services.iter().zip(&self.stations.services);
        let services = services.zip(&self.triggers).zip(&self.clients);
        for (((service, pipeline), trigger), client) in services {
            let Some(expvar) = &service.expvar else { continue };
            let name = service.identity.service.as_str();
            let telemetry =
                SourceTelemetry::endpoint(Arc::clone(&self.stations.metrics), name, "expvar");
            let latch: Latch = self.supervisor.health().latch();
            let stop = self.supervisor.stop().clone();
            let scraper = Scraper {
                endpoint: expvar.endpoint.clone(),
                client: Arc::clone(client),
                sink: Arc::new(ExpvarSink(Arc::clone(pipeline))),
                trigger: Arc::clone(trigger),
                telemetry,
            };
            self.supervisor.spawn("expvar", scraper.run(latch, stop));
        }
        let services = self.config.services.iter().zip(&self.stations.services);
        let services = services.zip(&self.pprof_triggers).zip(&self.clients);
        for (((service, pipeline), triggers), client) in services {
            let Some(pprof) = &service.pprof else { continue };
            let (supervisor, metrics) = (&self.supervisor, &self.stations.metrics);
            Reading { service, pprof, pipeline, client, triggers, supervisor, metrics }.start();
        }
    }

    /// Serves until `stop`, then ends in order: sources, then connections.
    pub async fn run(&self, listeners: Vec<Listener>, stop: impl Future<Output = ()>) {
        for address in &listeners {
            info!(%address, services = self.config.services.len(), "listening");
        }
        crate::serve::start(
            listeners,
            &self.config.web,
            Arc::clone(&self.routes),
            &self.supervisor,
            &self.stations.metrics,
        );
        for surveyed in self.survey.services() {
            let run = Arc::clone(surveyed).run(self.supervisor.stop().clone());
            self.supervisor.spawn("survey", run);
        }
        if let Some(keeper) = &self.stations.keeper {
            let run = Arc::clone(keeper).run(self.supervisor.stop().clone());
            self.supervisor.spawn("keeper", run);
        }
        if let Some(pusher) = &self.pusher {
            let run = Arc::clone(pusher).run(self.supervisor.stop().clone());
            self.supervisor.spawn("otlp", run);
        }
        stop.await;
        self.supervisor.shut_down(STOP_DEADLINE).await;
        if let Some(keeper) = &self.stations.keeper {
            keeper.last().await;
        }
        if let Some(pusher) = &self.pusher {
            pusher.last().await;
        }
        info!("stopped");
    }
}

/// What pushes, if the config wants it; it reads the same endpoints first as `/metrics` does.
fn pusher(config: &Config, stations: &Stations, routes: &Routes) -> Option<Arc<Pusher>> {
    let otlp = config.otlp.as_ref()?;
    let telemetry = OtlpTelemetry::new(Arc::clone(&stations.metrics));
    let triggers = routes.on_scrape.iter().map(|on| Arc::clone(&on.trigger)).collect();
    let (pipelines, keeper) = (stations.pipelines.clone(), stations.keeper.clone());
    Some(Pusher::new(otlp, pipelines, keeper, triggers, telemetry, stations.began_ns))
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
        let gone = self.pipelines.remove_file(&self.service.identity.service, log);
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
