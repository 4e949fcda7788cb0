//! One request and its answer: OTLP/gRPC over HTTP/2, or OTLP/HTTP over HTTP/1.1, each on a connection of its
//! own. One a minute is no cost, and none is kept that a load balancer would have to cut.

use std::error::Error;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TE,
};
use hyper::{Method, Request, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Answer, Failure};
use crate::config::otlp::{Otlp, Protocol};
use crate::ingest::http::client::{Client, Opened, told};
use crate::ingest::http::error::FetchError;

/// Largest answer read: it holds a few words.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How requests are made.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    url: Uri,
    protocol: Protocol,
    gzip: bool,
    timeout: Duration,
}

/// All of an answer.
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    body: Collected<Bytes>,
}

impl Transport {
    pub(super) fn new(otlp: &Otlp) -> Self {
        let (protocol, http) = (otlp.protocol(), otlp.http.clone());
        let client = match protocol {
            Protocol::Grpc => Client::for_http2(http),
            Protocol::Http => Client::new(http),
        };
        Self { client, url: otlp.url(), protocol, gzip: otlp.gzip(), timeout: otlp.timeout() }
    }

    /// Whether messages are to be compressed.
    pub(super) fn gzip(&self) -> bool {
        self.gzip
    }

    /// The bytes of a request's body, from its message, which is compressed already if it is to be.
    pub(super) fn body(&self, message: Vec<u8>) -> Bytes {
        match self.protocol {
            Protocol::Http => message.into(),
            Protocol::Grpc => {
                let mut framed = BytesMut::with_capacity(message.len() + answer::GRPC_PREFIX_BYTES);
                framed.put_u8(self.gzip.into());
                // Requests are far below 4 GiB.
                framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
                framed.extend_from_slice(&message);
                framed.freeze()
            }
        }
    }

    /// Sends a body once, within the time for a request.
    pub(super) async fn send(&self, body: Bytes) -> Answer {
        let deadline = Instant::now() + self.timeout;
        let opened = timeout_at(deadline, self.client.open(&self.url, self.timeout)).await;
        let opened = opened.unwrap_or(Err(FetchError::ConnectTimeout(self.timeout)));
        let opened = opened.map_err(|error| Failure::of_connection(&error, false))?;
        let exchange = timeout_at(deadline, self.exchange(opened, body)).await;
        match exchange.unwrap_or(Err(FetchError::Timeout(self.timeout))) {
            Ok(whole) => self.answer(whole),
            Err(error) => Err(Failure::of_connection(&error, true)),
        }
    }

    fn answer(&self, whole: Whole) -> Answer {
        let Whole { status, headers, body } = whole;
        match self.protocol {
            Protocol::Http => answer::of_http(status, &headers, &body.to_bytes()),
            Protocol::Grpc => {
                // An answer that is an error alone has it among its headers.
                let trailers = body.trailers().cloned().unwrap_or(headers);
                answer::of_grpc(status, &trailers, &body.to_bytes())
            }
        }
    }

    async fn exchange(&self, opened: Opened, body: Bytes) -> Result<Whole, FetchError> {
        let Opened { stream, target, headers, tls, by_proxy } = opened;
        let told = |error| told(error, tls.as_ref(), by_proxy);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        let io = TokioIo::new(stream);
        match self.protocol {
            Protocol::Http => {
                *request.uri_mut() = target;
                self.http_headers(request.headers_mut());
                let opened = http1::handshake(io).await;
                let (mut sender, connection) = opened.map_err(|error| told(error.into()))?;
                driven(sender.send_request(request), connection).await.map_err(told)
            }
            Protocol::Grpc => {
                *request.uri_mut() = self.url.clone();
                *request.version_mut() = Version::HTTP_2;
                self.grpc_headers(request.headers_mut());
                let opened = http2::handshake(TokioExecutor::new(), io).await;
                let (mut sender, connection) = opened.map_err(|error| told(error.into()))?;
                driven(sender.send_request(request), connection).await.map_err(told)
            }
        }
    }

    fn http_headers(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }

    fn grpc_headers(&self, headers: &mut HeaderMap) {
        // HTTP/2 has :authority.
        headers.remove(HOST);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if self.gzip {
            headers.insert(GRPC_ENCODING, HeaderValue::from_static("gzip"));
        }
        // At most eight digits (gRPC over HTTP/2, "Requests").
        let milliseconds = self.timeout.as_millis().min(99_999_999);
        if let Ok(timeout) = HeaderValue::from_str(&format!("{milliseconds}m")) {
            headers.insert(GRPC_TIMEOUT, timeout);
        }
    }
}

/// The whole answer; the connection is driven here and ends with it.
async fn driven(
    answer: impl Future<Output = hyper::Result<hyper::Response<Incoming>>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> Result<Whole, Box<dyn Error + Send + Sync>> {
    let whole = async {
        let (head, body) = answer.await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
        Ok(Whole { status: head.status, headers: head.headers, body })
    };
    tokio::pin!(whole, connection);
    tokio::select! {
        result = &mut whole => result,
        ended = connection => match ended {
            // What came before it closed is still to be read.
            Ok(()) => whole.await,
            Err(error) => Err(error.into()),
        },
    }
}
