//! The rows of `sources` in memory, and what is asked of them: views (a filter and an order), windows
//! into views, and counts. All is kept right change by change. It neither waits nor sends: whoever owns
//! it reads the database, tells it what was read, and sends what it then says.
//!
//! ```text
//!  rows read ──▶ Table ──▶ Store ── texts ──▶ Dictionary
//!                  ├─────▶ View (Filter ▸ Matcher, Order) ──▶ Window ──▶ Content ──▶ Difference ──▶ JSON
//!                  └─────▶ Count ──▶ Counted ──▶ JSON
//! ```
//!
//! A *tick* counts the batches that changed something. A row's *revision* is the tick of its last
//! change. The tick serves as the counter of the versions that clients see.

mod apply;
mod bits;
pub mod column;
pub mod counts;
mod dictionary;
pub mod difference;
pub mod encode;
pub mod filter;
pub mod fold;
mod hash;
mod index;
mod list;
mod load;
mod matcher;
pub mod order;
pub mod row;
mod sorting;
pub mod store;
#[cfg(test)]
mod tests;
pub mod view;
mod watched;
pub mod window;

use std::sync::Arc;

use uuid::Uuid;

use self::{
    counts::{By, Count, Counted},
    filter::Filter,
    load::Load,
    order::Order,
    store::Store,
    view::View,
    watched::Watched,
    window::{Content, Contents, Window},
};

pub use self::watched::{Full, Number};

/// All rows, and what is kept of them.
#[derive(Debug)]
pub struct Table {
    store: Store,
    views: Watched<(Filter, Order), View>,
    counts: Watched<(Filter, Option<By>), Count>,
    contents: Contents,
    tick: u64,
    /// The view of all rows in the default order, once they were all read.
    base: Option<Number>,
    load: Option<Load>,
    /// The slots of the rows that the present batch put.
    batch: Vec<u32>,
}

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Views, watched or not.
    pub views: usize,
    /// Counts, watched or not.
    pub counts: usize,
}

/// What a batch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// How many rows came, went or changed.
    pub rows: usize,
    /// The tick afterwards; the same as before when nothing changed.
    pub tick: u64,
}

/// How much memory is in use, nearly, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Rows and their texts.
    pub rows: usize,
    /// Views.
    pub views: usize,
    /// Counts.
    pub counts: usize,
}

impl Table {
    /// A table of which nothing was read yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            store: Store::default(),
            // The view of all rows is one of them.
            views: Watched::new(limits.views + 1),
            counts: Watched::new(limits.counts),
            contents: Contents::default(),
            tick: 0,
            base: None,
            load: None,
            batch: Vec::new(),
        }
    }

    /// The rows.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Counts the batches that changed something.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Whether all rows were read once. Until then views and counts are empty.
    pub fn is_loaded(&self) -> bool {
        self.base.is_some()
    }

    /// Watches a view, which is made if nobody did. Each call is to be followed by one of
    /// [`close_view`](Self::close_view).
    ///
    /// # Errors
    /// There are too many, and all are watched.
    pub fn open_view(&mut self, filter: &Filter, order: &Order) -> Result<Number, Full> {
        let key = (filter.clone(), order.clone());
        if let Some(number) = self.views.watch(&key) {
            return Ok(number);
        }
        self.views.make_room()?;
        let base = self.base.and_then(|base| self.views.get(base));
        let view = match base {
            Some(base) => View::new(filter, order, &mut self.store, base),
            None => View::empty(filter, order, &self.store),
        };
        Ok(self.views.add(key, view))
    }

    /// Watches a view once more.
    pub fn watch_view(&mut self, view: Number) {
        self.views.watch_again(view);
    }

    /// Watches a view no longer.
    pub fn close_view(&mut self, view: Number) {
        self.views.close(view);
    }

    /// A view that is watched.
    pub fn view(&self, view: Number) -> &View {
        self.views
            .get(view)
            .expect("a view that is watched is kept")
    }

    /// What a window shows now. As long as nothing of it changes, and somebody keeps it, it is the
    /// same; so two windows that show the same before and after can be sent the same bytes.
    pub fn content(&mut self, window: &mut Window) -> Arc<Content> {
        let view = self
            .views
            .get(window.view())
            .expect("a view that is watched is kept");
        self.contents.of(window, &self.store, view, self.tick)
    }

    /// What a client holds that comes back with `ids`, in their order, which were right at the tick
    /// `since` of this table. A `window` at a row that went meanwhile begins at the first of them that
    /// is left.
    pub fn resume(&self, window: &mut Window, ids: &[Uuid], since: u64) -> Content {
        window.anchor_among(ids, &self.store, self.view(window.view()));
        Content::held(ids, &self.store, since, self.tick)
    }

    /// Watches a count, which is made if nobody did. Each call is to be followed by one of
    /// [`close_count`](Self::close_count).
    ///
    /// # Errors
    /// There are too many, and all are watched.
    pub fn open_count(&mut self, filter: &Filter, by: Option<By>) -> Result<Number, Full> {
        let key = (filter.clone(), by);
        if let Some(number) = self.counts.watch(&key) {
            return Ok(number);
        }
        self.counts.make_room()?;
        let count = if self.is_loaded() {
            Count::new(filter, by, &mut self.store)
        } else {
            Count::empty(filter, by, &self.store)
        };
        Ok(self.counts.add(key, count))
    }

    /// Watches a count no longer.
    pub fn close_count(&mut self, count: Number) {
        self.counts.close(count);
    }

    /// A count that is watched.
    pub fn count(&self, count: Number) -> &Count {
        self.counts
            .get(count)
            .expect("a count that is watched is kept")
    }

    /// What a count says now.
    pub fn counted(&self, count: Number) -> Counted<'_> {
        self.count(count).counted(&self.store)
    }

    /// Lets go of views that nobody watches until the views take at most so many bytes: a view of a
    /// million rows takes 4.2 MB, and is kept right while it is kept.
    pub fn trim_views(&mut self, most_bytes: usize) {
        self.views.trim(most_bytes, View::bytes);
    }

    /// How much memory is in use.
    pub fn memory(&self) -> Memory {
        Memory {
            rows: self.store.bytes(),
            views: self.views.values().map(View::bytes).sum(),
            counts: self.counts.values().map(Count::bytes).sum(),
        }
    }
}
