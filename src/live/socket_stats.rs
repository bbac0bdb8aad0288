//! How many sockets there are, and why others ended: for operators. Counts only; nobody is named.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::ws::Reason;

/// Counts sockets, and why they ended. Every number only grows.
#[derive(Debug, Default)]
pub struct SocketStats {
    opened: AtomicU64,
    client: AtomicU64,
    server: AtomicU64,
    violation: AtomicU64,
    gone: AtomicU64,
    slow: AtomicU64,
    broken: AtomicU64,
}

impl SocketStats {
    /// A socket was opened.
    pub fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// A socket ended.
    pub fn ended(&self, reason: Reason) {
        let counter = self.counter(reason);
        let total = counter.fetch_add(1, Relaxed) + 1;
        if matches!(reason, Reason::Gone | Reason::Slow) {
            tracing::info!(
                ?reason,
                total,
                "closed the socket of a client that stopped reading"
            );
        }
    }

    /// How many are open now.
    pub fn open(&self) -> u64 {
        let ended: u64 = self.ended_so_far().iter().map(|(_, ended)| ended).sum();
        self.opened.load(Relaxed).saturating_sub(ended)
    }

    /// How many were opened.
    pub fn opened_so_far(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// How many have ended, by the kind of reason.
    pub fn ended_so_far(&self) -> [(&'static str, u64); 6] {
        [
            ("client", &self.client),
            ("server", &self.server),
            ("violation", &self.violation),
            ("gone", &self.gone),
            ("slow", &self.slow),
            ("broken", &self.broken),
        ]
        .map(|(kind, counter)| (kind, counter.load(Relaxed)))
    }

    /// How many have ended for a reason of this kind.
    pub fn ended_by(&self, reason: Reason) -> u64 {
        self.counter(reason).load(Relaxed)
    }

    fn counter(&self, reason: Reason) -> &AtomicU64 {
        match reason {
            Reason::Client(_) => &self.client,
            Reason::Server(_) => &self.server,
            Reason::Violation(_) => &self.violation,
            Reason::Gone => &self.gone,
            Reason::Slow => &self.slow,
            Reason::Io(_) => &self.broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_no_longer_open() {
        let tally = SocketStats::default();
        (0..3).for_each(|_| tally.opened());
        tally.ended(Reason::Slow);
        tally.ended(Reason::Client(Some(1000)));
        assert_eq!((tally.open(), tally.ended_by(Reason::Slow)), (1, 1));
        assert_eq!(tally.ended_by(Reason::Client(None)), 1);
        assert_eq!(tally.ended_by(Reason::Gone), 0);
    }
}
