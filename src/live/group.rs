//! Groups: who gets what a view made. A group holds the newest frame and counts its members; it
//! never sees SQL, and a member that is slow costs the others nothing.

pub mod keyed;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::{broadcast, watch};

use super::{pending_writes::PendingWrites, signal::Signal};
use crate::{metrics::Traffic, ws::Frame};

/// What operators are told of a group.
pub trait Members: fmt::Debug + Send + Sync {
    /// How many there are to be told.
    fn members(&self) -> usize;
}

/// How many events a member may fall behind before it is told to read everything again.
const EVENTS_KEPT: usize = 64;

/// A group whose members want the newest state; what they were too slow for is skipped.
#[derive(Debug)]
pub struct Group<T> {
    newest: watch::Sender<Newest<T>>,
    members: AtomicUsize,
    deflating: AtomicUsize,
    signal: Arc<Signal>,
    expected: Arc<PendingWrites>,
    traffic: Arc<Traffic>,
}

/// What was published last, and how much was published so far.
#[derive(Clone, Debug)]
struct Newest<T> {
    state: Option<T>,
    published: u64,
}

impl<T: Clone> Group<T> {
    /// An empty group. `signal` wakes the view when somebody joins who has to wait for a frame.
    /// Nor is anybody shown a state from before what is `expected`.
    pub fn new(
        signal: Arc<Signal>,
        expected: Arc<PendingWrites>,
        traffic: Arc<Traffic>,
    ) -> Arc<Self> {
        Arc::new(Self {
            newest: watch::Sender::new(Newest {
                state: None,
                published: 0,
            }),
            members: AtomicUsize::new(0),
            deflating: AtomicUsize::new(0),
            signal,
            expected,
            traffic,
        })
    }

    /// How many of them asked for compressed frames.
    pub fn deflating(&self) -> usize {
        self.deflating.load(SeqCst)
    }

    /// Whether a member that joins now gets its first frame at once.
    pub fn is_current(&self) -> bool {
        self.newest.borrow().state.is_some()
    }

    /// Gives every member the newest state.
    pub fn publish(&self, newest: T) {
        self.newest.send_modify(|kept| {
            kept.state = Some(newest);
            kept.published += 1;
        });
    }

    /// What was published is out of date, and nobody is there to be told: whoever joins waits.
    pub fn forget(&self) {
        self.newest
            .send_if_modified(|newest| newest.state.take().is_some());
    }

    /// Joins. The first [`next`](Member::next) gives the newest state, made for the occasion when
    /// nobody followed until now.
    pub fn join(self: &Arc<Self>, deflate: bool) -> Member<T> {
        // Counted before looking: a view that finds nobody to tell has not been seen by us either.
        self.members.fetch_add(1, SeqCst);
        self.deflating.fetch_add(usize::from(deflate), SeqCst);
        let mut newest = self.newest.subscribe();
        newest.mark_changed();
        let behind = !self.expected.is_empty() || self.signal.behind().is_some();
        Member {
            newest,
            behind,
            seen: None,
            deflate,
            group: Arc::clone(self),
        }
    }
}

impl<T: Clone + fmt::Debug + Send + Sync> Members for Group<T> {
    fn members(&self) -> usize {
        self.members.load(SeqCst)
    }
}

/// Membership of a group; leaves when dropped.
#[derive(Debug)]
pub struct Member<T> {
    newest: watch::Receiver<Newest<T>>,
    /// When it joined, what was published was known to be out of date.
    behind: bool,
    /// How much had been published when it was given the last state.
    seen: Option<u64>,
    deflate: bool,
    group: Arc<Group<T>>,
}

impl<T: Clone> Member<T> {
    /// What goes out to the group.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.group.traffic)
    }

    /// Waits for a state newer than the last one it gave. Cancel-safe.
    pub async fn next(&mut self) -> T {
        if self.behind {
            // Somebody who has just changed something must not be shown the state before it.
            self.group.expected.settled().await;
            if let Some(raised) = self.group.signal.behind() {
                self.group.signal.demand();
                self.group.signal.followed(raised).await;
            }
            self.behind = false;
        }
        loop {
            if self.newest.changed().await.is_err() {
                // The group is held by ourselves, so its sender lives.
                std::future::pending::<()>().await;
            }
            let Newest { state, published } = self.newest.borrow_and_update().clone();
            if let Some(state) = state {
                let seen = self.seen.replace(published).unwrap_or(published);
                let skipped = published.saturating_sub(seen + 1);
                self.group.traffic.skipped(skipped);
                return state;
            }
            self.group.signal.demand();
        }
    }
}

impl<T> Drop for Member<T> {
    fn drop(&mut self) {
        self.group.members.fetch_sub(1, SeqCst);
        self.group
            .deflating
            .fetch_sub(usize::from(self.deflate), SeqCst);
    }
}

/// A group whose members want to hear of every event, not of a state.
#[derive(Debug)]
pub struct Events {
    sender: broadcast::Sender<Frame>,
    lagged: Frame,
    traffic: Arc<Traffic>,
}

impl Events {
    /// An empty group; `lagged` tells a member that it missed events and must read everything.
    pub fn new(lagged: Frame, traffic: Arc<Traffic>) -> Arc<Self> {
        Arc::new(Self {
            sender: broadcast::Sender::new(EVENTS_KEPT),
            lagged,
            traffic,
        })
    }

    /// Tells every member.
    pub fn publish(&self, event: Frame) {
        // An error only says that nobody is there.
        let _ = self.sender.send(event);
    }

    /// Joins; hears what is published from now on.
    pub fn join(self: &Arc<Self>) -> EventMember {
        EventMember {
            receiver: self.sender.subscribe(),
            group: Arc::clone(self),
        }
    }
}

impl Members for Events {
    fn members(&self) -> usize {
        self.sender.receiver_count()
    }
}

/// Membership of [`Events`]; leaves when dropped.
#[derive(Debug)]
pub struct EventMember {
    receiver: broadcast::Receiver<Frame>,
    group: Arc<Events>,
}

impl EventMember {
    /// What goes out to the group.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.group.traffic)
    }

    /// Waits for the next event. Cancel-safe.
    pub async fn next(&mut self) -> Frame {
        match self.receiver.recv().await {
            Ok(frame) => frame,
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                // Skips what is still there: it is older than what the member now reads.
                let left = self.receiver.len() as u64;
                self.group.traffic.skipped(lost + left);
                self.receiver = self.receiver.resubscribe();
                self.group.lagged.clone()
            }
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
