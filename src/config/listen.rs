//! Where the HTTP server listens.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::fields::Fields;
use super::node::{Node, Value};

/// Listening sockets at most: `exec` hands all of them over in one message.
pub const LISTEN_MAX: usize = 8;

/// Who may connect to a Unix socket unless told otherwise: its owner and group.
const MODE: u32 = 0o660;

/// Longest path of a Unix socket, in bytes (`sun_path` of unix(7), without its end).
const PATH_BYTES_MAX: usize = 107;

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port; `[::]` also takes IPv4.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix {
        /// Where it is made.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

impl Listen {
    /// Reads `ADDRESS:PORT`, `:PORT`, or `unix:///PATH`.
    ///
    /// # Errors
    /// What a right one looks like.
    pub fn new(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("unix:") {
            return unix(rest);
        }
        if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse().ok()) {
            return Ok(Self::Tcp(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)));
        }
        let numeric = text.replacen("localhost:", "127.0.0.1:", 1);
        numeric.parse().map(Self::Tcp).map_err(|_not_an_address| {
            format!("{text:?} is not an address and a port; write it like 0.0.0.0:10390, 127.0.0.1:10390 or [::]:10390")
        })
    }

    /// Reads the key `listen`: one, or a list.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Vec<Self>> {
        let node = fields.get("listen")?;
        let Value::List(items) = &node.value else {
            return Some(vec![fields.parsed("listen", Self::new)?]);
        };
        if items.is_empty() || items.len() > LISTEN_MAX {
            fields.problem(node.line, "listen", format!("must have 1 to {LISTEN_MAX} items"));
        }
        let one = |item: &Node| match &item.value {
            Value::Text(text) => Self::new(text),
            other => Err(format!("must hold addresses, has {}", other.kind())),
        };
        let one = |item| one(item).map_err(|what| fields.problem(item.line, "listen", what)).ok();
        items.iter().map(one).collect()
    }
}

fn unix(rest: &str) -> Result<Listen, String> {
    let wrong = "is not a Unix socket; write it like unix:///run/godebug-exporter.sock or unix:///run/godebug-exporter.sock?mode=0600";
    let (path, mode) = match rest.split_once("?mode=") {
        Some((path, mode)) => (path, u32::from_str_radix(mode, 8).ok()),
        None => (rest, Some(MODE)),
    };
    let path = path.strip_prefix("//").filter(|path| path.starts_with('/') && path.len() > 1);
    match (path, mode) {
        (Some(path), _) if path.len() > PATH_BYTES_MAX => {
            Err(format!("unix:{rest} is too long; the system takes {PATH_BYTES_MAX} bytes"))
        }
        (Some(path), Some(mode @ 0..=0o777)) => Ok(Listen::Unix { path: path.into(), mode }),
        _ => Err(format!("unix:{rest} {wrong}")),
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_other_exporters() {
        for (text, shown) in [
            ("127.0.0.1:10390", "127.0.0.1:10390"),
            ("localhost:1", "127.0.0.1:1"),
            (":10390", "[::]:10390"),
            ("[::1]:10390", "[::1]:10390"),
            ("unix:///run/a.sock", "unix:///run/a.sock"),
            ("unix:///run/a.sock?mode=0600", "unix:///run/a.sock"),
        ] {
            assert_eq!(Listen::new(text).unwrap().to_string(), shown, "{text}");
        }
        let unix = |path: &str, mode| Ok(Listen::Unix { path: path.into(), mode });
        assert_eq!(Listen::new("unix:///a"), unix("/a", 0o660));
        assert_eq!(Listen::new("unix:///a?mode=600"), unix("/a", 0o600));
        let long = format!("unix:///{}", "x".repeat(PATH_BYTES_MAX));
        for wrong in [
            "",
            "10390",
            "host:1",
            ":x",
            ":70000",
            "unix:",
            "unix://relative",
            "unix:///",
            "unix:///a?mode=9",
            "unix:///a?mode=7777",
            &long,
        ] {
            assert!(Listen::new(wrong).is_err(), "{wrong}");
        }
    }
}
