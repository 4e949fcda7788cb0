//! Finds services: `files`, `http`, `dns` and `kubernetes` look for targets, `targets` reads their lists, `known`
//! remembers who was there, and [`run`] makes services of them.

mod dns;
mod files;
mod http;
mod known;
mod kubernetes;
mod targets;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Service;
use crate::config::discovery::{Discovery, Finder};
use crate::model::target::Target;
use crate::runtime::health::Latch;
use crate::telemetry::discovery::FinderTelemetry;
use known::Known;
use kubernetes::Watching;

/// Most targets of one discovery: what is over them is refused.
pub const TARGETS_MAX: usize = 10_000;

/// What one discovery has found.
#[derive(Debug)]
pub struct Found {
    /// Which one: its place in the config.
    pub discovery: usize,
    /// All services that there are now, also those that may come back.
    pub services: Vec<Service>,
    /// How many of them were not found last time.
    pub vanished: usize,
    /// Addresses of targets that are none, and why.
    pub refused: Vec<(String, String)>,
}

/// Looks for targets in one way.
#[derive(Debug)]
enum Looker {
    Files(files::Files),
    Http(Box<http::Http>),
    Dns(dns::Dns),
    Kubernetes(kubernetes::Kubernetes),
}

/// What a look came to.
#[derive(Debug, Default)]
struct Look {
    /// None: it could not be told.
    targets: Option<Vec<Target>>,
    /// Why not all of it could be told.
    wrong: Option<String>,
}

impl Look {
    fn of(result: Result<Vec<Target>, String>) -> Self {
        match result {
            Ok(targets) => Self { targets: Some(targets), wrong: None },
            Err(wrong) => Self { targets: None, wrong: Some(wrong) },
        }
    }
}

/// A finder at work.
#[derive(Debug)]
struct Looking {
    looker: Looker,
    every: Duration,
    due: Instant,
    telemetry: FinderTelemetry,
    /// As it was when it could be told last.
    targets: Vec<Target>,
}

/// Finds the services of one discovery until `stop`; `known` are those of before. Whatever changes
/// is told. `latch` is held until every finder has looked: what comes after that is new.
pub async fn run(
    number: usize,
    discovery: Discovery,
    known: Vec<Service>,
    telemetry: impl Fn(&'static str) -> FinderTelemetry,
    tell: mpsc::Sender<Found>,
    latch: Latch,
    stop: CancellationToken,
) {
    let mut latch = Some(latch);
    let now = Instant::now();
    let mut finders: Vec<Looking> =
        discovery.finders.iter().map(|finder| Looking::of(finder, &telemetry, now)).collect();
    let watching = finders.iter().find_map(Looking::watching);
    let events = async {
        match &watching {
            Some(watching) => watching.run(|| telemetry("kubernetes_api")).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(events);
    let mut known = Known::of(known, discovery.grace, now);
    let mut refused = Vec::new();
    let mut is_first = true;
    loop {
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            changed = look(&mut finders) => changed,
        };
        drop(latch.take());
        let now = Instant::now();
        let is_news = if changed || std::mem::take(&mut is_first) {
            let found = services(&discovery, &finders);
            refused = found.1;
            known.update(found.0, now);
            true
        } else {
            known.expire(now)
        };
        if is_news {
            let (services, vanished, refused) = (known.all(), known.vanished(), refused.clone());
            let found = Found { discovery: number, services, vanished, refused };
            if tell.send(found).await.is_err() {
                return;
            }
        }
        let due = finders.iter().map(|finder| finder.due).chain(known.next_end()).min();
        let due = tokio::time::Instant::from_std(due.unwrap_or(now));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(due) => {}
            () = &mut events => {}
            () = told_more(watching.as_deref()) => look_now(&mut finders),
        }
    }
}

/// Waits until more is known of what is found.
async fn told_more(watching: Option<&Watching>) {
    match watching {
        Some(watching) => watching.changed().await,
        None => std::future::pending().await,
    }
}

fn look_now(finders: &mut [Looking]) {
    let now = Instant::now();
    let of_pods = finders.iter_mut().filter(|it| matches!(it.looker, Looker::Kubernetes(_)));
    of_pods.for_each(|finder| finder.due = now);
}

/// Those that are due, one after the other; whether any found something else than before.
async fn look(finders: &mut [Looking]) -> bool {
    let now = Instant::now();
    let mut changed = false;
    for finder in finders.iter_mut().filter(|finder| finder.due <= now) {
        changed |= finder.look().await;
    }
    changed
}

/// What the targets are, without those that are no service, or one that is there already.
fn services(discovery: &Discovery, finders: &[Looking]) -> (Vec<Service>, Vec<(String, String)>) {
    let mut services: Vec<Service> = Vec::new();
    let mut refused = Vec::new();
    let mut names = std::collections::HashSet::new();
    for target in finders.iter().flat_map(|finder| &finder.targets) {
        let service = if services.len() < TARGETS_MAX {
            discovery.template.service(target)
        } else {
            Err(format!("there are more than {TARGETS_MAX} targets"))
        };
        match service {
            Ok(service) if names.insert(service.identity.key().clone()) => services.push(service),
            // The same target by two ways.
            Ok(service) if services.contains(&service) => {}
            Ok(service) => {
                let what = format!(
                    "another target has the name {} too; make it differ, with ${{__address__}} for one",
                    service.identity.key()
                );
                refused.push((target.address().to_owned(), what));
            }
            Err(what) => refused.push((target.address().to_owned(), what)),
        }
    }
    (services, refused)
}

impl Looking {
    fn of(
        finder: &Finder,
        telemetry: &impl Fn(&'static str) -> FinderTelemetry,
        now: Instant,
    ) -> Self {
        let looker = match finder.clone() {
            Finder::Files { files, every } => Looker::Files(files::Files::new(files, every)),
            Finder::Http { endpoint, http, .. } => {
                Looker::Http(Box::new(http::Http::new(endpoint, *http)))
            }
            Finder::Dns { names, records, port, server, .. } => {
                Looker::Dns(dns::Dns::new(names, records, port, server))
            }
            Finder::Kubernetes { logs, from, api } => {
                Looker::Kubernetes(kubernetes::Kubernetes::new(logs, from, &api))
            }
        };
        let telemetry = telemetry(finder.mechanism());
        Self { looker, every: finder.every(), due: now, telemetry, targets: Vec::new() }
    }

    fn watching(&self) -> Option<Arc<Watching>> {
        match &self.looker {
            Looker::Kubernetes(kubernetes) => Some(kubernetes.watching()),
            _ => None,
        }
    }

    /// What cannot be told now stays as it was, as in Prometheus.
    async fn look(&mut self) -> bool {
        let every = match &self.looker {
            Looker::Files(_) => files::LOOK_EVERY.min(self.every),
            _ => self.every,
        };
        let found = match &mut self.looker {
            Looker::Files(files) => files.look().await,
            Looker::Http(http) => Look::of(http.look().await),
            Looker::Dns(dns) => Look::of(dns.look().await),
            Looker::Kubernetes(kubernetes) => kubernetes.look().await,
        };
        let mut changed = false;
        if let Some(mut targets) = found.targets {
            targets.sort();
            targets.dedup();
            changed = self.targets != targets;
            self.targets = targets;
        }
        match found.wrong {
            None => self.telemetry.found(),
            Some(why) => self.telemetry.failed(&why),
        }
        self.due = Instant::now() + every;
        changed
    }
}
