//! A transaction that begins with the program's settings. `begin` and the settings are one message: behind a
//! pooler, a transaction that waits for a second message has the settings of its role, such as an
//! `idle_in_transaction_session_timeout` that ends it. It knows no statement.

use bytes::Bytes;
use futures_util::FutureExt;
use tokio_postgres::{
    CopyInSink, Error, Row,
    types::{ToSql, Type},
};

/// A transaction. It is rolled back when it is dropped before it is committed.
pub struct Transaction<'a> {
    client: &'a tokio_postgres::Client,
    is_open: bool,
}

impl<'a> Transaction<'a> {
    /// Sends `begin`, which also sets what the transaction needs. Nobody else may use the client meanwhile.
    pub(super) async fn begin(
        client: &'a mut tokio_postgres::Client,
        begin: &str,
    ) -> Result<Self, Error> {
        // Made first, so that a caller who gives up while it begins leaves nothing open.
        let transaction = Self {
            client,
            is_open: true,
        };
        transaction.client.batch_execute(begin).await?;
        Ok(transaction)
    }

    /// Runs a statement and gives its rows.
    pub async fn query_typed(
        &self,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        self.client.query_typed(sql, values).await
    }

    /// Runs a statement that gives one row.
    pub async fn query_typed_one(
        &self,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Row, Error> {
        self.client.query_typed_one(sql, values).await
    }

    /// Runs a statement and gives the number of rows that it touched.
    pub async fn execute_typed(
        &self,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, Error> {
        self.client.execute_typed(sql, values).await
    }

    /// Runs statements that give no rows.
    pub async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    /// Copies into a table what the sink is given.
    pub(crate) async fn copy_in(&self, sql: &str) -> Result<CopyInSink<Bytes>, Error> {
        self.client.copy_in(sql).await
    }

    /// Keeps what was done.
    pub async fn commit(self) -> Result<(), Error> {
        self.end("commit").await
    }

    /// Undoes what was done.
    pub(crate) async fn rollback(self) -> Result<(), Error> {
        self.end("rollback").await
    }

    async fn end(mut self, how: &str) -> Result<(), Error> {
        self.is_open = false;
        self.client.batch_execute(how).await
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // The first poll sends it, and nobody waits for the answer.
            let _ = self.client.batch_execute("rollback").now_or_never();
        }
    }
}
