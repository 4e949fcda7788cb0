//! `parse`: traces → one JSON object a record.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use crate::config::LINE_MAX_BYTES;
use crate::frame::lines::Lines;
use crate::ingest::CHUNK_BYTES;
use crate::model::record::{Dump, Goroutine, Record, Thread};
use crate::model::stats::{RecordKind, TraceStats};
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
        Box::new(File::open(file).map_err(Stop::Read)?)
    };
    let (mut lines, mut reader) = (Lines::new(LINE_MAX_BYTES), Reader::<Everything>::of_stream());
    let stats = &mut total.stats;
    let lines_before = stats.lines;
    let mut told = false;
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
                let counted = lines.push(buffer.get(..n).unwrap_or_default(), |line| {
                    reader.line(line, stats, &mut emit);
                });
                if counted.too_long > 0 && !std::mem::replace(&mut told, true) {
                    let line = stats.lines - lines_before + counted.before_too_long + 1;
                    tell(format_args!(
                        "{}: line {line} is longer than {LINE_MAX_BYTES} bytes and passed over; further ones are only counted",
                        file.display()
                    ));
                }
                stats.lines += counted.lines;
                stats.lines_too_long += counted.too_long;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Err(Stop::Read(error)),
        }
    };
    if let Some(rest) = lines.cut() {
        stats.lines += 1;
        total.unfinished += u64::from(is_beginning(&rest));
    }
    reader.end(stats, &mut emit);
    written.map_err(Stop::Write)?;
    result
}

/// What was read in all.
#[derive(Debug, Default)]
struct Total {
    stats: TraceStats,
    /// Trace lines at the end of a file, without their line feed: cut, so not read.
    unfinished: u64,
}

impl Total {
    fn tell(&self) {
        let stats = &self.stats;
        tell(format_args!("{} lines, {} bytes", stats.lines, stats.bytes));
        for kind in RecordKind::ALL {
            tell(format_args!(
                "{}: {} records, {} recovered, {} malformed, {} lost, {} unknown fields",
                kind.as_str(),
                stats.records.get(kind),
                stats.recovered.get(kind),
                stats.malformed.get(kind),
                stats.lost.get(kind),
                stats.unknown_fields.get(kind),
            ));
        }
        for (what, n) in [
            ("lines too long", stats.lines_too_long),
            ("scheduler dumps of a crash, not samples", stats.crash_dumps),
            ("trace lines cut by the end of a file", self.unfinished),
        ] {
            if n > 0 {
                tell(format_args!("{n} {what}"));
            }
        }
    }
}

fn tell(text: std::fmt::Arguments<'_>) {
    // Nobody is left to tell if stderr is gone.
    let _closed = writeln!(io::stderr().lock(), "{text}");
}
