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
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

/// One test for each Go release that the tests build services with.
macro_rules! on_each_release {
    ($check:path) => {
        on_each_release!($check: go_1_19 "1.19", go_1_21 "1.21", go_1_22 "1.22", go_1_24 "1.24", go_1_26 "1.26", go_1_27 "1.27");
    };
    ($check:path: $($name:ident $version:literal),*) => {
        $(#[test] fn $name() { $check($version); })*
    };
}

mod support;

mod alerts;
mod all_traces;
mod bad_input;
mod chart;
mod cli;
mod config;
mod container;
mod copytruncate;
mod cost;
mod crash;
mod dashboards;
mod detect;
mod discovery;
mod events;
mod exec;
mod expvar;
mod follow;
mod formats;
mod http;
mod http2;
mod https;
mod kubernetes;
mod layering;
mod leaks;
mod limits;
mod listen;
mod manifests;
mod metrics_doc;
mod otlp;
mod otlp_failures;
mod pod_log;
mod pods;
mod pprof;
mod pprof_recorded;
mod probe;
mod prometheus;
mod provisioning;
mod reload;
mod restarts;
mod samples;
mod scaling;
mod serve;
mod signals;
mod sources;
mod stack;
mod stall;
mod state;
mod survey;
mod survival;
mod systemd;
mod tail;
mod tail_model;
mod torn;
mod torn_recorded;
mod users;
mod variables;
