//! New accounts. Every request counts for its address before its body is read, because reading is work,
//! and for its name before the table is asked about it, because each answer tells whether somebody has
//! that name. Whether an account is made does not matter.
//!
//! | counted by | at once | then | against |
//! |---|---|---|---|
//! | address | 200 | one every 30 s | filling the table, listing who has an account |
//! | name | 20 | one every 10 s | hashing for one name without end |

use std::time::Duration;

use super::{Keys, TooMany, rate::Rate};
use crate::peer::Peer;

/// Limits new accounts, by address and by name.
#[derive(Debug)]
pub struct Registrations {
    keys: Keys,
    of_address: Rate,
    of_name: Rate,
}

impl Registrations {
    pub(super) fn new() -> Self {
        Self {
            keys: Keys::default(),
            of_address: Rate::new(200, Duration::from_secs(30)),
            of_name: Rate::new(20, Duration::from_secs(10)),
        }
    }

    pub(super) fn unlimited() -> Self {
        Self {
            keys: Keys::default(),
            of_address: Rate::unlimited(),
            of_name: Rate::unlimited(),
        }
    }

    /// Counts a request from there.
    ///
    /// # Errors
    /// [`TooMany`] when there were enough; that costs nothing more.
    pub fn from_address(&self, from: &Peer) -> Result<(), TooMany> {
        self.of_address.take(self.keys.of(from.network()))
    }

    /// Counts a request for this name, from wherever.
    ///
    /// # Errors
    /// As [`from_address`](Self::from_address).
    pub fn for_name(&self, username: &str) -> Result<(), TooMany> {
        self.of_name.take(self.keys.of(username))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn an_office_registers_and_a_robot_does_not_go_on() {
        let registrations = Registrations::new();
        let peer = |last| Peer {
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)),
            https: false,
        };
        for _ in 0..200 {
            assert_eq!(registrations.from_address(&peer(1)), Ok(()));
        }
        assert!(registrations.from_address(&peer(1)).is_err());
        assert!(registrations.from_address(&peer(2)).is_ok());
        let asked = (0..100).take_while(|_| registrations.for_name("ann").is_ok());
        assert_eq!(asked.count(), 20);
    }
}
