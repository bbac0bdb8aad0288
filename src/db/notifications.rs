//! Notifications as such: sending one, and how full their queue is. What they mean is not known here.

use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::{db::row, error::Result, pg::Client};

/// Notifies `channel` of `nonce`.
pub async fn send(client: &Client, channel: &str, nonce: Uuid) -> Result<()> {
    let sql = "select pg_notify($1, $2::text)";
    client
        .query_typed(sql, &[(&channel, Type::TEXT), (&nonce, Type::UUID)])
        .await?;
    Ok(())
}

/// The session that is most likely to hold the queue, in words for an operator: a listening session
/// keeps everything that was sent since its transaction began.
pub async fn holder(client: &Client) -> Result<String> {
    let sql =
        "select format('pid %s (user %s, database %s, application %L, in a transaction since %s)',
                      pid, usename, datname, application_name, xact_start::timestamptz(0)) as holder
                 from pg_stat_activity
                where xact_start is not null and pid <> pg_backend_pid() and datname is not null
                order by xact_start limit 1";
    let rows = client.query_typed(sql, &[]).await?;
    let holder: Option<String> = row::value(&rows, "holder")?;
    let unknown = || "unknown (no open transaction is visible to this role)".into();
    Ok(holder.unwrap_or_else(unknown))
}
