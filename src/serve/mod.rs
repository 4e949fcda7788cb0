//! Station 6: the HTTP server.

mod coding;
mod gate;
pub mod listener;
pub mod page;
mod query;
pub mod routes;
mod sending;
mod services;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::config::web::Web;
use crate::runtime::supervise::Supervisor;
use crate::telemetry::metrics::Metrics;
use gate::Gate;
use listener::{Client, Listener, Stream};
use routes::Routes;
use sending::{Answers, Taken};

/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A head is small; hyper asks for at least 8 KiB.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Wait after an accept that failed for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Answers on `listeners` until `stop`.
pub fn start(
    listeners: Vec<Listener>,
    web: &Web,
    routes: Arc<Routes>,
    supervisor: &Supervisor,
    metrics: &Arc<Metrics>,
) {
    let server = Arc::new(Server {
        gate: Gate::new(routes, web.max_requests),
        supervisor: supervisor.clone(),
        metrics: Arc::clone(metrics),
        free: Arc::new(Semaphore::new(web.max_connections)),
        write_timeout: web.write_timeout,
    });
    for listener in listeners {
        supervisor.spawn("server", Arc::clone(&server).run(listener));
    }
}

/// What all listeners have in common.
#[derive(Debug)]
struct Server {
    gate: Gate,
    supervisor: Supervisor,
    metrics: Arc<Metrics>,
    /// Connections that there may still be.
    free: Arc<Semaphore>,
    write_timeout: Duration,
}

impl Server {
    async fn run(self: Arc<Self>, listener: Listener) {
        let stop = self.supervisor.stop();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(client) => self.begin(client),
                Err(error) => accept_failed(&error).await,
            }
        }
    }

    fn begin(self: &Arc<Self>, client: Client) {
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            self.metrics.http_refused.inc();
            return;
        };
        let (this, trusted) = (Arc::clone(self), client.trusted);
        self.supervisor.spawn("connection", async move {
            this.metrics.http_connections.inc();
            if let Err(ending) = this.serve(client.stream, trusted).await {
                this.metrics.http_ended.with_label_values(&[ending.as_str()]).inc();
                debug!(reason = ending.as_str(), "connection ended early");
            }
            this.metrics.http_connections.dec();
            drop(permit);
        });
    }

    async fn serve(self: &Arc<Self>, stream: Box<dyn Stream>, trusted: bool) -> Result<(), Ending> {
        let answers = Arc::new(Answers::default());
        let service = service_fn(|request| {
            let (this, answers) = (Arc::clone(self), Arc::clone(&answers));
            async move { Ok::<_, Infallible>(this.gate.answer(&request, trusted, &answers).await) }
        });
        let stream = TokioIo::new(Taken::new(stream, self.write_timeout));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(stream, service);
        tokio::pin!(connection);
        let result = tokio::select! {
            result = &mut connection => result,
            () = answers.stalled(self.write_timeout) => return Err(Ending::WriteTimeout),
            () = self.supervisor.stop().cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        result.map_err(|error| Ending::of(&error))
    }
}

/// Why a connection ended before its time: the label `reason`.
#[derive(Debug, Clone, Copy)]
enum Ending {
    HeadTimeout,
    WriteTimeout,
    NoHttp,
    Broken,
}

impl Ending {
    const fn as_str(self) -> &'static str {
        match self {
            Self::HeadTimeout => "head_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::NoHttp => "no_http",
            Self::Broken => "broken",
        }
    }

    fn of(error: &hyper::Error) -> Self {
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        if source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut) {
            Self::WriteTimeout
        } else if error.is_timeout() {
            Self::HeadTimeout
        } else if error.is_parse() {
            Self::NoHttp
        } else {
            Self::Broken
        }
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
