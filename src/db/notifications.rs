//! Notifications as such: sending one. What they mean is not known here.

use tokio_postgres::{Client, types::Type};
use uuid::Uuid;

use crate::error::Result;

/// Notifies `channel` of `nonce`.
pub async fn send(client: &Client, channel: &str, nonce: Uuid) -> Result<()> {
    let sql = "select pg_notify($1, $2::text)";
    client
        .query_typed(sql, &[(&channel, Type::TEXT), (&nonce, Type::UUID)])
        .await?;
    Ok(())
}
