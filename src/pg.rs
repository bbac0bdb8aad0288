//! PostgreSQL as a server: addresses, TLS, the primary among several hosts, the pool and its connections.
//! Knows no table.

pub(crate) mod advice;
mod budget;
mod client;
pub mod dsn;
mod host_state;
mod pool;
mod pooled;
pub mod primary;
pub(crate) mod retry;
pub(crate) mod settings;
pub mod stream;
pub mod tls;
mod transaction;

pub use tokio_postgres::GenericClient;

pub(crate) use self::pool::REFUSED;
pub use self::{
    budget::{in_time, within_budget},
    client::Client,
    pool::{Load, Pool},
    pooled::PooledClient,
    transaction::Transaction,
};
