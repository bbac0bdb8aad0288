//! The rows of `sources` in memory, and who watches windows and counts of them. Subscribers of the same
//! window share its content, and those who held the same before share the frame that leads to it. A
//! change wakes only those whose window or count it changed; a slow one gets the newest, not a queue.
//! It reads no table: its view does.

mod member;
mod page;
mod state;
#[cfg(test)]
mod tests;

use std::{
    fmt, future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use jiff::tz::TimeZone;
use tokio::{
    sync::{MutexGuard, watch},
    task::{JoinError, JoinHandle},
    time::{self, Instant},
};

pub use self::{
    member::{Changed, Member, Shown},
    state::{Opened, Resume, State, Subscription},
};
use super::{group::Members, pending_writes::PendingWrites, signal::Signal};
use crate::metrics::Traffic;

/// The rows, and those who watch them.
pub struct Windows {
    state: tokio::sync::Mutex<State>,
    /// Subscriptions whose sockets are gone, until the state is looked at next.
    dropped: Mutex<Vec<Subscription>>,
    /// What is in memory is to be forgotten.
    is_void: AtomicBool,
    loaded: watch::Sender<bool>,
    members: AtomicUsize,
    /// When the last member left.
    left: Mutex<Instant>,
    keep: Duration,
    signal: Arc<Signal>,
    expected: Arc<PendingWrites>,
    traffic: Arc<Traffic>,
}

impl Windows {
    /// Nothing is in memory yet. Rows are kept for `keep` after the last member left; times are written
    /// in `zone`.
    pub fn new(
        signal: Arc<Signal>,
        expected: Arc<PendingWrites>,
        traffic: Arc<Traffic>,
        keep: Duration,
        zone: TimeZone,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: tokio::sync::Mutex::new(State::new(zone)),
            dropped: Mutex::default(),
            is_void: AtomicBool::new(false),
            loaded: watch::Sender::new(false),
            members: AtomicUsize::new(0),
            left: Mutex::new(Instant::now()),
            keep,
            signal,
            expected,
            traffic,
        })
    }

    /// What goes out to its members.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// The rows and what is watched of them.
    pub async fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().await;
        self.tidy(&mut state);
        state
    }

    /// The same, for a thread that may wait.
    fn lock_blocking(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.blocking_lock();
        self.tidy(&mut state);
        state
    }

    fn tidy(&self, state: &mut State) {
        if self.is_void.swap(false, SeqCst) {
            state.forget();
        }
        let dropped = std::mem::take(&mut *self.dropped());
        for subscription in dropped {
            state.close(&subscription);
        }
    }

    fn dropped(&self) -> std::sync::MutexGuard<'_, Vec<Subscription>> {
        // One is pushed whole, so a panic elsewhere leaves the list usable.
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the rows are to be kept right: there are members, or there were a short while ago.
    pub fn is_watched(&self) -> bool {
        self.members.load(SeqCst) > 0
            || (*self.loaded.borrow() && self.left().elapsed() < self.keep)
    }

    /// Says whether all rows are in memory.
    pub fn set_loaded(&self, loaded: bool) {
        self.loaded
            .send_if_modified(|was| std::mem::replace(was, loaded) != loaded);
    }

    /// Lets all rows go: nobody has watched for long, or they may be wrong. Who watches all the same
    /// subscribes anew.
    pub fn forget(&self) {
        self.is_void.store(true, SeqCst);
        self.set_loaded(false);
        // Whoever has the state now leaves it to the next one.
        if let Ok(mut state) = self.state.try_lock() {
            self.tidy(&mut state);
        }
    }

    /// Wakes the view when nobody has watched for long, so that it lets the rows go. Runs for ever.
    pub async fn watch_idle(self: Arc<Self>) {
        let mut loaded = self.loaded.subscribe();
        loop {
            // The sender is our own, so it cannot be gone.
            let _ = loaded.wait_for(|loaded| *loaded).await;
            let until = *self.left() + self.keep;
            time::sleep_until(until.max(Instant::now() + Duration::from_secs(1))).await;
            if !self.is_watched() {
                self.signal.demand();
                let _ = loaded.wait_for(|loaded| !*loaded).await;
            }
        }
    }

    /// Joins; the rows are loaded if they are not there.
    pub fn join(self: &Arc<Self>) -> Member {
        self.members.fetch_add(1, SeqCst);
        if !*self.loaded.borrow() {
            self.signal.demand();
        }
        Member::new(Arc::clone(self))
    }

    /// Waits until the rows are in memory, with all that this process has written or was told of by
    /// now. Cancel-safe.
    pub async fn current(&self) {
        let mut loaded = self.loaded.subscribe();
        loop {
            self.expected.settled().await;
            if let Some(raised) = self.signal.behind() {
                self.signal.demand();
                self.signal.followed(raised).await;
            }
            if *loaded.borrow_and_update() {
                return;
            }
            self.signal.demand();
            let _ = loaded.wait_for(|loaded| *loaded).await;
        }
    }
}

/// What a task on a thread that may wait gives; its panic is the caller's. Cancel-safe.
async fn finished<T>(task: &mut JoinHandle<T>) -> T {
    match task.await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // It never began: the server is stopping.
        Err(Err(_)) => future::pending().await,
    }
}

impl Members for Windows {
    fn members(&self) -> usize {
        self.members.load(SeqCst)
    }
}

impl fmt::Debug for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Windows")
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}
