//! Passwords: argon2id, hashed and verified off the async threads, two at a time and in fair turns.
//! Hashes of other kinds are verified, never made. Passwords are kept nowhere.

mod memory;

use std::{
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{self, Output, ParamsString, PasswordHash, Salt},
};
use tokio::task;

use self::memory::Memory;
use super::{Refused, imported, verified_cache::Recent};
use crate::{
    error::{Error, Result},
    hashes::Kind,
    limits::{
        TooMany,
        turns::{self, Asker, Bounds, Full, Turns},
    },
};

/// Passwords worked on at once, at most: each takes 19 MiB, which stays with the process, and a
/// core's whole attention.
const AT_ONCE: usize = 2;
/// When those may have had their turns who wait for one.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Hashes and verifies passwords.
#[derive(Debug)]
pub struct Hasher {
    turns: Arc<Turns<Memory>>,
    recent: Recent,
}

impl Hasher {
    /// A hasher for which so many may wait.
    pub fn new(waiting: Bounds) -> Self {
        // Made now, or the first unknown user would take twice as long as a known one.
        dummy_hash();
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let memory = (0..cores.min(AT_ONCE)).map(|_| Memory::default());
        Self {
            turns: Turns::new(memory.collect(), waiting),
            recent: Recent::new(),
        }
    }

    /// A PHC string for `password`, with a salt of its own.
    ///
    /// # Errors
    /// As [`turn`](Self::turn), and [`Refused::Failed`] when the process is ending.
    pub async fn hash(&self, asker: &Asker, password: String) -> Result<String, Refused> {
        let turn = self.turn(asker).await?;
        let hashed = turn.work(move |memory| hash_in(memory, &password));
        Ok(hashed.await?)
    }

    /// Waits for one's turn to work on a password.
    ///
    /// # Errors
    /// [`Refused::TooMany`] or [`Refused::Busy`] when too many wait already.
    pub async fn turn(&self, asker: &Asker) -> Result<Turn<'_>, Refused> {
        let turn = self.turns.take(*asker).await.map_err(|full| match full {
            Full::OfAsker => Refused::TooMany(TooMany {
                retry_after: RETRY_AFTER,
            }),
            Full::OfAll => Refused::Busy,
        })?;
        Ok(Turn {
            recent: &self.recent,
            turn,
        })
    }
}

/// Leave to work on one password.
#[derive(Debug)]
pub struct Turn<'a> {
    recent: &'a Recent,
    turn: turns::Turn<Memory>,
}

impl Turn<'_> {
    /// Whether `stored` is a hash of this user's `password`. With nothing stored, as for an unknown
    /// user, or nothing that may be computed, it is not, but finding that out takes as long. What was
    /// right a moment ago is believed without hashing, while the same hash is stored: some clients
    /// send their password with every request.
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
        self.work(move |memory| compare_in(memory, password.as_bytes(), stored.as_deref()))
            .await
    }

    async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T> {
        let mut turn = self.turn;
        // The turn goes with the work: whoever waited may have gone before it is done.
        task::spawn_blocking(move || work(&mut turn))
            .await
            .map_err(|_| Error::Unavailable("the process is ending".into()))
    }
}

/// Whether `stored` is a hash of `password`. Where it is none, the work is done for another one.
fn compare_in(memory: &mut Memory, password: &[u8], stored: Option<&str>) -> bool {
    let verdict = stored.and_then(|stored| match Kind::of(stored) {
        Kind::Pbkdf2 => imported::verify(password, stored),
        Kind::Own | Kind::Argon2 => verify_in(memory, password, stored),
        Kind::TooCostly | Kind::Unusable => None,
    });
    verdict.unwrap_or_else(|| {
        verify_in(memory, password, dummy_hash());
        false
    })
}

/// A PHC string for `password`, with a salt of its own; blocks for as long as that takes.
pub fn hash(password: &str) -> String {
    hash_in(&mut Memory::default(), password)
}

/// One of [`Kind::Own`], by the crate's defaults.
fn hash_in(memory: &mut Memory, password: &str) -> String {
    let argon2 = Argon2::default();
    let salt = Salt::generate();
    let hash = Output::init_with(Params::DEFAULT_OUTPUT_LEN, |out| {
        let work = |blocks: &mut [Block]| {
            argon2.hash_password_into_with_memory(password.as_bytes(), &salt, out, blocks)
        };
        let done = memory.lend(argon2.params().block_count(), work);
        done.expect("a password is shorter than 4 GiB, and the memory is as long as it must be");
        Ok(())
    });
    let parts = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params()).expect("they are the defaults"),
        salt: Some(salt),
        hash: Some(hash.expect("the default length is a valid one")),
    };
    parts.to_string()
}

/// Whether `stored` is an argon2 hash of `password`, with the parameters that it names; `None` when it
/// cannot be read.
fn verify_in(memory: &mut Memory, password: &[u8], stored: &str) -> Option<bool> {
    let parts = PasswordHash::new(stored).ok()?;
    let version = parts
        .version
        .map_or(Ok(Version::default()), Version::try_from);
    let (Ok(algorithm), Ok(version), Ok(params)) = (
        Algorithm::try_from(parts.algorithm.as_str()),
        version,
        Params::try_from(&parts),
    ) else {
        return None;
    };
    let (salt, expected) = (parts.salt?, parts.hash?);
    let kib = params.block_count();
    let argon2 = Argon2::new(algorithm, version, params);
    let found = Output::init_with(expected.len(), |out| {
        let work = |blocks: &mut [Block]| {
            argon2.hash_password_into_with_memory(password, &salt, out, blocks)
        };
        memory.lend(kib, work).map_err(|_| phc::Error::SaltTooShort)
    });
    // Compares all bytes, however early two differ.
    found.ok().map(|found| found == expected)
}

/// A hash that nobody has the password of.
fn dummy_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash(&format!("{:x}", rand::random::<u128>())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{limits::Limits, peer::Peer};

    fn asker() -> Asker {
        let peer = "192.0.2.1".parse().map(Peer::direct).unwrap();
        Limits::off().sign_ins.asker(&peer, "ann")
    }

    async fn turn(hasher: &Hasher) -> Turn<'_> {
        hasher.turn(&asker()).await.unwrap()
    }

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let hasher = Hasher::new(Bounds::ON);
        let stored = hash("secret");
        assert!(stored.starts_with(crate::hashes::OWN), "{stored}");
        assert_ne!(stored, hash("secret"));
        for (password, stored, is_right) in [
            ("secret", Some(stored.as_str()), true),
            ("Secret", Some(&stored), false),
            ("", Some(&stored), false),
            ("secret", Some("not a hash"), false),
            ("secret", None, false),
        ] {
            // Twice, so that the second may come from memory.
            for _ in 0..2 {
                let turn = turn(&hasher).await;
                let verdict = turn.verify("ann", password, stored).await;
                assert_eq!(verdict.unwrap(), is_right);
            }
        }
    }

    #[tokio::test]
    async fn what_is_remembered_goes_with_the_stored_hash() {
        let hasher = Hasher::new(Bounds::ON);
        let [old, new] = ["old", "new"].map(hash);
        for (stored, is_right) in [(&old, true), (&new, false), (&old, true)] {
            let turn = turn(&hasher).await;
            let verdict = turn.verify("ann", "old", Some(stored)).await;
            assert_eq!(verdict.unwrap(), is_right);
        }
    }

    /// Not measured by a clock: a hash of ours fills all of its memory, and nothing else here does.
    #[test]
    fn an_unknown_user_takes_as_much_work() {
        let stored = hash("secret");
        let costly = "pbkdf2_sha256$9999999999$salt$qYA1X4WIB2oX59pFrsdIC83YgHqMSQj8aYzRpWI5mlU=";
        for stored in [
            Some(stored.as_str()),
            None,
            Some("!"),
            Some("$argon2id$"),
            Some("$argon2id$v=19$m=8,t=1,p=1$"),
            Some("pbkdf2_sha256$1000$salt$"),
            Some(costly),
        ] {
            let mut memory = Memory::default();
            assert!(!memory.is_filled());
            assert!(!compare_in(&mut memory, b"wrong", stored));
            assert!(memory.is_filled(), "{stored:?}");
        }
        assert!(
            dummy_hash().starts_with(crate::hashes::OWN),
            "as costly as ours"
        );
    }

    #[tokio::test]
    async fn hashes_with_other_parameters_are_verified_and_no_endless_ones() {
        let hasher = Hasher::new(Bounds::ON);
        // Made by argon2-cffi 25.1 for the password `secret`; the last with more memory than is lent.
        for (stored, is_right) in [
            (
                "$argon2id$v=19$m=102400,t=2,p=8$MDEyMzQ1Njc4OWFiY2RlZg$uV/BI+rPOCE0mBPr6V/rIvugeyUw6vTbkuhg4aLFr04",
                true,
            ),
            (
                "$argon2i$v=19$m=64,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg$93qFTP4vzCL76D1fdjK2xKv51mxsI3FiviPJUAdX/WM",
                true,
            ),
            (
                "$argon2d$v=19$m=1000,t=1,p=2$MDEyMzQ1Njc4OWFiY2RlZg$A/HN8jX/kh4zgGKsVuR/gMXqsWjUqTzAouHSIg8BBuU",
                true,
            ),
            (
                "$argon2id$v=19$m=20000,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$7ZGWzkWijqgedQxy41jFFPRCSUPu420Y2xQxc/bVAaE",
                true,
            ),
            (
                "$argon2id$v=19$m=20000,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$8ZGWzkWijqgedQxy41jFFPRCSUPu420Y2xQxc/bVAaE",
                false,
            ),
            (
                "$argon2id$v=19$m=64,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg$93qFTP4vzCL76D1fdjK2xKv51mxsI3FiviPJUAdX/WM",
                false,
            ),
            (
                "$argon2id$v=19$m=4194304,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$7ZGWzkWijqgedQxy41jFFPRCSUPu420Y2xQxc/bVAaE",
                false,
            ),
            ("$argon2id$v=19$m=64,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg", false),
            (
                "$pbkdf2$v=19$m=64,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg$93qFTP4vzCL76D1fdjK2xKv51mxsI3FiviPJUAdX/WM",
                false,
            ),
        ] {
            let verdict = turn(&hasher)
                .await
                .verify("ann", "secret", Some(stored))
                .await;
            assert_eq!(verdict.unwrap(), is_right, "{stored}");
        }
    }
}
