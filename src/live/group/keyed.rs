//! A group whose members each want one row: who asked for the same row shares one frame.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Instant,
};

use tokio::sync::watch;
use uuid::Uuid;

use super::Members;
use crate::{
    live::signal::{Hint, Rows, Signal},
    metrics::Traffic,
    ws::Frame,
};

/// The members that follow single rows, by the row's id.
#[derive(Debug)]
pub struct Keyed {
    rows: Mutex<HashMap<Uuid, Row>>,
    reads: AtomicU64,
    signal: Arc<Signal>,
    traffic: Arc<Traffic>,
}

#[derive(Debug)]
struct Row {
    members: usize,
    newest: watch::Sender<Option<Found>>,
}

/// A row's frame and the number of the read that found it.
#[derive(Clone, Debug)]
struct Found {
    read: u64,
    frame: Frame,
    /// When it was changed last, if it is there.
    changed: Option<Instant>,
}

impl Keyed {
    /// An empty group; asking raises `signal`.
    pub fn new(signal: Arc<Signal>, traffic: Arc<Traffic>) -> Arc<Self> {
        Arc::new(Self {
            rows: Mutex::default(),
            reads: AtomicU64::new(0),
            signal,
            traffic,
        })
    }

    /// What goes out to them.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Whether anybody asked for a row.
    pub fn is_watched(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Those of `rows` that somebody asked for.
    pub fn watched(&self, rows: &Rows) -> Vec<Uuid> {
        let watched = self.lock();
        match rows {
            Rows::None => Vec::new(),
            Rows::Named(ids) => ids
                .iter()
                .copied()
                .filter(|id| watched.contains_key(id))
                .collect(),
            Rows::All => watched.keys().copied().collect(),
        }
    }

    /// Numbers a read that begins now.
    pub fn begin_read(&self) -> u64 {
        self.reads.fetch_add(1, SeqCst) + 1
    }

    /// Gives a row's members what read number `read` found; `changed` is when the row was changed.
    pub fn publish(&self, id: Uuid, read: u64, frame: Frame, changed: Option<Instant>) {
        if let Some(row) = self.lock().get(&id) {
            row.newest.send_replace(Some(Found {
                read,
                frame,
                changed,
            }));
        }
    }

    /// Joins for one row and asks for it.
    pub fn join(self: &Arc<Self>, id: Uuid) -> KeyedMember {
        let newest = {
            let mut rows = self.lock();
            let row = rows.entry(id).or_insert_with(|| Row {
                members: 0,
                newest: watch::Sender::new(None),
            });
            row.members += 1;
            row.newest.subscribe()
        };
        let mut member = KeyedMember {
            id,
            newest,
            asked_after: None,
            shown: None,
            group: Arc::clone(self),
        };
        member.ask();
        member
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Row>> {
        // Rows are added and removed whole, so a panic elsewhere leaves the map usable.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members for Keyed {
    /// How many asked for a row.
    fn members(&self) -> usize {
        self.lock().values().map(|row| row.members).sum()
    }
}

/// Membership of [`Keyed`] for one row; leaves when dropped.
#[derive(Debug)]
pub struct KeyedMember {
    id: Uuid,
    newest: watch::Receiver<Option<Found>>,
    /// An answer is owed, by a read that began after the one of this number.
    asked_after: Option<u64>,
    shown: Option<Frame>,
    group: Arc<Keyed>,
}

impl KeyedMember {
    /// Asks: the next frame comes even if the row is unchanged.
    fn ask(&mut self) {
        self.asked_after = Some(self.group.reads.load(SeqCst));
        let row = Rows::Named([self.id].into());
        self.group.signal.raise(Hint {
            updated: row,
            ..Hint::default()
        });
    }

    /// Waits for the answer to what was asked, or for the row to change; then also tells when that
    /// was. Cancel-safe.
    pub async fn next(&mut self) -> (Frame, Option<Instant>) {
        loop {
            if self.newest.changed().await.is_err() {
                // The row is kept while it has members, so its sender lives.
                std::future::pending::<()>().await;
            }
            let Some(found) = self.newest.borrow_and_update().clone() else {
                continue;
            };
            let wanted = match self.asked_after {
                Some(read) => found.read > read,
                None => self
                    .shown
                    .as_ref()
                    .is_none_or(|f| f.payload() != found.frame.payload()),
            };
            if wanted {
                let was_asked = self.asked_after.take().is_some();
                self.shown = Some(found.frame.clone());
                return (found.frame, found.changed.filter(|_| !was_asked));
            }
        }
    }
}

impl Drop for KeyedMember {
    fn drop(&mut self) {
        let mut rows = self.group.lock();
        if let Some(row) = rows.get_mut(&self.id) {
            row.members -= 1;
            if row.members == 0 {
                rows.remove(&self.id);
            }
        }
    }
}
