//! What each path answers.
//!
//! | path | answer |
//! |---|---|
//! | `/` | a plain page with links |
//! | `/metrics` | every series |
//! | `/api/v1/services` | each service and what it offers, as JSON |
//! | `/-/healthy` | 200 while every part of the exporter works, else 503 |
//! | `/-/ready` | 200 once every source was read to its end or has failed, else 503 |

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::page::Page;
use super::services;
use crate::export::text;
use crate::keeper::Keeper;
use crate::pipeline::services::Pipelines;
use crate::runtime::health::Health;
use crate::runtime::trigger::Trigger;
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
    pub triggers: Vec<Arc<Trigger>>,
    /// Readiness.
    pub health: Arc<Health>,
    /// For counting requests.
    pub metrics: Arc<Metrics>,
    /// What each service offers.
    pub survey: Arc<Survey>,
    /// The landing page.
    pub page: Page,
}

const TEXT: &str = "text/plain; charset=utf-8";

type Answer = (StatusCode, &'static str, Bytes);

impl Routes {
    /// Answers a request; its body is not read.
    pub async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let known = ["/", "/metrics", "/api/v1/services", "/-/healthy", "/-/ready"]
            .into_iter()
            .find(|known| *known == path);
        let readable = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, kind, body) = match known {
            None => (StatusCode::NOT_FOUND, TEXT, Bytes::from_static(b"not found; try /metrics\n")),
            Some(_) if !readable => {
                (StatusCode::METHOD_NOT_ALLOWED, TEXT, Bytes::from_static(b"use GET\n"))
            }
            Some(path) => self.get(path).await,
        };
        self.metrics
            .http_requests
            .with_label_values(&[known.unwrap_or("other"), status.as_str()])
            .inc();
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    async fn get(&self, path: &str) -> Answer {
        match path {
            "/metrics" => self.exposition().await,
            "/api/v1/services" => self.services(),
            "/-/healthy" => state(
                self.health.is_healthy(),
                "healthy",
                "a part of the exporter was lost; see the log",
            ),
            "/-/ready" => {
                state(self.health.is_ready(), "ready", "not ready: sources are still being read")
            }
            _ => (StatusCode::OK, "text/html; charset=utf-8", self.page.html().into()),
        }
    }

    fn services(&self) -> Answer {
        match services::json(&self.survey, &self.pipelines) {
            Ok(json) => (StatusCode::OK, "application/json", json.into()),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n").into()),
        }
    }

    async fn exposition(&self) -> Answer {
        // All are asked before the first is waited for.
        let reads: Vec<_> = self.triggers.iter().map(|trigger| trigger.read_now()).collect();
        for read in reads {
            read.await;
        }
        if let Some(keeper) = &self.keeper {
            keeper.before_export().await;
        }
        (StatusCode::OK, text::CONTENT_TYPE, self.pipelines.page().into())
    }
}

fn state(good: bool, yes: &str, no: &str) -> Answer {
    let (status, what) =
        if good { (StatusCode::OK, yes) } else { (StatusCode::SERVICE_UNAVAILABLE, no) };
    (status, TEXT, format!("{what}\n").into())
}
