//! Open sockets, and messages on them. Wide enough for pages that open a socket for each card and
//! each keystroke and close none; narrow enough that no user and no address has all places. A session
//! is free to whoever has a password, so all of a user's count together.
//!
//! | counted by | sockets at once | messages at once | then |
//! |---|---|---|---|
//! | user | a quarter of the server's connections | 5,000 | 200 a second |
//! | address | three quarters | 100,000 | 4,000 a second |
//!
//! Connections that are no sockets are counted in [`Connections`](super::Connections).

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    Keys, TooMany,
    places::{Place, Places},
    rate::Rate,
};
use crate::peer::Peer;

/// When a socket may have been closed: nobody knows, so this is a guess that keeps clients calm.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Limits sockets, by address and by user, and the messages on them.
#[derive(Debug)]
pub struct Sockets {
    keys: Keys,
    of_address: Arc<Places>,
    of_user: Arc<Places>,
    messages_of_address: Rate,
    messages_of_user: Rate,
}

impl Sockets {
    pub(super) fn new(max_connections: usize) -> Self {
        Self {
            keys: Keys::default(),
            of_address: Places::new((max_connections / 4 * 3).max(1)),
            of_user: Places::new((max_connections / 4).max(1)),
            messages_of_address: Rate::new(100_000, Duration::from_micros(250)),
            messages_of_user: Rate::new(5_000, Duration::from_millis(5)),
        }
    }

    pub(super) fn unlimited() -> Self {
        Self {
            keys: Keys::default(),
            of_address: Places::new(usize::MAX),
            of_user: Places::new(usize::MAX),
            messages_of_address: Rate::unlimited(),
            messages_of_user: Rate::unlimited(),
        }
    }

    /// A place for a socket from there.
    ///
    /// # Errors
    /// [`TooMany`] when that address has all it may have.
    pub fn from_address(&self, peer: &Peer) -> Result<Place, TooMany> {
        let key = self.keys.of(peer.network());
        self.of_address.take(key).ok_or(TooMany {
            retry_after: RETRY_AFTER,
        })
    }

    /// A seat for a socket that has its address's place, of this user; of nobody when strangers may
    /// look.
    ///
    /// # Errors
    /// [`TooMany`] when that user has all they may have.
    pub fn seat(&self, address: Place, user: Option<Uuid>) -> Result<Seat, TooMany> {
        let user = match user {
            None => None,
            Some(id) => Some(self.of_user.take(self.keys.of(id)).ok_or(TooMany {
                retry_after: RETRY_AFTER,
            })?),
        };
        Ok(Seat { address, user })
    }

    /// Counts a message.
    ///
    /// # Errors
    /// [`TooMany`] when there were enough; that costs nothing more.
    pub fn message(&self, seat: &Seat) -> Result<(), TooMany> {
        let address = seat.address.key();
        self.messages_of_address.take(address)?;
        match &seat.user {
            None => Ok(()),
            Some(user) => self
                .messages_of_user
                .take(user.key())
                .inspect_err(|_| self.messages_of_address.give_back(address)),
        }
    }
}

/// What an open socket counts for; let go when dropped.
#[derive(Debug)]
pub struct Seat {
    address: Place,
    user: Option<Place>,
}
