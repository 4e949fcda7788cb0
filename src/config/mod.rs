//! What the user wrote → settings that are already valid.
//!
//! `discovery` has the keys of service discovery, `kubernetes` those for the containers of a node, and `template` the services that it makes of targets; `pod_log` has those for the log of a container of our own pod.
//! `node` is the YAML text with the line of every value, `fields` reads it and gathers every
//! problem, `file` knows the keys, `endpoint` and `http` those of HTTP endpoints, `otlp` those of OTLP, `pprof` those of `pprof`, `container` those of its limits,
//! `flags` makes the same settings from the command line.

pub mod container;
pub mod discovery;
pub mod endpoint;
mod export;
mod exposition;
mod expvarmon;
pub mod fields;
pub mod file;
pub mod flags;
pub mod godebug;
pub mod http;
pub mod kubernetes;
pub mod leak_detector;
pub mod listen;
pub mod node;
pub mod otlp;
pub mod otlp_variables;
pub mod pod_log;
pub mod pprof;
pub mod probe;
pub mod proxy;
mod rules;
pub mod template;
pub mod units;
pub mod web;
pub mod web_file;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::model::exposition::Exposition;
use crate::model::leak::Params;
use crate::model::log::LogFormat;
use crate::model::service::Identity;
use crate::model::variable::rule::Rules;
use crate::model::wrapping::Wrapping;
use endpoint::Endpoint;
use http::Http;
use listen::Listen;
use pod_log::PodLog;
use pprof::Pprof;

/// Where we listen unless told otherwise.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 10390);

/// Longest line kept, in bytes: a SCHED line of 1,024 Ps with ten-digit ticks has 15 KiB.
pub const LINE_MAX_BYTES: usize = 64 * 1024;

/// How often state is saved: what the machine's own crash may cost. Our end costs nothing.
pub const STATE_INTERVAL: Duration = Duration::from_secs(5);

/// The settings of the daemon.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the HTTP server listens; at least one.
    pub listen: Vec<Listen>,
    /// Our own log.
    pub log: Log,
    /// How series are exposed.
    pub exposition: Exposition,
    /// The services, in the order written; names are unique.
    pub services: Vec<Service>,
    /// Services that are found.
    pub discovery: Vec<discovery::Discovery>,
    /// Where counters and positions outlive us.
    pub state: Option<State>,
    /// How it serves.
    pub web: web::Web,
    /// What may be read for others.
    pub probe: Option<probe::Probe>,
    /// Where metrics are pushed to.
    pub otlp: Option<otlp::Otlp>,
    /// Variables of the environment that were ignored, and why.
    pub ignored: Vec<String>,
}

impl Config {
    /// Keys whose change only another start takes up.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let keys = [
            (self.listen != new.listen, "listen"),
            (self.web != new.web, "web"),
            (self.log != new.log, "log"),
            (self.exposition != new.exposition, "metrics"),
            (self.state != new.state, "state"),
            (self.probe != new.probe, "probe"),
            (self.otlp != new.otlp, "otlp"),
            (self.on_stdin() != new.on_stdin(), "the service on stdin"),
        ];
        keys.into_iter().filter(|(changed, _)| *changed).map(|(_, key)| key).collect()
    }

    fn on_stdin(&self) -> Option<&Service> {
        let reads_stdin = |service: &&Service| matches!(&service.trace, Some(trace) if trace.source == TraceSource::Stdin);
        self.services.iter().find(reads_stdin)
    }
}

/// Settings of the state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The directory; it is made if it is missing.
    pub directory: PathBuf,
    /// How often state is saved, if something changed.
    pub interval: Duration,
}

/// Settings of our own log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Log {
    /// The least important level written.
    pub level: LevelFilter,
    /// How lines are written.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LevelFilter::INFO, format: LogFormat::default() }
    }
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name and labels.
    pub identity: Identity,
    /// Where its GODEBUG output comes from.
    pub trace: Option<Trace>,
    /// Where its expvar is.
    pub expvar: Option<Expvar>,
    /// How its endpoints are reached.
    pub http: Http,
    /// Where its pprof is.
    pub pprof: Option<Pprof>,
    /// What it runs in.
    pub container: Option<container::Container>,
    /// Also export each P's run queue.
    pub runqueue_per_p: bool,
    /// When growth of its number of goroutines is a suspicion.
    pub leak_detector: Arc<Params>,
}

impl Service {
    /// Where its expvar is read; nowhere if a recording stands in for it.
    #[must_use]
    pub fn expvar_endpoint(&self) -> Option<&Endpoint> {
        self.expvar.as_ref().filter(|_| !self.is_recorded()).map(|expvar| &expvar.endpoint)
    }

    /// Whether a recording stands in for all that it says.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        matches!(&self.trace, Some(trace) if trace.source == TraceSource::Recording)
    }
}

/// A service's trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Where its bytes are.
    pub source: TraceSource,
    /// Longest line kept, in bytes.
    pub max_line_bytes: usize,
    /// How a file wraps them; other sources do not.
    pub wrapping: Wrapping,
}

/// Where a trace's bytes are.
#[derive(Debug, Clone, PartialEq)]
pub enum TraceSource {
    /// A file, followed; or each of several.
    File {
        /// Its path, a pattern with `*`, `?` or `[…]`, or a container's folder if it ends with `/`.
        path: PathBuf,
        /// Where reading begins when we start.
        from: StartAt,
        /// How changes are noticed.
        watch: Watch,
    },
    /// Our standard input.
    Stdin,
    /// A named pipe; writers may come and go.
    Fifo(PathBuf),
    /// What a command prints; it is started again when it ends.
    Command(Vec<String>),
    /// The log of another container of our pod, as the API server gives it.
    Kubernetes(Box<PodLog>),
    /// The stderr of the child that `exec` starts.
    Child,
    /// What `demo` replays.
    Recording,
}

impl TraceSource {
    /// Whether it is a pattern, which stands for any number of files.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        let Self::File { path, .. } = self else { return false };
        path.as_os_str().as_encoded_bytes().iter().any(|b| matches!(b, b'*' | b'?' | b'['))
    }

    /// Whether reading can go on where it was, also after our own death.
    #[must_use]
    pub const fn has_places(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Kubernetes(_))
    }

    /// The label value.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Stdin => "stdin",
            Self::Fifo(_) => "fifo",
            Self::Command(_) => "command",
            Self::Kubernetes(_) => "kubernetes",
            Self::Child => "child",
            Self::Recording => "recording",
        }
    }
}

impl std::fmt::Display for TraceSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, .. } | Self::Fifo(path) => path.display().fmt(f),
            Self::Command(words) => f.write_str(&words.join(" ")),
            Self::Kubernetes(log) => write!(f, "the log of container {}", log.container),
            Self::Stdin | Self::Child | Self::Recording => f.write_str(self.name()),
        }
    }
}

/// Where in a file that is already there we begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At its end: what was written before is not ours to count.
    #[default]
    End,
    /// At its beginning.
    Beginning,
    /// At the beginning of the oldest file of its rotation: all of it is ours.
    Oldest,
}

impl StartAt {
    /// What it is called.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Beginning => "beginning",
            Self::Oldest => "oldest",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::End, Self::Beginning, Self::Oldest].into_iter().find(|from| from.as_str() == name)
    }
}

/// How we notice that a file was written to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Watch {
    /// By inotify, and by looking at it now and then.
    #[default]
    Auto,
    /// By looking at it often.
    Poll,
}

/// A service's expvar endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Expvar {
    /// Where it is, and when it is read.
    pub endpoint: Endpoint,
    /// Also export the allocator's size classes.
    pub by_size: bool,
    /// How the service's own variables become series.
    pub variables: Arc<Rules>,
}

/// Something in a config that is not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: u64,
    /// The key, from the top: `services[0].expvar.url`.
    pub path: String,
    /// What is wrong and what would be right.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The user's own keys stand in it; a problem is one line.
        let path = self.path.replace(char::is_control, "?");
        if path.is_empty() {
            write!(f, "line {}: {}", self.line, self.what)
        } else {
            write!(f, "line {}: {path}: {}", self.line, self.what)
        }
    }
}
