//! The counts of the Data Library, read in one statement so that they agree with each other.

use std::time::Duration;

use jiff::Timestamp;

use super::row::{self, FromRow, row};
use crate::{
    error::{Error, Result},
    pg::Client,
};

/// The start of the past 30 days, in SQL. Hours, because a day of a session's calendar may have 23 or
/// 25 of them.
pub(super) const SINCE: &str = "now() - interval '720 hours'";

row! {
    /// What the Data Library shows.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[expect(missing_docs, reason = "each is what its name says")]
    pub struct Counts from "sources and pipeline_runs" {
        /// Sources created in the past 30 days, active and inactive together. Those with another
        /// status are counted in the deliveries only.
        pub created: i64,
        pub active: i64,
        pub inactive: i64,
        pub received: i64,
        pub awaiting: i64,
        pub delayed: i64,
        /// Runs of the past 30 days that wait: asked for, or accepted by the cluster.
        pub pending: i64,
        /// Runs of the past 30 days that run or are being cancelled.
        pub in_progress: i64,
        /// Runs of the past 30 days that succeeded.
        pub completed: i64,
    }
}

/// Counts, and when they were right, by the database's clock.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// The counts.
    pub counts: Counts,
    /// When they were read.
    pub at: Timestamp,
    /// When the next row becomes older than 30 days; until then only a write changes the counts.
    pub until: Option<Timestamp>,
}

/// Counts sources and pipeline runs.
pub async fn read(client: &Client) -> Result<Counted> {
    // The difference, and not the sum, of `oldest` and 30 days: the sum may be too far in the future
    // for this program.
    let sql = format!(
        "select {}, now() as at,
                extract(epoch from least(s.oldest_source, r.oldest_run) - ({SINCE}))::float8 as holds_for
           from (
            select count(*) filter (where is_new and status in ('active', 'inactive')) as created,
                   count(*) filter (where is_new and status = 'active') as active,
                   count(*) filter (where is_new and status = 'inactive') as inactive,
                   count(*) filter (where datadelivery_status = 'received') as received,
                   count(*) filter (where datadelivery_status = 'awaiting') as awaiting,
                   count(*) filter (where datadelivery_status = 'delayed') as delayed,
                   min(created_at) filter (where is_new and status in ('active', 'inactive'))
                       as oldest_source
              from public.sources cross join lateral (select created_at >= {SINCE} as is_new) age) s, (
            select count(*) filter (where state in ('requested', 'PENDING')) as pending,
                   count(*) filter (where state in ('RUNNING', 'CANCEL_PENDING')) as in_progress,
                   count(*) filter (where state = 'COMPLETED') as completed,
                   min(created_at) as oldest_run
              from public.pipeline_runs
             where created_at >= {SINCE}) r",
        Counts::COLUMNS
    );
    let rows = client.query_typed(&sql, &[]).await?;
    let counts = row::only(&rows)?;
    let at: Timestamp = row::value(&rows, "at")?
        .ok_or_else(|| Error::Unreadable("the database's clock: no row was returned".into()))?;
    let holds_for: Option<f64> = row::value(&rows, "holds_for")?.flatten();
    let until = holds_for
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|holds_for| at.checked_add(holds_for).ok());
    Ok(Counted { counts, at, until })
}
