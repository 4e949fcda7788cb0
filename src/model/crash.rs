//! How a Go process ended, or what its race detector found.

use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A panic that nobody recovered.
    Panic,
    /// An error of the runtime that cannot be recovered (`fatal error: …`).
    Fatal,
    /// One of these: no goroutine can go on.
    Deadlock,
    /// One of these: no memory.
    #[serde(rename = "oom")]
    OutOfMemory,
    /// A dump on a signal: SIGQUIT, SIGABRT, a fault in C code.
    Signal,
    /// A data race; the process goes on.
    Race,
}

impl What {
    /// The label value, and `what` in `parse`'s JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Fatal => "fatal",
            Self::Deadlock => "deadlock",
            Self::OutOfMemory => "oom",
            Self::Signal => "signal",
            Self::Race => "race",
        }
    }
}

/// Fatal errors: the closed set of the label `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum FatalKind {
    Deadlock,
    ConcurrentMapWrites,
    ConcurrentMapReadWrite,
    ConcurrentMapIteration,
    StackOverflow,
    OutOfMemory,
    UnexpectedSignal,
    Fault,
    UnlockOfUnlockedMutex,
    Checkptr,
    Cgocheck,
    ThreadLimit,
    Other,
}

impl FatalKind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 13] = [
        Self::Deadlock,
        Self::ConcurrentMapWrites,
        Self::ConcurrentMapReadWrite,
        Self::ConcurrentMapIteration,
        Self::StackOverflow,
        Self::OutOfMemory,
        Self::UnexpectedSignal,
        Self::Fault,
        Self::UnlockOfUnlockedMutex,
        Self::Checkptr,
        Self::Cgocheck,
        Self::ThreadLimit,
        Self::Other,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deadlock => "deadlock",
            Self::ConcurrentMapWrites => "concurrent_map_writes",
            Self::ConcurrentMapReadWrite => "concurrent_map_read_write",
            Self::ConcurrentMapIteration => "concurrent_map_iteration",
            Self::StackOverflow => "stack_overflow",
            Self::OutOfMemory => "out_of_memory",
            Self::UnexpectedSignal => "unexpected_signal",
            Self::Fault => "fault",
            Self::UnlockOfUnlockedMutex => "unlock_of_unlocked_mutex",
            Self::Checkptr => "checkptr",
            Self::Cgocheck => "cgocheck",
            Self::ThreadLimit => "thread_limit",
            Self::Other => "other",
        }
    }
}

/// Signals on which the runtime prints a dump: the closed set of the label `signal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Signal {
    #[serde(rename = "SIGQUIT")]
    Quit,
    #[serde(rename = "SIGABRT")]
    Abort,
    #[serde(rename = "SIGSEGV")]
    Segv,
    #[serde(rename = "SIGBUS")]
    Bus,
    #[serde(rename = "SIGFPE")]
    Fpe,
    #[serde(rename = "SIGILL")]
    Ill,
    #[serde(rename = "other")]
    Other,
}

impl Signal {
    /// All signals, in the order of their discriminants.
    pub const ALL: [Self; 7] =
        [Self::Quit, Self::Abort, Self::Segv, Self::Bus, Self::Fpe, Self::Ill, Self::Other];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quit => "SIGQUIT",
            Self::Abort => "SIGABRT",
            Self::Segv => "SIGSEGV",
            Self::Bus => "SIGBUS",
            Self::Fpe => "SIGFPE",
            Self::Ill => "SIGILL",
            Self::Other => "other",
        }
    }

    /// The signal with this name.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let known = Self::ALL.into_iter().find(|signal| signal.as_str().as_bytes() == name);
        known.unwrap_or(Self::Other)
    }
}

/// One crash, or one data race.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "crash")]
pub struct Crash {
    /// What happened.
    pub what: What,
    /// What the runtime said, its first KiB; `None` if a log line stands in its place.
    pub message: Option<String>,
    /// Which fatal error.
    pub fatal_kind: Option<FatalKind>,
    /// The signal that caused it.
    pub signal: Option<Signal>,
    /// Goroutines that existed; `None` unless the dump is sure to list them all. After a fault of
    /// the runtime, a signal or with GOTRACEBACK=system the runtime's own are among them.
    pub goroutines: Option<u64>,
    /// Goroutines that the dump lists.
    pub goroutines_listed: u64,
    /// The innermost function of the first goroutine that is not the runtime's.
    pub function: Option<String>,
    /// Its source file.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
}

impl Crash {
    /// Of which nothing more is known yet.
    #[must_use]
    pub const fn new(what: What) -> Self {
        Self {
            what,
            message: None,
            fatal_kind: None,
            signal: None,
            goroutines: None,
            goroutines_listed: 0,
            function: None,
            file: None,
            line: None,
        }
    }
}
