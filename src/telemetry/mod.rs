//! About ourselves: every event is one counter and one log line, and both are here.

pub mod build;
pub mod config;
pub mod discovery;
mod forget;
pub mod logs;
pub mod metrics;
pub mod otlp;
pub mod reason;
pub mod registrar;
pub mod service;
pub mod state;
pub mod trace;
pub mod variables;
pub mod web;
