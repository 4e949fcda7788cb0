//! Speed and memory of `/metrics` with 1,000 services, in every form and compression.
//!
//! `cargo bench --bench pages`; PAGES_SERVICES and PAGES_ROUNDS change the sizes. Times are the best of
//! several rounds, and contain the snapshots. Memory is what the process needs at most while it makes
//! a page, beyond what it had before.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table is what this is for")]

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::{Compression, write::GzEncoder};
use godebug_exporter::config::file;
use godebug_exporter::frame::packets::TraceLines;
use godebug_exporter::model::exposition::{Exposition, Format, Wanted};
use godebug_exporter::model::sink::TraceSink;
use godebug_exporter::pipeline::{Pipeline, services::Pipelines};
use godebug_exporter::telemetry::metrics::Metrics;

const TRACE: &[u8] = include_bytes!("../../tests/fixtures/go1.27-trace.log");
const VARS: &[u8] = include_bytes!("../../tests/fixtures/samples/go1.27-debug-vars.json");

/// What must hold, for 150,000 series.
const LIMIT: Duration = Duration::from_millis(100);
const LIMIT_SERIES: f64 = 150_000.0;
const LIMIT_MEMORY: f64 = 2.0;

/// As the server cuts pages up to compress them.
const PIECE_BYTES: usize = 64 * 1024;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Takes pieces of a page.
type Take<'a> = &'a mut dyn FnMut(&mut Vec<u8>);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<bool> {
    let pipelines = pipelines(setting("PAGES_SERVICES", 1000))?;
    let rounds = setting("PAGES_ROUNDS", 9);
    let text = pipelines.page();
    let series = text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#")).count();
    #[expect(clippy::cast_precision_loss, reason = "a count of lines")]
    let share = series as f64 / LIMIT_SERIES;
    println!("{series} lines of series; times for 150,000 of them in brackets");
    let mut good = true;
    for (name, format) in [
        ("text", Format::Text),
        ("OpenMetrics", Format::OpenMetrics),
        ("protobuf", Format::Protobuf),
    ] {
        let page = measure(rounds, &mut || write(&pipelines, format, &mut |_| {}))?;
        let time = page.best.div_f64(share);
        let memory = page.memory / page.bytes;
        good &= time <= LIMIT && memory <= LIMIT_MEMORY;
        println!(
            "{name:12} {:6.1} MB {:6.1} ms ({:.1} ms), memory {memory:.2} × the page",
            page.bytes / 1e6,
            millis(page.best),
            millis(time)
        );
        for level in [1, 3, 6] {
            let page = measure(3, &mut || gzip(&pipelines, format, level))?;
            println!("  gzip {level}     {:6.1} MB {:6.1} ms", page.bytes / 1e6, millis(page.best));
        }
        for level in [-1, 1, 3] {
            let page = measure(3, &mut || zstd(&pipelines, format, level))?;
            println!(
                "  zstd {level:2}    {:6.1} MB {:6.1} ms",
                page.bytes / 1e6,
                millis(page.best)
            );
        }
    }
    Ok(good)
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

fn gzip(pipelines: &Pipelines, format: Format, level: u32) -> Outcome<Vec<u8>> {
    compressed(pipelines, format, GzEncoder::new(Vec::new(), Compression::new(level)), |e| {
        e.finish()
    })
}

fn zstd(pipelines: &Pipelines, format: Format, level: i32) -> Outcome<Vec<u8>> {
    let encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
    compressed(pipelines, format, encoder, |encoder| encoder.finish())
}

fn compressed<W: Write>(
    pipelines: &Pipelines,
    format: Format,
    mut encoder: W,
    finish: impl FnOnce(W) -> std::io::Result<Vec<u8>>,
) -> Outcome<Vec<u8>> {
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
        None => Ok(finish(encoder)?),
    }
}

struct Measured {
    best: Duration,
    bytes: f64,
    memory: f64,
}

#[expect(clippy::cast_precision_loss, reason = "sizes of pages")]
fn measure(rounds: usize, make: &mut dyn FnMut() -> Outcome<Vec<u8>>) -> Outcome<Measured> {
    let mut best = Duration::MAX;
    let before = memory("VmRSS:")?;
    std::fs::write("/proc/self/clear_refs", "5")?;
    let mut bytes = make()?.len();
    let memory = memory("VmHWM:")?.saturating_sub(before) as f64;
    for _ in 0..rounds {
        let started = Instant::now();
        bytes = make()?.len();
        best = best.min(started.elapsed());
    }
    Ok(Measured { best, bytes: bytes as f64, memory })
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
