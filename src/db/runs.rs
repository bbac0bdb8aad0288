//! The table `pipeline_runs`: its row and its statements.

use tokio_postgres::{Client, types::Type};
use uuid::Uuid;

use crate::error::Result;

/// One pipeline run, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the columns are described in the database itself"
)]
pub struct Run {
    pub id: Uuid,
    pub source_id: Option<Uuid>,
    pub step: String,
    pub state: String,
    pub step_id: Option<String>,
    pub reason: Option<String>,
}

/// Those of `ids` that exist, oldest first.
pub async fn by_ids(client: &Client, ids: &[Uuid]) -> Result<Vec<Run>> {
    let sql = "select id, source_id, step, state, step_id, reason from pipeline_runs
                where id = any($1) order by created_at, id";
    let rows = client.query_typed(sql, &[(&ids, Type::UUID_ARRAY)]).await?;
    Ok(rows
        .iter()
        .map(|row| Run {
            id: row.get(0),
            source_id: row.get(1),
            step: row.get(2),
            state: row.get(3),
            step_id: row.get(4),
            reason: row.get(5),
        })
        .collect())
}
