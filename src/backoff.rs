//! Pauses between attempts: doubling up to a bound, and half of each is chance, so that many nodes
//! which failed together do not come back in step.

use std::time::Duration;

use tokio::time;

/// The pauses of one thing that is tried again and again.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// The first pause is at most `first`, and none is longer than `longest`.
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// It worked: the next pause is a first one.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits before the next attempt.
    pub(crate) async fn pause(&mut self) {
        let pause = self.next.mul_f64(rand::random_range(0.5..1.0));
        self.next = (self.next * 2).min(self.longest);
        time::sleep(pause).await;
    }
}
