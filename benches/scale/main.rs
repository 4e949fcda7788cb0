//! How the cost of one exporter grows with its targets: containers that trace, and `/debug/vars` on loopback, up
//! to 10,000 of each.
//!
//! `cargo bench --bench scale`; SCALE_TARGETS ("10,100"), SCALE_SOURCES ("logs,expvar") and SCALE_SECONDS change the
//! sizes. Everything that was written or answered must have been counted, and the cost of a target must be about the
//! same at each number of them.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table is what this is for")]

mod endpoints;
#[path = "../support/exporter.rs"]
mod exporter;
mod logs;
#[path = "../support/outcome.rs"]
mod outcome;
mod table;

use std::error::Error;
use std::fs;
use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use endpoints::Endpoints;
use exporter::Exporter;
use flate2::read::GzDecoder;
use logs::Node;
use outcome::Outcome;
use table::{Page, Point, Source};

/// What is refused beyond is docs/DISCOVERY.md's.
const TARGETS: &str = "10,30,100,300,1000,3000,10000";

/// Services are read so often, as Prometheus reads by default in most places.
const EVERY: Duration = Duration::from_secs(15);

/// What has to come of a start is there: first reads, first looks at logs.
const SETTLE: Duration = Duration::from_secs(6);

/// A start takes longer only if something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// Logs are read within this, once the start is over.
const SOON: Duration = Duration::from_secs(2);

const PAGES: u32 = 3;

/// As Prometheus 3 asks.
const HEADERS: &str = "Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\nAccept-Encoding: gzip\r\n";

const RECORDS: &str = "godebug_exporter_records_total";
const SERVICES: &str = "godebug_exporter_discovery_services";
const READS: &str = "godebug_exporter_scrapes_total";
const FAILED_READS: &str = "godebug_exporter_scrape_errors_total";

fn main() -> ExitCode {
    outcome::exit(run())
}

/// Whether the cost grew as it must.
fn run() -> Outcome<bool> {
    let targets = setting("SCALE_TARGETS", TARGETS);
    let sources = setting("SCALE_SOURCES", "logs,expvar");
    let window = Duration::from_secs(setting("SCALE_SECONDS", "15").parse()?);
    println!("load of the machine before: {}", fs::read_to_string("/proc/loadavg")?.trim());
    println!("{}", table::HEAD);
    let mut points = Vec::new();
    for source in [Source::Logs, Source::Expvar] {
        for targets in targets.split(',').filter(|_| sources.contains(source.name())) {
            let targets = targets.trim().parse()?;
            let point = match source {
                Source::Logs => of_logs(targets, window)?,
                // Whole rounds of reads.
                Source::Expvar => of_endpoints(targets, 2 * window.max(EVERY))?,
            };
            println!("{point}");
            points.push(point);
        }
    }
    Ok(table::judge(&points))
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_unset| default.to_owned())
}

fn of_logs(targets: usize, window: Duration) -> Outcome<Point> {
    let mut node = Node::new(targets)?;
    // From the beginning: so that what was read can be compared with what was written.
    let exporter = Exporter::start(&format!(
        "discovery: [{{kubernetes: {{logs: '{}', from: beginning, api: false}}}}]\n",
        node.folder().display()
    ))?;
    let began = Instant::now();
    let lag = || {
        let now = Instant::now();
        let [read] = exporter.sums([RECORDS])?;
        Ok::<_, Box<dyn Error>>(node.lag(read, now))
    };
    until("all logs are read", || {
        Ok(found(&exporter, targets)? && lag()?.is_some_and(|lag| lag < SOON))
    })?;
    let ready = began.elapsed();
    let (share, page) = steady(&exporter, window)?;
    let lag = lag()?.unwrap_or(Duration::MAX);
    let written = node.stop()?;
    until("what was written is counted", || Ok(exporter.sums([RECORDS])? >= [written]))?;
    let exact = exporter.sums([RECORDS])? == [written];
    Point::of(Source::Logs, targets, &exporter, (ready, share, page, lag, exact))
}

fn of_endpoints(targets: usize, window: Duration) -> Outcome<Point> {
    let services = Endpoints::new(targets)?;
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("targets.json");
    fs::write(&list, services.targets(targets))?;
    let exporter = Exporter::start(&format!(
        "discovery: [{{file_sd_configs: [{{files: ['{}']}}], service: {{name: '${{app}}', expvar: \
         {{url: 'http://${{__address__}}/${{app}}/debug/vars', interval: {}s}}}}}}]\n",
        list.display(),
        EVERY.as_secs()
    ))?;
    let began = Instant::now();
    until("all services are read", || {
        Ok(found(&exporter, targets)? && services.answered() >= u64::try_from(targets)?)
    })?;
    let ready = began.elapsed();
    services.begin();
    let (share, page) = steady(&exporter, window)?;
    // How much later than it should have been a service was read.
    let lag = services.longest().saturating_sub(EVERY);
    let [failed] = exporter.sums([FAILED_READS])?;
    services.mute();
    until("what was answered is counted", || {
        let [all, failed] = exporter.sums([READS, FAILED_READS])?;
        Ok(all - failed == services.answered())
    })?;
    Point::of(Source::Expvar, targets, &exporter, (ready, share, page, lag, failed == 0))
}

fn found(exporter: &Exporter, targets: usize) -> Outcome<bool> {
    Ok(exporter.sums([SERVICES])? == [u64::try_from(targets)?])
}

fn until(what: &str, is_so: impl Fn() -> Outcome<bool>) -> Outcome<()> {
    let began = Instant::now();
    loop {
        let looks = Instant::now();
        if is_so()? {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("that took too long: {what}").into());
        }
        // To look at thousands of services is work too.
        std::thread::sleep((4 * looks.elapsed()).max(Duration::from_millis(500)));
    }
}

/// The share of a core that it takes while nobody asks, and what a page costs beyond that.
fn steady(exporter: &Exporter, window: Duration) -> Outcome<(f64, Page)> {
    std::thread::sleep(SETTLE);
    let (began, cpu) = (Instant::now(), exporter.cpu_seconds()?);
    std::thread::sleep(window);
    let share = (exporter.cpu_seconds()? - cpu) / began.elapsed().as_secs_f64();
    let (began, cpu) = (Instant::now(), exporter.cpu_seconds()?);
    let mut packed = Vec::new();
    for _ in 0..PAGES {
        packed = exporter.get("/metrics", HEADERS)?;
    }
    let took = began.elapsed().as_secs_f64();
    let cost = exporter.cpu_seconds()? - cpu - share * took;
    let mut text = Vec::new();
    GzDecoder::new(&*packed).read_to_end(&mut text)?;
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).count();
    let (pages, bytes, sent) = (f64::from(PAGES), text.len(), packed.len());
    let page = Page { sent, seconds: took / pages, cpu: cost.max(0.0) / pages, bytes, lines };
    Ok((share, page))
}
