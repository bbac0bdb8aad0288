//! What PostgreSQL counts by itself: rows that statements have written, and the marks by which a
//! rewritten table or a changed trigger is known. One statement for everything; it reads no row.
//!
//! The counts are those of the cumulative statistics: a session reports them when its transaction
//! has ended, at most once a second, and up to ten seconds late when it is idle after a second
//! quick one. Rows of a rolled-back transaction count too.

use jiff::Timestamp;
use tokio_postgres::types::Type;

use super::{
    declared,
    row::{self, FromRow, row},
};
use crate::{
    error::{Error, Result},
    pg::Client,
};

/// An event that a trigger fires on, as in `pg_trigger.tgtype`.
pub mod event {
    /// `INSERT`.
    pub const INSERT: i32 = 4;
    /// `DELETE`.
    pub const DELETE: i32 = 8;
    /// `UPDATE`.
    pub const UPDATE: i32 = 16;
    /// `TRUNCATE`.
    pub const TRUNCATE: i32 = 32;
}

/// The [`event`]s of a table that must be announced, as the migrations say.
pub fn must_announce(table: &str) -> i32 {
    let of_table = declared::followers().filter(|one| one.table == table && !one.is_for_rows);
    of_table
        .flat_map(|one| one.events.split(" OR "))
        .map(|name| match name {
            "INSERT" => event::INSERT,
            "DELETE" => event::DELETE,
            "UPDATE" => event::UPDATE,
            "TRUNCATE" => event::TRUNCATE,
            _ => 0,
        })
        .fold(0, |all, one| all | one)
}

/// What was seen at one moment.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// The tables, in the order asked for.
    pub tables: Vec<Table>,
    /// Transactions that were rolled back in this database.
    pub rollbacks: i64,
    /// The database's clock.
    pub now: Timestamp,
    /// Which transactions were over, as `pg_current_snapshot()` has it.
    pub snapshot: String,
    /// How full the queue of notifications is, from 0 to 1. It is the whole cluster's.
    pub queue_usage: f64,
}

row! {
    /// What was seen of a table; zeros and empty marks when there is no such table.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Table from "pg_class" {
        /// Rows inserted, in the table and its partitions.
        pub inserted: i64 = "coalesce(p.inserted, 0)",
        /// Rows updated.
        pub updated: i64 = "coalesce(p.updated, 0)",
        /// Rows deleted.
        pub deleted: i64 = "coalesce(p.deleted, 0)",
        /// Rows that are there. A rolled-back write moves this number by none.
        pub live: i64 = "coalesce(p.live, 0)",
        /// How often it was vacuumed or analyzed, which corrects the number of rows.
        pub maintained: i64 = "coalesce(p.maintained, 0)",
        /// Changes when the table or a partition is truncated, rewritten or made anew.
        pub storage: String = "coalesce(p.storage, '')",
        /// Changes when a trigger is made, dropped, disabled or enabled.
        pub triggers: String = "coalesce(g.marks, '')",
        /// On which [`event`]s something is announced. A subscription with `two_phase` applies rows that
        /// are not, and its statistics come late.
        pub announced: i32 = "case when a.is_silent then 0 else coalesce(g.events, 0) end",
    }
}

/// Reads the statistics of `tables`.
pub async fn read(client: &Client, tables: &[&str]) -> Result<Statistics> {
    let sql = format!(
        "select {},
               coalesce((select pg_stat_get_db_xact_rollback(d.oid)
                           from pg_database d where d.datname = current_database()), 0)
                   as rollbacks,
               pg_notification_queue_usage() as queue_usage,
               pg_current_snapshot()::text as snapshot,
               clock_timestamp() as now
          from unnest($1) with ordinality wanted (name, place)
         cross join lateral (select to_regclass('public.' || quote_ident(wanted.name)) as id) t
         cross join lateral (
               with recursive parts (part) as (
                   select t.id::oid where t.id is not null
                    union select inhrelid from pg_inherits join parts on inhparent = part)
               select sum(pg_stat_get_tuples_inserted(part))::bigint as inserted,
                      sum(pg_stat_get_tuples_updated(part))::bigint as updated,
                      sum(pg_stat_get_tuples_deleted(part))::bigint as deleted,
                      sum(pg_stat_get_live_tuples(part))::bigint as live,
                      sum(pg_stat_get_vacuum_count(part) + pg_stat_get_autovacuum_count(part)
                          + pg_stat_get_analyze_count(part)
                          + pg_stat_get_autoanalyze_count(part))::bigint as maintained,
                      string_agg(concat_ws(' ', part, pg_relation_filenode(part)), ',' order by part)
                          as storage
                 from parts) p
         cross join lateral (
               select string_agg(concat_ws(' ', g.oid, g.xmin, g.tgenabled), ',' order by g.oid) as marks,
                      bit_or(g.tgtype) filter (where g.tgenabled in ('O', 'A') and g.tgtype & 1 = 0
                          and g.tgname like 'follow\\_%' and f.proname like 'notify\\_%'
                          and f.pronamespace = 'public'::regnamespace)::int as events
                 from pg_trigger g join pg_proc f on f.oid = g.tgfoid
                where g.tgrelid = t.id and not g.tgisinternal) g
         cross join lateral (
               select exists (
                   select from pg_subscription s
                     join pg_database d on d.oid = s.subdbid and d.datname = current_database()
                     join pg_subscription_rel r on r.srsubid = s.oid
                    where s.subtwophasestate <> 'd' and r.srrelid = t.id) as is_silent) a
         order by wanted.place",
        Table::COLUMNS
    );
    let rows = client
        .query_typed(&sql, &[(&tables, Type::TEXT_ARRAY)])
        .await?;
    // Their places are what tells the tables apart, so none may be left out.
    let of_table = |row| Table::from_row(row).map_err(Error::from);
    Ok(Statistics {
        rollbacks: row::value(&rows, "rollbacks")?.unwrap_or_default(),
        now: row::value(&rows, "now")?.unwrap_or_default(),
        snapshot: row::value(&rows, "snapshot")?.unwrap_or_default(),
        queue_usage: row::value(&rows, "queue_usage")?.unwrap_or_default(),
        tables: rows.iter().map(of_table).collect::<Result<_>>()?,
    })
}

/// Whether `table`, or a partition of it, has a row that a transaction wrote which was not over at
/// `snapshot`. Reads the whole table.
pub async fn has_rows_since(client: &Client, table: &str, snapshot: &str) -> Result<bool> {
    // The 32 bits of a row's xmin are made whole by the counter's upper half; a number that is then
    // in the future is of the round before.
    let table = format!("\"{}\"", table.replace('"', "\"\""));
    let sql = format!(
        "with moment as (
             select $1::pg_snapshot as seen,
                    pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next),
         recent as (
             select (next / 4294967296) * 4294967296 + xmin::text::bigint as xid, next, seen
               from public.{table}, moment
              where age(xmin) <= age((pg_snapshot_xmin(seen)::text::bigint % 4294967296)::text::xid))
         select exists (
             select from recent
              where not pg_visible_in_snapshot(
                  (case when xid > next + 1000000 then xid - 4294967296 else xid end)::text::xid8,
                  seen)) as is_so"
    );
    let rows = client.query_typed(&sql, &[(&snapshot, Type::TEXT)]).await?;
    Ok(row::value(&rows, "is_so")?.unwrap_or_default())
}
