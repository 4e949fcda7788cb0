//! `detect`: a history of goroutine counts through the leak detector, to see when it would have
//! spoken.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::aggregate::leak::{Detector, Verdict};
use crate::model::goroutines::{History, Look};
use crate::model::leak::Params;
use crate::parse::history;

/// Longest history read: a year of one service at 15 s has 50 MB.
const HISTORY_MAX_BYTES: u64 = 1 << 30;

/// A change of verdict.
#[derive(Serialize)]
struct Change<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<&'a str>,
    /// Seconds since 1970.
    t: Seconds,
    suspected: bool,
    growth_per_second: Option<f64>,
    goroutines: u64,
    /// What kind of growth it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    shape: Option<&'static str>,
    /// Goroutines that the floor grew by in the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    growth: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_seconds: Option<u64>,
}

/// The last line.
#[derive(Default, Serialize)]
struct Totals {
    series: u64,
    samples: u64,
    restarts: u64,
    /// Times that a leak was suspected.
    suspicions: u64,
    suspected_seconds: Seconds,
    /// Series of which a leak is suspected at their end.
    suspected_at_end: u64,
}

/// A time that is printed without a fraction where it has none.
#[derive(Clone, Copy, Default)]
struct Seconds(Duration);

impl Serialize for Seconds {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            serializer.serialize_f64(self.0.as_secs_f64())
        }
    }
}

/// Reads files (none, or `-`: stdin), prints each change of verdict and then totals.
///
/// # Errors
/// Stdout cannot be written to. A file that cannot be read is told, the others are read, and the
/// exit code is 1.
pub fn run(files: &[PathBuf], params: &Params) -> anyhow::Result<ExitCode> {
    let stdin = [PathBuf::from("-")];
    let files = if files.is_empty() { &stdin } else { files };
    let (mut totals, mut code) = (Totals::default(), ExitCode::SUCCESS);
    let mut out = BufWriter::new(io::stdout().lock());
    let several = files.len() > 1;
    let written = files.iter().try_for_each(|file| match histories(file) {
        Ok(histories) => {
            let name = file.to_string_lossy();
            let name = several.then_some(&*name);
            histories.iter().try_for_each(|one| replay(one, name, params, &mut totals, &mut out))
        }
        Err(error) => {
            // Nobody is left to tell if stderr is gone.
            let _closed = writeln!(io::stderr(), "godebug-exporter: {error:#}");
            code = ExitCode::FAILURE;
            Ok(())
        }
    });
    match written.and_then(|()| print(&mut out, &totals)).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to stdout")
        }
        _ => Ok(code),
    }
}

fn histories(file: &Path) -> anyhow::Result<Vec<History>> {
    let stream: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?)
    };
    let mut text = Vec::new();
    stream
        .take(HISTORY_MAX_BYTES)
        .read_to_end(&mut text)
        .with_context(|| format!("cannot read {}", file.display()))?;
    history::read(&text).with_context(|| file.display().to_string())
}

fn replay(
    history: &History,
    file: Option<&str>,
    params: &Params,
    totals: &mut Totals,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut detector = Detector::new(params.clone());
    let mut started = None;
    let mut suspected_since = None;
    for look in &history.looks {
        totals.samples += 1;
        if is_restart(&mut started, look) {
            totals.restarts += 1;
            detector.restarted(look.at);
        }
        detector.observe(look.at, look.goroutines);
        let verdict = detector.verdict();
        if verdict.evidence.is_some() == suspected_since.is_some() {
            continue;
        }
        match suspected_since.take() {
            None => {
                totals.suspicions += 1;
                suspected_since = Some(look.at);
            }
            Some(since) => totals.suspected_seconds.0 += look.at.saturating_sub(since),
        }
        print(out, &change(history, file, look, verdict))?;
    }
    totals.series += 1;
    if let Some((since, last)) = suspected_since.zip(history.looks.last()) {
        totals.suspected_seconds.0 += last.at.saturating_sub(since);
        totals.suspected_at_end += 1;
    }
    Ok(())
}

/// Whether the process is another one than before; a second's difference is rounding.
fn is_restart(started: &mut Option<Duration>, look: &Look) -> bool {
    let Some(now) = look.started else { return false };
    let before = started.replace(now);
    before.is_some_and(|before| now > before + Duration::from_secs(1))
}

fn change<'a>(
    history: &'a History,
    file: Option<&'a str>,
    look: &Look,
    verdict: Verdict,
) -> Change<'a> {
    let evidence = verdict.evidence;
    Change {
        file,
        series: history.name.as_deref(),
        t: Seconds(look.at),
        suspected: evidence.is_some(),
        growth_per_second: verdict.growth_per_second,
        goroutines: look.goroutines,
        shape: evidence.map(|evidence| evidence.shape.as_str()),
        growth: evidence.map(|evidence| evidence.growth),
        window_seconds: evidence.map(|evidence| evidence.span.as_secs()),
    }
}

fn print(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
