//! Speed of `run --once` and `parse` beside `grep -cF`, `wc -l` and mtail, in one run on the same
//! input, the best of several rounds; what mtail counted must be what we counted.
//!
//! `cargo bench --bench peers`; PEERS_LOG_MB, PEERS_DETAIL_MB and PEERS_ROUNDS change the sizes.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table is what this is for")]

mod inputs;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const EXPORTER: &str = env!("CARGO_BIN_EXE_godebug-exporter");

/// mtail is slow, so it reads a part of this size of the same kind of input, and is compared by
/// bytes a second.
const MTAIL_SHARE: usize = 10;

/// A command that takes less is run again and again: a machine with other work on it seldom
/// leaves one short run alone.
const TURN: Duration = Duration::from_secs(1);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One kind of input, and what must hold on it.
struct Case {
    name: &'static str,
    program: &'static str,
    megabytes: usize,
    generate: fn(&Path, usize) -> std::io::Result<()>,
    /// We are at least so many times as fast as mtail.
    over_mtail: f64,
    /// We take at most so many times as long as grep.
    over_grep: Option<f64>,
}

struct Row {
    name: &'static str,
    command: Command,
    bytes: u64,
    best: Duration,
}

impl Row {
    fn new(name: &'static str, command: Command, file: &Path) -> Outcome<Self> {
        // A pipe, not /dev/null: grep stops at the first match if that is its stdout.
        Ok(Self { name, command, bytes: std::fs::metadata(file)?.len(), best: Duration::MAX })
    }

    fn measure(&mut self) -> Outcome<()> {
        let started = Instant::now();
        let status = self.command.output()?.status;
        self.best = self.best.min(started.elapsed());
        if status.success() { Ok(()) } else { Err(format!("{}: {status}", self.name).into()) }
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes of files")]
    fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.best.as_secs_f64()
    }
}

fn main() -> ExitCode {
    let cases = [
        Case {
            name: "98 % ordinary lines, 1 % SCHED, 1 % gctrace",
            program: "logs.mtail",
            megabytes: setting("PEERS_LOG_MB", 400),
            generate: inputs::logs,
            over_mtail: 30.0,
            over_grep: Some(3.0),
        },
        Case {
            name: "scheddetail, 20,000 goroutines a dump",
            program: "detail.mtail",
            megabytes: setting("PEERS_DETAIL_MB", 60),
            generate: inputs::detail,
            over_mtail: 20.0,
            over_grep: None,
        },
    ];
    if Command::new("mtail").arg("-version").output().is_err() {
        eprintln!("mtail is missing; on Debian: apt-get install --no-install-recommends mtail");
        return ExitCode::FAILURE;
    }
    let mut code = ExitCode::SUCCESS;
    for case in &cases {
        match run(case, setting("PEERS_ROUNDS", 5)) {
            Ok(true) => {}
            Ok(false) => code = ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{}: {error}", case.name);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn run(case: &Case, rounds: usize) -> Outcome<bool> {
    let dir = tempfile::tempdir()?;
    let (whole, part) = (dir.path().join("whole.log"), dir.path().join("part.log"));
    (case.generate)(&whole, case.megabytes << 20)?;
    (case.generate)(&part, (case.megabytes << 20) / MTAIL_SHARE)?;
    let mut parse = command(EXPORTER, &["parse"], &whole);
    parse.stdout(Stdio::null());
    let mut rows = [
        Row::new("run --once", run_once(&whole), &whole)?,
        Row::new("parse > /dev/null", parse, &whole)?,
        Row::new("LC_ALL=C grep -cF SCHED", command("grep", &["-cF", "SCHED"], &whole), &whole)?,
        Row::new("wc -l", command("wc", &["-l"], &whole), &whole)?,
        Row::new("mtail -one_shot", mtail(case.program, &part), &part)?,
    ];
    for _ in 0..rounds {
        for row in &mut rows {
            let begun = Instant::now();
            while begun.elapsed() < TURN {
                row.measure()?;
            }
        }
    }
    println!("\n{}: {} MB, best of {rounds}", case.name, case.megabytes);
    let compared =
        compare(&stdout_of(&mut mtail(case.program, &part))?, &stdout_of(&mut run_once(&part))?)?;
    println!("  {compared} series of mtail are equal to ours");
    Ok(report(case, &rows))
}

fn report(case: &Case, rows: &[Row; 5]) -> bool {
    let [ours, _, grep, _, mtail] = rows;
    println!("  {:<26}{:>10}{:>12}{:>10}{:>9}", "", "seconds", "MB/s", "x mtail", "x grep");
    for row in rows {
        let speed = row.bytes_per_second();
        println!(
            "  {:<26}{:>10.3}{:>12.1}{:>10.1}{:>9.2}",
            row.name,
            row.best.as_secs_f64(),
            speed / 1e6,
            speed / mtail.bytes_per_second(),
            speed / grep.bytes_per_second(),
        );
    }
    println!("  (mtail read 1/{MTAIL_SHARE} of it: x is by bytes a second)");
    let ratio = ours.bytes_per_second() / mtail.bytes_per_second();
    let mut good = verdict(ratio >= case.over_mtail, ratio, "x mtail", "at least", case.over_mtail);
    if let Some(most) = case.over_grep {
        let ratio = grep.bytes_per_second() / ours.bytes_per_second();
        good &= verdict(ratio <= most, ratio, "x the time of grep", "at most", most);
    }
    good
}

fn verdict(good: bool, ratio: f64, what: &str, bound: &str, target: f64) -> bool {
    let word = if good { "PASS" } else { "BELOW" };
    println!("  {word}: {ratio:.2} {what}, wanted {bound} {target}");
    good
}

fn command(program: &str, arguments: &[&str], file: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg(file).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

fn run_once(file: &Path) -> Command {
    command(EXPORTER, &["run", "--once", "--service", "x", "--from-beginning", "--file"], file)
}

fn mtail(program: &str, file: &Path) -> Command {
    let program: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "benches", "mtail", program].iter().collect();
    let mut command = Command::new("mtail");
    command.args(["-one_shot", "-one_shot_format", "prometheus", "-logtostderr"]);
    command.args(["-address", "127.0.0.1", "-port", "0", "-progs"]).arg(program);
    command.arg("-logs").arg(file).stdin(Stdio::null());
    command
}

fn stdout_of(command: &mut Command) -> Outcome<String> {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

// --- Do both count the same? ---

type Page = BTreeMap<(String, Vec<String>), f64>;

/// Name and labels to value; without the labels that only one of the two has, and without
/// buckets, whose bounds they print differently.
fn read_page(text: &str) -> Outcome<Page> {
    let mut page = Page::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').ok_or("a line without value")?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        if name.ends_with("_bucket") {
            continue;
        }
        let labels = labels.trim_end_matches('}').split("\",");
        let mut labels: Vec<String> = labels
            .map(|label| label.trim_end_matches('"').to_owned())
            .filter(|label| {
                !label.is_empty() && !label.starts_with("prog=") && !label.starts_with("service=")
            })
            .collect();
        labels.sort();
        page.insert((name.to_owned(), labels), value.parse()?);
    }
    Ok(page)
}

/// Gives how many series of mtail there are; all are ours too, with the same value.
fn compare(mtail: &str, ours: &str) -> Outcome<usize> {
    let (theirs, ours) = (read_page(mtail)?, read_page(ours)?);
    for ((name, labels), value) in &theirs {
        let mut expected = *value;
        let mut labels = labels.clone();
        if let "go_sched_goroutines"
        | "go_sched_procs"
        | "go_sched_timers"
        | "go_sched_blocked_threads" = name.as_str()
        {
            // mtail sums over the dumps, and every dump of the input has the same numbers.
            expected /= samples(&theirs)?;
            labels.iter_mut().for_each(|label| *label = named(name, label));
        }
        let key = (name.clone(), labels);
        let got = ours.get(&key).ok_or_else(|| format!("only mtail has {key:?} {value}"))?;
        if (got - expected).abs() > 1e-6 * expected.abs() {
            return Err(format!("{key:?}: mtail says {expected}, we say {got}").into());
        }
    }
    Ok(theirs.len())
}

fn samples(page: &Page) -> Outcome<f64> {
    let key = ("go_sched_samples_total".to_owned(), Vec::new());
    Ok(*page.get(&key).ok_or("mtail has counted no dumps")?)
}

/// mtail's numbers of a status by our names.
fn named(metric: &str, label: &str) -> String {
    let name = match (metric, label) {
        ("go_sched_goroutines", "state=\"1") => "state=\"runnable",
        ("go_sched_goroutines", "state=\"2") => "state=\"running",
        ("go_sched_goroutines", "state=\"3") => "state=\"syscall",
        ("go_sched_goroutines", "state=\"4") => "state=\"waiting",
        ("go_sched_goroutines", "state=\"6") => "state=\"dead",
        ("go_sched_procs", "status=\"0") => "status=\"idle",
        ("go_sched_procs", "status=\"1") => "status=\"running",
        _ => label,
    };
    name.to_owned()
}
