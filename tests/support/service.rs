//! A running test service, and what it knows of itself.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::captured::Captured;
use super::process::Process;
use super::{go, http};

/// A service that somebody runs, reached by HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remote(SocketAddr);

impl Remote {
    /// From what the service prints when it listens.
    pub(crate) fn announced_on(stdout: &Captured) -> Self {
        let address = |line: &str| line.strip_prefix("listening ")?.parse().ok();
        Self(stdout.line("the service listens", address))
    }

    pub(crate) fn address(self) -> SocketAddr {
        self.0
    }

    pub(crate) fn truth(self) -> Truth {
        Truth::from_line(&http::body(self.0, "/truth"))
    }

    /// Has it do something, and waits until it is done: `gc?n=3`.
    pub(crate) fn control(self, what: &str) {
        http::body(self.0, &format!("/control/{what}"));
    }
}

/// What the program itself knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Truth(Value);

impl Truth {
    pub(crate) fn from_line(line: &str) -> Self {
        Self(serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// A field of its own: `LinesLogged`.
    pub(crate) fn get(&self, field: &str) -> u64 {
        self.0[field].as_u64().unwrap_or_else(|| panic!("no {field} in {}", self.0))
    }

    /// A field of memstats: `NumGC`.
    pub(crate) fn memstats(&self, field: &str) -> u64 {
        self.0["MemStats"][field].as_u64().unwrap_or_else(|| panic!("no memstats.{field}"))
    }
}

/// A service that we run ourselves.
pub(crate) struct Service {
    pub(crate) remote: Remote,
    stdout: Captured,
    _process: Process,
}

impl Service {
    /// Starts the newest release's with `arguments`; its GODEBUG output goes to `stderr`.
    pub(crate) fn start(arguments: &[&str], godebug: &str, stderr: impl Into<Stdio>) -> Self {
        Self::of(go::NEWEST, arguments, godebug, stderr)
    }

    pub(crate) fn of(
        version: &str,
        arguments: &[&str],
        godebug: &str,
        stderr: impl Into<Stdio>,
    ) -> Self {
        let mut command = Command::new(go::service(version));
        Self::of_command(command.args(arguments).env("GODEBUG", godebug), stderr)
    }

    /// Of a command that is it, in whatever way.
    pub(crate) fn of_command(command: &mut Command, stderr: impl Into<Stdio>) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stdout = Captured::of(child.stdout.take().unwrap());
        let process = Process(child);
        let remote = Remote::announced_on(&stdout);
        Self { remote, stdout, _process: process }
    }

    /// Where its guarded listener is: an address, or a socket's path.
    pub(crate) fn guarded(&self) -> String {
        self.stdout.line("it is guarded", |line| line.strip_prefix("guarded ").map(str::to_owned))
    }
}
