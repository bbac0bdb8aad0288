//! Pipeline runs on Amazon EMR. A run is a row of `pipeline_runs`: asked for there, handed to the
//! cluster by whichever server claims it, and followed by one server at a time. Who watches hears of
//! it from the table, by the arrow, never from here; nobody who asks for anything else waits for AWS.

mod aws;
mod client;
mod command;
mod submitter;
mod tracker;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time,
};
use uuid::Uuid;

use self::{
    client::{Calls, Client, Failure},
    submitter::Submitter,
    tracker::Tracker,
};
use crate::{
    config::{
        self,
        emr::{DeployMode, JobPattern},
    },
    db::{
        runs::{self, CANCEL_PENDING, LOST, REFUSED, REQUESTED, Request, Run},
        sources,
        submissions::{self, Problem, WaitsFor},
    },
    error::{Error, Result},
    metrics::Metrics,
    outage::Outage,
    pg::{self, Pool},
};

/// How long somebody who asked for a run waits for the cluster to take it; the run waits on.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the row is looked at while waiting, in case another server hands it over.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long somebody who cancels waits for the cluster.
const CANCEL_PATIENCE: Duration = Duration::from_secs(15);
/// Between attempts to find a region and credentials.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The pipeline of this server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Emr(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: config::Emr,
    /// How the calls of the cluster go.
    calls: Calls,
    /// The way to the cluster, or what is missing for it.
    ready: watch::Sender<Result<Client, String>>,
    /// Names this process in claims.
    node: Uuid,
    /// Rung when a run was asked for here.
    bell: Notify,
    /// Who waits for which run.
    waiting: Mutex<HashMap<Uuid, Arc<Notify>>>,
}

/// What somebody wants to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The scripts of a pipeline step, or a packaged job.
    pub kind: Kind,
    /// The name of either.
    pub name: String,
    /// Where Spark's driver is to run.
    pub deploy_mode: DeployMode,
    /// For which source, if for one.
    pub source_id: Option<Uuid>,
    /// Who asks.
    pub requested_by: String,
}

/// What can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The scripts of a pipeline step.
    Step,
    /// A packaged job.
    Job,
}

/// Why something was not done.
#[derive(Debug)]
pub enum Refusal {
    /// It is not asked for in a way that can be followed; says how.
    Invalid(String),
    /// There is no such run or source.
    NotFound(&'static str),
    /// The run is in a state in which this cannot be done.
    Conflict(String),
    /// What is missing in the settings.
    NotConfigured(String),
    /// The cluster has said no, or has not answered. The run, when there is one.
    Cluster {
        /// What it said, for people.
        why: String,
        /// The run that was made all the same.
        run_id: Option<Uuid>,
    },
    /// The database did not do its part.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why)
            | Self::Conflict(why)
            | Self::NotConfigured(why)
            | Self::Cluster { why, .. } => f.write_str(why),
            Self::NotFound(what) => write!(f, "{what} not found"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Emr {
    /// With these settings. Nothing is asked of AWS before [`run`](Self::run).
    pub fn new(settings: config::Emr, metrics: &Metrics) -> Self {
        let first = match missing(&settings) {
            Some(missing) => missing,
            None => "EMR is not ready: the AWS region and credentials are being looked up".into(),
        };
        Self(Arc::new(Shared {
            settings,
            calls: Calls::new(metrics),
            ready: watch::Sender::new(Err(first)),
            node: Uuid::new_v4(),
            bell: Notify::new(),
            waiting: Mutex::default(),
        }))
    }

    /// The names of the pipeline's steps, in their order.
    pub fn steps(&self) -> Vec<&str> {
        self.0.settings.steps().collect()
    }

    /// The names, or patterns of names, of the packaged jobs that may be started.
    pub fn jobs(&self) -> impl Iterator<Item = &JobPattern> {
        self.0.settings.jobs()
    }

    /// What keeps runs from being handed to the cluster by this server's settings, in one sentence.
    ///
    /// # Errors
    /// The sentence.
    pub fn check(&self) -> Result<(), String> {
        self.client().map(|_| ())
    }

    /// Whether the settings name a cluster and a place for its scripts.
    ///
    /// # Errors
    /// One sentence with what is missing.
    pub fn is_configured(&self) -> Result<(), String> {
        missing(&self.0.settings).map_or(Ok(()), Err)
    }

    /// Waits until it is known whether there is a way to the cluster, but not longer than so.
    pub async fn looked_up(&self, patience: Duration) {
        if missing(&self.0.settings).is_none() {
            let mut ready = self.0.ready.subscribe();
            // In time or not, the state says where things are.
            let _ = time::timeout(patience, ready.changed()).await;
        }
    }

    /// Finds the way to the cluster, then hands over and follows runs for ever. Without a cluster
    /// in the settings it does nothing.
    pub async fn run(self, pool: Pool) {
        if missing(&self.0.settings).is_some() {
            return std::future::pending().await;
        }
        self.find_way().await;
        let submitter = Submitter::new(self.clone(), pool.clone());
        let tracker = Tracker::new(self, pool);
        // These futures are large.
        tokio::join!(Box::pin(submitter.run()), Box::pin(tracker.run()));
    }

    /// Asks for a run and waits until the cluster has taken it, or cannot be reached.
    ///
    /// # Errors
    /// [`Refusal`]; with [`Refusal::Cluster`] there is a run that says more.
    pub async fn start(&self, pool: &Pool, order: Order) -> Result<Run, Refusal> {
        self.client().map_err(Refusal::NotConfigured)?;
        let id = self.request(pool, order).await?;
        let Settled { run, problem } = self.settled(pool, id, PATIENCE).await?;
        match run {
            Some(run) if run.step_id.is_some() => Ok(run),
            Some(run) if [REFUSED, LOST].contains(&run.state.as_str()) => Err(Refusal::Cluster {
                why: run.reason.unwrap_or_default(),
                run_id: Some(id),
            }),
            Some(run) if run.state == REQUESTED => Err(Refusal::Cluster {
                why: not_yet(problem),
                run_id: Some(id),
            }),
            Some(run) => Err(Refusal::Conflict(format!("the run is {}", run.state))),
            None => Err(Refusal::NotFound("Run")),
        }
    }

    /// Checks an order and makes a run of it, which some server hands over.
    ///
    /// # Errors
    /// [`Refusal`] for a name that the settings do not allow, and for a source that does not exist.
    pub async fn request(&self, pool: &Pool, order: Order) -> Result<Uuid, Refusal> {
        command::check(&self.0.settings, order.kind, &order.name).map_err(Refusal::Invalid)?;
        let id = Uuid::new_v4();
        let request = Request {
            source_id: order.source_id,
            kind: command::kind(order.kind),
            step: order.name,
            deploy_mode: order.deploy_mode.name(),
            requested_by: order.requested_by.chars().take(255).collect(),
        };
        let inserted = pg::in_time(async {
            let client = pool.client().await?;
            if let Some(source) = request.source_id
                && sources::find(&client, source).await?.is_none()
            {
                return Ok(false);
            }
            runs::insert(&client, id, &request).await?;
            Ok(true)
        });
        if !inserted.await? {
            return Err(Refusal::NotFound("Source"));
        }
        tracing::info!(run = %id, step = request.step, by = request.requested_by, "run requested");
        Ok(id)
    }

    /// Waits until a run is no longer merely requested, or until EMR cannot be reached, but not
    /// longer than `patience`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settled(&self, pool: &Pool, id: Uuid, patience: Duration) -> Result<Settled> {
        let told = Arc::new(Notify::new());
        self.waiting().insert(id, told.clone());
        let _leave = Leave(self, id);
        self.0.bell.notify_one();
        let deadline = time::Instant::now() + patience;
        loop {
            let settled = pg::in_time(look(pool, id)).await?;
            let no_access = settled
                .problem
                .as_ref()
                .is_some_and(|problem| problem.waits_for == WaitsFor::Access);
            if !settled.is_waiting() || no_access || time::Instant::now() >= deadline {
                return Ok(settled);
            }
            // Whether told or not, the row says what has become of it.
            let _ = time::timeout(LOOK_EVERY, told.notified()).await;
        }
    }

    /// Cancels a run: at once when the cluster does not know of it, else the cluster is asked to. One
    /// that is being cancelled already is left to it.
    ///
    /// # Errors
    /// [`Refusal`]; [`Refusal::Conflict`] when the run is over.
    pub async fn cancel(&self, pool: &Pool, id: Uuid) -> Result<Run, Refusal> {
        let run = find(pool, id).await?;
        if run.state == REQUESTED && run.step_id.is_none() {
            let cancel = async { runs::cancel_waiting(&*pool.client().await?, id).await };
            if pg::in_time(cancel).await? {
                self.tell(id);
                return find(pool, id).await;
            }
        }
        let run = find(pool, id).await?;
        if run.is_final {
            return Err(is_over(&run));
        }
        let Some(step_id) = &run.step_id else {
            let why = "the run is being handed to EMR; try again in a moment";
            return Err(Refusal::Conflict(why.into()));
        };
        if run.state == CANCEL_PENDING {
            return Ok(run);
        }
        let client = self.client().map_err(Refusal::NotConfigured)?;
        let cluster = run.cluster_id.as_deref();
        let asked = Box::pin(ask_to_cancel(&client, cluster, step_id));
        let Ok(asked) = time::timeout(CANCEL_PATIENCE, asked).await else {
            let why = "EMR has not answered; the run may not be cancelled".into();
            let run_id = Some(id);
            return Err(Refusal::Cluster { why, run_id });
        };
        let asked = asked.map_err(|failure| Refusal::Cluster {
            why: failure.why(),
            run_id: Some(id),
        })?;
        if let Some((state, reason)) = asked.now {
            let change = runs::Change {
                id,
                from: run.state,
                state,
                reason: reason.or(run.reason),
            };
            pg::in_time(async { runs::change(&*pool.client().await?, &[change]).await }).await?;
        }
        let run = find(pool, id).await?;
        match asked.refusal {
            Some(_) if run.is_final => Err(is_over(&run)),
            Some(why) if run.state != CANCEL_PENDING => Err(Refusal::Conflict(why)),
            _ => Ok(run),
        }
    }

    /// The way to the cluster, or what is missing for it.
    fn client(&self) -> Result<Client, String> {
        self.0.ready.borrow().clone()
    }

    async fn find_way(&self) {
        let mut outage = Outage::default();
        loop {
            let found = Box::pin(Client::connect(&self.0.settings, &self.0.calls)).await;
            let is_found = found.is_ok();
            match &found {
                Ok(_) => {
                    let after = outage.over();
                    tracing::info!(after, "EMR is configured");
                }
                Err(missing) => {
                    if let Some(lasting) = outage.failed() {
                        tracing::warn!(lasting, "{missing}");
                    }
                }
            }
            // Whatever it said before is out of date.
            let _ = self.0.ready.send_replace(found);
            if is_found {
                return;
            }
            time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Tells whoever waits for a run that it has come further.
    fn tell(&self, id: Uuid) {
        if let Some(waiting) = self.waiting().get(&id) {
            waiting.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Notify>>> {
        // Whole at every moment, so a panic elsewhere cannot have left it half-written.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has become of a run that somebody waits for.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The run, unless it was deleted.
    pub run: Option<Run>,
    /// Why it has not been handed over yet, as far as that is known.
    pub problem: Option<Problem>,
}

impl Settled {
    /// Whether it is still to be handed to the cluster.
    fn is_waiting(&self) -> bool {
        let run = self.run.as_ref();
        run.is_some_and(|run| run.state == REQUESTED && run.step_id.is_none())
    }
}

async fn look(pool: &Pool, id: Uuid) -> Result<Settled> {
    let client = pool.client().await?;
    let mut settled = Settled {
        run: runs::find(&client, id).await?,
        problem: None,
    };
    if settled.is_waiting() {
        settled.problem = submissions::problem(&client, id).await?;
    }
    Ok(settled)
}

/// Says of a run that is kept why it waits.
fn not_yet(problem: Option<Problem>) -> String {
    let why = match problem {
        Some(problem) => problem.why,
        None => "EMR has not answered yet".into(),
    };
    format!("{why}; the run is kept and handed over as soon as possible")
}

/// What the settings lack.
fn missing(settings: &config::Emr) -> Option<String> {
    let is_missing = |value: &Option<String>| value.as_deref().is_none_or(str::is_empty);
    let missing: Vec<_> = [
        ("EMR_CLUSTER_ID", &settings.emr_cluster_id),
        ("S3_PATH", &settings.s3_path),
    ]
    .into_iter()
    .filter(|(_, value)| is_missing(value))
    .map(|(name, _)| name)
    .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "EMR is not configured: {} not set; an AWS region and credentials are needed as well \
             (AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
            missing.join(" and ")
        )
    })
}

/// What came of asking the cluster to cancel a step.
struct Asked {
    /// Why it does not.
    refusal: Option<String>,
    /// The step's state and the reason for it, if known.
    now: Option<(String, Option<String>)>,
}

/// A step that the cluster will not cancel has become another than the row says, by itself or by
/// somebody else; so it is looked at once more.
async fn ask_to_cancel(
    client: &Client,
    cluster: Option<&str>,
    step_id: &str,
) -> Result<Asked, Failure> {
    let cluster = cluster.unwrap_or(&client.cluster_id);
    let refusal = client.cancel(cluster, step_id).await?.err();
    let now = match refusal {
        None => Some((CANCEL_PENDING.to_owned(), None)),
        // Without an answer the refusal stands, and the tracker learns the state in its turn.
        Some(_) => match client.describe(cluster, step_id).await {
            Ok(step) => Some((step.state, step.reason)),
            Err(_) => None,
        },
    };
    Ok(Asked { refusal, now })
}

async fn find(pool: &Pool, id: Uuid) -> Result<Run, Refusal> {
    let found = pg::in_time(async { runs::find(&*pool.client().await?, id).await });
    found.await?.ok_or(Refusal::NotFound("Run"))
}

fn is_over(run: &Run) -> Refusal {
    Refusal::Conflict(format!("the run is {} already", run.state))
}

/// Stops waiting for a run when dropped.
struct Leave<'a>(&'a Emr, Uuid);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.waiting().remove(&self.1);
    }
}
