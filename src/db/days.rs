//! The local calendar in the database: the turn of the day, done once whoever calls.

use tokio_postgres::Client;

use crate::error::Result;

/// Turns the day if nobody has turned today yet; true when this call did it.
pub async fn turn(client: &Client) -> Result<bool> {
    let rows = client.query_typed("select turn_day()", &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Derives delivery states that the calendar has left behind, such as those of a transaction that
/// was open at midnight; returns how many rows changed.
pub async fn rederive(client: &Client) -> Result<i64> {
    let rows = client.query_typed("select rederive_sources()", &[]).await?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}
