//! Where a view changed lately, so that a window elsewhere in it need not be looked at. Knows
//! positions only.

use std::collections::VecDeque;

/// The newest changes of a view.
#[derive(Debug, Default)]
pub(super) struct Changes {
    newest: u64,
    /// Changes after this tick are all in `known`.
    known_since: u64,
    known: VecDeque<(u64, Change)>,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    /// The row of this slot stays in its place.
    Row(u32),
    /// What stands from the first to the last index moves.
    Span(usize, usize),
}

/// So many are remembered.
const MOST: usize = 32;

impl Changes {
    /// The tick of the newest change.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    fn are_known(&self, tick: u64) -> bool {
        self.known_since < tick
    }

    /// Something changes, nobody knows where.
    pub(super) fn anywhere(&mut self, tick: u64) {
        self.newest = tick;
        self.known_since = tick;
        self.known.clear();
    }

    /// A row changes, and stays in its place.
    pub(super) fn row(&mut self, tick: u64, slot: u32) {
        self.add(tick, Change::Row(slot));
    }

    /// What stands from `first` to `last` moves, and nothing else does.
    pub(super) fn between(&mut self, tick: u64, first: usize, last: usize) {
        self.add(tick, Change::Span(first, last));
    }

    fn add(&mut self, tick: u64, change: Change) {
        self.newest = tick;
        if !self.are_known(tick) {
            return;
        }
        if self.known.len() == MOST
            && let Some((oldest, _)) = self.known.pop_front()
        {
            self.known_since = oldest;
        }
        self.known.push_back((tick, change));
    }

    /// The row that went from `left`, by the last change, came to `position`.
    pub(super) fn moved(&mut self, tick: u64, left: usize, position: usize) {
        if self.are_known(tick) {
            self.known.pop_back();
        }
        self.between(tick, left.min(position), left.max(position));
    }

    /// Whether something may have changed after the tick `since` among the rows from `first` up to, not
    /// with, `end`, of which `holds` knows the slots.
    pub(super) fn concern(
        &self,
        since: u64,
        first: usize,
        end: usize,
        holds: impl Fn(u32) -> bool,
    ) -> bool {
        let concerns = |&(tick, change): &(u64, Change)| {
            tick > since
                && match change {
                    Change::Row(slot) => holds(slot),
                    Change::Span(from, to) => from < end && to >= first,
                }
        };
        self.newest > since && (since < self.known_since || self.known.iter().any(concerns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_may_have_been_anywhere() {
        let mut changes = Changes::default();
        changes.between(1, 5, 9);
        changes.row(2, 7);
        let concern = |changes: &Changes, since| changes.concern(since, 0, 3, |slot| slot == 8);
        assert!(!concern(&changes, 0), "all is known");
        assert!(changes.concern(0, 0, 6, |_| false) && changes.concern(1, 0, 3, |slot| slot == 7));
        assert!(!changes.concern(1, 0, 6, |_| false), "of an earlier tick");
        for tick in 3..=33 {
            changes.row(tick, 7);
        }
        assert!(concern(&changes, 0) && !concern(&changes, 1));
        changes.anywhere(34);
        assert!(concern(&changes, 33) && !concern(&changes, 34));
    }
}
