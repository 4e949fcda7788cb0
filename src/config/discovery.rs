//! The keys of `discovery`: services that are found. The finders have the names and the forms of
//! Prometheus' own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};

use super::endpoint::{Endpoint, Kind, positive};
use super::fields::{Fields, Problems};
use super::http::{HeaderText, Http};
use super::node::{Node, Value};
use super::template::Template;
use super::units::duration;
use super::{StartAt, kubernetes};
use crate::model::leak::Params;

/// How long a service that was found stays when it is not found any more.
const GRACE: Duration = Duration::from_secs(300);
const GRACE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Keys of lists of targets.
const LISTS: [&str; 3] = ["file_sd_configs", "http_sd_configs", "dns_sd_configs"];

/// Prometheus' own intervals.
const FILES_EVERY: Duration = Duration::from_secs(300);
const DNS_EVERY: Duration = Duration::from_secs(30);

/// Listing 250 pods takes 2 ms.
const CONTAINERS_EVERY: Duration = Duration::from_secs(2);

/// A list of targets.
const HTTP_SD: Kind = Kind {
    path: "/",
    interval: Duration::from_secs(60),
    timeout: Duration::from_secs(10),
    max_body_bytes: 8 * 1024 * 1024,
    max_share: 1.0,
    accept: "application/json",
};

const REFRESH_INTERVAL: HeaderName =
    HeaderName::from_static("x-prometheus-refresh-interval-seconds");

/// Services that are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovery {
    /// Where targets are looked for; at least one.
    pub finders: Vec<Finder>,
    /// What a target becomes.
    pub template: Template,
    /// How long a service stays that is not found any more.
    pub grace: Duration,
}

/// Where targets are looked for, and how often.
#[derive(Debug, Clone, PartialEq)]
pub enum Finder {
    /// Files of targets, and patterns of such.
    Files {
        /// JSON if they end with `.json`, else YAML.
        files: Vec<PathBuf>,
        /// Besides at every change.
        every: Duration,
    },
    /// A list of targets by HTTP.
    Http {
        /// Where.
        endpoint: Endpoint,
        /// How it is reached.
        http: Box<Http>,
        /// How often.
        every: Duration,
    },
    /// Names in DNS.
    Dns {
        /// What is asked for.
        names: Vec<String>,
        /// Which records.
        records: Records,
        /// Of targets whose records have none.
        port: u16,
        /// Who is asked instead of the system's servers.
        server: Option<SocketAddr>,
        /// How often.
        every: Duration,
    },
    /// Containers of a node, by the logs that the kubelet keeps.
    Kubernetes {
        /// Where it keeps them.
        logs: PathBuf,
        /// Where those that are there at our start are read from.
        from: StartAt,
        /// Who says more of them.
        api: Box<kubernetes::Api>,
    },
}

/// Records of DNS that lead to targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Records {
    /// Names and ports (RFC 2782).
    Srv,
    /// IPv4.
    A,
    /// IPv6.
    Aaaa,
}

impl Finder {
    /// How it is called: the label `mechanism`.
    #[must_use]
    pub const fn mechanism(&self) -> &'static str {
        match self {
            Self::Files { .. } => "file",
            Self::Http { .. } => "http",
            Self::Dns { .. } => "dns",
            Self::Kubernetes { .. } => "kubernetes",
        }
    }

    /// How often it looks.
    #[must_use]
    pub const fn every(&self) -> Duration {
        match self {
            Self::Files { every, .. } | Self::Http { every, .. } | Self::Dns { every, .. } => {
                *every
            }
            Self::Kubernetes { .. } => CONTAINERS_EVERY,
        }
    }
}

/// Reads the list.
pub(super) fn read(
    fields: &mut Fields<'_>,
    leaks: &Arc<Params>,
    problems: &Problems,
) -> Vec<Discovery> {
    let items = fields.list("discovery").unwrap_or_default().iter().enumerate();
    let items = items.filter_map(|(i, item)| fields.item("discovery", i, item));
    items.filter_map(|item| discovery(item, leaks, problems)).collect()
}

fn discovery(
    mut fields: Fields<'_>,
    leaks: &Arc<Params>,
    problems: &Problems,
) -> Option<Discovery> {
    let mut finders = Vec::new();
    each(&mut fields, "file_sd_configs", &mut finders, files);
    each(&mut fields, "http_sd_configs", &mut finders, http);
    each(&mut fields, "dns_sd_configs", &mut finders, dns);
    let of_containers = fields.has("kubernetes");
    if of_containers && !finders.is_empty() {
        fields.problem_at_map("kubernetes needs an entry of its own: its targets are containers");
    }
    finders.extend(fields.map("kubernetes").map(kubernetes::read));
    if !of_containers && LISTS.iter().all(|key| !fields.has(key)) {
        fields.problem_at_map(
            "finds nothing; give it kubernetes, file_sd_configs, http_sd_configs or dns_sd_configs",
        );
    }
    let grace = fields.parsed("grace", grace).unwrap_or(GRACE);
    let path = fields.path_of("service");
    let template = match fields.get("service") {
        node if of_containers => {
            let none = Node { line: fields.line(), value: Value::Map(Vec::new()) };
            Template::of_containers(node.unwrap_or(&none), &path, leaks, problems)
        }
        Some(node) => Template::read(node, &path, leaks, problems),
        None => {
            let what = "is missing; it says what a target becomes: {name: \"${__address__}\", expvar: {url: \"http://${__address__}\"}}";
            fields.problem(fields.line(), "service", what);
            None
        }
    };
    fields.finish();
    Some(Discovery { finders, template: template?, grace })
}

fn each(
    fields: &mut Fields<'_>,
    key: &'static str,
    finders: &mut Vec<Finder>,
    read: impl Fn(Fields<'_>) -> Option<Finder>,
) {
    let items = fields.list(key).unwrap_or_default().iter().enumerate();
    finders.extend(items.filter_map(|(i, item)| fields.item(key, i, item).and_then(&read)));
}

fn files(mut fields: Fields<'_>) -> Option<Finder> {
    let files = texts(&mut fields, "files", "[/etc/godebug-exporter/targets/*.yaml]");
    let line = fields.line();
    for file in &files {
        if let Err(error) = glob::Pattern::new(file) {
            fields.problem(line, "files", format!("{file:?} is not a pattern: {}", error.msg));
        }
        if ![".json", ".yml", ".yaml"].iter().any(|end| file.ends_with(end)) {
            fields.problem(line, "files", format!("{file:?} must end with .json, .yml or .yaml"));
        }
    }
    let every = fields.parsed("refresh_interval", interval).unwrap_or(FILES_EVERY);
    fields.finish();
    Some(Finder::Files { files: files.into_iter().map(PathBuf::from).collect(), every })
}

fn http(mut fields: Fields<'_>) -> Option<Finder> {
    let url = fields.parsed("url", |text| HTTP_SD.url(text));
    if fields.get("url").is_none() {
        fields.problem(fields.line(), "url", "is missing; write it like http://inventory/targets");
    }
    let every = fields.parsed("refresh_interval", interval).unwrap_or(HTTP_SD.interval);
    let mut http = fields.map("http").map(Http::read).unwrap_or_default();
    fields.finish();
    let seconds = HeaderValue::from(every.as_secs());
    http.headers.push((REFRESH_INTERVAL, HeaderText::Value(seconds)));
    Some(Finder::Http { endpoint: HTTP_SD.at(url?), http: Box::new(http), every })
}

fn dns(mut fields: Fields<'_>) -> Option<Finder> {
    let names = texts(&mut fields, "names", "[_debug._tcp.checkout.internal]");
    let records = fields.parsed("type", records).unwrap_or(Records::Srv);
    let port = fields.parsed("port", |text| {
        text.parse::<u16>().ok().filter(|port| *port > 0).ok_or("must be a port, 1 to 65535")
    });
    if records != Records::Srv && port.is_none() && fields.get("port").is_none() {
        fields.problem(
            fields.line(),
            "port",
            "is missing; records of this type have none of their own",
        );
    }
    let server = fields.parsed("server", |text| {
        text.parse().map_err(|_invalid| "must be an address and a port: 10.0.0.2:53")
    });
    let every = fields.parsed("refresh_interval", interval).unwrap_or(DNS_EVERY);
    fields.finish();
    Some(Finder::Dns { names, records, port: port.unwrap_or_default(), server, every })
}

fn texts(fields: &mut Fields<'_>, key: &'static str, example: &str) -> Vec<String> {
    let texts: Option<Vec<String>> = fields.list(key).and_then(|items| {
        let text = |item: &Node| match &item.value {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        items.iter().map(text).collect()
    });
    let texts = texts.unwrap_or_default();
    if texts.is_empty() {
        fields.problem(fields.line(), key, format!("must be a list of texts: {example}"));
    }
    texts
}

fn records(text: &str) -> Result<Records, &'static str> {
    match text {
        "SRV" => Ok(Records::Srv),
        "A" => Ok(Records::A),
        "AAAA" => Ok(Records::Aaaa),
        _ => Err("must be SRV, A or AAAA"),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = positive(text)?;
    if interval < Duration::from_secs(1) { Err("must be at least 1s".into()) } else { Ok(interval) }
}

fn grace(text: &str) -> Result<Duration, String> {
    let grace = duration(text)?;
    if grace > GRACE_MAX { Err("must be at most 24h".into()) } else { Ok(grace) }
}
