//! Changes of passwords, each of which costs two hashes: 10 at once for a user, and then one a minute.
//! A wrong old password does not count here but as a sign-in, so nobody who guesses at it keeps the
//! user from changing it.

use std::time::Duration;

use uuid::Uuid;

use super::{Keys, TooMany, rate::Rate};

/// Limits how often one user changes the password.
#[derive(Debug)]
pub struct PasswordChanges {
    keys: Keys,
    of_user: Rate,
}

impl PasswordChanges {
    pub(super) fn new() -> Self {
        Self {
            keys: Keys::default(),
            of_user: Rate::new(10, Duration::from_mins(1)),
        }
    }

    pub(super) fn unlimited() -> Self {
        Self {
            keys: Keys::default(),
            of_user: Rate::unlimited(),
        }
    }

    /// Counts a change that this user asks for, until it is known to be one.
    ///
    /// # Errors
    /// [`TooMany`] when there were enough; that costs nothing more.
    pub fn take(&self, user: Uuid) -> Result<Counted<'_>, TooMany> {
        let user = self.keys.of(user);
        self.of_user.take(user)?;
        Ok(Counted {
            changes: self,
            user,
            stays: false,
        })
    }
}

/// A change that was counted. Dropped before it is known to be one, it does not count: the old password was
/// wrong, nobody has looked at it, or the new one was not hashed.
#[must_use = "a change that is dropped does not count"]
#[derive(Debug)]
pub struct Counted<'a> {
    changes: &'a PasswordChanges,
    user: u64,
    stays: bool,
}

impl Counted<'_> {
    /// Both hashes were computed: it counts.
    pub fn stays(mut self) {
        self.stays = true;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if !self.stays {
            self.changes.of_user.give_back(self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_ten_and_what_was_none_does_not_count() {
        let changes = PasswordChanges::new();
        let [ann, bob] = [1, 2].map(Uuid::from_u128);
        for _ in 0..100 {
            drop(changes.take(ann).unwrap());
        }
        for _ in 0..10 {
            changes.take(ann).unwrap().stays();
        }
        assert!(changes.take(ann).is_err());
        assert!(changes.take(bob).is_ok());
    }
}
