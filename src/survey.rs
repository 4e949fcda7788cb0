//! What each service offers: traces, by the records that come; expvar and pprof, by asking once and
//! again after each start of the service.
//!
//! An endpoint that is configured is not asked here: whether it can be read is known from its reads.
//! Another is asked for at the same host and port, at most once an hour: `/debug/vars` stops the
//! service's world for some 50 µs, the index of pprof counts its profiles.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hyper::{StatusCode, Uri};
use tokio_util::sync::CancellationToken;

use crate::config::Service;
use crate::config::endpoint::{EXPVAR, Endpoint, Kind};
use crate::ingest::http::client::Client;
use crate::ingest::http::error::FetchError;
use crate::model::capability::{Capability, Finding, Findings, Offer};
use crate::model::stats::RecordKind;
use crate::parse::{expvar, pprof};
use crate::pipeline::services::Pipelines;
use crate::telemetry::metrics::Metrics;

/// How often we look at what has changed; it costs the service nothing.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often a service that does not change is asked again.
const ASK_EVERY: Duration = Duration::from_secs(3600);

/// … and one that gave no answer.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// By our own advice a service prints a sample every second; ten minutes let others do it seldom.
const SAMPLES_MISSING: Duration = Duration::from_secs(30);
const SAMPLES_SILENT: Duration = Duration::from_secs(600);

/// The runtime collects at least every two minutes (forcegcperiod, src/runtime/proc.go).
const CYCLES_MISSING: Duration = Duration::from_secs(150);

/// The index of `/debug/pprof`.
const PPROF_INDEX: Kind = Kind {
    max_share: 1.0,
    path: "/debug/pprof/",
    interval: ASK_EVERY,
    timeout: Duration::from_secs(5),
    max_body_bytes: 1024 * 1024,
    accept: "text/html",
};

/// What is known of all services.
#[derive(Debug, Default)]
pub struct Survey {
    services: RwLock<Vec<Arc<Surveyed>>>,
}

/// One service, and what was found.
#[derive(Debug)]
pub struct Surveyed {
    service: Service,
    places: Places,
    client: Arc<Client>,
    pipelines: Pipelines,
    metrics: Arc<Metrics>,
    findings: Mutex<Findings>,
}

impl Survey {
    /// The services, in the order of the config.
    #[must_use]
    pub fn services(&self) -> Vec<Arc<Surveyed>> {
        self.services.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these are the services.
    pub fn replace(&self, services: Vec<Arc<Surveyed>>) {
        *self.services.write().unwrap_or_else(PoisonError::into_inner) = services;
    }
}

impl Surveyed {
    /// A service of which nothing is known yet, and how it is reached.
    #[must_use]
    pub fn new(
        service: Service,
        client: Arc<Client>,
        pipelines: Pipelines,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let places = Places::of(&service);
        Arc::new(Self { service, places, client, pipelines, metrics, findings: Mutex::default() })
    }

    /// As the config has it.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// What is known now.
    #[must_use]
    pub fn findings(&self) -> Findings {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks from then on until `stop`.
    pub async fn run(self: Arc<Self>, from: tokio::time::Instant, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(from) => {}
        }
        let began = Instant::now();
        let mut trace = Trace::new(began);
        let mut pages = Pages::default();
        loop {
            let look = async {
                let mut findings = Findings::default();
                self.look_at_trace(&mut trace, &mut findings);
                self.look_at_endpoints(&mut pages, &mut findings).await;
                self.publish(findings);
                tokio::time::sleep(LOOK_EVERY).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = look => {}
            }
        }
    }

    fn publish(&self, findings: Findings) {
        for (capability, finding) in findings.iter() {
            let labels = [self.service.identity.key().as_str(), capability.as_str()];
            match finding.state.as_number() {
                Some(number) => self.metrics.capability.with_label_values(&labels).set(number),
                // It was never set, or is gone now.
                None => drop(self.metrics.capability.remove_label_values(&labels)),
            }
        }
        *self.findings.lock().unwrap_or_else(PoisonError::into_inner) = findings;
    }

    fn look_at_trace(&self, trace: &mut Trace, findings: &mut Findings) {
        use Capability::{Gctrace, Scheddetail, Schedtrace};
        if self.service.trace.is_none() {
            for capability in [Schedtrace, Scheddetail, Gctrace] {
                let advice = "tell where its stderr is: `trace: {file: …}`, or start it by `exec`";
                findings.set(capability, Finding::new(Offer::Unknown, advice));
            }
            return;
        }
        let pipelines = self.pipelines.of(self.service.identity.key());
        let read = |kind| pipelines.iter().map(|pipeline| pipeline.records_of(kind)).sum::<u64>();
        let now = Instant::now();
        trace.note([RecordKind::Sched, RecordKind::SchedDetail, RecordKind::Gc].map(read), now);
        trace.judge(now, findings);
    }

    async fn look_at_endpoints(&self, pages: &mut Pages, findings: &mut Findings) {
        let pipelines = self.pipelines.of(self.service.identity.key());
        let starts = pipelines.iter().map(|pipeline| pipeline.process_starts()).sum();
        if pages.are_due(starts, Instant::now()) {
            pages.expvar = self.ask(&self.places.expvar, is_expvar).await;
            pages.index = self.ask(&self.places.pprof, profiles).await;
            pages.note(starts, Instant::now());
        }
        findings.set(Capability::Expvar, self.expvar(pages));
        findings.set(Capability::Pprof, self.pprof(pages));
        findings.set(Capability::Goroutineleak, self.goroutineleak(pages));
    }

    async fn ask<T>(&self, place: &Place, read: fn(&[u8]) -> Option<T>) -> Answer<T> {
        let (Place::Read { endpoint, ask: true, .. } | Place::Near(endpoint)) = place else {
            return Answer::NotAsked;
        };
        match self.client.get(endpoint).await {
            Ok(body) => read(&body).map_or(Answer::NotThere, Answer::There),
            Err(FetchError::Status(StatusCode::NOT_FOUND)) => Answer::NotThere,
            Err(error) => Answer::Failed(error.to_string()),
        }
    }

    /// Of an endpoint that is configured: as its own reads go.
    fn read(&self, source: &str) -> Finding {
        let labels = [self.service.identity.key().as_str(), source];
        if self.metrics.scrapes.with_label_values(&labels).get() == 0 {
            Finding::default()
        } else if self.metrics.scrape_success.with_label_values(&labels).get() == 1 {
            Finding::read()
        } else {
            let advice = "it cannot be read: see the log, and godebug_exporter_scrape_errors_total";
            Finding::new(Offer::Failing, advice)
        }
    }

    fn expvar(&self, pages: &Pages) -> Finding {
        match &self.places.expvar {
            Place::Read { source, .. } => self.read(source),
            Place::Nowhere => nowhere("expvar: {url: http://HOST:PORT/debug/vars}"),
            Place::Near(endpoint) => pages.expvar.finding(
                |()| Finding::new(Offer::Offered, format!("add to our config: expvar: {{url: {}}}", endpoint.url)),
                "add to the service: import _ \"expvar\" (it serves /debug/vars on http.DefaultServeMux)",
            ),
        }
    }

    fn pprof(&self, pages: &Pages) -> Finding {
        match &self.places.pprof {
            Place::Read { source, .. } => self.read(source),
            Place::Nowhere => nowhere("pprof: {url: http://HOST:PORT/debug/pprof}"),
            Place::Near(endpoint) => pages.index.finding(
                |_| Finding::new(Offer::Offered, format!("add to our config: pprof: {{url: {}}}", endpoint.url)),
                "add to the service: import _ \"net/http/pprof\" (it serves /debug/pprof on http.DefaultServeMux)",
            ),
        }
    }

    fn goroutineleak(&self, pages: &Pages) -> Finding {
        match &self.places.pprof {
            Place::Nowhere => nowhere("pprof: {url: http://HOST:PORT/debug/pprof}"),
            Place::Read { leaks: Some(source), .. } if !pages.index.lacks("goroutineleak") => {
                self.read(source)
            }
            Place::Read { .. } | Place::Near(_) => pages.index.finding(
                |profiles| {
                    if profiles.iter().any(|profile| profile == "goroutineleak") {
                        let advice = "add to our config: pprof: {goroutineleak: 10m}; each read costs the service a full GC";
                        Finding::new(Offer::Offered, advice)
                    } else {
                        Finding::new(Offer::Missing, NO_LEAK_PROFILE)
                    }
                },
                NO_LEAK_PROFILE,
            ),
        }
    }
}

const NO_LEAK_PROFILE: &str =
    "build the service with Go 1.27 or later, or with 1.26 and GOEXPERIMENT=goroutineleakprofile";

fn nowhere(config: &str) -> Finding {
    Finding::new(Offer::Unknown, format!("tell where it is served: {config}"))
}

fn is_expvar(body: &[u8]) -> Option<()> {
    expvar::read(body).ok().map(|_| ())
}

fn profiles(body: &[u8]) -> Option<Vec<String>> {
    let rows = pprof::index::read(body).ok()?;
    Some(rows.into_iter().map(|row| row.name).collect())
}

/// Where an endpoint is.
#[derive(Debug)]
pub enum Place {
    /// The config says it, and it is read under this name.
    Read {
        /// Of its reads.
        source: &'static str,
        /// What is asked besides: the index of pprof.
        endpoint: Endpoint,
        /// Whether it is.
        ask: bool,
        /// The name under which goroutineleak is read.
        leaks: Option<&'static str>,
    },
    /// Where another of the service's endpoints is.
    Near(Endpoint),
    /// Nobody said.
    Nowhere,
}

/// What was asked, and when.
#[derive(Debug, Default)]
struct Pages {
    asked: Option<Instant>,
    starts: u64,
    expvar: Answer<()>,
    index: Answer<Vec<String>>,
}

impl Pages {
    fn are_due(&self, starts: u64, now: Instant) -> bool {
        let again =
            if self.expvar.has_failed() || self.index.has_failed() { ASK_AGAIN } else { ASK_EVERY };
        starts != self.starts || self.asked.is_none_or(|asked| now - asked >= again)
    }

    fn note(&mut self, starts: u64, now: Instant) {
        self.starts = starts;
        self.asked = Some(now);
    }
}

#[derive(Debug, Default)]
enum Answer<T> {
    #[default]
    NotAsked,
    There(T),
    NotThere,
    Failed(String),
}

impl<T> Answer<T> {
    const fn has_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    fn finding(&self, there: impl FnOnce(&T) -> Finding, missing: &str) -> Finding {
        match self {
            Self::NotAsked => Finding::default(),
            Self::There(what) => there(what),
            Self::NotThere => Finding::new(Offer::Missing, missing),
            Self::Failed(error) => Finding { error: Some(error.clone()), ..Finding::default() },
        }
    }
}

impl Answer<Vec<String>> {
    fn lacks(&self, name: &str) -> bool {
        matches!(self, Self::There(names) if !names.iter().any(|known| known == name))
    }
}

/// The records of a trace, by kind: SCHED lines, scheddetail blocks, gc lines.
#[derive(Debug)]
struct Trace {
    began: Instant,
    counts: [u64; 3],
    seen: [Option<Instant>; 3],
}

impl Trace {
    const fn new(began: Instant) -> Self {
        Self { began, counts: [0; 3], seen: [None; 3] }
    }

    fn note(&mut self, counts: [u64; 3], now: Instant) {
        for ((seen, before), count) in self.seen.iter_mut().zip(self.counts).zip(counts) {
            if count != before {
                *seen = Some(now);
            }
        }
        self.counts = counts;
    }

    /// Seen in so long a time; missing if we waited that long; else not known yet.
    fn state(&self, kind: usize, first: Duration, silent: Duration, now: Instant) -> Offer {
        match self.seen.get(kind).copied().flatten() {
            Some(seen) if now - seen <= silent => Offer::Read,
            None if now - self.began < first => Offer::Unknown,
            _ => Offer::Missing,
        }
    }

    fn judge(&self, now: Instant, findings: &mut Findings) {
        let detail = self.state(1, SAMPLES_MISSING, SAMPLES_SILENT, now);
        let summary = self.state(0, SAMPLES_MISSING, SAMPLES_SILENT, now);
        let cycles = self.state(2, CYCLES_MISSING, CYCLES_MISSING, now);
        // A block has its summary.
        let summary = if detail == Offer::Read { detail } else { summary };
        let found = |state, advice: &str| match state {
            Offer::Missing => Finding::new(state, advice),
            _ => Finding { state, ..Finding::default() },
        };
        findings.set(
            Capability::Schedtrace,
            found(summary, "add to the service's GODEBUG: schedtrace=1000"),
        );
        findings.set(
            Capability::Scheddetail,
            found(detail, "add to the service's GODEBUG: schedtrace=1000,scheddetail=1 (some 10 µs of its time a goroutine and sample)"),
        );
        findings.set(Capability::Gctrace, found(cycles, "add to the service's GODEBUG: gctrace=1"));
    }
}

/// Where a service's endpoints are, by its settings.
#[derive(Debug)]
struct Places {
    expvar: Place,
    pprof: Place,
}

impl Places {
    fn of(service: &Service) -> Self {
        let expvar = service.expvar_endpoint().cloned();
        let near = |of: &Option<Endpoint>, kind: &Kind| {
            of.as_ref()
                .and_then(|endpoint| beside(endpoint, kind))
                .map_or(Place::Nowhere, Place::Near)
        };
        let pprof = match &service.pprof {
            Some(pprof) => Place::Read {
                source: "goroutine",
                endpoint: pprof.index(),
                ask: true,
                leaks: pprof.leaks.map(|_every| "goroutineleak"),
            },
            None => near(&expvar, &PPROF_INDEX),
        };
        let beside_pprof = service.pprof.as_ref().map(|pprof| pprof.endpoint.clone());
        let expvar = match expvar {
            Some(endpoint) => Place::Read { source: "expvar", endpoint, ask: false, leaks: None },
            None => near(&beside_pprof, &EXPVAR),
        };
        Self { expvar, pprof }
    }
}

/// Another endpoint of the same host and port.
fn beside(endpoint: &Endpoint, kind: &Kind) -> Option<Endpoint> {
    let mut parts = endpoint.url.clone().into_parts();
    parts.path_and_query = kind.path.parse().ok();
    let url = Uri::from_parts(parts).ok()?;
    Some(Endpoint { timeout: endpoint.timeout, ..kind.at(url) })
}
