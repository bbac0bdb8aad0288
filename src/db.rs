//! PostgreSQL: the connection pool, and one file a table. Knows nothing of HTTP, sockets or groups.
//!
//! Every statement is sent unnamed (`query_typed`): one round trip, no prepared state on the
//! server's side, and so fit for a transaction pooler in front of it.

pub mod counts;
pub mod days;
pub mod dsn;
pub mod embedded;
pub mod migrate;
pub mod runs;
pub mod sessions;
pub mod sources;
pub mod tls;
pub mod users;

use std::time::Duration;

pub use deadpool_postgres::Client;
use deadpool_postgres::{Manager, ManagerConfig, PoolError, RecyclingMethod, Runtime};
pub use tokio_postgres::GenericClient;

use self::dsn::Dsn;
use crate::error::{Error, Result};

/// Longest wait for everything a request asks of the database.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1900);
/// Longest wait for a connection before a request is told that the database is not available.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Gives `work` on the database up to 1.9 s, so that whoever asked is told within two.
///
/// # Errors
/// [`Error::Unavailable`] when it takes longer; otherwise what `work` says.
pub async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(ANSWER_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".into())))
}

/// Connections to PostgreSQL for short reads and writes; the listener has its own.
#[derive(Clone, Debug)]
pub struct Pool(deadpool_postgres::Pool);

impl Pool {
    /// A pool of up to `size` connections; none is made before it is needed.
    ///
    /// # Errors
    /// [`Error::Config`] when the TLS settings of `dsn` are wrong.
    pub fn new(dsn: &Dsn, size: usize) -> Result<Self> {
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(dsn.config.clone(), tls::connector(dsn)?, recycling);
        deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(ACQUIRE_TIMEOUT))
            .create_timeout(Some(ACQUIRE_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .map(Self)
            .map_err(|e| Error::Start(e.to_string()))
    }

    /// A connection, given back when it is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none is to be had within 1.5 s.
    pub async fn client(&self) -> Result<Client> {
        self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Error::from(error),
            PoolError::Timeout(_) => Error::Unavailable("no connection in time".into()),
            other => Error::Unavailable(other.to_string()),
        })
    }

    /// Closes every connection; later calls of [`client`](Self::client) fail.
    pub fn close(&self) {
        self.0.close();
    }
}
