//! Whether the server can do its work, and if not, why: for `/readyz`, for the page Health and for whoever
//! supervises the process.

use tokio::sync::watch;

use crate::{
    db::server_info,
    error::{Error, Result},
    live::listener,
    pg::{self, Pool},
    reads::Reads,
    restarts::Restarts,
    server::Shortage,
    shared::Shared,
    start::Start,
};

/// The queue of notifications is nearly full from here on, from 0 to 1. When it is full, PostgreSQL refuses
/// writes.
const QUEUE_NEARLY_FULL: f64 = 0.9;

/// Asks every part of the server how it is.
#[derive(Debug)]
pub struct Readiness {
    /// For asking the database.
    pub pool: Pool,
    /// Whether the database has this program's schema.
    pub start: watch::Receiver<Start>,
    /// Which parts of the server have panicked and do not run yet.
    pub restarts: Restarts,
    /// What cannot be read at present.
    pub reads: Reads,
    /// Whether clients are turned away.
    pub shortage: Shortage,
    /// How the listener is.
    pub listener: watch::Receiver<listener::Status>,
    /// How full the queue of notifications is, from 0 to 1.
    pub queue_usage: watch::Receiver<f64>,
    /// One question to the database for all who ask at the same time.
    pub probe: Shared<Result<(), String>>,
}

impl Readiness {
    /// Why the server cannot do its work, a sentence each; none when it can.
    pub async fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.shortage.check().err());
        problems.extend(self.restarts.troubles());
        let started = self.start.borrow().check();
        if let Err(why) = started {
            problems.push(why);
        } else {
            problems.extend(self.ask_database().await.err());
            problems.extend(self.pool.check().err());
            problems.extend(self.reads.troubles());
            problems.extend(self.listener.borrow().check().err());
            problems.extend(nearly_full(*self.queue_usage.borrow()));
        }
        problems
    }

    /// Whether the database answers and takes writes. However many ask, one question at a time is under
    /// way.
    async fn ask_database(&self) -> Result<(), String> {
        let ask = || {
            let pool = self.pool.clone();
            async move {
                let asked = pg::in_time(takes_writes(&pool)).await;
                asked.map_err(|error| error.to_string())
            }
        };
        let answer = self.probe.get(ask).await;
        answer.unwrap_or_else(|| Err("the database could not be asked".into()))
    }
}

async fn takes_writes(pool: &Pool) -> Result<()> {
    if server_info::takes_writes(&*pool.client().await?).await? {
        return Ok(());
    }
    Err(Error::Unavailable(
        "it only reads: it is a standby, or its transactions are read-only".into(),
    ))
}

/// The sentence for a queue of notifications that is this full.
fn nearly_full(usage: f64) -> Option<String> {
    (usage >= QUEUE_NEARLY_FULL).then(|| {
        format!(
            "the database's queue of notifications is {:.0} % full, and when it is full writes \
             fail: end the session that listens in an open transaction",
            usage * 100.0
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nearly_full_queue_is_a_problem() {
        assert_eq!(nearly_full(0.89), None);
        assert!(nearly_full(0.914).unwrap().contains("91 % full"));
    }
}
