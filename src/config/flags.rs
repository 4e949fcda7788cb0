//! One service described by flags alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::endpoint::EXPVAR;
use super::file::file_or_pattern;
use super::{
    Config, Expvar, LINE_MAX_BYTES, LISTEN, Log, Service, StartAt, Trace, TraceSource, Watch,
};
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
    /// The service is the child of `exec`.
    pub child: bool,
    /// `--expvar`
    pub expvar: Option<String>,
}

impl Flags {
    /// Whether any of them says something of a service.
    #[must_use]
    pub fn describe_a_service(&self) -> bool {
        self.service.is_some()
            || self.file.is_some()
            || self.stdin
            || self.fifo.is_some()
            || self.expvar.is_some()
    }

    /// The settings, with defaults for the rest.
    ///
    /// # Errors
    /// The flag that is wrong, and what would be right.
    pub fn config(self, default_name: Option<&str>) -> Result<Config, String> {
        let from = if self.from_beginning { StartAt::Beginning } else { StartAt::End };
        let file = self.file.as_deref().and_then(Path::to_str);
        if let Some(what) = file.and_then(|file| file_or_pattern(file).err()) {
            return Err(format!("--file: {what}"));
        }
        let mut sources = Vec::new();
        sources.extend(self.file.map(|path| TraceSource::File {
            path,
            from,
            watch: Watch::default(),
        }));
        sources.extend(self.fifo.map(TraceSource::Fifo));
        sources.extend(self.stdin.then_some(TraceSource::Stdin));
        sources.extend(self.child.then_some(TraceSource::Child));
        if sources.len() > 1 {
            return Err(
                "give only one of --file, --fifo, --stdin; a config file takes several services"
                    .into(),
            );
        }
        let trace = sources.into_iter().next().map(|source| Trace {
            source,
            max_line_bytes: LINE_MAX_BYTES,
            wrapping: Wrapping::Auto,
        });
        let expvar = self.expvar.map(|url| expvar(&url)).transpose()?;
        if trace.is_none() && expvar.is_none() {
            return Err(
                "nothing to read: give --config FILE, or one of --file, --fifo, --stdin, --expvar"
                    .into(),
            );
        }
        let name = self
            .service
            .as_deref()
            .or(default_name)
            .ok_or("--service NAME is missing; it becomes the label service of every series")?;
        let service = ServiceName::new(name).map_err(|what| format!("--service: {what}"))?;
        let identity = Identity { service, log: None, labels: Vec::new() };
        let service = Service {
            identity,
            trace,
            expvar,
            runqueue_per_p: false,
            leak_detector: Arc::default(),
        };
        Ok(Config { listen: LISTEN, log: Log::default(), services: vec![service], state: None })
    }
}

fn expvar(url: &str) -> Result<Expvar, String> {
    let url = EXPVAR.url(url).map_err(|what| format!("--expvar: {what}"))?;
    Ok(Expvar { endpoint: EXPVAR.at(url), by_size: false })
}
