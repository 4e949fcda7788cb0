//! Where metrics are pushed to by OTLP: the keys under `otlp`. What they do not say, OpenTelemetry's variables
//! may (`otlp_variables`), and then the defaults here.

use std::time::Duration;

use hyper::Uri;

use super::endpoint::{is_tls, positive, shown};
use super::fields::Fields;
use super::http::Http;
use super::node::Value;
use super::units::duration;
use crate::model::otlp::{Histograms, Shape, Temporality};

/// How often, as in OpenTelemetry's SDKs.
const INTERVAL: Duration = Duration::from_secs(60);

/// A request costs both sides something.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// How long one request may take, as in OpenTelemetry's exporters.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long all requests of one export may take, as in OpenTelemetry's SDKs; the rest comes later.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(30);

/// The ports that receivers listen on.
const GRPC_PORT: u16 = 4317;
const LOCAL_GRPC: &str = "http://localhost:4317";
const LOCAL_HTTP: &str = "http://localhost:4318";

/// What is asked for, by protocol.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const HTTP_PATH: &str = "/v1/metrics";

/// Our own `service.name`.
const OWN_NAME: &str = "godebug-exporter";

/// The attribute that tells services of one name apart.
const INSTANCE: &str = "service.instance.id";

/// How requests are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To the path for metrics below this.
    Base(Uri),
    /// To this very address.
    Whole(Uri),
}

/// What was said about OTLP; the methods have the defaults for the rest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Otlp {
    pub(super) target: Option<Target>,
    pub(super) protocol: Option<Protocol>,
    pub(super) interval: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) export_timeout: Option<Duration>,
    pub(super) temporality: Option<Temporality>,
    pub(super) histograms: Option<Histograms>,
    pub(super) gzip: Option<bool>,
    pub(super) own_name: Option<Box<str>>,
    pub(super) attributes: Vec<(Box<str>, Box<str>)>,
    /// How it is reached.
    pub http: Http,
}

impl Otlp {
    /// Reads the map `otlp`.
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        let target = fields.parsed("endpoint", base);
        let whole = fields.parsed("metrics_endpoint", |text| address(text).map(Target::Whole));
        if target.is_some() && whole.is_some() {
            fields.problem_at_map("has both endpoint and metrics_endpoint; give one");
        }
        let http_line = fields.get("http").map(|node| node.line);
        let this = Self {
            target: whole.or(target),
            protocol: fields.parsed("protocol", protocol),
            interval: fields.parsed("interval", interval),
            timeout: fields.parsed("timeout", positive),
            export_timeout: fields.parsed("export_timeout", positive),
            temporality: fields.parsed("temporality", temporality),
            histograms: fields.parsed("histograms", histograms),
            gzip: fields.parsed("compression", gzip),
            own_name: None,
            attributes: fields.map("resource").map(attributes).unwrap_or_default(),
            http: fields.map("http").map(Http::read).unwrap_or_default(),
        };
        if let Some(line) = http_line
            && let Some(what) = this.unusable()
        {
            fields.problem(line, "http", what);
        }
        fields.finish();
        this
    }

    /// To this endpoint, for `--otlp-endpoint`.
    ///
    /// # Errors
    /// What a right one looks like.
    pub fn to(endpoint: &str) -> Result<Self, String> {
        Ok(Self { target: Some(base(endpoint)?), ..Self::default() })
    }

    /// Why requests of this protocol cannot be made so.
    fn unusable(&self) -> Option<&'static str> {
        let by_proxy = self.protocol() == Protocol::Grpc && self.http.proxy.is_some();
        (by_proxy && !is_tls(&self.url())).then_some("a proxy takes gRPC by https:// only")
    }

    /// This, and `other` where this says nothing.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        let mut http = self.http;
        for (name, text) in other.http.headers {
            if !http.headers.iter().any(|(there, _)| *there == name) {
                http.headers.push((name, text));
            }
        }
        http.tls.ca_file = http.tls.ca_file.or(other.http.tls.ca_file);
        http.tls.certificate = http.tls.certificate.or(other.http.tls.certificate);
        // The last of one name counts.
        let mut attributes = other.attributes;
        attributes.append(&mut self.attributes);
        Self {
            target: self.target.or(other.target),
            protocol: self.protocol.or(other.protocol),
            interval: self.interval.or(other.interval),
            timeout: self.timeout.or(other.timeout),
            export_timeout: self.export_timeout.or(other.export_timeout),
            temporality: self.temporality.or(other.temporality),
            histograms: self.histograms.or(other.histograms),
            gzip: self.gzip.or(other.gzip),
            own_name: self.own_name.or(other.own_name),
            attributes,
            http,
        }
    }

    /// How requests are made: as was said, or as the port is usually used.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        let port = self.target.as_ref().and_then(|target| match target {
            Target::Base(uri) | Target::Whole(uri) => uri.port_u16(),
        });
        let usual = if port == Some(GRPC_PORT) { Protocol::Grpc } else { Protocol::Http };
        self.protocol.unwrap_or(usual)
    }

    /// Where requests go.
    #[must_use]
    pub fn url(&self) -> Uri {
        let grpc = self.protocol() == Protocol::Grpc;
        let local = Uri::from_static(if grpc { LOCAL_GRPC } else { LOCAL_HTTP });
        let (base, whole) = match &self.target {
            Some(Target::Base(uri)) => (uri.clone(), false),
            Some(Target::Whole(uri)) => (uri.clone(), true),
            None => (local, false),
        };
        let path = base.path().trim_end_matches('/');
        let path = match (grpc, whole || path.ends_with(HTTP_PATH)) {
            (true, _) => GRPC_PATH.to_owned(),
            (false, true) => return base,
            (false, false) => format!("{path}{HTTP_PATH}"),
        };
        let mut parts = base.clone().into_parts();
        parts.path_and_query = path.parse().ok();
        Uri::from_parts(parts).unwrap_or(base)
    }

    /// How, where to and how often, in words.
    #[must_use]
    pub fn told(&self) -> String {
        let (url, interval) = (shown(&self.url()), self.interval());
        match self.protocol() {
            Protocol::Grpc => {
                let url = url.strip_suffix(GRPC_PATH).unwrap_or(&url);
                format!("OTLP/gRPC to {url} every {interval:?}")
            }
            Protocol::Http => format!("OTLP/HTTP to {url} every {interval:?}"),
        }
    }

    /// Time between two exports.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval.unwrap_or(INTERVAL)
    }

    /// How long a request may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    /// How long the requests of one export may take together.
    #[must_use]
    pub fn export_timeout(&self) -> Duration {
        self.export_timeout.unwrap_or(EXPORT_TIMEOUT)
    }

    /// What a point covers.
    #[must_use]
    pub fn temporality(&self) -> Temporality {
        self.temporality.unwrap_or_default()
    }

    /// Whether requests are compressed; receivers have to know gzip.
    #[must_use]
    pub fn gzip(&self) -> bool {
        self.gzip.unwrap_or(true)
    }

    /// How everything looks. `host`: the name of this host.
    #[must_use]
    pub fn shape(&self, host: &str) -> Shape {
        let mut attributes = self.attributes.clone();
        let given = attributes.iter().rposition(|(key, _)| &**key == INSTANCE);
        let instance = given.map(|at| attributes.remove(at).1);
        Shape {
            histograms: self.histograms.unwrap_or_default(),
            instance: instance.unwrap_or_else(|| host.into()),
            own_name: self.own_name.clone().unwrap_or_else(|| OWN_NAME.into()),
            attributes,
        }
    }
}

/// An address with a scheme and a host.
pub(super) fn address(text: &str) -> Result<Uri, String> {
    const SHAPE: &str = "write it like http://collector:4317 or https://collector:4318";
    let uri: Uri = text.parse().map_err(|error| format!("is not an address ({error}); {SHAPE}"))?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    match (uri.scheme_str(), uri.host()) {
        _ if authority.contains('@') => {
            Err("must not hold a user name or password; use basic_auth under http".into())
        }
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(format!("must begin with http:// or https:// and a host; {SHAPE}")),
    }
}

pub(super) fn base(text: &str) -> Result<Target, String> {
    let uri = address(text)?;
    if uri.query().is_some() {
        return Err("must have no query; metrics_endpoint takes a whole address".into());
    }
    Ok(Target::Base(uri))
}

pub(super) fn protocol(text: &str) -> Result<Protocol, &'static str> {
    match text {
        "grpc" => Ok(Protocol::Grpc),
        "http/protobuf" => Ok(Protocol::Http),
        _ => Err("must be grpc or http/protobuf"),
    }
}

pub(super) fn temporality(text: &str) -> Result<Temporality, &'static str> {
    match text {
        "cumulative" => Ok(Temporality::Cumulative),
        "delta" => Ok(Temporality::Delta),
        _ => Err("must be cumulative or delta"),
    }
}

fn histograms(text: &str) -> Result<Histograms, &'static str> {
    match text {
        "exponential" => Ok(Histograms::Exponential),
        "explicit" => Ok(Histograms::Explicit),
        _ => Err("must be exponential or explicit"),
    }
}

pub(super) fn gzip(text: &str) -> Result<bool, &'static str> {
    match text {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err("must be gzip or none"),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let value = duration(text)?;
    if value < INTERVAL_MIN { Err("must be at least 1s".into()) } else { Ok(value) }
}

fn attributes(fields: Fields<'_>) -> Vec<(Box<str>, Box<str>)> {
    let mut attributes = Vec::new();
    for (key, value) in fields.entries() {
        match (&key.value, &value.value) {
            (Value::Text(name), Value::Text(text)) if !name.is_empty() => {
                attributes.push((name.as_str().into(), text.as_str().into()));
            }
            (Value::Text(name), other) => {
                let what = format!("must be text, is {}; put it in quotes", other.kind());
                fields.problem(value.line, name, what);
            }
            (other, _) => {
                let what = format!("an attribute's name must be text, is {}", other.kind());
                fields.problem(key.line, "?", what);
            }
        }
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn read(otlp: &str) -> Result<Otlp, Vec<String>> {
        let text = format!("otlp: {otlp}\nservices: [{{name: a, trace: {{stdin: true}}}}]\n");
        let told = |problems: Vec<crate::config::Problem>| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        file::read(&text).map(|config| config.otlp.unwrap()).map_err(told)
    }

    #[test]
    fn the_protocol_follows_the_port_and_the_path_the_protocol() {
        for (otlp, protocol, url) in [
            ("{}", Protocol::Http, "http://localhost:4318/v1/metrics"),
            ("{protocol: grpc}", Protocol::Grpc, &format!("http://localhost:4317{GRPC_PATH}")),
            ("{endpoint: 'http://c:4317'}", Protocol::Grpc, &format!("http://c:4317{GRPC_PATH}")),
            ("{endpoint: 'https://c'}", Protocol::Http, "https://c/v1/metrics"),
            (
                "{endpoint: 'http://c/api/v1/otlp/'}",
                Protocol::Http,
                "http://c/api/v1/otlp/v1/metrics",
            ),
            ("{endpoint: 'http://c/v1/metrics'}", Protocol::Http, "http://c/v1/metrics"),
            ("{metrics_endpoint: 'http://c/x?k=v'}", Protocol::Http, "http://c/x?k=v"),
        ] {
            let read = read(otlp).unwrap();
            assert_eq!(
                (read.protocol(), read.url().to_string().as_str()),
                (protocol, url),
                "{otlp}"
            );
        }
    }

    #[test]
    fn what_is_told_has_no_secret() {
        for (otlp, expected) in [
            ("{endpoint: 'http://c:4317'}", "OTLP/gRPC to http://c:4317 every 60s"),
            (
                "{metrics_endpoint: 'https://c/x?token=t', interval: 5s}",
                "OTLP/HTTP to https://c/x?… every 5s",
            ),
        ] {
            assert_eq!(read(otlp).unwrap().told(), expected);
        }
    }

    #[test]
    fn every_mistake_is_told() {
        for (otlp, expected) in [
            ("{endpoint: 'collector:4317'}", "otlp.endpoint: must begin with http://"),
            ("{endpoint: 'http://a:b@c'}", "must not hold a user name"),
            ("{endpoint: 'http://c?x'}", "must have no query"),
            ("{endpoint: 'http://c', metrics_endpoint: 'http://c'}", "has both"),
            ("{protocol: http/json}", "must be grpc or http/protobuf"),
            ("{interval: 10ms}", "must be at least 1s"),
            ("{temporality: lowmemory}", "must be cumulative or delta"),
            ("{histograms: native}", "must be exponential or explicit"),
            ("{compression: zstd}", "must be gzip or none"),
            ("{resource: {a: 1}}", "otlp.resource.a: must be text"),
            ("{headers: {a: b}}", "is not a key"),
            (
                "{protocol: grpc, http: {proxy_url: 'http://p:1'}}",
                "a proxy takes gRPC by https:// only",
            ),
        ] {
            let problems = read(otlp).unwrap_err();
            assert!(problems[0].contains(expected), "{otlp}: {problems:?}");
        }
    }

    #[test]
    fn what_the_file_says_comes_before_what_variables_say() {
        let file = read("{endpoint: 'http://c:4317', interval: 5s, resource: {a: file}}").unwrap();
        let attribute = |key: &str, value: &str| (key.into(), value.into());
        let variables = Otlp {
            interval: Some(Duration::from_secs(9)),
            timeout: Some(Duration::from_secs(3)),
            attributes: vec![attribute("a", "variable"), attribute(INSTANCE, "me")],
            ..Otlp::default()
        };
        let both = file.or(variables);
        assert_eq!((both.interval().as_secs(), both.timeout().as_secs()), (5, 3));
        let shape = both.shape("host");
        assert_eq!(&*shape.instance, "me");
        assert_eq!(shape.attributes.last(), Some(&attribute("a", "file")));
    }
}
