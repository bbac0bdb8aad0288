//! A connection as the statements of `db` use it: each is sent unnamed, with the program's settings,
//! and again when PostgreSQL has rolled it back because of another transaction. It knows no statement.

use deadpool_postgres::Object;
use futures_util::future::join3;
use tokio_postgres::{
    Row,
    error::SqlState,
    types::{ToSql, Type},
};

use super::{
    primary::Primary,
    retry::retried,
    settings::{self, Settings},
    transaction::Transaction,
};
use crate::error::{Error, Result, describe};

/// Values of a statement with their types.
pub(crate) type Values<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// A connection that runs the program's statements with the program's settings.
pub struct Client {
    connection: Connection,
    settings: Settings,
    /// The server's version when each transaction has to begin with the settings: behind a pooler.
    per_transaction: Option<u32>,
}

enum Connection {
    Lent(Object),
    Own(tokio_postgres::Client),
}

impl Client {
    pub(crate) fn lent(connection: Object, primary: &Primary) -> Self {
        Self::new(Connection::Lent(connection), primary)
    }

    /// Of a connection that `primary` has made.
    pub(crate) fn own(connection: tokio_postgres::Client, primary: &Primary) -> Self {
        Self::new(Connection::Own(connection), primary)
    }

    fn new(connection: Connection, primary: &Primary) -> Self {
        Self {
            connection,
            settings: primary.settings(),
            per_transaction: primary.per_transaction(),
        }
    }

    /// What the pool gets back.
    pub(crate) fn into_lent(self) -> Option<Object> {
        match self.connection {
            Connection::Lent(object) => Some(object),
            Connection::Own(_) => None,
        }
    }

    /// The driver's own client, for what is neither a statement nor a transaction.
    pub(crate) fn raw(&self) -> &tokio_postgres::Client {
        match &self.connection {
            Connection::Lent(object) => object,
            Connection::Own(client) => client,
        }
    }

    /// The same, to be changed.
    pub(crate) fn raw_mut(&mut self) -> &mut tokio_postgres::Client {
        match &mut self.connection {
            Connection::Lent(object) => object,
            Connection::Own(client) => client,
        }
    }

    /// Runs a statement and gives its rows.
    ///
    /// # Errors
    /// Of the last attempt.
    pub async fn query_typed(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>> {
        retried!(
            self.with_settings(self.raw().query_typed(sql, values))
                .await
        )
    }

    /// Runs a statement and gives the number of rows that it touched.
    ///
    /// # Errors
    /// Of the last attempt.
    pub async fn execute_typed(&self, sql: &str, values: Values<'_>) -> Result<u64> {
        retried!(
            self.with_settings(self.raw().execute_typed(sql, values))
                .await
        )
    }

    /// Runs one statement with the settings. Behind a pooler that takes a transaction, whose three
    /// messages are sent together: it costs no further round trip, and one that is cancelled rolls back.
    async fn with_settings<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let Some(version) = self.per_transaction else {
            return work.await.map_err(Error::from);
        };
        let settings = self.settings.begin(version);
        let begin = self.raw().batch_execute(&settings);
        let commit = self.raw().batch_execute("commit");
        let (opened, done, ended) = join3(begin, work, commit).await;
        opened.map_err(begun)?;
        let done = done?;
        ended?;
        Ok(done)
    }

    /// What begins a transaction with the settings, where each needs them.
    pub(super) fn settings_of_a_transaction(&self) -> Option<String> {
        Some(self.settings.begin(self.per_transaction?))
    }

    /// Begins a transaction of which [`raw`](Self::raw) is then in the middle.
    pub(crate) async fn begin(&self) -> Result<()> {
        // A version that is not known is of a server that keeps the settings itself.
        let begin = self
            .settings
            .begin(self.per_transaction.unwrap_or_default());
        self.raw().batch_execute(&begin).await.map_err(begun)
    }

    /// Begins a transaction that reads what is committed and may write. The caller wraps
    /// all of it in `retried!`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the connection has broken.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>> {
        self.begin_transaction().await.map_err(begun)
    }

    /// The same with the driver's own errors.
    pub(crate) async fn begin_transaction(
        &mut self,
    ) -> Result<Transaction<'_>, tokio_postgres::Error> {
        let begin = match self.per_transaction {
            Some(version) => self.settings.begin(version),
            None => String::from(settings::BEGIN),
        };
        Transaction::begin(self.raw_mut(), &begin).await
    }
}

/// The error of a transaction that was not begun. A standby answers that it lacks the feature when it is asked
/// to write; another node will not.
pub(super) fn begun(error: tokio_postgres::Error) -> Error {
    if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) {
        Error::Unavailable(describe(&error))
    } else {
        error.into()
    }
}
