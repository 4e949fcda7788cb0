//! `run --once`: every file source to its end, then the metrics on stdout.

use std::io::{ErrorKind, Write};

use anyhow::Context;

use crate::app::Stations;
use crate::config::{Config, TraceSource};
use crate::frame::packets::TraceLines;
use crate::ingest::read::{read_to_end, read_whole};
use crate::telemetry::logs;

/// Reads files and stdin, one service after the other; endpoints are not read.
///
/// # Errors
/// A file cannot be read, or a service has a source without an end.
pub fn run(mut config: Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.services.iter().any(|service| service.trace.is_some()),
        "nothing to read: --once reads files and stdin, not endpoints"
    );
    logs::start(config.log.format, config.log.level).context("cannot start logging")?;
    for service in &mut config.services {
        service.expvar = None;
        service.pprof = None;
    }
    let stations = Stations::new(&config, TraceLines::Keep)?;
    for (service, pipeline) in config.services.iter().zip(&stations.services) {
        let name = &service.identity.service;
        let mut sink = pipeline.sink();
        let source = service.trace.as_ref().map(|trace| &trace.source);
        let is_pattern = source.is_some_and(TraceSource::is_pattern);
        match source {
            Some(TraceSource::File { path, .. }) if is_pattern => {
                anyhow::bail!(
                    "service {name}: --once reads a file, and {} stands for several; name one",
                    path.display()
                );
            }
            Some(TraceSource::File { path, .. }) => {
                read_whole(path, &mut sink)
                    .with_context(|| format!("service {name}: cannot read {}", path.display()))?;
            }
            Some(TraceSource::Stdin) => {
                read_to_end(&mut std::io::stdin().lock(), &mut sink)
                    .with_context(|| format!("service {name}: cannot read stdin"))?;
            }
            Some(other) => anyhow::bail!(
                "service {name}: --once reads files and stdin; a {} has no end",
                other.name()
            ),
            None => {}
        }
    }
    match std::io::stdout().lock().write_all(&stations.pipelines.page()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to stdout"),
    }
}
