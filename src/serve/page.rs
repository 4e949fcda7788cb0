//! The page at `/`: what this is, what it reads, where the numbers are.

use std::fmt::Write;

use crate::config::endpoint::{Endpoint, ScrapeWhen, shown};
use crate::config::{Service, TraceSource};
use crate::telemetry::build::BUILD;

/// The page of these services; `push`: how and where to their metrics are pushed.
#[must_use]
pub fn html<'a>(services: impl Iterator<Item = &'a Service>, push: Option<&str>) -> String {
    let mut rows = String::new();
    for service in services {
        // Writing to a String cannot fail.
        let _never = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(service.identity.key().as_str()),
            escaped(&trace(service)),
            escaped(&expvar(service)),
            escaped(&service.pprof.as_ref().map_or("–".into(), |pprof| read(&pprof.endpoint))),
        );
    }
    let push = push.map(|push| format!("<p>Also pushed by {}.</p>\n", escaped(push)));
    TEMPLATE
        .replace("{push}", &push.unwrap_or_default())
        .replace("{version}", BUILD.version)
        .replace("{revision}", BUILD.revision)
        .replace("{rows}", &rows)
}

const TEMPLATE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>godebug-exporter</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; vertical-align: top; overflow-wrap: anywhere; }
code, td { font-family: ui-monospace, monospace; font-size: .9em; }
</style>
</head>
<body>
<h1>godebug-exporter</h1>
<p>Metrics of the Go runtime's scheduler, garbage collector and memory, read from outside the services below.</p>
<ul>
<li><a href="/metrics">/metrics</a> for Prometheus</li>
<li><a href="/api/v1/services">/api/v1/services</a>: what each service offers, and what to add to have more of it</li>
<li><a href="/-/ready">/-/ready</a> and <a href="/-/healthy">/-/healthy</a> for probes</li>
</ul>
{push}<h2>Services</h2>
<table>
<tr><th>service</th><th>trace from</th><th>expvar from</th><th>pprof from</th></tr>
{rows}</table>
<p>Version {version}, revision {revision}.</p>
</body>
</html>
"#;

fn trace(service: &Service) -> String {
    use TraceSource::{Child, Command, Fifo, File, Kubernetes, Recording, Stdin};
    match service.trace.as_ref().map(|trace| &trace.source) {
        None => "–".into(),
        Some(File { path, .. }) => format!("file {}", path.display()),
        Some(Fifo(path)) => format!("named pipe {}", path.display()),
        Some(Stdin) => "stdin".into(),
        Some(Command(words)) => format!("command {}", words.first().map_or("", String::as_str)),
        Some(Kubernetes(log)) => format!("log of container {}", log.container),
        Some(Child) => "stderr of the child".into(),
        Some(Recording) => "a recording".into(),
    }
}

fn expvar(service: &Service) -> String {
    if service.is_recorded() {
        return "a recording".into();
    }
    service.expvar_endpoint().map_or("–".into(), read)
}

fn read(endpoint: &Endpoint) -> String {
    match endpoint.when {
        ScrapeWhen::Every(every) => format!("{} every {every:?}", shown(&endpoint.url)),
        ScrapeWhen::OnScrape => format!("{} when /metrics is read", shown(&endpoint.url)),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_page() {
        let config = crate::config::file::read(
            "services:\n  - name: '<script>&\"'\n    trace: {stdin: true}\n",
        )
        .unwrap();
        let page = html(config.services.iter(), Some("OTLP to <b>"));
        assert!(page.contains("<td>&lt;script&gt;&amp;&quot;</td>"));
        assert!(page.contains("<p>Also pushed by OTLP to &lt;b&gt;.</p>"), "{page}");
    }
}
