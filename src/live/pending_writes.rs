//! Writes of this process whose notification is still on its way. Whoever joins a group meanwhile
//! waits for it, so that a page that is loaded right after a click shows what the click did. A hint
//! about time only: what was written still comes by the arrow.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use uuid::Uuid;

use super::signal::{Hint, Rows};

/// A notification that has not come after this long is waited for no more.
const PATIENCE: Duration = Duration::from_millis(500);

/// The rows that this process has written and whose notifications have not come yet.
#[derive(Debug, Default)]
pub struct PendingWrites {
    rows: Mutex<HashMap<Uuid, Instant>>,
    arrived: Notify,
}

impl PendingWrites {
    /// A statement on row `id` is about to be sent.
    pub fn expect(&self, id: Uuid) {
        let now = Instant::now();
        let mut rows = self.lock();
        rows.retain(|_, since| now.duration_since(*since) < PATIENCE);
        rows.insert(id, now);
    }

    /// The statement touched no row, or failed: nothing will come of it.
    pub fn forget(&self, id: Uuid) {
        self.lock().remove(&id);
        self.arrived.notify_waiters();
    }

    /// A notification came.
    pub fn arrived(&self, hint: &Hint) {
        let mut rows = self.lock();
        if rows.is_empty() {
            return;
        }
        for named in [&hint.created, &hint.updated, &hint.deleted] {
            match named {
                Rows::None => {}
                Rows::Named(ids) => rows.retain(|id, _| !ids.contains(id)),
                Rows::All => rows.clear(),
            }
        }
        drop(rows);
        self.arrived.notify_waiters();
    }

    /// Whether anything is on its way.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Waits until nothing is on its way, but not for ever. Cancel-safe.
    pub async fn settled(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let arrived = self.arrived.notified();
            if self.is_empty() || time::timeout_at(deadline, arrived).await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Instant>> {
        // Each change of the map is whole, so a panic elsewhere leaves it usable.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn who_joins_waits_for_what_was_written_before() {
        let expected = Arc::new(PendingWrites::default());
        let id = Uuid::from_u128(1);
        expected.expect(id);
        let waiting = tokio::spawn({
            let expected = Arc::clone(&expected);
            async move { expected.settled().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let other = Rows::Named([Uuid::from_u128(2)].into());
        expected.arrived(&Hint {
            updated: other,
            ..Hint::default()
        });
        assert!(!expected.is_empty());
        let mine = Rows::Named([id].into());
        expected.arrived(&Hint {
            updated: mine,
            ..Hint::default()
        });
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let expected = PendingWrites::default();
        expected.expect(Uuid::nil());
        expected.settled().await;
    }
}
