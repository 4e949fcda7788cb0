//! Our own log, on stderr: logfmt for people, JSON for machines.

use std::io::stderr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::model::log::LogFormat;

/// Starts logging.
///
/// # Errors
/// Logging was started before.
pub fn start(format: LogFormat, level: LevelFilter) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry().with(level);
    match format {
        LogFormat::Logfmt => {
            let layer = tracing_logfmt::builder()
                .with_target(false)
                .with_span_name(false)
                .layer()
                .with_writer(stderr);
            registry.with(layer).try_init()
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_target(false)
                .with_writer(stderr);
            registry.with(layer).try_init()
        }
    }
}
