//! How much of the server one stranger may have: attempts to sign in, new accounts, sockets, and
//! messages on them. Counts by keys; knows no request, no table and no socket.
//!
//! What is counted is kept in this process, in tables of bounded size: a stranger with a million
//! addresses costs no more memory than one, and each node allows as much again.

mod places;
mod rate;
mod registrations;
mod sign_ins;
mod sockets;

pub use self::{
    places::Place,
    rate::TooMany,
    registrations::Registrations,
    sign_ins::SignIns,
    sockets::{Seat, Sockets},
};

use std::hash::{BuildHasher, Hash, RandomState};

/// All limits that `RATE_LIMITS` switches.
#[derive(Debug)]
pub struct Limits {
    /// Of attempts to sign in.
    pub sign_ins: SignIns,
    /// Of new accounts.
    pub registrations: Registrations,
    /// Of sockets and their messages.
    pub sockets: Sockets,
}

impl Limits {
    /// The limits of a server that serves so many connections at once.
    pub fn new(max_connections: usize) -> Self {
        Self {
            sign_ins: SignIns::new(),
            registrations: Registrations::new(),
            sockets: Sockets::new(max_connections),
        }
    }

    /// None at all: for replays and load tests.
    pub fn off() -> Self {
        Self {
            sign_ins: SignIns::unlimited(),
            registrations: Registrations::unlimited(),
            sockets: Sockets::unlimited(),
        }
    }
}

/// Turns what is counted by into keys of one size. The hashes are this process's own, so nobody can
/// choose a name that shares its key with another's.
#[derive(Debug, Default)]
struct Keys(RandomState);

impl Keys {
    fn of(&self, what: impl Hash) -> u64 {
        self.0.hash_one(what)
    }
}
