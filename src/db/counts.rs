//! The counts of the Data Library, read in one statement so that they agree with each other.

use tokio_postgres::Client;

use super::row::{self, FromRow, row};
use crate::error::Result;

row! {
    /// What the Data Library shows.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[expect(missing_docs, reason = "each is what its name says")]
    pub struct Counts from "sources and pipeline_runs" {
        /// Active and inactive together; other states are counted nowhere but in the deliveries.
        pub created: i64,
        pub active: i64,
        pub inactive: i64,
        pub received: i64,
        pub awaiting: i64,
        pub delayed: i64,
        /// Runs of the last 30 days that wait: asked for, or accepted by the cluster.
        pub pending: i64,
        /// Runs of the last 30 days that run or are being cancelled.
        pub in_progress: i64,
        /// Runs of the last 30 days that succeeded.
        pub completed: i64,
    }
}

/// Counts sources and the pipeline runs of the last 30 days.
pub async fn read(client: &Client) -> Result<Counts> {
    let sql = format!(
        "select {} from (
            select count(*) filter (where status in ('active', 'inactive')) as created,
                   count(*) filter (where status = 'active') as active,
                   count(*) filter (where status = 'inactive') as inactive,
                   count(*) filter (where datadelivery_status = 'received') as received,
                   count(*) filter (where datadelivery_status = 'awaiting') as awaiting,
                   count(*) filter (where datadelivery_status = 'delayed') as delayed
              from sources) s, (
            select count(*) filter (where state in ('requested', 'PENDING')) as pending,
                   count(*) filter (where state in ('RUNNING', 'CANCEL_PENDING')) as in_progress,
                   count(*) filter (where state = 'COMPLETED') as completed
              from pipeline_runs
             where created_at > now() - interval '30 days') r",
        Counts::COLUMNS
    );
    row::only(&client.query_typed(&sql, &[]).await?)
}
