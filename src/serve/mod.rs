//! Station 6: the HTTP server.

mod coding;
pub mod page;
mod query;
pub mod routes;
mod services;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::runtime::supervise::Supervisor;
use crate::telemetry::metrics::Metrics;
use routes::Routes;

/// Connections at once: far above a few Prometheus servers and people.
const CONNECTIONS_MAX: usize = 512;

/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A head is small; hyper asks for at least 8 KiB.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Wait after an accept that failed for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Answers on `listener` until `stop`.
pub async fn run(
    listener: TcpListener,
    routes: Arc<Routes>,
    supervisor: Supervisor,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
            metrics.http_refused.inc();
            continue;
        };
        let connection = connection(stream, Arc::clone(&routes), stop.clone());
        let open = metrics.http_connections.clone();
        supervisor.spawn("connection", async move {
            open.inc();
            connection.await;
            open.dec();
            drop(permit);
        });
    }
}

/// One connection's failure is its own; want of resources is ours, and spinning makes it worse.
async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        warn!(%error, "cannot accept connections, trying again");
        tokio::time::sleep(ACCEPT_RETRY).await;
    }
}

async fn connection(stream: TcpStream, routes: Arc<Routes>, stop: CancellationToken) {
    let service = service_fn(move |request| {
        let routes = Arc::clone(&routes);
        async move { Ok::<_, std::convert::Infallible>(routes.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "connection ended early");
    }
}
