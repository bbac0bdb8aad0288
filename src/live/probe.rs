//! The probe: every few seconds it is tried whether the tables can be read, so that `/readyz` says so
//! also while nobody watches and no view reads. It reads no row and publishes nothing.

use std::time::Duration;

use tokio::time;

use crate::{
    db::probe,
    error::{Error, Result},
    pg::{self, Pool},
    reads::Reads,
};

/// Between two rounds.
const PROBE_EVERY: Duration = Duration::from_secs(2);

/// Probes for ever.
pub(super) async fn run(pool: Pool, reads: Reads) {
    let mut ticks = time::interval(PROBE_EVERY);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for table in probe::tables() {
            let what = format!("table {table}");
            let probed = async { probe::table(&*pool.client().await?, table).await };
            match pg::in_time(probed).await {
                Ok(()) => reads.succeeded(&what),
                // The audit speaks of a database that is out.
                Err(_) if pool.is_out() => break,
                Err(error) => reads.failed(&what, &why(&pool, table, error).await),
            }
        }
    }
}

/// A read that took too long waits for a lock, if somebody holds one.
async fn why(pool: &Pool, table: &str, error: Error) -> String {
    let holder = async { probe::holder(&*pool.client().await?, table).await };
    let holder: Result<Option<String>> = pg::in_time(holder).await;
    match holder {
        Ok(Some(holder)) => holder,
        Ok(None) | Err(_) => error.to_string(),
    }
}
