//! Reading an HTTP endpoint of a service, on an interval or when we are read ourselves.

use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::{Expvar, ScrapeWhen};
use crate::runtime::backoff::Backoff;
use crate::runtime::health::Latch;
use crate::runtime::trigger::Trigger;
use crate::telemetry::service::{Reason, SourceTelemetry};

/// How we name ourselves to services.
const AGENT: &str = concat!("godebug-exporter/", env!("CARGO_PKG_VERSION"));

/// First wait after a failure, then longer up to the interval: a service that has just been
/// started listens soon.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// Why an endpoint could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// No connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// No whole answer in time.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// The connection broke, or what came is not HTTP.
    #[error("the answer broke off: {0}")]
    Broken(#[source] hyper::Error),
    /// The request cannot be made.
    #[error("cannot ask for {0}")]
    Request(Uri),
    /// An answer other than 200.
    #[error("the service answered {0}")]
    Status(StatusCode),
    /// More than we take.
    #[error("the answer is larger than {0} bytes; raise max_body")]
    TooLarge(usize),
    /// The body was refused by who reads it.
    #[error("{1}")]
    Body(Reason, String),
}

impl ScrapeError {
    /// The label value.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Connect { source, .. } => Reason::of_io(source),
            Self::Timeout(_) => Reason::Timeout,
            Self::Broken(error) if is_cut(error) => Reason::Truncated,
            Self::Broken(_) | Self::Request(_) => Reason::Io,
            Self::Status(_) => Reason::HttpStatus,
            Self::TooLarge(_) => Reason::TooLarge,
            Self::Body(reason, _) => *reason,
        }
    }
}

/// The connection was closed before the whole answer was there: in its head, or in its body.
fn is_cut(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    error.is_incomplete_message()
        || source.is_some_and(|source| source.kind() == io::ErrorKind::UnexpectedEof)
}

/// Takes a body.
pub trait BodySink: Send + Sync {
    /// Takes it, or says why not.
    ///
    /// # Errors
    /// It is not what it should be.
    fn body(&self, body: &[u8]) -> Result<(), (Reason, String)>;

    /// There is none: what was read before is no longer true.
    fn failed(&self);
}

/// Reads `endpoint` until `stop`. `latch` is dropped after the first read.
pub async fn run(
    endpoint: Expvar,
    sink: Arc<dyn BodySink>,
    trigger: Arc<Trigger>,
    telemetry: Arc<SourceTelemetry>,
    latch: Latch,
    stop: CancellationToken,
) {
    let mut latch = Some(latch);
    let every = match endpoint.when {
        ScrapeWhen::Every(every) => Some(every),
        ScrapeWhen::OnScrape => None,
    };
    let mut ticks = every.map(|every| {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    if ticks.is_none() {
        latch = None;
    }
    let mut retry = Backoff::new(RETRY_FIRST, every.unwrap_or_default());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = next(&mut ticks) => {}
            () = trigger.asked() => {}
        }
        let success = tokio::select! {
            () = stop.cancelled() => break,
            success = once(&endpoint, &*sink, &telemetry) => success,
        };
        if success {
            retry.reset();
        } else if let Some(ticks) = &mut ticks {
            ticks.reset_after(retry.wait());
        }
        trigger.done();
        latch = None;
    }
    drop(latch);
}

async fn next(ticks: &mut Option<tokio::time::Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Gives true if the endpoint was read.
async fn once(endpoint: &Expvar, sink: &dyn BodySink, telemetry: &SourceTelemetry) -> bool {
    let started = Instant::now();
    let read = async {
        let body = within(endpoint.timeout, fetch(&endpoint.url, endpoint.max_body_bytes)).await?;
        sink.body(&body).map_err(|(reason, what)| ScrapeError::Body(reason, what))
    };
    let result = read.await;
    match &result {
        Ok(()) => telemetry.scraped(started.elapsed()),
        Err(error) => {
            sink.failed();
            telemetry.scrape_failed(
                started.elapsed(),
                error.reason(),
                &format_args!("{}: {error}", endpoint.url),
            );
        }
    }
    result.is_ok()
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ScrapeError>>,
) -> Result<T, ScrapeError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(ScrapeError::Timeout(limit)))
}

/// One GET on a connection of its own; redirects are not followed.
async fn fetch(url: &Uri, max: usize) -> Result<Bytes, ScrapeError> {
    let host = url.host().unwrap_or_default();
    let port = url.port_u16().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port))
        .await
        .map_err(|source| ScrapeError::Connect { address: format!("{host}:{port}"), source })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ScrapeError::Broken)?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, url.authority().map_or(host, |authority| authority.as_str()))
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_unusable| ScrapeError::Request(url.clone()))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(ScrapeError::Broken)?;
        if response.status() != StatusCode::OK {
            return Err(ScrapeError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), max).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| body_error(error, max))
    };
    // The connection is driven here, not by a task of its own: it ends with the answer.
    tokio::pin!(answer);
    tokio::select! {
        result = &mut answer => result,
        ended = connection => match ended {
            // The service may close once it has sent everything; what came is still to be read.
            Ok(()) => answer.await,
            Err(error) => Err(ScrapeError::Broken(error)),
        },
    }
}

fn body_error(error: Box<dyn Error + Send + Sync>, max: usize) -> ScrapeError {
    if error.is::<LengthLimitError>() {
        return ScrapeError::TooLarge(max);
    }
    match error.downcast::<hyper::Error>() {
        Ok(error) => ScrapeError::Broken(*error),
        Err(other) => ScrapeError::Body(Reason::Io, other.to_string()),
    }
}
