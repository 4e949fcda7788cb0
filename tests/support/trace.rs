//! Recorded trace lines, and writers of them.

use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Lines that Go 1.27 wrote with schedtrace and gctrace.
pub(crate) const RECORDED: &str = include_str!("../fixtures/go1.27-trace.log");

/// Records of a kind among [`RECORDED`].
pub(crate) fn recorded(kind: &str) -> f64 {
    let beginning = match kind {
        "sched" => "SCHED ",
        "gc" => "gc ",
        other => panic!("no lines of {other}"),
    };
    let n = RECORDED.lines().filter(|line| line.starts_with(beginning)).count();
    f64::from(u32::try_from(n).unwrap())
}

/// Adds text to the end of a file, as a service that has it open for appending does.
pub(crate) fn append(path: &Path, text: impl AsRef<[u8]>) {
    let mut file = File::options().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_ref()).unwrap();
}
