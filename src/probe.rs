//! `/probe?target=URL`: one read of a target for whoever asks, if the config allows it. Nothing of
//! it is kept.

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::aggregate::catalog::{METRICS, Metric};
use crate::config;
use crate::config::endpoint::{EXPVAR, Endpoint, Kind};
use crate::config::http::Http;
use crate::config::pprof::{PPROF, Pprof};
use crate::config::units::percent_decoded;
use crate::config::{Expvar, Service};
use crate::export::{text, variables};
use crate::frame::packets::TraceLines;
use crate::ingest::http::client::Client;
use crate::ingest::http::error::FetchError;
use crate::model::service::{Identity, ServiceName};
use crate::model::snapshot::{MetricId, ServiceSnapshot};
use crate::parse::pprof::stacks::Profile;
use crate::pipeline::Pipeline;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::reason::Reason;

/// Probes at once: each may hold a body of `max_body`.
const PROBES_MAX: usize = 16;

/// What needs more than one read to say anything; a probe has but one.
const NEEDS_HISTORY: [Metric; 5] = [
    Metric::GcStwSeconds,
    Metric::GcPausesMissed,
    Metric::ProcessStarts,
    Metric::GoroutinesOther,
    Metric::GoroutinesLeakSuspected,
];

/// What of a target is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Module {
    /// `/debug/vars`.
    Expvar,
    /// `/debug/pprof`: goroutines, threads, and memstats from the heap profile.
    Pprof,
}

/// Why a target that was asked gave nothing.
type Failure = (Reason, String);

/// Reads targets.
#[derive(Debug)]
pub struct Prober {
    allowed: config::probe::Probe,
    client: Client,
    free: Semaphore,
    metrics: Arc<Metrics>,
}

/// Why a target was not read.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// What was asked makes no sense.
    #[error("{0}")]
    Request(String),
    /// The config does not allow it.
    #[error("{0}")]
    Forbidden(String),
    /// Too many at once.
    #[error("{PROBES_MAX} probes are under way, try again")]
    Busy,
}

impl Prober {
    /// For these targets.
    #[must_use]
    pub fn new(allowed: config::probe::Probe, metrics: Arc<Metrics>) -> Self {
        let client = Client::within(allowed.http.clone(), allowed.networks.clone());
        Self { allowed, client, free: Semaphore::new(PROBES_MAX), metrics }
    }

    /// Answers `/probe` with this query, within `patience`.
    ///
    /// # Errors
    /// No target was read; one that could not be read is a page with `probe_success` 0.
    pub async fn page(
        &self,
        query: &str,
        patience: Option<Duration>,
    ) -> Result<Vec<u8>, ProbeError> {
        let (module, target) = target(query)?;
        let kind = module.kind();
        let url =
            kind.url(&target).map_err(|what| ProbeError::Request(format!("target {what}")))?;
        let endpoint = self.allowed.endpoint(kind, url);
        let mut endpoint = endpoint.map_err(|what| ProbeError::Forbidden(what.to_owned()))?;
        endpoint.timeout = endpoint.timeout.min(patience.unwrap_or(Duration::MAX));
        let _turn = self.free.try_acquire().map_err(|_all_taken| ProbeError::Busy)?;
        let started = Instant::now();
        let read = match self.read(module, &endpoint, started).await {
            Err(error @ FetchError::NotAllowed(_)) => {
                return Err(ProbeError::Forbidden(error.to_string()));
            }
            Err(error) => Err((error.reason(), error.to_string())),
            Ok(bodies) => snapshot(module, &endpoint, &bodies),
        };
        if let Err((reason, _)) = &read {
            self.metrics.probe_errors.with_label_values(&[reason.as_str()]).inc();
        }
        Ok(page(&read, started.elapsed()))
    }

    /// Reads what the module needs, one after the other: together they have the endpoint's time.
    async fn read(
        &self,
        module: Module,
        endpoint: &Endpoint,
        started: Instant,
    ) -> Result<Vec<Bytes>, FetchError> {
        let mut bodies = Vec::new();
        for mut one in module.endpoints(endpoint) {
            one.timeout = endpoint.timeout.saturating_sub(started.elapsed());
            bodies.push(self.client.get(&one).await?);
        }
        Ok(bodies)
    }
}

impl Module {
    const fn kind(self) -> &'static Kind {
        match self {
            Self::Expvar => &EXPVAR,
            Self::Pprof => &PPROF,
        }
    }

    fn endpoints(self, endpoint: &Endpoint) -> Vec<Endpoint> {
        match self {
            Self::Expvar => vec![endpoint.clone()],
            Self::Pprof => {
                let pprof = Pprof::of(endpoint.clone());
                vec![
                    pprof.profile(Profile::Goroutine.name()),
                    pprof.profile(Profile::ThreadCreate.name()),
                    pprof.heap_profile(),
                ]
            }
        }
    }
}

/// The target that a query asks for, and what of it.
fn target(query: &str) -> Result<(Module, String), ProbeError> {
    let wrong = |what: &str| Err(ProbeError::Request(what.to_owned()));
    let (mut target, mut module) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match name {
            "target" => &mut target,
            "module" => &mut module,
            // Prometheus adds none of its own; another's are no matter.
            _ => continue,
        };
        let Some(value) = percent_decoded(&value.replace('+', " ")) else {
            return wrong("the query is not percent-encoded text");
        };
        if slot.replace(value).is_some() {
            return wrong("target and module may be there once");
        }
    }
    let module = match module.as_deref() {
        None | Some("expvar") => Module::Expvar,
        Some("pprof") => Module::Pprof,
        Some(_) => return wrong("there are two modules: expvar and pprof"),
    };
    match target {
        Some(target) if !target.is_empty() => Ok((module, target)),
        _ => wrong("target is missing: /probe?target=http://host:6060"),
    }
}

/// What the bodies say, by stations that are thrown away.
fn snapshot(
    module: Module,
    endpoint: &Endpoint,
    bodies: &[Bytes],
) -> Result<ServiceSnapshot, Failure> {
    let unusable = |what: String| (Reason::Io, what);
    let authority = endpoint.url.authority().map_or("", |authority| authority.as_str());
    let service = Service {
        identity: Identity::new(
            ServiceName::new(authority).map_err(|what| unusable(what.to_string()))?,
            Vec::new(),
        ),
        trace: None,
        expvar: (module == Module::Expvar).then(|| Expvar {
            endpoint: endpoint.clone(),
            by_size: false,
            variables: Arc::default(),
        }),
        pprof: (module == Module::Pprof).then(|| Pprof::of(endpoint.clone())),
        http: Http::default(),
        container: None,
        runqueue_per_p: false,
        leak_detector: Arc::default(),
    };
    let metrics = Metrics::new().map_err(|error| unusable(error.to_string()))?;
    let pipeline = Pipeline::new(&service, Arc::new(metrics), TraceLines::Keep);
    take(module, &pipeline, bodies)?;
    let mut snapshot = pipeline.snapshot().ok_or_else(|| unusable("nothing was read".into()))?;
    let needs_history = NEEDS_HISTORY.map(|metric| MetricId(metric as u16));
    snapshot.series.retain(|series| !needs_history.contains(&series.metric));
    Ok(snapshot)
}

fn take(module: Module, pipeline: &Pipeline, bodies: &[Bytes]) -> Result<(), Failure> {
    let wrong = |error: &dyn Error| (Reason::UnexpectedBody, error.to_string());
    match (module, bodies) {
        (Module::Expvar, [body]) => pipeline.expvar(body).map_err(|error| wrong(&error)),
        (Module::Pprof, [goroutines, threads, heap]) => pipeline
            .profile(Profile::Goroutine, goroutines)
            .and_then(|()| pipeline.profile(Profile::ThreadCreate, threads))
            .and_then(|()| pipeline.heap_profile(heap))
            .map_err(|error| wrong(&error)),
        _ => Err((Reason::Io, "not everything was read".into())),
    }
}

fn page(read: &Result<ServiceSnapshot, Failure>, took: Duration) -> Vec<u8> {
    let mut head = String::new();
    if let Err((reason, what)) = read {
        let what = what.replace(char::is_control, " ");
        // Writing to a String cannot fail.
        let _never = writeln!(head, "# {}: {what}; {}", reason.as_str(), reason.advice());
    }
    let _never = write!(
        head,
        "# HELP probe_success Whether the target could be read.\n\
         # TYPE probe_success gauge\nprobe_success {}\n\
         # HELP probe_duration_seconds How long it took to read the target.\n\
         # TYPE probe_duration_seconds gauge\nprobe_duration_seconds {}\n",
        u8::from(read.is_ok()),
        took.as_secs_f64()
    );
    let mut page = head.into_bytes();
    if let Ok(snapshot) = read {
        text::services(&mut page, METRICS, std::slice::from_ref(snapshot));
        variables::variables(&mut page, std::slice::from_ref(snapshot));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_one_target() {
        let check = |query: &str, expected: Option<(Module, &str)>| {
            let found = target(query).ok();
            let found = found.as_ref().map(|(module, target)| (*module, &**target));
            assert_eq!(found, expected, "{query}");
        };
        check("target=http%3A%2F%2Fa%3A6060%2Fx", Some((Module::Expvar, "http://a:6060/x")));
        check("module=expvar&target=http://a", Some((Module::Expvar, "http://a")));
        check("module=pprof&target=http://a", Some((Module::Pprof, "http://a")));
        check("other=1&target=b", Some((Module::Expvar, "b")));
        for wrong in [
            "",
            "target=",
            "target=a&target=b",
            "target=a&module=http_2xx",
            "target=%",
            "target=%zz",
            "target=%ff",
        ] {
            check(wrong, None);
        }
    }
}
