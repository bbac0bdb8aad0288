//! Whether a statement that failed is worth another attempt: PostgreSQL has rolled it back because of
//! another transaction. It sends nothing.

use std::time::Duration;

use crate::{backoff::Backoff, error::Error};

/// Attempts after the first when other transactions won.
const CONFLICTS: u32 = 5;
/// Attempts after the first when a lock was not given back in time.
const LOCKS: u32 = 1;
/// Between attempts. Half of each pause is chance, so that two that met do not meet again.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(160));

/// The attempts of one statement, or of one transaction.
#[derive(Debug)]
pub(crate) struct Retry {
    conflicts: u32,
    locks: u32,
    pause: Backoff,
}

impl Retry {
    pub(crate) fn new() -> Self {
        Self {
            conflicts: 0,
            locks: 0,
            pause: PAUSE,
        }
    }

    /// Waits before another attempt; false when there is to be none.
    pub(crate) async fn again(&mut self, error: &Error) -> bool {
        let (made, most) = match error {
            Error::Conflict(_) => (&mut self.conflicts, CONFLICTS),
            Error::Locked(_) => (&mut self.locks, LOCKS),
            _ => return false,
        };
        if *made == most {
            return false;
        }
        *made += 1;
        tracing::debug!(%error, "trying again");
        self.pause.pause().await;
        true
    }
}

/// The result of an attempt, which is made again as long as [`Retry`] says so.
macro_rules! retried {
    ($attempt:expr) => {{
        let mut retry = $crate::pg::retry::Retry::new();
        loop {
            match $attempt {
                Err(error) if retry.again(&error).await => {}
                done => break done,
            }
        }
    }};
}
pub(crate) use retried;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_another_transaction_caused_is_tried_again_and_not_for_ever() {
        for (error, attempts) in [
            (Error::Conflict(String::new()), 5),
            (Error::Locked(String::new()), 1),
            (Error::Unavailable(String::new()), 0),
            (Error::Value(String::new()), 0),
        ] {
            let mut retry = Retry::new();
            let mut made = 0;
            while retry.again(&error).await {
                made += 1;
            }
            assert_eq!(made, attempts, "{error}");
        }
    }
}
