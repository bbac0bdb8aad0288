//! How much was announced on each channel since the start: what the watch holds against what the
//! database has counted. Counts only; which rows they were is the signals' business.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::channel::{Channel, Payload};

/// Counts notifications, by channel. Every number only grows.
#[derive(Debug)]
pub struct NotificationCounts(Mutex<BTreeMap<Channel, Total>>);

/// What was announced on a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Statements.
    pub statements: u64,
    /// Statements that did not name their rows.
    pub unnamed: u64,
    /// Rows that the others named.
    pub rows: u64,
}

impl NotificationCounts {
    /// Nothing was announced yet on `channels`.
    pub(super) fn new(channels: &[Channel]) -> Self {
        let totals = channels.iter().map(|it| (*it, Total::default()));
        Self(Mutex::new(totals.collect()))
    }

    /// Notes a notification.
    pub(super) fn note(&self, channel: Channel, payload: &Payload) {
        let mut totals = self.lock();
        let total = totals.entry(channel).or_default();
        total.statements += 1;
        match &payload.ids {
            Some(ids) => total.rows += ids.len() as u64,
            None => total.unnamed += 1,
        }
    }

    /// What was announced on `channel` so far.
    pub(super) fn on(&self, channel: Channel) -> Total {
        self.lock().get(&channel).copied().unwrap_or_default()
    }

    /// How many statements were announced so far, by channel.
    pub fn statements(&self) -> Vec<(Channel, u64)> {
        let totals = self.lock();
        let totals = totals.iter();
        totals
            .map(|(channel, it)| (*channel, it.statements))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Channel, Total>> {
        // Numbers are added one by one, so a panic elsewhere leaves them usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
