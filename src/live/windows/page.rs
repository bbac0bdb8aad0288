//! A part of a filtered and ordered list, once: for those who ask and do not watch.

use std::sync::Arc;

use super::{State, Windows, finished, state::MOST_VIEW_BYTES};
use crate::{
    db::sources::Source,
    table::{filter::Query, order::Key},
};

/// A part of a list.
#[derive(Debug)]
pub struct Page {
    /// The sources.
    pub sources: Vec<Source>,
    /// How many the filter lets through.
    pub total: usize,
    /// The place of the last source, when others follow.
    pub next: Option<Key>,
}

impl Windows {
    /// The first `limit` sources after a place. The rows are loaded if they are not in memory; that may
    /// take a while. Gives none when too many filters and orders are in use.
    pub async fn page(
        self: Arc<Self>,
        query: Query,
        after: Option<Key>,
        limit: usize,
    ) -> Option<Page> {
        // While there is a member, the rows stay in memory.
        let _member = self.join();
        loop {
            self.current().await;
            let windows = Arc::clone(&self);
            let (query, after) = (query.clone(), after.clone());
            // Making a view of many rows takes a while.
            let mut found = tokio::task::spawn_blocking(move || {
                let mut state = windows.lock_blocking();
                let is_loaded = state.table.is_loaded();
                is_loaded.then(|| state.page(&query, after.as_ref(), limit))
            });
            // Otherwise the rows were let go a moment before.
            if let Some(page) = finished(&mut found).await {
                return page;
            }
        }
    }
}

impl State {
    fn page(&mut self, query: &Query, after: Option<&Key>, limit: usize) -> Option<Page> {
        let number = self.table.open_view(&query.filter, &query.order).ok()?;
        let (store, view) = (self.table.store(), self.table.view(number));
        let first = after.map_or(0, |key| {
            let at = view.index_of_key(store, key);
            let is_there = view
                .from(at)
                .next()
                .is_some_and(|slot| view.key(store, slot) == *key);
            at + usize::from(is_there)
        });
        let slots: Vec<u32> = view.from(first).take(limit).collect();
        let has_more = first + slots.len() < view.len();
        let last = slots.last().filter(|_| has_more);
        let page = Page {
            sources: slots.iter().map(|&slot| store.source(slot)).collect(),
            total: view.len(),
            next: last.map(|&slot| view.key(store, slot)),
        };
        self.table.close_view(number);
        self.table.trim_views(MOST_VIEW_BYTES);
        Some(page)
    }
}
