//! The tables, one file a table, and what else is asked of the database. Knows nothing of HTTP, sockets or
//! groups.

pub mod changes;
pub mod counts;
pub(crate) mod creators;
pub mod days;
mod declared;
pub mod demo;
pub mod diagnostics;
pub mod django;
pub mod listed;
pub mod migrate;
pub mod moments;
pub mod notifications;
pub mod probe;
pub(crate) mod row;
pub mod runs;
pub mod server_info;
pub mod sessions;
pub mod sources;
pub mod statistics;
pub mod submissions;
mod text;
mod unreadable;
pub mod uploads;
pub mod users;

use std::collections::BTreeMap;

/// How often rows of each table were left out in this process because they cannot be read.
pub fn unreadable_rows() -> BTreeMap<&'static str, u64> {
    // A count that is there before the first row is left out can be seen to rise.
    let mut rows: BTreeMap<_, _> = declared::tables().map(|table| (table, 0)).collect();
    rows.extend(unreadable::left_out());
    rows
}
