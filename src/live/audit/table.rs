//! The tables that views read, as the audit sees them: which statements must be announced, what is
//! counted, and who is told when something may have been missed.

use crate::{
    db::statistics::{self, event},
    live::channel::Channel,
};

/// A table that the audit watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Sources,
    PipelineRuns,
    Sessions,
    Users,
}

impl Table {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [
        Self::Sources,
        Self::PipelineRuns,
        Self::Sessions,
        Self::Users,
    ];

    /// The name in SQL.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::PipelineRuns => "pipeline_runs",
            Self::Sessions => "sessions",
            Self::Users => "users",
        }
    }

    /// The channel that hears of every statement; `None` when there is none, because the table's
    /// everyday changes, such as a sign-in, concern no view and are not announced.
    pub(super) fn channel(self) -> Option<Channel> {
        match self {
            Self::Sources => Some(Channel::Crud),
            Self::PipelineRuns => Some(Channel::Emr),
            Self::Sessions => Some(Channel::Session),
            Self::Users => None,
        }
    }

    /// The events that have to be announced.
    pub(super) fn must_announce(self) -> i32 {
        statistics::must_announce(self.name())
    }

    /// How many rows were written that matter: a new session or user, which nothing announces, concerns
    /// nobody yet.
    pub(super) fn written(self, counted: &statistics::Table) -> i64 {
        let matters = self.must_announce();
        [
            (event::INSERT, counted.inserted),
            (event::UPDATE, counted.updated),
            (event::DELETE, counted.deleted),
        ]
        .into_iter()
        .filter(|(event, _)| matters & event != 0)
        .map(|(_, rows)| rows)
        .sum()
    }

    /// The channels of the views that show the table's state. Reading everything again costs them a
    /// read; their clients hear of it only when something has changed.
    pub(super) fn states(self) -> &'static [Channel] {
        match self {
            Self::Sources => &[Channel::SourceLib],
            Self::PipelineRuns => &[Channel::Lib],
            Self::Sessions => &[Channel::Session],
            Self::Users => &[Channel::Account, Channel::Session],
        }
    }

    /// The channels of the views that tell of events. They keep no state to compare with, so their
    /// clients are told that anything may have happened.
    pub(super) fn events(self) -> &'static [Channel] {
        match self {
            Self::Sources => &[Channel::Crud, Channel::Toggle],
            Self::PipelineRuns => &[Channel::Emr],
            Self::Sessions | Self::Users => &[],
        }
    }
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
        for table in Table::ALL {
            let (events, written) = match table {
                Table::Sources | Table::PipelineRuns => (changed | event::INSERT, 111),
                Table::Sessions | Table::Users => (changed, 11),
            };
            assert_eq!(table.must_announce(), events, "{}", table.name());
            assert_eq!(table.written(&rows), written, "{}", table.name());
        }
    }
}
