//! `/probe`: which targets may be read for whoever asks.

use std::net::IpAddr;
use std::time::Duration;

use glob::Pattern;
use hyper::Uri;

use super::endpoint::{EXPVAR, Endpoint, Kind, is_tls, positive};
use super::fields::Fields;
use super::http::Http;
use super::node::{Node, Value};
use super::units::size;

/// What may be probed. Every condition has to hold; the networks are held against the address that
/// is connected to, so that a name which leads elsewhere a moment later does not get through.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Hosts of the URL.
    hosts: Vec<Pattern>,
    /// Ports of the URL.
    ports: Vec<u16>,
    /// Paths of the URL.
    paths: Vec<String>,
    /// Addresses.
    pub networks: Vec<Network>,
    /// How long a probe may take.
    pub timeout: Duration,
    /// Largest body read, in bytes.
    pub max_body_bytes: usize,
    /// How targets are reached.
    pub http: Http,
}

impl Probe {
    /// The endpoint of a target of one kind.
    ///
    /// # Errors
    /// Which key does not allow it.
    pub fn endpoint(&self, kind: &Kind, url: Uri) -> Result<Endpoint, &'static str> {
        let host = url.host().unwrap_or_default().to_ascii_lowercase();
        let port = url.port_u16().unwrap_or(if is_tls(&url) { 443 } else { 80 });
        if !self.hosts.iter().any(|pattern| pattern.matches(&host)) {
            return Err("probe.hosts does not allow this host");
        }
        if !self.ports.contains(&port) {
            return Err("probe.ports does not allow this port");
        }
        if !self.paths.iter().any(|path| path == url.path()) || url.query().is_some() {
            return Err("probe.paths does not allow this path; a query is never allowed");
        }
        let max_body_bytes = self.max_body_bytes;
        Ok(Endpoint { timeout: self.timeout, max_body_bytes, ..kind.at(url) })
    }

    /// Reads the map `probe`.
    pub(super) fn read(mut fields: Fields<'_>) -> Option<Self> {
        let networks = texts(&mut fields, "networks", Network::new);
        let ports = ports(&mut fields);
        let hosts = texts(&mut fields, "hosts", |text| {
            Pattern::new(&text.to_ascii_lowercase()).map_err(|error| error.msg.to_owned())
        });
        let paths = texts(&mut fields, "paths", |text| match text {
            text if text.starts_with('/') => Ok(text.to_owned()),
            _ => Err("must begin with /".to_owned()),
        });
        for (key, example) in [("networks", "[10.0.0.0/8]"), ("ports", "[6060]")] {
            if fields.get(key).is_none() {
                fields.problem(fields.line(), key, format!("is missing; write it like {example}"));
            }
        }
        let timeout = fields.parsed("timeout", positive).unwrap_or(EXPVAR.timeout);
        let max_body_bytes = fields.parsed("max_body", size).unwrap_or(EXPVAR.max_body_bytes);
        let http = fields.map("http").map(Http::read).unwrap_or_default();
        if http.proxy.is_some() || http.unix_socket.is_some() {
            let what = "must have neither proxy_url nor unix_socket: networks could not be checked";
            fields.problem(fields.line(), "http", what);
        }
        fields.finish();
        let any = Pattern::new("*").ok()?;
        Some(Self {
            hosts: hosts.unwrap_or_else(|| vec![any]),
            ports: ports?,
            paths: paths.unwrap_or_else(|| vec![EXPVAR.path.to_owned()]),
            networks: networks?,
            timeout,
            max_body_bytes,
            http,
        })
    }
}

fn texts<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    items(fields, key, |node| match &node.value {
        Value::Text(text) => read(text).map_err(|what| format!("{text:?} {what}")),
        other => Err(format!("must hold texts only, has {}", other.kind())),
    })
}

fn ports(fields: &mut Fields<'_>) -> Option<Vec<u16>> {
    items(fields, "ports", |node| {
        match &node.value {
            Value::Integer(port) => u16::try_from(*port).ok().filter(|port| *port > 0),
            _ => None,
        }
        .ok_or_else(|| "must hold ports only, from 1 to 65535".to_owned())
    })
}

fn items<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    read: impl Fn(&Node) -> Result<T, String>,
) -> Option<Vec<T>> {
    let items = fields.list(key)?;
    if items.is_empty() {
        fields.problem(fields.line(), key, "must not be empty");
    }
    let read = |node: &Node| read(node).map_err(|what| fields.problem(node.line, key, what)).ok();
    items.iter().map(read).collect()
}

/// Addresses with the same beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `10.0.0.0/8` or `fd00::/8`; an address alone is itself.
    ///
    /// # Errors
    /// What a right one looks like.
    pub fn new(text: &str) -> Result<Self, String> {
        let wrong = || "is not a network; write it like 10.0.0.0/8 or fd00::/8".to_owned();
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_not_an_address| wrong())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).map_err(|_not_a_number| wrong())?;
        let network = Self { address, bits };
        if bits > all {
            return Err(wrong());
        }
        if network.beginning(address) == network.number(address) {
            Ok(network)
        } else {
            Err(format!("has bits set after the first {bits}"))
        }
    }

    /// Whether an address is in it. One of IPv4 that is written as one of IPv6 is the former.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && self.beginning(address) == self.number(self.address)
    }

    /// The address' bits, from the highest of 128 on.
    fn number(&self, address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        }
    }

    fn beginning(&self, address: IpAddr) -> u128 {
        self.number(address) & u128::MAX.checked_shl(128 - self.bits).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    #[test]
    fn networks_hold_their_addresses_alone() {
        let check = |network: &str, address: &str, expected: bool| {
            let network = Network::new(network).unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                expected,
                "{network:?} {address}"
            );
        };
        check("10.0.0.0/8", "10.255.1.2", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("10.0.0.0/8", "::ffff:10.1.1.1", true);
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("0.0.0.0/0", "169.254.169.254", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "10.0.0.1", false);
        check("fd00::/8", "fdff::1", true);
        check("fd00::/8", "fe80::1", false);
        check("192.168.1.128/25", "192.168.1.127", false);
        for wrong in ["", "10.0.0.0/33", "10.0.0.1/8", "::/129", "x/8", "10.0.0.0/", "10.0.0.0/-1"]
        {
            assert!(Network::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_every_key_allows_is_probed() {
        let text = "probe: {networks: [10.0.0.0/8], ports: [6060, 443], hosts: ['*.svc', '10.*']}";
        let probe = file::read(text).unwrap().probe.unwrap();
        let check = |url: &str, expected: &str| {
            let found = probe
                .endpoint(&EXPVAR, url.parse().unwrap())
                .map(|_| "")
                .unwrap_or_else(|what| what);
            assert!(
                found.contains(expected) && expected.is_empty() == found.is_empty(),
                "{url} {found}"
            );
        };
        check("http://a.svc:6060/debug/vars", "");
        check("http://A.SVC:6060/debug/vars", "");
        check("https://10.1.2.3/debug/vars", "");
        check("http://a.svc.evil:6060/debug/vars", "hosts");
        check("http://a.svc/debug/vars", "ports");
        check("http://a.svc:6060/debug/vars/../pprof", "paths");
        check("http://a.svc:6060/debug/vars?seconds=30", "paths");
    }

    #[test]
    fn mistakes_are_told() {
        let problems = |keys: &str| -> String {
            let problems = file::read(&format!("probe: {{{keys}}}")).unwrap_err();
            problems.iter().map(|problem| format!("{problem}\n")).collect()
        };
        assert!(problems("ports: [1]").contains("probe.networks: is missing"));
        let found = problems("networks: [10.0.0.1/8, 5], ports: [0], paths: [x], hosts: []");
        for what in ["bits set after", "ports only", "must begin with /", "must not be empty"] {
            assert!(found.contains(what), "{what} in {found}");
        }
        let found = problems("networks: ['::1'], ports: [1], http: {unix_socket: /s}");
        assert!(found.contains("neither proxy_url nor unix_socket"), "{found}");
    }
}
