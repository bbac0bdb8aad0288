//! Reading all rows, part by part, for the first time or to verify those that are there: rows that
//! differ are taken over, rows that did not come are gone in the end. Between the parts other batches
//! may be applied; the rows they name are newer than what the load brings of them.

use std::collections::HashSet;

use uuid::Uuid;

use super::{
    Applied, Table, bits::Bits, counts::Count, filter::Filter, order::Order, row::Row, view::View,
};

/// What a load has seen.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// The slots of the rows that came.
    seen: Bits,
    /// Rows of which something newer was read since the load began.
    pub(super) newer: HashSet<Uuid>,
}

impl Table {
    /// Begins to read everything, of about so many rows. To be called before the snapshot that is read
    /// is taken. A load that had begun is given up; the rows that it brought stay.
    pub fn begin_load(&mut self, rows: usize) {
        self.store.reserve(rows.saturating_sub(self.store.size()));
        self.load = Some(Load::default());
    }

    /// Takes over the next part of the rows.
    pub fn load<'a>(&mut self, rows: impl IntoIterator<Item = Row<'a>>) -> Applied {
        let mut load = self.load.take().expect("a load has begun");
        self.begin(0);
        let mut changed = 0;
        for row in rows {
            if load.newer.contains(&row.id) {
                continue;
            }
            let (slot, is_changed) = self.put(&row);
            changed += usize::from(is_changed);
            load.seen.set(slot, true);
        }
        self.load = Some(load);
        self.end(changed)
    }

    /// Looks at the next part of the rows when all were read before: gives the places in it of those that
    /// are others than here, and takes over none. To be ended by [`end_comparison`](Self::end_comparison).
    pub fn compare<'a>(&mut self, rows: impl IntoIterator<Item = Row<'a>>) -> Vec<usize> {
        let mut load = self.load.take().expect("a load has begun");
        let mut others = Vec::new();
        for (place, row) in rows.into_iter().enumerate() {
            let slot = self.store.slot(row.id);
            if let Some(slot) = slot {
                load.seen.set(slot, true);
            }
            if slot.is_none_or(|slot| !self.store.holds(slot, &row)) {
                others.push(place);
            }
        }
        self.load = Some(load);
        others
    }

    /// Takes over the rows that are others, all at once; those that did not come are gone.
    pub fn end_comparison<'a>(&mut self, others: impl IntoIterator<Item = Row<'a>>) -> Applied {
        let load = self.load.take().expect("a load has begun");
        let gone = self.not_seen(&load);
        let others = others.into_iter();
        self.apply(others.filter(|row| !load.newer.contains(&row.id)), &gone)
    }

    /// Ends a load that brought every row: those that did not come are gone.
    pub fn end_load(&mut self) -> Applied {
        let load = self.load.take().expect("a load has begun");
        let gone = self.not_seen(&load);
        let mut applied = self.apply(std::iter::empty(), &gone);
        if !self.is_loaded() {
            // From nothing known to something known, even if that is no row.
            self.tick += u64::from(applied.rows == 0);
            self.build();
            applied.tick = self.tick;
        }
        applied
    }

    /// The rows that a load did not bring.
    fn not_seen(&self, load: &Load) -> Vec<Uuid> {
        self.store
            .slots()
            .filter(|&slot| !load.seen.has(slot))
            .map(|slot| self.store.id(slot))
            .filter(|id| !load.newer.contains(id))
            .collect()
    }

    /// Makes all views and counts from the rows.
    fn build(&mut self) {
        let key = (Filter::default(), Order::default());
        let view = View::base(&mut self.store);
        let base = self.views.watch(&key).unwrap_or_else(|| {
            let empty = View::empty(&key.0, &key.1, &self.store);
            self.views.add(key.clone(), empty)
        });
        for ((filter, order), other) in self.views.entries_mut() {
            *other = View::new(filter, order, &mut self.store, &view);
            other.touch(self.tick);
        }
        for ((filter, by), count) in self.counts.entries_mut() {
            *count = Count::new(filter, *by, &mut self.store);
            count.touch(self.tick);
        }
        self.base = Some(base);
    }
}
