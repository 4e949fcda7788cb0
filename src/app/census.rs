//! Which services there are: those of the config, and those that were found.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::error;

use super::roster::{Change, Roster};
use crate::config::{Config, Service};
use crate::discover::{self, Found};
use crate::runtime::health::Latch;
use crate::runtime::supervise::Supervisor;
use crate::telemetry::discovery::{DiscoveryTelemetry, FinderTelemetry};
use crate::telemetry::metrics::Metrics;

/// What was found waits here for its turn.
const FOUND: usize = 16;

/// How long a finder may take to end.
const END_DEADLINE: Duration = Duration::from_secs(1);

/// Tells the roster whenever it changes.
pub(super) struct Census {
    roster: Arc<Roster>,
    config: Config,
    /// Of each discovery, what it said last.
    found: Vec<Found>,
    told: mpsc::Receiver<Found>,
    /// Of the finders.
    supervisor: Supervisor,
    parent: Supervisor,
    metrics: Arc<Metrics>,
    telemetry: DiscoveryTelemetry,
}

impl Census {
    /// Of this config, whose services are at work already; its finders begin.
    pub(super) fn begin(
        config: Config,
        roster: Arc<Roster>,
        supervisor: &Supervisor,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let mut census = Self {
            roster,
            config,
            found: Vec::new(),
            told: mpsc::channel(FOUND).1,
            supervisor: supervisor.scope(),
            parent: supervisor.clone(),
            metrics: Arc::clone(metrics),
            telemetry: DiscoveryTelemetry::new(Arc::clone(metrics)),
        };
        census.find(&|| supervisor.health().latch());
        census
    }

    /// What holds now.
    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// The next news of a finder; waits for ever if there are none.
    pub(super) async fn next(&mut self) -> Found {
        match self.told.recv().await {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }

    /// A finder has news.
    pub(super) async fn take(&mut self, news: Found) {
        let place = news.discovery;
        if let Some(found) = self.found.get_mut(place) {
            *found = news;
            if let Err(error) = self.publish().await {
                error!(error = format!("{error:#}"), "a service that was found cannot be begun");
            }
        }
    }

    /// Another config holds from now on.
    ///
    /// # Errors
    /// A service cannot be begun.
    pub(super) async fn replace(&mut self, config: Config) -> anyhow::Result<Change> {
        let same = self.config.discovery == config.discovery;
        self.config = config;
        if !same {
            self.supervisor.end(END_DEADLINE).await;
            self.supervisor = self.parent.scope();
            self.find(&Latch::detached);
        }
        self.publish().await
    }

    /// Begins to look; what was found before stays for the grace, if it is not found again.
    fn find(&mut self, latch: &dyn Fn() -> Latch) {
        let (tell, told) = mpsc::channel(FOUND);
        self.told = told;
        let mut before = std::mem::take(&mut self.found).into_iter();
        for (number, discovery) in self.config.discovery.iter().enumerate() {
            let known = before.next().map(|found| found.services).unwrap_or_default();
            let metrics = Arc::clone(&self.metrics);
            let telemetry = move |mechanism| FinderTelemetry::new(Arc::clone(&metrics), mechanism);
            let (discovery, tell) = (discovery.clone(), tell.clone());
            let stop = self.supervisor.stop().clone();
            let (known_before, latch) = (known.clone(), latch());
            let run = discover::run(number, discovery, known_before, telemetry, tell, latch, stop);
            self.supervisor.spawn("discovery", run);
            let vanished = known.len();
            let refused = Vec::new();
            self.found.push(Found { discovery: number, services: known, vanished, refused });
        }
    }

    async fn publish(&self) -> anyhow::Result<Change> {
        let mut names: HashSet<_> = names(&self.config.services);
        let mut services = self.config.services.clone();
        let mut refused: BTreeSet<(String, String)> = BTreeSet::new();
        for found in &self.found {
            refused.extend(found.refused.iter().cloned());
            for service in &found.services {
                if names.insert(service.identity.key().as_str()) {
                    services.push(service.clone());
                } else {
                    let name = service.identity.key().as_str();
                    let why = "the config or another discovery has a service of that name";
                    refused.insert((name.to_owned(), why.to_owned()));
                }
            }
        }
        let vanished = self.found.iter().map(|found| found.vanished).sum();
        self.telemetry.now(services.len() - self.config.services.len(), vanished, refused);
        self.roster.replace(&services).await
    }
}

fn names(services: &[Service]) -> HashSet<&str> {
    services.iter().map(|service| service.identity.key().as_str()).collect()
}
