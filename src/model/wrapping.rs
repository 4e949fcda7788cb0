//! How a log file wraps what the service wrote.

use std::str::FromStr;

/// The form of a log file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wrapping {
    /// Known by its first lines.
    #[default]
    Auto,
    /// The service's bytes, and nothing else.
    Plain,
    /// A pod's log: `2026-11-21T10:00:00.1Z stderr F text`.
    Cri,
    /// Docker's json-file: `{"log":"text\n","stream":"stderr","time":"…"}`.
    Docker,
}

impl FromStr for Wrapping {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "plain" => Ok(Self::Plain),
            "cri" => Ok(Self::Cri),
            "docker" => Ok(Self::Docker),
            _ => Err("must be auto, plain, cri or docker"),
        }
    }
}
