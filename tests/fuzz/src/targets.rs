//! The table of targets.

use std::sync::OnceLock;

use godebug_exporter::parse::{detail, event, gc, init, pacer, scan, scavenge, sched};

use crate::grammar::grammar;
use crate::{config, cri, expvar, line, lines, packets, pipeline, pprof, seeds, torn, variables};

/// One thing to fuzz.
pub struct Target {
    pub name: &'static str,
    /// Panics if the code under test is wrong.
    pub run: fn(&[u8]),
    /// Inputs made of real output, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds }
}

/// All of them. A grammar needs no more than its line here.
const TARGETS: &[Target] = &[
    target("lines", lines::run, lines::seeds),
    target("cri", cri::run, cri::seeds),
    target("packets", packets::run, packets::seeds),
    target("sched", grammar!(sched::line), seeds::trace_lines),
    target("detail", grammar!(detail::proc, detail::thread, detail::goroutine), seeds::trace_lines),
    target("gc", grammar!(gc::line), seeds::trace_lines),
    target("pacer", grammar!(pacer::line), seeds::trace_lines),
    target("scavenge", grammar!(scavenge::line), seeds::trace_lines),
    target("init", grammar!(init::line), seeds::trace_lines),
    target("scan", grammar!(scan::line), seeds::trace_lines),
    target("finalizers", grammar!(event::queue), seeds::trace_lines),
    target("line", line::run, seeds::trace_lines),
    target("torn", torn::run, torn::seeds),
    target("expvar", expvar::run, seeds::expvar_bodies),
    target("pprof", pprof::run, pprof::seeds),
    target("variables", variables::run, variables::seeds),
    target("config", config::run, seeds::configs),
    target("pipeline", pipeline::run, pipeline::seeds),
];

static CHOSEN: OnceLock<&Target> = OnceLock::new();

/// Reads `FUZZ_TARGET`; `list` prints the names. With `FUZZ_SEEDS` it writes the target's seeds
/// into that folder and ends.
pub fn choose() {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names the target, or is list");
    if name == "list" {
        for target in TARGETS {
            println!("{}", target.name);
        }
        std::process::exit(0);
    }
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("no target {name}; FUZZ_TARGET=list shows them"));
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        seeds::write(folder.as_ref(), &(target.seeds)());
        std::process::exit(0);
    }
    let _first = CHOSEN.set(target);
}

/// One execution.
pub fn run(data: &[u8]) {
    (CHOSEN.get().expect("chosen at the start").run)(data);
}
