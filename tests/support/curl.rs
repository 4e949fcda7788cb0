//! Real curl.

use std::process::Command;

use super::exporter::Exporter;
use super::metrics::Page;
use super::wait::wait_until_or;

/// What it got.
#[derive(Debug)]
pub(crate) struct Curled {
    /// 0, or the code of its failure (curl(1), "EXIT CODES").
    pub(crate) exit: i32,
    /// 0 if there was no answer.
    pub(crate) status: u16,
    /// Of HTTP.
    pub(crate) version: String,
    pub(crate) body: String,
    /// The answer's head, and what curl complains about.
    pub(crate) said: String,
}

impl Curled {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = |line: &'_ str| {
            line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let line = self.said.lines().find(|line| header(line))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

pub(crate) fn curl(url: &str, arguments: &[&str]) -> Curled {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--path-as-is", "--max-time", "60"])
        .args(["--dump-header", "/dev/stderr", "--write-out", "\n%{http_code} %{http_version}"])
        .args(arguments)
        .arg(url)
        .output()
        .expect("curl is missing: run tests/toolchains.sh curl");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let (body, last) = stdout.rsplit_once('\n').unwrap();
    let (status, version) = last.split_once(' ').unwrap();
    Curled {
        exit: output.status.code().unwrap(),
        status: status.parse().unwrap(),
        version: version.into(),
        body: body.into(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The exporter's page as curl gets it.
pub(crate) fn page(exporter: &Exporter, scheme: &str, arguments: &[&str]) -> Page {
    let answer = curl(&format!("{scheme}://{}/metrics", exporter.address()), arguments);
    assert_eq!(answer.status, 200, "{answer:?} {}", exporter.stderr.text());
    Page::read(&answer.body)
}

/// Waits until a series has this value.
pub(crate) fn wait_for(
    exporter: &Exporter,
    scheme: &str,
    arguments: &[&str],
    series: &str,
    value: f64,
) -> Page {
    wait_until_or(
        &format!("{series} becomes {value}"),
        || Some(page(exporter, scheme, arguments)).filter(|page| page.get(series) == Some(value)),
        || format!("{}\n{}", exporter.stderr.text(), page(exporter, scheme, arguments)),
    )
}
