//! Who may ask, and how: TLS, users, headers and a rate limit as the web configuration file says now. A
//! file that is changed holds within a second; a broken one changes nothing.

mod client;
mod contents;
mod passwords;
mod rate;
mod rules;
mod tls;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::task::JoinHandle;

use crate::telemetry::web::WebTelemetry;
use passwords::{Passwords, Verdict};
use rules::Rules;
use tls::Acceptor;

pub use rules::{Checked, check};

/// How old what we know of the files may be. A look reads a few small files.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a request waits for a look: a dead file system must not take the page away.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Holds what the web configuration file says.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    rules: Mutex<Arc<Rules>>,
    /// Held by whoever looks at the files.
    looked: Arc<AsyncMutex<Looked>>,
    passwords: Passwords,
    telemetry: WebTelemetry,
}

/// The last look at the files.
#[derive(Debug)]
struct Looked {
    at: Instant,
    /// What was wrong.
    problems: Option<String>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// There are no users: everybody may ask.
    Anybody,
    /// A user, by name and password.
    User,
    /// No user, or not the right password.
    Unknown,
    /// Too many passwords wait to be checked.
    Busy,
    /// Too many requests.
    TooMany,
}

impl Guard {
    /// Reads the files; blocks.
    ///
    /// # Errors
    /// Every problem that they have.
    pub fn open(path: PathBuf, telemetry: WebTelemetry) -> Result<Arc<Self>, Vec<String>> {
        let rules = Rules::read(&path)?;
        let passwords = Passwords::new()
            .map_err(|_unspecified| vec!["the system gives no random numbers".into()])?;
        telemetry.read(rules.tls.is_some(), rules.users.count(), &rules.left_out);
        Ok(Arc::new(Self {
            path,
            rules: Mutex::new(Arc::new(rules)),
            looked: Arc::new(AsyncMutex::new(Looked { at: Instant::now(), problems: None })),
            passwords,
            telemetry,
        }))
    }

    /// What to speak TLS with, if it is spoken.
    pub(super) async fn tls(self: &Arc<Self>) -> Option<Acceptor> {
        self.rules().await.tls.clone()
    }

    /// What holds now.
    pub(super) async fn rules(self: &Arc<Self>) -> Arc<Rules> {
        // While another one looks, what is known is good enough.
        if let Ok(looked) = Arc::clone(&self.looked).try_lock_owned()
            && looked.at.elapsed() >= LOOK_EVERY
        {
            // Late or not, what is known holds.
            let _in_time = tokio::time::timeout(LOOK_TIMEOUT, self.look(looked)).await;
        }
        self.known()
    }

    /// Looks at the files at once.
    ///
    /// # Errors
    /// What is wrong with them; what was known before holds.
    pub async fn reload(self: &Arc<Self>) -> Result<(), String> {
        let looked = Arc::clone(&self.looked).lock_owned().await;
        match self.look(looked).await {
            Ok(Some(problems)) => Err(problems),
            // It was cancelled: we stop.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Whether a request is answered. `patience`: how long it may wait to know.
    pub(super) async fn admit(
        &self,
        rules: &Rules,
        headers: &HeaderMap,
        patience: Duration,
    ) -> Admission {
        if rules.rate.as_ref().is_some_and(|rate| !rate.take(Instant::now())) {
            return Admission::TooMany;
        }
        if rules.users.is_empty() {
            return Admission::Anybody;
        }
        let Some((user, password)) = credentials(headers) else { return Admission::Unknown };
        match self.passwords.check(&rules.users, &user, &password, patience).await {
            Verdict::Right => Admission::User,
            Verdict::Wrong => Admission::Unknown,
            Verdict::Busy => Admission::Busy,
        }
    }

    fn known(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The look ends by itself, whoever waits for it: on a dead file system there is only one.
    fn look(self: &Arc<Self>, mut looked: OwnedMutexGuard<Looked>) -> JoinHandle<Option<String>> {
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let problems = this.read_again(looked.problems.as_deref());
            *looked = Looked { at: Instant::now(), problems };
            looked.problems.clone()
        })
    }

    fn read_again(&self, before: Option<&str>) -> Option<String> {
        match self.known().read_again(&self.path) {
            Ok(None) => {
                if before.is_some() {
                    self.telemetry.right_again();
                }
                None
            }
            Ok(Some(rules)) => {
                self.telemetry.reloaded(rules.users.count(), &rules.left_out);
                *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
                None
            }
            Err(problems) => {
                let problems = problems.join("\n");
                if before != Some(&problems) {
                    self.telemetry.failed(&problems);
                }
                Some(problems)
            }
        }
    }
}

/// Name and password of basic authentication (RFC 7617).
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let pair =
        BASE64_STANDARD.decode(rest).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (user, password) = pair.split_at_checked(colon)?;
    Some((String::from_utf8(user.to_vec()).ok()?, password.get(1..)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn credentials_are_read_as_go_reads_them() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.into()));
        for (value, expected) in [
            ("Basic YTpi", pair("a", "b")),
            ("bAsIc YTpi", pair("a", "b")),
            ("Basic YTpiOmM=", pair("a", "b:c")),
            ("Basic Og==", pair("", "")),
            ("Basic YTpiOmM", None),
            ("Basic  YTpi", None),
            ("Basic YWI=", None),
            ("Basic", None),
            ("Bearer YTpi", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(credentials(&headers), expected, "{value}");
        }
        assert_eq!(credentials(&HeaderMap::new()), None);
    }
}
