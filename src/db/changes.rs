//! The table `changes`: what was done to sources and pipeline runs, and whose statement it was. The
//! triggers fill it; here it is read and pruned.

use jiff::Timestamp;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::error::Result;

/// One statement, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the columns are described in the database itself"
)]
pub struct Change {
    pub id: Uuid,
    pub at: Timestamp,
    pub table_name: String,
    pub operation: String,
    pub row_count: Option<i64>,
    /// The first ten.
    pub row_ids: Vec<Uuid>,
    pub username: Option<String>,
    pub role_name: String,
    pub application_name: String,
}

/// The last hundred, newest first.
pub async fn newest(client: &Client) -> Result<Vec<Change>> {
    let sql = "select id, at, table_name, operation, row_count, row_ids[1:10], username, role_name,
                      application_name
                 from changes order by at desc, id limit 100";
    let rows = client.query_typed(sql, &[]).await?;
    Ok(rows.iter().map(change).collect())
}

/// How many statements there were in each minute of the last hour that had any, oldest first. A
/// minute is named by its number since 1970.
pub async fn minutes(client: &Client) -> Result<Vec<(i64, i64)>> {
    let sql = "select floor(extract(epoch from at) / 60)::bigint as minute, count(*)
                 from changes where at > clock_timestamp() - interval '1 hour'
                group by minute order by minute";
    let rows = client.query_typed(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Removes what is older than 30 days, except rows that another transaction has locked.
pub async fn prune(client: &Client) -> Result<()> {
    let sql = "delete from changes where id in (
                   select id from changes where at < clock_timestamp() - interval '30 days'
                      for update skip locked)";
    client.execute_typed(sql, &[]).await?;
    Ok(())
}

fn change(row: &Row) -> Change {
    Change {
        id: row.get(0),
        at: row.get(1),
        table_name: row.get(2),
        operation: row.get(3),
        row_count: row.get(4),
        row_ids: row.get(5),
        username: row.get(6),
        role_name: row.get(7),
        application_name: row.get(8),
    }
}
