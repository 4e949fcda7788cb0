//! Answers that have no end, chunk by chunk.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;

use super::client::{Client, Opened, told};
use super::error::FetchError;
use super::tls::Connector;

/// What a server says, as it says it.
pub struct Answer {
    /// How it began.
    pub status: StatusCode,
    body: Incoming,
    wire: Wire,
}

/// The connection that an answer comes over.
struct Wire {
    /// None: it is closed.
    connection: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    /// Without it the connection would end.
    sender: SendRequest<Empty<Bytes>>,
    /// Why it closed.
    failure: Option<hyper::Error>,
    tls: Option<Connector>,
    by_proxy: bool,
}

impl Client {
    /// Asks for `url`; the beginning of the answer must come within `patience`.
    ///
    /// # Errors
    /// None came, or it sends us elsewhere.
    pub async fn answer(
        &self,
        url: &Uri,
        accept: &'static str,
        patience: Duration,
    ) -> Result<Answer, FetchError> {
        let Opened { stream, target, headers, tls, by_proxy } = self.open(url, patience).await?;
        let mut request =
            Request::get(target).body(Empty::<Bytes>::new()).map_err(|_bad| FetchError::Request)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        let opened = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| told(error, tls.as_ref(), by_proxy))?;
        let connection: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(connection);
        let mut wire = Wire { connection: Some(connection), sender, failure: None, tls, by_proxy };
        let begun = wire.send(request);
        let begun = tokio::time::timeout(patience, begun).await;
        let response = begun.map_err(|_late| FetchError::Timeout(patience))??;
        if response.status().is_redirection() {
            return Err(FetchError::of_answer(response.status(), response.headers()));
        }
        // Who answers has let us in: what breaks later has other reasons.
        (wire.tls, wire.by_proxy) = (None, false);
        Ok(Answer { status: response.status(), body: response.into_body(), wire })
    }

    /// Reads an answer as it comes, until it ends or `limit` is over, and gives each chunk to `take`, which
    /// says whether it wants more. The beginning of the answer must come within `patience`.
    ///
    /// # Errors
    /// No answer of status 200 came, or it broke off.
    pub async fn stream(
        &self,
        url: &Uri,
        patience: Duration,
        limit: Duration,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), FetchError> {
        let whole = async {
            let mut answer = self.answer(url, "application/json", patience).await?;
            if answer.status != StatusCode::OK {
                return Err(FetchError::Status(answer.status));
            }
            while let Some(chunk) = answer.chunk().await? {
                if !take(&chunk) {
                    break;
                }
            }
            Ok(())
        };
        // Whoever says nothing for so long has gone without telling us.
        tokio::time::timeout(limit, whole).await.unwrap_or(Err(FetchError::Timeout(limit)))
    }
}

impl Answer {
    /// What comes next; `None` at its end. May be asked for again if nobody waited for it.
    ///
    /// # Errors
    /// It broke off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let Self { body, wire, .. } = self;
            let Some(frame) = wire.attended(body.frame()).await else { return Ok(None) };
            let frame = frame.map_err(|error| wire.told(error))?;
            if let Ok(chunk) = frame.into_data() {
                return Ok(Some(chunk));
            }
        }
    }
}

impl Wire {
    async fn send(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> Result<hyper::Response<Incoming>, FetchError> {
        let response = self.sender.send_request(request);
        self.attended(response).await.map_err(|error| self.told(error))
    }

    /// What `work` gives, with the connection kept going meanwhile.
    async fn attended<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let Some(connection) = &mut self.connection else { return work.await };
        let ended = tokio::select! {
            done = &mut work => return done,
            ended = connection => ended,
        };
        (self.connection, self.failure) = (None, ended.err());
        // What came before it closed is still to be read.
        work.await
    }

    /// Why the connection closed says more than that it did.
    fn told(&mut self, error: hyper::Error) -> FetchError {
        told(self.failure.take().unwrap_or(error), self.tls.as_ref(), self.by_proxy)
    }
}
