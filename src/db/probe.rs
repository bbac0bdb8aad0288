//! Whether the tables can be read as the statements of this program read them: one statement for each
//! table that reads no row. It fails where a column or a table is missing, has another name or type,
//! where rights are missing, and while the table is locked.

use tokio_postgres::types::Type;

use super::{
    changes::Change,
    row::{self, FromRow},
    runs::Run,
    sessions::{self, Session},
    sources::Source,
    users::{Account, User},
};
use crate::{error::Result, pg::Client};

/// The tables that are asked for.
pub const TABLES: [&str; 5] = ["sources", "users", "sessions", "pipeline_runs", "changes"];

/// Reads no row of `table`, but needs all that is needed for that.
pub async fn table(client: &Client, table: &str) -> Result<()> {
    let (columns, from) = match table {
        "sources" => (Source::COLUMNS.to_owned(), "from public.sources"),
        "users" => (
            format!("{}, {}", User::COLUMNS, Account::COLUMNS),
            "from public.users",
        ),
        "sessions" => (Session::COLUMNS.to_owned(), sessions::FROM),
        "pipeline_runs" => (Run::COLUMNS.to_owned(), "from public.pipeline_runs"),
        _ => (Change::COLUMNS.to_owned(), "from public.changes"),
    };
    let sql = format!("select {columns} {from} limit 0");
    client.query_typed(&sql, &[]).await?;
    Ok(())
}

/// Who keeps `table` from being read by a lock, in words for an operator; `None` when nobody does.
pub async fn holder(client: &Client, table: &str) -> Result<Option<String>> {
    let sql = "select format('locked by pid %s (user %s, application %L, in a transaction since %s)',
                             pid, usename, application_name, xact_start::timestamptz(0)) as holder
                 from pg_locks join pg_stat_activity using (pid)
                where pg_locks.database = (select oid from pg_database where datname = current_database())
                  and relation = to_regclass('public.' || quote_ident($1))
                  and mode = 'AccessExclusiveLock' and granted
                limit 1";
    let rows = client.query_typed(sql, &[(&table, Type::TEXT)]).await?;
    row::value(&rows, "holder")
}
