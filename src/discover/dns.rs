//! Targets from records of DNS: Prometheus' `dns_sd`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use domain::base::iana::{Rcode, Rtype};
use domain::base::name::Name;
use domain::rdata::{A, Aaaa, Srv};
use domain::resolv::StubResolver;
use domain::resolv::stub::Answer;
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};

use super::TARGETS_MAX;
use crate::config::discovery::Records;
use crate::model::target::Target;

#[derive(Debug)]
pub(super) struct Dns {
    names: Vec<String>,
    records: Records,
    port: u16,
    server: Option<SocketAddr>,
}

impl Dns {
    pub(super) fn new(
        names: Vec<String>,
        records: Records,
        port: u16,
        server: Option<SocketAddr>,
    ) -> Self {
        Self { names, records, port, server }
    }

    /// If one name fails, all stay as they were.
    pub(super) async fn look(&self) -> Result<Vec<Target>, String> {
        let resolver = self.resolver();
        let mut targets = Vec::new();
        for name in &self.names {
            let found = self.resolve(&resolver, name).await;
            targets.extend(found.map_err(|why| format!("{name}: {why}"))?);
            if targets.len() > TARGETS_MAX {
                return Err(format!(
                    "{name} and those before have more than {TARGETS_MAX} records"
                ));
            }
        }
        Ok(targets)
    }

    /// Made for each look: the system's settings change when a machine changes its network.
    fn resolver(&self) -> StubResolver {
        let mut conf = ResolvConf::default();
        if let Some(server) = self.server {
            conf.servers = vec![ServerConf::new(server, Transport::UdpTcp)];
            conf.finalize();
        }
        StubResolver::from_conf(conf)
    }

    /// Tries the system's search list as resolv.conf(5) has it; that there is no such name is no failure.
    async fn resolve(&self, resolver: &StubResolver, name: &str) -> Result<Vec<Target>, String> {
        for full in full_names(name, resolver) {
            let question = Name::<Vec<u8>>::from_str(&full).map_err(|error| error.to_string())?;
            let answer = resolver.query((question, self.rtype())).await;
            let answer = answer.map_err(|error| error.to_string())?;
            match answer.header().rcode() {
                Rcode::NOERROR => {
                    let targets = self.targets(name, &answer)?;
                    if !targets.is_empty() {
                        return Ok(targets);
                    }
                }
                Rcode::NXDOMAIN => {}
                failure => return Err(format!("the server says {failure}")),
            }
        }
        Ok(Vec::new())
    }

    const fn rtype(&self) -> Rtype {
        match self.records {
            Records::Srv => Rtype::SRV,
            Records::A => Rtype::A,
            Records::Aaaa => Rtype::AAAA,
        }
    }

    fn targets(&self, name: &str, answer: &Answer) -> Result<Vec<Target>, String> {
        let told =
            |error: &dyn std::fmt::Display| format!("an answer that makes no sense: {error}");
        let section = answer.answer().map_err(|error| told(&error))?;
        let target = |address: String, more: Vec<(&str, String)>| {
            let more = more.into_iter().chain([("__meta_dns_name", name.to_owned())]);
            let labels: BTreeMap<_, _> =
                more.map(|(name, value)| (name.to_owned(), value)).collect();
            Target::at(&address, labels)
        };
        let of_ip = |ip: IpAddr| target(SocketAddr::new(ip, self.port).to_string(), Vec::new());
        let targets: Result<Vec<_>, _> = match self.records {
            Records::A => section
                .limit_to_in::<A>()
                .map(|record| record.map(|record| of_ip(IpAddr::V4(record.data().addr()))))
                .collect(),
            Records::Aaaa => section
                .limit_to_in::<Aaaa>()
                .map(|record| record.map(|record| of_ip(IpAddr::V6(record.data().addr()))))
                .collect(),
            Records::Srv => section
                .limit_to_in::<Srv<_>>()
                .map(|record| {
                    record.map(|record| {
                        let host = record.data().target().to_string();
                        let host = host.trim_end_matches('.');
                        let port = record.data().port().to_string();
                        let address = format!("{host}:{port}");
                        let host = ("__meta_dns_srv_record_target", host.to_owned());
                        target(address, vec![host, ("__meta_dns_srv_record_port", port)])
                    })
                })
                .collect(),
        };
        targets.map_err(|error| told(&error))
    }
}

fn full_names(name: &str, resolver: &StubResolver) -> Vec<String> {
    let options = resolver.options();
    let with_suffix = |suffix: String| format!("{name}.{}", suffix.trim_matches('.'));
    let searched = options.search.as_slice().iter().map(|suffix| with_suffix(suffix.to_string()));
    let searched = searched.map(|full| full.trim_end_matches('.').to_owned());
    let mut names: Vec<String> = Vec::new();
    let has_dots = name.matches('.').count() >= options.ndots;
    if name.ends_with('.') {
        names.push(name.to_owned());
    } else if has_dots {
        names.push(name.to_owned());
        names.extend(searched);
    } else {
        names.extend(searched);
        names.push(name.to_owned());
    }
    let mut tried = std::collections::HashSet::new();
    names.retain(|name| tried.insert(name.clone()));
    names
}
