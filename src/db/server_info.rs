//! How the database server is, as far as an operator of this server wants to know.

use super::row::{self, FromRow, row};
use crate::{error::Result, pg::Client};

row! {
    /// The server's version, its queue of notifications and how many programs listen.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Vitals from "the database server" {
        /// PostgreSQL's version.
        pub version: String = "current_setting('server_version')",
        /// How much of the queue of notifications is taken, from 0 to 1. Full, it stops every
        /// commit that notifies.
        pub queue_usage: f64 = "pg_notification_queue_usage()",
        /// How many servers listen on this database, this one included.
        pub nodes: i64 = "(select count(*) from pg_stat_activity
            where datname = current_database() and application_name = 'marketplace listener')",
    }
}

/// Asks the database.
pub async fn read(client: &Client) -> Result<Vitals> {
    let sql = format!("select {}", Vitals::COLUMNS);
    row::only(&client.query_typed(&sql, &[]).await?)
}

/// Whether the database takes writes.
pub async fn takes_writes(client: &Client) -> Result<bool> {
    let sql = "select current_setting('transaction_read_only') = 'off' as takes";
    let rows = client.query_typed(sql, &[]).await?;
    Ok(row::value(&rows, "takes")?.unwrap_or_default())
}
