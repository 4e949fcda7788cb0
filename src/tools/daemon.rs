//! `run`: the daemon.

use anyhow::Context;

use super::tokio_runtime;
use crate::app::{App, Stations, bind};
use crate::config::Config;
use crate::frame::packets::TraceLines;
use crate::runtime::signals::asked_to_stop;
use crate::telemetry::logs;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot listen, or the system gives no threads or signals.
pub fn run(config: Config) -> anyhow::Result<()> {
    logs::start(config.log.format, config.log.level).context("cannot start logging")?;
    tokio_runtime().context("cannot start the runtime")?.block_on(async {
        let listener = bind(config.listen).await?;
        let stations = Stations::new(&config, TraceLines::Keep)?;
        let app = App::build(config, stations);
        app.start_watch();
        app.start_endpoints();
        app.start_traces()?;
        let stop = async {
            if let Err(error) = asked_to_stop().await {
                tracing::error!(%error, "cannot take signals, stopping");
            }
        };
        app.run(listener, stop).await;
        Ok(())
    })
}
