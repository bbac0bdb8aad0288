//! New accounts. Every request that asks the table about a name counts, whether the account is made
//! or not: each answer tells whether somebody has that name.
//!
//! | counted by | at once | then | against |
//! |---|---|---|---|
//! | address | 200 | one every 30 s | filling the table, listing who has an account |
//! | name | 20 | one every 10 s | hashing for one name without end |

use std::time::Duration;

use super::{Keys, TooMany, rate::Rate};
use crate::peer::Peer;

/// See the module.
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

    /// Counts a request from there for this name.
    ///
    /// # Errors
    /// [`TooMany`] when there were enough; that costs nothing more.
    pub fn count(&self, from: &Peer, username: &str) -> Result<(), TooMany> {
        let address = self.keys.of(from.network());
        self.of_address.take(address)?;
        self.of_name
            .take(self.keys.of(username))
            .inspect_err(|_| self.of_address.give_back(address))
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
        for n in 0..200 {
            assert_eq!(registrations.count(&peer(1), &n.to_string()), Ok(()));
        }
        assert!(registrations.count(&peer(1), "one more").is_err());
        let asked = (2..100).take_while(|n| registrations.count(&peer(*n), "ann").is_ok());
        assert_eq!(asked.count(), 20);
    }
}
