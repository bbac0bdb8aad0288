//! The start of a server: it waits until the database can be reached and has this program's schema, and
//! says meanwhile what it waits for. It serves nothing.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::{
    backoff::Backoff,
    db::migrate,
    error::{Error, Result},
    outage::Outage,
    pg::{self, dsn::Dsn},
};

/// Between attempts to reach a database that is down.
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));

/// An attempt that has run for so long has reached the database and works on its schema.
const LONG: Duration = Duration::from_secs(20);

/// How far the start has come.
#[derive(Clone, Debug, Default)]
pub struct Start {
    is_done: bool,
    /// When the attempt began that is being made; none between two of them.
    attempt: Option<Instant>,
    /// Why the last attempt failed.
    trouble: Option<String>,
}

impl Start {
    /// The end of it: for a server whose database is known to be ready.
    pub fn done() -> Self {
        Self {
            is_done: true,
            ..Self::default()
        }
    }

    /// Whether it is over; otherwise what it waits for.
    ///
    /// # Errors
    /// One sentence for an operator.
    pub fn check(&self) -> Result<(), String> {
        const NOT_YET: &str = "the database has not been migrated yet";
        match &self.trouble {
            _ if self.is_done => Ok(()),
            None => Err(NOT_YET.into()),
            Some(why) => Err(format!("{NOT_YET}: {why}")),
        }
    }

    /// Whether the schema is being brought up to date, which may take long.
    pub fn is_migrating(&self) -> bool {
        self.attempt.is_some_and(|began| began.elapsed() >= LONG)
    }
}

/// Brings the schema up to date. Waits for a database that is down, and longer and longer for one
/// that refuses this program or its statements.
///
/// # Errors
/// [`Error::Start`] for a database that this program cannot use.
pub(crate) async fn run(
    database: &Dsn,
    time_zone: &str,
    progress: &watch::Sender<Start>,
) -> Result<()> {
    let (mut down, mut refused) = (Outage::default(), Outage::default());
    let (mut retry, mut refused_retry) = (RETRY, pg::REFUSED);
    loop {
        progress.send_modify(|start| start.attempt = Some(Instant::now()));
        // Too large for the stack of whoever waits for it.
        let waits = |holder: &str| {
            progress.send_if_modified(|start| {
                let is_new = start.trouble.as_deref() != Some(holder);
                if is_new {
                    start.trouble = Some(holder.to_owned());
                }
                is_new
            });
        };
        let result = Box::pin(migrate::run_and_tell(database, time_zone, &waits)).await;
        progress.send_modify(|start| {
            start.attempt = None;
            start.is_done = result.is_ok();
            start.trouble = result.as_ref().err().map(explained);
        });
        match result {
            Ok(done) => {
                if let Some(after) = longest(down.over(), refused.over()) {
                    tracing::info!(after, "connected to the database");
                }
                if done.applied > 0 {
                    tracing::info!(applied = done.applied, "migrations applied");
                }
                if done.zone_changed {
                    tracing::info!(time_zone, "time zone of the database set");
                }
                return Ok(());
            }
            Err(error @ (Error::Unavailable(_) | Error::Conflict(_) | Error::Locked(_))) => {
                if let Some(lasting) = down.failed() {
                    tracing::warn!(%error, lasting, "waiting for the database");
                }
                retry.pause().await;
            }
            Err(error @ Error::Refused(_)) => {
                if let Some(lasting) = refused.failed() {
                    tracing::warn!(%error, lasting, "the database refuses the login; trying again");
                }
                refused_retry.pause().await;
            }
            Err(error @ Error::Forbidden(_)) => {
                if let Some(lasting) = refused.failed() {
                    let error = explained(&error);
                    tracing::warn!(error, lasting, "the role lacks a right; trying again");
                }
                refused_retry.pause().await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// An error with what to do about it.
fn explained(error: &Error) -> String {
    match error {
        Error::Forbidden(why) => format!("{why}; {}", pg::advice::MISSING_RIGHT),
        other => other.to_string(),
    }
}

fn longest(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}
