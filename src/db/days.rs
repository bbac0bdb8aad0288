//! The local calendar in the database: the turn of the day, done once whoever calls.

use super::row;
use crate::{error::Result, pg::Client};

/// Turns the day if nobody has turned today yet; true when this call did it.
pub async fn turn(client: &Client) -> Result<bool> {
    let rows = client
        .query_typed("select public.turn_day() as turned", &[])
        .await?;
    Ok(row::value(&rows, "turned")?.unwrap_or_default())
}

/// Derives delivery states that the calendar has left behind, such as those of a transaction that
/// was open at midnight; returns how many rows changed.
pub async fn rederive(client: &Client) -> Result<i64> {
    let sql = "select public.rederive_sources() as changed";
    let rows = client.query_typed(sql, &[]).await?;
    Ok(row::value(&rows, "changed")?.unwrap_or_default())
}
