//! The log of another container of our own pod, through the API server: with the kubelet's own code behind it, and
//! connections that break at any byte.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::api_server::ApiServer;
use crate::support::exporter::{Exporter, command, output};
use crate::support::kubelet::{Container, Kubelet, Node};
use crate::support::wait::{wait_until, wait_until_or};

const GODEBUG: &str = "gctrace=1,schedtrace=20";
const CYCLES: &str = "go_gc_cycles_total";
const GAPS: &str = "godebug_exporter_file_gaps_total";
const UP: &str = r#"godebug_exporter_source_up{service="cart",source="kubernetes"}"#;

/// A pod with a container whose log the API server has.
struct Pod {
    api: ApiServer,
    container: Container,
    config: tempfile::NamedTempFile,
    state: tempfile::TempDir,
    _kubelet: Kubelet,
    _node: Node,
}

impl Pod {
    fn new() -> Self {
        let (node, api) = (Node::new(), ApiServer::start());
        let container = node.container("shop", "cart-0", 1, "app");
        let kubelet = Kubelet::of(container.pod());
        api.asks(kubelet.address);
        let config = tempfile::NamedTempFile::new().unwrap();
        let state = tempfile::tempdir().unwrap();
        let text = format!(
            "services:\n  - name: cart\n    trace:\n      kubernetes: {{mode: api, container: app, {}}}\n",
            api.reached()
        );
        fs::write(config.path(), text).unwrap();
        Self { api, container, config, state, _kubelet: kubelet, _node: node }
    }

    fn exporter(&self, flags: &[&str]) -> Exporter {
        let config = self.config.path().to_str().unwrap();
        let mut command = command(["run", "--listen", "127.0.0.1:0", "--config", config]);
        command.args(flags).env("POD_NAME", "cart-0").env("POD_NAMESPACE", "shop");
        Exporter::start(command)
    }

    /// One whose counters outlive it.
    fn keeper(&self) -> Exporter {
        self.exporter(&["--state-dir", self.state.path().to_str().unwrap()])
    }

    /// Also what was logged before we begin.
    fn is_read_from_its_beginning(&self) {
        let text = fs::read_to_string(self.config.path()).unwrap();
        fs::write(self.config.path(), format!("{text}      from: beginning\n")).unwrap();
    }

    /// Has the service collect, and gives how often it has done so.
    fn collects(&mut self) -> u64 {
        let service = self.container.running();
        service.remote.control("gc?n=5");
        service.remote.truth().memstats("NumGC")
    }

    /// The container ends, with `stopped` as long as it is not started again.
    fn ends(&mut self) {
        self.container.ends();
        fs::write(self.container.pod().join("app/stopped"), "").unwrap();
    }

    fn starts_again(&mut self) {
        self.container.starts_again();
        fs::remove_file(self.container.pod().join("app/stopped")).unwrap();
        self.container.runs(GODEBUG);
    }

    /// How often the log was asked for.
    fn requests(&self) -> usize {
        self.api.requests().iter().filter(|line| line.contains("/pods/cart-0/log?")).count()
    }
}

/// Waits until so many cycles were read.
fn reads_to(exporter: &Exporter, expected: u64) {
    let expected = f64::from(u32::try_from(expected).unwrap());
    wait_until_or(
        &format!("{expected} cycles are read"),
        || (exporter.page().sum(CYCLES) == expected).then_some(()),
        || format!("{}\n{}", exporter.stderr.text(), exporter.page()),
    );
}

#[test]
fn every_line_is_read_once_however_often_the_connection_breaks() {
    let mut pod = Pod::new();
    let exporter = pod.exporter(&[]);
    exporter.ready();
    pod.container.runs(GODEBUG);
    let mut cycles = 0;
    for _ in 0..8 {
        cycles = pod.collects();
        let before = pod.requests();
        pod.api.breaks();
        wait_until("it asks again", || (pod.requests() > before).then_some(()));
    }
    reads_to(&exporter, cycles);
    let page = exporter.page();
    assert_eq!(page.sum(GAPS), 0.0, "{}\n{page}", exporter.stderr.text());
    assert_eq!(page.sum("go_gc_records_missed_total"), 0.0, "{page}");
    // A sample that was counted twice would have no interval to the one before.
    let zero = page.get(r#"go_sched_sample_interval_seconds_bucket{service="cart",le="0.01"}"#);
    assert_eq!(zero, Some(0.0), "{page}");
    let page = exporter.wait_for(UP, 1.0);
    let why = r#"godebug_exporter_source_errors_total{service="cart",source="kubernetes",reason="truncated"}"#;
    assert_eq!(page.sum("godebug_exporter_source_errors_total"), page.value(why), "{page}");
    assert!(page.value(r#"go_sched_samples_total{service="cart"}"#) > 10.0);
    assert_eq!(exporter.log("warn"), [""; 0], "a connection that breaks is no failure");
}

#[test]
fn a_container_that_is_to_start_is_waited_for_and_its_restarts_lose_nothing() {
    let mut pod = Pod::new();
    let log = pod.container.pod().join("app/0.log");
    fs::rename(&log, log.with_file_name("hidden")).unwrap();
    let exporter = pod.exporter(&[]);
    exporter.ready();
    assert_eq!(exporter.log("warn"), [""; 0], "it is no failure");
    fs::rename(log.with_file_name("hidden"), &log).unwrap();
    pod.container.runs(GODEBUG);
    let mut lives = 0;
    for life in 0..3 {
        let now = pod.collects();
        reads_to(&exporter, lives + now);
        if life == 1 {
            // Nobody reads its last words until the next one runs.
            pod.api.forbids(true);
            exporter.page_where("it is down", |page| page.value(UP) == 0.0);
        }
        lives += if life == 1 { pod.collects() } else { now };
        pod.ends();
        pod.starts_again();
        if life == 1 {
            pod.api.forbids(false);
        }
    }
    let now = pod.collects();
    reads_to(&exporter, lives + now);
    let page = exporter.page();
    assert_eq!(page.sum(GAPS), 0.0, "{}\n{page}", exporter.stderr.text());
    assert_eq!(page.sum("go_process_starts_total"), 3.0, "{page}");
}

#[test]
fn of_a_container_that_ended_before_it_was_first_read_the_last_words_are_heard() {
    let mut pod = Pod::new();
    pod.api.forbids(true);
    let exporter = pod.exporter(&[]);
    exporter.wait_for(UP, 0.0);
    exporter.ready();
    pod.container.runs(GODEBUG);
    let mut cycles = pod.collects();
    pod.ends();
    pod.starts_again();
    pod.api.forbids(false);
    cycles += pod.collects();
    reads_to(&exporter, cycles);
    assert_eq!(exporter.page().sum(GAPS), 0.0, "{}", exporter.stderr.text());
}

#[test]
fn a_rotation_is_followed_and_one_that_nobody_saw_is_a_gap() {
    let mut pod = Pod::new();
    let exporter = pod.exporter(&[]);
    exporter.ready();
    pod.container.runs(GODEBUG);
    let mut cycles = pod.collects();
    reads_to(&exporter, cycles);
    pod.container.rotates();
    cycles = pod.collects();
    reads_to(&exporter, cycles);
    assert_eq!(exporter.page().sum(GAPS), 0.0, "{}", exporter.stderr.text());

    pod.api.forbids(true);
    exporter.page_where("it is down", |page| page.value(UP) == 0.0);
    let lost = pod.collects();
    pod.container.rotates();
    let after = pod.collects();
    pod.api.forbids(false);
    reads_to(&exporter, cycles + (after - lost));
    let page =
        exporter.wait_for(r#"godebug_exporter_file_gaps_total{service="cart",reason="gone"}"#, 1.0);
    // The numbers of the cycles say how many.
    let missed = f64::from(u32::try_from(lost - cycles).unwrap());
    assert_eq!(page.sum("go_gc_records_missed_total"), missed, "{page}");
}

#[test]
fn who_is_killed_goes_on_where_it_was() {
    let mut pod = Pod::new();
    pod.is_read_from_its_beginning();
    pod.container.runs(GODEBUG);
    let mut cycles = pod.collects();
    for _ in 0..2 {
        let exporter = pod.keeper();
        reads_to(&exporter, cycles);
        exporter.process.signal(Signal::KILL);
        drop(exporter);
        cycles = pod.collects();
    }
    // Also over a restart of the container that nobody saw.
    pod.ends();
    pod.starts_again();
    cycles += pod.collects();
    let exporter = pod.keeper();
    reads_to(&exporter, cycles);
    let page = exporter.page();
    assert_eq!(page.sum(GAPS), 0.0, "{}\n{page}", exporter.stderr.text());
    assert_eq!(page.sum("go_process_starts_total"), 1.0, "{page}");
}

#[test]
fn what_was_logged_before_we_began_is_not_ours_to_count() {
    let mut pod = Pod::new();
    pod.container.runs(GODEBUG);
    let before = pod.collects();
    wait_until("it is logged", || {
        let log = fs::read_to_string(pod.container.pod().join("app/0.log")).unwrap();
        log.contains(&format!("gc {before} @")).then_some(())
    });
    let exporter = pod.exporter(&[]);
    exporter.ready();
    let after = pod.collects();
    reads_to(&exporter, after - before);
}

#[test]
fn refusals_are_told_with_what_to_do() {
    let mut pod = Pod::new();
    pod.container.runs(GODEBUG);
    pod.api.forbids(true);
    let exporter = pod.exporter(&[]);
    let told = |what: &str| {
        wait_until_or(
            what,
            || exporter.log("warn").iter().any(|line| line.contains(what)).then_some(()),
            || exporter.stderr.text(),
        );
    };
    told("a Role with the rule {apiGroups: [\\\"\\\"], resources: [pods/log], verbs: [get]}");
    pod.api.forbids(false);
    exporter.wait_for(UP, 1.0);
    pod.api.expects_token("second");
    told("it does not know our token");
    pod.api.gives_token("second");
    exporter.wait_for(UP, 1.0);
    fs::rename(pod.container.pod().join("app"), pod.container.pod().join("other")).unwrap();
    pod.api.breaks();
    told("container app is not valid for pod cart-0");
}

#[test]
fn without_a_pods_name_it_says_what_to_add_and_serves_on() {
    let pod = Pod::new();
    let config = pod.config.path().to_str().unwrap();
    let mut command = command(["run", "--listen", "127.0.0.1:0", "--config", config]);
    command.env_remove("POD_NAME").stdin(Stdio::null());
    let exporter = Exporter::start(command);
    exporter.ready();
    let told = exporter.log("warn").join("\n");
    assert!(told.contains("fieldPath: metadata.name}"), "{told}");
    let wrong = output(&["run", "--pod-log", "a/b", "--service", "s"]);
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert!(told.contains("--pod-log: must be the name of a container"), "{told}");
}
