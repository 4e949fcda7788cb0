//! An answer without an end, chunk by chunk.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;

use super::client::{Client, Opened, told};
use super::error::FetchError;

impl Client {
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
        take: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), FetchError> {
        let Opened { stream, target, headers, tls, by_proxy } = self.open(url, patience).await?;
        let told = |error: hyper::Error| told(error, tls.as_ref(), by_proxy);
        let mut request =
            Request::get(target).body(Empty::<Bytes>::new()).map_err(|_bad| FetchError::Request)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = opened.map_err(told)?;
        let answer = async {
            let begun = tokio::time::timeout(patience, sender.send_request(request)).await;
            let response = begun.map_err(|_late| FetchError::Timeout(patience))?.map_err(told)?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::of_answer(response.status(), response.headers()));
            }
            let mut take = take;
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                if let Ok(chunk) = frame.map_err(told)?.into_data()
                    && !take(&chunk)
                {
                    break;
                }
            }
            Ok(())
        };
        let whole = async {
            tokio::pin!(answer);
            tokio::select! {
                result = &mut answer => result,
                // What came before it closed is still to be read.
                ended = connection => match (answer.await, ended) {
                    (Err(FetchError::Broken(_)), Err(error)) => Err(told(error)),
                    (answer, _) => answer,
                },
            }
        };
        // Whoever says nothing for so long has gone without telling us.
        tokio::time::timeout(limit, whole).await.unwrap_or(Err(FetchError::Timeout(limit)))
    }
}
