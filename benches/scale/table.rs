//! What was measured, as a table.

use std::fmt;
use std::fs;
use std::time::Duration;

use crate::exporter::Exporter;
use crate::outcome::Outcome;

/// Prometheus' usual interval.
const SCRAPE_SECONDS: f64 = 15.0;

/// How much more a target may cost among many than among a hundred.
const GROWTH_MAX: f64 = 1.5;

pub(crate) const HEAD: &str = "\
source targets  CPU %  a page: ms wall, ms CPU, MB, MB sent, lines a target  MiB resident, most  threads  files  \
ready s  late s | a target: CPU µs/s, with a page each 15 s, KiB";

/// What the targets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Logs,
    Expvar,
}

/// What a page costs.
#[derive(Debug)]
pub(crate) struct Page {
    /// Bytes, compressed.
    pub(crate) sent: usize,
    pub(crate) seconds: f64,
    pub(crate) cpu: f64,
    /// As it is, unpacked.
    pub(crate) bytes: usize,
    pub(crate) lines: usize,
}

/// One number of targets.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) source: Source,
    pub(crate) targets: usize,
    ready: Duration,
    /// Of a core.
    share: f64,
    page: Page,
    late: Duration,
    exact: bool,
    rss_kib: u32,
    most_kib: u32,
    threads: u32,
    files: usize,
}

impl Source {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Expvar => "expvar",
        }
    }
}

impl Point {
    /// Together with what the kernel says of the process now.
    pub(crate) fn of(
        source: Source,
        targets: usize,
        exporter: &Exporter,
        (ready, share, page, late, exact): (Duration, f64, Page, Duration, bool),
    ) -> Outcome<Self> {
        Ok(Self {
            source,
            targets,
            ready,
            share,
            page,
            late,
            exact,
            rss_kib: exporter.status("VmRSS")?,
            most_kib: exporter.status("VmHWM")?,
            threads: exporter.status("Threads")?,
            files: fs::read_dir(exporter.proc("fd"))?.count(),
        })
    }

    /// Of a core, with a scrape at the usual interval.
    pub(crate) fn whole_share(&self) -> f64 {
        self.share + self.page.cpu / SCRAPE_SECONDS
    }

    pub(crate) fn most_mib(&self) -> f64 {
        f64::from(self.most_kib) / 1024.0
    }

    fn each(&self, of_all: f64) -> f64 {
        of_all / count(self.targets)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { page, .. } = self;
        write!(
            f,
            "{:6} {:7} {:6.2}  {:8.1} {:7.1} {:6.1} {:6.2} {:6.1}  {:6.1} {:6.1} {:4} {:6} {:6.1} {:6.2} | {:6.1} {:6.1} {:6.1}{}",
            self.source.name(),
            self.targets,
            self.share * 100.0,
            page.seconds * 1e3,
            page.cpu * 1e3,
            count(page.bytes) / 1e6,
            count(page.sent) / 1e6,
            self.each(count(page.lines)),
            f64::from(self.rss_kib) / 1024.0,
            self.most_mib(),
            self.threads,
            self.files,
            self.ready.as_secs_f64(),
            self.late.as_secs_f64(),
            self.each(self.share * 1e6),
            self.each(self.whole_share() * 1e6),
            self.each(f64::from(self.most_kib)),
            if self.exact { "" } else { "  NOT ALL WAS COUNTED" },
        )
    }
}

/// Whether everything was counted, and no target costs much more among the most than among a hundred.
pub(crate) fn judge(points: &[Point]) -> bool {
    let mut good = points.iter().all(|point| point.exact);
    for source in [Source::Logs, Source::Expvar] {
        let of = || points.iter().filter(|point| point.source == source);
        let (Some(hundred), Some(last)) = (of().find(|one| one.targets == 100), of().next_back())
        else {
            continue;
        };
        let growth = last.each(last.whole_share()) / hundred.each(hundred.whole_share());
        println!(
            "{}: a target costs {growth:.2} times as much CPU at {} as at 100",
            source.name(),
            last.targets
        );
        good &= growth <= GROWTH_MAX;
    }
    good
}

#[expect(clippy::cast_precision_loss, reason = "counts and sizes, to be shown")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}
