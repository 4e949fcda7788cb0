//! Services that are started anew while somebody reads their log.

use std::fs::File;
use std::process::{Command, Stdio};

use tempfile::NamedTempFile;

use crate::support::exporter::output;
use crate::support::go;
use crate::support::metrics::Page;
use crate::support::service::Truth;

/// Runs the service so often, each to its end, with one log; gives what each knew at its end.
fn lives(version: &str, n: usize, godebug: &str, arguments: &[&str]) -> (Page, Vec<Truth>) {
    let log = NamedTempFile::new().unwrap();
    let truths = (0..n).map(|_| {
        let ended = Command::new(go::service(version))
            .args(arguments)
            .env("GODEBUG", godebug)
            .stdin(Stdio::null())
            .stderr(File::options().append(true).open(log.path()).unwrap())
            .output()
            .unwrap();
        let stdout = String::from_utf8(ended.stdout).unwrap();
        Truth::from_line(stdout.lines().last().unwrap())
    });
    let truths = truths.collect();
    let path = log.path().to_str().unwrap();
    let page = output(&["run", "--once", "--service", "s", "--file", path]).stdout;
    (Page::read(&String::from_utf8(page).unwrap()), truths)
}

fn check(version: &str) {
    let arguments = ["-duration", "400ms", "-gc", "50", "-log", "300"];
    let (page, truths) = lives(version, 5, "gctrace=1,schedtrace=20", &arguments);
    let cycles: u64 = truths.iter().map(|truth| truth.memstats("NumGC")).sum();
    let counted = |n: u64| f64::from(u32::try_from(n).unwrap());
    assert_eq!(page.value("go_process_starts_total"), 4.0, "{page}");
    assert_eq!(
        page.value("go_gc_records_missed_total") + page.sum("go_gc_cycles_total"),
        counted(cycles),
        "{page}"
    );
    // Each life has one interval less than cycles; a torn record that is lost costs two.
    let most = counted(cycles - 5);
    let lost = 2.0 * page.value("go_gc_records_missed_total");
    let intervals = page.value("go_gc_interval_seconds_count");
    assert!((most - lost..=most).contains(&intervals), "{intervals} of {most}\n{page}");
    // No life took longer than a second, so no interval did.
    assert!(page.value("go_gc_interval_seconds_sum") < 5.0 * 2.0, "{page}");
}

mod are_counted {
    on_each_release!(super::check);
}

#[test]
fn lives_too_short_for_a_second_sample_are_seen() {
    let (page, _) = lives(go::NEWEST, 6, "schedtrace=10000", &["-duration", "50ms"]);
    let starts = page.value("go_process_starts_total");
    assert!((4.0..=5.0).contains(&starts), "{page}");
    assert_eq!(page.value("go_sched_samples_total"), 6.0, "{page}");
}

#[test]
fn ticks_of_every_life_are_counted_once() {
    let (page, truths) =
        lives(go::NEWEST, 3, "schedtrace=10", &["-duration", "300ms", "-spin", "2"]);
    assert_eq!(truths.len(), 3);
    assert_eq!(page.value("go_process_starts_total"), 2.0, "{page}");
    // A P that spins is preempted every 10 ms: thousands of ticks would be invented ones.
    assert!(page.value("go_sched_ticks_total") < 3.0 * 20_000.0, "{page}");
}
