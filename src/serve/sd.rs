//! `/api/v1/sd`: our services as targets, in the form of Prometheus' `http_sd`. Each is our own page with
//! the series of one service, so Prometheus can spread them over its shards and tell `up` of each.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::service::Container;
use crate::survey::{Survey, Surveyed};

/// What the names of its labels begin with; Prometheus drops them after relabelling.
const META: &str = "__meta_godebug_exporter_";

#[derive(Debug, Serialize)]
struct Group<'h> {
    targets: [&'h str; 1],
    labels: BTreeMap<String, String>,
}

/// The answer's JSON; `host` is where we are scraped.
///
/// # Errors
/// A defect of its types.
pub(super) fn json(survey: &Survey, host: &str) -> serde_json::Result<Vec<u8>> {
    let services = survey.services();
    let groups: Vec<_> =
        services.iter().map(|service| Group { targets: [host], labels: labels(service) }).collect();
    let mut text = serde_json::to_vec(&groups)?;
    text.push(b'\n');
    Ok(text)
}

fn labels(surveyed: &Surveyed) -> BTreeMap<String, String> {
    let identity = &surveyed.service().identity;
    let key = identity.key().as_str().to_owned();
    let user = identity
        .labels
        .iter()
        .map(|label| (format!("{META}label_{}", label.name()), label.value().to_owned()));
    // Without it `up` of all of them would be one series.
    let own = [
        ("instance".to_owned(), key.clone()),
        ("__param_service".to_owned(), key),
        (format!("{META}service"), identity.service.as_str().to_owned()),
    ];
    let container = identity.container.iter().flat_map(Container::labels);
    let container = container.map(|(name, value)| (format!("{META}{name}"), value.to_owned()));
    own.into_iter().chain(container).chain(user).collect()
}
