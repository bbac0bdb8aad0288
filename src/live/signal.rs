//! A signal tells a view what to read again. Raising one never blocks and never queues: hints that
//! arrive while the view is busy are merged into one. It never carries data.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::channel::{Op, Payload};

/// Beyond so many named rows reading everything is cheaper, and bounds the signal's memory.
const MAX_NAMED: usize = 5_000;

/// Which rows a hint concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// None.
    #[default]
    None,
    /// These.
    Named(BTreeSet<Uuid>),
    /// All there are.
    All,
}

impl Rows {
    /// Adds the rows of `other`.
    pub fn merge(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::All, _) | (_, Self::None) => {}
            (Self::Named(mine), Self::Named(theirs)) => {
                mine.extend(theirs);
                if mine.len() > MAX_NAMED {
                    *self = Self::All;
                }
            }
            (_, other) => *self = other,
        }
    }

    /// Whether no row is concerned.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl From<Option<Vec<Uuid>>> for Rows {
    fn from(ids: Option<Vec<Uuid>>) -> Self {
        match ids {
            Some(ids) if ids.is_empty() => Self::None,
            Some(ids) if ids.len() <= MAX_NAMED => Self::Named(ids.into_iter().collect()),
            _ => Self::All,
        }
    }
}

/// What to read again, by what was done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// Rows that were added.
    pub created: Rows,
    /// Rows that were changed.
    pub updated: Rows,
    /// Rows that went.
    pub deleted: Rows,
}

impl Hint {
    /// Everything may have changed.
    pub fn everything() -> Self {
        Self {
            updated: Rows::All,
            ..Self::default()
        }
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.created.is_none() && self.updated.is_none() && self.deleted.is_none()
    }

    /// The rows concerned, whatever was done to them.
    pub fn rows(self) -> Rows {
        let mut rows = self.created;
        rows.merge(self.updated);
        rows.merge(self.deleted);
        rows
    }

    /// Adds what `other` says.
    pub fn merge(&mut self, other: Self) {
        self.created.merge(other.created);
        self.updated.merge(other.updated);
        self.deleted.merge(other.deleted);
    }
}

impl From<Payload> for Hint {
    fn from(payload: Payload) -> Self {
        let rows = Rows::from(payload.ids);
        match payload.op {
            Op::Insert => Self {
                created: rows,
                ..Self::default()
            },
            Op::Update => Self {
                updated: rows,
                ..Self::default()
            },
            Op::Delete | Op::Truncate => Self {
                deleted: rows,
                ..Self::default()
            },
        }
    }
}

/// One view's signal.
#[derive(Debug, Default)]
pub struct Signal {
    pending: Mutex<Pending>,
    wake: Notify,
    /// How many raises the view has followed.
    followed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Pending {
    hint: Hint,
    /// How often the signal was raised.
    raised: u64,
    /// When it was first, of what has gathered.
    first: Option<Instant>,
}

/// What a view is to read again.
#[derive(Debug)]
pub struct Task {
    /// What is to be read.
    pub hint: Hint,
    /// How often the signal had been raised by then.
    pub raised: u64,
    /// When it was raised first for what is named here; none when it was only demanded.
    pub first: Option<Instant>,
}

impl Signal {
    /// Tells the view to read again what `hint` names.
    pub fn raise(&self, hint: Hint) {
        {
            let mut pending = self.lock();
            pending.hint.merge(hint);
            pending.raised += 1;
            pending.first.get_or_insert_with(Instant::now);
        }
        self.wake.notify_one();
    }

    /// Wakes the view without anything having changed: somebody joined and waits for a first frame.
    pub fn demand(&self) {
        self.wake.notify_one();
    }

    /// Keeps what could not be followed for the next time.
    pub fn put_back(&self, task: Task) {
        {
            let mut pending = self.lock();
            pending.hint.merge(task.hint);
            pending.first = task.first.or(pending.first);
        }
        self.wake.notify_one();
    }

    /// Notes that all of `task` was followed and what came of it published.
    pub fn done(&self, task: &Task) {
        self.followed.send_replace(task.raised);
    }

    /// How often it was raised, if the view has not followed all of it: what is published is known
    /// to be out of date.
    pub fn behind(&self) -> Option<u64> {
        let raised = self.lock().raised;
        (*self.followed.borrow() < raised).then_some(raised)
    }

    /// Waits until the view has followed so many raises. Cancel-safe.
    pub async fn followed(&self, raised: u64) {
        let mut followed = self.followed.subscribe();
        // The sender is our own, so it cannot be gone.
        let _ = followed.wait_for(|followed| *followed >= raised).await;
    }

    /// Waits until the signal was raised or demanded since the last call. Cancel-safe.
    pub async fn raised(&self) {
        self.wake.notified().await;
    }

    /// Takes what has gathered.
    pub fn take(&self) -> Task {
        let mut pending = self.lock();
        Task {
            hint: std::mem::take(&mut pending.hint),
            raised: pending.raised,
            first: pending.first.take(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // A hint is whole at every moment, so a panic elsewhere cannot have left it half-written.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: impl IntoIterator<Item = u128>) -> Vec<Uuid> {
        numbers.into_iter().map(Uuid::from_u128).collect()
    }

    #[test]
    fn hints_merge_until_they_are_taken() {
        let signal = Signal::default();
        signal.raise(
            Payload {
                op: Op::Insert,
                ids: Some(ids([1])),
            }
            .into(),
        );
        signal.raise(
            Payload {
                op: Op::Insert,
                ids: Some(ids([2])),
            }
            .into(),
        );
        signal.raise(
            Payload {
                op: Op::Delete,
                ids: Some(ids([1])),
            }
            .into(),
        );
        let hint = signal.take().hint;
        assert_eq!(hint.created, Rows::from(Some(ids([1, 2]))));
        assert_eq!(hint.deleted, Rows::from(Some(ids([1]))));
        assert_eq!(hint.rows(), Rows::from(Some(ids([1, 2]))));
        assert!(signal.take().hint.is_empty());
    }

    #[test]
    fn everything_swallows_names_and_too_many_names_are_everything() {
        let mut rows = Rows::from(Some(ids([1])));
        rows.merge(Rows::All);
        rows.merge(Rows::from(Some(ids([2]))));
        assert_eq!(rows, Rows::All);
        let mut rows = Rows::from(Some(ids(0..MAX_NAMED as u128)));
        assert_ne!(rows, Rows::All);
        rows.merge(Rows::from(Some(ids([u128::MAX]))));
        assert_eq!(rows, Rows::All);
    }

    #[tokio::test]
    async fn a_raise_before_the_wait_is_not_lost() {
        let signal = Signal::default();
        signal.raise(Hint::everything());
        signal.raised().await;
        signal.put_back(signal.take());
        assert_eq!(signal.take().hint, Hint::everything());
    }

    #[tokio::test]
    async fn what_was_raised_is_behind_until_it_was_followed() {
        let signal = Signal::default();
        assert_eq!(signal.behind(), None);
        signal.raise(Hint::everything());
        let behind = signal.behind().expect("nobody has followed");
        let task = signal.take();
        assert_eq!(signal.behind(), Some(behind), "taken is not yet followed");
        signal.raise(Hint::everything());
        signal.done(&task);
        signal.followed(behind).await;
        assert!(
            signal.behind().is_some(),
            "a later raise is not yet followed"
        );
    }
}
