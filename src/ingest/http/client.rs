//! One GET, on a connection of its own.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::error::FetchError;
use crate::config::endpoint::Endpoint;

/// How we name ourselves to services.
const AGENT: &str = concat!("godebug-exporter/", env!("CARGO_PKG_VERSION"));

/// How one service is reached; all its endpoints share it.
#[derive(Debug, Default)]
pub struct Client;

impl Client {
    /// Reads an endpoint once, within its time and its size. Redirects are not followed. The
    /// connection is closed: one that is kept open makes the service wait when it shuts down.
    ///
    /// # Errors
    /// No answer of status 200 came, or not all of it.
    pub async fn get(&self, endpoint: &Endpoint) -> Result<Bytes, FetchError> {
        within(endpoint.timeout, fetch(endpoint)).await
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(FetchError::Timeout(limit)))
}

async fn connect(url: &Uri) -> Result<TcpStream, FetchError> {
    let host = url.host().unwrap_or_default();
    let port = url.port_u16().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    TcpStream::connect((bare, port))
        .await
        .map_err(|source| FetchError::Connect { address: format!("{host}:{port}"), source })
}

async fn fetch(endpoint: &Endpoint) -> Result<Bytes, FetchError> {
    let Endpoint { url, max_body_bytes, .. } = endpoint;
    let stream = connect(url).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(FetchError::Broken)?;
    let request = request(endpoint)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(FetchError::Broken)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), *max_body_bytes).collect().await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|error| FetchError::of_body(error, *max_body_bytes))
    };
    // The connection is driven here, not by a task of its own: it ends with the answer.
    tokio::pin!(answer);
    tokio::select! {
        result = &mut answer => result,
        ended = connection => match ended {
            // The service may close once it has sent everything; what came is still to be read.
            Ok(()) => answer.await,
            Err(error) => Err(FetchError::Broken(error)),
        },
    }
}

fn request(endpoint: &Endpoint) -> Result<Request<Empty<Bytes>>, FetchError> {
    let url = &endpoint.url;
    let host = url.authority().map_or("", |authority| authority.as_str());
    Request::get(url.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, endpoint.accept)
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_unusable| FetchError::Request(url.clone()))
}
