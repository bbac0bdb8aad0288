//! Sessions that have open sockets: when one ends, by logout, by a deleted row or by time, its
//! sockets are told on every node.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time;
use uuid::Uuid;

use super::watched::{Member, Open, State};
use crate::{db::sessions, error::Result, live::signal::Rows, pg::Client};

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

impl State for Instant {
    async fn read(client: &Client, ids: &[Uuid]) -> Result<HashMap<Uuid, Self>> {
        let valid = sessions::by_ids(client, ids).await?;
        let now = Instant::now();
        let ends = valid.iter().map(|it| (it.id, now + it.remaining()));
        Ok(ends.collect())
    }
}
