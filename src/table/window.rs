//! Windows: a few rows of a view from some place on. A window remembers its place; what it shows is
//! its content, one for all windows of the same place. Knows no socket and no JSON.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use serde_json::Value;
use uuid::Uuid;

use super::{order::Key, store::Store, view::View, watched::Number};

/// Where a window begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// At the first row, whichever that is.
    Start,
    /// At an index. Beyond the last row the window is the last full one instead.
    Index(usize),
    /// At a row. Rows that come before it move the window's index; when it goes, the next in order
    /// takes its part; when none comes after it, the window is the last full one.
    Row(Uuid),
}

impl Anchor {
    /// Reads `{"start":true}`, `{"index":5000}` or `{"id":"…"}`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let one = value.as_object().filter(|keys| keys.len() == 1);
        let anchor = one
            .and_then(|keys| keys.iter().next())
            .and_then(|(key, value)| match key.as_str() {
                "start" => (value == true).then_some(Self::Start),
                "index" => Some(Self::Index(usize::try_from(value.as_u64()?).ok()?)),
                "id" => Some(Self::Row(value.as_str()?.parse().ok()?)),
                _ => None,
            });
        let wrong = r#"Give {"start":true}, {"index":<number>} or {"id":"<id of a row>"}."#;
        anchor.ok_or_else(|| wrong.to_owned())
    }
}

/// A place in a view.
#[derive(Clone, Debug)]
pub struct Window {
    view: Number,
    anchor: Anchor,
    limit: usize,
    /// Where the anchored row stood when it was last seen.
    key: Option<Arc<Key>>,
}

/// So many rows a window may have.
pub const MOST_ROWS: usize = 500;

/// What windows show.
#[derive(Debug)]
pub struct Content {
    /// How many rows the view has.
    pub total: usize,
    /// The index of the first row.
    pub first: usize,
    /// The rows, shared with the content before it when only the numbers moved.
    pub rows: Arc<[Shown]>,
}

/// A row as it was when the content was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The row's id.
    pub id: Uuid,
    /// Its slot in the store.
    pub slot: u32,
    /// What [`Store::revision`] said of it.
    pub revision: u32,
}

impl Window {
    /// A window of `limit` rows, 1 to [`MOST_ROWS`].
    pub fn new(view: Number, anchor: Anchor, limit: usize) -> Self {
        Self {
            view,
            anchor,
            limit: limit.clamp(1, MOST_ROWS),
            key: None,
        }
    }

    /// Where it begins now: when the row that it was anchored at went, at the one that took its part.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// The view.
    pub fn view(&self) -> Number {
        self.view
    }

    fn place(&self) -> (Number, Anchor, usize) {
        (self.view, self.anchor, self.limit)
    }

    /// Anchors the window at the first of these rows that is in the view, if the one that it is
    /// anchored at is not: for a client that comes back and holds them.
    pub(super) fn anchor_among(&mut self, ids: &[Uuid], store: &Store, view: &View) {
        let index = |id| store.slot(id).and_then(|slot| view.index(store, slot));
        if let Anchor::Row(id) = self.anchor
            && index(id).is_none()
            && self.key.is_none()
            && let Some(next) = ids.iter().find(|id| index(**id).is_some())
        {
            self.anchor = Anchor::Row(*next);
        }
    }

    /// Finds the index where the window begins, and its anchor anew when the row went.
    fn first(&mut self, store: &Store, view: &View) -> usize {
        let last_full = view.len().saturating_sub(self.limit);
        match self.anchor {
            Anchor::Start => 0,
            // No row takes the part of another until there is one.
            _ if view.is_empty() => 0,
            Anchor::Index(index) if index < view.len() => index,
            Anchor::Index(_) => last_full,
            Anchor::Row(id) => {
                let slot = store.slot(id);
                if let Some(slot) = slot
                    && let Some(index) = view.index(store, slot)
                {
                    self.key = Some(Arc::new(view.key(store, slot)));
                    return index;
                }
                // A row that never was in the view, but is in the table, has a place all the same.
                let here = || slot.map(|slot| Arc::new(view.key(store, slot)));
                self.key = self.key.take().or_else(here);
                let index = self
                    .key
                    .as_ref()
                    .map_or(0, |key| view.index_of_key(store, key));
                let index = if index < view.len() { index } else { last_full };
                if let Some(next) = view.from(index).next() {
                    self.anchor = Anchor::Row(store.id(next));
                    self.key = Some(Arc::new(view.key(store, next)));
                }
                index
            }
        }
    }
}

impl Content {
    /// What a client holds that comes back with these ids, which it had at `since`: rows that changed
    /// after that tick count as changed.
    pub fn held(ids: &[Uuid], store: &Store, since: u64, now: u64) -> Self {
        let shown = |&id: &Uuid| match store.slot(id) {
            None => Shown {
                id,
                slot: u32::MAX,
                revision: 0,
            },
            Some(slot) => {
                let revision = store.revision(slot);
                let is_held = is_since(revision, since, now);
                let revision = if is_held {
                    revision.wrapping_sub(1)
                } else {
                    revision
                };
                Shown { id, slot, revision }
            }
        };
        // No view has so many rows, so the numbers are told anyhow.
        Self {
            total: usize::MAX,
            first: usize::MAX,
            rows: ids.iter().map(shown).collect(),
        }
    }
}

/// Whether the revision, the low bits of a tick that is not after `now`, is of a tick after `since`.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are compared")]
fn is_since(revision: u32, since: u64, now: u64) -> bool {
    u64::from((now as u32).wrapping_sub(revision)) < now.saturating_sub(since)
}

/// The contents of all windows as they were last looked at.
#[derive(Debug, Default)]
pub(super) struct Contents {
    known: HashMap<(Number, Anchor, usize), Known>,
    /// How many there may be before those go that no window shows any more.
    room: usize,
}

#[derive(Debug)]
struct Known {
    at: u64,
    content: Weak<Content>,
    /// Where the anchored row stands, for the windows that did not look themselves.
    key: Option<Arc<Key>>,
}

impl Contents {
    /// What a window shows at `tick`. The same content is given out until a row of it, its index or
    /// the view's length changes, for as long as somebody keeps it.
    pub(super) fn of(
        &mut self,
        window: &mut Window,
        store: &Store,
        view: &View,
        tick: u64,
    ) -> Arc<Content> {
        if let Some(content) = self.fresh(window, view, tick) {
            return content;
        }
        let known = self
            .known
            .get(&window.place())
            .and_then(|known| known.content.upgrade());
        let before = window.anchor;
        let first = window.first(store, view);
        if window.anchor != before
            && let Some(content) = self.fresh(window, view, tick)
        {
            return content;
        }
        let content = content(window.limit, first, known, store, view);
        self.tidy();
        let (key, weak) = (window.key.clone(), Arc::downgrade(&content));
        self.known.insert(
            window.place(),
            Known {
                at: tick,
                content: weak,
                key,
            },
        );
        content
    }

    /// What a window of the same place was given last, if no row of it changed, came or went.
    fn fresh(&mut self, window: &mut Window, view: &View, tick: u64) -> Option<Arc<Content>> {
        let known = self.known.get_mut(&window.place())?;
        let mut content = known.content.upgrade()?;
        let end = content.first + content.rows.len();
        // What comes behind the last row comes into the window.
        let end = if end < content.total { end } else { usize::MAX };
        let holds = |slot| content.rows.iter().any(|shown| shown.slot == slot);
        if view.is_touched(known.at, content.first, end, holds) {
            return None;
        }
        if view.len() != content.total {
            let (total, rows) = (view.len(), Arc::clone(&content.rows));
            content = Arc::new(Content {
                total,
                first: content.first,
                rows,
            });
            known.content = Arc::downgrade(&content);
        }
        known.at = tick;
        window.key.clone_from(&known.key);
        Some(content)
    }

    fn tidy(&mut self) {
        const LEAST: usize = 64;
        if self.known.len() >= self.room.max(LEAST) {
            self.known
                .retain(|_, known| known.content.strong_count() > 0);
            self.room = self.known.len() * 2;
        }
    }
}

fn content(
    limit: usize,
    first: usize,
    known: Option<Arc<Content>>,
    store: &Store,
    view: &View,
) -> Arc<Content> {
    let total = view.len();
    let old = known.as_ref().map_or(&[][..], |known| &known.rows);
    let mut rows = Vec::with_capacity(limit.min(total - first));
    let mut at = 0;
    for slot in view.from(first).take(limit) {
        // Most rows were there before, a little further on.
        let near = old
            .iter()
            .skip(at)
            .take(NEAR)
            .position(|shown| shown.slot == slot);
        let before = near.map(|near| &old[at + near]);
        at += near.map_or(0, |near| near + 1);
        let revision = store.revision(slot);
        let shown = before.filter(|shown| shown.revision == revision).copied();
        rows.push(shown.unwrap_or_else(|| Shown {
            id: store.id(slot),
            slot,
            revision,
        }));
    }
    match known {
        Some(same) if *same.rows == *rows => {
            if same.total == total && same.first == first {
                return same;
            }
            Arc::new(Content {
                total,
                first,
                rows: Arc::clone(&same.rows),
            })
        }
        _ => Arc::new(Content {
            total,
            first,
            rows: rows.into(),
        }),
    }
}

/// So far a row is looked for in the content before.
const NEAR: usize = 3;
