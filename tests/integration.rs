//! The program as its users have it: real Go services, a real Prometheus, real files and pipes.
//!
//! Needs what tests/toolchains.sh installs; tests/run.sh calls it first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

mod support;

mod cli;
mod config;
mod exec;
mod expvar;
mod layering;
mod prometheus;
mod samples;
mod serve;
mod signals;
mod sources;
mod stall;
mod tail;
mod torn;
