//! `marketplace emr`: runs on Amazon EMR, from the command line. Whoever has the database may do this;
//! what dashboards show of it they learn from the table, on every node.

use std::{fmt::Write as _, time::Duration};

use uuid::Uuid;

use super::say;
use crate::{
    config::emr::{Action, Command, DeployMode},
    db::{
        Pool,
        runs::{self, REFUSED, Run},
    },
    emr::{Emr, Kind, Order, Refusal},
    error::{Error, Result},
    metrics::Metrics,
};

/// How long a server may take to hand over a run.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long region and credentials are looked for.
const LOOKUP: Duration = Duration::from_secs(10);

/// Does what the command line says.
///
/// # Errors
/// [`Error::Config`] when no database is named, [`Error::Start`] with a sentence when what was asked
/// for was not done.
pub async fn run(command: Command) -> Result<()> {
    let url = command.database.url()?.clone();
    let pool = Pool::new(&url.named("marketplace emr"), 4)?;
    let emr = Emr::new(command.emr, &Metrics::default());
    let act = async {
        match command.action {
            Action::Start { job, deploy_mode } => start(&emr, &pool, job, deploy_mode).await,
            Action::Runs { state } => list(&pool, state.as_deref()).await,
            Action::Cancel { run } => cancel(&emr, &pool, run).await,
        }
    };
    // With a cluster in the settings, runs are handed over from here as well as by servers.
    tokio::select! {
        done = act => done,
        () = emr.clone().run(pool.clone()) => Ok(()),
    }
}

async fn start(emr: &Emr, pool: &Pool, job: String, deploy_mode: DeployMode) -> Result<()> {
    let order = Order {
        kind: Kind::Job,
        name: job,
        deploy_mode,
        source_id: None,
        requested_by: "the command line".into(),
    };
    let id = emr.request(pool, order).await.map_err(sentence)?;
    match emr.settled(pool, id, PATIENCE).await? {
        Some(Run {
            step_id: Some(step_id),
            ..
        }) => say(&format!("run {id} is step {step_id}")),
        Some(run) if run.state == REFUSED => Err(Error::Start(run.reason.unwrap_or_default())),
        Some(run) => Err(Error::Start(format!(
            "run {id} is {}; no server has handed it to EMR yet",
            run.state
        ))),
        None => Err(Error::Start(format!("run {id} was deleted"))),
    }
}

async fn list(pool: &Pool, state: Option<&str>) -> Result<()> {
    let runs = runs::list(&*pool.client().await?, None, state).await?;
    let mut table = format!(
        "{:36}  {:14}  {:14}  {:16}  {:20}  REASON\n",
        "RUN", "NAME", "STATE", "STEP", "REQUESTED"
    );
    for run in runs {
        let step = run.step_id.as_deref().unwrap_or("-");
        let reason = run.reason.as_deref().unwrap_or("-");
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "{:36}  {:14}  {:14}  {step:16}  {:20.0}  {reason}",
            run.id, run.step, run.state, run.created_at,
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
