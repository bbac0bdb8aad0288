//! What PostgreSQL counts by itself: rows that statements have written, and the marks by which a
//! rewritten table or a changed trigger is known. One statement for everything; it reads no row.
//!
//! The counts are those of the cumulative statistics: a session reports them when its transaction
//! has ended, at most once a second, and up to ten seconds late when it is idle after a second
//! quick one. Rows of a rolled-back transaction count too.

use tokio_postgres::{Client, types::Type};

use crate::error::Result;

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

/// What was seen of a table; zeros and empty marks when there is no such table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Rows inserted.
    pub inserted: i64,
    /// Rows updated.
    pub updated: i64,
    /// Rows deleted.
    pub deleted: i64,
    /// Changes when the table is truncated, rewritten or made anew.
    pub storage: String,
    /// Changes when a trigger is made, dropped, disabled or enabled.
    pub triggers: String,
    /// On which [`event`]s something is announced.
    pub announced: i32,
}

/// Reads the statistics of `tables`.
pub async fn read(client: &Client, tables: &[&str]) -> Result<Statistics> {
    let sql = "select coalesce(pg_stat_get_tuples_inserted(t.id), 0),
               coalesce(pg_stat_get_tuples_updated(t.id), 0),
               coalesce(pg_stat_get_tuples_deleted(t.id), 0),
               format('%s %s', t.id::oid, pg_relation_filenode(t.id)),
               coalesce(g.marks, ''),
               coalesce(g.events, 0),
               coalesce((select pg_stat_get_db_xact_rollback(d.oid)
                           from pg_database d where d.datname = current_database()), 0),
               pg_notification_queue_usage()
          from unnest($1) with ordinality wanted (name, place)
         cross join lateral (select to_regclass(wanted.name) as id) t
         cross join lateral (
               select string_agg(concat_ws(' ', oid, xmin, tgenabled), ',' order by oid) as marks,
                      bit_or(tgtype) filter (where tgenabled in ('O', 'A')
                          and tgfoid = to_regproc('notify_' || wanted.name))::int as events
                 from pg_trigger where tgrelid = t.id and not tgisinternal) g
         order by wanted.place";
    let rows = client
        .query_typed(sql, &[(&tables, Type::TEXT_ARRAY)])
        .await?;
    let of_all = rows.first();
    Ok(Statistics {
        rollbacks: of_all.map_or(0, |row| row.get(6)),
        queue_usage: of_all.map_or(0.0, |row| row.get(7)),
        tables: rows
            .iter()
            .map(|row| Table {
                inserted: row.get(0),
                updated: row.get(1),
                deleted: row.get(2),
                storage: row.get(3),
                triggers: row.get(4),
                announced: row.get(5),
            })
            .collect(),
    })
}
