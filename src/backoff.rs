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
        let pause = jittered(self.next);
        self.next = (self.next * 2).min(self.longest);
        time::sleep(pause).await;
    }

    /// The pause after the `n`th failure, from 1, where the count is kept elsewhere.
    pub(crate) fn nth(&self, n: u32) -> Duration {
        let doubled = 1u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX);
        jittered(self.first.saturating_mul(doubled).min(self.longest))
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(30));
        for (n, most) in [(1, 2), (2, 4), (4, 16), (5, 30), (31, 30), (u32::MAX, 30)] {
            let most = Duration::from_secs(most);
            let pause = backoff.nth(n);
            assert!(pause >= most / 2 && pause <= most, "{n}: {pause:?}");
        }
    }
}
