//! What each path answers.
//!
//! | path | answer |
//! |---|---|
//! | `/` | a plain page with links |
//! | `/metrics` | every series, in the form that `Accept` asks for; `name[]=` and `service=` leave some out |
//! | `/api/v1/services` | each service and what it offers, as JSON |
//! | `/api/v1/sd` | the services as targets, for Prometheus' `http_sd_configs` |
//! | `/probe` | one read of a target, if the config allows it |
//! | `/-/healthy` | 200 while every part of the exporter works, else 503 |
//! | `POST /-/reload` | reads the config file again; for users, and else from the same machine only |
//! | `/-/ready` | 200 once every source was read to its end or has failed, else 503 |

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::Instant;

use super::coding::{Body, Pieces};
use super::{page, query, sd, services};
use crate::export::{accept, text};
use crate::keeper::Keeper;
use crate::model::exposition::{Coding, Wanted};
use crate::pipeline::services::{Pipelines, UnknownService};
use crate::probe::{ProbeError, Prober};
use crate::runtime::health::Health;
use crate::runtime::reload::Reload;
use crate::runtime::trigger::OnScrapes;
use crate::survey::Survey;
use crate::telemetry::metrics::Metrics;

/// What the server has at hand.
#[derive(Debug)]
pub struct Routes {
    /// The services.
    pub pipelines: Pipelines,
    /// Saves what is exported.
    pub keeper: Option<Arc<Keeper>>,
    /// Endpoints that are read when we are.
    pub on_scrape: OnScrapes,
    /// Readiness.
    pub health: Arc<Health>,
    /// For counting requests.
    pub metrics: Arc<Metrics>,
    /// What each service offers.
    pub survey: Arc<Survey>,
    /// Reads targets for others.
    pub prober: Option<Prober>,
    /// How and where to metrics are pushed, in words.
    pub push: Option<String>,
    /// Reads the config again, if it came from a file.
    pub reload: Option<Reload>,
}

/// Prometheus tells how long it waits for us; the page has to be made and sent as well. The same
/// margin as the blackbox exporter's.
const SCRAPE_TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");
const SCRAPE_TIMEOUT_MARGIN: Duration = Duration::from_millis(500);

/// How long whoever sent these headers lets us wait; a timeout below twice the margin is halved.
pub(super) fn patience(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(SCRAPE_TIMEOUT)?.to_str().ok()?.parse().ok()?;
    let timeout = Duration::try_from_secs_f64(seconds).ok()?.min(SCRAPE_TIMEOUT_MAX);
    Some(timeout.saturating_sub(SCRAPE_TIMEOUT_MARGIN).max(timeout / 2))
}

/// A clock reaches so far, whatever a client writes.
const SCRAPE_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

const RELOAD: &str = "/-/reload";

const PATHS: [&str; 8] =
    ["/", "/metrics", "/api/v1/services", "/api/v1/sd", "/probe", "/-/healthy", "/-/ready", RELOAD];

const TEXT: &str = "text/plain; charset=utf-8";

type Answer = (StatusCode, &'static str, Bytes);

impl Routes {
    /// Answers a request; its body is not read. `trusted`: it may change what we do.
    pub async fn answer<B>(&self, request: &Request<B>, trusted: bool) -> Response<Pieces> {
        let path = request.uri().path();
        let known = known(path);
        let readable = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, kind, body) = match known {
            None => (StatusCode::NOT_FOUND, TEXT, Bytes::from_static(b"not found; try /metrics\n")),
            Some(RELOAD) if matches!(*request.method(), Method::POST | Method::PUT) => {
                self.reload(trusted, request.headers()).await
            }
            Some(path) if !readable || path == RELOAD => {
                (StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("use {}\n", allowed(known)).into())
            }
            Some("/probe") => {
                let query = request.uri().query().unwrap_or_default();
                self.probe(query, patience(request.headers())).await
            }
            Some("/metrics") => return self.metrics_page(request).await,
            Some("/api/v1/sd") => self.targets(request),
            Some(path) => self.get(path),
        };
        self.respond(known, (status, kind, body))
    }

    /// A request that is not answered, counted as the others are.
    pub(super) fn refusal(
        &self,
        path: &str,
        status: StatusCode,
        what: &'static str,
    ) -> Response<Pieces> {
        self.respond(known(path), (status, TEXT, Bytes::from_static(what.as_bytes())))
    }

    fn respond(
        &self,
        known: Option<&'static str>,
        (status, kind, body): (StatusCode, &'static str, impl Into<Pieces>),
    ) -> Response<Pieces> {
        self.metrics
            .http_requests
            .with_label_values(&[known.unwrap_or("other"), status.as_str()])
            .inc();
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed(known)));
        }
        response
    }

    fn get(&self, path: &str) -> Answer {
        match path {
            "/api/v1/services" => self.services(),
            "/-/healthy" => state(
                self.health.is_healthy(),
                "healthy",
                "a part of the exporter was lost; see the log",
            ),
            "/-/ready" => {
                state(self.health.is_ready(), "ready", "not ready: sources are still being read")
            }
            _ => (StatusCode::OK, "text/html; charset=utf-8", self.landing().into()),
        }
    }

    fn landing(&self) -> String {
        let services = self.survey.services();
        page::html(services.iter().map(|surveyed| surveyed.service()), self.push.as_deref())
    }

    /// All or nothing: what is wrong is told, and the old config goes on.
    async fn reload(&self, trusted: bool, headers: &HeaderMap) -> Answer {
        let (status, text) = match &self.reload {
            // A browser sends what it knows of its user along, whichever page asks.
            _ if headers.contains_key(ORIGIN) => {
                (StatusCode::FORBIDDEN, "not from a web page\n".into())
            }
            _ if !trusted => {
                let what = "only from the same machine, or with a password or client certificate (web.config_file)\n";
                (StatusCode::FORBIDDEN, what.into())
            }
            None => (StatusCode::NOT_FOUND, "nothing to reload: there is no --config\n".into()),
            Some(reload) => match reload.now().await {
                Some(Ok(services)) => (StatusCode::OK, format!("reloaded; services: {services}\n")),
                Some(Err(why)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")),
                None => (StatusCode::SERVICE_UNAVAILABLE, "we stop\n".into()),
            },
        };
        (status, TEXT, text.into())
    }

    async fn probe(&self, query: &str, patience: Option<Duration>) -> Answer {
        let Some(prober) = &self.prober else {
            let off = Bytes::from_static(b"/probe is off: the config has no probe\n");
            return (StatusCode::NOT_FOUND, TEXT, off);
        };
        let status = match prober.page(query, patience).await {
            Ok(page) => return (StatusCode::OK, text::CONTENT_TYPE, page.into()),
            Err(error) => (
                error.to_string(),
                match error {
                    ProbeError::Request(_) => StatusCode::BAD_REQUEST,
                    ProbeError::Forbidden(_) => StatusCode::FORBIDDEN,
                    ProbeError::Busy => StatusCode::SERVICE_UNAVAILABLE,
                },
            ),
        };
        (status.1, TEXT, format!("{}\n", status.0).into())
    }

    fn services(&self) -> Answer {
        match services::json(&self.survey, &self.pipelines) {
            Ok(json) => (StatusCode::OK, "application/json", json.into()),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n").into()),
        }
    }

    /// We are where the request was sent to.
    fn targets<B>(&self, request: &Request<B>) -> Answer {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            let what =
                Bytes::from_static(b"the request needs a Host: it is where we are scraped\n");
            return (StatusCode::BAD_REQUEST, TEXT, what);
        };
        match sd::json(&self.survey, host) {
            Ok(json) => (StatusCode::OK, "application/json", json.into()),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n").into()),
        }
    }

    async fn metrics_page<B>(&self, request: &Request<B>) -> Response<Pieces> {
        let query = request.uri().query().unwrap_or_default();
        let wanted = match query::wanted(query, request.headers()) {
            Ok(wanted) => wanted,
            Err(what) => {
                let answer = (StatusCode::BAD_REQUEST, TEXT, Bytes::from(format!("{what}\n")));
                return self.respond(Some("/metrics"), answer);
            }
        };
        let kind = accept::content_type(wanted.format, wanted.escaping);
        let coding = wanted.coding;
        let mut response = match self.page(wanted).await {
            Ok(page) => self.respond(Some("/metrics"), (StatusCode::OK, text::CONTENT_TYPE, page)),
            Err(unknown) => {
                let answer = (StatusCode::NOT_FOUND, TEXT, Bytes::from(format!("{unknown}\n")));
                return self.respond(Some("/metrics"), answer);
            }
        };
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if let Ok(kind) = kind.parse() {
            headers.insert(CONTENT_TYPE, kind);
        }
        let coding = match coding {
            Coding::Identity => None,
            Coding::Gzip => Some("gzip"),
            Coding::Zstd => Some("zstd"),
        };
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        response
    }

    /// A page of many services takes a while, in which others are to be answered.
    async fn page(&self, wanted: Wanted) -> Result<Pieces, UnknownService> {
        let pipelines = self.pipelines.clone();
        let page = tokio::task::spawn_blocking(move || {
            let mut body = Body::new(wanted.coding, pipelines.page_length());
            let rest = pipelines.write_page(&wanted, &mut |written| body.take(written))?;
            Ok(body.finish(rest))
        });
        match page.await {
            Ok(page) => page,
            // The runtime stops, or it is a defect that shall be seen.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => Ok(Pieces::default()),
            },
        }
    }

    /// What has to come before the page is made, if one is asked for.
    pub(super) async fn read_before<B>(&self, request: &Request<B>) {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let query = request.uri().query().unwrap_or_default();
        if request.uri().path() == "/metrics"
            && is_read
            && query::wanted(query, request.headers()).is_ok()
        {
            self.read_now(patience(request.headers())).await;
        }
    }

    /// Waits for the endpoints that are read when we are, so long; then saves.
    async fn read_now(&self, patience: Option<Duration>) {
        // All are asked before the first is waited for.
        let on_scrape = self.on_scrape.all();
        let reads: Vec<_> = on_scrape.iter().map(|on| (on.trigger.read_now(), on)).collect();
        let deadline = patience.map(|patience| Instant::now() + patience);
        for (read, on) in reads {
            match deadline {
                None => read.await,
                Some(deadline) => {
                    if tokio::time::timeout_at(deadline, read).await.is_err() {
                        on.late.inc();
                    }
                }
            }
        }
        if let Some(keeper) = &self.keeper {
            keeper.before_export().await;
        }
    }
}

fn known(path: &str) -> Option<&'static str> {
    PATHS.into_iter().find(|known| *known == path)
}

fn allowed(path: Option<&str>) -> &'static str {
    if path == Some(RELOAD) { "POST, PUT" } else { "GET, HEAD" }
}

fn state(good: bool, yes: &str, no: &str) -> Answer {
    let (status, what) =
        if good { (StatusCode::OK, yes) } else { (StatusCode::SERVICE_UNAVAILABLE, no) };
    (status, TEXT, format!("{what}\n").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_timeout_bounds_our_patience() {
        for (value, expected_ms) in [
            ("10", Some(9500)),
            ("0.8", Some(400)),
            ("1.2", Some(700)),
            ("1e300", None),
            ("9e9", Some(86_399_500)),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(SCRAPE_TIMEOUT, HeaderValue::from_static(value));
            assert_eq!(patience(&headers), expected_ms.map(Duration::from_millis), "{value}");
        }
        assert_eq!(patience(&HeaderMap::new()), None);
    }
}
