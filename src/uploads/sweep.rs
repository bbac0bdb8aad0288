//! The sweep: removes files for which no source has a use any more. What it removes is gone for ever,
//! so it believes no table that may be wrong: it waits for [`grace`](crate::config::Uploads), it fails
//! where a policy hides sources, and it stops where it would remove many files at once, until somebody
//! says that they may go (`marketplace uploads sweep`). Objects that the table does not know are never
//! touched.

use std::time::Duration;

use metrics::Gauge;
use tokio::time;
use uuid::Uuid;

use super::{Failure, Uploads};
use crate::{
    db::uploads::{self, AT_ONCE, Due, Example, Look, Terms},
    error::{Error, Result},
    metrics::Metrics,
    outage::Outage,
};

/// How long a file is kept that never got a source; much longer than [`LONGEST`](super::LONGEST).
const HALF_WAY: Duration = Duration::from_hours(2);
/// How long a server may take to remove what it has claimed, before another may try.
const LEASE: Duration = Duration::from_mins(5);
/// Between two sweeps, unless files go sooner than that.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Between two sweeps where files go at once.
const SWEEP_AT_ONCE: Duration = Duration::from_secs(1);
/// Longest time for a look at both tables, which may be large.
const LOOK_TIMEOUT: Duration = Duration::from_mins(1);

/// What a sweep by hand would remove.
#[derive(Debug)]
pub struct Pending {
    /// How much of how much.
    pub due: Due,
    /// Some of it.
    pub examples: Vec<Example>,
}

impl Uploads {
    /// Removes files for ever. Of several servers each removes others.
    pub async fn run(&self) {
        // Otherwise the first user who uploads a file would find it out.
        if let Err(error) = self.can_be_written() {
            tracing::warn!(%error, "uploads cannot be stored: the directory of UPLOADS_URL cannot be written");
        }
        let mut lines = Lines {
            looking: Outage::beside_the_pool(),
            too_many: Outage::default(),
            removing: Outage::default(),
        };
        let mut from = Uuid::nil();
        loop {
            let swept = self.sweep(from).await;
            if let Ok(swept) = &swept {
                from = swept.next;
            }
            self.0.stopped.show(&swept);
            lines.write(&swept, self.0.pool.is_out());
            if !matches!(swept, Ok(Swept { is_all: false, .. })) {
                time::sleep(self.0.grace.clamp(SWEEP_AT_ONCE, SWEEP_EVERY)).await;
            }
        }
    }

    /// What may be removed by now.
    ///
    /// # Errors
    /// [`Error::Start`] when the store is not there; otherwise what the database says.
    pub async fn pending(&self) -> Result<Pending> {
        let mut client = self.0.pool.client().await?;
        let look = Look::begin(&mut client).await?;
        let terms = self.terms();
        let due = look.due(&terms).await?;
        let examples = look.examples(&terms).await?;
        look.end().await?;
        self.may_remove(&due)?;
        Ok(Pending { due, examples })
    }

    /// Removes all of what was pending, however much it is, and nothing else. Says how many files.
    ///
    /// # Errors
    /// As [`pending`](Self::pending).
    pub async fn remove_pending(&self, pending: &Pending) -> Result<usize> {
        let terms = Terms {
            moment: Some(pending.due.moment),
            ..self.terms()
        };
        let mut removed = 0;
        loop {
            let mut client = self.0.pool.client().await?;
            let claimed = Look::begin(&mut client).await?.claim(&terms, LEASE).await?;
            drop(client);
            let (count, failure) = self.remove_all(&claimed).await?;
            removed += count;
            if let Some((key, why)) = failure {
                return Err(Error::Start(format!(
                    "{removed} files were removed, and {key} could not be: {why}"
                )));
            }
            if claimed.len() < AT_ONCE {
                return Ok(removed);
            }
        }
    }

    /// Sweeps, and asks the sources from this id on whether their files are noted.
    async fn sweep(&self, from: Uuid) -> Result<Swept> {
        let terms = self.terms();
        let look = async {
            let mut client = self.0.pool.client().await?;
            let look = Look::begin(&mut client).await?;
            let next = look.adopt(from).await?;
            let due = look.due(&terms).await?;
            let may_remove = self.may_remove(&due);
            if due.is_doubtful() || may_remove.is_err() {
                look.end().await?;
                return may_remove.map(|()| (next, due, Vec::new()));
            }
            Ok((next, due, look.claim(&terms, LEASE).await?))
        };
        let looked = time::timeout(LOOK_TIMEOUT, look).await;
        let (next, due, claimed) =
            looked.unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".into())))?;
        let (removed, failure) = self.remove_all(&claimed).await?;
        Ok(Swept {
            next,
            due,
            removed,
            failure,
            is_all: removed == 0 || claimed.len() < AT_ONCE,
        })
    }

    fn terms(&self) -> Terms {
        Terms {
            grace: self.0.grace.as_secs_f64(),
            half_way: HALF_WAY.as_secs_f64(),
            moment: None,
        }
    }

    /// Removes those of the claimed objects that no source names yet. Gives how many, and one that could
    /// not be removed.
    async fn remove_all(&self, claimed: &[Uuid]) -> Result<(usize, Option<(Uuid, Failure)>)> {
        let mut removed = 0;
        let mut failure = None;
        for key in claimed {
            // Somebody may have brought its source back since it was claimed.
            if uploads::is_named(&mut *self.0.pool.client().await?, *key).await? {
                continue;
            }
            match self.remove(*key).await {
                Ok(()) => removed += 1,
                Err(why) => failure = Some((*key, why)),
            }
        }
        Ok((removed, failure))
    }

    /// Whether the store is there, if anything is to be removed from it.
    fn may_remove(&self, due: &Due) -> Result<()> {
        if due.due == 0 {
            return Ok(());
        }
        let is_there = self.0.place.is_there();
        is_there.map_err(|failure| Error::Start(failure.to_string()))
    }
}

/// How a sweep went.
#[derive(Debug)]
struct Swept {
    /// The first source that was not asked for its file.
    next: Uuid,
    due: Due,
    removed: usize,
    /// One that could not be removed, and why.
    failure: Option<(Uuid, Failure)>,
    /// Whether there is nothing left to remove.
    is_all: bool,
}

/// Whether sweeps are stopped, for Prometheus.
#[derive(Debug)]
pub(super) struct Stopped {
    too_many: Gauge,
    failing: Gauge,
}

impl Stopped {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            too_many: metrics.uploads_sweep_stopped("too_many"),
            failing: metrics.uploads_sweep_stopped("failing"),
        }
    }

    fn show(&self, swept: &Result<Swept>) {
        let too_many = matches!(swept, Ok(swept) if swept.due.is_doubtful());
        self.too_many.set(f64::from(u8::from(too_many)));
        // Others tell that the database does not answer.
        let failing = swept.as_ref().err().is_some_and(|error| {
            !matches!(
                error,
                Error::Unavailable(_) | Error::Locked(_) | Error::Conflict(_)
            )
        });
        self.failing.set(f64::from(u8::from(failing)));
    }
}

/// What the log says of sweeps.
struct Lines {
    looking: Outage,
    too_many: Outage,
    removing: Outage,
}

impl Lines {
    /// `is_out`: the database is, of which others speak.
    fn write(&mut self, swept: &Result<Swept>, is_out: bool) {
        let swept = match swept {
            Ok(swept) => swept,
            Err(error) => {
                if !is_out && let Some(lasting) = self.looking.failed() {
                    tracing::warn!(%error, lasting, "cannot search for unused uploads");
                }
                return;
            }
        };
        if let Some(after) = self.looking.over() {
            tracing::info!(after, "searching for unused uploads works again");
        }
        if swept.due.is_doubtful() {
            if let Some(lasting) = self.too_many.failed() {
                let Due { due, all, .. } = swept.due;
                tracing::warn!(
                    due,
                    all,
                    lasting,
                    "no uploads are removed: many have no source any more, which may be a mistake; \
                     if it is none, run `marketplace uploads sweep`"
                );
            }
        } else if let Some(after) = self.too_many.over() {
            tracing::info!(after, "deleting unused uploads is allowed again");
        }
        if swept.removed > 0 {
            let count = swept.removed;
            tracing::info!(count, "unused uploads deleted");
        }
        match &swept.failure {
            Some((key, why)) => {
                if let Some(lasting) = self.removing.failed() {
                    tracing::warn!(%why, %key, lasting, "cannot delete an unused upload");
                }
            }
            // Where there was nothing to remove, nothing is known of the store.
            None if swept.removed == 0 => {}
            None => {
                if let Some(after) = self.removing.over() {
                    tracing::info!(after, "deleting unused uploads works again");
                }
            }
        }
    }
}
