//! Keeps the rows in memory right for those who watch windows and counts of them. It reads all rows once,
//! part by part, then those that hints name.

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;
use tokio::time;
use uuid::Uuid;

use super::{READ_DEADLINE, View, moment, named};
use crate::{
    db::{
        listed,
        sources::{self, Source},
    },
    error::{Error, Result},
    live::{
        signal::{Hint, Rows},
        windows::{State, Windows as Group},
    },
    pg::PooledClient,
    table::row::Row,
};

/// So many ids are asked for at once.
const IDS_AT_ONCE: usize = 1_000;

/// The view that reads for [`Group`].
pub struct Windows {
    group: Arc<Group>,
    is_loaded: bool,
}

impl Windows {
    /// A view that has read nothing yet.
    pub fn new(group: Arc<Group>) -> Self {
        Self {
            group,
            is_loaded: false,
        }
    }

    /// Reads every row.
    async fn load(&mut self, client: &PooledClient) -> Result<usize> {
        let expected = in_time(sources::count_estimate(client)).await?;
        self.group.lock().await.table.begin_load(expected);
        let mut rows = in_time(sources::stream(client)).await?;
        let (mut read, mut others) = (0, Vec::new());
        while let Some(part) = in_time(rows.next()).await? {
            read += part.len();
            let mut state = self.group.lock().await;
            if self.is_loaded {
                let places = state.table.compare(part.iter().map(Row::from));
                others.extend(places.into_iter().map(|place| part[place].clone()));
            } else {
                state.table.load(part.iter().map(Row::from));
            }
        }
        let mut state = self.group.lock().await;
        // At once, so that nobody sees a state that the table never had.
        if self.is_loaded {
            state.table.end_comparison(others.iter().map(Row::from));
        } else {
            state.table.end_load();
        }
        published(&mut state, &others);
        drop(state);
        self.is_loaded = true;
        self.group.set_loaded(true);
        Ok(read)
    }

    /// Reads these rows.
    async fn read(&self, client: &PooledClient, ids: &[Uuid]) -> Result<usize> {
        let mut read = Vec::new();
        for ids in ids.chunks(IDS_AT_ONCE) {
            read.extend(in_time(listed::by_ids::<Source>(client, ids)).await?);
        }
        let found: HashSet<Uuid> = read.iter().map(|row| row.id).collect();
        let gone: Vec<Uuid> = ids
            .iter()
            .copied()
            .filter(|id| !found.contains(id))
            .collect();
        let mut state = self.group.lock().await;
        let applied = state.table.apply(read.iter().map(Row::from), &gone);
        if applied.rows > 0 {
            published(&mut state, &read);
        }
        Ok(read.len())
    }
}

/// Tells those who watch of what was read.
fn published(state: &mut State, read: &[Source]) {
    let newest: Option<Timestamp> = read.iter().map(|row| *row.updated_at).max();
    state.changed = newest.and_then(moment);
    state.publish();
}

/// Each part of a read has the time that other views have for a read.
async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Error::Unavailable("a read took too long".into());
    time::timeout(READ_DEADLINE, work).await.map_err(late)?
}

impl View for Windows {
    const HAS_DEADLINES: bool = true;

    fn is_watched(&self) -> bool {
        self.group.is_watched()
    }

    fn forget(&mut self) -> bool {
        self.group.forget();
        self.is_loaded = false;
        // Whoever comes next waits until everything was read again.
        false
    }

    fn must_read(&self, hint: &Hint) -> bool {
        !self.is_loaded || !hint.is_empty()
    }

    async fn refresh(&mut self, client: Option<&PooledClient>, hint: &Hint) -> Result<usize> {
        let Some(client) = client else { return Ok(0) };
        match hint.clone().rows() {
            rows if !self.is_loaded || rows == Rows::All => self.load(client).await,
            rows => self.read(client, &named(&rows)).await,
        }
    }
}
