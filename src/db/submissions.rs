//! The table `pipeline_submissions`: runs that a server is handing to the cluster. Its statements
//! are what keeps a step from being lost or sent twice; AWS is never seen here.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{
    row::{self, row},
    runs::{LOST, REFUSED},
    text::storable,
};
use crate::{
    error::{Error, Result},
    pg::Client,
};

row! {
    /// A run that this server has claimed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Submission from "pipeline_submissions" {
        /// Names the run.
        pub run_id: Uuid,
        /// `step` or `job`.
        pub kind: String,
        /// The step's or the job's name, unchecked: a DBA may have written it.
        pub step: String,
        /// `cluster` or `client`.
        pub deploy_mode: String,
        /// Whether it was asked for, last changed, and last kept waiting by a full cluster too long ago
        /// to be still wanted.
        pub is_stale: bool,
        /// How often it was claimed, this time included.
        pub attempts: i32,
        /// Why the attempt before came to nothing.
        pub problem: Option<String>,
        /// When the run was last sent, if it may be at the cluster.
        pub sent_at: Option<Timestamp>,
        /// The cluster that it was sent to.
        pub cluster_id: Option<String>,
        /// The command that was sent.
        pub command: Option<String>,
    }
}

impl Submission {
    /// What was sent before, without an answer.
    pub fn sent(&self) -> Option<Sent<'_>> {
        Some(Sent {
            at: self.sent_at?,
            cluster_id: self.cluster_id.as_deref()?,
            command: self.command.as_deref()?,
        })
    }
}

/// Why a run has not been handed over yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What has to happen first.
    pub waits_for: WaitsFor,
    /// What EMR or the connection said, for people.
    pub why: String,
}

/// What a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// EMR has to say whether it has the run.
    Answer,
    /// EMR takes no more requests for now.
    Rate,
    /// The cluster takes no more steps for now. Runs do not grow stale meanwhile.
    Room,
    /// There has to be a connection to EMR with credentials that it accepts.
    Access,
}

impl WaitsFor {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Answer, Self::Rate, Self::Room, Self::Access];

    /// The word in the table.
    fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Rate => "rate",
            Self::Room => "room",
            Self::Access => "access",
        }
    }
}

/// A request that the cluster may have accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent<'a> {
    /// Where it was sent.
    pub cluster_id: &'a str,
    /// What was to be run.
    pub command: &'a str,
    /// When it was first sent, by the database's clock.
    pub at: Timestamp,
}

/// Claims up to `limit` runs for `node`, for so long: of each command the one in doubt, or else the
/// one that waits longest, unless another server has it. The one in doubt need not be the oldest,
/// for an older one may have been committed later; nor may it wait for that one, which waits for it.
pub async fn claim(
    client: &Client,
    node: Uuid,
    lease: Duration,
    stale_after: Duration,
    limit: i64,
) -> Result<Vec<Submission>> {
    let sql = "with waiting as (
            select r.id from public.pipeline_runs r
             where r.state = 'requested' and r.step_id is null
               and (exists (
                       select from public.pipeline_submissions s
                        where s.run_id = r.id and s.sent_at is not null)
                    or not exists (
                       select from public.pipeline_runs other
                         left join public.pipeline_submissions s on s.run_id = other.id
                        where other.state = 'requested' and other.step_id is null
                          and (other.kind, other.step, other.deploy_mode)
                              = (r.kind, r.step, r.deploy_mode)
                          and (s.sent_at is not null
                               or (other.created_at, other.id) < (r.created_at, r.id))))
               and not exists (
                   select from public.pipeline_submissions s
                    where s.run_id = r.id and s.claimed_until > statement_timestamp())
             order by r.created_at, r.id limit $4
               for update of r skip locked
        ), claimed as (
            insert into public.pipeline_submissions as s (run_id, node, claimed_until, attempts)
            select id, $1, clock_timestamp() + $2 * interval '1 second', 1 from waiting
                on conflict (run_id) do update
               set node = excluded.node, claimed_until = excluded.claimed_until,
                   attempts = least(s.attempts, 999999) + 1
             where s.claimed_until <= statement_timestamp()
            returning s.run_id, s.attempts, s.cluster_id, s.command, s.sent_at, s.full_at, s.problem
        )
        select r.id as run_id, r.kind, r.step, r.deploy_mode,
               greatest(r.updated_at, c.full_at) < clock_timestamp() - $3 * interval '1 second'
                   as is_stale,
               c.attempts, c.problem, c.sent_at, c.cluster_id, c.command
          from claimed c join public.pipeline_runs r on r.id = c.run_id";
    let rows = client
        .query_typed(
            sql,
            &[
                (&node, Type::UUID),
                (&lease.as_secs_f64(), Type::FLOAT8),
                (&stale_after.as_secs_f64(), Type::FLOAT8),
                (&limit, Type::INT8),
            ],
        )
        .await?;
    row::all(&rows)
}

/// Notes that the run is being sent from now on, and claims it for so long again. False when it is
/// not to be sent: it was cancelled, it is another server's, or a run of the same command is in
/// doubt.
pub async fn send(
    client: &Client,
    run_id: Uuid,
    node: Uuid,
    lease: Duration,
    cluster_id: &str,
    command: &str,
) -> Result<bool> {
    let sql = "with run as (
            select id from public.pipeline_runs
             where id = $1 and state = 'requested' and step_id is null for update)
        update public.pipeline_submissions s
           set claimed_until = clock_timestamp() + $3 * interval '1 second', cluster_id = $4,
               command = $5, sent_at = coalesce(sent_at, clock_timestamp())
          from run
         where s.run_id = run.id and s.node = $2 and s.claimed_until > clock_timestamp()";
    let sent = client
        .execute_typed(
            sql,
            &[
                (&run_id, Type::UUID),
                (&node, Type::UUID),
                (&lease.as_secs_f64(), Type::FLOAT8),
                (&cluster_id, Type::TEXT),
                (&command, Type::TEXT),
            ],
        )
        .await;
    match sent {
        Ok(rows) => Ok(rows == 1),
        Err(Error::Constraint(name)) if name == "pipeline_submissions_one_in_doubt" => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lets the run wait before its next attempt, and says why; `in_doubt` while the cluster may have
/// accepted it.
pub async fn postpone(
    client: &Client,
    run_id: Uuid,
    node: Uuid,
    pause: Duration,
    in_doubt: bool,
    problem: &Problem,
) -> Result<()> {
    let sql = "update public.pipeline_submissions
           set claimed_until = clock_timestamp() + $3 * interval '1 second',
               sent_at = case when $4 then sent_at end, waits_for = $5,
               problem = left($6, 10000)
         where run_id = $1 and node = $2";
    let why = storable(&problem.why);
    client
        .execute_typed(
            sql,
            &[
                (&run_id, Type::UUID),
                (&node, Type::UUID),
                (&pause.as_secs_f64(), Type::FLOAT8),
                (&in_doubt, Type::BOOL),
                (&problem.waits_for.name(), Type::TEXT),
                (&why, Type::TEXT),
            ],
        )
        .await?;
    if problem.waits_for == WaitsFor::Room {
        note_full(client, run_id, node, &why).await?;
    }
    Ok(())
}

/// Notes that the cluster has no room now for this run, which `node` has claimed, nor for those of the same
/// command that wait behind it: they have a row of their own from here on.
async fn note_full(client: &Client, run_id: Uuid, node: Uuid, why: &str) -> Result<()> {
    let sql = "insert into public.pipeline_submissions as s
                   (run_id, node, claimed_until, waits_for, problem, full_at)
        select behind.id, $2, clock_timestamp(), 'room', left($3, 10000), clock_timestamp()
          from public.pipeline_runs r
          join public.pipeline_runs behind
            on (behind.kind, behind.step, behind.deploy_mode) = (r.kind, r.step, r.deploy_mode)
         where r.id = $1 and behind.state = 'requested' and behind.step_id is null
         order by behind.id
            on conflict (run_id) do update set full_at = excluded.full_at
         where s.run_id <> $1 or s.node = $2";
    let values: [(&(dyn ToSql + Sync), Type); 3] = [
        (&run_id, Type::UUID),
        (&node, Type::UUID),
        (&why, Type::TEXT),
    ];
    client.execute_typed(sql, &values).await?;
    Ok(())
}

/// Why the last attempt to hand over a run came to nothing; `None` before it has, and once the run
/// was handed over or refused.
pub async fn problem(client: &Client, run_id: Uuid) -> Result<Option<Problem>> {
    let sql = "select waits_for, problem from public.pipeline_submissions where run_id = $1";
    let rows = client.query_typed(sql, &[(&run_id, Type::UUID)]).await?;
    let waits_for: Option<&str> = row::value(&rows, "waits_for")?.flatten();
    let waits_for = WaitsFor::ALL
        .into_iter()
        .find(|it| Some(it.name()) == waits_for);
    let why: Option<String> = row::value(&rows, "problem")?.flatten();
    Ok(waits_for
        .zip(why)
        .map(|(waits_for, why)| Problem { waits_for, why }))
}

/// The cluster has accepted the run as this step. False when the run is gone.
pub async fn accepted(
    client: &Client,
    run_id: Uuid,
    cluster_id: &str,
    step_id: &str,
) -> Result<bool> {
    let sql = "with done as (delete from public.pipeline_submissions where run_id = $1)
        update public.pipeline_runs set state = 'PENDING', step_id = $3, cluster_id = $2
         where id = $1 and step_id is null";
    let rows = client
        .execute_typed(
            sql,
            &[
                (&run_id, Type::UUID),
                (&cluster_id, Type::TEXT),
                (&step_id, Type::TEXT),
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// The cluster may have run it, and nobody can find out any more.
pub async fn lost(client: &Client, run_id: Uuid, reason: &str) -> Result<()> {
    give_up(client, run_id, LOST, reason).await
}

/// The run will not be handed over.
pub async fn refused(client: &Client, run_id: Uuid, reason: &str) -> Result<()> {
    give_up(client, run_id, REFUSED, reason).await
}

async fn give_up(client: &Client, run_id: Uuid, state: &str, reason: &str) -> Result<()> {
    let sql = "with done as (delete from public.pipeline_submissions where run_id = $1)
        update public.pipeline_runs set state = $2, reason = left($3, 10000)
         where id = $1 and state = 'requested' and step_id is null";
    let reason = storable(reason);
    let values: [(&(dyn ToSql + Sync), Type); 3] = [
        (&run_id, Type::UUID),
        (&state, Type::TEXT),
        (&reason, Type::TEXT),
    ];
    client.execute_typed(sql, &values).await?;
    Ok(())
}

/// Forgets submissions whose run was deleted or given another state by hand.
pub async fn sweep(client: &Client) -> Result<()> {
    let sql = "delete from public.pipeline_submissions s
         where s.claimed_until < statement_timestamp() and not exists (
               select from public.pipeline_runs r
                where r.id = s.run_id and r.state = 'requested' and r.step_id is null)";
    client.execute_typed(sql, &[]).await?;
    Ok(())
}

/// Those of `step_ids` that belong to a run, or did before it was deleted.
pub async fn known_steps(client: &Client, step_ids: &[String]) -> Result<Vec<String>> {
    let sql = "select distinct step_id from public.pipeline_run_states where step_id = any($1)";
    let rows = client
        .query_typed(sql, &[(&step_ids, Type::TEXT_ARRAY)])
        .await?;
    row::values(&rows, "pipeline_run_states", "step_id")
}
