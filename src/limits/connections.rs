//! Connections that are no sockets: new ones, those that wait for a request, those whose request is
//! being answered. Of one address an eighth of what the server serves at once is taken, so that
//! with its sockets (three quarters) it never has all.
//!
//! A trusted proxy's connections are not counted, as they are everybody's. Instead the requests that
//! it passes on are, by the address that it names.

use std::sync::Arc;

use super::{
    Keys, TooMany,
    places::{Place, Places},
    sockets::RETRY_AFTER,
};
use crate::peer::Peer;

/// Limits the connections of one address. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections {
    keys: Keys,
    of_address: Arc<Places>,
    requests_of_address: Arc<Places>,
}

impl Connections {
    pub(super) fn new(max_connections: usize) -> Self {
        let most = (max_connections / 8).max(1);
        Self {
            keys: Keys::default(),
            of_address: Places::new(most),
            requests_of_address: Places::new(most),
        }
    }

    pub(super) fn unlimited() -> Self {
        Self {
            keys: Keys::default(),
            of_address: Places::new(usize::MAX),
            requests_of_address: Places::new(usize::MAX),
        }
    }

    /// A place for a connection from there.
    ///
    /// # Errors
    /// [`TooMany`] when that address has all it may have.
    pub fn from_address(&self, peer: &Peer) -> Result<Place, TooMany> {
        self.of_address
            .take(self.keys.of(peer.network()))
            .ok_or(TOO_MANY)
    }

    /// A place for a request that a trusted proxy passes on from there.
    ///
    /// # Errors
    /// As [`from_address`](Self::from_address).
    pub fn through_proxy(&self, peer: &Peer) -> Result<Place, TooMany> {
        self.requests_of_address
            .take(self.keys.of(peer.network()))
            .ok_or(TOO_MANY)
    }
}

const TOO_MANY: TooMany = TooMany {
    retry_after: RETRY_AFTER,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_a_network_of_ipv6_have_an_eighth() {
        let connections = Connections::new(16);
        let peer = |address: &str| address.parse().map(Peer::direct).unwrap();
        let _first = connections.from_address(&peer("192.0.2.1")).unwrap();
        let second = connections.from_address(&peer("::ffff:192.0.2.1")).unwrap();
        assert_eq!(
            connections.from_address(&peer("192.0.2.1")).unwrap_err(),
            TOO_MANY
        );
        let others = ["192.0.2.2", "2001:db8::1", "2001:db8::2"]
            .map(|address| connections.from_address(&peer(address)).unwrap());
        assert!(connections.from_address(&peer("2001:db8::3")).is_err());
        assert!(connections.from_address(&peer("2001:db8:0:1::1")).is_ok());
        drop(second);
        assert!(connections.from_address(&peer("192.0.2.1")).is_ok());
        drop(others);
        let _passed = connections.through_proxy(&peer("192.0.2.1")).unwrap();
    }
}
