//! What goes out to a group, shared by all its members. Counted for every frame of every member, so
//! each number is one addition; a `Counter` of the registry would be two.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use metrics::Counter;

use super::Histogram;

/// Counts the frames and bytes that go out to a group.
#[derive(Debug)]
pub struct Traffic {
    frames: AtomicU64,
    bytes: AtomicU64,
    delays: Arc<Histogram>,
    shown: Shown,
}

/// The counters of the registry.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) frames: Counter,
    pub(super) bytes: Counter,
    pub(super) skipped: Counter,
}

impl Traffic {
    pub(super) fn new(delays: Arc<Histogram>, shown: Shown) -> Self {
        Self {
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            delays,
            shown,
        }
    }

    /// A frame of so many bytes goes to a member. `changed` is when the newest change in it was
    /// made, if the member waited for that.
    pub fn sent(&self, bytes: usize, changed: Option<Instant>) {
        self.frames.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        if let Some(changed) = changed {
            self.delays.note(changed.elapsed());
        }
    }

    /// So many frames will not go to a member.
    pub fn skipped(&self, frames: u64) {
        if frames > 0 {
            self.shown.skipped.increment(frames);
        }
    }

    /// Brings the registry's counters up to date.
    pub(super) fn show(&self) {
        self.shown.frames.absolute(self.frames.load(Relaxed));
        self.shown.bytes.absolute(self.bytes.load(Relaxed));
    }
}
