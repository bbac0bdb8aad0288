//! What PostgreSQL counts by itself: rows that statements have written, and the marks by which a
//! rewritten table or a changed trigger is known. One statement for everything; it reads no row.
//!
//! The counts are those of the cumulative statistics: a session reports them when its transaction
//! has ended, at most once a second, and up to ten seconds late when it is idle after a second
//! quick one. Rows of a rolled-back transaction count too.

use tokio_postgres::{Client, types::Type};

use super::row::{self, FromRow, row};
use crate::error::{Error, Result};

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

/// What was seen at one moment.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// The tables, in the order asked for.
    pub tables: Vec<Table>,
    /// Transactions that were rolled back in this database.
    pub rollbacks: i64,
    /// How full the queue of notifications is, from 0 to 1. It is the whole cluster's.
    pub queue_usage: f64,
}

row! {
    /// What was seen of a table; zeros and empty marks when there is no such table.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Table from "pg_class" {
        /// Rows inserted.
        pub inserted: i64 = "coalesce(pg_stat_get_tuples_inserted(t.id), 0)",
        /// Rows updated.
        pub updated: i64 = "coalesce(pg_stat_get_tuples_updated(t.id), 0)",
        /// Rows deleted.
        pub deleted: i64 = "coalesce(pg_stat_get_tuples_deleted(t.id), 0)",
        /// Changes when the table is truncated, rewritten or made anew.
        pub storage: String = "format('%s %s', t.id::oid, pg_relation_filenode(t.id))",
        /// Changes when a trigger is made, dropped, disabled or enabled.
        pub triggers: String = "coalesce(g.marks, '')",
        /// On which [`event`]s something is announced.
        pub announced: i32 = "coalesce(g.events, 0)",
    }
}

/// Reads the statistics of `tables`.
pub async fn read(client: &Client, tables: &[&str]) -> Result<Statistics> {
    let sql = format!(
        "select {},
               coalesce((select pg_stat_get_db_xact_rollback(d.oid)
                           from pg_database d where d.datname = current_database()), 0)
                   as rollbacks,
               pg_notification_queue_usage() as queue_usage
          from unnest($1) with ordinality wanted (name, place)
         cross join lateral (select to_regclass(wanted.name) as id) t
         cross join lateral (
               select string_agg(concat_ws(' ', oid, xmin, tgenabled), ',' order by oid) as marks,
                      bit_or(tgtype) filter (where tgenabled in ('O', 'A')
                          and tgfoid = to_regproc('notify_' || wanted.name))::int as events
                 from pg_trigger where tgrelid = t.id and not tgisinternal) g
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
        queue_usage: row::value(&rows, "queue_usage")?.unwrap_or_default(),
        tables: rows.iter().map(of_table).collect::<Result<_>>()?,
    })
}
