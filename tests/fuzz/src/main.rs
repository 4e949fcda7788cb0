//! Fuzz targets of the pure stations, all in one program; the variable `FUZZ_TARGET` names the one
//! to run. `run.sh` builds it and runs it; `README.md` tells how to add one.
#![no_main]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a target reports what it finds by panicking"
)]

mod config;
mod cri;
mod expvar;
mod grammar;
mod input;
mod line;
mod lines;
mod packets;
mod page;
mod pipeline;
mod pprof;
mod recording;
mod seeds;
mod targets;
mod torn;
mod variables;

libfuzzer_sys::fuzz_target!(
    init: targets::choose(),
    |data: &[u8]| targets::run(data)
);
