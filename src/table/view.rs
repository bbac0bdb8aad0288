//! The rows that pass a filter, in an order, kept right change by change. Four bytes a row. Knows
//! neither who watches nor what they are sent.
//!
//! A change of a row comes in two calls: `leave` while the store holds the old values,
//! `enter` when it holds the new ones. So rows are found by binary search both times. A
//! large batch is collected instead and merged at its `end`.

mod changes;

use self::changes::Changes;
use super::{
    bits::Bits,
    column::Column,
    dictionary::Dictionary,
    filter::Filter,
    list::List,
    matcher::Matcher,
    order::{Key, Order},
    store::Store,
};

/// Rows of a filter in an order.
#[derive(Debug)]
pub struct View {
    order: Order,
    matcher: Matcher,
    list: List,
    /// The bits of the columns that decide whether a row is in the view, and where.
    columns: u32,
    changes: Changes,
    /// The index that the row had that last left in this batch.
    left: Option<usize>,
    /// How many rows this batch moved.
    moves: usize,
    bulk: Option<Bulk>,
}

/// What a large batch does.
#[derive(Debug, Default)]
struct Bulk {
    left: Bits,
    entered: Bits,
}

/// Moving a row costs so many times what merging costs for each row of the view. Tests have short
/// views.
const MOVE_PER_MERGE: usize = if cfg!(test) { 4 } else { 5000 };
/// So many rows are moved however short the view.
const LEAST_MERGED: usize = if cfg!(test) { 4 } else { 32 };

impl View {
    /// The view of all rows in the default order, on which the others are built.
    pub(super) fn base(store: &mut Store) -> Self {
        let mut slots: Vec<u32> = store.slots().collect();
        Order::sort_by_default(store, &mut slots);
        let matcher = Matcher::new(&Filter::default(), &store.words);
        Self::of(matcher, &Order::default(), &slots)
    }

    /// A view of no row.
    pub(super) fn empty(filter: &Filter, order: &Order, store: &Store) -> Self {
        Self::of(Matcher::new(filter, &store.words), order, &[])
    }

    /// A view made from `base`.
    pub(super) fn new(filter: &Filter, order: &Order, store: &mut Store, base: &Self) -> Self {
        let matcher = Matcher::new(filter, &store.words);
        let mut slots: Vec<u32> = if filter.is_empty() {
            base.list.iter().collect()
        } else {
            let passing = matcher.all(store);
            base.list.iter().filter(|&slot| passing.has(slot)).collect()
        };
        order.rank(store);
        order.sort(store, &mut slots);
        Self::of(matcher, order, &slots)
    }

    fn of(matcher: Matcher, order: &Order, slots: &[u32]) -> Self {
        Self {
            columns: matcher.columns() | order.columns(),
            order: order.clone(),
            matcher,
            list: List::new(slots),
            changes: Changes::default(),
            left: None,
            moves: 0,
            bulk: None,
        }
    }

    /// How many rows are in it.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether no row is in it.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All slots in order.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        self.list.iter()
    }

    /// The slots from `index` on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = u32> {
        self.list.from(index)
    }

    /// The index of a row, if it is in the view.
    pub fn index(&self, store: &Store, slot: u32) -> Option<usize> {
        self.matcher.matches(store, slot).then(|| {
            self.list
                .rank(|other| self.order.compare(store, other, slot))
        })
    }

    /// How many rows come before `key`, and after all with an equal one: the index of the first that
    /// is not before it.
    pub fn index_of_key(&self, store: &Store, key: &Key) -> usize {
        self.list
            .rank(|slot| self.order.compare_with(store, slot, key))
    }

    /// Where the row of this slot stands, apart from the row.
    pub fn key(&self, store: &Store, slot: u32) -> Key {
        self.order.key(store, slot)
    }

    /// Whether a key that came from outside is one of this view's order.
    pub fn fits(&self, key: &Key) -> bool {
        self.order.fits(key)
    }

    /// The tick of the last batch that changed a row of the view, let one in or took one out.
    pub fn touched(&self) -> u64 {
        self.changes.newest()
    }

    /// Whether something may have changed after the tick `since` among the rows from the index `first`
    /// up to, not with, `end`, of which `holds` knows the slots. Otherwise the same rows stand there
    /// with the same values.
    pub(super) fn is_touched(
        &self,
        since: u64,
        first: usize,
        end: usize,
        holds: impl Fn(u32) -> bool,
    ) -> bool {
        self.changes.concern(since, first, end, holds)
    }

    /// Says that everything may be different from what it was before `tick`.
    pub(super) fn touch(&mut self, tick: u64) {
        self.changes.anywhere(tick);
    }

    /// Takes note of a text that is new in the dictionary.
    pub(super) fn learn(&mut self, words: &Dictionary, number: u32) {
        self.matcher.learn(words, number);
    }

    /// Begins a batch of about so many changes.
    pub(super) fn begin(&mut self, changes: usize) {
        self.moves = 0;
        self.bulk_beyond(changes);
    }

    /// A row will change in these columns, or go.
    pub(super) fn leave(&mut self, store: &Store, slot: u32, changed: u32, tick: u64) {
        self.left = None;
        if !self.matcher.matches(store, slot) {
            return;
        }
        if changed & self.columns == 0 {
            self.changes.row(tick, slot);
            return;
        }
        if let Some(bulk) = &mut self.bulk {
            self.changes.anywhere(tick);
            bulk.left.set(slot, true);
        } else {
            let index = self
                .list
                .remove(slot, |other| self.order.compare(store, other, slot));
            self.changes.between(tick, index, usize::MAX);
            self.left = Some(index);
            self.move_one();
        }
    }

    /// A row has changed in these columns, or come.
    pub(super) fn enter(&mut self, store: &Store, slot: u32, changed: u32, tick: u64) {
        if changed & self.columns == 0 || !self.matcher.matches(store, slot) {
            return;
        }
        if let Some(bulk) = &mut self.bulk {
            self.changes.anywhere(tick);
            bulk.entered.set(slot, true);
            return;
        }
        let index = self
            .list
            .insert(slot, |other| self.order.compare(store, other, slot));
        // A row that comes anew did not leave before.
        match self.left.take().filter(|_| changed & Column::Id.bit() == 0) {
            Some(left) => self.changes.moved(tick, left, index),
            None => self.changes.between(tick, index, usize::MAX),
        }
        self.move_one();
    }

    /// Whether this batch is collected, and is to be merged.
    pub(super) fn is_bulk(&self) -> bool {
        self.bulk.is_some()
    }

    /// Gives the texts a rank by which what was collected is sorted.
    pub(super) fn rank(&self, store: &mut Store) {
        self.order.rank(store);
    }

    /// Ends a batch: the live `slots` of all rows that it put, in the default order. When it
    /// [was collected](Self::is_bulk) [`rank`](Self::rank) comes first.
    pub(super) fn end(&mut self, store: &Store, slots: &[u32]) {
        let Some(Bulk { left, entered }) = self.bulk.take() else {
            return;
        };
        if entered.is_empty() && left.is_empty() {
            return;
        }
        let is_in = |&slot: &u32| entered.has(slot) && self.matcher.matches(store, slot);
        let mut entered: Vec<u32> = slots.iter().copied().filter(is_in).collect();
        self.order.sort(store, &mut entered);
        let stayed: Vec<u32> = self.list.iter().filter(|&slot| !left.has(slot)).collect();
        let is_before = |a: u32, b: u32| self.order.compare(store, a, b).is_lt();
        self.list = List::new(&merge(&stayed, &entered, is_before));
    }

    fn move_one(&mut self) {
        self.moves += 1;
        self.bulk_beyond(self.moves);
    }

    fn bulk_beyond(&mut self, moves: usize) {
        if moves > self.list.len() / MOVE_PER_MERGE + LEAST_MERGED {
            self.bulk.get_or_insert_default();
        }
    }

    /// How much memory it takes, nearly.
    pub fn bytes(&self) -> usize {
        self.list.bytes() + self.matcher.bytes()
    }
}

/// Merges few sorted slots into many: where each goes is searched from where the last one went.
fn merge(many: &[u32], few: &[u32], is_before: impl Fn(u32, u32) -> bool) -> Vec<u32> {
    let mut merged = Vec::with_capacity(many.len() + few.len());
    let mut rest = many;
    for &slot in few {
        let mut reach = 1;
        while reach <= rest.len() && is_before(rest[reach - 1], slot) {
            reach *= 2;
        }
        // What comes before half of the reach is known to be before.
        let (from, to) = (reach / 2, reach.min(rest.len()));
        let at = from + rest[from..to].partition_point(|&other| is_before(other, slot));
        merged.extend_from_slice(&rest[..at]);
        merged.push(slot);
        rest = &rest[at..];
    }
    merged.extend_from_slice(rest);
    merged
}
