//! `parse`: traces → one JSON object a record.

use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use crate::config::LINE_MAX_BYTES;
use crate::frame::cri::{Stream, Unwrap};
use crate::frame::lines::{Counted, Lines};
use crate::ingest::{CHUNK_BYTES, read};
use crate::model::record::{Dump, Goroutine, Record, Thread};
use crate::model::release::ReleaseRange;
use crate::model::stats::{LostReason, RecordKind, TraceStats};
use crate::model::wrapping::Wrapping;
use crate::parse::line::is_beginning;
use crate::parse::reader::Reader;

/// Everything of a block, for its JSON: goroutines are kept as they will be printed.
#[derive(Debug, Default, Serialize)]
struct Everything {
    threads_detail: Vec<Thread>,
    #[serde(serialize_with = "as_array")]
    goroutines: Vec<u8>,
}

impl Dump for Everything {
    fn thread(&mut self, thread: Thread) {
        self.threads_detail.push(thread);
    }

    fn goroutine(&mut self, goroutine: &Goroutine<'_>) {
        self.goroutines.push(if self.goroutines.is_empty() { b'[' } else { b',' });
        // Writing to memory cannot fail, nor can a goroutine fail to be JSON.
        let _never = serde_json::to_writer(&mut self.goroutines, goroutine);
    }
}

fn as_array<S: serde::Serializer>(text: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut whole = text.to_vec();
    if whole.is_empty() {
        whole.push(b'[');
    }
    whole.push(b']');
    let text = String::from_utf8(whole).map_err(serde::ser::Error::custom)?;
    serde_json::value::RawValue::from_string(text)
        .map_err(serde::ser::Error::custom)?
        .serialize(serializer)
}

/// Reads files one after the other (none, or `-`: stdin), prints records and a summary.
///
/// # Errors
/// Stdout cannot be written to. A file that cannot be read is told, the others are read, and the
/// exit code is 1.
pub fn run(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let stdin = [PathBuf::from("-")];
    let files = if files.is_empty() { &stdin } else { files };
    let mut out = BufWriter::with_capacity(CHUNK_BYTES, io::stdout().lock());
    let mut total = Total::default();
    let mut code = ExitCode::SUCCESS;
    for file in files {
        match one(file, &mut out, &mut total) {
            Ok(()) => {}
            Err(Stop::Read(error)) => {
                tell(format_args!("godebug-exporter: cannot read {}: {error}", file.display()));
                code = ExitCode::FAILURE;
            }
            Err(Stop::Write(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(code),
            Err(Stop::Write(error)) => return Err(error).context("cannot write to stdout"),
        }
    }
    match out.flush() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            return Err(error).context("cannot write to stdout");
        }
        _ => {}
    }
    total.tell();
    Ok(code)
}

enum Stop {
    Read(io::Error),
    Write(io::Error),
}

fn one(file: &Path, out: &mut impl Write, total: &mut Total) -> Result<(), Stop> {
    let mut stream: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        read::open(file).map_err(Stop::Read)?
    };
    // A container's log file has two streams.
    let side = || (Lines::new(LINE_MAX_BYTES), Reader::<Everything>::of_stream());
    let (mut stderr, mut stdout) = (side(), side());
    let mut unwrap = Unwrap::new(Wrapping::Auto);
    let stats = &mut total.stats;
    let mut first = FirstTooLong { file, lines_before: stats.lines, told: false };
    let mut written = Ok(());
    let mut emit = |record: Record<Everything>| {
        if written.is_ok() {
            written = serde_json::to_writer(&mut *out, &record)
                .map_err(io::Error::from)
                .and_then(|()| out.write_all(b"\n"));
        }
    };
    let mut buffer = vec![0; CHUNK_BYTES];
    let result = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(n) => {
                stats.bytes += n as u64;
                let chunk = buffer.get(..n).unwrap_or_default();
                let malformed = unwrap.push(chunk, |stream, text| {
                    let (lines, reader) = match stream {
                        Stream::Stderr => &mut stderr,
                        Stream::Stdout => &mut stdout,
                    };
                    let counted = lines.push(text, reader.sink(stats, &mut emit));
                    first.tell(counted, stats.lines);
                    stats.lines += counted.lines;
                    stats.lines_too_long += counted.too_long;
                });
                stats.entries_malformed += malformed;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Err(Stop::Read(error)),
        }
    };
    // What has no end is plain, so on the one stream there is.
    unwrap.cut(|_stderr, text| {
        stats.lines_too_long += stderr.0.push(text, |_: &[u8]| {}).too_long;
    });
    total.releases = None;
    for (lines, reader) in [&mut stderr, &mut stdout] {
        if let Some(rest) = lines.cut() {
            stats.lines += 1;
            reader.line_cut();
            total.unfinished += u64::from(is_beginning(&rest));
        }
        reader.end(stats, &mut emit);
        total.samples.extend(reader.take_samples());
        total.releases = total.releases.or_else(|| reader.releases());
    }
    written.map_err(Stop::Write)?;
    result
}

/// Tells of the first line of a file that is too long.
struct FirstTooLong<'a> {
    file: &'a Path,
    lines_before: u64,
    told: bool,
}

impl FirstTooLong<'_> {
    fn tell(&mut self, counted: Counted, lines: u64) {
        if counted.too_long == 0 || std::mem::replace(&mut self.told, true) {
            return;
        }
        let line = lines - self.lines_before + counted.before_too_long + 1;
        tell(format_args!(
            "{}: line {line} is longer than {LINE_MAX_BYTES} bytes and passed over; further ones are only counted",
            self.file.display()
        ));
    }
}

/// What was read in all.
#[derive(Debug, Default)]
struct Total {
    stats: TraceStats,
    /// Trace lines at the end of a file, without their line feed: cut, so not read.
    unfinished: u64,
    /// Lines of unknown form, one a kind and file.
    samples: Vec<(RecordKind, Box<[u8]>)>,
    /// The releases that can have printed the last file.
    releases: Option<ReleaseRange>,
}

impl Total {
    fn tell(&self) {
        let stats = &self.stats;
        tell(format_args!("{} lines, {} bytes", stats.lines, stats.bytes));
        for kind in RecordKind::ALL.into_iter().filter(|kind| stats.has_counters(*kind)) {
            tell(format_args!(
                "{}: {} records, {} recovered, {} malformed, {} lost{}, {} of unknown form",
                kind.as_str(),
                stats.records.get(kind),
                stats.recovered.get(kind),
                stats.malformed.get(kind),
                stats.lost.get(kind),
                reasons(stats, kind),
                stats.unknown_forms.get(kind),
            ));
        }
        for (what, n) in [
            ("lines too long", stats.lines_too_long),
            ("lines that are no entries of a container's log", stats.entries_malformed),
            ("scheduler dumps of a crash, not samples", stats.crash_dumps),
            ("trace lines cut by the end of a file", self.unfinished),
        ] {
            if n > 0 {
                tell(format_args!("{n} {what}"));
            }
        }
        if let Some(releases) = self.releases {
            tell(format_args!("printed by Go {} to {}", releases.min(), releases.max()));
        }
        for (kind, sample) in &self.samples {
            tell(format_args!("unknown form of {}: {}", kind.as_str(), sample.escape_ascii()));
        }
    }
}

/// ` (2 torn, 1 cut)`, or nothing.
fn reasons(stats: &TraceStats, kind: RecordKind) -> String {
    let known = LostReason::ALL.map(|reason| (stats.lost.by(reason).get(kind), reason.as_str()));
    let some: Vec<String> =
        known.iter().filter(|(n, _)| *n > 0).map(|(n, reason)| format!("{n} {reason}")).collect();
    if some.is_empty() { String::new() } else { format!(" ({})", some.join(", ")) }
}

fn tell(text: std::fmt::Arguments<'_>) {
    // Nobody is left to tell if stderr is gone.
    let _closed = writeln!(io::stderr().lock(), "{text}");
}
