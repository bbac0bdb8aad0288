//! How much of the server one client may have: attempts to sign in, new accounts, changes of
//! passwords, reads and writes, connections, sockets and messages on them, files that arrive. Counts by
//! keys; knows no request, no table and no socket.
//!
//! What is counted is kept in this process, in tables of bounded size: a stranger with a million
//! addresses costs no more memory than one, and each node allows as much again.

mod at_once;
mod connections;
mod lists;
mod password_changes;
mod places;
mod rate;
mod registrations;
mod sign_ins;
mod sockets;
pub mod turns;
mod uploads;

pub use self::{
    at_once::{AtOnce, UnderWay},
    connections::Connections,
    lists::Lists,
    password_changes::PasswordChanges,
    places::Place,
    rate::TooMany,
    registrations::Registrations,
    sign_ins::SignIns,
    sockets::{Seat, Sockets},
    uploads::{Slot, SlotRefused, Uploads},
};

use std::{
    hash::{BuildHasher, Hash, RandomState},
    time::Duration,
};

/// All limits. `RATE_LIMITS` switches all but those of files.
#[derive(Debug)]
pub struct Limits {
    /// Of attempts to sign in.
    pub sign_ins: SignIns,
    /// Of new accounts.
    pub registrations: Registrations,
    /// Of changes of passwords.
    pub password_changes: PasswordChanges,
    /// Of lists of all rows.
    pub lists: Lists,
    /// Of other requests that read, by user.
    pub reads: AtOnce,
    /// Of statements that write, by user: one who waits for a lock keeps few of the pool's connections.
    pub writes: AtOnce,
    /// Of connections that are no sockets.
    pub connections: Connections,
    /// Of sockets and their messages.
    pub sockets: Sockets,
    /// Of files that arrive.
    pub uploads: Uploads,
}

impl Limits {
    /// The limits of a server that serves so many connections at once.
    pub fn new(max_connections: usize) -> Self {
        Self {
            sign_ins: SignIns::new(),
            registrations: Registrations::new(),
            password_changes: PasswordChanges::new(),
            lists: Lists::new(),
            reads: AtOnce::new(8, Duration::from_secs(5)),
            writes: AtOnce::new(4, Duration::from_millis(1500)),
            connections: Connections::new(max_connections),
            sockets: Sockets::new(max_connections),
            uploads: Uploads::new(),
        }
    }

    /// None but those of files: for replays and load tests.
    pub fn off() -> Self {
        Self {
            sign_ins: SignIns::unlimited(),
            registrations: Registrations::unlimited(),
            password_changes: PasswordChanges::unlimited(),
            lists: Lists::unlimited(),
            reads: AtOnce::unlimited(),
            writes: AtOnce::unlimited(),
            connections: Connections::unlimited(),
            sockets: Sockets::unlimited(),
            uploads: Uploads::new(),
        }
    }
}

/// Turns what is counted by into keys of one size. The hashes are this process's own, so nobody can
/// choose a name that shares its key with another's.
#[derive(Clone, Debug, Default)]
struct Keys(RandomState);

impl Keys {
    fn of(&self, what: impl Hash) -> u64 {
        self.0.hash_one(what)
    }
}
