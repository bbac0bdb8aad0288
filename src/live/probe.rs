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
            // A database that is out, or a pool that is exhausted, says nothing of a table. Others log it.
            let Ok(client) = pool.client().await else {
                break;
            };
            let Err(error) = pg::in_time(probe::table(&client, table)).await else {
                reads.succeeded(&what);
                continue;
            };
            // Its statement may still run.
            drop(client);
            let Some(why) = why(&pool, table, &error).await else {
                break;
            };
            reads.failed(&what, &why);
        }
    }
}

/// Why a table cannot be read: a read that took too long waits for a lock, if somebody holds one. `None` when
/// the table is not the cause.
async fn why(pool: &Pool, table: &str, error: &Error) -> Option<String> {
    let holder = async { probe::holder(&*pool.client().await?, table).await };
    let holder: Result<Option<String>> = pg::in_time(holder).await;
    match (holder, error) {
        (Ok(Some(holder)), _) => Some(holder),
        (_, Error::Unavailable(_) | Error::Refused(_)) => None,
        (_, error) => Some(error.to_string()),
    }
}
