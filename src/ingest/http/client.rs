//! One GET, on a connection of its own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION,
    USER_AGENT,
};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;

use super::connect::Way;
use super::error::FetchError;
use super::tls::{Alpn, Cache, Connector};
use super::{body, connect, files};
use crate::config::endpoint::{Endpoint, is_tls};
use crate::config::http::Http;
use crate::config::probe::Network;

/// How we name ourselves to services.
const AGENT: &str = concat!("godebug-exporter/", env!("CARGO_PKG_VERSION"));

/// How one service is reached; all its endpoints share it.
#[derive(Debug)]
pub struct Client {
    http: Http,
    tls: Arc<Cache>,
    /// Where connections may go; nowhere else if there are any.
    networks: Option<Vec<Network>>,
    alpn: Alpn,
}

/// A connection, and what a request over it says beside what it is about.
pub struct Opened {
    /// What HTTP is spoken over.
    pub stream: Box<dyn connect::Stream>,
    /// What is asked for, as HTTP/1.1 writes it.
    pub target: Uri,
    /// Of the config, and who we are.
    pub headers: HeaderMap,
    /// What an error means, where TLS is spoken.
    pub tls: Option<Connector>,
    /// A proxy is between.
    pub by_proxy: bool,
}

/// What of a request depends on files.
struct Prepared {
    headers: HeaderMap,
    /// For the proxy, who never passes it on.
    proxy: Option<HeaderValue>,
    tls: Option<Connector>,
}

impl Prepared {
    /// Blocks if there are files.
    fn headers(http: &Http) -> Result<Self, FetchError> {
        let proxy = http.proxy.as_ref().map(files::proxy_authorization).transpose()?.flatten();
        Ok(Self { headers: files::headers(http)?, proxy, tls: None })
    }
}

impl Client {
    /// For these settings.
    #[must_use]
    pub fn new(http: Http) -> Self {
        Self { http, tls: Arc::default(), networks: None, alpn: &[] }
    }

    /// The same, for addresses in these networks only.
    #[must_use]
    pub fn within(http: Http, networks: Vec<Network>) -> Self {
        Self { networks: Some(networks), ..Self::new(http) }
    }

    /// The same, for who speaks HTTP/2.
    #[must_use]
    pub fn for_http2(http: Http) -> Self {
        Self { alpn: &[b"h2"], ..Self::new(http) }
    }

    /// Opens a connection for one request, within `limit`.
    ///
    /// # Errors
    /// There is none.
    pub async fn open(&self, url: &Uri, limit: Duration) -> Result<Opened, FetchError> {
        let opened = async {
            let prepared = self.prepared(url).await?;
            let networks = self.networks.as_deref();
            let (tls, proxy_auth) = (prepared.tls.as_ref(), prepared.proxy.as_ref());
            let way = Way { http: &self.http, tls, proxy_auth, networks, limit };
            let stream = connect::open(&way, url).await?;
            self.opened(url, prepared, stream)
        };
        let late = FetchError::ConnectTimeout(limit);
        within(tokio::time::Instant::now() + limit, opened, late).await
    }

    fn opened(
        &self,
        url: &Uri,
        prepared: Prepared,
        stream: Box<dyn connect::Stream>,
    ) -> Result<Opened, FetchError> {
        let by_proxy = self.http.proxy.is_some();
        // A proxy is told the whole address, unless it gave us a connection (RFC 9112, 3.2.2).
        let is_forwarded = by_proxy && !is_tls(url);
        let target = if is_forwarded {
            url.clone()
        } else {
            Uri::from(url.path_and_query().cloned().ok_or(FetchError::Request)?)
        };
        let host = url.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::from_str(host).map_err(|_unusable| FetchError::Request)?;
        let Prepared { mut headers, proxy, tls } = prepared;
        headers.insert(HOST, host);
        // Through a tunnel the service would get it.
        if let Some(proxy) = proxy.filter(|_| is_forwarded) {
            headers.insert(PROXY_AUTHORIZATION, proxy);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Ok(Opened { stream, target, headers, tls, by_proxy })
    }

    /// Reads an endpoint once, within its time and its size. Redirects are not followed. The
    /// connection is closed: one that is kept open makes the service wait when it shuts down.
    ///
    /// # Errors
    /// No answer of status 200 came, or not all of it.
    pub async fn get(&self, endpoint: &Endpoint) -> Result<Bytes, FetchError> {
        let limit = endpoint.timeout;
        let deadline = tokio::time::Instant::now() + limit;
        let Opened { stream, target, headers, tls, by_proxy } =
            self.open(&endpoint.url, limit).await?;
        let mut request =
            Request::get(target).body(Empty::new()).map_err(|_unusable| FetchError::Request)?;
        let own = request.headers_mut();
        *own = headers;
        own.insert(ACCEPT, HeaderValue::from_static(endpoint.accept));
        own.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        own.insert(CONNECTION, HeaderValue::from_static("close"));
        let exchange = exchange(stream, request, endpoint.max_body_bytes);
        let answer = within(deadline, exchange, FetchError::Timeout(limit)).await;
        answer.map_err(|error| explained(error, tls.as_ref(), by_proxy))
    }

    /// Reads the files; not in the way of others.
    async fn prepared(&self, url: &Uri) -> Result<Prepared, FetchError> {
        let is_tls = is_tls(url);
        if !is_tls && !self.http.names_files() {
            return Prepared::headers(&self.http);
        }
        let (http, cache, alpn) = (self.http.clone(), Arc::clone(&self.tls), self.alpn);
        let read = move || {
            let tls = is_tls.then(|| cache.connector(&http.tls, alpn)).transpose()?;
            Ok(Prepared { tls, ..Prepared::headers(&http)? })
        };
        tokio::task::spawn_blocking(read).await.map_err(FetchError::Lost)?
    }
}

/// What an error over a connection means.
#[must_use]
pub fn told(
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    tls: Option<&Connector>,
    by_proxy: bool,
) -> FetchError {
    explained(FetchError::of_exchange(error), tls, by_proxy)
}

fn explained(error: FetchError, tls: Option<&Connector>, by_proxy: bool) -> FetchError {
    match tls {
        None if by_proxy => error.of_proxy(),
        Some(tls) => tls.explained(error),
        None => error,
    }
}

async fn within<T>(
    deadline: tokio::time::Instant,
    work: impl Future<Output = Result<T, FetchError>>,
    late: FetchError,
) -> Result<T, FetchError> {
    tokio::time::timeout_at(deadline, work).await.unwrap_or(Err(late))
}

async fn exchange(
    stream: Box<dyn connect::Stream>,
    request: Request<Empty<Bytes>>,
    max: usize,
) -> Result<Bytes, FetchError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(FetchError::of_exchange)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(FetchError::of_exchange)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::of_answer(response.status(), response.headers()));
        }
        body::read(response, max).await
    };
    // The connection is driven here, not by a task of its own: it ends with the answer.
    tokio::pin!(answer);
    tokio::select! {
        result = &mut answer => result,
        ended = connection => match ended {
            // The service may close once it has sent everything; what came is still to be read.
            Ok(()) => answer.await,
            Err(error) => Err(FetchError::of_exchange(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    #[test]
    fn a_proxys_password_is_not_sent_through_its_tunnel() {
        let has_it = |url: &str| {
            let text = format!(
                "services: [{{name: s, expvar: {{url: '{url}'}}, http: {{proxy_url: 'http://me:pw@p:1'}}}}]"
            );
            let client = Client::new(file::read(&text).unwrap().services.remove(0).http);
            let prepared = Prepared::headers(&client.http).unwrap();
            assert!(prepared.proxy.as_ref().is_some_and(HeaderValue::is_sensitive));
            let stream = Box::new(tokio::io::empty());
            let opened = client.opened(&url.parse().unwrap(), prepared, stream).unwrap();
            opened.headers.contains_key(PROXY_AUTHORIZATION)
        };
        assert!(has_it("http://h/debug/vars"));
        assert!(!has_it("https://h/debug/vars"));
    }
}
