//! The leak detector in the daemon, on real services; in seconds instead of hours.

use std::fs::File;
use std::path::Path;

use rustix::process::Signal;

use crate::support::exporter::Exporter;
use crate::support::metrics::Page;
use crate::support::service::Service;

const SUSPECTED: &str = "go_goroutines_leak_suspected";
const GROWTH: &str = "go_goroutines_growth_per_second";
const GODEBUG: &str = "schedtrace=100,scheddetail=1";

/// Floors of a second. A busy machine leaks unevenly.
const DETECTOR: &str = "leak_detector:
  bucket: 1s
  warm_up: 2s
  unknown: 12s:1.2
  tune: {rise_evenness: 0.2, rise_least_step: 0.03, rise_later_half: 0.4, rise_last_step: 0.03}
";

struct Log(tempfile::TempDir);

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("stderr.log")).unwrap();
        Self(folder)
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("stderr.log")
    }

    fn open(&self) -> File {
        File::options().append(true).open(self.path()).unwrap()
    }

    fn followed(&self) -> Exporter {
        Exporter::configured(&config(&self.path(), &self.0.path().join("state")))
    }
}

fn config(log: &Path, state: &Path) -> String {
    format!(
        "{DETECTOR}state: {{directory: {}}}\nservices: [{{name: s, trace: {{file: {}}}}}]\n",
        state.display(),
        log.display()
    )
}

fn is(value: f64) -> impl Fn(&Page) -> bool {
    move |page| page.get(SUSPECTED) == Some(value)
}

fn check(version: &str) {
    let log = Log::new();
    let mut exporter = log.followed();
    exporter.ready();
    let leaking = Service::of(version, &["-leak", "20"], GODEBUG, log.open());
    let page = exporter.page_where("the leak is suspected", is(1.0));
    // The service leaks by its own clock; on a busy machine it may be late.
    let growth = page.value(GROWTH);
    assert!((8.0..=24.0).contains(&growth), "{growth}\n{page}");
    assert_eq!(exporter.log("warn").iter().filter(|line| line.contains("leak")).count(), 1);

    // Suspicion outlives us, and ends with the process that leaked.
    exporter.process.signal(Signal::KILL);
    exporter.process.end("the exporter");
    let exporter = log.followed();
    exporter.ready();
    exporter.wait_for(SUSPECTED, 1.0);
    drop(leaking);
    let _healthy = Service::of(version, &[], GODEBUG, log.open());
    let page = exporter.page_where("the new process is not suspected", is(0.0));
    assert_eq!(page.value("go_process_starts_total"), 1.0, "{page}");
}

mod of_a_real_service_are_suspected {
    on_each_release!(super::check);
}

#[test]
fn load_that_comes_and_goes_is_no_leak() {
    let log = Log::new();
    let exporter = log.followed();
    exporter.ready();
    let service = Service::start(&["-traffic", "200"], GODEBUG, log.open());
    // Goroutines that a request starts and that end a moment later.
    let enough = |page: &Page| page.get("go_sched_samples_total") >= Some(250.0);
    let page = exporter.page_where("250 samples", |page| {
        service.remote.control("gc?n=1");
        enough(page)
    });
    assert_eq!(page.value(SUSPECTED), 0.0, "{page}");
    assert!(page.get(GROWTH).is_some(), "{page}");
    assert!(!exporter.log("warn").iter().any(|line| line.contains("leak")));
}

#[test]
fn a_suspicion_has_the_runtime_asked_for_proof() {
    let service = Service::start(&[], "", std::process::Stdio::null());
    let exporter = Exporter::configured(&format!(
        "{}services: [{{name: s, pprof: {{url: 'http://{}', interval: 1s, max_share: 100%, goroutineleak: 1h}}}}]\n",
        DETECTOR.replace("bucket: 1s", "bucket: 2s").replace("12s", "24s"),
        service.remote.address(),
    ));
    exporter.wait_for("go_goroutines_leaked", 0.0);
    exporter.page_where("the leak is suspected", |page| {
        service.remote.control("leak?n=1");
        is(1.0)(page)
    });
    // Not by the hour, and not by the read at the start.
    exporter.page_where("leaks are proved", |page| page.get("go_goroutines_leaked") > Some(30.0));
}
