//! The keys of a trace's `kubernetes`: the log of another container of our own pod, from the API server.

use super::StartAt;
use super::fields::Fields;
use super::http::Http;
use super::kubernetes::{SERVER, is_of_a_name, of_a_pod};

/// A container whose log is followed.
#[derive(Debug, Clone, PartialEq)]
pub struct PodLog {
    /// Its name.
    pub container: String,
    /// Which lines are ours, if nothing is known from before: those from our own start on, or all that are there.
    pub from: StartAt,
    /// The API server, unless the environment says it.
    pub server: Option<String>,
    /// How it is reached.
    pub http: Http,
}

impl PodLog {
    /// Of the container of this name, by the environment's API server.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn of(container: &str, from: StartAt) -> Result<Self, &'static str> {
        let container = name(container)?;
        Ok(Self { container, from, server: None, http: of_a_pod() })
    }
}

/// Reads the map.
pub(super) fn read(mut fields: Fields<'_>, from: StartAt) -> Option<Box<PodLog>> {
    let _checked = fields.parsed("mode", |mode| match mode {
        "api" => Ok(()),
        _ => {
            Err("must be api; the logs of a node's pods are found by discovery: [{kubernetes: {}}]")
        }
    });
    let container = fields.parsed("container", name);
    if !fields.has("container") {
        fields.problem_at_map(
            "has no container; give the name of the one that logs, as the pod names it",
        );
    }
    let server = fields.parsed("api_server", |text| SERVER.url(text).map(|_url| text.to_owned()));
    let http = fields.map("http").map(Http::read);
    fields.finish();
    let http = http.unwrap_or_else(|| if server.is_some() { Http::default() } else { of_a_pod() });
    Some(Box::new(PodLog { container: container?, from, server, http }))
}

fn name(text: &str) -> Result<String, &'static str> {
    let good = !text.is_empty() && text.bytes().all(is_of_a_name);
    if good { Ok(text.to_owned()) } else { Err("must be the name of a container") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TraceSource, file};

    fn trace(keys: &str) -> Result<PodLog, Vec<String>> {
        let text = format!("services: [{{name: s, trace: {{{keys}}}}}]");
        let config = file::read(&text);
        let config = config
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        match config.services.into_iter().next().unwrap().trace.unwrap().source {
            TraceSource::Kubernetes(log) => Ok(*log),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_container_is_enough() {
        let log = trace("kubernetes: {mode: api, container: app}").unwrap();
        assert_eq!(log, PodLog::of("app", StartAt::End).unwrap());
        let log = trace("kubernetes: {container: app}, from: beginning").unwrap();
        assert_eq!(log.from, StartAt::Beginning);
        // Our token is not for anybody else.
        let other = trace("kubernetes: {container: app, api_server: 'https://k8s'}").unwrap();
        assert_eq!((other.server.as_deref(), other.http), (Some("https://k8s"), Http::default()));
    }

    #[test]
    fn mistakes_are_told() {
        for (keys, told) in [
            ("kubernetes: {mode: api}", "has no container"),
            ("kubernetes: {mode: node, container: app}", "kubernetes.mode: must be api"),
            ("kubernetes: {container: a/b}", "must be the name of a container"),
            ("kubernetes: {container: app, pod: x}", "pod: is not a key"),
            ("kubernetes: {container: app}, file: /x", "has more than one source"),
            ("kubernetes: {container: app}, watch: poll", "watch: belongs to file only"),
            ("fifo: /x, from: end", "from: belongs to file and kubernetes only"),
        ] {
            let problems = trace(keys).unwrap_err().join("\n");
            assert!(problems.contains(told), "{keys}: {problems}");
        }
    }
}
