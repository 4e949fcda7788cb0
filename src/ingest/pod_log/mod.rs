//! The log of another container of our own pod, followed through the API server: a sidecar needs neither a volume
//! nor another command for the service. `lines` knows what the kubelet writes, and which of its lines are new.
//!
//! A log ends with its container, and its connection at any time: it is asked for again from the second on in which
//! its last line stands. If that line is not there any more, another container was started in its place, or the
//! kubelet has rotated the log, of which the API server gives the current file alone (kubernetes#64760); the
//! log of the container before tells which, and has the rest.

mod lines;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use hyper::{StatusCode, Uri};
use serde::Deserialize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::http::client::Client;
use super::http::error::FetchError;
use super::http::stream::Answer;
use crate::config::StartAt;
use crate::config::kubernetes::server_of_cluster;
use crate::config::pod_log::PodLog;
use crate::model::position::{LogPlace, Place};
use crate::model::rfc3339;
use crate::model::sink::TraceSink;
use crate::runtime::backoff::{Backoff, by_chance};
use crate::runtime::clock::now_ns;
use crate::runtime::health::Latch;
use crate::telemetry::reason::Reason;
use crate::telemetry::service::{Gap, SourceTelemetry};
use lines::{Cursor, Line, Lines, Seen};

/// From the first to the longest wait before a log is asked for again. The kubelet waits 10 s before it starts a
/// container for the third time, and the API server knows the log of one before only.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// How long the beginning of an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is there comes at once; a pause says that this was all.
const PAUSE: Duration = Duration::from_millis(500);

/// A log that is silent for so long is asked for again: nobody tells when a connection is forgotten on its way.
const SILENCE: Duration = Duration::from_secs(60);

/// Longest reason for a refusal.
const REASON_BYTES_MAX: usize = 4096;

/// Where a pod's namespace stands (kubernetes.io, "Accessing the Kubernetes API from a Pod").
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Follows the log until `stop`; `latch` is held until what is there was read.
pub async fn follow(
    config: PodLog,
    sink: Box<dyn TraceSink>,
    telemetry: Arc<SourceTelemetry>,
    latch: Latch,
    stop: CancellationToken,
) {
    let mut follower = Follower::new(config, sink, Arc::clone(&telemetry), latch);
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let namespace = || fs::read_to_string(NAMESPACE).ok().map(|text| text.trim().to_owned());
    let address = Address::find(&follower.config, environment, namespace);
    let work = async {
        match address {
            Ok(address) => follower.follow(&address).await,
            Err(what) => {
                telemetry.failed(Reason::NotFound, &what);
                follower.caught_up();
                std::future::pending().await
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Where the log is.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    server: String,
    namespace: String,
    pod: String,
}

impl Address {
    /// Of our own pod, and of no other.
    fn find(
        config: &PodLog,
        environment: impl Fn(&str) -> Option<String>,
        namespace: impl Fn() -> Option<String>,
    ) -> Result<Self, &'static str> {
        let server = config.server.clone().or_else(|| server_of_cluster(&environment)).ok_or(
            "KUBERNETES_SERVICE_HOST is not set, so we are in no cluster; give kubernetes.api_server",
        )?;
        let pod = environment("POD_NAME").ok_or(
            "POD_NAME is not set, so we do not know whose log to read: give our container env: [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]",
        )?;
        let namespace = environment("POD_NAMESPACE").or_else(namespace).ok_or(
            "neither POD_NAMESPACE nor a service account says which namespace we are in: give our container env: [{name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}]",
        )?;
        Ok(Self { server: server.trim_end_matches('/').to_owned(), namespace, pod })
    }

    fn url(&self, container: &str, which: Which, since: LogPlace) -> Result<Uri, FetchError> {
        let Self { server, namespace, pod } = self;
        let which = match which {
            Which::Current => "follow=true",
            Which::Before => "previous=true",
        };
        let since = match since.time_ns {
            0 => String::new(),
            time => format!("&sinceTime={}", rfc3339::second(time)),
        };
        let url = format!(
            "{server}/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}&timestamps=true&{which}{since}"
        );
        url.parse().map_err(|_unusable| FetchError::Request)
    }
}

/// Whose log of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Current,
    /// Of the one in whose place it was started.
    Before,
}

/// How an answer came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Ended,
    /// The line that was read last was not in it.
    Missed,
}

/// Why there is no log.
#[derive(Debug)]
enum Trouble {
    /// The container is still to start.
    Waiting,
    /// Nobody was there before.
    NoneBefore,
    /// It broke off; that is no failure yet.
    Broken(Reason),
    Other(Reason, String),
}

/// What an API server says of a refusal.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

struct Follower {
    config: PodLog,
    client: Client,
    sink: Box<dyn TraceSink>,
    telemetry: Arc<SourceTelemetry>,
    /// None: we have caught up.
    latch: Option<Latch>,
    began_ns: u64,
    lines: Lines,
    cursor: Cursor,
    /// Lines on their way to the sink.
    text: Vec<u8>,
}

impl Follower {
    fn new(
        config: PodLog,
        mut sink: Box<dyn TraceSink>,
        telemetry: Arc<SourceTelemetry>,
        latch: Latch,
    ) -> Self {
        // The clock of our node, which is the container's.
        let began_ns = now_ns();
        let cursor = match sink.saved_place() {
            Some(Place::Log(place)) => Cursor::at(place),
            Some(Place::File(_)) | None if config.from == StartAt::End => Cursor::since(began_ns),
            Some(Place::File(_)) | None => Cursor::at(LogPlace::default()),
        };
        // What comes while we are dead is not taken for what was before us.
        sink.placed_bytes(&[], Place::Log(cursor.place));
        Self {
            client: Client::new(config.http.clone()),
            config,
            sink,
            telemetry,
            latch: Some(latch),
            began_ns,
            lines: Lines::default(),
            cursor,
            text: Vec::new(),
        }
    }

    async fn follow(&mut self, address: &Address) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let before = self.cursor.place;
            let result = match self.read(address, Which::Current).await {
                Ok(End::Missed) => self.read_before(address).await,
                other => other.map(|_end| ()),
            };
            match result {
                Ok(()) | Err(Trouble::Waiting | Trouble::NoneBefore) => {}
                Err(Trouble::Broken(reason)) => self.telemetry.broken_off(reason),
                Err(Trouble::Other(reason, what)) => self.telemetry.failed(reason, &what),
            }
            self.caught_up();
            if self.cursor.place != before {
                backoff.reset();
            }
            let wait = backoff.wait();
            tokio::time::sleep(wait / 2 + by_chance(wait / 2)).await;
        }
    }

    /// What the log of the container before has that was not read; then the current one is all new.
    async fn read_before(&mut self, address: &Address) -> Result<(), Trouble> {
        let found = match self.read(address, Which::Before).await {
            Ok(_end) => self.cursor.is_found(),
            Err(Trouble::NoneBefore) => self.cursor.is_first(),
            Err(trouble) => return Err(trouble),
        };
        if !found {
            self.gap();
        }
        self.sink.break_line();
        self.cursor.begin_elsewhere();
        Ok(())
    }

    /// Asks for the log, and reads the answer to its end.
    async fn read(&mut self, address: &Address, which: Which) -> Result<End, Trouble> {
        self.cursor.begin();
        self.lines = Lines::default();
        let answer = self.ask(address, which).await?;
        self.take(answer, which).await.map_err(|error| Trouble::Broken(error.reason()))
    }

    async fn ask(&mut self, address: &Address, which: Which) -> Result<Answer, Trouble> {
        let Self { client, config, cursor, .. } = self;
        let asked = async {
            let url = address.url(&config.container, which, cursor.place)?;
            client.answer(&url, "*/*", PATIENCE).await
        };
        let told = |error: &FetchError, what: &str| {
            Trouble::Other(error.reason(), format!("{}: {what}", address.server))
        };
        let mut answer = asked.await.map_err(|error| told(&error, &error.to_string()))?;
        if answer.status == StatusCode::OK {
            return Ok(answer);
        }
        let error = FetchError::Status(answer.status);
        let what = message(&mut answer).await;
        Err(match answer.status {
            StatusCode::BAD_REQUEST if what.contains("is waiting to start") => Trouble::Waiting,
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND if which == Which::Before => {
                Trouble::NoneBefore
            }
            StatusCode::FORBIDDEN => told(
                &error,
                "it does not let us read the log: bind our service account to a Role with the rule {apiGroups: [\"\"], resources: [pods/log], verbs: [get]}",
            ),
            StatusCode::UNAUTHORIZED => told(
                &error,
                "it does not know our token; it is read again from its file at each attempt",
            ),
            status if what.is_empty() => told(&error, &format!("it answered {status}")),
            _ => told(&error, &what),
        })
    }

    async fn take(&mut self, mut answer: Answer, which: Which) -> Result<End, FetchError> {
        let mut paused = false;
        loop {
            let patience = if paused { SILENCE } else { PAUSE };
            let chunk = match timeout(patience, answer.chunk()).await {
                Err(_silent) if paused => return Ok(End::Ended),
                Err(_silent) => {
                    paused = true;
                    self.telemetry.up();
                    self.caught_up();
                    continue;
                }
                Ok(chunk) => chunk?,
            };
            let Some(chunk) = chunk else {
                self.end();
                return Ok(End::Ended);
            };
            if !self.push(&chunk, which) {
                return Ok(End::Missed);
            }
        }
    }

    /// Whether nothing was missed.
    fn push(&mut self, chunk: &[u8], which: Which) -> bool {
        let Self { lines, cursor, text, telemetry, .. } = self;
        let mut missed = false;
        let goes_on = lines.push(chunk, |line| match line {
            Line::Told(what) => {
                telemetry.failed(Reason::UnexpectedBody, &told(what));
                true
            }
            Line::Logged(time, line) => {
                telemetry.up();
                match cursor.line(time) {
                    Seen::New => text.extend_from_slice(line),
                    Seen::Before => {}
                    Seen::Missed if which == Which::Current => return false,
                    Seen::Missed => {
                        missed = !cursor.is_found();
                        // All that there is of it is new.
                        cursor.begin_elsewhere();
                        cursor.line(time);
                        text.extend_from_slice(line);
                    }
                }
                true
            }
        });
        if missed {
            self.gap();
        }
        self.deliver();
        if self.cursor.place.time_ns >= self.began_ns {
            self.caught_up();
        }
        goes_on
    }

    fn end(&mut self) {
        let Self { lines, telemetry, .. } = self;
        lines.end(|line| {
            if let Line::Told(what) = line {
                telemetry.failed(Reason::UnexpectedBody, &told(what));
            }
            true
        });
    }

    fn deliver(&mut self) {
        if !self.text.is_empty() {
            self.sink.placed_bytes(&self.text, Place::Log(self.cursor.place));
            self.text.clear();
        }
    }

    /// What was read last is in no log that we are given.
    fn gap(&mut self) {
        let log = format_args!("the log of container {}", self.config.container);
        self.telemetry.gap(Gap::Gone, None, &log);
        self.sink.gap();
    }

    fn caught_up(&mut self) {
        if self.latch.take().is_some() {
            self.sink.caught_up();
        }
    }
}

/// What a refusal says.
async fn message(answer: &mut Answer) -> String {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = answer.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > REASON_BYTES_MAX {
                break;
            }
        }
    };
    let _late = timeout(PATIENCE, read).await;
    serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.message).unwrap_or_default()
}

/// What stands in the place of a log.
fn told(what: &[u8]) -> String {
    let what = what.get(..REASON_BYTES_MAX).unwrap_or(what);
    format!("no log, but: {}", String::from_utf8_lossy(what.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(server: Option<&str>, environment: &[(&str, &str)]) -> Result<Address, &'static str> {
        let mut config = PodLog::of("app", StartAt::End).unwrap();
        config.server = server.map(str::to_owned);
        let value = |name: &str| environment.iter().find(|(its, _)| *its == name);
        Address::find(&config, |name| value(name).map(|(_, value)| (*value).to_owned()), || None)
    }

    #[test]
    fn the_environment_says_whose_log_it_is() {
        let host = ("KUBERNETES_SERVICE_HOST", "10.96.0.1");
        let (pod, namespace) = (("POD_NAME", "cart-0"), ("POD_NAMESPACE", "shop"));
        let address = found(None, &[host, pod, namespace]).unwrap();
        let second = LogPlace { time_ns: 1_795_255_200_999_999_999, lines: 1 };
        for (which, place, url) in [
            (Which::Current, LogPlace::default(), "&follow=true"),
            (Which::Current, second, "&follow=true&sinceTime=2026-11-21T10:00:00Z"),
            (Which::Before, second, "&previous=true&sinceTime=2026-11-21T10:00:00Z"),
        ] {
            let path = "https://10.96.0.1:443/api/v1/namespaces/shop/pods/cart-0/log?container=app&timestamps=true";
            let expected = format!("{path}{url}");
            assert_eq!(address.url("app", which, place).unwrap().to_string(), expected);
        }
        assert_eq!(found(Some("http://k8s/"), &[pod, namespace]).unwrap().server, "http://k8s");
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_add() {
        let host = ("KUBERNETES_SERVICE_HOST", "10.96.0.1");
        assert!(found(None, &[]).unwrap_err().contains("kubernetes.api_server"));
        assert!(found(None, &[host]).unwrap_err().contains("fieldPath: metadata.name}"));
        let pod = ("POD_NAME", "cart-0");
        assert!(found(None, &[host, pod]).unwrap_err().contains("fieldPath: metadata.namespace"));
    }
}
