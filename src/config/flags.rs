//! One service described by flags alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::container::{Cgroup, Limits};
use super::endpoint::{EXPVAR, Endpoint, is_tls};
use super::file::file_or_pattern;
use super::http::{Auth, Http, Tls};
use super::listen::Listen;
use super::pod_log::PodLog;
use super::pprof::{PPROF, Pprof};
use super::web::Web;
use super::{
    Config, Expvar, LINE_MAX_BYTES, LISTEN, Log, Service, StartAt, Trace, TraceSource, Watch,
};
use crate::model::exposition::Exposition;
use crate::model::service::{Identity, ServiceName};
use crate::model::wrapping::Wrapping;

/// What the user said on the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--service`
    pub service: Option<String>,
    /// `--file`
    pub file: Option<PathBuf>,
    /// `--from-beginning`
    pub from_beginning: bool,
    /// `--stdin`
    pub stdin: bool,
    /// `--fifo`
    pub fifo: Option<PathBuf>,
    /// `--pod-log`
    pub pod_log: Option<String>,
    /// The service is the child of `exec`.
    pub child: bool,
    /// `--expvar`
    pub expvar: Option<String>,
    /// `--pprof`
    pub pprof: Option<String>,
    /// How they are reached.
    pub reach: Reach,
    /// What its container may use.
    pub limits: Limits,
}

/// How the endpoints are reached.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Reach {
    /// Connect to this socket; the host of the URL is a name only.
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
    /// For https: trust this authority, not the system's (PEM).
    #[arg(long, value_name = "PATH")]
    pub ca_file: Option<PathBuf>,
    /// For https: take whoever answers for the service.
    #[arg(long)]
    pub insecure_skip_verify: bool,
    /// Send what is in this file as a bearer token.
    #[arg(long, value_name = "PATH")]
    pub credentials_file: Option<PathBuf>,
}

impl Flags {
    /// Whether any of them says something of a service.
    #[must_use]
    pub fn describe_a_service(&self) -> bool {
        self.service.is_some()
            || self.file.is_some()
            || self.stdin
            || self.fifo.is_some()
            || self.pod_log.is_some()
            || self.expvar.is_some()
            || self.pprof.is_some()
            || self.limits.are_given()
    }

    /// The one source of a trace, if there is any.
    fn trace(&self) -> Result<Option<Trace>, String> {
        let from = if self.from_beginning { StartAt::Beginning } else { StartAt::End };
        let file = self.file.as_deref().and_then(Path::to_str);
        if let Some(what) = file.and_then(|file| file_or_pattern(file).err()) {
            return Err(format!("--file: {what}"));
        }
        if self.from_beginning && self.file.is_none() && self.pod_log.is_none() {
            return Err("--from-beginning belongs to --file and --pod-log".into());
        }
        let pod_log =
            self.pod_log.as_ref().map(|container| PodLog::of(container, from)).transpose();
        let pod_log = pod_log.map_err(|what| format!("--pod-log: {what}"))?;
        let file = self.file.clone();
        let mut sources = Vec::new();
        sources.extend(file.map(|path| TraceSource::File { path, from, watch: Watch::default() }));
        sources.extend(self.fifo.clone().map(TraceSource::Fifo));
        sources.extend(pod_log.map(|log| TraceSource::Kubernetes(Box::new(log))));
        sources.extend(self.stdin.then_some(TraceSource::Stdin));
        sources.extend(self.child.then_some(TraceSource::Child));
        if sources.len() > 1 {
            return Err(
                "give only one of --file, --fifo, --stdin, --pod-log; a config file takes several services"
                    .into(),
            );
        }
        Ok(sources.into_iter().next().map(|source| Trace {
            source,
            max_line_bytes: LINE_MAX_BYTES,
            wrapping: Wrapping::Auto,
        }))
    }

    /// The settings, with defaults for the rest.
    ///
    /// # Errors
    /// The flag that is wrong, and what would be right.
    pub fn config(self, default_name: Option<&str>) -> Result<Config, String> {
        let trace = self.trace()?;
        let container = self.limits.container(self.child.then_some(Cgroup::Own));
        let expvar = self.expvar.map(|url| expvar(&url)).transpose()?;
        let pprof = self.pprof.map(|url| pprof(&url)).transpose()?;
        if trace.is_none() && expvar.is_none() && pprof.is_none() {
            return Err(
                "nothing to read: give --config FILE, or one of --file, --fifo, --stdin, --pod-log, --expvar, --pprof"
                    .into(),
            );
        }
        let endpoints = expvar.iter().map(|expvar| &expvar.endpoint);
        let endpoints = endpoints.chain(pprof.iter().map(|pprof| &pprof.endpoint));
        let http = self.reach.http(&endpoints.collect::<Vec<_>>())?;
        let name = self
            .service
            .as_deref()
            .or(default_name)
            .ok_or("--service NAME is missing; it becomes the label service of every series")?;
        let service = ServiceName::new(name).map_err(|what| format!("--service: {what}"))?;
        let identity = Identity::new(service, Vec::new());
        let service = Service {
            identity,
            trace,
            expvar,
            http,
            pprof,
            container,
            runqueue_per_p: false,
            leak_detector: Arc::default(),
        };
        Ok(with_defaults(service))
    }
}

fn with_defaults(service: Service) -> Config {
    Config {
        discovery: Vec::new(),
        listen: vec![Listen::Tcp(LISTEN)],
        log: Log::default(),
        exposition: Exposition::default(),
        services: vec![service],
        state: None,
        web: Web::default(),
        probe: None,
        otlp: None,
        ignored: Vec::new(),
    }
}

impl Reach {
    fn http(self, endpoints: &[&Endpoint]) -> Result<Http, &'static str> {
        let tls = Tls {
            ca_file: self.ca_file,
            insecure_skip_verify: self.insecure_skip_verify,
            ..Tls::default()
        };
        let auth = self.credentials_file.map(|credentials_file| Auth::Credentials {
            scheme: "Bearer".into(),
            credentials_file,
        });
        let names_tls = tls.ca_file.is_some() || tls.insecure_skip_verify;
        if names_tls && !endpoints.iter().any(|endpoint| is_tls(&endpoint.url)) {
            return Err(
                "--ca-file and --insecure-skip-verify need an --expvar or --pprof with https://",
            );
        }
        if endpoints.is_empty() && (self.unix_socket.is_some() || auth.is_some()) {
            return Err("--unix-socket and --credentials-file need --expvar or --pprof");
        }
        Ok(Http { tls, auth, unix_socket: self.unix_socket, ..Http::default() })
    }
}

fn expvar(url: &str) -> Result<Expvar, String> {
    let url = EXPVAR.url(url).map_err(|what| format!("--expvar: {what}"))?;
    Ok(Expvar { endpoint: EXPVAR.at(url), by_size: false, variables: Arc::default() })
}

fn pprof(url: &str) -> Result<Pprof, String> {
    PPROF.url(url).map(Pprof::at).map_err(|what| format!("--pprof: {what}"))
}
