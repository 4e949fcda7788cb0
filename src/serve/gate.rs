//! What stands before the routes: who may ask, and how many pages may be made at once.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{
    FORWARDED, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, VIA, WWW_AUTHENTICATE,
};
use hyper::{Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::coding::Pieces;
use super::guard::{Admission, Guard};
use super::routes::{Routes, patience};
use super::sending::{Answer, Answers};

/// How long a request waits for its turn, unless Prometheus waits less: its default timeout is 10 s.
const TURN: Duration = Duration::from_secs(5);

/// When to come again, in seconds.
const LATER: HeaderValue = HeaderValue::from_static("5");

const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"godebug-exporter\"");

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Every request passes it.
#[derive(Debug)]
pub(super) struct Gate {
    routes: Arc<Routes>,
    pub(super) guard: Option<Arc<Guard>>,
    places: Arc<Semaphore>,
}

/// Whom a connection is with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// On this machine.
    pub(super) is_local: bool,
    /// It has a certificate of an authority that the web configuration file names.
    pub(super) is_verified: bool,
}

type Placed = (Option<OwnedSemaphorePermit>, Response<Pieces>);

impl Gate {
    pub(super) fn new(routes: Arc<Routes>, guard: Option<Arc<Guard>>, max_requests: usize) -> Self {
        Self { routes, guard, places: Arc::new(Semaphore::new(max_requests)) }
    }

    pub(super) async fn answer<B>(
        &self,
        request: &Request<B>,
        peer: Peer,
        answers: &Arc<Answers>,
    ) -> Response<Answer> {
        let open = answers.begin();
        let (place, response) = match &self.guard {
            Some(guard) => self.guarded(guard, request, peer).await,
            None => self.in_turn(request, peer.may_change(request.headers())).await,
        };
        response.map(|body| Answer::new(body, open, place))
    }

    async fn guarded<B>(&self, guard: &Arc<Guard>, request: &Request<B>, peer: Peer) -> Placed {
        let rules = guard.rules().await;
        let (path, headers) = (request.uri().path(), request.headers());
        let refused = |status, what| (None, self.routes.refusal(path, status, what));
        let (place, mut response) = match guard.admit(&rules, headers, turn(headers)).await {
            Admission::User => self.in_turn(request, true).await,
            Admission::Anybody => self.in_turn(request, peer.may_change(headers)).await,
            Admission::Unknown => refused(StatusCode::UNAUTHORIZED, "unauthorized\n"),
            Admission::Busy => self.later(path, "too many passwords to check\n"),
            Admission::TooMany => {
                refused(StatusCode::TOO_MANY_REQUESTS, "too many requests; see rate_limit\n")
            }
        };
        if response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, BASIC);
        }
        response.headers_mut().extend(rules.headers.iter().cloned());
        (place, response)
    }

    async fn in_turn<B>(&self, request: &Request<B>, trusted: bool) -> Placed {
        // Whoever waits for a read needs no place yet: all who come meanwhile wait for the same one.
        self.routes.read_before(request).await;
        match self.place(request).await {
            Some(place) => (place, self.routes.answer(request, trusted).await),
            None => {
                let what = "too many requests at once; see web.max_requests\n";
                self.later(request.uri().path(), what)
            }
        }
    }

    /// Waits for a place, if what is asked for is large or costs time. None: there was none in time.
    async fn place<B>(&self, request: &Request<B>) -> Option<Option<OwnedSemaphorePermit>> {
        let path = request.uri().path();
        if path == "/" || path.starts_with("/-/") {
            return Some(None);
        }
        let place = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(turn(request.headers()), place).await;
        place.ok()?.ok().map(Some)
    }

    fn later(&self, path: &str, what: &'static str) -> Placed {
        let mut refusal = self.routes.refusal(path, StatusCode::SERVICE_UNAVAILABLE, what);
        refusal.headers_mut().insert(RETRY_AFTER, LATER);
        (None, refusal)
    }
}

impl Peer {
    /// Whether it may change what we do, though it has no password. Whom a proxy on this machine speaks
    /// for may be anywhere.
    fn may_change(self, headers: &HeaderMap) -> bool {
        let by_proxy =
            [FORWARDED, VIA, X_FORWARDED_FOR].iter().any(|name| headers.contains_key(name));
        self.is_verified || (self.is_local && !by_proxy)
    }
}

fn turn(headers: &HeaderMap) -> Duration {
    patience(headers).map_or(TURN, |patience| patience.min(TURN))
}
