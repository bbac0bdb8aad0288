//! How much somebody may have under way at once. Those who ask for more wait, for a while.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};

use super::{Keys, TooMany};

/// Limits what one key does at the same time; more of it waits.
#[derive(Debug)]
pub struct AtOnce {
    keys: Keys,
    most: usize,
    longest_wait: Duration,
    /// The places of those who have any under way.
    under_way: Mutex<HashMap<u64, Weak<Semaphore>>>,
}

impl AtOnce {
    /// `most` for each; who asks for more waits no longer than this.
    pub(super) fn new(most: usize, longest_wait: Duration) -> Self {
        Self {
            keys: Keys::default(),
            most,
            longest_wait,
            under_way: Mutex::default(),
        }
    }

    pub(super) fn unlimited() -> Self {
        Self::new(Semaphore::MAX_PERMITS, Duration::ZERO)
    }

    /// Waits until `who` may begin another; it is under way until what is given is dropped.
    ///
    /// # Errors
    /// [`TooMany`] when that takes too long.
    pub async fn begin(&self, who: impl Hash) -> Result<UnderWay, TooMany> {
        let places = self.places(self.keys.of(who));
        match time::timeout(self.longest_wait, places.acquire_owned()).await {
            Ok(Ok(place)) => Ok(UnderWay { _place: place }),
            _ => Err(TooMany {
                retry_after: self.longest_wait,
            }),
        }
    }

    fn places(&self, who: u64) -> Arc<Semaphore> {
        // Entries are added and removed whole, so a panic elsewhere leaves the map usable.
        let all = self.under_way.lock();
        let mut all = all.unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = all.get(&who).and_then(Weak::upgrade) {
            return places;
        }
        all.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(self.most));
        all.insert(who, Arc::downgrade(&places));
        places
    }
}

/// That something is under way.
#[derive(Debug)]
pub struct UnderWay {
    _place: OwnedSemaphorePermit,
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn each_has_so_many_and_who_asks_for_more_waits_for_a_while() {
        let at_once = Arc::new(AtOnce::new(4, WAIT));
        let mut under_way = Vec::new();
        for _ in 0..4 {
            under_way.push(at_once.begin("ann").await.unwrap());
        }
        let late = at_once.begin("ann").await;
        assert_eq!(late.unwrap_err(), TooMany { retry_after: WAIT });
        assert!(at_once.begin("bob").await.is_ok());
        under_way.pop();
        under_way.push(at_once.begin("ann").await.unwrap());
        assert!(at_once.begin("ann").await.is_err());
        drop(under_way);
        assert!(at_once.begin("carl").await.is_ok());
        let left = at_once.under_way.lock().unwrap().len();
        assert_eq!(left, 1, "those with nothing under way are forgotten");
    }

    #[tokio::test]
    async fn who_waits_begins_when_another_ends() {
        let at_once = Arc::new(AtOnce::new(1, Duration::from_mins(1)));
        let first = at_once.begin(1).await.unwrap();
        let waiting = tokio::spawn({
            let at_once = Arc::clone(&at_once);
            async move { at_once.begin(1).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.unwrap());
    }
}
