//! The counts of the Data Library, read in one statement so that they agree with each other.

use tokio_postgres::Client;

use crate::error::Result;

/// What the Data Library shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Counts {
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

/// Counts sources and the pipeline runs of the last 30 days.
pub async fn read(client: &Client) -> Result<Counts> {
    let sql = "select s.*, r.* from (
            select count(*) filter (where status in ('active', 'inactive')),
                   count(*) filter (where status = 'active'),
                   count(*) filter (where status = 'inactive'),
                   count(*) filter (where datadelivery_status = 'received'),
                   count(*) filter (where datadelivery_status = 'awaiting'),
                   count(*) filter (where datadelivery_status = 'delayed')
              from sources) s, (
            select count(*) filter (where state in ('requested', 'PENDING')),
                   count(*) filter (where state in ('RUNNING', 'CANCEL_PENDING')),
                   count(*) filter (where state = 'COMPLETED')
              from pipeline_runs
             where created_at > now() - interval '30 days') r";
    let rows = client.query_typed(sql, &[]).await?;
    let row = rows
        .first()
        .expect("aggregates without grouping have one row");
    Ok(Counts {
        created: row.get(0),
        active: row.get(1),
        inactive: row.get(2),
        received: row.get(3),
        awaiting: row.get(4),
        delayed: row.get(5),
        pending: row.get(6),
        in_progress: row.get(7),
        completed: row.get(8),
    })
}
