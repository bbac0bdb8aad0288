//! The table `changes`: what was done to sources and pipeline runs, and whose statement it was. The
//! triggers fill it; here it is read and pruned.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::row::{self, FromRow, row};
use crate::{error::Result, local_time::LocalTime, pg::Client};

row! {
    /// What a statement did, and whose it was.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
    #[expect(
        missing_docs,
        reason = "the columns are described in the database itself"
    )]
    pub struct Change from "changes" {
        pub id: Uuid,
        pub at: LocalTime,
        pub table: String = "table_name",
        pub operation: String,
        /// How many rows.
        #[schema(required)]
        pub count: Option<i64> = "row_count",
        /// The first of them.
        pub ids: Vec<Uuid> = "row_ids[1:10]",
        /// Who asked this server for it.
        #[schema(required)]
        pub user: Option<String> = "username",
        /// The role of the database.
        pub role: String = "role_name",
        pub application: String = "application_name",
    }
}

row! {
    /// How many statements there were in a minute.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Minute from "changes" {
        /// Which one, counted since 1970.
        pub minute: i64,
        /// How many.
        pub statements: i64,
    }
}

/// The last hundred, newest first.
pub async fn newest(client: &Client) -> Result<Vec<Change>> {
    let sql = format!(
        "select {} from public.changes order by at desc, id limit 100",
        Change::COLUMNS
    );
    row::all(&client.query_typed(&sql, &[]).await?)
}

/// How many statements there were in each minute of the last hour that had any, oldest first.
pub async fn minutes(client: &Client) -> Result<Vec<Minute>> {
    // An infinite time has no minute, and would make the whole statement fail.
    let sql = "select floor(extract(epoch from at) / 60)::bigint as minute,
                      count(*) as statements
                 from public.changes
                where at > statement_timestamp() - interval '1 hour' and at < 'infinity'
                group by minute order by minute";
    row::all(&client.query_typed(sql, &[]).await?)
}

/// Removes what is older than 30 days, except rows that another transaction has locked.
pub async fn prune(client: &Client) -> Result<()> {
    let sql = "delete from public.changes where id in (
                   select id from public.changes where at < statement_timestamp() - interval '30 days'
                      for update skip locked)";
    client.execute_typed(sql, &[]).await?;
    Ok(())
}
