//! `exec` and signals; `exec` as PID 1.

use std::io::Write;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::exporter::{Exporter, exec_command};
use crate::support::go;
use crate::support::service::{Remote, Truth};
use crate::support::wait::{wait_until, wait_until_or};

#[test]
fn sigterm_reaches_the_service_and_its_exit_code_is_ours() {
    for (arguments, expected) in [(&[][..], 0), (&["-exit", "9"][..], 9)] {
        let mut exec = Exporter::exec_service(go::NEWEST, &[], arguments);
        let service = Remote::announced_on(&exec.stdout);
        let pid = service.truth().get("Pid");
        assert_eq!(exec.stop().code(), Some(expected));
        let stdout = String::from_utf8(exec.stdout.whole()).unwrap();
        let last = Truth::from_line(stdout.lines().last().unwrap());
        assert_eq!(last.get("Pid"), pid, "the service itself said good-bye");
    }
}

#[test]
fn other_signals_are_passed_on() {
    let exec = Exporter::exec_service(go::NEWEST, &[], &[]);
    Remote::announced_on(&exec.stdout);
    exec.process.signal(Signal::HUP);
    exec.stdout.line("SIGHUP", |line| (line == "got hangup").then_some(()));
    exec.process.signal(Signal::USR1);
    exec.stdout.line("SIGUSR1", |line| line.starts_with('{').then_some(()));
}

#[test]
fn a_service_that_is_killed_gives_137() {
    let mut exec = Exporter::exec_service(go::NEWEST, &[], &[]);
    let service = Remote::announced_on(&exec.stdout);
    let pid = i32::try_from(service.truth().get("Pid")).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    assert_eq!(exec.process.end("exec").code(), Some(137));
}

/// Each line of stdin has it list all processes: `PID (COMMAND) STATE PARENT …`.
const LIST_PROCESSES: &str = "for i in 1 2 3; do (sleep 1000 &); done; echo begun; \
     while read -r word; do \
       if [ \"$word\" = end ]; then \
         for p in /proc/[0-9]*; do \
           read -r _ name _ <$p/stat && [ \"$name\" = '(sleep)' ] && kill ${p#/proc/}; \
         done 2>/dev/null; \
       fi; \
       cat /proc/[0-9]*/stat 2>/dev/null; echo listed; \
     done";

#[test]
fn as_pid_1_it_reaps_orphans() {
    if !unshare(&["true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine does not let us have a PID namespace (unshare --pid)");
        return;
    }
    let exec = exec_command(&[], &["sh", "-c", LIST_PROCESSES]);
    let program = exec.get_program().to_str().unwrap().to_owned();
    let arguments: Vec<_> = exec.get_args().map(|word| word.to_str().unwrap()).collect();
    let mut exec = Exporter::start(unshare(&[&[program.as_str()], &arguments[..]].concat()));
    exec.stdout.line("the shell has begun", |line| (line == "begun").then_some(()));
    let mut stdin = exec.stdin.take().unwrap();
    wait_until("three orphans are PID 1's", || {
        (sleepers(&list(&exec, &mut stdin), " 1 ") == 3).then_some(())
    });
    stdin.write_all(b"end\n").unwrap();
    // A zombie keeps its place in /proc, and its name.
    wait_until("the orphans have ended and nothing is left of them", || {
        (!list(&exec, &mut stdin).contains("(sleep)")).then_some(())
    });
    drop(stdin);
    assert_eq!(exec.process.end("exec").code(), Some(0));
}

/// A command as PID 1 of its own namespace.
pub(crate) fn unshare(words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).args(words);
    command.env_remove("GODEBUG");
    command
}

/// The processes of the namespace at this moment.
fn list(exec: &Exporter, stdin: &mut impl Write) -> String {
    let lists = |text: &str| text.matches("listed\n").count();
    let before = lists(&exec.stdout.text());
    stdin.write_all(b"\n").unwrap();
    wait_until_or(
        "the processes are listed",
        || {
            let text = exec.stdout.text();
            let list = text.strip_suffix("listed\n").filter(|_| lists(&text) > before)?;
            Some(list.rsplit("listed\n").next().unwrap().replace("begun\n", ""))
        },
        || exec.stdout.text(),
    )
}

fn sleepers(list: &str, parent: &str) -> usize {
    let of_parent = |line: &&str| {
        let after_name = line.split_once("(sleep) ").map(|(_, rest)| rest);
        // The state is one letter; the parent follows.
        after_name.is_some_and(|rest| rest[1..].starts_with(parent))
    };
    list.lines().filter(of_parent).count()
}
