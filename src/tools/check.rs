//! `check`: what a valid config says. A wrong one is told by who read it.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use crate::config::endpoint::shown;
use crate::config::{Config, Service};
use crate::serve::guard::Checked;

/// Prints the services.
///
/// # Errors
/// Stdout cannot be written to.
pub fn report(file: &Path, config: &Config, web: Option<&Checked>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let services = config.services.len();
    let plural = if services == 1 { "" } else { "s" };
    let listen: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    writeln!(
        out,
        "{}: valid, {services} service{plural}, listens on {}",
        file.display(),
        listen.join(", ")
    )
    .context("cannot write to stdout")?;
    if let Some(Checked { tls, users, left_out }) = web {
        let by = if *tls { "TLS" } else { "no TLS" };
        let who = if *users == 0 { "whoever asks".into() } else { format!("users: {users}") };
        writeln!(out, "  web: {by}, {who}").context("cannot write to stdout")?;
        for what in left_out {
            writeln!(out, "  web: left out: {what}").context("cannot write to stdout")?;
        }
    }
    if let Some(otlp) = &config.otlp {
        writeln!(out, "  pushes by {}", otlp.told()).context("cannot write to stdout")?;
    }
    for service in &config.services {
        writeln!(out, "  {}: {}", service.identity.service, sources(service))
            .context("cannot write to stdout")?;
    }
    Ok(())
}

fn sources(service: &Service) -> String {
    let trace = service.trace.as_ref().map(|trace| format!("trace from {}", trace.source.name()));
    let expvar = service
        .expvar
        .as_ref()
        .map(|expvar| format!("expvar from {}", shown(&expvar.endpoint.url)));
    let pprof =
        service.pprof.as_ref().map(|pprof| format!("pprof from {}", shown(&pprof.endpoint.url)));
    [trace, expvar, pprof].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
