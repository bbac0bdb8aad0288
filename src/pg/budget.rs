//! Time limits for the work that one request asks of the database.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use tokio::time;

use crate::error::{Error, Result};

/// Longest wait for everything a request asks of the database.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1900);

tokio::task_local! {
    /// How long the database has taken for what was asked of it in one budget.
    static SPENT: Cell<Duration>;
}

/// Gives `work` on the database up to 1.9 s, so that whoever asked is told within two.
///
/// # Errors
/// [`Error::Unavailable`] when it takes longer; otherwise what `work` says.
pub async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let spent = SPENT.try_with(Cell::get).unwrap_or_default();
    let asked = Instant::now();
    let result = time::timeout(ANSWER_TIMEOUT.saturating_sub(spent), work).await;
    // Outside of a budget nobody counts.
    let _ = SPENT.try_with(|total| total.set(spent + asked.elapsed()));
    result.unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".into())))
}

/// Lets all that `asker` does [`in_time`], one after another, take no longer than one may.
pub async fn within_budget<T>(asker: impl Future<Output = T>) -> T {
    SPENT.scope(Cell::new(Duration::ZERO), asker).await
}
