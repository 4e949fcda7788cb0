//! Targets from an HTTP endpoint: Prometheus' `http_sd`.

use super::targets;
use crate::config;
use crate::config::endpoint::Endpoint;
use crate::ingest::http::client::Client;
use crate::model::target::Target;

#[derive(Debug)]
pub(super) struct Http {
    endpoint: Endpoint,
    client: Client,
}

impl Http {
    pub(super) fn new(endpoint: Endpoint, http: config::http::Http) -> Self {
        Self { endpoint, client: Client::new(http) }
    }

    pub(super) async fn look(&self) -> Result<Vec<Target>, String> {
        let url = &self.endpoint.url;
        let body = self.client.get(&self.endpoint).await;
        let body = body.map_err(|error| format!("{url}: {error}"))?;
        let label = ("__meta_url".to_owned(), url.to_string());
        let mut targets = targets::json(&body).map_err(|what| format!("{url} {what}"))?;
        for target in &mut targets {
            target.labels.extend([label.clone()]);
        }
        Ok(targets)
    }
}
