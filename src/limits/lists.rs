//! Lists of all rows that are being made and sent. So nobody keeps the server busy with lists alone,
//! and nobody holds many by not reading them.
//!
//! | counted by | under way | sent at once | then |
//! |---|---|---|---|
//! | user | 4, others wait 5 s | 32 MiB | 32 MiB a second |

use std::time::Duration;

use tokio::time;
use uuid::Uuid;

use super::{
    Keys, TooMany,
    at_once::{AtOnce, UnderWay},
    rate::Rate,
};

/// What is counted as one, in bytes.
const UNIT_BYTES: u64 = 32 * 1024;

/// Limits the lists of all rows that one user is sent.
#[derive(Debug)]
pub struct Lists {
    keys: Keys,
    under_way: AtOnce,
    sent: Rate,
}

impl Lists {
    pub(super) fn new() -> Self {
        Self {
            keys: Keys::default(),
            under_way: AtOnce::new(4, Duration::from_secs(5)),
            sent: Rate::new(1024, Duration::from_millis(1)),
        }
    }

    pub(super) fn unlimited() -> Self {
        Self {
            keys: Keys::default(),
            under_way: AtOnce::unlimited(),
            sent: Rate::unlimited(),
        }
    }

    /// Waits until this user may have another list; it is under way until what is given is dropped.
    ///
    /// # Errors
    /// [`TooMany`] when that takes too long.
    pub async fn begin(&self, user: Uuid) -> Result<UnderWay, TooMany> {
        self.under_way.begin(user).await
    }

    /// Waits until this user may be sent so many bytes.
    pub async fn pace(&self, user: Uuid, bytes: u64) {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        while let Err(many) = self.sent.take_many(self.keys.of(user), units) {
            time::sleep(many.retry_after).await;
        }
    }
}
