//! `/api/v1/services`: each service, where it is read from, and what it offers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::endpoint::shown;
use crate::model::capability::{Capability, Finding};
use crate::model::service::Container;
use crate::pipeline::services::Pipelines;
use crate::survey::{Survey, Surveyed};

#[derive(Serialize)]
struct Answer {
    services: Vec<Service>,
}

#[derive(Serialize)]
struct Service {
    service: String,
    labels: BTreeMap<String, String>,
    /// Where its trace is.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    /// The address of its expvar.
    #[serde(skip_serializing_if = "Option::is_none")]
    expvar: Option<String>,
    /// The address of its profiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pprof: Option<String>,
    /// The Go releases that can have printed its trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    go_version: Option<GoVersion>,
    /// Restarts seen.
    process_starts: u64,
    capabilities: Vec<Capable>,
}

#[derive(Serialize)]
struct GoVersion {
    min: String,
    max: String,
}

#[derive(Serialize)]
struct Capable {
    name: Capability,
    #[serde(flatten)]
    finding: Finding,
}

/// The answer's JSON.
///
/// # Errors
/// A defect of its types.
pub(super) fn json(survey: &Survey, pipelines: &Pipelines) -> serde_json::Result<Vec<u8>> {
    let services = survey.services().iter().map(|surveyed| service(surveyed, pipelines)).collect();
    let mut text = serde_json::to_vec(&Answer { services })?;
    text.push(b'\n');
    Ok(text)
}

fn service(surveyed: &Surveyed, pipelines: &Pipelines) -> Service {
    let service = surveyed.service();
    let pipelines = pipelines.of(service.identity.key());
    let container = service.identity.container.iter().flat_map(Container::labels);
    let own = service.identity.labels.iter().map(|label| (label.name(), label.value()));
    let labels = container.chain(own).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let findings = surveyed.findings();
    let capable =
        |(name, finding): (Capability, &Finding)| Capable { name, finding: finding.clone() };
    let releases = pipelines.iter().find_map(|pipeline| pipeline.releases());
    Service {
        service: service.identity.service.as_str().to_owned(),
        labels: labels.collect(),
        trace: service.trace.as_ref().map(|trace| trace.source.to_string()),
        expvar: service.expvar_endpoint().map(|endpoint| shown(&endpoint.url)),
        pprof: service.pprof.as_ref().map(|pprof| shown(&pprof.endpoint.url)),
        go_version: releases.map(|range| GoVersion { min: range.min(), max: range.max() }),
        process_starts: pipelines.iter().map(|pipeline| pipeline.process_starts()).sum(),
        capabilities: findings.iter().map(capable).collect(),
    }
}
