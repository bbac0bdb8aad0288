//! Which credentials were right a moment ago. Holds keyed digests and times, never a password; the
//! stored hash is part of each digest, so a changed password is not believed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

/// How long a verified password is believed.
const LIFETIME: Duration = Duration::from_mins(1);
/// Credentials remembered at most.
const CAPACITY: usize = 1024;

/// A digest of a name, a password and the hash it was right for.
pub(super) type Key = [u8; 32];

/// Recently verified credentials.
pub(super) struct Recent {
    /// Of this process alone, so that digests are worth nothing elsewhere.
    secret: [u8; 32],
    until: Mutex<HashMap<Key, Instant>>,
}

impl Recent {
    pub(super) fn new() -> Self {
        Self {
            secret: rand::random(),
            until: Mutex::default(),
        }
    }

    pub(super) fn key(&self, username: &str, password: &str, stored: &str) -> Key {
        let mut digest = Sha256::new_with_prefix(self.secret);
        for part in [username, password, stored] {
            // With its length before it, no part can pass for another's beginning.
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    pub(super) fn knows(&self, key: &Key) -> bool {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(key).is_some_and(|until| *until > Instant::now())
    }

    pub(super) fn note(&self, key: Key) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= CAPACITY {
            let now = Instant::now();
            until.retain(|_, until| *until > now);
        }
        if until.len() >= CAPACITY {
            // More clients than this cost a hash each now and then; they lose nothing else.
            until.clear();
        }
        until.insert(key, Instant::now() + LIFETIME);
    }
}

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_in_every_part_and_process() {
        let recent = Recent::new();
        let key = recent.key("ann", "secret", "hash");
        assert_eq!(key, recent.key("ann", "secret", "hash"));
        for other in [
            recent.key("annsecret", "", "hash"),
            recent.key("ann", "secre", "thash"),
            recent.key("ann", "secret", "other"),
            Recent::new().key("ann", "secret", "hash"),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn memory_is_bounded_and_short() {
        let recent = Recent::new();
        let keys: Vec<Key> = (0..=CAPACITY)
            .map(|n| recent.key("ann", &n.to_string(), "hash"))
            .collect();
        for key in &keys {
            recent.note(*key);
            assert!(recent.knows(key));
        }
        assert!(recent.until.lock().unwrap().len() <= CAPACITY);
        let last = keys[CAPACITY];
        recent.until.lock().unwrap().insert(last, Instant::now());
        assert!(!recent.knows(&last));
    }
}
