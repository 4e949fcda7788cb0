//! Speed and memory of `/metrics` with 1,000 services, in every form and compression.
//!
//! `cargo bench --bench pages`; PAGES_SERVICES and PAGES_ROUNDS change the sizes. Times contain the
//! snapshots. Memory is what the process needs at most while it makes its first page, beyond what it had after a
//! scrape that wants nothing; so each line is of a process of its own.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table is what this is for")]

#[path = "../support/outcome.rs"]
mod outcome;

use std::io::Write;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::{Compression, write::GzEncoder};
use godebug_exporter::config::file;
use godebug_exporter::frame::packets::TraceLines;
use godebug_exporter::model::exposition::{Exposition, Format, Wanted};
use godebug_exporter::model::sink::TraceSink;
use godebug_exporter::pipeline::{Pipeline, services::Pipelines};
use godebug_exporter::telemetry::metrics::Metrics;
use outcome::Outcome;

const TRACE: &[u8] = include_bytes!("../../tests/fixtures/go1.27-trace.log");
const VARS: &[u8] = include_bytes!("../../tests/fixtures/samples/go1.27-debug-vars.json");

/// What must hold, for 150,000 series.
const LIMIT: Duration = Duration::from_millis(100);
const LIMIT_SERIES: f64 = 150_000.0;
const LIMIT_MEMORY: f64 = 2.0;

/// As the server cuts pages up to compress them.
const PIECE_BYTES: usize = 64 * 1024;

/// The form and compression that a process is to measure; none: it starts one for each.
const ONE: &str = "PAGES_ONE";

const FORMS: [(&str, Format); 3] =
    [("text", Format::Text), ("OpenMetrics", Format::OpenMetrics), ("protobuf", Format::Protobuf)];

/// Takes pieces of a page.
type Take<'a> = &'a mut dyn FnMut(&mut Vec<u8>);

/// How a page is compressed, with its level.
#[derive(Debug, Clone, Copy)]
enum Coding {
    Plain,
    Gzip(u32),
    Zstd(i32),
}

const CODINGS: [Coding; 7] = [
    Coding::Plain,
    Coding::Gzip(1),
    Coding::Gzip(3),
    Coding::Gzip(6),
    Coding::Zstd(-1),
    Coding::Zstd(1),
    Coding::Zstd(3),
];

fn main() -> ExitCode {
    outcome::exit(run())
}

/// Whether every plain page was made as it must be.
fn run() -> Outcome<bool> {
    let all = FORMS.iter().flat_map(|form| CODINGS.map(|coding| (*form, coding)));
    if let Some(number) = std::env::var(ONE).ok().and_then(|text| text.parse().ok()) {
        let ((name, format), coding) = all.into_iter().nth(number).ok_or("no such number")?;
        return one(name, format, coding);
    }
    println!("form, compression: size; best and median time, of 150,000 series; memory");
    let mut good = true;
    for number in 0..all.count() {
        let this = std::env::current_exe()?;
        let status = Command::new(this).env(ONE, number.to_string()).status()?;
        good &= status.success();
    }
    Ok(good)
}

fn one(name: &str, format: Format, coding: Coding) -> Outcome<bool> {
    let pipelines = pipelines(setting("PAGES_SERVICES", 1000))?;
    // What the first scrape leaves for good, the counters of each service, is no page's.
    let nothing = Wanted { names: vec!["nothing".into()], ..Wanted::default() };
    pipelines.write_page(&nothing, &mut |_| {})?;
    let page = measure(setting("PAGES_ROUNDS", 15), &mut || match coding {
        Coding::Plain => plain(&pipelines, format),
        Coding::Gzip(level) => gzip(&pipelines, format, level),
        Coding::Zstd(level) => zstd(&pipelines, format, level),
    })?;
    let text = pipelines.page();
    let series = text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#")).count();
    #[expect(clippy::cast_precision_loss, reason = "a count of lines, a size")]
    let (share, plain) =
        (series as f64 / LIMIT_SERIES, write(&pipelines, format, &mut |_| {})?.len() as f64);
    let (best, median) = (page.best.div_f64(share), page.median.div_f64(share));
    let memory = page.memory / plain;
    println!(
        "{name:11} {:8} {:5.1} MB {:6.1} ms {:6.1} ms ({series} lines: {:.1} ms, {:.1} ms), memory {:.1} MB, {memory:.2} × the plain page",
        format!("{coding:?}").to_lowercase(),
        page.bytes / 1e6,
        millis(best),
        millis(median),
        millis(page.best),
        millis(page.median),
        page.memory / 1e6,
    );
    Ok(!matches!(coding, Coding::Plain) || best <= LIMIT && memory <= LIMIT_MEMORY)
}

fn pipelines(services: usize) -> Outcome<Pipelines> {
    let mut text = "services:\n".to_owned();
    for n in 0..services {
        text += &format!(
            "- {{name: service-{n}, labels: {{team: payments}}, trace: {{file: /nowhere/{n}}}, expvar: {{url: 'http://h/'}}}}\n"
        );
    }
    let config = file::read(&text).map_err(|problems| format!("{problems:?}"))?;
    let metrics = Arc::new(Metrics::new()?);
    let one = |service| Pipeline::new(service, Arc::clone(&metrics), TraceLines::Keep);
    let services: Vec<Arc<Pipeline>> = config.services.iter().map(one).collect();
    for service in &services {
        service.sink().bytes(TRACE);
        service.expvar(VARS)?;
    }
    Ok(Pipelines::new(services, metrics, Exposition::default()))
}

fn write(pipelines: &Pipelines, format: Format, take: Take<'_>) -> Outcome<Vec<u8>> {
    let wanted = Wanted { format, ..Wanted::default() };
    Ok(pipelines.write_page(&wanted, &mut |written: &mut Vec<u8>| take(written))?)
}

/// As the server has it: in the pieces in which it was written.
fn plain(pipelines: &Pipelines, format: Format) -> Outcome<usize> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let rest = write(pipelines, format, &mut |written| {
        if written.len() >= PIECE_BYTES {
            pieces.push(std::mem::take(written));
        }
    })?;
    Ok(pieces.iter().map(Vec::len).sum::<usize>() + rest.len())
}

fn gzip(pipelines: &Pipelines, format: Format, level: u32) -> Outcome<usize> {
    compressed(pipelines, format, GzEncoder::new(Vec::new(), Compression::new(level)), |e| {
        e.finish()
    })
}

fn zstd(pipelines: &Pipelines, format: Format, level: i32) -> Outcome<usize> {
    let encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
    compressed(pipelines, format, encoder, |encoder| encoder.finish())
}

fn compressed<W: Write>(
    pipelines: &Pipelines,
    format: Format,
    mut encoder: W,
    finish: impl FnOnce(W) -> std::io::Result<Vec<u8>>,
) -> Outcome<usize> {
    let mut failed = None;
    let rest = write(pipelines, format, &mut |written| {
        if written.len() >= PIECE_BYTES {
            failed = encoder.write_all(written).err();
            written.clear();
        }
    })?;
    encoder.write_all(&rest)?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(finish(encoder)?.len()),
    }
}

struct Measured {
    best: Duration,
    median: Duration,
    bytes: f64,
    memory: f64,
}

#[expect(clippy::cast_precision_loss, reason = "sizes of pages")]
fn measure(rounds: usize, make: &mut dyn FnMut() -> Outcome<usize>) -> Outcome<Measured> {
    let before = memory("VmRSS:")?;
    std::fs::write("/proc/self/clear_refs", "5")?;
    let bytes = make()? as f64;
    let memory = memory("VmHWM:")?.saturating_sub(before) as f64;
    let mut times = Vec::new();
    for _ in 0..rounds.max(1) {
        let started = Instant::now();
        make()?;
        times.push(started.elapsed());
    }
    times.sort();
    let at = |place: usize| times.get(place).copied().unwrap_or_default();
    Ok(Measured { best: at(0), median: at(times.len() / 2), bytes, memory })
}

/// A line of /proc/self/status, in bytes.
fn memory(key: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).ok_or("no such line")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
