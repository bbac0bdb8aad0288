//! How much was announced on each channel since the start: what the watch holds against what the
//! database has counted. Counts only; which rows they were is the signals' business.

use std::sync::{Mutex, PoisonError};

use super::channel::{Channel, Payload};

/// Counts notifications, by channel. Every number only grows.
#[derive(Debug, Default)]
pub struct NotificationCounts(Mutex<[Total; Channel::ALL.len()]>);

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
    /// Notes a notification.
    pub fn note(&self, channel: Channel, payload: &Payload) {
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total = &mut totals[channel as usize];
        total.statements += 1;
        match &payload.ids {
            Some(ids) => total.rows += ids.len() as u64,
            None => total.unnamed += 1,
        }
    }

    /// What was announced on `channel` so far.
    pub fn on(&self, channel: Channel) -> Total {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[channel as usize]
    }
}
