//! A real Go service's log through `exec`, beside the same service's through a plain pipe: lines
//! a second and CPU, at 100,000 lines a second and at as many as it can write.
//!
//! `cargo bench --bench exec`; EXEC_SECONDS and EXEC_ROUNDS change how long. Needs `go`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table is what this is for")]

#[path = "../support/outcome.rs"]
mod outcome;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use outcome::Outcome;

const EXPORTER: &str = env!("CARGO_BIN_EXE_godebug-exporter");

/// Share of the plain pipe's lines that may be missing at [`RATE`].
const LOSS_MAX: f64 = 0.05;

const RATE: &str = "100000";

/// The clock ticks of /proc: 100 a second on every architecture that Go runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one run gave.
#[derive(Clone, Copy, Default)]
struct Run {
    /// Lines that the service says it wrote, a second.
    written: f64,
    /// Share of them that arrived.
    arrived: f64,
    /// Cores used by everything that ran.
    cores: f64,
}

fn main() -> ExitCode {
    outcome::exit(bench())
}

fn bench() -> Outcome<bool> {
    let dir = tempfile::tempdir()?;
    let service = dir.path().join("service");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&service)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go/service"))
        .status();
    if !built
        .map_err(|error| format!("cannot run go, which builds the service: {error}"))?
        .success()
    {
        return Err("the service does not build".into());
    }
    let (plain, exec) = compare(&service, RATE, "100,000 lines/s")?;
    let share = exec.written * exec.arrived / plain.written;
    let good = share >= 1.0 - LOSS_MAX && exec.arrived >= 1.0;
    let word = if good { "PASS" } else { "BELOW" };
    println!("  {word}: {:.1} % of the plain pipe's lines", share * 100.0);
    let (plain, exec) = compare(&service, "-1", "unthrottled")?;
    println!("  {:.2} x the plain pipe's lines", exec.written * exec.arrived / plain.written);
    Ok(good)
}

/// Runs both in turn, and gives the best of each.
fn compare(service: &Path, rate: &str, name: &str) -> Outcome<(Run, Run)> {
    let (rounds, seconds) = (setting("EXEC_ROUNDS", 3), setting("EXEC_SECONDS", 5));
    let (mut plain, mut exec) = (Run::default(), Run::default());
    let better = |a: Run, b: Run| if b.written * b.arrived > a.written * a.arrived { b } else { a };
    for _ in 0..rounds {
        let mut command = Command::new(service);
        command.env("GODEBUG", "gctrace=1,schedtrace=1000");
        plain = better(plain, measure(command, rate, seconds)?);
        let mut command = Command::new(EXPORTER);
        command.args(["exec", "--log-level", "error", "--listen", "127.0.0.1:0", "--"]);
        command.arg(service);
        exec = better(exec, measure(command, rate, seconds)?);
    }
    println!("\n{name}, {seconds} s, best of {rounds}");
    println!("  {:<12}{:>12}{:>12}{:>8}", "", "lines/s", "arrived", "cores");
    for (name, run) in [("plain pipe", plain), ("exec", exec)] {
        println!(
            "  {name:<12}{:>12.0}{:>11.3}%{:>8.2}",
            run.written,
            run.arrived * 100.0,
            run.cores
        );
    }
    Ok((plain, exec))
}

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs the service to its end, with its stderr into a grep that counts its log lines.
fn measure(mut command: Command, rate: &str, seconds: u32) -> Outcome<Run> {
    let before = cpu_of_children()?;
    let mut service = command
        .args(["-log", rate, "-duration", &format!("{seconds}s")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = service.stderr.take().ok_or("no stderr")?;
    let reader = Command::new("grep")
        .args(["-c", "^20"])
        .env("LC_ALL", "C")
        .stdin(stderr)
        .stdout(Stdio::piped())
        .spawn()?;
    let truth = String::from_utf8(service.wait_with_output()?.stdout)?;
    let arrived: f64 = String::from_utf8(reader.wait_with_output()?.stdout)?.trim().parse()?;
    let written = number(&truth, "\"LinesLogged\":")?;
    Ok(Run {
        written: written / f64::from(seconds),
        arrived: arrived / written,
        cores: (cpu_of_children()? - before) / f64::from(seconds),
    })
}

fn number(text: &str, key: &str) -> Outcome<f64> {
    let (_, after) = text.rsplit_once(key).ok_or_else(|| format!("no {key} in {text}"))?;
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    Ok(after.split_at(end).0.parse()?)
}

/// Seconds that ended children have used, and theirs.
fn cpu_of_children() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/self/stat has another form")?;
    // cutime and cstime, fields 16 and 17; `fields` begins with field 3.
    let ticks: Vec<f64> = fields.split_whitespace().skip(13).take(2).flat_map(str::parse).collect();
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}
