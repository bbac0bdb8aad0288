//! Whether the tables can be read as the statements of this program read them: one statement for each
//! table that reads no row. It fails where a column or a table is missing, has another name or type,
//! where rights are missing or row security hides all rows, and while the table is locked.

use tokio_postgres::{Row, types::Type};

use super::{
    changes::Change,
    declared,
    row::{self, FromRow},
    runs::{Past, Run},
    sessions::{self, Session},
    sources::Source,
    users::{Account, User},
};
use crate::{
    error::{Error, Result},
    pg::Client,
};

/// The tables that are asked for: all.
pub fn tables() -> impl Iterator<Item = &'static str> {
    declared::tables()
}

/// Reads no row of `table`, but needs all that is needed for that.
pub async fn table(client: &Client, table: &str) -> Result<()> {
    match table {
        "sources" => typed::<Source>(client, table, "from public.sources").await,
        "users" => {
            typed::<User>(client, table, "from public.users").await?;
            typed::<Account>(client, table, "from public.users").await
        }
        "sessions" => typed::<Session>(client, table, sessions::FROM).await,
        "pipeline_runs" => typed::<Run>(client, table, "from public.pipeline_runs").await,
        "pipeline_run_states" => {
            typed::<Past>(client, table, "from public.pipeline_run_states").await
        }
        "changes" => typed::<Change>(client, table, "from public.changes").await,
        other => {
            let none = format!("select from public.{other} limit 0");
            ask(client, other, &none).await.map(|_| ())
        }
    }
}

/// Reads no row, but the types of all columns.
async fn typed<T: FromRow>(client: &Client, table: &str, from: &str) -> Result<()> {
    let none = format!("select {} {from} limit 0", T::COLUMNS);
    let rows = ask(client, table, &none).await?;
    rows.first().map_or(Ok(()), T::check_types)
}

/// Runs `none`, which reads no row of `table`, and asks for every column that the migrations make. Gives a row of nulls instead, because an answer without a row
/// does not tell the types.
async fn ask(client: &Client, table: &str, none: &str) -> Result<Vec<Row>> {
    let columns: Vec<_> = declared::columns(table).collect();
    let columns = columns.join(", ");
    let sql = format!(
        "select {HIDES_ROWS} as hides_rows, found.*
           from pg_catalog.to_regclass($1) t (id) left join ({none}) found on true
           left join (select {columns} from public.{table} limit 0) every_column on true"
    );
    let name = format!("public.{table}");
    let rows = client.query_typed(&sql, &[(&name, Type::TEXT)]).await?;
    if row::value(&rows, "hides_rows")?.flatten().unwrap_or(false) {
        return Err(Error::Unreadable(format!(
            "{table}: row security is on, and no policy lets this role read and write its rows"
        )));
    }
    Ok(rows)
}

/// Whether row security lets this role do less than it must with the table `t.id`.
pub(super) const HIDES_ROWS: &str = "(pg_catalog.row_security_active(t.id::oid) and exists (
    select from pg_catalog.unnest(array['r', 'a', 'w', 'd']) command
     where not exists (
         select from pg_catalog.pg_policy p
          where p.polrelid = t.id and p.polpermissive and p.polcmd in (command::\"char\", '*')
            and (0 = any (p.polroles)
                 or exists (select from pg_catalog.unnest(p.polroles) role
                             where pg_catalog.pg_has_role(role, 'usage'))))))";

/// Who keeps `table` from being read by a lock, in words for an operator; `None` when nobody does.
pub async fn holder(client: &Client, table: &str) -> Result<Option<String>> {
    let sql = "select case when pid is null
                       then format('locked by the prepared transaction %L (user %s, since %s)',
                                   gid, owner, prepared::timestamptz(0))
                       else format('locked by pid %s (user %s, application %L, in a transaction since %s)',
                                   pid, usename, application_name, xact_start::timestamptz(0))
                       end as holder
                 from pg_locks left join pg_stat_activity using (pid)
                 left join lateral (
                     select gid, owner, prepared
                       from pg_locks own join pg_prepared_xacts on transaction = own.transactionid
                      where own.pid is null and own.virtualtransaction = pg_locks.virtualtransaction) p
                   on true
                where pg_locks.database = (select oid from pg_database where datname = current_database())
                  and relation = to_regclass('public.' || quote_ident($1))
                  and mode = 'AccessExclusiveLock' and granted
                limit 1";
    let rows = client.query_typed(sql, &[(&table, Type::TEXT)]).await?;
    row::value(&rows, "holder")
}
