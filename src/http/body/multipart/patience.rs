//! How long a client that sends a form is waited for: half a minute in all, and a second longer with
//! each KiB of a file. So a file may take long but not for ever, and nobody waits for a client that sends
//! a byte now and then. Only the time counts in which there is nothing to do but wait.
//!
//! Half a minute without a byte is the worst that a mobile link does when it changes cells; the slowest
//! of them still in use (GPRS, 3 to 5 KiB/s) is several times as fast as it has to be.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    http::body::{PATIENCE, within},
    reply::Problem,
};

/// How much of a file has to come in a second, on an average.
const BYTES_A_SECOND: u64 = 1024;

/// How much longer the server waits.
pub(super) struct Patience {
    left: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { left: PATIENCE }
    }
}

impl Patience {
    /// Waits for what is next.
    ///
    /// # Errors
    /// 408 when nothing comes in time.
    pub(super) async fn wait<T>(&mut self, next: impl Future<Output = T>) -> Result<T, Problem> {
        let began = Instant::now();
        let came = within(self.left, async { Ok(next.await) }).await;
        self.spend(began.elapsed());
        came
    }

    fn spend(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }

    /// Waits longer, because so much of a file has come.
    pub(super) fn extend(&mut self, bytes: usize) {
        let earned = Duration::from_nanos(bytes as u64 * (1_000_000_000 / BYTES_A_SECOND));
        self.left = (self.left + earned).min(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pieces of this size are waited for that come so far apart, up to 1,000.
    fn waited_for(bytes: usize, apart: Duration, is_file: bool) -> usize {
        let mut patience = Patience::default();
        for count in 0..1000 {
            if patience.left < apart {
                return count;
            }
            patience.spend(apart);
            if is_file {
                patience.extend(bytes);
            }
        }
        1000
    }

    #[test]
    fn a_file_keeps_coming_and_a_trickle_ends() {
        let second = Duration::from_secs(1);
        // A slow link, one that comes in bursts, and one that is away for long now and then.
        assert_eq!(waited_for(2 * 1024, second, true), 1000);
        assert_eq!(waited_for(10 * 1024, second * 9, true), 1000);
        assert_eq!(waited_for(64 * 1024, second * 29, true), 1000);
        // A byte now and then, half of what has to come, and a long break.
        assert_eq!(waited_for(1, second, true), 30);
        assert!((55..=60).contains(&waited_for(512, second, true)));
        assert_eq!(waited_for(64 * 1024, second * 31, true), 0);
        // For anything else than a file nobody waits longer.
        assert_eq!(waited_for(64 * 1024, second, false), 30);
    }

    #[tokio::test]
    async fn what_never_comes_is_not_waited_for_for_ever() {
        let mut patience = Patience::default();
        assert!(patience.wait(std::future::ready(())).await.is_ok());
        patience.left = Duration::from_millis(10);
        let never = patience.wait(std::future::pending::<()>()).await;
        assert!(never.is_err());
        assert_eq!(patience.left, Duration::ZERO);
    }
}
