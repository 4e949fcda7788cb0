//! Counters and positions that outlive the exporter: nothing lost, nothing twice.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::exporter::{Exporter, command};
use crate::support::metrics::Page;
use crate::support::prometheus::Prometheus;
use crate::support::random::Random;
use crate::support::service::Service;
use crate::support::trace::{RECORDED, append, recorded};
use crate::support::wait::{wait_until, wait_until_or};
use crate::support::writer::Writer;
use crate::support::{http, ports};

/// What must be the same as if nothing had happened; other counters of ours tell of one life.
const COUNTED: [&str; 9] = [
    "go_process_starts_total",
    "go_sched_",
    "go_gc_",
    READ,
    "godebug_exporter_lines_total",
    "godebug_exporter_records_total",
    "godebug_exporter_records_recovered_total",
    "godebug_exporter_records_malformed_total",
    "godebug_exporter_records_lost_total",
];

const READ: &str = "godebug_exporter_read_bytes_total";

const KILLS: usize = 100;

const CYCLES: &str = r#"go_gc_cycles_total{kind="automatic"}"#;

/// The lines of a page that are counted.
fn counted(page: &Page) -> String {
    let text = page.to_string();
    let lines = text.lines().filter(|line| COUNTED.iter().any(|name| line.starts_with(name)));
    lines.map(|line| format!("{line}\n")).collect()
}

/// What one life that was never disturbed says of these bytes.
fn undisturbed(bytes: &[u8]) -> Page {
    let input = tempfile::NamedTempFile::new().unwrap();
    fs::write(input.path(), bytes).unwrap();
    let once = ["run", "--once", "--service", "s", "--stdin"];
    let output = command(once).stdin(File::open(input.path()).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Page::read(&String::from_utf8(output.stdout).unwrap())
}

fn number(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap())
}

/// A folder with a log and a state directory.
struct Kept {
    folder: tempfile::TempDir,
    listen: SocketAddr,
}

impl Kept {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), listen: ports::free() }
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("stderr.log")
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    fn file(&self) -> std::path::PathBuf {
        self.state().join("s.state")
    }

    fn flags(&self, source: &[&str]) -> Vec<String> {
        let state = self.state();
        let listen = self.listen.to_string();
        let own =
            ["run", "--listen", &listen, "--service", "s", "--state-dir", state.to_str().unwrap()];
        own.iter().chain(source).map(ToString::to_string).collect()
    }

    fn run(&self, source: &[&str]) -> Exporter {
        Exporter::start(command(self.flags(source)))
    }

    fn follow(&self) -> Exporter {
        self.run(&["--file", self.log().to_str().unwrap(), "--from-beginning"])
    }
}

fn kill(mut exporter: Exporter) {
    exporter.process.signal(Signal::KILL);
    exporter.process.end("the exporter");
}

#[test]
fn a_hundred_kills_change_nothing_for_prometheus() {
    let kept = Kept::new();
    append(&kept.log(), "");
    let mut exporter = kept.follow();
    exporter.wait_for(CYCLES, 0.0);
    let prometheus = Prometheus::scraping_every("250ms", kept.listen);
    prometheus.wait("Prometheus has the zeros", || prometheus.query(CYCLES).filter(|n| *n == 0.0));
    let writer = Writer::start(kept.log(), 850);
    let mut random = Random(88_172_645_463_325_252);
    for n in 0..KILLS {
        if n % 4 > 0 {
            exporter.address();
        }
        // Somewhere while it starts, catches up, reads, saves or answers.
        let until = writer.steps() + random.below(125);
        wait_until("the service writes on", || (writer.steps() >= until).then_some(()));
        if n % 2 == 1 {
            let samples = || prometheus.query(&format!("count_over_time({READ}[1h])"));
            prometheus.wait("it is seen", || samples().filter(|seen| *seen >= number(n / 4)));
        }
        if n % 10 == 9 {
            assert!(exporter.stop().success());
        } else {
            kill(exporter);
        }
        exporter = kept.follow();
    }
    let bytes = writer.end();
    let truth = undisturbed(&bytes);
    exporter.ready();
    let page = exporter.wait_for(READ, number(bytes.len()));
    assert_eq!(counted(&page), counted(&truth));
    assert!(truth.sum("godebug_exporter_records_recovered_total") > 100.0, "{truth}");
    assert!(
        truth.value(r#"godebug_exporter_records_total{kind="sched_detail"}"#) > 100.0,
        "{truth}"
    );
    assert!(truth.value("go_sched_ticks_total") > 1000.0, "{truth}");
    prometheus_saw(&prometheus, &truth, &bytes);
}

/// No sample was ever lower than one before, and `increase()` from the first to the last is the truth.
fn prometheus_saw(prometheus: &Prometheus, truth: &Page, bytes: &[u8]) {
    let all = number(bytes.len());
    prometheus.wait("Prometheus has the end", || prometheus.query(READ).filter(|n| *n == all));
    let series = prometheus.results(
        "{__name__=~'go_.*_(total|bucket|sum|count)|godebug_exporter_(read_bytes|lines|records.*)_total'}[1h]",
        None,
    );
    assert!(series.len() > 80, "{} series", series.len());
    let mut samples = 0;
    for one in &series {
        let values = one["values"].as_array().unwrap();
        let values: Vec<f64> =
            values.iter().map(|pair| pair[1].as_str().unwrap().parse().unwrap()).collect();
        samples = samples.max(values.len());
        assert!(values.is_sorted(), "{} went back: {values:?}", one["metric"]);
    }
    assert!(samples >= KILLS / 4, "{samples} samples");
    // At the time of the last sample nothing is extrapolated, and the first was 0.
    let time = prometheus.query(&format!("timestamp({READ})")).unwrap();
    for metric in [
        "go_gc_cycles_total",
        "go_sched_samples_total",
        "go_sched_ticks_total",
        "go_gc_phase_seconds_bucket",
        "go_gc_interval_seconds_count",
        "godebug_exporter_records_total",
        READ,
    ] {
        let increase = prometheus.results(&format!("increase({metric}[1h])"), Some(time));
        assert!(!increase.is_empty(), "{metric}");
        for one in increase {
            let found: f64 = one["value"][1].as_str().unwrap().parse().unwrap();
            let expected = truth.value(&selector(metric, &one["metric"]));
            assert!(
                (found - expected).abs() < 1e-6 * (1.0 + expected),
                "{metric} {one}: {expected}"
            );
        }
    }
}

/// The series of our page that became one of Prometheus'.
fn selector(metric: &str, labels: &Value) -> String {
    let labels = labels.as_object().unwrap().iter();
    let own = labels.filter(|(name, _)| !["__name__", "job", "instance"].contains(&name.as_str()));
    let own: Vec<String> = own.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{metric}{{{}}}", own.join(","))
}

#[test]
fn a_real_service_is_counted_to_the_last_cycle_over_kills() {
    let kept = Kept::new();
    let file = File::options().append(true).create(true).open(kept.log()).unwrap();
    let mut exporter = kept.follow();
    let service = Service::start(&["-log", "500"], "schedtrace=10,gctrace=1", file);
    for _ in 0..5 {
        service.remote.control("gc?n=7");
        exporter.address();
        kill(exporter);
        service.remote.control("gc?n=3");
        exporter = kept.follow();
    }
    wait_until_or(
        "every cycle is on the page",
        || {
            let cycles = service.remote.truth().memstats("NumGC");
            let page = exporter.page();
            (page.sum("go_gc_cycles_total") == number(usize::try_from(cycles).unwrap()))
                .then_some(())
        },
        || exporter.page().to_string(),
    );
    let page = exporter.page();
    assert_eq!(page.value("go_gc_records_missed_total"), 0.0, "{page}");
    assert_eq!(page.value("go_process_starts_total"), 0.0, "{page}");
}

#[test]
fn a_stream_that_cannot_be_read_again_never_comes_back_lower() {
    let kept = Kept::new();
    let mut last = 0.0;
    for life in 1..=5_u32 {
        let mut exporter = kept.run(&["--stdin"]);
        let mut stdin = exporter.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, RECORDED.as_bytes()).unwrap();
        let sum = f64::from(life) * recorded("sched");
        let page = exporter.wait_for("go_sched_samples_total", sum);
        assert!(page.value("go_gc_interval_seconds_count") < f64::from(life) * recorded("gc"));
        // What was seen once is never taken back.
        let seen = page.value("godebug_exporter_lines_total");
        assert!(seen > last);
        last = seen;
        kill(exporter);
    }
    let exporter = kept.run(&["--stdin"]);
    assert_eq!(exporter.page().value("godebug_exporter_lines_total"), last);
}

#[test]
fn every_pause_of_an_endpoint_is_counted_once_over_kills() {
    let service = Service::start(&[], "", Stdio::null());
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "state: {{directory: {}}}\nservices:\n- {{name: s, expvar: {{url: 'http://{}', interval: scrape, max_age: 0s}}}}\n",
        folder.path().display(),
        service.remote.address(),
    );
    let behind = |page: &Page| {
        page.value("go_gc_cycles_total_gc_cycles_total") - page.value("go_gc_stw_seconds_count")
    };
    let mut exporter = Exporter::configured(&config);
    exporter.ready();
    let page = exporter.page();
    let (before_us, mut last) = (behind(&page), page.value("go_gc_stw_seconds_sum"));
    for round in 0..5 {
        service.remote.control("gc?n=9");
        if round % 2 == 0 {
            exporter.page();
        }
        kill(exporter);
        service.remote.control("gc?n=20");
        exporter = Exporter::configured(&config);
        let page = exporter.page();
        assert_eq!(behind(&page), before_us, "{page}");
        assert!(page.value("go_gc_stw_seconds_sum") > last, "{page}");
        last = page.value("go_gc_stw_seconds_sum");
    }
    let page = exporter.page();
    assert_eq!(page.value("go_gc_pauses_missed_total"), 0.0, "{page}");
    assert_eq!(page.value("go_process_starts_total"), 0.0, "{page}");
    kill(exporter);
    // Another process takes the address while nobody looks.
    let other = Service::start(&["-addr", &replaced(service)], "", Stdio::null());
    other.remote.control("gc?n=50");
    let page = Exporter::configured(&config).page();
    assert_eq!(page.value("go_process_starts_total"), 1.0, "{page}");
    let all_of_it = page.value("go_gc_cycles_total_gc_cycles_total");
    assert!(page.value("go_gc_stw_seconds_count") >= all_of_it, "{page}");
}

/// Ends a service, and gives the address that is free then.
fn replaced(service: Service) -> String {
    service.remote.address().to_string()
}

#[test]
fn a_pipe_goes_on_without_inventing_what_nobody_read() {
    let kept = Kept::new();
    let fifo = kept.folder.path().join("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let lines: Vec<&str> = RECORDED.split_inclusive('\n').collect();
    let (first, rest) = lines.split_at(lines.len() / 3);
    let (_unread, last) = rest.split_at(lines.len() / 3);
    let flags = ["--fifo", fifo.to_str().unwrap()];
    let mut writer = None;
    let mut write = |text: &str| {
        // The exporter keeps it open for reading, so this does not wait.
        let file = writer.insert(File::options().read(true).write(true).open(&fifo).unwrap());
        std::io::Write::write_all(file, text.as_bytes()).unwrap();
    };
    let exporter = kept.run(&flags);
    exporter.address();
    write(&first.concat());
    exporter.wait_for(READ, number(first.concat().len()));
    kill(exporter);
    let exporter = kept.run(&flags);
    exporter.address();
    write(&last.concat());
    let page = exporter.wait_for(READ, number(first.concat().len() + last.concat().len()));
    let of_kind =
        |lines: &[&str], kind| number(lines.iter().filter(|line| line.starts_with(kind)).count());
    let cycles = of_kind(first, "gc ") + of_kind(last, "gc ");
    assert_eq!(page.sum("go_gc_cycles_total"), cycles, "{page}");
    assert_eq!(page.value("go_process_starts_total"), 0.0, "{page}");
    assert_eq!(page.value("go_gc_records_missed_total"), of_kind(&lines, "gc ") - cycles, "{page}");
    // No interval before the first cycle, and none across the gap.
    assert_eq!(page.value("go_gc_interval_seconds_count"), cycles - 2.0, "{page}");
    let apart = undisturbed(first.concat().as_bytes()).value("go_sched_ticks_total")
        + undisturbed(last.concat().as_bytes()).value("go_sched_ticks_total");
    assert_eq!(page.value("go_sched_ticks_total"), apart, "{page}");
}

/// What a saved state is made to be, and what is told of it.
fn is_refused(spoil: impl Fn(&Path), reason: &str) {
    let kept = Kept::new();
    append(&kept.log(), RECORDED);
    let mut exporter = kept.follow();
    exporter.wait_for("go_sched_samples_total", recorded("sched"));
    assert!(exporter.stop().success());
    spoil(&kept.file());
    let exporter = kept.follow();
    exporter.ready();
    let page = exporter.wait_for("go_sched_samples_total", recorded("sched"));
    let errors = format!("godebug_exporter_state_load_errors_total{{reason=\"{reason}\"}}");
    assert_eq!(page.value(&errors), 1.0, "{page}");
    let warnings = exporter.log("warn");
    let path = kept.file().display().to_string();
    assert!(warnings.len() == 1 && warnings[0].contains(&path), "{warnings:?}");
    assert!(warnings[0].contains("counters begin at 0"), "{warnings:?}");
    // The next life goes on from the new state.
    append(&kept.log(), RECORDED);
    exporter.wait_for("go_sched_samples_total", 2.0 * recorded("sched"));
    kill(exporter);
    let exporter = kept.follow();
    exporter.wait_for("go_sched_samples_total", 2.0 * recorded("sched"));
    assert!(exporter.log("warn").is_empty());
}

#[test]
fn a_state_that_cannot_be_used_is_told_and_set_aside() {
    is_refused(|file| fs::write(file, "{\"version\":1}").unwrap(), "foreign");
    is_refused(
        |file| File::options().write(true).open(file).unwrap().set_len(100).unwrap(),
        "damaged",
    );
    is_refused(|file| fs::write(file, "").unwrap(), "damaged");
    is_refused(
        |file| {
            let text = fs::read_to_string(file).unwrap();
            fs::write(file, text.replacen("state 1 ", "state 999 ", 1)).unwrap();
        },
        "newer",
    );
    is_refused(
        |file| {
            let mut bytes = fs::read(file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(file, bytes).unwrap();
        },
        "damaged",
    );
}

#[test]
fn two_exporters_do_not_share_a_state_directory() {
    let kept = Kept::new();
    let first = kept.follow();
    first.address();
    let other = Kept { listen: ports::free(), folder: tempfile::tempdir().unwrap() };
    let mut flags = other.flags(&["--stdin"]);
    let at = flags.iter().position(|flag| flag == "--state-dir").unwrap();
    flags[at + 1] = kept.state().display().to_string();
    let output = command(&flags).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("another exporter uses the state directory"), "{told}");
    kill(first);
    kept.follow().address();
}

#[test]
fn a_directory_that_is_none_is_told_and_metrics_go_on() {
    let kept = Kept::new();
    fs::write(kept.state(), "a file").unwrap();
    append(&kept.log(), RECORDED);
    let exporter = kept.follow();
    exporter.ready();
    let page = exporter.wait_for("go_sched_samples_total", recorded("sched"));
    assert!(page.sum("godebug_exporter_state_save_errors_total") >= 1.0, "{page}");
    let warnings = exporter.log("warn");
    assert!(warnings.len() == 1 && warnings[0].contains("cannot save state"), "{warnings:?}");
    fs::remove_file(kept.state()).unwrap();
    exporter.page_where("it is saved now", |page| {
        page.value("godebug_exporter_state_saves_total") >= 1.0
    });
    kill(exporter);
    append(&kept.log(), RECORDED);
    kept.follow().wait_for("go_sched_samples_total", 2.0 * recorded("sched"));
}

/// An exporter in a mount namespace of its own, where `mount` made its state directory what it is.
fn mounted(kept: &Kept, mount: &str, source: &[&str]) -> Exporter {
    fs::create_dir_all(kept.state()).unwrap();
    let script = format!("cd \"$1\" && shift && {mount} && exec \"$@\"");
    let exporter = command(kept.flags(source));
    let mut wrapped = std::process::Command::new("unshare");
    wrapped.args(["--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    wrapped.arg(kept.state()).arg(exporter.get_program()).args(exporter.get_args());
    Exporter::start(wrapped)
}

#[test]
fn a_full_disk_is_told_and_metrics_go_on_until_there_is_room() {
    let kept = Kept::new();
    append(&kept.log(), RECORDED);
    let log = kept.log().display().to_string();
    let full = "mount -t tmpfs -o size=64k tmpfs \"$PWD\" && cd . && { head -c 100000 /dev/zero >\"$OLDPWD/fill\" 2>/dev/null || true; }";
    let exporter = mounted(&kept, full, &["--file", &log, "--from-beginning"]);
    let page = exporter.wait_for("go_sched_samples_total", recorded("sched"));
    let no_space = r#"godebug_exporter_state_save_errors_total{reason="no_space"}"#;
    assert!(page.value(no_space) >= 1.0, "{page}");
    assert_eq!(page.value("godebug_exporter_state_saves_total"), 0.0, "{page}");
    let warnings = exporter.log("warn");
    assert!(warnings.len() == 1 && warnings[0].contains("reason=no_space"), "{warnings:?}");
    exporter.ready();
    let inside = format!("/proc/{}/root{}", exporter.process.0.id(), kept.state().display());
    fs::remove_file(Path::new(&inside).join("fill")).unwrap();
    append(&kept.log(), RECORDED);
    exporter.wait_for("go_sched_samples_total", 2.0 * recorded("sched"));
    exporter.page_where("it is saved now", |page| {
        page.value("godebug_exporter_state_saves_total") >= 1.0
    });
    let told = exporter.log("info").into_iter().any(|line| line.contains("state is saved again"));
    assert!(told, "{}", exporter.stderr.text());
}

#[test]
fn a_read_only_directory_is_told_and_gives_what_it_holds() {
    let kept = Kept::new();
    append(&kept.log(), RECORDED);
    let mut exporter = kept.follow();
    exporter.wait_for("go_sched_samples_total", recorded("sched"));
    assert!(exporter.stop().success());
    append(&kept.log(), RECORDED);
    let log = kept.log().display().to_string();
    let read_only = "mount --bind \"$PWD\" \"$PWD\" && mount -o remount,bind,ro \"$PWD\"";
    for _ in 0..2 {
        // A file can be read again from the saved place on, as often as one likes.
        let exporter = mounted(&kept, read_only, &["--file", &log, "--from-beginning"]);
        let page = exporter.wait_for("go_sched_samples_total", 2.0 * recorded("sched"));
        let errors = r#"godebug_exporter_state_save_errors_total{reason="read_only"}"#;
        assert!(page.value(errors) >= 1.0, "{page}");
        exporter.ready();
    }
    // A stream cannot: what would be counted now could not be saved.
    let stream = mounted(&kept, read_only, &["--stdin"]);
    let page = stream.page();
    assert_eq!(page.value("go_sched_samples_total"), 0.0, "{page}");
    assert_eq!(
        page.value(r#"godebug_exporter_state_load_errors_total{reason="unwritable"}"#),
        1.0,
        "{page}"
    );
}

#[test]
fn one_bad_state_does_not_disturb_the_other_services() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let config = format!(
        "state: {{directory: {}, interval: 1s}}\nservices:\n- {{name: a, trace: {{file: {}, from: beginning}}}}\n- {{name: 'b/ü', trace: {{file: {}, from: beginning}}}}\n",
        at("state").display(),
        at("a.log").display(),
        at("b.log").display(),
    );
    append(&at("a.log"), RECORDED);
    append(&at("b.log"), RECORDED);
    let samples = |service: &str| format!("go_sched_samples_total{{service=\"{service}\"}}");
    let mut exporter = Exporter::configured(&config);
    exporter.wait_for(&samples("a"), recorded("sched"));
    exporter.wait_for(&samples("b/ü"), recorded("sched"));
    assert!(exporter.stop().success());
    fs::write(at("state").join("a.state"), "spoilt").unwrap();
    append(&at("b.log"), RECORDED);
    let exporter = Exporter::configured(&config);
    exporter.wait_for(&samples("a"), recorded("sched"));
    exporter.wait_for(&samples("b/ü"), 2.0 * recorded("sched"));
    assert_eq!(exporter.page().sum("godebug_exporter_state_load_errors_total"), 1.0);
}

#[test]
fn a_service_is_left_out_until_it_has_caught_up() {
    let kept = Kept::new();
    append(&kept.log(), RECORDED);
    let exporter = kept.follow();
    exporter.wait_for("go_sched_samples_total", recorded("sched"));
    kill(exporter);
    append(&kept.log(), RECORDED.repeat(200));
    let exporter = kept.follow();
    let address = exporter.address();
    let whole = 201.0 * recorded("sched");
    wait_until("it has caught up", || {
        let page = Page::read(&http::body(address, "/metrics"));
        match page.get("go_sched_samples_total") {
            // Nothing of it is there, or all of it.
            None => {
                assert!(!page.has("godebug_exporter_records_total"), "{page}");
                None
            }
            Some(samples) => {
                assert_eq!(samples, whole, "{page}");
                Some(())
            }
        }
    });
    exporter.ready();
}

#[test]
fn an_orderly_end_saves_what_was_never_scraped() {
    let kept = Kept::new();
    let mut exporter = kept.run(&["--stdin"]);
    exporter.address();
    std::io::Write::write_all(exporter.stdin.as_mut().unwrap(), RECORDED.as_bytes()).unwrap();
    drop(exporter.stdin.take());
    exporter.stderr.line("the stream ended", |line| line.contains("source ended").then_some(()));
    assert!(exporter.stop().success());
    let exporter = kept.run(&["--stdin"]);
    assert_eq!(exporter.page().value("go_sched_samples_total"), recorded("sched"));
}

#[test]
fn each_file_of_a_pattern_goes_on_where_it_was() {
    let kept = Kept::new();
    let at = |name: &str| kept.folder.path().join(name);
    for (name, times) in [("a.log", 1), ("b.log", 2)] {
        append(&at(name), RECORDED.repeat(times));
    }
    let pattern = at("*.log");
    let follow = || kept.run(&["--file", pattern.to_str().unwrap(), "--from-beginning"]);
    let samples = |log: &str| format!("go_sched_samples_total{{log=\"{log}\"}}");
    let exporter = follow();
    exporter.wait_for(&samples("a.log"), recorded("sched"));
    exporter.wait_for(&samples("b.log"), 2.0 * recorded("sched"));
    kill(exporter);
    append(&at("a.log"), RECORDED);
    append(&at("c.log"), RECORDED);
    let exporter = follow();
    exporter.ready();
    exporter.wait_for(&samples("a.log"), 2.0 * recorded("sched"));
    exporter.wait_for(&samples("b.log"), 2.0 * recorded("sched"));
    exporter.wait_for(&samples("c.log"), recorded("sched"));
    assert!(exporter.log("warn").is_empty(), "{:?}", exporter.log("warn"));
}
