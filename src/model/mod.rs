//! The plain types that cross a border between stations; they know nothing else.

pub mod bytes;
pub mod capability;
pub mod container;
pub mod crash;
pub mod exposition;
pub mod goroutines;
pub mod json;
pub mod leak;
pub mod log;
pub mod memstats;
pub mod metric;
pub mod otlp;
pub mod position;
pub mod record;
pub mod release;
pub mod rfc3339;
pub mod service;
pub mod sink;
pub mod snapshot;
pub mod stack;
pub mod stats;
pub mod target;
pub mod variable;
pub mod wrapping;
