//! The HTTP client for the endpoints of services.
//!
//! `client.rs` reads one endpoint once, `error.rs` says why it could not. Who reads when is in
//! `scrape.rs`, one folder up.

pub mod client;
pub mod error;
