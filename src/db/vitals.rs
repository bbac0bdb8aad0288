//! How the database server is, as far as an operator of this server wants to know.

use tokio_postgres::Client;

use crate::error::Result;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Vitals {
    /// PostgreSQL's version.
    pub version: String,
    /// How much of the queue of notifications is taken, from 0 to 1. Full, it stops every commit
    /// that notifies.
    pub queue_usage: f64,
    /// How many servers listen on this database, this one included.
    pub nodes: i64,
}

/// Asks the database.
pub async fn read(client: &Client) -> Result<Vitals> {
    let sql = "select current_setting('server_version'), pg_notification_queue_usage(),
                      (select count(*) from pg_stat_activity
                        where datname = current_database()
                          and application_name = 'marketplace listener')";
    let rows = client.query_typed(sql, &[]).await?;
    let row = rows.first().expect("a select without a table has one row");
    Ok(Vitals {
        version: row.get(0),
        queue_usage: row.get(1),
        nodes: row.get(2),
    })
}
