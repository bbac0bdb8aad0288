//! Which channel raises which signals. It knows views by their registration alone.

use std::sync::Arc;

use super::{
    audit::Table,
    channel::{Channel, Payload},
    notification_counts::NotificationCounts,
    pending_writes::PendingWrites,
    registry::Registered,
    signal::Hint,
    validity::Validity,
};

/// The signals of all views.
#[derive(Clone, Debug)]
pub struct Signals {
    pub(super) views: Arc<[Registered]>,
    pub(super) channels: Arc<[Channel]>,
    pub(super) expected: Arc<PendingWrites>,
    pub(super) announced: Arc<NotificationCounts>,
    pub(super) validity: Arc<Validity>,
}

impl Signals {
    /// Those of `views`.
    pub(super) fn new(
        views: Vec<Registered>,
        expected: Arc<PendingWrites>,
        validity: Arc<Validity>,
    ) -> Self {
        let tables = views.iter().flat_map(|view| &view.about.tables);
        let audited = tables.filter_map(|table| table.channel);
        let channels = views.iter().flat_map(|view| &view.about.channels);
        let mut channels: Vec<_> = channels.copied().chain(audited).collect();
        channels.sort_unstable();
        channels.dedup();
        Self {
            views: views.into(),
            announced: Arc::new(NotificationCounts::new(&channels)),
            channels: channels.into(),
            expected,
            validity,
        }
    }

    /// Tells every view to read everything again.
    pub fn everything(&self) {
        self.raise(&Hint::everything(), |_| true);
    }

    /// Tells the views of `channel` to read everything again.
    pub(super) fn everything_of(&self, channel: Channel) {
        self.raise(&Hint::everything(), |view| {
            view.about.channels.contains(&channel)
        });
    }

    /// Tells the views that show `table` to read everything again. That costs them a read; their clients
    /// hear of it only when something has changed. When that `is_told`, those that tell of its events
    /// tell that anything may have happened.
    pub(super) fn everything_of_table(&self, table: Table, is_told: bool) {
        self.raise(&Hint::everything(), |view| {
            view.about.tables.contains(&table) && (is_told || !view.is_of_events)
        });
    }

    /// The tables that views read, each once.
    pub(super) fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        for table in self.views.iter().flat_map(|view| &view.about.tables) {
            if !tables.contains(table) {
                tables.push(*table);
            }
        }
        tables
    }

    /// Follows a notification; those of other channels are nobody's.
    pub(super) fn notified(&self, channel: &str, payload: &str) {
        let mut channels = self.channels.iter();
        let Some(&channel) = channels.find(|it| it.name() == channel) else {
            return;
        };
        let payload = Payload::parse(payload);
        self.announced.note(channel, &payload);
        let hint = Hint::from(payload);
        self.raise(&hint, |view| view.about.channels.contains(&channel));
        // A statement's last notification: the views have been told of the others.
        if channel == Channel::CRUD {
            self.expected.arrived(&hint);
        }
    }

    fn raise(&self, hint: &Hint, which: impl Fn(&Registered) -> bool) {
        for view in self.views.iter().filter(|view| which(view)) {
            view.signal.raise(hint.clone());
        }
    }
}
