//! The services at work: each with its stations and its tasks, which end when it leaves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::{info, warn};

use super::pprof::{PprofTriggers, Reading};
use super::{ExpvarSink, Files, Stations, has_pattern};
use crate::config::endpoint::ScrapeWhen;
use crate::config::{Service, Trace, TraceSource};
use crate::frame::packets::TraceLines;
use crate::ingest::cgroup::{self, ContainerReader, ContainerSink};
use crate::ingest::follow::run::{Follow, Order, Target};
use crate::ingest::http::client::Client;
use crate::ingest::scrape::Scraper;
use crate::ingest::{command, fifo, pod_log, stdin};
use crate::model::container::ContainerUse;
use crate::model::service::ServiceName;
use crate::pipeline::Pipeline;
use crate::runtime::health::Latch;
use crate::runtime::pace::Pace;
use crate::runtime::supervise::Supervisor;
use crate::runtime::trigger::{OnScrape, OnScrapes, Trigger};
use crate::survey::{Survey, Surveyed};
use crate::telemetry::service::SourceTelemetry;

/// How long a service's tasks may take to end.
const LEAVE_DEADLINE: Duration = Duration::from_secs(5);

/// A traced service prints a line every second, by our own advice.
const SILENCE: Duration = Duration::from_secs(30);

/// Every service, and what they share.
#[derive(Debug)]
pub(super) struct Roster {
    members: Mutex<Vec<Member>>,
    stations: Stations,
    supervisor: Supervisor,
    survey: Arc<Survey>,
    on_scrape: OnScrapes,
    follower: mpsc::Sender<Order>,
    /// Of first reads.
    pace: Pace,
}

/// A service at work.
#[derive(Debug)]
struct Member {
    service: Service,
    pipeline: Arc<Pipeline>,
    surveyed: Arc<Surveyed>,
    on_scrape: Vec<OnScrape>,
    /// Of its tasks.
    supervisor: Supervisor,
}

/// What has changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// Services that are new, or not what they were.
    pub(super) begun: usize,
    /// Services that are gone, or not what they were.
    pub(super) ended: usize,
}

/// A service on its way into the roster.
struct Starting<'a> {
    roster: &'a Roster,
    service: &'a Service,
    pipeline: &'a Arc<Pipeline>,
    supervisor: Supervisor,
    /// We were ready before it came.
    late: bool,
}

/// A service's pipeline as who reads its cgroup sees it.
struct InPipeline(Arc<Pipeline>);

impl ContainerSink for InPipeline {
    fn reading(&self, reading: ContainerUse) {
        self.0.container(Some(reading));
    }

    fn failed(&self) {
        self.0.container(None);
    }
}

impl Roster {
    /// Without services yet; orders for who follows files go to `follower`.
    #[must_use]
    pub(super) fn new(
        stations: Stations,
        supervisor: Supervisor,
        survey: Arc<Survey>,
        on_scrape: OnScrapes,
        follower: mpsc::Sender<Order>,
    ) -> Self {
        let (members, pace) = (Mutex::default(), Pace::default());
        Self { members, stations, supervisor, survey, on_scrape, follower, pace }
    }

    /// Begins with these services, whose stations are there already.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(super) async fn begin(&self, services: &[Service]) -> anyhow::Result<()> {
        let mut members = self.members.lock().await;
        for (service, pipeline) in services.iter().zip(&self.stations.services) {
            members.push(self.start(service, pipeline, false).await?);
        }
        self.publish(&members, []);
        Ok(())
    }

    /// From now on these are the services. One that is as it was goes on undisturbed; one that has
    /// changed goes on from what it knew.
    ///
    /// # Errors
    /// A thread cannot be started; the other services are at work then.
    pub(super) async fn replace(&self, services: &[Service]) -> anyhow::Result<Change> {
        let mut members = self.members.lock().await;
        let mut change = Change::default();
        let mut before: HashMap<_, _> = members
            .drain(..)
            .map(|member| (member.service.identity.key().clone(), member))
            .collect();
        let mut after = Vec::new();
        for service in services {
            let old = before.remove(service.identity.key());
            after.push((service, old));
        }
        for gone in before.values() {
            change.ended += 1;
            self.stop(gone).await;
        }
        let mut failed = None;
        for (service, old) in after {
            let member = match old {
                Some(old) if old.service == *service => Ok(old),
                old => {
                    change.begun += 1;
                    change.ended += usize::from(old.is_some());
                    self.take_on(service, old).await
                }
            };
            match member {
                Ok(member) => members.push(member),
                Err(error) => failed = Some(error),
            }
        }
        self.publish(&members, before.keys());
        for gone in before.into_keys() {
            info!(service = %gone, "service ended");
        }
        failed.map_or(Ok(change), Err)
    }

    async fn take_on(&self, service: &Service, old: Option<Member>) -> anyhow::Result<Member> {
        let metrics = Arc::clone(&self.stations.metrics);
        let pipeline = Pipeline::new(service, metrics, TraceLines::Keep);
        match old {
            Some(old) => {
                self.stop(&old).await;
                if let Some(keeper) = &self.stations.keeper {
                    // What the new one begins with is saved, as all that is exported.
                    keeper.before_export().await;
                }
                if let Err(error) = old.pipeline.hand_over(&pipeline) {
                    warn!(service = pipeline.name(), %error, "its counters begin anew");
                }
                if self.stations.keeper.is_some() {
                    pipeline.keep();
                }
            }
            None => {
                if let Some(keeper) = &self.stations.keeper {
                    keeper.restore(&pipeline);
                }
            }
        }
        self.start(service, &pipeline, true).await
    }

    async fn start(
        &self,
        service: &Service,
        pipeline: &Arc<Pipeline>,
        late: bool,
    ) -> anyhow::Result<Member> {
        let supervisor = self.supervisor.scope();
        Starting { roster: self, service, pipeline, supervisor, late }.start().await
    }

    /// Its tasks end, and no more bytes of it come.
    async fn stop(&self, member: &Member) {
        let service = member.service.identity.key();
        let (ack, left) = oneshot::channel();
        let told = self.follower.send(Order::Leave(service.clone(), ack)).await;
        member.supervisor.end(LEAVE_DEADLINE).await;
        // Its end is what is waited for.
        if told.is_ok() && tokio::time::timeout(LEAVE_DEADLINE, left).await.is_err() {
            warn!(%service, "going on although a read of its file has not ended");
        }
        for log in self.stations.pipelines.files_of(service) {
            drop(self.stations.pipelines.remove_file(service, &log));
        }
    }

    fn publish<'a>(&self, members: &[Member], gone: impl IntoIterator<Item = &'a ServiceName>) {
        // A service that is a pattern has the series of its files, and its own only from endpoints.
        let own = members.iter().filter(|member| has_own_series(&member.service));
        let own = own.map(|member| Arc::clone(&member.pipeline)).collect();
        self.stations.pipelines.replace(own, gone);
        self.survey.replace(members.iter().map(|member| Arc::clone(&member.surveyed)).collect());
        let on_scrape = members.iter().flat_map(|member| member.on_scrape.iter().cloned());
        self.on_scrape.replace(on_scrape.collect());
    }
}

/// Whether a service has series that are not of one of its files.
pub(super) fn has_own_series(service: &Service) -> bool {
    let endpoints = service.expvar.is_some() || service.pprof.is_some();
    !has_pattern(service) || endpoints || service.container.is_some()
}

impl Starting<'_> {
    async fn start(self) -> anyhow::Result<Member> {
        let client = Arc::new(Client::new(self.service.http.clone()));
        let (trigger, triggers) = (Arc::new(Trigger::default()), PprofTriggers::default());
        if let Some(trace) = &self.service.trace {
            self.trace(trace).await?;
            self.watch();
        }
        self.expvar(&client, &trigger);
        self.container();
        if let Some(pprof) = &self.service.pprof {
            let Self { service, pipeline, supervisor, .. } = &self;
            let (metrics, latch) = (&self.roster.stations.metrics, self.latch());
            let (client, triggers, pace) = (&client, &triggers, &self.roster.pace);
            Reading {
                service,
                pprof,
                pipeline,
                client,
                triggers,
                pace,
                supervisor,
                metrics,
                latch,
            }
            .start();
        }
        let on_scrape = self.on_scrape(&trigger, &triggers);
        let surveyed = Surveyed::new(
            self.service.clone(),
            client,
            self.roster.stations.pipelines.clone(),
            Arc::clone(&self.roster.stations.metrics),
        );
        let from = self.roster.pace.turn();
        let run = Arc::clone(&surveyed).run(from, self.supervisor.stop().clone());
        self.supervisor.spawn("survey", run);
        let (service, pipeline) = (self.service.clone(), Arc::clone(self.pipeline));
        Ok(Member { service, pipeline, surveyed, on_scrape, supervisor: self.supervisor })
    }

    fn latch(&self) -> Latch {
        if self.late { Latch::detached() } else { self.supervisor.health().latch() }
    }

    fn name(&self) -> &str {
        self.service.identity.key().as_str()
    }

    fn on_scrape(&self, expvar: &Arc<Trigger>, pprof: &PprofTriggers) -> Vec<OnScrape> {
        let metrics = &self.roster.stations.metrics;
        let when = self.service.expvar_endpoint().map(|endpoint| endpoint.when);
        let expvar = (when == Some(ScrapeWhen::OnScrape)).then(|| OnScrape {
            trigger: Arc::clone(expvar),
            late: metrics.scrapes_late.with_label_values(&[self.name(), "expvar"]),
        });
        expvar.into_iter().chain(pprof.on_scrape(self.service, metrics)).collect()
    }

    async fn trace(&self, trace: &Trace) -> anyhow::Result<()> {
        // `exec` and `demo` read these themselves, and tell of them.
        if matches!(trace.source, TraceSource::Child | TraceSource::Recording) {
            return Ok(());
        }
        let metrics = Arc::clone(&self.roster.stations.metrics);
        let telemetry = SourceTelemetry::trace(metrics, self.name(), trace.source.name());
        let stop = self.supervisor.stop().clone();
        let mut sink = Box::new(self.pipeline.sink());
        match &trace.source {
            TraceSource::File { path, from, watch } => {
                let to = if trace.source.is_pattern() {
                    let pipelines = self.roster.stations.pipelines.clone();
                    let keeper = self.roster.stations.keeper.clone();
                    let service = self.service.clone();
                    Target::Each(Box::new(Files { service, pipelines, keeper, telemetry }))
                } else {
                    Target::One(sink, telemetry)
                };
                let (service, latch) = (self.service.identity.key().clone(), self.latch());
                let follow =
                    Follow { service, path: path.clone(), from: *from, watch: *watch, latch, to };
                // If nobody follows any more, we stop.
                let _told = self.roster.follower.send(Order::Follow(follow)).await;
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
            TraceSource::Kubernetes(log) => {
                let (log, latch) = ((**log).clone(), self.latch());
                self.supervisor
                    .spawn("pod_log", pod_log::follow(log, sink, telemetry, latch, stop));
            }
            TraceSource::Child | TraceSource::Recording => {}
        }
        Ok(())
    }

    /// Tells once that a trace has nothing in it: a newcomer's first hour.
    fn watch(&self) {
        if has_pattern(self.service) {
            return;
        }
        let (service, pipeline) = (self.service.identity.key().clone(), Arc::clone(self.pipeline));
        let stop = self.supervisor.stop().clone();
        self.supervisor.spawn("watch", async move {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SILENCE) => {}
            }
            if pipeline.records() == 0 {
                let lines = pipeline.lines();
                warn!(%service, lines, "no trace line yet: is it a Go program, and has it GODEBUG=gctrace=1,schedtrace=1000 in its environment?");
            }
        });
    }

    fn container(&self) {
        let Some(container) = self.service.container.clone() else { return };
        let child =
            matches!(&self.service.trace, Some(trace) if trace.source == TraceSource::Child);
        // Nobody asked for it; where there is no cgroup there is nothing to tell.
        if child && !cgroup::is_there(&container) {
            return;
        }
        let metrics = Arc::clone(&self.roster.stations.metrics);
        let reader = ContainerReader {
            container,
            sink: Arc::new(InPipeline(Arc::clone(self.pipeline))),
            telemetry: SourceTelemetry::trace(metrics, self.name(), "container"),
        };
        self.supervisor.spawn("container", reader.run(self.supervisor.stop().clone()));
    }

    fn expvar(&self, client: &Arc<Client>, trigger: &Arc<Trigger>) {
        let Some(endpoint) = self.service.expvar_endpoint() else { return };
        let metrics = Arc::clone(&self.roster.stations.metrics);
        let scraper = Scraper {
            endpoint: endpoint.clone(),
            from: self.roster.pace.turn(),
            client: Arc::clone(client),
            sink: Arc::new(ExpvarSink(Arc::clone(self.pipeline))),
            trigger: Arc::clone(trigger),
            telemetry: SourceTelemetry::endpoint(metrics, self.name(), "expvar"),
        };
        self.supervisor.spawn("expvar", scraper.run(self.latch(), self.supervisor.stop().clone()));
    }
}
