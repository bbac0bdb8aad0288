//! What is in memory: the table, the windows and counts that are watched, and the frames made of them.

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::{BufMut, Bytes, BytesMut};
use jiff::tz::TimeZone;
use tokio::sync::Notify;
use uuid::Uuid;

use super::Shown;
use crate::{
    live::view::Version,
    local_time::InZone,
    table::{
        Full, Limits, Number, Table,
        counts::Counted,
        difference::Difference,
        encode,
        window::{Anchor, Content, Window},
    },
    ws::Frame,
};

/// What one process keeps for all its clients. What nobody watches makes room for what somebody asks.
const LIMITS: Limits = Limits {
    views: 1024,
    counts: 256,
};
/// Views that nobody watches go when all views take more memory than this, in bytes.
pub(super) const MOST_VIEW_BYTES: usize = 128 << 20;
/// No view is added when those that are watched take more memory than this, in bytes.
const MOST_WATCHED_BYTES: usize = 256 << 20;
/// So many frames are remembered of a window between two changes of it.
const MOST_FRAMES: usize = 16;

/// The table and what is watched of it.
#[derive(Debug)]
pub struct State {
    /// The rows.
    pub table: Table,
    /// When the newest change in the table was made, where that is known.
    pub changed: Option<Instant>,
    epoch: Version,
    zone: TimeZone,
    entries: HashMap<u64, Entry>,
    /// The windows and counts that are watched, by what they are of.
    known: HashMap<Key, u64>,
    next: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Window(Number, Anchor, usize),
    Count(Number),
}

/// A window or a count that somebody watches.
#[derive(Debug)]
struct Entry {
    key: Key,
    view: Option<Window>,
    newest: Newest,
    /// The table's tick when it was looked at last.
    at: u64,
    subscribers: Vec<Arc<Notify>>,
    frames: Vec<Made>,
}

/// What a window or a count says now.
#[derive(Clone, Debug)]
pub enum Newest {
    /// A window.
    Rows(Arc<Content>),
    /// A count.
    Counts(Arc<Counted<'static>>),
}

impl Newest {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rows(a), Self::Rows(b)) => Arc::ptr_eq(a, b),
            (Self::Counts(a), Self::Counts(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// A frame that was made for a subscriber of this name which held this before.
#[derive(Debug)]
struct Made {
    name: String,
    held: Option<Newest>,
    /// When it was made: it names the version of then.
    tick: u64,
    frame: Frame,
}

/// A place among the subscribers of a window or a count; to be closed.
#[derive(Clone, Debug)]
pub struct Subscription {
    entry: u64,
    wake: Arc<Notify>,
}

/// What a client holds that comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The version, as the client sent it.
    pub since: String,
    /// The ids of its rows, in their order.
    pub ids: Vec<Uuid>,
}

/// A subscription, with what its client holds.
#[derive(Debug)]
pub struct Opened {
    /// The place among the subscribers.
    pub subscription: Subscription,
    /// What the client holds, when it came back with what it had.
    pub held: Option<Newest>,
}

/// What there is to send.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing has changed.
    Nothing,
    /// This frame. `is_small` says that only numbers have moved.
    Frame {
        /// The frame.
        frame: Frame,
        /// Only the total or the first index have moved.
        is_small: bool,
        /// What the client holds afterwards.
        held: Newest,
    },
}

impl State {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self {
            table: Table::new(LIMITS),
            changed: None,
            epoch: Version::start(),
            zone,
            entries: HashMap::new(),
            known: HashMap::new(),
            next: 0,
        }
    }

    /// Lets all rows go, and wakes those who watch: their subscriptions are no more.
    pub(super) fn forget(&mut self) {
        for wake in self.entries.values().flat_map(|entry| &entry.subscribers) {
            wake.notify_one();
        }
        let next = self.next;
        *self = Self::new(self.zone.clone());
        // A number is never of two entries.
        self.next = next;
    }

    /// Whether what was subscribed to is still watched.
    pub(super) fn has(&self, subscription: &Subscription) -> bool {
        self.entries.contains_key(&subscription.entry)
    }

    /// The version of what is in memory.
    pub fn version(&self) -> Version {
        self.epoch.at(self.table.tick())
    }

    /// Watches a window or a count.
    ///
    /// # Errors
    /// There are too many, and all are watched.
    pub(super) fn open(&mut self, shown: &Shown, wake: &Arc<Notify>) -> Result<Opened, Full> {
        match shown {
            Shown::Rows {
                query: (filter, order),
                anchor,
                limit,
                resume,
            } => {
                let view = self.table.open_view(filter, order)?;
                self.table.trim_views(MOST_VIEW_BYTES);
                if self.table.memory().views > MOST_WATCHED_BYTES {
                    self.table.close_view(view);
                    return Err(Full);
                }
                let mut window = Window::new(view, *anchor, *limit);
                let known = resume.as_ref().and_then(|resume| {
                    let version = self.version().earlier(&resume.since)?;
                    Some((&resume.ids, version.counter))
                });
                let held = known.map(|(ids, since)| {
                    Newest::Rows(Arc::new(self.table.resume(&mut window, ids, since)))
                });
                let key = Key::Window(view, *anchor, *limit);
                let subscription = self.subscribe(key, Some(window), wake);
                Ok(Opened { subscription, held })
            }
            Shown::Counts { filter, by } => {
                let key = Key::Count(self.table.open_count(filter, *by)?);
                let subscription = self.subscribe(key, None, wake);
                Ok(Opened {
                    subscription,
                    held: None,
                })
            }
        }
    }

    fn subscribe(&mut self, key: Key, window: Option<Window>, wake: &Arc<Notify>) -> Subscription {
        let wake = Arc::clone(wake);
        if let Some(&entry) = self.known.get(&key) {
            let kept = self
                .entries
                .get_mut(&entry)
                .expect("known are of those kept");
            kept.subscribers.push(Arc::clone(&wake));
            return Subscription { entry, wake };
        }
        let entry = self.next;
        self.next += 1;
        let mut view = window;
        let newest = newest(&mut self.table, &key, &mut view);
        if is_anchored(&key, view.as_ref()) {
            self.known.insert(key.clone(), entry);
        }
        self.entries.insert(
            entry,
            Entry {
                key,
                view,
                newest,
                at: self.table.tick(),
                subscribers: vec![Arc::clone(&wake)],
                frames: Vec::new(),
            },
        );
        Subscription { entry, wake }
    }

    /// Watches no longer.
    pub(super) fn close(&mut self, subscription: &Subscription) {
        let Some(entry) = self.entries.get_mut(&subscription.entry) else {
            // The rows were let go meanwhile.
            return;
        };
        let place = entry
            .subscribers
            .iter()
            .position(|wake| Arc::ptr_eq(wake, &subscription.wake));
        if let Some(place) = place {
            entry.subscribers.swap_remove(place);
        }
        match entry.key {
            Key::Window(view, ..) => self.table.close_view(view),
            Key::Count(count) => self.table.close_count(count),
        }
        if entry.subscribers.is_empty() {
            if self.known.get(&entry.key) == Some(&subscription.entry) {
                self.known.remove(&entry.key);
            }
            self.entries.remove(&subscription.entry);
        }
    }

    /// The same filter and order as a window has, watched from elsewhere.
    pub(super) fn go_to(
        &mut self,
        subscription: &Subscription,
        anchor: Anchor,
        limit: usize,
    ) -> Option<Subscription> {
        let entry = self.entries.get(&subscription.entry)?;
        let Key::Window(view, ..) = entry.key else {
            return None;
        };
        self.table.watch_view(view);
        let key = Key::Window(view, anchor, limit);
        let moved = self.subscribe(
            key,
            Some(Window::new(view, anchor, limit)),
            &subscription.wake,
        );
        self.close(subscription);
        Some(moved)
    }

    /// Looks at all that is watched, and wakes those for whom something has changed.
    pub fn publish(&mut self) {
        let tick = self.table.tick();
        for (number, entry) in &mut self.entries {
            let touched = match entry.key {
                Key::Window(view, ..) => self.table.view(view).touched(),
                Key::Count(count) => self.table.count(count).touched(),
            };
            if touched <= entry.at {
                continue;
            }
            entry.at = tick;
            let newest = newest(&mut self.table, &entry.key, &mut entry.view);
            if !is_anchored(&entry.key, entry.view.as_ref())
                && self.known.get(&entry.key) == Some(number)
            {
                // Its row went. Whoever asks for that row later may find it again.
                self.known.remove(&entry.key);
            }
            if newest.is(&entry.newest) {
                continue;
            }
            if let (Newest::Counts(a), Newest::Counts(b)) = (&newest, &entry.newest)
                && a == b
            {
                continue;
            }
            entry.newest = newest;
            entry.frames.clear();
            for wake in &entry.subscribers {
                wake.notify_one();
            }
        }
    }

    /// What leads the subscriber `name` from what it `held` to the newest. An answer `is_owed` even when
    /// nothing has changed.
    pub(super) fn step(
        &mut self,
        subscription: &Subscription,
        name: &str,
        held: Option<&Newest>,
        is_owed: bool,
    ) -> Step {
        let Some(entry) = self.entries.get(&subscription.entry) else {
            return Step::Nothing;
        };
        let newest = entry.newest.clone();
        if !is_owed && held.is_some_and(|held| held.is(&newest)) {
            return Step::Nothing;
        }
        let difference = match (held, &newest) {
            (Some(Newest::Rows(held)), Newest::Rows(newest)) => Difference::new(held, newest),
            _ => Difference::Whole,
        };
        let is_small = matches!(difference, Difference::Numbers | Difference::None);
        if matches!(difference, Difference::None) && !is_owed {
            return Step::Nothing;
        }
        let tick = self.table.tick();
        let same = |made: &&Made| {
            made.name == name
                && made.tick == tick
                && match (&made.held, held) {
                    (None, None) => true,
                    (Some(a), Some(b)) => a.is(b),
                    _ => false,
                }
        };
        let made = entry.frames.iter().find(same);
        let frame = if let Some(made) = made {
            made.frame.clone()
        } else {
            let frame = self.frame(name, &newest, &difference);
            self.remember(
                subscription,
                Made {
                    name: name.to_owned(),
                    held: held.cloned(),
                    tick,
                    frame: frame.clone(),
                },
            );
            frame
        };
        Step::Frame {
            frame,
            is_small,
            held: newest,
        }
    }

    fn remember(&mut self, subscription: &Subscription, made: Made) {
        if let Some(entry) = self.entries.get_mut(&subscription.entry)
            && entry.frames.len() < MOST_FRAMES
        {
            entry.frames.push(made);
        }
    }

    fn frame(&self, name: &str, newest: &Newest, difference: &Difference) -> Frame {
        let version = self.version().to_string();
        let mut text = BytesMut::new();
        match newest {
            Newest::Rows(content) => {
                encode::head(&mut text, "rows", name);
                encode::rows(
                    &mut text,
                    &version,
                    content,
                    difference,
                    self.table.store(),
                    |row, out| {
                        serde_json::to_writer(out.writer(), &InZone(&self.zone, row))
                            .expect("keys are strings, so it is JSON");
                    },
                );
            }
            Newest::Counts(counted) => {
                encode::head(&mut text, "counts", name);
                encode::counts(&mut text, &version, counted);
            }
        }
        let text: Bytes = text.freeze();
        Frame::text_from(text.len(), |out| out.put_slice(&text))
    }
}

/// Whether a window begins where its key says.
fn is_anchored(key: &Key, window: Option<&Window>) -> bool {
    match (key, window) {
        (Key::Window(_, anchor, _), Some(window)) => window.anchor() == *anchor,
        _ => true,
    }
}

fn newest(table: &mut Table, key: &Key, window: &mut Option<Window>) -> Newest {
    match (key, window) {
        (Key::Count(count), _) => Newest::Counts(Arc::new(table.counted(*count).into_owned())),
        (Key::Window(..), Some(window)) => Newest::Rows(table.content(window)),
        (Key::Window(..), None) => unreachable!("a window is kept with its key"),
    }
}
