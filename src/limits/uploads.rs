//! Files that arrive at the same time. Each holds memory and a connection for as long as it takes, so
//! there are few slots, and nobody has all of them. These bounds stay when `RATE_LIMITS` is off.
//!
//! | counted by | files at once |
//! |---|---|
//! | server | 16 |
//! | address | 12 |
//! | user | 4 |

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::{
    Keys, TooMany,
    places::{Place, Places},
};
use crate::peer::Peer;

/// Of the server.
const AT_ONCE: usize = 16;
/// When a file may have arrived: nobody knows, so this is a guess that keeps clients calm.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Limits the files that arrive at once.
#[derive(Debug)]
pub struct Uploads {
    keys: Keys,
    all: Arc<Semaphore>,
    of_address: Arc<Places>,
    of_user: Arc<Places>,
}

/// Why a file has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotRefused {
    /// The server has no slot left.
    Busy,
    /// The address or the user has no slot left.
    TooMany(TooMany),
}

/// What a file has while it arrives; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    _all: OwnedSemaphorePermit,
    _address: Place,
    _user: Place,
}

impl Uploads {
    pub(super) fn new() -> Self {
        Self {
            keys: Keys::default(),
            all: Arc::new(Semaphore::new(AT_ONCE)),
            of_address: Places::new(AT_ONCE / 4 * 3),
            of_user: Places::new(AT_ONCE / 4),
        }
    }

    /// A slot for a file of this user's from there.
    ///
    /// # Errors
    /// [`SlotRefused`] when there is none left for them.
    pub fn slot(&self, from: &Peer, user: Uuid) -> Result<Slot, SlotRefused> {
        let too_many = SlotRefused::TooMany(TooMany {
            retry_after: RETRY_AFTER,
        });
        let user = self.of_user.take(self.keys.of(user)).ok_or(too_many)?;
        let address = self.of_address.take(self.keys.of(from.network()));
        let address = address.ok_or(too_many)?;
        let all = Arc::clone(&self.all).try_acquire_owned();
        Ok(Slot {
            _all: all.map_err(|_| SlotRefused::Busy)?,
            _address: address,
            _user: user,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn peer(last: u8) -> Peer {
        Peer {
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)),
            https: false,
        }
    }

    #[test]
    fn nobody_has_all_slots() {
        let uploads = Uploads::new();
        let many = |from: u8, user| {
            let slots = (0..100).map_while(|_| uploads.slot(&peer(from), user).ok());
            slots.collect::<Vec<_>>()
        };
        let (ann, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let of_ann = many(1, ann);
        assert_eq!(of_ann.len(), 4);
        assert!(many(2, ann).is_empty(), "a user is one, wherever they are");
        let of_others: Vec<_> = (3..10).flat_map(|n| many(1, Uuid::from_u128(n))).collect();
        assert_eq!(of_others.len(), 8, "an address is one, whoever is there");
        let of_bob = many(2, bob);
        assert_eq!(of_bob.len(), 4);
        let refused = uploads.slot(&peer(3), Uuid::from_u128(11)).unwrap_err();
        assert_eq!(refused, SlotRefused::Busy);
        drop(of_ann);
        assert_eq!(many(1, ann).len(), 4, "they are given back");
        drop((of_others, of_bob));
    }
}
