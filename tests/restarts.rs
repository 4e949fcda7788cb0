//! Services that are started anew while somebody reads their log.

use std::fs::File;

use tempfile::NamedTempFile;

use crate::support::exporter::output;
use crate::support::metrics::Page;
use crate::support::service::Service;

/// A log that services append to, one after the other or at once.
struct Log(NamedTempFile);

impl Log {
    fn new() -> Self {
        Self(NamedTempFile::new().unwrap())
    }

    fn open(&self) -> File {
        File::options().append(true).open(self.0.path()).unwrap()
    }

    fn page(&self) -> Page {
        let path = self.0.path().to_str().unwrap();
        let page = output(&["run", "--once", "--service", "s", "--file", path]).stdout;
        Page::read(&String::from_utf8(page).unwrap())
    }
}

/// Cycles of a service that has none but those it is told to.
fn cycles(service: &Service) -> f64 {
    f64::from(u32::try_from(service.remote.truth().memstats("NumGC")).unwrap())
}

fn check(version: &str) {
    let log = Log::new();
    let mut all = 0.0;
    for life in 1..=5 {
        let service = Service::of(version, &["-log", "300"], "gctrace=1,schedtrace=20", log.open());
        service.remote.control(&format!("gc?n={}", life * 3));
        all += cycles(&service);
    }
    let page = log.page();
    let missed = page.value("go_gc_records_missed_total");
    assert_eq!(page.value("go_process_starts_total"), 4.0, "{page}");
    assert_eq!(page.sum("go_gc_cycles_total") + missed, all, "{page}");
    // Each life has one interval less than cycles; a torn record that is lost costs two.
    let intervals = page.value("go_gc_interval_seconds_count");
    assert!((all - 5.0 - 2.0 * missed..=all - 5.0).contains(&intervals), "{page}");
}

mod are_counted {
    on_each_release!(super::check);
}

#[test]
fn lives_too_short_for_a_second_sample_are_seen() {
    let log = Log::new();
    for _ in 0..6 {
        drop(Service::start(&[], "schedtrace=10000", log.open()));
    }
    let page = log.page();
    assert_eq!(page.value("go_sched_samples_total"), 6.0, "{page}");
    let starts = page.value("go_process_starts_total");
    assert!((2.0..=5.0).contains(&starts), "{page}");
}

/// The ticks that a line of the log has.
fn ticks(line: &str) -> f64 {
    let (_, ticks) = line.split_once("schedticks=[").unwrap();
    ticks.trim_end_matches(']').split_whitespace().map(|n| n.parse::<f64>().unwrap()).sum()
}

#[test]
fn ticks_of_every_life_are_counted_once() {
    let log = Log::new();
    for _ in 0..3 {
        let service = Service::start(&["-spin", "2"], "schedtrace=10", log.open());
        service.remote.control("gc?n=5");
    }
    let page = log.page();
    assert_eq!(page.value("go_process_starts_total"), 2.0, "{page}");
    let text = std::fs::read_to_string(log.0.path()).unwrap();
    let (mut expected, mut last) = (0.0, None);
    for now in text.lines().filter(|line| line.ends_with(" ]")).map(ticks) {
        expected += last.map_or(0.0, |last| if now < last { now } else { now - last });
        last = Some(now);
    }
    assert_eq!(page.value("go_sched_ticks_total"), expected, "{page}");
}
