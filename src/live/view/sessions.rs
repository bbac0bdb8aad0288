//! Sessions that have open sockets: when one ends, by logout, by a deleted row or by time, its
//! sockets are told on every node.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time};
use uuid::Uuid;

use super::View;
use crate::{
    db::{Client, sessions},
    error::Result,
    live::signal::{Hint, Rows, Signal},
};

/// How often ends by time are looked for.
const EXPIRY_TICK: Duration = Duration::from_millis(250);

/// The sessions of this process's open sockets.
#[derive(Debug)]
pub struct OpenSessions {
    entries: Mutex<HashMap<Uuid, Entry>>,
    signal: Arc<Signal>,
}

#[derive(Debug)]
struct Entry {
    sockets: usize,
    ends: Instant,
    ended: watch::Sender<bool>,
}

impl OpenSessions {
    /// None yet; `signal` is the view's.
    pub fn new(signal: Arc<Signal>) -> Arc<Self> {
        Arc::new(Self {
            entries: Mutex::default(),
            signal,
        })
    }

    /// Notes a socket of session `id`, which is valid for `remaining` unless something happens.
    pub fn join(self: &Arc<Self>, id: Uuid, remaining: Duration) -> SessionMember {
        let mut entries = self.lock();
        let entry = entries.entry(id).or_insert_with(|| {
            // It may have ended since it was checked, before anybody here wanted to know.
            self.signal.raise(Hint {
                updated: Rows::Named([id].into()),
                ..Hint::default()
            });
            Entry {
                sockets: 0,
                ends: Instant::now(),
                ended: watch::Sender::new(false),
            }
        });
        entry.sockets += 1;
        entry.ends = entry.ends.max(Instant::now() + remaining);
        SessionMember {
            id,
            ended: entry.ended.subscribe(),
            sessions: Arc::clone(self),
        }
    }

    /// Looks for sessions that end by time, for ever.
    pub async fn watch_expiry(self: Arc<Self>) {
        loop {
            time::sleep(EXPIRY_TICK).await;
            let now = Instant::now();
            let due: Vec<Uuid> = self
                .lock()
                .iter()
                .filter(|(_, e)| e.ends <= now)
                .map(|(id, _)| *id)
                .collect();
            if !due.is_empty() {
                self.signal.raise(Hint {
                    updated: Rows::from(Some(due)),
                    ..Hint::default()
                });
            }
        }
    }

    fn watched(&self, rows: &Rows) -> Vec<Uuid> {
        let entries = self.lock();
        match rows {
            Rows::None => Vec::new(),
            Rows::Named(ids) => ids
                .iter()
                .copied()
                .filter(|id| entries.contains_key(id))
                .collect(),
            Rows::All => entries.keys().copied().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        // Entries are added and removed whole, so a panic elsewhere leaves the map usable.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket's hold on its session; let go when dropped.
#[derive(Debug)]
pub struct SessionMember {
    id: Uuid,
    ended: watch::Receiver<bool>,
    sessions: Arc<OpenSessions>,
}

impl SessionMember {
    /// Waits for the session to end. Cancel-safe.
    pub async fn ended(&mut self) {
        // An error means that the entry is gone, and so the session.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }
}

impl Drop for SessionMember {
    fn drop(&mut self) {
        let mut entries = self.sessions.lock();
        if let Some(entry) = entries.get_mut(&self.id) {
            entry.sockets -= 1;
            if entry.sockets == 0 {
                entries.remove(&self.id);
            }
        }
    }
}

/// The view that re-reads open sessions.
pub struct Sessions(Arc<OpenSessions>);

impl Sessions {
    /// Follows `open`.
    pub fn new(open: Arc<OpenSessions>) -> Self {
        Self(open)
    }
}

impl View for Sessions {
    const NAME: &'static str = "sessions";

    fn is_watched(&self) -> bool {
        !self.0.lock().is_empty()
    }

    fn forget(&mut self) -> bool {
        false
    }

    fn must_read(&self, hint: &Hint) -> bool {
        !self.0.watched(&hint.clone().rows()).is_empty()
    }

    async fn refresh(&mut self, client: Option<&Client>, hint: &Hint) -> Result<usize> {
        let Some(client) = client else { return Ok(0) };
        let ids = self.0.watched(&hint.clone().rows());
        let valid = sessions::by_ids(client, &ids).await?;
        let now = Instant::now();
        let mut entries = self.0.lock();
        for session in &valid {
            if let Some(entry) = entries.get_mut(&session.id) {
                entry.ends = now + session.remaining;
            }
        }
        let valid: HashSet<Uuid> = valid.iter().map(|session| session.id).collect();
        for id in ids.iter().filter(|id| !valid.contains(id)) {
            if let Some(entry) = entries.get(id) {
                entry.ended.send_replace(true);
            }
        }
        Ok(valid.len())
    }
}
