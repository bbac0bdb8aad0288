//! Attempts to sign in, by a form or with a password in each request. Only wrong passwords count: an
//! office of a hundred that signs in at nine from one address uses up nothing.
//!
//! Three counts, so that neither an address that tries many names nor a name that is tried from many
//! addresses gets far, and no stranger can lock somebody else out:
//!
//! | counted by | at once | then | against |
//! |---|---|---|---|
//! | address and name | 20 | one a minute | guessing one person's password |
//! | address | 100 | one every 3 s | trying one password on many names |
//! | name | 100 | one every 5 s | guessing from many addresses |
//!
//! Besides, a request counts for its address until its body has been read and names somebody: 300 at
//! once, then one a second. So bodies that are work and lead to no attempt are few.
//!
//! A stranger's own count for a name runs out after 20, long before the name's; to keep that one used
//! up takes more than a dozen addresses that go on all the time. Even then a next attempt is free
//! within seconds, never hours, and from an address where the name has signed in before, its common
//! count is not asked. Only somebody behind the same address can use up the first row, and open
//! sessions and their sockets are never touched.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Keys, TooMany, rate::Rate, turns::Asker};
use crate::peer::Peer;

/// Pairs of an address and a name remembered at most; without one, only a shortcut is lost.
const MAX_FAMILIAR: usize = 10_000;

/// Limits attempts to sign in, by address and by name.
#[derive(Debug)]
pub struct SignIns {
    keys: Keys,
    of_pair: Rate,
    of_address: Rate,
    of_name: Rate,
    unread: Rate,
    /// Pairs whose password was right once.
    familiar: Mutex<HashSet<u64>>,
}

impl SignIns {
    pub(super) fn new() -> Self {
        Self {
            of_pair: Rate::new(20, Duration::from_mins(1)),
            of_address: Rate::new(100, Duration::from_secs(3)),
            of_name: Rate::new(100, Duration::from_secs(5)),
            unread: Rate::new(300, Duration::from_secs(1)),
            ..Self::unlimited()
        }
    }

    pub(super) fn unlimited() -> Self {
        Self {
            keys: Keys::default(),
            of_pair: Rate::unlimited(),
            of_address: Rate::unlimited(),
            of_name: Rate::unlimited(),
            unread: Rate::unlimited(),
            familiar: Mutex::default(),
        }
    }

    /// A request from there whose body is to be read. Counts until it is known to be an attempt.
    ///
    /// # Errors
    /// [`TooMany`] when there were enough; that costs nothing more.
    pub fn unread(&self, from: &Peer) -> Result<Unread<'_>, TooMany> {
        let address = self.keys.of(from.network());
        self.unread.take(address)?;
        Ok(Unread {
            sign_ins: self,
            address,
        })
    }

    /// An attempt from there to sign in as this name. Counts as a failed one until it is known to
    /// have been right, so that many at once are no way around.
    ///
    /// # Errors
    /// [`TooMany`] when enough have failed; that costs nothing more.
    pub fn attempt(&self, from: &Peer, username: &str) -> Result<Attempt<'_>, TooMany> {
        let address = self.keys.of(from.network());
        let pair = self.keys.of((from.network(), username));
        let name = self.keys.of(username);
        self.of_pair.take(pair)?;
        self.of_address
            .take(address)
            .inspect_err(|_| self.of_pair.give_back(pair))?;
        let name = (!self.is_familiar(pair)).then_some(name);
        if let Some(name) = name {
            self.of_name.take(name).inspect_err(|_| {
                self.of_pair.give_back(pair);
                self.of_address.give_back(address);
            })?;
        }
        Ok(Attempt {
            sign_ins: self,
            pair,
            address,
            name,
        })
    }

    /// Whose turn it is that work on this name's password from there waits for.
    pub fn asker(&self, from: &Peer, username: &str) -> Asker {
        Asker {
            is_familiar: self.is_familiar(self.keys.of((from.network(), username))),
            address: self.keys.of(from.network()),
            name: self.keys.of(username),
        }
    }

    fn is_familiar(&self, pair: u64) -> bool {
        let familiar = self.familiar.lock().unwrap_or_else(PoisonError::into_inner);
        familiar.contains(&pair)
    }
}

/// A request whose body is being read.
#[must_use = "a body counts until it is told that it was read"]
#[derive(Debug)]
pub struct Unread<'a> {
    sign_ins: &'a SignIns,
    address: u64,
}

impl Unread<'_> {
    /// The body names somebody, and counts as an attempt from here on.
    pub fn becomes_attempt(self) {
        self.sign_ins.unread.give_back(self.address);
    }
}

/// An attempt that is being looked at.
#[must_use = "an attempt counts as failed until it is told that it was not"]
#[derive(Debug)]
pub struct Attempt<'a> {
    sign_ins: &'a SignIns,
    pair: u64,
    address: u64,
    name: Option<u64>,
}

impl Attempt<'_> {
    /// No password was looked at: it does not count.
    pub fn withdraw(self) {
        self.sign_ins.of_pair.give_back(self.pair);
        self.sign_ins.of_address.give_back(self.address);
        if let Some(name) = self.name {
            self.sign_ins.of_name.give_back(name);
        }
    }

    /// The password was right: it does not count.
    pub fn succeeded(self) {
        if self.name.is_some() {
            let sign_ins = self.sign_ins;
            let mut familiar = sign_ins
                .familiar
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if familiar.len() >= MAX_FAMILIAR {
                familiar.clear();
            }
            familiar.insert(self.pair);
        }
        self.withdraw();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;

    fn peer(n: u32) -> Peer {
        Peer {
            address: IpAddr::V4(Ipv4Addr::from_bits(n)),
            https: false,
        }
    }

    /// How many attempts fail before one is refused.
    fn failures(sign_ins: &SignIns, from: &Peer, name: &str) -> usize {
        (0..1000)
            .take_while(|_| sign_ins.attempt(from, name).is_ok())
            .count()
    }

    #[test]
    fn an_office_signs_in_at_nine() {
        let sign_ins = SignIns::new();
        for person in 0..100 {
            let name = person.to_string();
            // One in three mistypes first; the page signs in twice.
            if person % 3 == 0 {
                let _failed = sign_ins.attempt(&peer(1), &name).unwrap();
            }
            for _ in 0..2 {
                sign_ins.attempt(&peer(1), &name).unwrap().succeeded();
            }
        }
    }

    #[test]
    fn a_stranger_cannot_lock_a_user_out() {
        let sign_ins = SignIns::new();
        assert_eq!(failures(&sign_ins, &peer(1), "ann"), 20);
        assert!(sign_ins.attempt(&peer(2), "ann").is_ok(), "from elsewhere");
        assert!(sign_ins.attempt(&peer(1), "bob").is_ok(), "somebody else");
    }

    #[test]
    fn many_names_from_one_address_are_stopped() {
        let sign_ins = SignIns::new();
        let tried = (0..1000)
            .take_while(|n| sign_ins.attempt(&peer(1), &n.to_string()).is_ok())
            .count();
        assert_eq!(tried, 100);
    }

    #[test]
    fn one_name_from_many_addresses_is_stopped_except_where_it_has_signed_in_before() {
        let sign_ins = SignIns::new();
        sign_ins.attempt(&peer(0), "ann").unwrap().succeeded();
        let tried = (1..1000)
            .take_while(|n| sign_ins.attempt(&peer(*n), "ann").is_ok())
            .count();
        assert_eq!(tried, 100);
        let wait = sign_ins.attempt(&peer(2000), "ann").unwrap_err();
        assert!(wait.retry_after <= Duration::from_secs(5), "{wait:?}");
        assert_eq!(failures(&sign_ins, &peer(0), "ann"), 20);
    }

    #[test]
    fn who_has_a_network_of_addresses_is_one_stranger() {
        let sign_ins = SignIns::new();
        let tried = (0..1000_u128)
            .map(|n| Peer {
                address: IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + n)),
                https: false,
            })
            .take_while(|from| sign_ins.attempt(from, "ann").is_ok())
            .count();
        assert_eq!(tried, 20);
    }

    #[test]
    fn bodies_that_lead_to_no_attempt_are_few_and_the_others_are_free() {
        let sign_ins = SignIns::new();
        for _ in 0..1000 {
            sign_ins.unread(&peer(1)).unwrap().becomes_attempt();
        }
        let unread = (0..1000).take_while(|_| sign_ins.unread(&peer(1)).is_ok());
        assert_eq!(unread.count(), 300);
        assert!(sign_ins.unread(&peer(2)).is_ok(), "from elsewhere");
    }

    #[test]
    fn what_is_refused_uses_nothing_up() {
        let sign_ins = SignIns::new();
        failures(&sign_ins, &peer(1), "ann");
        for _ in 0..1000 {
            assert!(sign_ins.attempt(&peer(1), "ann").is_err());
        }
        assert!(sign_ins.attempt(&peer(1), "bob").is_ok());
        assert!(sign_ins.attempt(&peer(2), "ann").is_ok());
    }
}
