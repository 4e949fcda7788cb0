//! Starts what reads a service's `/debug/pprof`.

use std::sync::Arc;

use crate::config::Service;
use crate::config::endpoint::{Endpoint, ScrapeWhen};
use crate::config::pprof::Pprof;
use crate::ingest::http::client::Client;
use crate::ingest::leaks::LeakScraper;
use crate::ingest::scrape::{BodySink, Scraper};
use crate::parse::pprof::PprofError;
use crate::parse::pprof::stacks::Profile;
use crate::pipeline::Pipeline;
use crate::runtime::health::Latch;
use crate::runtime::pace::Pace;
use crate::runtime::supervise::Supervisor;
use crate::runtime::trigger::{OnScrape, Trigger};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::SourceTelemetry;

/// Who may ask for a read of a service's profiles.
#[derive(Debug, Clone, Default)]
pub(super) struct PprofTriggers {
    /// Goroutines.
    pub(super) goroutine: Arc<Trigger>,
    /// Threads.
    pub(super) threadcreate: Arc<Trigger>,
    /// Leaks, now that they are suspected: granted once an interval.
    pub(super) leaks: Arc<Trigger>,
}

/// What reading a service's profiles needs.
pub(super) struct Reading<'a> {
    pub(super) service: &'a Service,
    pub(super) pprof: &'a Pprof,
    pub(super) pipeline: &'a Arc<Pipeline>,
    pub(super) client: &'a Arc<Client>,
    pub(super) triggers: &'a PprofTriggers,
    pub(super) pace: &'a Pace,
    pub(super) supervisor: &'a Supervisor,
    pub(super) metrics: &'a Arc<Metrics>,
    /// Held until each was read once.
    pub(super) latch: Latch,
}

/// A service's pipeline as the scraper of a profile sees it.
struct ProfileSink(Arc<Pipeline>, Profile);

/// The same of the heap profile.
struct HeapSink(Arc<Pipeline>);

impl PprofTriggers {
    /// Those that a scrape asks, if the service is read when we are.
    pub(super) fn on_scrape(&self, service: &Service, metrics: &Metrics) -> Vec<OnScrape> {
        let when = service.pprof.as_ref().map(|pprof| pprof.endpoint.when);
        if when != Some(ScrapeWhen::OnScrape) {
            return Vec::new();
        }
        let name = service.identity.key().as_str();
        self.by_profile()
            .map(|(profile, trigger)| OnScrape {
                trigger: Arc::clone(trigger),
                late: metrics.scrapes_late.with_label_values(&[name, profile.name()]),
            })
            .into()
    }

    const fn by_profile(&self) -> [(Profile, &Arc<Trigger>); 2] {
        [(Profile::Goroutine, &self.goroutine), (Profile::ThreadCreate, &self.threadcreate)]
    }
}

impl Reading<'_> {
    /// Starts a task for each profile.
    pub(super) fn start(&self) {
        for (profile, trigger) in self.triggers.by_profile() {
            let sink = Arc::new(ProfileSink(Arc::clone(self.pipeline), profile));
            self.scrape(profile.name(), self.pprof.profile(profile.name()), sink, trigger);
        }
        if self.pprof.heap && self.service.expvar.is_none() {
            let sink = Arc::new(HeapSink(Arc::clone(self.pipeline)));
            self.scrape("heap", self.pprof.heap_profile(), sink, &Arc::default());
        }
        self.look_for_leaks();
    }

    fn scrape(
        &self,
        source: &'static str,
        endpoint: Endpoint,
        sink: Arc<dyn BodySink>,
        trigger: &Arc<Trigger>,
    ) {
        let scraper = Scraper {
            endpoint,
            from: self.pace.turn(),
            client: Arc::clone(self.client),
            sink,
            trigger: Arc::clone(trigger),
            telemetry: self.telemetry(source),
        };
        let stop = self.supervisor.stop().clone();
        self.supervisor.spawn(source, scraper.run(self.latch.clone(), stop));
    }

    fn look_for_leaks(&self) {
        let Some(every) = self.pprof.leaks else { return };
        let profile = Profile::GoroutineLeak;
        self.pipeline.ask_when_suspected(Arc::clone(&self.triggers.leaks));
        let scraper = LeakScraper {
            endpoint: self.pprof.leak_profile(),
            every,
            client: Arc::clone(self.client),
            sink: Arc::new(ProfileSink(Arc::clone(self.pipeline), profile)),
            trigger: Arc::clone(&self.triggers.leaks),
            telemetry: self.telemetry(profile.name()),
        };
        self.supervisor.spawn(profile.name(), scraper.run(self.supervisor.stop().clone()));
    }

    fn telemetry(&self, source: &'static str) -> Arc<SourceTelemetry> {
        let name = self.service.identity.key().as_str();
        SourceTelemetry::endpoint(Arc::clone(self.metrics), name, source)
    }
}

impl BodySink for ProfileSink {
    fn body(&self, body: &[u8]) -> Result<(), (Reason, String)> {
        self.0.profile(self.1, body).map_err(told)
    }

    fn failed(&self, _reason: Reason) {
        self.0.profile_failed(self.1);
    }
}

impl BodySink for HeapSink {
    fn body(&self, body: &[u8]) -> Result<(), (Reason, String)> {
        self.0.heap_profile(body).map_err(told)
    }

    fn failed(&self, _reason: Reason) {
        self.0.heap_profile_failed();
    }
}

fn told(error: PprofError) -> (Reason, String) {
    let reason = match error {
        PprofError::Truncated => Reason::Truncated,
        PprofError::Other(_) | PprofError::Malformed(_) | PprofError::Disagrees { .. } => {
            Reason::UnexpectedBody
        }
    };
    (reason, error.to_string())
}
