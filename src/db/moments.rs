//! Moments of the database: of two equal ones every row is the same. Reads no table.

use tokio_postgres::types::Type;

use crate::{error::Result, pg::Client};

/// What names a moment: which transactions are visible, how much log was written, and by which
/// start of the server, as after a failover or a crash the first two may come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment(String);

/// The moment before whatever is read next; `None` where there is no telling, as on a standby.
pub async fn now(client: &Client) -> Result<Option<Moment>> {
    let sql = "select case when not pg_is_in_recovery() then
                   concat_ws(' ', pg_current_snapshot(), pg_current_wal_insert_lsn(),
                       pg_postmaster_start_time())
               end as moment";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 0] = [];
    let rows = client.query_typed(sql, &parameters).await?;
    let moment: Option<String> = match rows.first() {
        Some(row) => row.try_get("moment")?,
        None => None,
    };
    Ok(moment.map(Moment))
}
