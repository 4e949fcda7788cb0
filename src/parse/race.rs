//! The report of a data race (built with -race). The process goes on, and so do its traces.

use serde::{Deserialize, Serialize};

use super::dump;
use crate::model::crash::{Crash, What};

/// The line with which a report begins, below a line of equals signs.
pub const START: &[u8] = b"WARNING: DATA RACE";

/// Lines of a report before its first function: what is longer is none.
const LINES_MAX: u32 = 64;

/// A report that was not read to its first function.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Race {
    lines: u32,
    /// `Read at 0x… by goroutine 8:` was seen: nobody but the detector says that.
    sure: bool,
    function: Option<Vec<u8>>,
}

/// What is known after a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Not enough.
    GoesOn,
    /// All that is wanted.
    Done(Box<Crash>),
    /// It is no report.
    Refuted,
}

impl Race {
    /// Takes a line below the first.
    pub fn line(&mut self, line: &[u8]) -> Step {
        self.lines += 1;
        if is_access(line) {
            self.sure = true;
        } else if let Some(name) = dump::race_function(line) {
            self.function = Some(name.to_vec());
        } else if let Some((file, number)) = dump::race_position(line)
            && let Some(name) = self.function.take().filter(|name| !dump::is_runtime(name))
            && self.sure
        {
            let mut crash = Crash::new(What::Race);
            crash.function = Some(String::from_utf8_lossy(&name).into_owned());
            crash.file = Some(String::from_utf8_lossy(file).into_owned());
            crash.line = Some(number);
            return Step::Done(Box::new(crash));
        } else if self.lines > LINES_MAX || line.starts_with(b"======") {
            return self.end();
        }
        Step::GoesOn
    }

    /// No more of it comes.
    #[must_use]
    pub fn end(&self) -> Step {
        if self.sure { Step::Done(Box::new(Crash::new(What::Race))) } else { Step::Refuted }
    }
}

/// `Read at 0x00c0000a2218 by goroutine 9:`, `Previous atomic write at …`.
fn is_access(line: &[u8]) -> bool {
    let at = memchr::memmem::find(line, b" at 0x");
    at.and_then(|at| line.get(..at)).is_some_and(|what| {
        what.to_ascii_lowercase().ends_with(b"read")
            || what.to_ascii_lowercase().ends_with(b"write")
    }) && line.ends_with(b":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lines: &[&str]) -> Step {
        let mut race = Race::default();
        for line in lines {
            let step = race.line(line.as_bytes());
            if step != Step::GoesOn {
                return step;
            }
        }
        race.end()
    }

    #[test]
    fn the_function_is_the_first_that_is_not_the_runtimes() {
        let step = run(&[
            "Read at 0x00c0000a2218 by goroutine 9:",
            "  runtime.mapassign_faststr()",
            "      runtime/map_faststr.go:203 +0x0",
            "2026/11/21 INFO request served",
            "  main.increment()",
            "      crash/main.go:231 +0x30",
        ]);
        let Step::Done(race) = step else { panic!("{step:?}") };
        assert_eq!((race.what, race.function.as_deref()), (What::Race, Some("main.increment")));
        assert_eq!((race.file.as_deref(), race.line), (Some("crash/main.go"), Some(231)));
    }

    #[test]
    fn a_service_that_says_so_reports_no_race() {
        assert_eq!(run(&["said the test", "  main.f()", "      main.go:5 +0x1"]), Step::Refuted);
    }
}
