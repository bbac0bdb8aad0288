//! Sessions that have open sockets: when one ends, by logout, by a deleted row or by time, its
//! sockets are told on every node.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time;
use uuid::Uuid;

use super::{
    View,
    watched::{Member, Open},
};
use crate::{
    db::sessions,
    error::Result,
    live::signal::{Hint, Rows},
    pg::PooledClient,
};

/// How often ends by time are looked for.
const EXPIRY_TICK: Duration = Duration::from_millis(250);

/// The sessions of this process's open sockets, and when each ends unless something happens.
pub type OpenSessions = Open<Instant>;

/// A socket's hold on its session.
pub type SessionMember = Member<Instant>;

/// Looks for sessions that end by time, for ever.
pub async fn watch_expiry(open: Arc<OpenSessions>) {
    loop {
        time::sleep(EXPIRY_TICK).await;
        let now = Instant::now();
        let due = open.that(|ends| ends <= now);
        if !due.is_empty() {
            open.read_again(Rows::from(Some(due)));
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
        self.0.is_any()
    }

    fn forget(&mut self) -> bool {
        false
    }

    fn must_read(&self, hint: &Hint) -> bool {
        !self.0.named(hint).is_empty()
    }

    async fn refresh(&mut self, client: Option<&PooledClient>, hint: &Hint) -> Result<usize> {
        let Some(client) = client else { return Ok(0) };
        let ids = self.0.named(hint);
        let valid = sessions::by_ids(client, &ids).await?;
        let now = Instant::now();
        let ends = valid.iter().map(|it| (it.id, now + it.remaining()));
        let ends: HashMap<Uuid, Instant> = ends.collect();
        self.0.tell(&ids, &ends);
        Ok(ends.len())
    }
}
