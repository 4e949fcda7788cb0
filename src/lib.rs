//! godebug-exporter: what the Go runtime says about itself, as metrics, from outside the process.
//!
//! # The map
//!
//! Data passes the stations in this order, and a station knows only what stands in its row
//! (tests/layering.rs holds it; ARCHITECTURE.md tells why):
//!
//! ```text
//! ingest → frame → parse → aggregate → export → serve, push
//!   bytes   lines  records   state     bytes    HTTP, OTLP
//! ```
//!
//! - [`config`]: what the user wrote → settings that are already valid
//! - [`model`]: the plain types that cross a border
//! - [`ingest`]: files, pipes, the child of `exec`, containers' logs, HTTP endpoints, cgroups
//! - [`discover`]: files, HTTP, DNS and the containers of a node → the services there are
//! - [`frame`]: bytes → lines; packets → trace lines and the service's own text (pure)
//! - [`parse`]: lines and bodies → records (pure)
//! - [`aggregate`]: records → the state of a service → a snapshot; the catalogue of metrics (pure)
//! - [`export`]: a snapshot → the page (pure)
//! - [`pipeline`]: one service's pure stations in a row, behind one lock
//! - [`state`]: what outlives us; [`keeper`]: when it is saved
//! - [`probe`]: `/probe`, one read for whoever asks; [`survey`]: what each service offers
//! - [`serve`]: the HTTP server; [`push`]: the OTLP client
//! - [`runtime`]: tasks, signals, backoff, readiness
//! - [`telemetry`]: about ourselves
//! - [`app`]: puts it all together; [`tools`]: the commands; [`cli`]: their flags
//!
//! What always holds: no input makes a pure station panic; every buffer has a bound; a service
//! that fails never disturbs another; a value that is not certain is not exported.

pub mod config;
pub mod model;

pub mod ingest;

pub mod discover;

pub mod frame;

pub mod parse;

pub mod aggregate;

pub mod export;

pub mod state;

pub mod pipeline;

pub mod keeper;

pub mod survey;

pub mod probe;

pub mod serve;

pub mod push;

pub mod runtime;

pub mod telemetry;

pub mod app;
pub mod cli;
pub mod tools;
