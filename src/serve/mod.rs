//! Station 6: the HTTP server.

mod coding;
mod gate;
pub mod guard;
pub mod listener;
pub mod page;
mod query;
pub mod routes;
mod sd;
mod sending;
mod services;
mod tls;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::config::web::Web;
use crate::runtime::supervise::Supervisor;
use crate::telemetry::metrics::Metrics;
use gate::{Gate, Peer};
use guard::Guard;
use listener::{Client, Listener, Stream};
use routes::Routes;
use sending::{Answers, Taken};
use tls::Secured;

/// How long a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// A head is small; hyper asks for at least 8 KiB.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// The same for HTTP/2, where it is counted after decompression.
const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;

/// Requests at once on a connection of HTTP/2; Prometheus has one.
const STREAMS_MAX: u32 = 16;

/// How long a client of HTTP/2 that has no request open may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// So much of an answer waits inside HTTP/2, where it cannot be stopped any more.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// Wait after an accept that failed for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Answers on `listeners` until `stop`.
pub fn start(
    listeners: Vec<Listener>,
    web: &Web,
    routes: Arc<Routes>,
    guard: Option<Arc<Guard>>,
    supervisor: &Supervisor,
) {
    let server = Arc::new(Server {
        metrics: Arc::clone(&routes.metrics),
        gate: Gate::new(routes, guard, web.max_requests),
        supervisor: supervisor.clone(),
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
        let this = Arc::clone(self);
        self.supervisor.spawn("connection", async move {
            this.metrics.http_connections.inc();
            if let Err(ending) = this.serve(client).await {
                this.metrics.http_ended.with_label_values(&[ending.as_str()]).inc();
                debug!(reason = ending.as_str(), "connection ended early");
            }
            this.metrics.http_connections.dec();
            drop(permit);
        });
    }

    async fn serve(self: &Arc<Self>, client: Client) -> Result<(), Ending> {
        let Client { stream, is_local } = client;
        let stream = Taken::new(stream, self.write_timeout);
        let Some(guard) = &self.gate.guard else {
            return self.http1(stream, Peer { is_local, is_verified: false }).await;
        };
        let handshake = tls::handshake(stream, guard);
        let stop = self.supervisor.stop();
        let secured = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            secured = tokio::time::timeout(HEADER_TIMEOUT, handshake) => secured,
        };
        match secured.map_err(|_late| Ending::HeadTimeout)?? {
            Secured::Plain(stream) => {
                self.http1(stream, Peer { is_local, is_verified: false }).await
            }
            Secured::Tls { stream, is_verified } => {
                let peer = Peer { is_local, is_verified };
                let protocol = stream.get_ref().1.alpn_protocol();
                if protocol == Some(b"h2") {
                    self.http2(stream, peer).await
                } else {
                    self.http1(stream, peer).await
                }
            }
        }
    }

    async fn http1(self: &Arc<Self>, stream: impl Stream, peer: Peer) -> Result<(), Ending> {
        let answers = Arc::new(Answers::default());
        let service = service_fn(|request| {
            let (this, answers) = (Arc::clone(self), Arc::clone(&answers));
            async move { Ok::<_, Infallible>(this.gate.answer(&request, peer, &answers).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
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

    async fn http2(
        self: &Arc<Self>,
        stream: impl Stream + 'static,
        peer: Peer,
    ) -> Result<(), Ending> {
        let answers = Arc::new(Answers::default());
        let (this, open) = (Arc::clone(self), Arc::clone(&answers));
        let service = service_fn(move |request| {
            let (this, answers) = (Arc::clone(&this), Arc::clone(&open));
            async move { Ok::<_, Infallible>(this.gate.answer(&request, peer, &answers).await) }
        });
        let connection = http2::Builder::new(Streams(self.supervisor.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .max_send_buf_size(SEND_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ending = tokio::select! {
            result = &mut connection => return result.map_err(|error| Ending::of(&error)),
            () = answers.stalled(self.write_timeout) => return Err(Ending::WriteTimeout),
            () = answers.idle(HEADER_TIMEOUT) => Err(Ending::HeadTimeout),
            () = self.supervisor.stop().cancelled() => Ok(()),
        };
        connection.as_mut().graceful_shutdown();
        // What was begun is ended, unless the client does not take it or does not answer any more.
        let gone = async {
            tokio::time::sleep(GOODBYE).await;
            while !answers.are_given() {
                tokio::time::sleep(GOODBYE).await;
            }
        };
        tokio::select! {
            // However the client takes it.
            _closed = &mut connection => ending,
            () = answers.stalled(self.write_timeout) => Err(Ending::WriteTimeout),
            () = gone => ending,
        }
    }
}

/// Starts the requests of an HTTP/2 connection.
#[derive(Clone)]
struct Streams(Supervisor);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, request: F) {
        self.0.spawn("request", request);
    }
}

/// Why a connection ended before its time: the label `reason`.
#[derive(Debug, Clone, Copy)]
enum Ending {
    HeadTimeout,
    WriteTimeout,
    Tls,
    NoHttp,
    Broken,
}

impl Ending {
    const fn as_str(self) -> &'static str {
        match self {
            Self::HeadTimeout => "head_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Tls => "tls",
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
