//! OpenTelemetry's variables for OTLP
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>), of which a value that cannot be used is
//! ignored and told, as its specification says.

use std::path::PathBuf;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};

use super::http::{Certificate, HeaderText, is_reserved};
use super::otlp::{Otlp, Protocol, Target, address, base, gzip, protocol, temporality};
use crate::model::otlp::Histograms;

/// What the variables say.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// Settings.
    pub otlp: Otlp,
    /// An endpoint is among them: reason enough to push.
    pub names_endpoint: bool,
    /// Nothing is to be pushed, whatever else is said.
    pub off: bool,
    /// What was ignored, and why.
    pub ignored: Vec<String>,
}

/// Reads variables one by one.
struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    ignored: Vec<String>,
}

impl Variables {
    /// Reads them; `get` gives the value of one.
    #[must_use]
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader { get, ignored: Vec::new() };
        let (target, named) = reader.target();
        let mut otlp = Otlp {
            target,
            protocol: reader.of_metrics("PROTOCOL", protocol),
            timeout: reader.of_metrics("TIMEOUT", milliseconds),
            gzip: reader.of_metrics("COMPRESSION", gzip),
            interval: reader.value("OTEL_METRIC_EXPORT_INTERVAL", milliseconds),
            export_timeout: reader.value("OTEL_METRIC_EXPORT_TIMEOUT", milliseconds),
            temporality: reader
                .value("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", |text| {
                    temporality(&text.to_ascii_lowercase())
                }),
            histograms: reader
                .value("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", histograms),
            own_name: reader.value("OTEL_SERVICE_NAME", |text| Ok::<_, String>(text.into())),
            attributes: reader.value("OTEL_RESOURCE_ATTRIBUTES", pairs).unwrap_or_default(),
            ..Otlp::default()
        };
        // OTEL_SERVICE_NAME comes before this.
        let of_attributes = otlp.attributes.iter().rposition(|(key, _)| &**key == "service.name");
        let name = of_attributes.map(|at| otlp.attributes.remove(at).1);
        otlp.own_name = otlp.own_name.or(name);
        otlp.http.headers = reader.of_metrics("HEADERS", headers).unwrap_or_default();
        otlp.http.tls.ca_file = reader.of_metrics("CERTIFICATE", path);
        otlp.http.tls.certificate = reader.certificate();
        let disabled = reader.value("OTEL_SDK_DISABLED", boolean) == Some(true);
        let other = reader.value("OTEL_METRICS_EXPORTER", |text| {
            Ok::<_, String>(!text.split(',').any(|one| one.trim() == "otlp"))
        });
        Self {
            otlp,
            names_endpoint: named && other != Some(true),
            off: disabled,
            ignored: reader.ignored,
        }
    }

    /// What to push, if anything is to be: what was said (`otlp`) comes before these.
    #[must_use]
    pub fn complete(self, otlp: Option<Otlp>) -> Option<Otlp> {
        match otlp {
            _ if self.off => None,
            Some(otlp) => Some(otlp.or(self.otlp)),
            None => self.names_endpoint.then_some(self.otlp),
        }
    }
}

impl Reader<'_> {
    fn value<T, E: ToString>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        // An empty one is as none.
        let text = (self.get)(name).filter(|text| !text.trim().is_empty())?;
        let ignore = |error: E| self.ignored.push(format!("{name} {}", error.to_string()));
        parse(text.trim()).map_err(ignore).ok()
    }

    /// One that may be said for metrics alone.
    fn of_metrics<T, E: ToString>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let special = self.value(&format!("OTEL_EXPORTER_OTLP_METRICS_{name}"), &parse);
        special.or_else(|| self.value(&format!("OTEL_EXPORTER_OTLP_{name}"), &parse))
    }

    /// The endpoint, and whether one is named. Without a scheme it is meant for gRPC, and safe unless
    /// INSECURE says otherwise.
    fn target(&mut self) -> (Option<Target>, bool) {
        let insecure = self.of_metrics("INSECURE", boolean).unwrap_or(false);
        let grpc = self.of_metrics("PROTOCOL", protocol) == Some(Protocol::Grpc);
        // It is read again, and told then.
        self.ignored.retain(|told| !told.contains("PROTOCOL"));
        let complete = |text: &str| {
            let usual = grpc || text.ends_with(":4317");
            let scheme = if insecure { "http" } else { "https" };
            if usual && !text.contains("://") { format!("{scheme}://{text}") } else { text.into() }
        };
        let whole = |text: &str| address(&complete(text)).map(Target::Whole);
        let special = self.value("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", whole);
        // Used as it is, and so without a path it is the root (specification, "Endpoint URLs").
        let target = special
            .or_else(|| self.value("OTEL_EXPORTER_OTLP_ENDPOINT", |text| base(&complete(text))));
        let named = target.is_some();
        (target, named)
    }

    fn certificate(&mut self) -> Option<Certificate> {
        let key_file = self.of_metrics("CLIENT_KEY", path);
        let cert_file = self.of_metrics("CLIENT_CERTIFICATE", path);
        match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => Some(Certificate { cert_file, key_file }),
            (None, None) => None,
            _ => {
                let what = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY go together";
                self.ignored.push(what.into());
                None
            }
        }
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    Ok(text.into())
}

fn milliseconds(text: &str) -> Result<Duration, &'static str> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a number of milliseconds above 0"),
        Ok(n) => Ok(Duration::from_millis(n)),
    }
}

fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    }
}

fn histograms(text: &str) -> Result<Histograms, &'static str> {
    match text {
        "explicit_bucket_histogram" => Ok(Histograms::Explicit),
        "base2_exponential_bucket_histogram" => Ok(Histograms::Exponential),
        _ => Err("must be explicit_bucket_histogram or base2_exponential_bucket_histogram"),
    }
}

type Pair = (Box<str>, Box<str>);

/// `key=value,key=value`, both percent-encoded; one mistake makes all of it useless.
fn pairs(text: &str) -> Result<Vec<Pair>, &'static str> {
    const SHAPE: &str = "must be key=value pairs with commas between, percent-encoded";
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (decoded(key.trim())?, decoded(value.trim())?);
        (!key.is_empty()).then_some((key, value))
    };
    let pairs = text.split(',').filter(|one| !one.trim().is_empty());
    pairs.map(pair).collect::<Option<_>>().ok_or(SHAPE)
}

fn decoded(text: &str) -> Option<Box<str>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(bytes).ok().map(Into::into)
}

fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderText)>, &'static str> {
    let header = |(name, value): Pair| {
        let name: HeaderName = name.parse().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        (!is_reserved(&name)).then_some((name, HeaderText::Value(value)))
    };
    let headers: Option<_> = pairs(text)?.into_iter().map(header).collect();
    headers.ok_or("names a header that may not be sent")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Variables {
        let get = |name: &str| {
            let found = variables.iter().find(|(there, _)| *there == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Variables::read(&get)
    }

    #[test]
    fn an_endpoint_switches_it_on_and_the_special_one_is_taken_as_it_is() {
        let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base");
        let url = |variables: &[(&str, &str)]| {
            read(variables).complete(None).map(|otlp| otlp.url().to_string())
        };
        assert_eq!(url(&[]), None);
        assert_eq!(url(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "5")]), None);
        assert_eq!(url(&[general]).unwrap(), "http://c:4318/base/v1/metrics");
        let special = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m/x");
        assert_eq!(url(&[general, special]).unwrap(), "http://m/x");
        assert_eq!(url(&[general, ("OTEL_SDK_DISABLED", "True")]), None);
        assert_eq!(url(&[general, ("OTEL_METRICS_EXPORTER", "none")]), None);
        assert_eq!(url(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "  ")]), None);
    }

    #[test]
    fn without_a_scheme_grpc_is_safe_unless_it_may_not_be() {
        let target = |more: &[(&str, &str)]| {
            let all = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317")], more].concat();
            let Some(Target::Base(uri)) = read(&all).otlp.target else { panic!("{all:?}") };
            uri.to_string()
        };
        assert_eq!(target(&[]), "https://c:4317/");
        assert_eq!(target(&[("OTEL_EXPORTER_OTLP_METRICS_INSECURE", "true")]), "http://c:4317/");
    }

    #[test]
    fn what_cannot_be_used_is_ignored_and_told() {
        let variables = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://c"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,Host=c"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ]);
        assert_eq!(variables.ignored.len(), 6, "{:?}", variables.ignored);
        assert_eq!(variables.otlp.gzip, Some(false));
        assert!(variables.complete(None).is_none());
    }

    #[test]
    fn headers_and_attributes_are_decoded() {
        let variables = read(&[
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "Authorization=Basic%20YQ%3D%3D, x-a = b "),
            ("OTEL_EXPORTER_OTLP_HEADERS", "not=this"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=us,deployment.environment.name=a%2Cb"),
        ]);
        let headers = variables.otlp.http.headers.iter().map(|(name, text)| match text {
            HeaderText::Value(value) => format!("{name}: {}", value.to_str().unwrap()),
            HeaderText::File(path) => panic!("{}", path.display()),
        });
        assert_eq!(headers.collect::<Vec<_>>(), ["authorization: Basic YQ==", "x-a: b"]);
        assert_eq!(variables.otlp.own_name.as_deref(), Some("us"));
        let attribute = ("deployment.environment.name".into(), "a,b".into());
        assert_eq!(variables.otlp.attributes, [attribute]);
    }
}
