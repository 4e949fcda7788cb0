//! The HTTP endpoints of a service: what each kind is by default, and the keys they have in common.

use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::Authority;

use super::fields::Fields;
use super::units::{duration, size};

/// Shortest interval at which an endpoint is read: each read costs the service something, one of
/// memstats stops its world.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Several Prometheus servers that come at once, or a person who reloads, cause one read.
const MAX_AGE: Duration = Duration::from_secs(1);

/// An endpoint that is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Its address.
    pub url: Uri,
    /// When it is read.
    pub when: ScrapeWhen,
    /// Who asks for a read so soon after the last one gets that one's result.
    pub max_age: Duration,
    /// How long a read may take.
    pub timeout: Duration,
    /// Largest body read, in bytes.
    pub max_body_bytes: usize,
    /// Reads take at most this share of the time: one that took long makes the next one later. 1: no bound.
    pub max_share: f64,
    /// What we ask for: the value of the header Accept.
    pub accept: &'static str,
}

/// When an endpoint is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrapeWhen {
    /// So often.
    Every(Duration),
    /// When somebody reads our /metrics.
    OnScrape,
}

/// What the endpoints of one kind are unless the config says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Path, for a URL that has none.
    pub path: &'static str,
    /// How often one is read.
    pub interval: Duration,
    /// How long a read may take.
    pub timeout: Duration,
    /// Largest body read, in bytes.
    pub max_body_bytes: usize,
    /// Largest share of the time that reads may take.
    pub max_share: f64,
    /// The header Accept.
    pub accept: &'static str,
}

/// `/debug/vars`. Read at Prometheus' own usual interval, since each read of memstats stops the
/// service's world for some 50 µs; the timeout is below Prometheus' scrape timeout of 10 s; memstats
/// alone has 5 KiB.
pub const EXPVAR: Kind = Kind {
    path: "/debug/vars",
    interval: Duration::from_secs(15),
    timeout: Duration::from_secs(5),
    max_body_bytes: 8 * 1024 * 1024,
    // A page of variables costs what it costs to print it.
    max_share: 1.0,
    accept: "application/json",
};

impl Kind {
    /// One with every default.
    #[must_use]
    pub const fn at(&self, url: Uri) -> Endpoint {
        Endpoint {
            url,
            when: ScrapeWhen::Every(self.interval),
            max_age: MAX_AGE,
            timeout: self.timeout,
            max_body_bytes: self.max_body_bytes,
            max_share: self.max_share,
            accept: self.accept,
        }
    }

    /// Checks an address; a path of `/` becomes that of the kind.
    ///
    /// # Errors
    /// What a right one looks like.
    pub fn url(&self, text: &str) -> Result<Uri, String> {
        let shape = format!("write it like http://127.0.0.1:6060{}", self.path);
        let wrong =
            |error: &dyn ToString| format!("is not an address ({}); {shape}", error.to_string());
        let uri: Uri = text.parse().map_err(|error| wrong(&error))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http" | "https"), Some(host)) if !host.is_empty() => {}
            _ => return Err(format!("must begin with http:// or https:// and a host; {shape}")),
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("must not hold a user name or password; use basic_auth under http".into());
        }
        // `Uri` takes any text for a port, and tells none then.
        let has_port = |authority: &Authority| authority.as_str().len() > authority.host().len();
        if uri.authority().is_some_and(has_port) && uri.port_u16().is_none_or(|port| port == 0) {
            return Err(format!("has no port after its host, 1 to 65535; {shape}"));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Ok(uri);
        }
        let mut parts = uri.into_parts();
        parts.path_and_query = self.path.parse().ok();
        Uri::from_parts(parts).map_err(|error| wrong(&error))
    }

    /// Reads the keys that every endpoint has.
    pub(super) fn read(&self, fields: &mut Fields<'_>) -> Option<Endpoint> {
        let url = fields.parsed("url", |text| self.url(text));
        if fields.get("url").is_none() {
            let what = format!("is missing; write it like http://127.0.0.1:6060{}", self.path);
            fields.problem(fields.line(), "url", what);
        }
        let when = fields.parsed("interval", scrape_when);
        let max_age = fields.parsed("max_age", duration);
        let timeout = fields.parsed("timeout", positive);
        let max_body_bytes = fields.parsed("max_body", size);
        let default = self.at(url?);
        Some(Endpoint {
            when: when.unwrap_or(default.when),
            max_age: max_age.unwrap_or(default.max_age),
            timeout: timeout.unwrap_or(default.timeout),
            max_body_bytes: max_body_bytes.unwrap_or(default.max_body_bytes),
            ..default
        })
    }
}

/// Whether the requests for an address go through TLS.
#[must_use]
pub fn is_tls(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

/// An address as we show it: what stands in a query may be a secret.
#[must_use]
pub fn shown(url: &Uri) -> String {
    let scheme = url.scheme_str().map_or_else(String::new, |scheme| format!("{scheme}://"));
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_secret, host)| host);
    let query = if url.query().is_some() { "?…" } else { "" };
    format!("{scheme}{host}{}{query}", url.path())
}

fn scrape_when(text: &str) -> Result<ScrapeWhen, String> {
    if text == "scrape" {
        return Ok(ScrapeWhen::OnScrape);
    }
    match duration(text) {
        Ok(every) if every >= INTERVAL_MIN => Ok(ScrapeWhen::Every(every)),
        Ok(_) => Err("must be at least 1s: each read stops the service's world".into()),
        Err(error) => Err(format!("{error}; or scrape, to read when /metrics is read")),
    }
}

pub(super) fn positive(text: &str) -> Result<Duration, String> {
    let value = duration(text)?;
    if value.is_zero() { Err("must be more than 0".into()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_if_there_is_one() {
        for bad in
            ["http://h:http/", "http://h:/", "http://h:0/", "http://h:70000", "http://[::1]:x/"]
        {
            assert!(EXPVAR.url(bad).is_err(), "{bad}");
        }
        for good in ["http://h", "http://h:1/", "http://[::1]:6060/x", "http://[::1]/"] {
            assert!(EXPVAR.url(good).is_ok(), "{good}");
        }
        assert!(EXPVAR.url("http://me:pw@h/").unwrap_err().contains("basic_auth"));
    }
}
