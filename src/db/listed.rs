//! Tables that clients follow as lists, newest first: what their rows have in common, and how they are
//! read.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;
use utoipa::ToSchema;
use uuid::Uuid;

use super::row::{self, FromRow};
use crate::{error::Result, pg::Client};

/// A row of a list, which `row!` declares as `listed`.
pub trait Listed: FromRow + Serialize + ToSchema + Send + Sync + 'static {
    /// The order in SQL.
    const ORDER: &'static str;

    /// The key.
    fn id(&self) -> Uuid;
    /// Lists have the newest row first.
    fn created_at(&self) -> Timestamp;
    /// When it was changed last, if the table says so.
    fn updated_at(&self) -> Option<Timestamp>;
}

/// Every row, newest first.
pub async fn list<T: Listed>(client: &Client) -> Result<Vec<T>> {
    let sql = format!(
        "select {} from public.{} order by {}",
        T::COLUMNS,
        T::TABLE,
        T::ORDER
    );
    row::all(&client.query_typed(&sql, &[]).await?)
}

/// Those of `ids` that exist, in no particular order.
pub async fn by_ids<T: Listed>(client: &Client, ids: &[Uuid]) -> Result<Vec<T>> {
    let sql = format!(
        "select {} from public.{} where id = any($1)",
        T::COLUMNS,
        T::TABLE
    );
    let ids = (&ids as _, Type::UUID_ARRAY);
    row::all(&client.query_typed(&sql, &[ids]).await?)
}
