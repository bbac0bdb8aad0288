//! Passwords: argon2id, hashed and verified off the async threads, a few at a time. Hashes of other
//! kinds are verified, never made. Passwords are kept nowhere.

use std::{
    sync::{Arc, OnceLock},
    thread,
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task,
};

use super::{imported, recent::Recent};
use crate::error::{Error, Result};

/// Hashes and verifies passwords.
#[derive(Debug)]
pub struct Hasher {
    /// One per core: each hash takes 19 MiB and a core's whole attention.
    slots: Arc<Semaphore>,
    recent: Recent,
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Hasher {
    /// A hasher that works on as many passwords at once as there are cores.
    pub fn new() -> Self {
        // Made now, or the first unknown user would take twice as long as a known one.
        nobodys();
        let cores = thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            slots: Arc::new(Semaphore::new(cores)),
            recent: Recent::new(),
        }
    }

    /// A PHC string for `password`, with a salt of its own.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the process is ending.
    pub async fn hash(&self, password: String) -> Result<String> {
        self.turn().await.work(move || hash(&password)).await
    }

    /// Waits for one's turn to work on a password.
    pub async fn turn(&self) -> Turn<'_> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        Turn {
            recent: &self.recent,
            slot: slot.expect("the semaphore is never closed"),
        }
    }
}

/// Leave to work on one password.
#[derive(Debug)]
pub struct Turn<'a> {
    recent: &'a Recent,
    slot: OwnedSemaphorePermit,
}

impl Turn<'_> {
    /// Whether `stored` is a hash of this user's `password`. With nothing stored, as for an unknown
    /// user, it is not, but finding that out takes as long. What was right a moment ago is believed
    /// without hashing, while the same hash is stored: some clients send their password with every
    /// request.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the process is ending.
    pub async fn verify(
        self,
        username: &str,
        password: &str,
        stored: Option<&str>,
    ) -> Result<bool> {
        let recent = self.recent;
        let key = stored.map(|stored| recent.key(username, password, stored));
        if key.is_some_and(|key| recent.knows(&key)) {
            return Ok(true);
        }
        let is_right = self.compare(password, stored).await?;
        if let Some(key) = key.filter(|_| is_right) {
            recent.note(key);
        }
        Ok(is_right)
    }

    async fn compare(self, password: &str, stored: Option<&str>) -> Result<bool> {
        let password = password.to_owned();
        let stored = stored.map(ToOwned::to_owned);
        self.work(move || {
            let hash = stored.as_deref().unwrap_or_else(|| nobodys());
            if imported::is_one(hash) {
                return imported::verify(password.as_bytes(), hash);
            }
            let is_right = Argon2::default()
                .verify_password(password.as_bytes(), hash)
                .is_ok();
            is_right && stored.is_some()
        })
        .await
    }

    async fn work<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let slot = self.slot;
        task::spawn_blocking(move || {
            // The slot goes with the work: whoever waited may have gone before it is done.
            let _slot = slot;
            work()
        })
        .await
        .map_err(|_| Error::Unavailable("the process is ending".into()))
    }
}

/// The parameters are the crate's defaults, which are OWASP's: 19 MiB, 2 passes, 1 lane
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>).
fn hash(password: &str) -> String {
    Argon2::default()
        .hash_password(password.as_bytes())
        .expect("a password is shorter than 4 GiB, and the system has random numbers")
        .to_string()
}

/// A hash that nobody has the password of.
fn nobodys() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash(&format!("{:x}", rand::random::<u128>())))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let hasher = Hasher::new();
        let stored = hasher.hash("secret".into()).await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert_ne!(stored, hasher.hash("secret".into()).await.unwrap());
        for (password, stored, is_right) in [
            ("secret", Some(stored.as_str()), true),
            ("Secret", Some(&stored), false),
            ("", Some(&stored), false),
            ("secret", Some("not a hash"), false),
            ("secret", None, false),
        ] {
            // Twice, so that the second may come from memory.
            for _ in 0..2 {
                let turn = hasher.turn().await;
                let verdict = turn.verify("ann", password, stored).await;
                assert_eq!(verdict.unwrap(), is_right);
            }
        }
    }

    #[tokio::test]
    async fn what_is_remembered_goes_with_the_stored_hash() {
        let hasher = Hasher::new();
        let old = hasher.hash("old".into()).await.unwrap();
        let new = hasher.hash("new".into()).await.unwrap();
        for (stored, is_right) in [(&old, true), (&new, false), (&old, true)] {
            let turn = hasher.turn().await;
            let verdict = turn.verify("ann", "old", Some(stored)).await;
            assert_eq!(verdict.unwrap(), is_right);
        }
    }

    #[tokio::test]
    async fn an_unknown_user_takes_as_long() {
        let hasher = Hasher::new();
        let stored = hasher.hash("secret".into()).await.unwrap();
        let mut fastest = [Duration::MAX; 2];
        for _ in 0..3 {
            for (fastest, stored) in fastest.iter_mut().zip([Some(stored.as_str()), None]) {
                let start = Instant::now();
                let turn = hasher.turn().await;
                turn.verify("ann", "wrong", stored).await.unwrap();
                *fastest = start.elapsed().min(*fastest);
            }
        }
        let [known, unknown] = fastest;
        // Without the work it would be a thousandth.
        assert!(unknown > known / 4, "{unknown:?} against {known:?}");
    }
}
