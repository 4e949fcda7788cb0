//! Opening the listening sockets.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tracing::warn;

use crate::config::Config;
use crate::config::listen::Listen;
use crate::serve::guard::Guard;
use crate::serve::listener::Listener;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::web::WebTelemetry;

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(1);

/// Opens the listening sockets.
///
/// # Errors
/// One of them cannot be had: what to do about it.
pub fn bind(places: &[Listen]) -> anyhow::Result<Vec<Listener>> {
    let one = |place: &Listen| {
        Listener::bind(place).with_context(|| {
            format!("cannot listen on {place}; is another exporter running there? choose another address with --listen")
        })
    };
    places.iter().map(one).collect()
}

/// The sockets that systemd has opened for us.
///
/// # Errors
/// There are none, or one is not a listening socket.
pub fn of_systemd() -> anyhow::Result<Vec<Listener>> {
    let mut given = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for at in 0..given.len() {
        let tcp = given.take_tcp_listener(at).map(|socket| socket.map(OwnedFd::from));
        let socket = tcp.or_else(|_not_tcp| {
            given.take_unix_listener(at).map(|socket| socket.map(OwnedFd::from))
        });
        let socket = socket.context("systemd has opened what is no socket to listen on")?;
        if let Some(socket) = socket {
            listeners.push(Listener::adopt(socket, None).context("cannot use systemd's socket")?);
        }
    }
    if listeners.is_empty() {
        bail!(
            "systemd has opened no sockets for us: is there a .socket unit, and was it that started this service?"
        );
    }
    Ok(listeners)
}

/// Opens the listening sockets, however long it takes: the service must not wait for it.
pub async fn bind_patiently(places: &[Listen]) -> Vec<Listener> {
    patiently(|| bind(places)).await
}

async fn patiently<T>(attempt: impl Fn() -> anyhow::Result<T>) -> T {
    let mut told = false;
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) if !told => {
                warn!(
                    error = format!("{error:#}"),
                    "no /metrics yet, trying again; the command runs all the same"
                );
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// What the web configuration file says, if there is one.
///
/// # Errors
/// Every problem that it has.
pub fn guard(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Arc<Guard>>> {
    let Some(file) = config.web.config_file.clone() else { return Ok(None) };
    let telemetry = WebTelemetry::new(Arc::clone(metrics));
    let guard = Guard::open(file, telemetry).map_err(|problems| anyhow!(problems.join("\n")))?;
    Ok(Some(guard))
}

/// The same, however long it takes until the file is right: the service must not wait for it.
pub async fn guard_patiently(config: &Config, metrics: &Arc<Metrics>) -> Option<Arc<Guard>> {
    patiently(|| guard(config, metrics)).await
}

/// The sockets of an exporter that went before us, in the order of the places.
///
/// # Errors
/// They are no listening sockets: a defect.
pub fn adopt(sockets: Vec<OwnedFd>, places: &[Listen]) -> anyhow::Result<Vec<Listener>> {
    let sockets = sockets.into_iter().zip(places);
    let one = |(socket, place)| Listener::adopt(socket, Some(place));
    sockets.map(one).collect::<Result<_, _>>().context("cannot use the last exporter's sockets")
}
