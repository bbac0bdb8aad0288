//! The table `pipeline_runs`: its row, its history and its statements.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    counts::SINCE,
    row::{self, FromRow, row},
    text::storable,
};
use crate::{
    error::{Error, Result},
    local_time::LocalTime,
    pg::Client,
};

/// The state of a run before the cluster knows of it.
pub const REQUESTED: &str = "requested";
/// The state of a run that the cluster never took.
pub const REFUSED: &str = "refused";
/// The state of a run that the cluster no longer knows.
pub const LOST: &str = "lost";
/// The cluster's state of a run that it has been asked to cancel.
pub const CANCEL_PENDING: &str = "CANCEL_PENDING";

/// Longest list; the newest runs are in it.
const MAX_LISTED: i64 = 1000;

row! {
    /// One pipeline run.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
    #[expect(
        missing_docs,
        reason = "the columns are described in the database itself"
    )]
    pub struct Run from "pipeline_runs" {
        pub id: Uuid,
        #[schema(required)]
        pub source_id: Option<Uuid>,
        pub kind: String,
        pub step: String,
        pub deploy_mode: String,
        pub state: String,
        #[schema(required)]
        pub step_id: Option<String>,
        #[schema(required)]
        pub cluster_id: Option<String>,
        /// While the run waits: why it could not be handed over yet.
        #[schema(required)]
        pub reason: Option<String> = "coalesce(reason, (select s.problem from \
            public.pipeline_submissions s where s.run_id = pipeline_runs.id))",
        pub requested_by: String,
        pub created_at: LocalTime,
        pub updated_at: LocalTime,
        /// Whether its state will not change any more.
        #[serde(skip)]
        pub is_final: bool = "public.pipeline_state_is_final(state::text)",
    }
}

row! {
    /// A state that a run was in.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
    #[expect(missing_docs, reason = "each is what its name says")]
    pub struct Past from "pipeline_run_states" {
        #[serde(skip)]
        pub run_id: Uuid,
        pub at: LocalTime,
        pub state: String,
        #[schema(required)]
        pub step_id: Option<String>,
        #[schema(required)]
        pub reason: Option<String>,
    }
}

/// What is asked of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the columns are described in the database itself"
)]
pub struct Request {
    pub source_id: Option<Uuid>,
    pub kind: &'static str,
    pub step: String,
    pub deploy_mode: &'static str,
    pub requested_by: String,
}

row! {
    /// A run that the cluster has, and the step it is there.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[expect(missing_docs, reason = "each is what its name says")]
    pub struct Followed from "pipeline_runs" {
        pub id: Uuid,
        pub cluster_id: Option<String>,
        pub step_id: String,
        pub state: String,
        pub reason: Option<String>,
    }
}

/// What the cluster says of a followed run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Change {
    pub id: Uuid,
    /// The state that it had when the cluster was asked.
    pub from: String,
    pub state: String,
    pub reason: Option<String>,
}

const COLUMNS: &str = Run::COLUMNS;

/// Those of `ids` that exist, oldest first.
pub async fn by_ids(client: &Client, ids: &[Uuid]) -> Result<Vec<Run>> {
    let sql = format!(
        "select {COLUMNS} from public.pipeline_runs where id = any($1) order by created_at, id"
    );
    let rows = client
        .query_typed(&sql, &[(&ids, Type::UUID_ARRAY)])
        .await?;
    row::all(&rows)
}

/// One run.
pub async fn find(client: &Client, id: Uuid) -> Result<Option<Run>> {
    let sql = format!("select {COLUMNS} from public.pipeline_runs where id = $1");
    row::first(&client.query_typed(&sql, &[(&id, Type::UUID)]).await?)
}

/// The newest runs, those of one source or in one state if asked so, newest first.
pub async fn list(client: &Client, source: Option<Uuid>, state: Option<&str>) -> Result<Vec<Run>> {
    let sql = format!(
        "select {COLUMNS} from public.pipeline_runs
          where ($1::uuid is null or source_id = $1) and ($2::text is null or state = $2)
          order by created_at desc, id limit $3"
    );
    let values: [(&(dyn ToSql + Sync), Type); 3] = [
        (&source, Type::UUID),
        (&state, Type::TEXT),
        (&MAX_LISTED, Type::INT8),
    ];
    let rows = client.query_typed(&sql, &values).await?;
    row::all(&rows)
}

row! {
    /// The runs that are in one state.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Total from "pipeline_runs" {
        /// See `pipeline_runs.state`.
        pub state: String,
        /// How many there are.
        pub count: i64 = "count(*)",
        /// For how many seconds the one that has been in it longest has been so.
        pub unchanged: f64 = "coalesce(extract(epoch from clock_timestamp()
            - min(updated_at) filter (where isfinite(updated_at)))::float8, 0)",
        /// Whether they stay in it.
        pub is_final: bool = "public.pipeline_state_is_final(state::text)",
    }
}

/// The runs asked for within 30 days, by state.
pub async fn totals(client: &Client) -> Result<Vec<Total>> {
    let sql = format!(
        "select {} from public.pipeline_runs where created_at >= {SINCE} group by state",
        Total::COLUMNS
    );
    row::all(&client.query_typed(&sql, &[]).await?)
}

/// What a run went through, oldest first.
pub async fn history(client: &Client, id: Uuid) -> Result<Vec<Past>> {
    let sql = format!(
        "select {} from public.pipeline_run_states where run_id = $1 order by at",
        Past::COLUMNS
    );
    row::all(&client.query_typed(&sql, &[(&id, Type::UUID)]).await?)
}

/// Asks for a run under a fresh `id`; a server hands it to the cluster. The change is kept as that of
/// who asked.
pub async fn insert(client: &Client, id: Uuid, request: &Request) -> Result<()> {
    let sql =
        "insert into public.pipeline_runs (id, source_id, kind, step, deploy_mode, requested_by)
               values ($1, $2, $3, $4, $5, $6)
               returning set_config('marketplace.user', $6, true)";
    let values: [(&(dyn ToSql + Sync), Type); 6] = [
        (&id, Type::UUID),
        (&request.source_id, Type::UUID),
        (&request.kind, Type::TEXT),
        (&request.step, Type::TEXT),
        (&request.deploy_mode, Type::TEXT),
        (&request.requested_by, Type::TEXT),
    ];
    match client.execute_typed(sql, &values).await? {
        0 => Err(Error::Suppressed(Run::TABLE)),
        _ => Ok(()),
    }
}

/// Cancels a run of which the cluster cannot know yet; false when it may.
pub async fn cancel_waiting(client: &Client, id: Uuid) -> Result<bool> {
    let sql = "select public.cancel_waiting_run($1) as cancelled";
    let rows = client.query_typed(sql, &[(&id, Type::UUID)]).await?;
    Ok(row::value(&rows, "cancelled")?.unwrap_or_default())
}

/// Whether `node` is the one that follows the runs, for so long from now on.
pub async fn take_turn(client: &Client, node: Uuid, lease: Duration) -> Result<bool> {
    let sql = "insert into public.pipeline_followers as f (node, until)
        values ($1, clock_timestamp() + $2 * interval '1 second')
        on conflict (only_one) do update set node = excluded.node, until = excluded.until
         where f.node = excluded.node or f.until < clock_timestamp()
            -- No server takes so long a turn: somebody has written there.
            or f.until > clock_timestamp() + 10 * $2 * interval '1 second'";
    let values: [(&(dyn ToSql + Sync), Type); 2] =
        [(&node, Type::UUID), (&lease.as_secs_f64(), Type::FLOAT8)];
    Ok(client.execute_typed(sql, &values).await? == 1)
}

/// The runs that the cluster has and that are not over, oldest first.
pub async fn followed(client: &Client) -> Result<Vec<Followed>> {
    let sql = format!(
        "select {} from public.pipeline_runs
          where step_id is not null and not public.pipeline_state_is_final(state::text) order by created_at",
        Followed::COLUMNS
    );
    row::all(&client.query_typed(&sql, &[]).await?)
}

/// Stores what the cluster says, in one statement; what somebody has changed by hand in the
/// meantime stays.
pub async fn change(client: &Client, changes: &[Change]) -> Result<u64> {
    let sql = "update public.pipeline_runs r set state = left(c.state, 50), reason = left(c.reason, 10000)
          from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) c (id, was, state, reason)
         where r.id = c.id and r.state = c.was";
    let ids: Vec<_> = changes.iter().map(|change| change.id).collect();
    let from: Vec<_> = changes.iter().map(|change| change.from.as_str()).collect();
    let states: Vec<_> = changes
        .iter()
        .map(|change| storable(&change.state))
        .collect();
    let reasons: Vec<_> = changes
        .iter()
        .map(|change| change.reason.as_deref().map(storable))
        .collect();
    let values: [(&(dyn ToSql + Sync), Type); 4] = [
        (&ids, Type::UUID_ARRAY),
        (&from, Type::TEXT_ARRAY),
        (&states, Type::TEXT_ARRAY),
        (&reasons, Type::TEXT_ARRAY),
    ];
    client.execute_typed(sql, &values).await
}
