//! `marketplace emr`: runs on Amazon EMR, from the command line. Whoever has the database may do this;
//! what dashboards show of it they learn from the table, on every node.

use std::{fmt::Write as _, time::Duration};

use uuid::Uuid;

use super::{explained, say};
use crate::{
    config::emr::{Action, Command, DeployMode, What},
    db::{
        runs::{self, LOST, REFUSED, REQUESTED, Run},
        submissions,
    },
    emr::{Emr, Kind, Order, Refusal, Settled},
    error::{Error, Result},
    metrics::Metrics,
    pg::Pool,
};

/// How long a server may take to hand over a run.
const PATIENCE: Duration = Duration::from_mins(1);
/// Why a run waits that nobody has tried to submit.
const NOT_YET: &str =
    "no server has submitted it yet; a server with EMR_CLUSTER_ID and S3_PATH does so";
/// How long region and credentials are looked for.
const LOOKUP: Duration = Duration::from_secs(10);

/// Does what the command line says.
///
/// # Errors
/// [`Error::Config`] when no database is named, [`Error::Start`] with a sentence when what was asked
/// for was not done.
pub async fn run(command: Command) -> Result<()> {
    let url = command.database.url()?;
    let pool = Pool::new(&url.named("marketplace emr"), 4)?;
    let emr = Emr::new(command.emr, &Metrics::default());
    if let Action::Start { .. } = command.action {
        // A server with other settings could take the run, at any later time or never.
        emr.is_configured().map_err(Error::Start)?;
    }
    let act = async {
        match command.action {
            Action::Start {
                what,
                deploy_mode,
                source,
            } => start(&emr, &pool, what, deploy_mode, source).await,
            Action::Runs { state } => list(&pool, state.as_deref()).await,
            Action::Cancel { run } => cancel(&emr, &pool, run).await,
        }
    };
    // With a cluster in the settings, runs are handed over from here as well as by servers.
    tokio::select! {
        done = act => done.map_err(explained),
        () = emr.clone().run(pool.clone()) => Ok(()),
    }
}

async fn start(
    emr: &Emr,
    pool: &Pool,
    what: What,
    deploy_mode: Option<DeployMode>,
    source_id: Option<Uuid>,
) -> Result<()> {
    let (kind, name, usual_mode) = match (what.step, what.job) {
        (Some(step), _) => (Kind::Step, step, DeployMode::Cluster),
        (None, job) => (Kind::Job, job.unwrap_or_default(), DeployMode::Client),
    };
    let order = Order {
        kind,
        name,
        deploy_mode: deploy_mode.unwrap_or(usual_mode),
        source_id,
        requested_by: "the command line".into(),
    };
    let id = emr.request(pool, order).await.map_err(sentence)?;
    let Settled { run, problem } = emr.settled(pool, id, PATIENCE).await?;
    match run {
        Some(Run {
            step_id: Some(step_id),
            ..
        }) => say(&format!("run {id} is step {step_id}")),
        Some(run) if [REFUSED, LOST].contains(&run.state.as_str()) => {
            Err(Error::Start(run.reason.unwrap_or_default()))
        }
        Some(run) => {
            let why = problem.map_or_else(|| NOT_YET.into(), |problem| problem.why);
            Err(Error::Start(format!(
                "run {id} is {}: {why}; it is still waiting, and `marketplace emr cancel {id}` cancels it",
                run.state
            )))
        }
        None => Err(Error::Start(format!("run {id} was deleted"))),
    }
}

async fn list(pool: &Pool, state: Option<&str>) -> Result<()> {
    let client = pool.client().await?;
    let runs = runs::list(&client, None, state).await?;
    let mut table = format!(
        "{:36}  {:14}  {:14}  {:16}  {:20}  REASON\n",
        "RUN", "NAME", "STATE", "STEP", "REQUESTED"
    );
    for run in runs {
        let step = run.step_id.as_deref().unwrap_or("-");
        let reason = match run.reason {
            None if run.state == REQUESTED && run.step_id.is_none() => {
                let problem = submissions::problem(&client, run.id).await?;
                problem.map_or_else(|| NOT_YET.into(), |problem| problem.why)
            }
            reason => reason.unwrap_or_else(|| "-".into()),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "{:36}  {:14}  {:14}  {step:16}  {:20.0}  {reason}",
            run.id, run.step, run.state, *run.created_at,
        );
    }
    say(table.trim_end())
}

async fn cancel(emr: &Emr, pool: &Pool, id: Uuid) -> Result<()> {
    emr.looked_up(LOOKUP).await;
    let run = emr.cancel(pool, id).await.map_err(sentence)?;
    say(&format!("run {id} is {}", run.state))
}

fn sentence(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Failed(error) => error,
        other => Error::Start(other.to_string()),
    }
}
