//! The tables that views read, as the audit sees them: which statements must be announced, and what is
//! counted.

use crate::{
    db::statistics::{self, event},
    live::channel::Channel,
};

/// A table that the audit watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// The name in SQL.
    pub(in crate::live) name: &'static str,
    /// The channel that hears of every statement; `None` when there is none, because the table's
    /// everyday changes, such as a sign-in, concern no view and are not announced.
    pub(in crate::live) channel: Option<Channel>,
}

impl Table {
    pub(in crate::live) const SOURCES: Self = Self::announced("sources", Channel::CRUD);
    pub(in crate::live) const PIPELINE_RUNS: Self = Self::announced("pipeline_runs", Channel::EMR);
    pub(in crate::live) const SESSIONS: Self = Self::announced("sessions", Channel::SESSION);
    pub(in crate::live) const USERS: Self = Self {
        name: "users",
        channel: None,
    };

    /// A table of which `channel` hears of every statement.
    pub(in crate::live) const fn announced(name: &'static str, channel: Channel) -> Self {
        Self {
            name,
            channel: Some(channel),
        }
    }

    /// The events that have to be announced.
    pub(super) fn must_announce(self) -> i32 {
        statistics::must_announce(self.name)
    }
}

/// How many rows were written that matter, when `must_announce` has to be announced: a new session or
/// user, which nothing announces, concerns nobody yet.
pub(super) fn written(must_announce: i32, counted: &statistics::Table) -> i64 {
    let counts = [
        (event::INSERT, counted.inserted),
        (event::UPDATE, counted.updated),
        (event::DELETE, counted.deleted),
    ];
    let matter = counts.iter().filter(|(it, _)| must_announce & it != 0);
    matter.map(|(_, rows)| rows).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_announced_is_what_the_migrations_follow() {
        let changed = event::UPDATE | event::DELETE | event::TRUNCATE;
        let rows = statistics::Table {
            inserted: 100,
            updated: 10,
            deleted: 1,
            ..Default::default()
        };
        for (table, events, rows_written) in [
            (Table::SOURCES, changed | event::INSERT, 111),
            (Table::PIPELINE_RUNS, changed | event::INSERT, 111),
            (Table::SESSIONS, changed, 11),
            (Table::USERS, changed, 11),
        ] {
            assert_eq!(table.must_announce(), events, "{table:?}");
            assert_eq!(written(events, &rows), rows_written, "{table:?}");
        }
    }
}
