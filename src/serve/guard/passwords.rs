//! Users and their passwords. A bcrypt hash is made to cost time: one is computed at a time, away from
//! the thread that serves, and a password that was right is known again by a cheap one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ring::error::Unspecified;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::config::web_file::User;

/// After a wrong password nothing is hashed for so many times as long as it took: who guesses gets a
/// quarter of a processor at most.
const REST: u32 = 3;
const REST_MAX: Duration = Duration::from_secs(1);

/// Who may ask.
#[derive(Debug, Default)]
pub(super) struct Users {
    hashes: HashMap<String, Arc<str>>,
    /// Whoever is not there costs the same.
    nobody: Arc<str>,
}

/// Checks passwords.
#[derive(Debug)]
pub(super) struct Passwords {
    known: Arc<Known>,
    turn: Arc<Semaphore>,
}

/// What was right.
#[derive(Debug)]
struct Known {
    /// Of this process.
    key: hmac::Key,
    /// Of each user, the last one.
    right: Mutex<HashMap<String, hmac::Tag>>,
}

/// What a password came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// Others are checked for longer than this one would wait.
    Busy,
}

impl Users {
    pub(super) fn new(users: Vec<User>) -> Self {
        let cost = users.iter().map(|user| user.cost).max().unwrap_or_default();
        // Of no password that anybody knows: its salt is all zeros, and so is its hash.
        let nobody = format!("$2b${cost:02}${}", ".".repeat(53)).into();
        let hash = |user: User| (user.name, user.hash.0.into());
        Self { hashes: users.into_iter().map(hash).collect(), nobody }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.hashes.len()
    }
}

impl Passwords {
    pub(super) fn new() -> Result<Self, Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
        let known = Arc::new(Known { key, right: Mutex::default() });
        Ok(Self { known, turn: Arc::new(Semaphore::new(1)) })
    }

    /// Checks one; waits for its turn at most `patience`.
    pub(super) async fn check(
        &self,
        users: &Users,
        user: &str,
        password: &[u8],
        patience: Duration,
    ) -> Verdict {
        let Some(hash) = users.hashes.get(user) else {
            let Some(turn) = self.turn(patience).await else { return Verdict::Busy };
            let _never = hashed(turn, &users.nobody, password, |_no_user| {}).await;
            return Verdict::Wrong;
        };
        let mark = mark(user, hash, password);
        if self.known.was_right(user, &mark) {
            return Verdict::Right;
        }
        let Some(turn) = self.turn(patience).await else { return Verdict::Busy };
        // Another request may have shown the same meanwhile.
        if self.known.was_right(user, &mark) {
            return Verdict::Right;
        }
        self.known.forget_others(users);
        let (known, user) = (Arc::clone(&self.known), user.to_owned());
        // Who asked may go before it is known: the next one need not wait so long.
        let remember = move |is_right| {
            if is_right {
                known.remember(user, &mark);
            }
        };
        if hashed(turn, hash, password, remember).await { Verdict::Right } else { Verdict::Wrong }
    }

    async fn turn(&self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.turn).acquire_owned();
        tokio::time::timeout(patience, turn).await.ok()?.ok()
    }
}

impl Known {
    fn right(&self) -> MutexGuard<'_, HashMap<String, hmac::Tag>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn was_right(&self, user: &str, mark: &[u8]) -> bool {
        let tag = self.right().get(user).copied();
        tag.is_some_and(|tag| hmac::verify(&self.key, mark, tag.as_ref()).is_ok())
    }

    fn remember(&self, user: String, mark: &[u8]) {
        let tag = hmac::sign(&self.key, mark);
        self.right().insert(user, tag);
    }

    /// Those who are users no more.
    fn forget_others(&self, users: &Users) {
        self.right().retain(|user, _| users.hashes.contains_key(user));
    }
}

/// The hash is in it, so that a changed password is asked for again. It has always the same length, so
/// that no two of these are alike.
fn mark(user: &str, hash: &str, password: &[u8]) -> Vec<u8> {
    [hash.as_bytes(), user.as_bytes(), b":", password].concat()
}

/// Whether it is the password of this hash, which `then` is told too. Who asked may go: the turn ends
/// when the work does.
async fn hashed(
    turn: OwnedSemaphorePermit,
    hash: &Arc<str>,
    password: &[u8],
    then: impl FnOnce(bool) + Send + 'static,
) -> bool {
    let (hash, password) = (Arc::clone(hash), password.to_vec());
    let (tell, told) = oneshot::channel();
    let _running = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let is_right = bcrypt::verify(password, &hash).unwrap_or(false);
        then(is_right);
        // Who asked may have gone.
        let _heard = tell.send(is_right);
        if !is_right {
            thread::sleep((began.elapsed() * REST).min(REST_MAX));
        }
        drop(turn);
    });
    told.await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::web_file::Secret;

    /// bcrypt of "right", at the least cost.
    fn users(names: &[&str]) -> Users {
        let hash = bcrypt::hash("right", 4).unwrap();
        let user = |name: &&str| User { name: (*name).into(), hash: Secret(hash.clone()), cost: 4 };
        Users::new(names.iter().map(user).collect())
    }

    #[tokio::test]
    async fn right_wrong_and_unknown() {
        let (users, passwords) = (users(&["a", "b"]), Passwords::new().unwrap());
        for (user, password, expected) in [
            ("a", "right", Verdict::Right),
            ("a", "right", Verdict::Right),
            ("a", "wrong", Verdict::Wrong),
            ("a", "", Verdict::Wrong),
            ("b", "right", Verdict::Right),
            ("c", "right", Verdict::Wrong),
            ("", "", Verdict::Wrong),
        ] {
            let verdict = passwords.check(&users, user, password.as_bytes(), Duration::MAX).await;
            assert_eq!(verdict, expected, "{user} {password}");
        }
        assert_eq!(passwords.known.right().len(), 2);
    }

    #[tokio::test]
    async fn a_hash_of_libxcrypt_is_understood_and_long_passwords_are_cut_as_everywhere() {
        let known = "$2y$10$74zag5k06SCtrFUCIC574uBNUNw0WklOtM.1AWkDn37gUQ/svr3Bq";
        let long = bcrypt::hash("x".repeat(72), 4).unwrap();
        let user = |name: &str, hash: &str, cost| User {
            name: name.into(),
            hash: Secret(hash.into()),
            cost,
        };
        let users = Users::new(vec![user("a", known, 10), user("b", &long, 4)]);
        let passwords = Passwords::new().unwrap();
        let check = |user, password| passwords.check(&users, user, password, Duration::MAX);
        assert_eq!(check("a", b"secret").await, Verdict::Right);
        assert_eq!(check("a", b"secret\0").await, Verdict::Wrong);
        assert_eq!(check("b", &[b'x'; 200]).await, Verdict::Right);
        assert_eq!(check("b", &[b'x'; 71]).await, Verdict::Wrong);
    }

    /// A timer would tell more of the machine than of us: the work is the same.
    #[test]
    fn who_is_no_user_costs_as_much_as_the_dearest_user() {
        let user = |name: &str, cost| User {
            name: name.into(),
            hash: Secret(bcrypt::hash("right", cost).unwrap()),
            cost,
        };
        let users = Users::new(vec![user("a", 4), user("b", 6), user("c", 5)]);
        let cost = |hash: &str| hash.split('$').nth(2).map(str::to_owned);
        assert_eq!(cost(&users.nobody), cost(&users.hashes["b"]));
        assert_eq!(users.nobody.len(), users.hashes["b"].len());
    }

    #[tokio::test]
    async fn who_goes_before_it_is_known_need_not_wait_again() {
        let (users, passwords) = (users(&["a"]), Passwords::new().unwrap());
        // It is dropped while the hash is computed, as when a client gives up.
        let mut check = Box::pin(passwords.check(&users, "a", b"right", Duration::MAX));
        tokio::select! {
            biased;
            // So fast that nobody could have gone.
            _ = &mut check => {}
            () = std::future::ready(()) => drop(check),
        }
        // Its turn ends when it is known.
        let turn = passwords.turn(Duration::MAX).await;
        let verdict = passwords.check(&users, "a", b"right", Duration::ZERO).await;
        assert_eq!(verdict, Verdict::Right);
        drop(turn);
    }

    #[tokio::test]
    async fn a_changed_hash_forgets_the_old_password() {
        let (before, passwords) = (users(&["a"]), Passwords::new().unwrap());
        let check = |users, password| passwords.check(users, "a", password, Duration::MAX);
        assert_eq!(check(&before, b"right").await, Verdict::Right);
        let hash = Secret(bcrypt::hash("other", 4).unwrap());
        let after = Users::new(vec![User { name: "a".into(), hash, cost: 4 }]);
        assert_eq!(check(&after, b"right").await, Verdict::Wrong);
        assert_eq!(check(&after, b"other").await, Verdict::Right);
    }

    #[tokio::test]
    async fn who_is_known_passes_by_those_who_wait_and_nobody_waits_for_ever() {
        let (users, passwords) = (users(&["a", "b"]), Passwords::new().unwrap());
        let check = |user, patience| passwords.check(&users, user, b"right", patience);
        assert_eq!(check("a", Duration::MAX).await, Verdict::Right);
        let _taken = passwords.turn.acquire().await.unwrap();
        assert_eq!(check("a", Duration::ZERO).await, Verdict::Right);
        assert_eq!(check("b", Duration::from_millis(1)).await, Verdict::Busy);
    }
}
