//! What an agent costs a node: 250 containers that log 2,000 lines a second together, 30 of them Go services
//! that trace every second.
//!
//! `cargo bench --bench agent`; AGENT_SECONDS, AGENT_CONTAINERS, AGENT_SERVICES and AGENT_LINES change the
//! sizes. The page is read every 15 s, as Prometheus does. Everything that was traced must have been read.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table is what this is for")]

#[path = "../support/exporter.rs"]
mod exporter;
#[path = "../support/outcome.rs"]
mod outcome;

use std::fs::{self, File};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use exporter::Exporter;
use outcome::Outcome;
use tempfile::TempDir;

/// What must hold.
const LIMIT_KIB: u32 = 32 * 1024;
const LIMIT_CPU: f64 = 0.02;

/// How often containers write, each its share.
const TICK: Duration = Duration::from_millis(100);

const SCRAPE_EVERY: Duration = Duration::from_secs(15);

/// Time to be found in, before the measure begins.
const WARM_UP: Duration = Duration::from_secs(20);

const TIME: &str = "2026-11-21T10:00:00.123456789Z";

/// How much of everything.
struct Sizes {
    containers: usize,
    services: usize,
    lines: usize,
    measure: Duration,
}

/// A node's /var/log/pods.
struct Node {
    folder: TempDir,
    logs: Vec<File>,
    lines: usize,
    traced: u64,
}

fn main() -> ExitCode {
    outcome::exit(run())
}

/// Whether the agent kept to its limits.
fn run() -> Outcome<bool> {
    let sizes = Sizes {
        containers: size("AGENT_CONTAINERS", 250)?,
        services: size("AGENT_SERVICES", 30)?,
        lines: size("AGENT_LINES", 2000)?,
        measure: Duration::from_secs(u64::try_from(size("AGENT_SECONDS", 60)?)?),
    };
    let mut node = Node::new(sizes.containers)?;
    // From the beginning: so that what was read can be compared with what was written.
    let agent = Exporter::start(&format!(
        "discovery: [{{kubernetes: {{logs: '{}', from: beginning, api: false}}}}]\n",
        node.folder.path().display()
    ))?;
    let began = Instant::now();
    let mut tick = 0_u32;
    let mut scraped = Instant::now();
    let mut page = Vec::new();
    let mut from = None;
    while began.elapsed() < WARM_UP + sizes.measure {
        node.write(tick, &sizes)?;
        tick += 1;
        if from.is_none() && began.elapsed() >= WARM_UP {
            from = Some((Instant::now(), agent.cpu_seconds()?));
        }
        if scraped.elapsed() >= SCRAPE_EVERY {
            scraped = Instant::now();
            page = agent.get("/metrics", "")?;
        }
        std::thread::sleep((TICK * tick).saturating_sub(began.elapsed()));
    }
    let (since, cpu) = from.ok_or("nothing was measured")?;
    let share = (agent.cpu_seconds()? - cpu) / since.elapsed().as_secs_f64();
    let (now, most) = (agent.status("VmRSS")?, agent.status("VmHWM")?);
    let read = reads(&agent, node.traced)?;
    let page = String::from_utf8(page)?;
    let series = page.lines().filter(|line| !line.starts_with('#')).count();
    println!(
        "{} containers, {} of them services, {} lines/s: {:.2} % of a core, {:.1} MiB resident ({:.1} at most), page of {series} series, {read} of {} records",
        sizes.containers,
        sizes.services,
        sizes.lines,
        share * 100.0,
        kib(now),
        kib(most),
        node.traced
    );
    Ok(share <= LIMIT_CPU && most <= LIMIT_KIB && read == node.traced)
}

fn size(name: &str, default: usize) -> Outcome<usize> {
    Ok(std::env::var(name).ok().map_or(Ok(default), |text| text.parse())?)
}

fn kib(kib: u32) -> f64 {
    f64::from(kib) / 1024.0
}

/// Waits until so many records were read, for a while; gives how many were.
fn reads(agent: &Exporter, expected: u64) -> Outcome<u64> {
    let began = Instant::now();
    loop {
        let [read] = agent.sums(["godebug_exporter_records_total"])?;
        if read == expected || began.elapsed() > Duration::from_secs(10) {
            return Ok(read);
        }
    }
}

impl Node {
    fn new(containers: usize) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let mut logs = Vec::new();
        for n in 0..containers {
            let uid = format!("{n:08x}-3a0b-4f6e-9a55-0f0f6f1f2f3f");
            let pod = format!("shop_service-{n}-7d9f8b6c5d-x2x4z_{uid}");
            let container = folder.path().join(pod).join("app");
            fs::create_dir_all(&container)?;
            logs.push(File::create(container.join("0.log"))?);
        }
        Ok(Self { folder, logs, lines: 0, traced: 0 })
    }

    /// What all containers write in one tick: each entry by one write, as containerd does.
    fn write(&mut self, tick: u32, sizes: &Sizes) -> Outcome<()> {
        let ticks = usize::try_from(TICK.as_millis())?;
        for _ in 0..sizes.lines * ticks / 1000 {
            self.lines += 1;
            let n = self.lines;
            let line = format!(
                "{TIME} stdout F {{\"level\":\"info\",\"msg\":\"request handled\",\"id\":{n},\"path\":\"/api/v1/orders\",\"took_ms\":{},\"user\":\"u-{}\"}}\n",
                n % 97,
                n % 1009
            );
            let at = n % self.logs.len();
            if let Some(log) = self.logs.get_mut(at) {
                log.write_all(line.as_bytes())?;
            }
        }
        for n in 0..sizes.services {
            self.trace(n, tick)?;
        }
        Ok(())
    }

    /// A sample each second, a cycle every two.
    fn trace(&mut self, n: usize, tick: u32) -> Outcome<()> {
        let Some(log) = self.logs.get_mut(n) else { return Ok(()) };
        let phase = tick + u32::try_from(n)?;
        let ms = u64::from(tick + 1) * u64::try_from(TICK.as_millis())?;
        if phase.is_multiple_of(10) {
            let line = format!(
                "{TIME} stderr F SCHED {ms}ms: gomaxprocs=4 idleprocs=3 threads=9 spinningthreads=0 needspinning=0 idlethreads=4 runqueue=0 [ 0 1 0 0 ] schedticks=[ {} 7 9 12 ]\n",
                ms / 10
            );
            log.write_all(line.as_bytes())?;
            self.traced += 1;
        }
        if phase.is_multiple_of(20) {
            let line = format!(
                "{TIME} stderr F gc {} @{}.{:03}s 0%: 0.031+0.51+0.048 ms clock, 0.12+0.12/0.26/0+0.19 ms cpu, 4->4->1 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 4 P\n",
                tick / 20 + 1,
                ms / 1000,
                ms % 1000
            );
            log.write_all(line.as_bytes())?;
            self.traced += 1;
        }
        Ok(())
    }
}
