//! The whole list of sources for whoever asks for it over HTTP, as the table is after they asked.
//! Requests share one read, and answers share their bytes: those of one moment of the database all,
//! those of different moments all pieces in which nothing changed. Knows no request.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use jiff::tz::TimeZone;
use tokio::task;
use uuid::Uuid;

use crate::{
    db::{
        listed,
        moments::{self, Moment},
        sources::Source,
    },
    error::{Error, Result},
    local_time::InZone,
    pg::{self, Pool},
    shared::Shared,
};

/// A longer list is not kept for those who ask later, in bytes.
const MAX_KEPT_BYTES: u64 = 16 << 20;
/// A piece is no longer than this and one row, in bytes.
const MAX_PIECE_BYTES: usize = 256 * 1024;

/// Reads the list of sources for all who ask for it at the same time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalogue(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    pool: Pool,
    zone: TimeZone,
    reads: Shared<Result<Arc<List>, Arc<Error>>>,
    last: Mutex<Last>,
}

/// What was read last.
#[derive(Debug, Default)]
struct Last {
    moment: Option<Moment>,
    list: Weak<List>,
    /// The same, so that it is there yet when nobody is being sent it; unless it is long.
    _kept: Option<Arc<List>>,
}

/// All sources as one JSON array, newest first.
#[derive(Debug)]
pub struct List {
    pieces: Vec<Bytes>,
    bytes: u64,
}

impl Catalogue {
    /// Nothing is read before somebody asks. Times are written in `zone`.
    pub fn new(pool: Pool, zone: TimeZone) -> Self {
        Self(Arc::new(Parts {
            pool,
            zone,
            reads: Shared::default(),
            last: Mutex::default(),
        }))
    }

    /// The list as it is at a moment after this was called. Whoever asks while a read runs waits for it and for
    /// the next one. Each read has its own time: that of the database alone counts, not the wait for its turn
    /// nor the work of writing the list down.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn list(&self) -> Result<Arc<List>> {
        let read = || {
            let parts = Arc::clone(&self.0);
            async move { parts.read().await.map_err(Arc::new) }
        };
        match self.0.reads.get(read).await {
            Some(list) => list.map_err(|error| error.again()),
            None => Err(Error::Start("the list could not be made".into())),
        }
    }
}

impl Parts {
    async fn read(&self) -> Result<Arc<List>> {
        let before = self.last().list.upgrade();
        let (moment, rows) = pg::in_time(async {
            let client = self.pool.client().await?;
            let moment = moments::now(&client).await?;
            let is_same = moment.is_some() && moment == self.last().moment;
            if is_same && before.is_some() {
                return Ok((moment, None));
            }
            Ok((moment, Some(listed::list(&client).await?)))
        })
        .await?;
        let list = match (rows, before) {
            (None, Some(same)) => return Ok(same),
            (rows, before) => {
                let rows = rows.unwrap_or_default();
                Arc::new(List::new(&rows, before.as_deref(), &self.zone).await)
            }
        };
        *self.last() = Last {
            moment,
            list: Arc::downgrade(&list),
            _kept: (list.bytes <= MAX_KEPT_BYTES).then(|| Arc::clone(&list)),
        };
        Ok(list)
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        // Each change is one assignment, so a panic elsewhere leaves it whole.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    async fn new(rows: &[Source], before: Option<&Self>, zone: &TimeZone) -> Self {
        let known: HashSet<Bytes> = before.iter().flat_map(|list| list.pieces.clone()).collect();
        let mut pieces = vec![Bytes::from_static(b"[")];
        let mut piece = Vec::new();
        for (n, source) in rows.iter().enumerate() {
            if !piece.is_empty() {
                piece.push(b',');
            }
            serde_json::to_writer(&mut piece, &InZone(zone, source))
                .expect("keys are strings, so it is JSON");
            if n + 1 < rows.len() && !ends_piece(source.id) && piece.len() < MAX_PIECE_BYTES {
                continue;
            }
            if pieces.len() > 1 {
                pieces.push(Bytes::from_static(b","));
            }
            let bytes = known.get(piece.as_slice()).cloned();
            pieces.push(bytes.unwrap_or_else(|| Bytes::copy_from_slice(&piece)));
            piece.clear();
            task::yield_now().await;
        }
        pieces.push(Bytes::from_static(b"]"));
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, bytes }
    }

    /// How long it is, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The piece at this place; none after the last.
    pub fn piece(&self, at: usize) -> Option<Bytes> {
        self.pieces.get(at).cloned()
    }
}

/// Whether a piece ends with this row: of 64 random ids one says so. Where pieces end must depend on
/// the rows alone, so that one that comes or goes changes its own piece and no other.
fn ends_piece(id: Uuid) -> bool {
    id.as_bytes()[15].is_multiple_of(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(id: Uuid, country: &str) -> Source {
        Source {
            id,
            country: country.to_owned(),
            ..Source::default()
        }
    }

    async fn list(rows: &[Source], before: Option<&List>) -> List {
        let zone = TimeZone::UTC;
        let list = List::new(rows, before, &zone).await;
        let all = list.pieces.concat();
        assert_eq!(all.len() as u64, list.bytes);
        assert!(
            all == serde_json::to_vec(&InZone(&zone, rows)).unwrap(),
            "{all:?}"
        );
        list
    }

    /// The bytes of `list` that are nowhere in `before`.
    fn own(list: &List, before: &List) -> usize {
        let shared: HashSet<_> = before.pieces.iter().map(|piece| piece.as_ptr()).collect();
        let own = list
            .pieces
            .iter()
            .filter(|it| !shared.contains(&it.as_ptr()));
        own.map(Bytes::len).sum()
    }

    #[tokio::test]
    async fn lists_share_the_pieces_in_which_nothing_changed() {
        let mut rows: Vec<Source> = (0..3000)
            .map(|_| source(Uuid::new_v4(), "France"))
            .collect();
        let first = list(&rows, None).await;
        assert!(
            (10..200).contains(&first.pieces.len()),
            "{}",
            first.pieces.len()
        );
        assert_eq!(own(&list(&rows, Some(&first)).await, &first), 0);
        let all = first.pieces.concat().len();
        rows.insert(0, source(Uuid::new_v4(), "new"));
        rows[1500].country = "changed".into();
        rows.remove(2000);
        let second = list(&rows, Some(&first)).await;
        let own = own(&second, &first);
        assert!(own > 0 && own < all / 3, "{own} of {all}");
    }

    #[tokio::test]
    async fn short_lists_and_long_rows_are_whole() {
        list(&[], None).await;
        list(&[source(Uuid::nil(), "a")], None).await;
        let long: Vec<Source> = (0..9)
            .map(|n| source(Uuid::from_u128(256 * n + 1), &"x".repeat(200_000)))
            .collect();
        let long = list(&long, None).await;
        assert!(long.pieces.iter().all(|piece| piece.len() < 600_000));
    }
}
