//! The config, read again while we run: all or nothing. What is found meanwhile is taken in here too,
//! so that one thing happens after the other.

use std::path::PathBuf;
use std::sync::Arc;

use super::census::Census;
use crate::config::{Config, file};
use crate::runtime::reload::{Asked, Reloaded};
use crate::serve::guard::Guard;
use crate::telemetry::config::ConfigTelemetry;

/// Where the config came from.
#[derive(Debug)]
pub struct Source {
    /// The config file.
    pub file: PathBuf,
    /// What it said when it was right last.
    pub config: Config,
    /// Holds what the web configuration file says.
    pub guard: Option<Arc<Guard>>,
}

/// Reads the config whenever somebody asks.
pub(super) struct Reloader {
    pub(super) file: PathBuf,
    pub(super) guard: Option<Arc<Guard>>,
    /// Has what the file said when it was right last.
    pub(super) census: Census,
    pub(super) telemetry: ConfigTelemetry,
}

impl Reloader {
    /// Until nobody can ask any more.
    pub(super) async fn run(mut self, mut asked: Asked) {
        loop {
            tokio::select! {
                answer = asked.next() => {
                    let Some(answer) = answer else { return };
                    let reloaded = self.reload().await;
                    if let Err(why) = &reloaded {
                        self.telemetry.failed(why);
                    }
                    // Who asked may have gone.
                    let _heard = answer.send(reloaded);
                }
                found = self.census.next() => self.census.take(found).await,
            }
        }
    }

    async fn reload(&mut self) -> Reloaded {
        let config = self.read()?;
        if let Some(guard) = &self.guard {
            guard.reload().await?;
        }
        let services = config.services.len();
        let change = self.census.replace(config).await;
        let change = change.map_err(|error| format!("{error:#}"))?;
        self.telemetry.reloaded(services, change.begun, change.ended);
        Ok(services)
    }

    fn read(&self) -> Result<Config, String> {
        let path = &self.file;
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let config = file::read(&text).map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            format!("{}:\n{}", path.display(), problems.join("\n"))
        })?;
        match self.census.config().needs_restart(&config).as_slice() {
            [] => Ok(config),
            keys => Err(format!("a change of {} needs a restart", keys.join(", "))),
        }
    }
}
