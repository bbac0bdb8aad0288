//! What goes out to a group: four atomic numbers, shared by all its members.

use std::{sync::Arc, time::Instant};

use metrics::Counter;

use super::Histogram;

/// See the module.
#[derive(Debug)]
pub struct Traffic {
    pub(super) frames: Counter,
    pub(super) bytes: Counter,
    pub(super) skipped: Counter,
    pub(super) delays: Arc<Histogram>,
}

impl Traffic {
    /// A frame of so many bytes goes to a member. `changed` is when the newest change in it was
    /// made, if the member waited for that.
    pub fn sent(&self, bytes: usize, changed: Option<Instant>) {
        self.frames.increment(1);
        self.bytes.increment(bytes as u64);
        if let Some(changed) = changed {
            self.delays.note(changed.elapsed());
        }
    }

    /// So many frames will not go to a member.
    pub fn skipped(&self, frames: u64) {
        if frames > 0 {
            self.skipped.increment(frames);
        }
    }
}
