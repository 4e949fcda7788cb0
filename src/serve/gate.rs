//! What stands before the routes: how many pages may be made at once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::routes::{Routes, patience};
use super::sending::{Answer, Answers};

/// How long a request waits for its turn, unless Prometheus waits less: its default timeout is 10 s.
const TURN: Duration = Duration::from_secs(5);

/// When to come again, in seconds.
const LATER: HeaderValue = HeaderValue::from_static("5");

/// Every request passes it.
#[derive(Debug)]
pub(super) struct Gate {
    routes: Arc<Routes>,
    places: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(routes: Arc<Routes>, max_requests: usize) -> Self {
        Self { routes, places: Arc::new(Semaphore::new(max_requests)) }
    }

    pub(super) async fn answer<B>(
        &self,
        request: &Request<B>,
        trusted: bool,
        answers: &Arc<Answers>,
    ) -> Response<Answer> {
        let (place, response) = match self.place(request).await {
            Ok(place) => (place, self.routes.answer(request, trusted).await),
            Err(refusal) => (None, refusal),
        };
        response.map(|body| Answer::new(body, answers, place))
    }

    /// Waits for a place, if what is asked for is large or costs time.
    async fn place<B>(
        &self,
        request: &Request<B>,
    ) -> Result<Option<OwnedSemaphorePermit>, Response<Bytes>> {
        let path = request.uri().path();
        if path == "/" || path.starts_with("/-/") {
            return Ok(None);
        }
        let turn = patience(request.headers()).map_or(TURN, |patience| patience.min(TURN));
        let place = Arc::clone(&self.places).acquire_owned();
        if let Ok(Ok(place)) = tokio::time::timeout(turn, place).await {
            return Ok(Some(place));
        }
        let what = "too many requests at once; see web.max_requests\n";
        let mut refusal = self.routes.refusal(path, StatusCode::SERVICE_UNAVAILABLE, what);
        refusal.headers_mut().insert(RETRY_AFTER, LATER);
        Err(refusal)
    }
}
