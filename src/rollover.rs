//! The day's turn and the housekeeping that goes with it. Every node asks; the database lets exactly
//! one do it, also the day's first one to start when none was up at midnight. Users who came by an import
//! or by SQL are given the keys here by which new names are compared with theirs.

use std::time::Duration;

use jiff::{Zoned, tz::TimeZone};
use tokio::time;

use crate::{
    db::{changes, days, sessions, users},
    error::Result,
    outage::Outage,
    pg::Pool,
};

/// The turn is asked for at local midnight, and so often besides: clocks differ, and a database
/// may have been away at midnight.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// How often expired sessions and old changes go, and states are mended that a transaction over midnight left.
const HOUSEKEEPING_EVERY: Duration = Duration::from_mins(10);
/// The pause before asking again after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Turns days for ever.
pub async fn run(pool: Pool, zone: TimeZone) {
    let mut kept_house: Option<time::Instant> = None;
    let (mut day, mut housekeeping) = (Outage::beside_the_pool(), Outage::beside_the_pool());
    let mut keys = Outage::beside_the_pool();
    loop {
        let turned = turn(&pool).await;
        match &turned {
            Ok(()) => {
                if let Some(after) = day.over() {
                    tracing::info!(after, "the daily update of delivery statuses works again");
                }
            }
            Err(error) => {
                if !pool.is_out()
                    && let Some(lasting) = day.failed()
                {
                    tracing::warn!(%error, lasting, "the daily update of delivery statuses failed; trying again");
                }
            }
        }
        match add_keys(&pool).await {
            Ok(()) => {
                if let Some(after) = keys.over() {
                    tracing::info!(after, "names are prepared for comparison again");
                }
            }
            Err(error) => {
                if !pool.is_out()
                    && let Some(lasting) = keys.failed()
                {
                    tracing::warn!(%error, lasting, "names cannot be prepared for comparison; trying again");
                }
            }
        }
        let mut is_well = turned.is_ok();
        if is_well && kept_house.is_none_or(|at| at.elapsed() >= HOUSEKEEPING_EVERY) {
            match keep_house(&pool).await {
                Ok(()) => {
                    kept_house = Some(time::Instant::now());
                    if let Some(after) = housekeeping.over() {
                        tracing::info!(after, "deleting old rows works again");
                    }
                }
                Err(error) => {
                    is_well = false;
                    if !pool.is_out()
                        && let Some(lasting) = housekeeping.failed()
                    {
                        tracing::warn!(%error, lasting, "cannot delete old rows; trying again");
                    }
                }
            }
        }
        let pause = if is_well {
            ASK_EVERY.min(until_midnight(&zone))
        } else {
            RETRY_AFTER
        };
        time::sleep(pause).await;
    }
}

async fn turn(pool: &Pool) -> Result<()> {
    let client = pool.client().await?;
    if days::turn(&client).await? {
        tracing::info!("daily delivery statuses updated");
    }
    Ok(())
}

async fn add_keys(pool: &Pool) -> Result<()> {
    let client = pool.client().await?;
    while users::add_keys(&client).await? > 0 {}
    Ok(())
}

async fn keep_house(pool: &Pool) -> Result<()> {
    let client = pool.client().await?;
    days::rederive(&client).await?;
    sessions::delete_expired(&client).await?;
    changes::prune(&client).await
}

/// Time to just after the next local midnight; a minute when the calendar has no next day.
fn until_midnight(zone: &TimeZone) -> Duration {
    let now = Zoned::now().with_time_zone(zone.clone());
    now.tomorrow()
        .and_then(|tomorrow| tomorrow.start_of_day())
        .ok()
        .and_then(|midnight| Duration::try_from(now.duration_until(&midnight)).ok())
        .map_or(Duration::from_mins(1), |left| {
            left + Duration::from_millis(20)
        })
}
