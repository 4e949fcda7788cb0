//! Following a file through all that happens to log files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::support::exporter::Exporter;
use crate::support::process::status_kib;
use crate::support::service::Service;
use crate::support::trace::{RECORDED, append, recorded};
use crate::support::wait::wait_until_or;

const GC: &str = r#"godebug_exporter_records_total{kind="gc"}"#;
const SCHED: &str = r#"godebug_exporter_records_total{kind="sched"}"#;
const UP: &str = r#"godebug_exporter_source_up{source="file"}"#;
const RENAMED: &str = r#"godebug_exporter_file_rotations_total{how="rename"}"#;
const TRUNCATED: &str = r#"godebug_exporter_file_rotations_total{how="truncate"}"#;

/// A folder with a log file, and an exporter that follows it from its beginning.
struct Followed {
    folder: TempDir,
    path: PathBuf,
}

impl Followed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stderr.log");
        Self { folder, path }
    }

    fn follow(&self) -> Exporter {
        Exporter::run(&["--service", "s", "--file", self.text(), "--from-beginning"])
    }

    fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn other(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Waits until the recorded lines were read so many times, and not one more or less.
fn read_times(exporter: &Exporter, times: f64) {
    exporter.wait_for(SCHED, times * recorded("sched"));
    let page = exporter.page();
    assert_eq!(page.value(GC), times * recorded("gc"), "{page}");
    assert_eq!(page.sum("godebug_exporter_records_malformed_total"), 0.0, "{page}");
}

#[test]
fn a_real_service_that_writes_to_a_file_is_read_to_the_last_cycle() {
    let log = Followed::new();
    let file = File::create(&log.path).unwrap();
    let exporter = log.follow();
    let service = Service::start(&[], "schedtrace=100,gctrace=1", file);
    service.remote.control("gc?n=20");
    wait_until_or(
        "every cycle of the service is on the page",
        || {
            let cycles = service.remote.truth().memstats("NumGC");
            let cycles = f64::from(u32::try_from(cycles).unwrap());
            (exporter.page().sum("go_gc_cycles_total") == cycles).then_some(())
        },
        || exporter.page().to_string(),
    );
    let page = exporter.page();
    assert!(page.value(SCHED) > 0.0 && page.value("go_gc_records_missed_total") == 0.0, "{page}");
}

#[test]
fn what_was_there_before_us_is_read_only_when_asked_for() {
    let log = Followed::new();
    append(&log.path, RECORDED);
    let from_beginning = log.follow();
    let from_end = Exporter::run(&["--service", "s", "--file", log.text()]);
    from_end.ready();
    append(&log.path, RECORDED);
    read_times(&from_beginning, 2.0);
    read_times(&from_end, 1.0);
}

#[test]
fn a_line_that_is_written_in_pieces_is_one() {
    let log = Followed::new();
    let exporter = log.follow();
    let (first, rest) = RECORDED.split_at(RECORDED.len() / 2 + 7);
    append(&log.path, first);
    let bytes = f64::from(u32::try_from(first.len()).unwrap());
    exporter.wait_for("godebug_exporter_read_bytes_total", bytes);
    append(&log.path, rest);
    read_times(&exporter, 1.0);
}

#[test]
fn rotation_by_rename_loses_nothing() {
    let log = Followed::new();
    append(&log.path, RECORDED);
    let exporter = log.follow();
    read_times(&exporter, 1.0);
    fs::rename(&log.path, log.other("stderr.log.1")).unwrap();
    // The service has the old file open and goes on in it until it is told to reopen.
    append(&log.other("stderr.log.1"), RECORDED);
    read_times(&exporter, 2.0);
    append(&log.path, RECORDED);
    exporter.wait_for(RENAMED, 1.0);
    read_times(&exporter, 3.0);
    for round in 2..5_u32 {
        fs::rename(&log.path, log.other("old")).unwrap();
        append(&log.path, RECORDED);
        exporter.wait_for(RENAMED, f64::from(round));
        read_times(&exporter, f64::from(round + 2));
    }
    assert_eq!(exporter.page().value(TRUNCATED), 0.0);
}

#[test]
fn copytruncate_loses_nothing_that_was_read_in_time() {
    let log = Followed::new();
    append(&log.path, RECORDED);
    let exporter = log.follow();
    for round in 1..4_u32 {
        read_times(&exporter, f64::from(round));
        fs::copy(&log.path, log.other("stderr.log.1")).unwrap();
        File::options().write(true).open(&log.path).unwrap().set_len(0).unwrap();
        exporter.wait_for(TRUNCATED, f64::from(round));
        append(&log.path, RECORDED);
    }
    read_times(&exporter, 4.0);
    assert_eq!(exporter.page().value(RENAMED), 0.0);
}

#[test]
fn a_file_that_is_missing_is_told_once_and_read_when_it_appears() {
    let log = Followed::new();
    let exporter = Exporter::run(&["--service", "s", "--file", log.text()]);
    let missing = r#"godebug_exporter_source_errors_total{reason="not_found"}"#;
    exporter.page_where("it was looked for twice", |page| page.sum(missing) >= 2.0);
    assert_eq!(exporter.page().value(UP), 0.0);
    exporter.ready();
    append(&log.path, RECORDED);
    read_times(&exporter, 1.0);
    exporter.wait_for(UP, 1.0);
    assert_eq!(exporter.log("warn").len(), 1, "{:?}", exporter.log("warn"));
}

#[test]
fn a_file_that_is_deleted_and_made_anew_is_read_on() {
    let log = Followed::new();
    append(&log.path, RECORDED);
    let exporter = log.follow();
    read_times(&exporter, 1.0);
    fs::remove_file(&log.path).unwrap();
    append(&log.path, RECORDED);
    read_times(&exporter, 2.0);
}

#[test]
fn a_symbolic_link_is_followed_to_its_new_target() {
    let log = Followed::new();
    append(&log.other("0.log"), RECORDED);
    std::os::unix::fs::symlink("0.log", &log.path).unwrap();
    let exporter = log.follow();
    read_times(&exporter, 1.0);
    append(&log.other("1.log"), RECORDED);
    std::os::unix::fs::symlink("1.log", log.other("next")).unwrap();
    fs::rename(log.other("next"), &log.path).unwrap();
    read_times(&exporter, 2.0);
}

#[test]
fn what_is_no_file_is_told_with_what_would_be_right() {
    let make_pipe = |path: &Path| {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    let make_folder = |path: &Path| fs::create_dir(path).unwrap();
    let check = |make: &dyn Fn(&Path), told: &str| {
        let log = Followed::new();
        make(&log.path);
        let exporter = log.follow();
        let reason = r#"godebug_exporter_source_errors_total{reason="not_a_file"}"#;
        exporter.page_where("it is refused", |page| page.sum(reason) >= 1.0);
        assert_eq!(exporter.page().value(UP), 0.0);
        let warnings = exporter.log("warn");
        assert!(warnings.len() == 1 && warnings[0].contains(told), "{warnings:?}");
    };
    check(&make_pipe, "use fifo");
    check(&make_folder, "not a regular file");
}

/// Rounds of garbage, each with the recorded lines behind it.
const ROUNDS: u32 = 5;

/// Resident memory that garbage must not pass; the program itself takes most of it.
const MEMORY_MAX_KIB: u64 = 30 * 1024;

#[test]
fn garbage_is_passed_over_in_bounded_memory() {
    let log = Followed::new();
    let exporter = log.follow();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 1..=ROUNDS {
        append(&log.path, random.bytes(1024 * 1024));
        append(&log.path, b"\nSCHED \xff\xfe\x00ms: gomaxprocs=\xf0\x28\n");
        append(&log.path, vec![0; 1024 * 1024]);
        append(&log.path, "\n");
        append(&log.path, vec![b'x'; 10 * 1024 * 1024]);
        append(&log.path, "\r\n");
        append(&log.path, RECORDED);
        exporter.wait_for(SCHED, f64::from(round) * recorded("sched"));
    }
    let page = exporter.page();
    assert_eq!(page.value(GC), f64::from(ROUNDS) * recorded("gc"), "{page}");
    assert!(page.value("godebug_exporter_lines_too_long_total") >= f64::from(2 * ROUNDS), "{page}");
    let most = status_kib(exporter.process.0.id(), "VmHWM");
    assert!(most < MEMORY_MAX_KIB, "{most} KiB resident");
}

/// Xorshift: the same garbage in every run.
struct Random(u64);

impl Random {
    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(n + 8);
        while bytes.len() < n {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend_from_slice(&self.0.to_le_bytes());
        }
        bytes
    }
}
