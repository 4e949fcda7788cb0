//! `exec` survives us: the exporter proper dies, again and again, and the service, its log and
//! its exit status know nothing of it.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::signals::unshare;
use crate::support::exporter::{Exporter, command, exec_command, is_own_log};
use crate::support::metrics::Page;
use crate::support::process::{Stranger, children, exporter_of};
use crate::support::service::{Remote, Truth};
use crate::support::wait::{wait_until, wait_until_or};
use crate::support::{go, http, ports};

/// Log lines a second.
const RATE: u64 = 4000;

/// What an exporter that is killed can have taken and not passed on: two pieces of 4 KiB.
const HELD_BYTES: usize = 2 * 4096;

/// Bytes of a log line of the service, at least.
const LINE_BYTES: usize = 100;

mod the_service_outlives_every_exporter {
    on_each_release!(super::outlives);
}

/// An `exec` whose exporter dies.
struct Mortal {
    exec: Exporter,
    service: Remote,
    address: SocketAddr,
    rate: u64,
    deaths: u64,
}

impl Mortal {
    fn start(version: &str, rate: u64) -> Self {
        let address = ports::free();
        let (listen, per_second) = (address.to_string(), rate.to_string());
        let binary = go::service(version).to_str().unwrap();
        let flags = ["--listen", &listen, "--godebug", "gctrace=1,schedtrace=5"];
        let words = [binary, "-logger", "json", "-log", &per_second, "-alloc", "50"];
        let exec = Exporter::start(command([&["exec"], &flags[..], &["--"], &words].concat()));
        let service = Remote::announced_on(&exec.stdout);
        let mortal = Self { exec, service, address, rate, deaths: 0 };
        mortal.page();
        mortal
    }

    /// The page of the exporter that lives now.
    fn page(&self) -> Page {
        let deaths = f64::from(u32::try_from(self.deaths).unwrap());
        let answer = || {
            let answer = http::get(self.address, "/metrics").ok()?;
            let page = Page::read(answer.text());
            let restarts = page.value("godebug_exporter_exec_restarts_total");
            (restarts == deaths).then_some(page)
        };
        wait_until_or("/metrics of the exporter that lives now", answer, || {
            format!("{deaths} deaths\n{}", self.exec.log("warn").join("\n"))
        })
    }

    fn exporter(&self) -> Pid {
        wait_until("an exporter runs", || exporter_of(self.exec.process.0.id()))
    }

    fn kill(&mut self, signal: Signal) {
        kill_process(self.exporter(), signal).unwrap();
        self.deaths += 1;
    }

    /// Waits while the exporter lives for more than a second, so that it is worth the next one
    /// at once.
    fn become_steady(&self) {
        let begin = self.service.truth().get("LinesLogged");
        wait_until("the service logs on", || {
            (self.service.truth().get("LinesLogged") >= begin + self.rate * 5 / 4).then_some(())
        });
    }

    /// Stops the service; gives what it knew at its end, and its log.
    fn stop(mut self, code: i32) -> (Truth, String) {
        self.service.control(&format!("stop?code={code}"));
        assert_eq!(self.exec.process.end("exec").code(), Some(code));
        let last = String::from_utf8(self.exec.stdout.whole()).unwrap();
        let log = String::from_utf8(self.exec.stderr.whole()).unwrap();
        (Truth::from_line(last.lines().last().unwrap()), log)
    }
}

/// Checks that the service's lines are whole, in order, none twice; gives how many are missing.
fn missing(log: &str, truth: &Truth) -> usize {
    let number = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        line["n"].as_u64().unwrap()
    };
    let numbers: Vec<u64> = log.lines().filter(|line| !is_own_log(line)).map(number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order, none twice");
    // The last line may be written and not counted.
    usize::try_from(truth.get("LinesLogged")).unwrap().saturating_sub(numbers.len())
}

/// Whether everything was read: on a machine too busy to start a process within a second, the
/// supervisor passed some of it on unread, trace lines and all.
fn read_everything(page: &Page) -> bool {
    let unread = page.value("godebug_exporter_exec_unread_bytes_total");
    if unread > 0.0 {
        eprintln!("{unread} bytes were passed on unread: the log is not looked at more closely");
    }
    unread == 0.0
}

fn outlives(version: &str) {
    let mut mortal = Mortal::start(version, RATE);
    let pid = mortal.service.truth().get("Pid");
    for signal in [Signal::KILL, Signal::ABORT, Signal::ILL] {
        mortal.become_steady();
        mortal.kill(signal);
        mortal.page();
    }
    mortal.become_steady();
    assert_eq!(mortal.service.truth().get("Pid"), pid);
    let page = mortal.page();
    assert_eq!(page.value("go_process_starts_total"), 0.0, "{page}");
    assert_eq!(page.value(r#"godebug_exporter_source_up{source="child"}"#), 1.0);
    let told = mortal.exec.log("warn");
    // A service that catches up logs a second's lines in less, and only the first of several
    // quick deaths is told.
    assert!((1..=3).contains(&told.len()), "one line for each death: {told:?}");
    assert!(told[0].contains("ending=\"signal 9\" restarts=1"), "{told:?}");
    let (truth, log) = mortal.stop(7);
    if read_everything(&page) {
        let missing = missing(&log, &truth);
        assert!(missing <= 3 * HELD_BYTES / LINE_BYTES, "{missing} lines are missing");
        // A trace line that one had begun was finished by the next one.
        for counter in ["go_gc_records_missed_total", "godebug_exporter_records_lost_total"] {
            assert_eq!(page.sum(counter), 0.0, "{counter}\n{page}");
        }
    }
}

#[test]
fn twenty_four_kills_at_a_high_rate() {
    const DEATHS: usize = 24;
    let mut mortal = Mortal::start(go::NEWEST, 20_000);
    let descriptors = |exec: &Exporter| {
        std::fs::read_dir(format!("/proc/{}/fd", exec.process.0.id())).unwrap().count()
    };
    let mut open = 0;
    for death in 0..DEATHS {
        mortal.become_steady();
        mortal.kill(Signal::KILL);
        mortal.page();
        if death == 0 {
            open = descriptors(&mortal.exec);
        }
    }
    assert_eq!(descriptors(&mortal.exec), open, "no exporter leaves a descriptor behind");
    mortal.service.control("gc?n=3");
    let page = wait_until_or(
        "traces are read as before",
        || Some(mortal.page()).filter(|page| page.sum("go_gc_cycles_total") >= 3.0),
        || mortal.page().to_string(),
    );
    let (truth, log) = mortal.stop(0);
    let missing = if read_everything(&page) { missing(&log, &truth) } else { 0 };
    println!("{DEATHS} deaths, {} lines, {missing} missing", truth.get("LinesLogged"));
    assert!(missing <= DEATHS * HELD_BYTES / LINE_BYTES, "{missing} lines are missing");
}

#[test]
fn an_exporter_that_does_not_read_any_more_is_killed() {
    let mut mortal = Mortal::start(go::NEWEST, RATE);
    mortal.become_steady();
    mortal.kill(Signal::STOP);
    let page = mortal.page();
    assert_eq!(page.value("go_process_starts_total"), 0.0);
    mortal.become_steady();
    let (truth, log) = mortal.stop(0);
    if read_everything(&page) {
        assert!(missing(&log, &truth) <= HELD_BYTES / LINE_BYTES);
    }
}

/// The numbers in a log that has other things in it too.
fn numbers_amid_traces(log: &str) -> Vec<u64> {
    let number = |rest: &str| rest.split(',').next().unwrap().parse().unwrap();
    log.split(r#","n":"#).skip(1).map(number).collect()
}

#[test]
fn an_exporter_that_always_dies_at_once_costs_nothing_but_the_metrics() {
    let mut mortal = Mortal::start(go::NEWEST, RATE);
    for _ in 0..4 {
        let victim = mortal.exporter();
        mortal.kill(Signal::KILL);
        wait_until("another one", || (mortal.exporter() != victim).then_some(()));
    }
    // Each of them lived for a moment, so the supervisor waits longer and longer between.
    let page = mortal.page();
    assert!(page.value("godebug_exporter_exec_unread_bytes_total") > 0.0, "{page}");
    assert!(mortal.exec.log("warn").len() <= 2, "{:?}", mortal.exec.log("warn"));
    let (truth, log) = mortal.stop(3);
    let numbers = numbers_amid_traces(&log);
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order, none twice");
    let missing = usize::try_from(truth.get("LinesLogged")).unwrap().saturating_sub(numbers.len());
    assert!(missing <= 4 * HELD_BYTES / LINE_BYTES, "{missing} lines are missing");
}

#[test]
fn an_exporter_that_cannot_be_started_costs_nothing_but_the_metrics() {
    // Without /proc there is no /proc/self/exe.
    let hidden = |words: &[&str]| {
        let mut command = Command::new("unshare");
        let script = r#"mount -t tmpfs none /proc && exec "$@""#;
        command.args(["--mount", "sh", "-c", script, "sh"]).args(words).env_remove("GODEBUG");
        command
    };
    if !hidden(&["true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine does not let us hide /proc (unshare --mount)");
        return;
    }
    let service = go::service(go::NEWEST).to_str().unwrap();
    let exec = exec_command(&[], &[service, "-logger", "json", "-log", "2000", "-count", "3000"]);
    let program = exec.get_program().to_str().unwrap().to_owned();
    let arguments: Vec<_> = exec.get_args().map(|word| word.to_str().unwrap()).collect();
    let mut exec = Exporter::start(hidden(&[&[program.as_str()], &arguments[..]].concat()));
    let service = Remote::announced_on(&exec.stdout);
    wait_until("the log is written", || (service.truth().get("LinesLogged") == 3000).then_some(()));
    service.control("stop?code=5");
    assert_eq!(exec.process.end("exec").code(), Some(5));
    let log = String::from_utf8(exec.stderr.whole()).unwrap();
    assert_eq!(numbers_amid_traces(&log), (1..=3000).collect::<Vec<_>>());
    assert_eq!(log.matches("cannot start the exporter").count(), 1, "{log}");
}

#[test]
fn a_supervisor_that_is_killed_leaves_the_service_and_its_exporter() {
    let mut mortal = Mortal::start(go::NEWEST, RATE);
    let exporter = Stranger(mortal.exporter());
    let pid = i32::try_from(mortal.service.truth().get("Pid")).unwrap();
    let service = Stranger(Pid::from_raw(pid).unwrap());
    mortal.exec.process.signal(Signal::KILL);
    mortal.exec.process.end("the supervisor");
    mortal.become_steady();
    assert!(service.runs() && exporter.runs());
    mortal.page();
    mortal.service.control("stop?code=0");
    wait_until("the exporter ends with the service", || (!exporter.runs()).then_some(()));
    let last = String::from_utf8(mortal.exec.stdout.whole()).unwrap();
    let log = String::from_utf8(mortal.exec.stderr.whole()).unwrap();
    assert_eq!(missing(&log, &Truth::from_line(last.lines().last().unwrap())), 0);
}

#[test]
fn a_signal_to_the_whole_group_does_not_end_the_exporter_before_the_command() {
    let address = ports::free();
    let listen = address.to_string();
    let flags = ["exec", "--listen", &listen, "--trace-lines", "strip", "--"];
    let program = go::crash(go::NEWEST).to_str().unwrap();
    let mut command = command([&flags[..], &[program, "-mode", "signals"]].concat());
    command.process_group(0);
    let mut exec = Exporter::start(command);
    exec.stdout.line("the command has begun", |line| (line == "begun").then_some(()));
    wait_until("/metrics", || http::get(address, "/metrics").ok());
    let id = exec.process.0.id();
    let exporter = exporter_of(id).unwrap();
    let group = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    let signals = [
        (Signal::INT, "interrupt"),
        (Signal::TERM, "terminated"),
        (Signal::HUP, "hangup"),
        (Signal::QUIT, "quit"),
    ];
    for (signal, name) in signals {
        kill_process(exporter, signal).unwrap();
        kill_process_group(group, signal).unwrap();
        let told = format!("trapped {name}");
        exec.stderr.line("the command has it", |line| (line == told).then_some(()));
    }
    assert_eq!(exporter_of(id), Some(exporter), "it is still the same one");
    let mut stdin = exec.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"last words\n").unwrap();
    assert_eq!(exec.process.end("exec").code(), Some(4));
    assert!(String::from_utf8(exec.stderr.whole()).unwrap().ends_with("last words\n"));
}

#[test]
fn the_service_inherits_nothing_of_ours() {
    let exec = Exporter::exec_service(go::NEWEST, &[], &[]);
    let service = Remote::announced_on(&exec.stdout);
    exec.page();
    let folder = format!("/proc/{}", service.truth().get("Pid"));
    let inherited = std::fs::read_dir("/proc/self/fd").unwrap();
    let inherited: Vec<_> =
        inherited.flat_map(|entry| std::fs::read_link(entry.unwrap().path())).collect();
    for entry in std::fs::read_dir(format!("{folder}/fd")).unwrap() {
        let entry = entry.unwrap();
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        let name = target.to_string_lossy();
        let ours = name.starts_with("pipe:") || name.contains("memfd");
        // What we ourselves were started with goes through to it.
        assert!(number <= 2 || !ours || inherited.contains(&target), "{number} is {name}");
    }
    let environment = std::fs::read(format!("{folder}/environ")).unwrap();
    let names = environment.split(|byte| *byte == 0).filter(|variable| !variable.is_empty());
    for variable in names {
        let variable = String::from_utf8_lossy(variable);
        let (name, _) = variable.split_once('=').unwrap();
        assert!(name == "GODEBUG" || std::env::var_os(name).is_some(), "{variable}");
    }
}

#[test]
fn as_pid_1_it_starts_another_exporter() {
    if !unshare(&["true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine does not let us have a PID namespace (unshare --pid)");
        return;
    }
    let address = ports::free();
    let (listen, service) = (address.to_string(), go::service(go::NEWEST).to_str().unwrap());
    let binary = env!("CARGO_BIN_EXE_godebug-exporter");
    let words = [binary, "exec", "--listen", &listen, "--", service];
    let mut exec = Exporter::start(unshare(&words));
    let service = Remote::announced_on(&exec.stdout);
    let supervisor = || Some(children(exec.process.0.id()).first()?.as_raw_pid().cast_unsigned());
    for deaths in [1.0, 2.0] {
        let exporter = || exporter_of(supervisor()?);
        kill_process(wait_until("an exporter runs", exporter), Signal::KILL).unwrap();
        wait_until_or(
            "/metrics of the next one",
            || {
                let answer = http::get(address, "/metrics").ok()?;
                let restarts = "godebug_exporter_exec_restarts_total";
                (Page::read(answer.text()).get(restarts)? >= deaths).then_some(())
            },
            || exec.stderr.text(),
        );
    }
    service.control("stop?code=6");
    assert_eq!(exec.process.end("exec").code(), Some(6));
}
