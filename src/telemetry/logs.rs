//! Our own log, on stderr: logfmt for people, JSON for machines.

use std::io::stderr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::model::log::LogFormat;

/// Starts logging to stderr.
///
/// # Errors
/// Logging was started before.
pub fn start(format: LogFormat, level: LevelFilter) -> Result<(), TryInitError> {
    start_on(format, level, stderr)
}

/// Starts logging to where `writer` writes.
///
/// # Errors
/// Logging was started before.
pub fn start_on(
    format: LogFormat,
    level: LevelFilter,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry().with(level);
    match format {
        LogFormat::Logfmt => {
            let layer = tracing_logfmt::builder()
                .with_target(false)
                .with_span_name(false)
                .with_span_path(false)
                .layer()
                .with_writer(writer);
            registry.with(layer).try_init()
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_target(false)
                .with_writer(writer);
            registry.with(layer).try_init()
        }
    }
}
