//! The config is read again: all or nothing, and what did not change is not disturbed.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::exporter::{self, Exporter};
use crate::support::service::Service;
use crate::support::trace::append;
use crate::support::wait::wait_until_or;
use crate::support::{http, ports};

struct Setup {
    folder: TempDir,
    exporter: Exporter,
}

impl Setup {
    fn new(config: impl FnOnce(&Path) -> String, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        fs::write(&file, config(folder.path())).unwrap();
        let all = [&["--config", file.to_str().unwrap()], flags].concat();
        let exporter = Exporter::run(&all);
        exporter.ready();
        Self { folder, exporter }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn reload(&self, config: &str) -> http::Answer {
        fs::write(self.path("config.yaml"), config).unwrap();
        http::request("POST", self.exporter.address(), "/-/reload").unwrap()
    }
}

fn files(folder: &Path, names: &[(&str, &str)]) -> String {
    let service = |(name, more): &(&str, &str)| {
        let file = folder.join(format!("{name}.log"));
        format!(
            "  - {{name: {name}, trace: {{file: {}, from: beginning}}{more}}}\n",
            file.display()
        )
    };
    format!("services:\n{}", names.iter().map(service).collect::<String>())
}

/// The `n`-th gctrace line of a process.
fn gc(n: u32) -> String {
    format!(
        "gc {n} @{n}.000s 0%: 0.018+0.46+0.071 ms clock, 0.14+0/0.38/0.14+0.56 ms cpu, 4->4->0 MB, 5 MB goal, 0 MB stacks, 0 MB globals, 8 P\n"
    )
}

const CYCLES: &str = "go_gc_cycles_total";

fn cycles(service: &str, more: &str) -> String {
    format!(r#"{CYCLES}{{kind="automatic",service="{service}"{more}}}"#)
}

fn read(service: &str) -> String {
    format!(r#"godebug_exporter_records_total{{kind="gc",service="{service}"}}"#)
}

#[test]
fn services_come_go_and_change_and_the_others_count_on() {
    for kept in [false, true] {
        let state = tempfile::tempdir().unwrap();
        let flags = ["--state-dir", state.path().to_str().unwrap()];
        let setup = Setup::new(
            |folder| files(folder, &[("stays", ""), ("changes", ""), ("goes", "")]),
            if kept { &flags } else { &[] },
        );
        let exporter = &setup.exporter;
        for name in ["stays", "changes", "goes"] {
            append(&setup.path(&format!("{name}.log")), gc(1) + &gc(2));
            exporter.wait_for(&cycles(name, ""), 2.0);
        }
        // Written before it is known of, and read from the beginning.
        append(&setup.path("comes.log"), gc(1));
        let services = [("stays", ""), ("changes", ", labels: {team: a}"), ("comes", "")];
        let answer = setup.reload(&files(setup.folder.path(), &services));
        assert_eq!((answer.status, answer.text()), (200, "reloaded; services: 3\n"));
        exporter.wait_for(&cycles("comes", ""), 1.0);
        let page = exporter.wait_for(&cycles("changes", r#",team="a""#), 2.0);
        assert_eq!(page.get(&cycles("stays", "")), Some(2.0), "{page}");
        let old = r#"{service="changes",kind="#;
        assert!(!page.to_string().contains(old), "{page}");
        assert!(!page.to_string().contains(r#"service="goes""#), "{page}");
        // Both go on from where they were, each line once.
        for (name, more) in [("stays", ""), ("changes", r#",team="a""#)] {
            append(&setup.path(&format!("{name}.log")), gc(3));
            let page = exporter.wait_for(&cycles(name, more), 3.0);
            assert_eq!(page.get(&read(name)), Some(3.0), "{page}");
        }
        let page = exporter.page();
        assert_eq!(page.get("godebug_exporter_config_last_reload_successful"), Some(1.0));
        let log = exporter.stderr.text();
        assert!(!log.contains("begin anew") && !log.contains("not ended"), "{log}");
        // What is no more is not read any more.
        append(&setup.path("goes.log"), gc(3));
        append(&setup.path("stays.log"), gc(4));
        let page = exporter.wait_for(&cycles("stays", ""), 4.0);
        assert!(!page.to_string().contains(r#"service="goes""#), "{page}");
        // It comes back: from the beginning, or from what is kept.
        let answer = setup.reload(&files(setup.folder.path(), &[("goes", "")]));
        assert_eq!(answer.status, 200);
        exporter.wait_for(&cycles("goes", ""), 3.0);
    }
}

#[test]
fn what_is_wrong_changes_nothing_and_is_told() {
    let setup = Setup::new(|folder| files(folder, &[("s", "")]), &[]);
    let exporter = &setup.exporter;
    append(&setup.path("s.log"), gc(1));
    exporter.wait_for(&cycles("s", ""), 1.0);
    let right = files(setup.folder.path(), &[("s", "")]);
    for (config, told) in [
        ("services: [{name: s, trase: {file: /x}}]\n".to_owned(), "services[0].trase"),
        (format!("listen: 127.0.0.1:1\n{right}"), "a change of listen needs a restart"),
        (format!("log: {{level: debug}}\n{right}"), "a change of log needs a restart"),
        ("services: [{name: s, trace: {stdin: true}}]\n".to_owned(), "the service on stdin needs"),
    ] {
        let answer = setup.reload(&config);
        assert_eq!(answer.status, 500, "{}", answer.text());
        assert!(answer.text().contains(told), "{}", answer.text());
    }
    fs::remove_file(setup.path("config.yaml")).unwrap();
    let answer = http::request("POST", exporter.address(), "/-/reload").unwrap();
    assert!(answer.status == 500 && answer.text().contains("cannot read"), "{}", answer.text());
    append(&setup.path("s.log"), gc(2));
    let page = exporter.wait_for(&cycles("s", ""), 2.0);
    assert_eq!(page.get(r#"godebug_exporter_config_reloads_total{result="failure"}"#), Some(5.0));
    assert_eq!(page.get("godebug_exporter_config_last_reload_successful"), Some(0.0));
    wait_until_or(
        "five errors in the log",
        || (exporter.log("error").len() == 5).then_some(()),
        || exporter.stderr.text(),
    );
    assert_eq!(setup.reload(&right).status, 200);
    let page = exporter.page();
    assert_eq!(page.get("godebug_exporter_config_last_reload_successful"), Some(1.0));
    assert!(
        page.get("godebug_exporter_config_last_reload_success_timestamp_seconds") > Some(1.7e9)
    );
}

#[test]
fn a_hangup_reloads_and_files_of_a_pattern_go_with_their_service() {
    let pattern = |folder: &Path, name: &str| {
        format!(
            "services: [{{name: {name}, trace: {{file: \"{}/*.log\", from: beginning}}}}]\n",
            folder.display()
        )
    };
    let setup = Setup::new(|folder| pattern(folder, "a"), &[]);
    let exporter = &setup.exporter;
    append(&setup.path("one.log"), gc(1));
    let of = |service: &str| {
        format!(r#"{CYCLES}{{kind="automatic",log="one.log",service="{service}"}}"#)
    };
    exporter.wait_for(&of("a"), 1.0);
    fs::write(setup.path("config.yaml"), pattern(setup.folder.path(), "b")).unwrap();
    exporter.process.signal(Signal::HUP);
    let page = exporter.wait_for(&of("b"), 1.0);
    assert_eq!(page.get(&of("a")), None, "{page}");
}

#[test]
fn endpoints_begin_and_end_with_their_service() {
    let service = Service::of("1.27", &["-gc", "5"], "", fs::File::create("/dev/null").unwrap());
    let config = |path: &str| {
        format!(
            "services: [{{name: s, expvar: {{url: \"http://{}{path}\", interval: 1s}}}}]\n",
            service.remote.address()
        )
    };
    let setup = Setup::new(|_| config("/debug/vars"), &[]);
    let exporter = &setup.exporter;
    let up = |source: &str| {
        format!(r#"godebug_exporter_scrape_success{{service="s",source="{source}"}}"#)
    };
    exporter.wait_for(&up("expvar"), 1.0);
    let cycles = "go_gc_cycles_total_gc_cycles_total{service=\"s\"}";
    let before = exporter.page().get(cycles).unwrap();
    // Another address of the same service: it fails, and what was known is not made worse.
    assert_eq!(setup.reload(&config("/nothing")).status, 200);
    exporter.wait_for(&up("expvar"), 0.0);
    assert_eq!(setup.reload(&config("/debug/vars")).status, 200);
    exporter.wait_for(&up("expvar"), 1.0);
    let page = exporter.page_where("cycles go on", |page| page.get(cycles) > Some(before));
    assert_eq!(page.get(r#"go_process_starts_total{service="s"}"#), Some(0.0), "{page}");
}

#[test]
fn only_with_a_config_and_only_by_post() {
    let exporter = Exporter::run(&["--service", "s", "--stdin"]);
    let answer = http::request("POST", exporter.address(), "/-/reload").unwrap();
    assert!(answer.status == 404 && answer.text().contains("no --config"), "{}", answer.text());
    let answer = http::get(exporter.address(), "/-/reload").unwrap();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, PUT")));
}

#[test]
fn not_from_another_machine() {
    let Some(address) = ports::not_loopback() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, files(folder.path(), &[("s", "")])).unwrap();
    let flags = ["run", "--listen", "0.0.0.0:0", "--config", config.to_str().unwrap()];
    let exporter = Exporter::start(exporter::command(flags));
    let address = format!("{address}:{}", exporter.address().port()).parse().unwrap();
    let answer = wait_until_or(
        "it answers",
        || http::request("POST", address, "/-/reload").ok(),
        || exporter.stderr.text(),
    );
    assert_eq!(answer.status, 403, "{}", answer.text());
}
