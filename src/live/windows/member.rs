//! A socket's subscriptions, by the names that its client gave them.

use std::{
    collections::BTreeMap,
    future,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{self, Instant},
};

use super::{
    Windows, finished,
    state::{Newest, Opened, Resume, Step, Subscription},
};
use crate::{
    table::{Full, counts::By, filter::Filter, order::Order, window::Anchor},
    ws::Frame,
};

/// A change of the total or the first index alone is sent at most so often.
const NUMBERS_EVERY: Duration = Duration::from_millis(250);

/// What a client wants to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A window.
    Rows {
        /// Which rows, in which order.
        query: (Filter, Order),
        /// Where it begins.
        anchor: Anchor,
        /// How many rows it has.
        limit: usize,
        /// What the client has of it.
        resume: Option<Resume>,
    },
    /// A count.
    Counts {
        /// Of which rows.
        filter: Filter,
        /// By which column's values.
        by: Option<By>,
    },
}

/// A frame, and when the newest change in it was made, where that is known.
pub type Changed = (Frame, Option<std::time::Instant>);

/// A socket's place among those who watch; leaves when dropped.
#[derive(Debug)]
pub struct Member {
    windows: Arc<Windows>,
    wake: Arc<Notify>,
    subscriptions: BTreeMap<String, Watched>,
    /// A view that is being made, the name of its subscription, and what it shows.
    opening: Option<(String, Shown, Opening)>,
    /// Something may have changed since the subscriptions were looked at.
    is_stale: bool,
    /// Subscriptions that are to be made again.
    lost: Vec<String>,
}

/// Gives nothing when the rows were let go a moment before.
type Opening = JoinHandle<Option<Result<Opened, Full>>>;

#[derive(Debug)]
struct Watched {
    /// To subscribe again after all was forgotten.
    shown: Shown,
    subscription: Subscription,
    held: Option<Newest>,
    /// A frame is to come even if nothing has changed.
    is_owed: bool,
    /// Until then no frame goes out that only moves numbers.
    quiet_until: Instant,
    /// The numbers have moved meanwhile.
    has_moved: bool,
}

impl Member {
    pub(super) fn new(windows: Arc<Windows>) -> Self {
        Self {
            windows,
            wake: Arc::default(),
            subscriptions: BTreeMap::new(),
            opening: None,
            is_stale: false,
            lost: Vec::new(),
        }
    }

    /// The group that it is a member of.
    pub fn group(&self) -> &Arc<Windows> {
        &self.windows
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Whether there is a subscription of that name.
    pub fn has(&self, name: &str) -> bool {
        self.subscriptions.contains_key(name)
    }

    /// Subscribes; a subscription of the same name ends. A new view of many rows takes a while to make,
    /// on a thread that may wait. Cancel-safe: when called again, it goes on with what had begun.
    ///
    /// # Errors
    /// There are too many views.
    pub async fn subscribe(&mut self, name: &str, shown: &Shown) -> Result<(), Full> {
        let mut is_full = false;
        let opened = loop {
            let is_under_way =
                |(opening, of, _): &(String, Shown, Opening)| opening == name && of == shown;
            if !self.opening.as_ref().is_some_and(is_under_way) {
                self.abandon_opening();
                self.windows.current().await;
                let opening = self.open(shown.clone());
                self.opening = Some((name.to_owned(), shown.clone(), opening));
            }
            let Some((.., opening)) = &mut self.opening else {
                return Ok(());
            };
            let opened = finished(opening).await;
            self.opening = None;
            match opened {
                Some(Ok(opened)) => break opened,
                // The one that ends may make room.
                Some(Err(Full)) if !is_full && self.unsubscribe(name) => is_full = true,
                Some(Err(Full)) => return Err(Full),
                // The rows were let go a moment before.
                None => {}
            }
        };
        self.unsubscribe(name);
        self.subscriptions.insert(
            name.to_owned(),
            Watched {
                shown: shown.clone(),
                subscription: opened.subscription,
                held: opened.held,
                is_owed: true,
                quiet_until: Instant::now(),
                has_moved: false,
            },
        );
        self.is_stale = true;
        Ok(())
    }

    /// Closes what is being opened, as soon as it is.
    fn abandon_opening(&mut self) {
        let Some((.., opening)) = self.opening.take() else {
            return;
        };
        let windows = Arc::clone(&self.windows);
        tokio::spawn(async move {
            if let Ok(Some(Ok(opened))) = opening.await {
                windows.dropped().push(opened.subscription);
            }
        });
    }

    fn open(&self, shown: Shown) -> Opening {
        let (windows, wake) = (Arc::clone(&self.windows), Arc::clone(&self.wake));
        tokio::task::spawn_blocking(move || {
            let mut state = windows.lock_blocking();
            state.table.is_loaded().then(|| state.open(&shown, &wake))
        })
    }

    /// Shows other rows of the same filter and order: from another place, or more or fewer of them. False
    /// when there is no such window. Cancel-safe.
    pub async fn go_to(&mut self, name: &str, to: Option<Anchor>, rows: Option<usize>) -> bool {
        let Some(watched) = self.subscriptions.get_mut(name) else {
            return false;
        };
        let Shown::Rows {
            anchor,
            limit,
            resume,
            ..
        } = &mut watched.shown
        else {
            return false;
        };
        let mut state = self.windows.lock().await;
        (*anchor, *limit, *resume) = (to.unwrap_or(*anchor), rows.unwrap_or(*limit), None);
        if let Some(moved) = state.go_to(&watched.subscription, *anchor, *limit) {
            watched.subscription = moved;
        }
        watched.is_owed = true;
        self.is_stale = true;
        true
    }

    /// Ends a subscription; whether there was one.
    pub fn unsubscribe(&mut self, name: &str) -> bool {
        let watched = self.subscriptions.remove(name);
        if let Some(watched) = &watched {
            self.windows.dropped().push(watched.subscription.clone());
        }
        watched.is_some()
    }

    /// What is to be sent because of what was asked for last. Cancel-safe.
    pub async fn stale(&mut self) -> Vec<Changed> {
        if !self.is_stale {
            return Vec::new();
        }
        while let Some(name) = self.lost.last().cloned() {
            let lost = self
                .subscriptions
                .get(&name)
                .map(|watched| watched.shown.clone());
            if let Some(shown) = lost
                && self.subscribe(&name, &shown).await.is_err()
            {
                // Others were faster, and there are too many. This one waits for its turn.
                return Vec::new();
            }
            self.lost.pop();
        }
        self.look().await
    }

    /// Waits until something is to be sent. Cancel-safe.
    pub async fn next(&mut self) -> Vec<Changed> {
        loop {
            let frames = self.stale().await;
            if !frames.is_empty() {
                return frames;
            }
            if !self.lost.is_empty() {
                time::sleep(NUMBERS_EVERY).await;
                continue;
            }
            let waiting = self
                .subscriptions
                .values()
                .filter(|watched| watched.has_moved);
            let numbers = waiting.map(|watched| watched.quiet_until).min();
            let numbers = async move {
                match numbers {
                    Some(until) => time::sleep_until(until).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = numbers => {}
            }
            self.is_stale = true;
        }
    }

    /// Looks at each subscription.
    async fn look(&mut self) -> Vec<Changed> {
        let mut state = self.windows.lock().await;
        let now = Instant::now();
        let mut frames = Vec::new();
        for (name, watched) in &mut self.subscriptions {
            if !state.has(&watched.subscription) {
                self.lost.push(name.clone());
                continue;
            }
            let held = watched.held.as_ref();
            let step = state.step(&watched.subscription, name, held, watched.is_owed);
            let Step::Frame {
                frame,
                is_small,
                held,
            } = step
            else {
                watched.has_moved = false;
                continue;
            };
            if is_small && !watched.is_owed && now < watched.quiet_until {
                watched.has_moved = true;
                continue;
            }
            let changed = state.changed.filter(|_| !watched.is_owed);
            if is_small {
                watched.quiet_until = now + NUMBERS_EVERY;
            }
            (watched.held, watched.is_owed, watched.has_moved) = (Some(held), false, false);
            frames.push((frame, changed));
        }
        self.is_stale = !self.lost.is_empty();
        frames
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let subscriptions = std::mem::take(&mut self.subscriptions);
        let subscriptions = subscriptions
            .into_values()
            .map(|watched| watched.subscription);
        self.windows.dropped().extend(subscriptions);
        self.abandon_opening();
        *self.windows.left() = Instant::now();
        self.windows.members.fetch_sub(1, SeqCst);
    }
}
