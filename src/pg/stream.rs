//! The rows of a statement as they come, for what is larger than memory should hold at once. All are of
//! one snapshot.

use std::pin::Pin;

use futures_util::{FutureExt, StreamExt, future::join};
use tokio_postgres::{Row, RowStream};

use super::{
    Client,
    client::{Values, begun},
};
use crate::error::{Error, Result};

/// Rows that are still coming.
pub struct Stream<'a> {
    rows: Pin<Box<RowStream>>,
    /// The end of the transaction that a pooler needs. It was sent with the statement, so nobody has to
    /// wait for it.
    _commit: Option<Commit<'a>>,
}

type Commit<'a> = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send + 'a>>;

impl Client {
    /// Runs a statement that only reads.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn stream_typed<'a>(&'a self, sql: &str, values: Values<'_>) -> Result<Stream<'a>> {
        let values = values.iter().map(|(value, kind)| (*value, kind.clone()));
        let Some(settings) = self.settings_of_a_transaction() else {
            let rows = Box::pin(self.raw().query_typed_raw(sql, values).await?);
            return Ok(Stream {
                rows,
                _commit: None,
            });
        };
        let begin = self.raw().batch_execute(&settings);
        let rows = self.raw().query_typed_raw(sql, values);
        let mut begin_and_rows = Box::pin(join(begin, rows));
        // All three are sent by being polled, before anything is waited for: whoever gives up meanwhile
        // leaves no transaction open.
        let at_once = begin_and_rows.as_mut().now_or_never();
        let mut commit: Commit<'a> = Box::pin(self.raw().batch_execute("commit"));
        let _ = commit.as_mut().now_or_never();
        let (opened, rows) = match at_once {
            Some(both) => both,
            None => begin_and_rows.await,
        };
        opened.map_err(begun)?;
        Ok(Stream {
            rows: Box::pin(rows?),
            _commit: Some(commit),
        })
    }
}

impl Stream<'_> {
    /// The next row. Cancel-safe.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn next(&mut self) -> Result<Option<Row>> {
        self.rows.next().await.transpose().map_err(Error::from)
    }
}

impl std::fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
