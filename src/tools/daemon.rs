//! `run`: the daemon.

use std::path::PathBuf;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::tokio_runtime;
use crate::app::listen::{bind, guard, of_systemd};
use crate::app::{App, Source, Stations};
use crate::config::Config;
use crate::frame::packets::TraceLines;
use crate::runtime::signals::{asked_to_stop, reload_on_hangup};
use crate::telemetry::logs;

/// Followed files are held open, and the usual soft limit is 1,024.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If it cannot be raised, opening a file says so.
    let _kept = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Runs until SIGTERM or SIGINT. `file`: where the config came from, and what it says.
///
/// # Errors
/// It cannot listen, or the system gives no threads or signals.
pub fn run(config: Config, file: Option<(PathBuf, Config)>) -> anyhow::Result<()> {
    logs::start(config.log.format, config.log.level).context("cannot start logging")?;
    raise_file_limit();
    tokio_runtime().context("cannot start the runtime")?.block_on(async {
        let listeners =
            if config.web.systemd_socket { of_systemd()? } else { bind(&config.listen)? };
        let mut stations = Stations::new(&config, TraceLines::Keep)?;
        stations.keep_state(&config)?;
        let guard = guard(&config, &stations.metrics)?;
        let source = file.map(|(file, config)| Source { file, config, guard: guard.clone() });
        let app = App::build(config, source, stations);
        app.start().await?;
        if let Some(reload) = app.reload() {
            let stop = app.supervisor().stop().clone();
            app.supervisor().spawn("hangup", reload_on_hangup(reload, stop));
        }
        let stop = async {
            if let Err(error) = asked_to_stop().await {
                tracing::error!(%error, "cannot take signals, stopping");
            }
        };
        app.run(listeners, guard, stop).await;
        Ok(())
    })
}
