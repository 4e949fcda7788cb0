//! The HTTP client for the endpoints of services.
//!
//! `client.rs` reads one endpoint once: with what `files.rs` and `tls.rs` prepare of the files that
//! the config names, over what `connect.rs` opens, from a body that `body.rs` bounds; `error.rs`
//! says why not. Who reads when is in `scrape.rs`, one folder up.

pub mod client;
pub mod error;

mod body;
mod connect;
mod files;
pub mod stream;
mod tls;
