//! Our standard input, on a thread of its own: it may be a terminal or a file, which cannot be
//! waited for in any other way.

use std::sync::Arc;

use super::read::read_to_end;
use crate::model::sink::TraceSink;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::SourceTelemetry;

/// Reads to the end of stdin.
pub fn read(sink: &mut dyn TraceSink, telemetry: &Arc<SourceTelemetry>) {
    telemetry.up();
    match read_to_end(&mut std::io::stdin().lock(), sink) {
        Ok(()) => telemetry.ended(),
        Err(error) => telemetry.failed(Reason::of_io(&error), &error),
    }
}
