//! How the HTTP server serves: the map `web`.

use std::path::PathBuf;
use std::time::Duration;

use super::endpoint::positive;
use super::fields::Fields;
use super::http::file;

/// Connections at once: far above a few Prometheus servers and people.
const CONNECTIONS_MAX: usize = 512;

/// Pages at once: the same as node_exporter's `--web.max-requests`.
const REQUESTS_MAX: usize = 40;

/// How long a client may take nothing of an answer: longer than any scrape waits.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Each costs memory and, for connections, a descriptor.
const MOST: usize = 65_536;

/// Settings of the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Connections at once.
    pub max_connections: usize,
    /// Pages made or sent at once.
    pub max_requests: usize,
    /// How long a client may take nothing of an answer.
    pub write_timeout: Duration,
    /// Listen on what systemd has opened for us, not on `listen`.
    pub systemd_socket: bool,
    /// The web configuration file: TLS, users.
    pub config_file: Option<PathBuf>,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            max_connections: CONNECTIONS_MAX,
            max_requests: REQUESTS_MAX,
            write_timeout: WRITE_TIMEOUT,
            systemd_socket: false,
            config_file: None,
        }
    }
}

impl Web {
    /// Reads the map `web`.
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        let default = Self::default();
        let web = Self {
            max_connections: fields
                .parsed("max_connections", count)
                .unwrap_or(default.max_connections),
            max_requests: fields.parsed("max_requests", count).unwrap_or(default.max_requests),
            write_timeout: fields
                .parsed("write_timeout", positive)
                .unwrap_or(default.write_timeout),
            systemd_socket: fields.flag("systemd_socket"),
            config_file: file(&mut fields, "config_file"),
        };
        fields.finish();
        web
    }
}

fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST).contains(count));
    count.ok_or_else(|| format!("must be a number from 1 to {MOST}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    const SERVICES: &str = "services: [{name: s, trace: {stdin: true}}]\n";

    #[test]
    fn limits_are_counts_and_durations() {
        let config = file::read(&format!(
            "web: {{max_connections: 9, max_requests: 2, write_timeout: 1s, config_file: /w}}\n{SERVICES}"
        ));
        let expected = Web {
            max_connections: 9,
            max_requests: 2,
            write_timeout: Duration::from_secs(1),
            systemd_socket: false,
            config_file: Some("/w".into()),
        };
        assert_eq!(config.unwrap().web, expected);
        for wrong in
            ["max_requests: 0", "max_connections: 65537", "max_requests: many", "write_timeout: 0s"]
        {
            let problems = file::read(&format!("web: {{{wrong}}}\n{SERVICES}")).unwrap_err();
            let key = wrong.split(':').next().unwrap();
            assert_eq!(problems[0].path, format!("web.{key}"), "{problems:?}");
        }
    }
}
