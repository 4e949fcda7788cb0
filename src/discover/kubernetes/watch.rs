//! Watches the pods of our node at the API server.
//!
//! Never lists: a watch from resource version 0 begins with what the API server has in its cache ("Get State
//! and Start at Any"), one event a pod; it costs etcd nothing, and us no more than one pod at a time. What is
//! gone is known at the first bookmark, which comes after all that is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::{StatusCode, Uri};
use memchr::memchr;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::pod::{Object, Pod};
use crate::discover::TARGETS_MAX;
use crate::ingest::http::client::Client;
use crate::ingest::http::error::FetchError;
use crate::runtime::backoff::{Backoff, by_chance};
use crate::telemetry::discovery::FinderTelemetry;

/// From the first to the longest wait between attempts, and by chance half as much more or less: the agents
/// of all nodes lose a server in the same moment.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long the server is to answer one watch, plus as much by chance; and how long we wait for its end.
const WATCH: Duration = Duration::from_secs(240);
const WATCH_LIMIT: Duration = Duration::from_secs(2 * 240 + 30);

/// How long the beginning of an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A watch that stood for so long worked, and so did one that told anything.
const WORKED: Duration = Duration::from_secs(30);

/// Longest event: an object has 1.5 MiB at most in etcd, and more characters as JSON.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The pods at the beginning of a watch come at once; a pause says that these were all.
const PAUSE: Duration = Duration::from_millis(500);

/// Names come from paths if the API server has said nothing for so long.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// The pods of our node, as far as the API server told us.
#[derive(Debug)]
pub(super) struct Pods {
    known: Mutex<Known>,
    changed: Notify,
    began: Instant,
}

#[derive(Debug, Default)]
struct Known {
    /// By UID, and whether it was told since the watch began anew.
    pods: HashMap<String, (Arc<Pod>, bool)>,
    heard: Option<Instant>,
}

/// An API server and a node of its.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    server: String,
    node: String,
}

/// Where in the history of the cluster a watch is.
#[derive(Debug, Default)]
struct Place {
    /// None: at its beginning.
    version: Option<String>,
    line: Vec<u8>,
    overlong: bool,
    failure: Option<Failure>,
}

#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// The server does not know our place any more.
    Gone,
    Other(String),
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What the server says instead of an object.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

impl Pods {
    pub(super) fn new(now: Instant) -> Self {
        Self { known: Mutex::default(), changed: Notify::new(), began: now }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a pod.
    pub(super) fn get(&self, uid: &str) -> Option<Arc<Pod>> {
        self.known().pods.get(uid).map(|(pod, _)| Arc::clone(pod))
    }

    /// Whether everything was told that there was, or will not be soon.
    pub(super) fn are_told(&self, now: Instant) -> bool {
        let heard = self.known().heard;
        heard.is_some_and(|heard| now.duration_since(heard) >= PAUSE)
            || now.duration_since(self.began) >= FIRST_PATIENCE
    }

    /// Waits for news, and for the pause after them.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
        tokio::time::sleep(PAUSE).await;
    }

    fn put(&self, pod: Pod) {
        let mut known = self.known();
        if known.pods.len() < TARGETS_MAX || known.pods.contains_key(&pod.uid) {
            known.pods.insert(pod.uid.clone(), (Arc::new(pod), true));
        }
        known.heard = Some(Instant::now());
        self.changed.notify_one();
    }

    fn remove(&self, uid: &str) {
        self.known().pods.remove(uid);
    }

    /// All that is there is told again.
    fn begin_anew(&self) {
        self.known().pods.values_mut().for_each(|(_, is_fresh)| *is_fresh = false);
    }

    /// It was.
    fn all_told(&self) {
        self.known().pods.retain(|_, (_, is_fresh)| *is_fresh);
    }
}

impl Api {
    pub(super) fn new(client: Client, server: &str, node: String) -> Self {
        Self { client, server: server.trim_end_matches('/').to_owned(), node }
    }

    /// Watches for ever.
    pub(super) async fn watch(&self, pods: &Pods, mut telemetry: FinderTelemetry) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut place = Place::default();
        loop {
            let began = Instant::now();
            let before = place.version.clone();
            let outcome = self.watch_on(&mut place, pods, &mut telemetry).await;
            let stood = began.elapsed();
            if stood >= WORKED || place.version != before {
                backoff.reset();
            }
            match outcome {
                Ok(()) if stood >= RETRY.0 => continue,
                Ok(()) => {}
                // It is no fault of anybody's.
                Err(Failure::Gone) => place = Place::default(),
                Err(Failure::Other(why)) => telemetry.failed(&why),
            }
            let wait = backoff.wait();
            tokio::time::sleep(wait / 2 + by_chance(wait)).await;
        }
    }

    /// One watch, until the server ends it.
    async fn watch_on(
        &self,
        place: &mut Place,
        pods: &Pods,
        telemetry: &mut FinderTelemetry,
    ) -> Result<(), Failure> {
        let url = self.url(place).map_err(|error| Failure::Other(error.to_string()))?;
        if place.version.is_none() {
            pods.begin_anew();
        }
        (place.line, place.overlong) = (Vec::new(), false);
        let take = |chunk: &[u8]| {
            place.take(chunk, pods);
            if place.failure.is_none() {
                telemetry.found();
            }
            place.failure.is_none()
        };
        let ended = self.client.stream(&url, PATIENCE, WATCH_LIMIT, take).await;
        match place.failure.take() {
            Some(failure) => Err(failure),
            None => ended.map_err(|error| self.failure(&error)),
        }
    }

    fn url(&self, place: &Place) -> Result<Uri, hyper::http::uri::InvalidUri> {
        let Self { server, node, .. } = self;
        let version = place.version.as_deref().unwrap_or("0");
        let seconds = (WATCH + by_chance(WATCH)).as_secs();
        format!("{server}/api/v1/pods?watch=1&allowWatchBookmarks=true&fieldSelector=spec.nodeName%3D{node}&resourceVersion={version}&timeoutSeconds={seconds}").parse()
    }

    fn failure(&self, error: &FetchError) -> Failure {
        let server = &self.server;
        match error {
            FetchError::Status(StatusCode::GONE) => Failure::Gone,
            FetchError::Status(StatusCode::FORBIDDEN) => Failure::Other(format!(
                "{server} does not let us watch pods: bind our service account to a ClusterRole with the rule {{apiGroups: [\"\"], resources: [pods], verbs: [watch]}}; until then names come from paths alone"
            )),
            FetchError::Status(StatusCode::UNAUTHORIZED) => Failure::Other(format!(
                "{server} does not know our token; it is read again from its file at each attempt"
            )),
            error => Failure::Other(format!("{server}: {error}")),
        }
    }
}

impl std::fmt::Display for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} about {}", self.server, self.node)
    }
}

impl Place {
    fn take(&mut self, chunk: &[u8], pods: &Pods) {
        let mut rest = chunk;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, later) = rest.split_at(end);
            rest = later.get(1..).unwrap_or_default();
            self.keep(line);
            let line = std::mem::take(&mut self.line);
            if !std::mem::take(&mut self.overlong) && !line.is_empty() {
                self.event(&line, pods);
            }
        }
        self.keep(rest);
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.overlong || self.line.len() + piece.len() > EVENT_BYTES_MAX {
            (self.overlong, self.line) = (true, Vec::new());
        } else {
            self.line.extend_from_slice(piece);
        }
    }

    fn event(&mut self, line: &[u8], pods: &Pods) {
        let told = serde_json::from_slice::<Event<'_>>(line).and_then(|event| {
            if event.kind == "ERROR" {
                let refusal: Refusal = serde_json::from_str(event.object.get())?;
                self.failure = Some(refusal.into());
                return Ok(());
            }
            let object: Object = serde_json::from_str(event.object.get())?;
            let pod = Pod::of(object);
            self.version = Some(pod.version.clone()).filter(|version| !version.is_empty());
            match event.kind {
                "ADDED" | "MODIFIED" => pods.put(pod),
                "DELETED" => pods.remove(&pod.uid),
                "BOOKMARK" => pods.all_told(),
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = told {
            let what = format!("the API server sent an event that makes no sense: {error}");
            self.failure = Some(Failure::Other(what));
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        if refusal.code == StatusCode::GONE.as_u16() {
            Self::Gone
        } else {
            Self::Other(format!("the API server ended the watch: {}", refusal.message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, uid: &str, version: u32) -> String {
        format!(
            "{{\"type\":\"{kind}\",\"object\":{{\"kind\":\"Pod\",\"metadata\":{{\"uid\":\"{uid}\",\"resourceVersion\":\"{version}\"}}}}}}\n"
        )
    }

    fn known(pods: &Pods) -> Vec<String> {
        let mut known: Vec<_> = pods.known().pods.keys().cloned().collect();
        known.sort();
        known
    }

    #[test]
    fn events_may_be_cut_anywhere_and_lead_to_the_next_watch() {
        let text = [
            event("ADDED", "a", 3),
            event("ADDED", "b", 5),
            event("MODIFIED", "a", 6),
            event("DELETED", "b", 7),
            event("BOOKMARK", "", 9),
        ]
        .concat();
        for cut in 0..=text.len() {
            let (mut place, pods) = (Place::default(), Pods::new(Instant::now()));
            let (first, second) = text.as_bytes().split_at(cut);
            place.take(first, &pods);
            place.take(second, &pods);
            assert_eq!((known(&pods), place.version.as_deref()), (vec!["a".into()], Some("9")));
            assert_eq!(place.failure, None);
        }
    }

    /// What an API server of Kubernetes 1.35 said.
    #[test]
    fn a_real_watch_is_understood() {
        let text = include_bytes!("../../../tests/fixtures/kubernetes/watch-1.35.json");
        let (mut place, pods) = (Place::default(), Pods::new(Instant::now()));
        place.take(text, &pods);
        assert_eq!(place.failure, None);
        assert_eq!(place.version.as_deref(), Some("242"), "the bookmark's");
        assert_eq!(known(&pods), ["974511fb-074d-4289-aab8-b4a1c6b187a6"]);
        let pod = pods.get("974511fb-074d-4289-aab8-b4a1c6b187a6").unwrap();
        assert_eq!(pod.endpoint("expvar", "app").unwrap(), "http://127.0.0.1:6060/");
    }

    #[test]
    fn after_a_new_beginning_what_was_not_told_again_is_gone_with_the_first_bookmark() {
        let (mut place, pods) = (Place::default(), Pods::new(Instant::now()));
        place.take((event("ADDED", "a", 1) + &event("ADDED", "b", 2)).as_bytes(), &pods);
        let gone = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"too old resource version\"}}\n";
        place.take(gone.as_bytes(), &pods);
        assert_eq!(place.failure, Some(Failure::Gone));
        pods.begin_anew();
        place.take(event("ADDED", "b", 8).as_bytes(), &pods);
        assert_eq!(known(&pods), ["a", "b"], "it may still come");
        place.take(event("BOOKMARK", "", 9).as_bytes(), &pods);
        assert_eq!(known(&pods), ["b"]);
    }

    #[test]
    fn an_event_that_is_too_long_is_passed_over_and_nonsense_is_told() {
        let (mut place, pods) = (Place::default(), Pods::new(Instant::now()));
        let chunk = vec![b'x'; EVENT_BYTES_MAX / 4];
        (0..6).for_each(|_| place.take(&chunk, &pods));
        assert!(place.line.capacity() <= EVENT_BYTES_MAX);
        place.take(("\n".to_owned() + &event("ADDED", "a", 1)).as_bytes(), &pods);
        assert_eq!((known(&pods), &place.failure), (vec!["a".into()], &None));
        place.take(b"<html>\n", &pods);
        assert!(matches!(&place.failure, Some(Failure::Other(_))));
    }

    #[test]
    fn nobody_waits_for_a_server_that_says_nothing() {
        let began = Instant::now();
        let pods = Pods::new(began);
        assert!(!pods.are_told(began) && pods.are_told(began + FIRST_PATIENCE));
        pods.put(Pod::default());
        let heard = Instant::now();
        assert!(!pods.are_told(heard) && pods.are_told(heard + PAUSE));
    }
}
