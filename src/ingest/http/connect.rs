//! The connection: TCP or a Unix socket, through a proxy or not, with TLS or without.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::error::FetchError;
use super::tls::Connector;
use crate::config::endpoint::is_tls;
use crate::config::http::Http;
use crate::config::probe::Network;

/// What HTTP is spoken over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How a connection is made.
pub(super) struct Way<'a> {
    pub(super) http: &'a Http,
    /// There if the address wants it.
    pub(super) tls: Option<&'a Connector>,
    /// Who we are to the proxy.
    pub(super) proxy_auth: Option<&'a HeaderValue>,
    /// Where it may go, if not everywhere.
    pub(super) networks: Option<&'a [Network]>,
    /// An attempt at one of several addresses of a host takes at most its share of this.
    pub(super) limit: Duration,
}

/// Opens a connection.
pub(super) async fn open(way: &Way<'_>, url: &Uri) -> Result<Box<dyn Stream>, FetchError> {
    let Way { http, tls, .. } = way;
    let plain: Box<dyn Stream> = match (&http.unix_socket, &http.proxy) {
        (Some(path), _) => {
            let address = || path.display().to_string();
            let stream = UnixStream::connect(path).await;
            Box::new(stream.map_err(|source| FetchError::Connect { address: address(), source })?)
        }
        (None, Some(proxy)) => {
            let stream =
                tcp(&proxy.url, way).await.map_err(|error| FetchError::Proxy(error.to_string()))?;
            if is_tls(url) { tunnel(stream, url, way.proxy_auth).await? } else { Box::new(stream) }
        }
        (None, None) => Box::new(tcp(url, way).await?),
    };
    match tls {
        Some(connector) => Ok(Box::new(connector.connect(url, plain).await?)),
        None => Ok(plain),
    }
}

/// Host and port of an address; the host of IPv6 without its brackets.
pub(super) fn host_and_port(url: &Uri) -> (&str, u16) {
    let host = url.host().unwrap_or_default();
    let port = url.port_u16().unwrap_or(if is_tls(url) { 443 } else { 80 });
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

async fn tcp(url: &Uri, way: &Way<'_>) -> Result<TcpStream, FetchError> {
    let (host, port) = host_and_port(url);
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|source| FetchError::Resolve { host: host.to_owned(), source })?;
    let addresses: Vec<SocketAddr> = found.collect();
    let share = way.limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = FetchError::Resolve {
        host: host.to_owned(),
        source: io::Error::other("it has no address"),
    };
    for address in addresses {
        // The address itself is checked, not a name that may mean another one now.
        if way.networks.is_some_and(|all| !all.iter().any(|one| one.contains(address.ip()))) {
            last = FetchError::NotAllowed(address.ip());
            continue;
        }
        let attempt = tokio::time::timeout(share, TcpStream::connect(address)).await;
        match attempt.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(source) => {
                last = FetchError::Connect { address: address.to_string(), source };
            }
        }
    }
    Err(last)
}

/// Asks a proxy for a connection of its own to the host of `url` (RFC 9110, 9.3.6).
async fn tunnel(
    stream: TcpStream,
    url: &Uri,
    auth: Option<&HeaderValue>,
) -> Result<Box<dyn Stream>, FetchError> {
    let refused = |error: hyper::Error| FetchError::Proxy(error.to_string());
    let (host, port) = host_and_port(url);
    let target =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(refused)?;
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(&target)
        .header(HOST, &target)
        .body(Empty::<Bytes>::new())
        .map_err(|_unusable| FetchError::Request)?;
    if let Some(auth) = auth {
        request.headers_mut().insert(PROXY_AUTHORIZATION, auth.clone());
    }
    let asked = async {
        let response = sender.send_request(request).await.map_err(refused)?;
        if !response.status().is_success() {
            let status = response.status();
            return Err(FetchError::Proxy(format!("it answered {status} to CONNECT {target}")));
        }
        hyper::upgrade::on(response).await.map_err(refused)
    };
    // The connection ends, without an error, when it is handed over.
    let connection = async { connection.with_upgrades().await.map_err(refused) };
    let asked = async {
        tokio::pin!(asked, connection);
        tokio::select! {
            result = &mut asked => result,
            ended = connection => match ended {
                Ok(()) => asked.await,
                Err(error) => Err(error),
            },
        }
    };
    Ok(Box::new(TokioIo::new(asked.await?)))
}
