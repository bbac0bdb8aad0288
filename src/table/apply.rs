//! How a batch of rows reaches the store, the views and the counts: for each row they are told before
//! and after the store takes it over, so that all of them agree between any two rows.

use uuid::Uuid;

use super::{Applied, Table, order::Order, row::Row, view::View};

/// The columns of a row that comes or goes.
const ALL_COLUMNS: u32 = u32::MAX;

impl Table {
    /// Takes over rows as they are now, and that others are gone.
    pub fn apply<'a>(
        &mut self,
        changed: impl IntoIterator<Item = Row<'a>>,
        gone: &[Uuid],
    ) -> Applied {
        let changed = changed.into_iter();
        self.begin(changed.size_hint().0 + gone.len());
        let mut rows = 0;
        for row in changed {
            rows += usize::from(self.put(&row).1);
            if let Some(load) = &mut self.load {
                load.newer.insert(row.id);
            }
        }
        for id in gone {
            rows += usize::from(self.take_out(*id));
            if let Some(load) = &mut self.load {
                load.newer.insert(*id);
            }
        }
        self.end(rows)
    }

    pub(super) fn begin(&mut self, changes: usize) {
        for view in self.views.values_mut() {
            view.begin(changes);
        }
    }

    pub(super) fn end(&mut self, rows: usize) -> Applied {
        let mut batch = std::mem::take(&mut self.batch);
        if self.views.values().any(View::is_bulk) {
            batch.retain(|&slot| self.store.is_live(slot));
            batch.sort_unstable();
            batch.dedup();
            Order::sort_by_default(&self.store, &mut batch);
            for view in self.views.values_mut() {
                view.rank(&mut self.store);
                view.end(&self.store, &batch);
            }
        }
        batch.clear();
        self.batch = batch;
        self.tick += u64::from(rows > 0);
        Applied {
            rows,
            tick: self.tick,
        }
    }

    /// Takes over a row; its slot, and whether it changed.
    pub(super) fn put(&mut self, row: &Row<'_>) -> (u32, bool) {
        let slot = self.store.slot(row.id);
        if let Some(slot) = slot
            && self.store.holds(slot, row)
        {
            return (slot, false);
        }
        let tick = self.tick + 1;
        let packed = self.store.pack(row, slot);
        self.learn();
        let Some(slot) = slot else {
            let slot = self.store.add(&packed, revision(tick));
            self.enter(slot, ALL_COLUMNS, tick);
            return (slot, true);
        };
        let old = self.store.packed(slot);
        let changed = packed.difference(&old);
        self.leave(slot, changed, tick);
        self.store.replace(slot, &packed, revision(tick));
        self.enter(slot, changed, tick);
        self.store.release(&old);
        (slot, true)
    }

    /// Takes out a row; whether it was there.
    fn take_out(&mut self, id: Uuid) -> bool {
        let Some(slot) = self.store.slot(id) else {
            return false;
        };
        let old = self.store.packed(slot);
        self.leave(slot, ALL_COLUMNS, self.tick + 1);
        self.store.remove(slot);
        self.store.release(&old);
        true
    }

    fn learn(&mut self) {
        for number in self.store.words.take_added() {
            for view in self.views.values_mut() {
                view.learn(&self.store.words, number);
            }
            for count in self.counts.values_mut() {
                count.learn(&self.store.words, number);
            }
        }
    }

    fn leave(&mut self, slot: u32, changed: u32, tick: u64) {
        if !self.is_loaded() {
            return;
        }
        for view in self.views.values_mut() {
            view.leave(&self.store, slot, changed, tick);
        }
        for count in self.counts.values_mut() {
            count.leave(&self.store, slot, changed, tick);
        }
    }

    fn enter(&mut self, slot: u32, changed: u32, tick: u64) {
        if !self.is_loaded() {
            return;
        }
        self.batch.push(slot);
        for view in self.views.values_mut() {
            view.enter(&self.store, slot, changed, tick);
        }
        for count in self.counts.values_mut() {
            count.enter(&self.store, slot, changed, tick);
        }
    }
}

/// The low bits of a tick.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
fn revision(tick: u64) -> u32 {
    tick as u32
}
