//! Hands requested runs to the cluster, whoever asked for them. A step carries no name of ours, so
//! that none is lost or sent twice rests on the order of things: the row is noted as being sent
//! before it is; of one command only one run is in doubt at a time; and one in doubt is looked for
//! at the cluster before it is sent again. See `db::submissions`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use tokio::{task::JoinSet, time};
use uuid::Uuid;

use super::{
    Emr,
    client::{CALL_TIMEOUT, Client, Failure, Step, shell},
    command,
};
use crate::{
    backoff::Backoff,
    db::submissions::{self, Problem, Sent, Submission, WaitsFor},
    error::Result,
    outage::{self, Outage},
    pg::{self, Pool},
};

/// How long a claim holds. A server that dies leaves its runs to the others after this time.
const LEASE: Duration = Duration::from_secs(15);
/// How much of a claim must be left when a call begins, so that it ends before the claim does.
const MARGIN: Duration = Duration::from_secs(2);
/// How often is looked for runs that were asked for elsewhere, or have become free.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a run may be looked for; less than a claim.
const LOOK_TIMEOUT: Duration = Duration::from_secs(13);
/// Calls at once.
const MAX_AT_ONCE: usize = 8;
/// A run that could not be handed over for so long is refused rather than started out of the blue. The
/// time during which the cluster was full does not count.
const STALE_AFTER: Duration = Duration::from_hours(1);
/// By how much the clocks of the cluster and the database may differ when a step is looked for.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_mins(15);
/// Between attempts to hand over one run. The first is long enough for a request that was given up
/// to arrive or to be lost.
const AGAIN: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(30));
/// Between attempts to read the table.
const RETRY: Backoff = Backoff::new(LOOK_EVERY, Duration::from_secs(10));

/// Submits requested runs to the cluster.
#[derive(Clone, Debug)]
pub(super) struct Submitter {
    emr: Emr,
    pool: Pool,
    /// What runs wait for, by [`WaitsFor`]: however many wait, the log has a line a minute.
    outages: Arc<Mutex<[Outage; WaitsFor::ALL.len()]>>,
}

/// What becomes of a run after an attempt.
enum Outcome {
    /// It is this step of that cluster.
    Accepted { cluster_id: String, step_id: String },
    /// It will not run.
    Refused(String),
    /// The cluster may have run it, and does not say so any more.
    Lost(String),
    /// It is tried again; `in_doubt` while the cluster may have it.
    Later {
        why: String,
        waits_for: WaitsFor,
        in_doubt: bool,
    },
    /// It may not be sent at this moment: it is not ours any more, or another one of its command
    /// is in doubt.
    NotNow,
}

impl Submitter {
    pub(super) fn new(emr: Emr, pool: Pool) -> Self {
        Self {
            emr,
            pool,
            outages: Arc::default(),
        }
    }

    /// Hands over runs for ever.
    pub(super) async fn run(self) {
        let mut under_way = JoinSet::new();
        let mut retry = RETRY;
        let mut outage = Outage::beside_the_pool();
        loop {
            match self.claim(MAX_AT_ONCE - under_way.len()).await {
                Ok(claimed) => {
                    retry.reset();
                    if let Some(after) = outage.over() {
                        tracing::info!(after, "reading requested runs works again");
                    }
                    for run in claimed {
                        under_way.spawn(self.clone().hand_over(run));
                    }
                }
                Err(error) => {
                    if !self.pool.is_out()
                        && let Some(lasting) = outage.failed()
                    {
                        tracing::warn!(%error, lasting, "cannot read requested runs; trying again");
                    }
                    retry.pause().await;
                }
            }
            tokio::select! {
                () = self.emr.0.bell.notified() => {}
                () = time::sleep(LOOK_EVERY) => {}
                Some(_) = under_way.join_next() => {}
            }
        }
    }

    async fn claim(&self, room: usize) -> Result<Vec<Submission>> {
        if room == 0 {
            return Ok(Vec::new());
        }
        let client = self.pool.client().await?;
        submissions::sweep(&client).await?;
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        submissions::claim(&client, self.emr.0.node, LEASE, STALE_AFTER, room).await
    }

    /// One attempt, and the note of what came of it.
    async fn hand_over(self, run: Submission) {
        let Ok(aws) = self.emr.client() else { return };
        let outcome = match self.attempt(&aws, &run).await {
            Ok(outcome) => outcome,
            Err(error) => {
                // The claim runs out by itself, and the run is found as it was left.
                return tracing::warn!(run = %run.run_id, %error, "cannot process a run; it stays as it is");
            }
        };
        if let Err(error) = self.note(&run, outcome).await {
            tracing::warn!(run = %run.run_id, %error, "cannot save the state of a run");
        }
        self.emr.tell(run.run_id);
    }

    async fn attempt(&self, aws: &Client, run: &Submission) -> Result<Outcome> {
        if let Some(sent) = run.sent() {
            match self.find(aws, run, sent).await? {
                Ok(Some(step_id)) => {
                    let cluster_id = sent.cluster_id.to_owned();
                    return Ok(Outcome::Accepted {
                        cluster_id,
                        step_id,
                    });
                }
                Ok(None) => {}
                // The cluster it was sent to is not known, and has not become so again in an hour.
                Err(Failure::Invalid(why)) if run.is_stale => return Ok(Outcome::Lost(why)),
                // Whatever keeps EMR from answering, the step may be running.
                Err(failure) => return Ok(later(failure, true)),
            }
        }
        if run.is_stale {
            let why = "it could not be handed to EMR within an hour".to_owned();
            let why = match &run.problem {
                Some(problem) => format!("{why}: {problem}"),
                None => why,
            };
            return Ok(Outcome::Refused(why));
        }
        let command = match command::of(&self.emr.0.settings, run) {
            Ok(command) => command,
            Err(why) => return Ok(Outcome::Refused(why)),
        };
        let (id, node) = (run.run_id, self.emr.0.node);
        let claimed = Instant::now();
        let send = async {
            let client = self.pool.client().await?;
            submissions::send(&client, id, node, LEASE, &aws.cluster_id, &command).await
        };
        if !send.await? {
            return Ok(Outcome::NotNow);
        }
        if claimed.elapsed() + CALL_TIMEOUT + MARGIN > LEASE {
            // This process was asleep; by the time the call ended another might make it too.
            return Ok(Outcome::Later {
                why: "the database was slow".into(),
                waits_for: WaitsFor::Answer,
                in_doubt: run.sent().is_some(),
            });
        }
        Ok(match aws.add(&run.step, &command).await {
            Ok(step_id) => Outcome::Accepted {
                cluster_id: aws.cluster_id.clone(),
                step_id,
            },
            Err(Failure::Invalid(why) | Failure::Denied(why)) => Outcome::Refused(why),
            Err(failure) => {
                let in_doubt = matches!(failure, Failure::Doubtful(_));
                later(failure, in_doubt)
            }
        })
    }

    async fn note(&self, run: &Submission, outcome: Outcome) -> Result<()> {
        let id = run.run_id;
        let client = self.pool.client().await?;
        match outcome {
            Outcome::Accepted {
                cluster_id,
                step_id,
            } => {
                if submissions::accepted(&client, id, &cluster_id, &step_id).await? {
                    self.outages(|outages| *outages = Default::default());
                    tracing::info!(run = %id, step = run.step, step_id, "EMR has taken a run");
                } else {
                    tracing::warn!(run = %id, step_id, "EMR has taken a run that is deleted");
                }
            }
            Outcome::Refused(why) => {
                tracing::warn!(run = %id, step = run.step, why, "a run is refused");
                submissions::refused(&client, id, &why).await?;
            }
            Outcome::Lost(why) => {
                let why = format!("unknown whether it ran: {why}");
                tracing::warn!(run = %id, step = run.step, why, "a run is lost");
                submissions::lost(&client, id, &why).await?;
            }
            Outcome::Later {
                why,
                waits_for,
                in_doubt,
            } => {
                let pause = AGAIN.nth(u32::try_from(run.attempts).unwrap_or(u32::MAX));
                let after = outage::seconds(pause);
                match self.outages(|outages| outages[waits_for as usize].failed()) {
                    Some(lasting) => {
                        tracing::warn!(run = %id, why, after, in_doubt, lasting, "the submission of a run failed; trying again later");
                    }
                    None => {
                        tracing::debug!(run = %id, why, after, in_doubt, "the submission of a run failed; trying again later");
                    }
                }
                let problem = Problem { waits_for, why };
                self.postpone(&client, id, pause, in_doubt, &problem)
                    .await?;
            }
            Outcome::NotNow => {
                let problem = Problem {
                    waits_for: WaitsFor::Answer,
                    why: "EMR has not said yet whether it has another run of this step".into(),
                };
                let in_doubt = run.sent().is_some();
                self.postpone(&client, id, LOOK_EVERY, in_doubt, &problem)
                    .await?;
            }
        }
        Ok(())
    }

    fn outages<T>(&self, change: impl FnOnce(&mut [Outage; WaitsFor::ALL.len()]) -> T) -> T {
        // Each is changed as a whole, so a panic elsewhere leaves them usable.
        let outages = self.outages.lock();
        change(&mut outages.unwrap_or_else(PoisonError::into_inner))
    }

    async fn postpone(
        &self,
        client: &pg::PooledClient,
        run: Uuid,
        pause: Duration,
        in_doubt: bool,
        problem: &Problem,
    ) -> Result<()> {
        let node = self.emr.0.node;
        submissions::postpone(client, run, node, pause, in_doubt, problem).await
    }

    /// Looks for a run at the cluster that may have been sent: a step of its name and command, made
    /// since, which is no other run's. Of several the oldest.
    async fn find(
        &self,
        aws: &Client,
        run: &Submission,
        sent: Sent<'_>,
    ) -> Result<Result<Option<String>, Failure>> {
        let looking = async {
            let mut alike = Vec::new();
            let mut marker = None;
            loop {
                let page = aws.list(sent.cluster_id, Vec::new(), marker).await?;
                let reached_older = page.steps.iter().any(|step| !is_since(step, sent.at));
                let is_alike = |step: &Step| {
                    is_since(step, sent.at)
                        && step.name == run.step
                        && step.args == shell(sent.command)
                };
                alike.extend(page.steps.into_iter().filter(is_alike).map(|step| step.id));
                marker = page.marker;
                if reached_older || marker.is_none() {
                    return Ok(alike);
                }
            }
        };
        let alike = match time::timeout(LOOK_TIMEOUT, looking).await {
            Ok(Ok(alike)) => alike,
            Ok(Err(failure)) => return Ok(Err(failure)),
            Err(_) => return Ok(Err(Failure::Doubtful("EMR lists its steps slowly".into()))),
        };
        let known = submissions::known_steps(&*self.pool.client().await?, &alike).await?;
        Ok(Ok(alike.into_iter().rfind(|id| !known.contains(id))))
    }
}

/// The run is tried again after this failure.
fn later(failure: Failure, in_doubt: bool) -> Outcome {
    let waits_for = match failure {
        Failure::Throttled(_) => WaitsFor::Rate,
        Failure::Full(_) => WaitsFor::Room,
        Failure::Doubtful(_) => WaitsFor::Answer,
        Failure::Invalid(_) | Failure::Denied(_) | Failure::NotSent(_) => WaitsFor::Access,
    };
    Outcome::Later {
        why: failure.why(),
        waits_for,
        in_doubt,
    }
}

/// Whether a step may have come of a request sent at that time.
fn is_since(step: &Step, sent: Timestamp) -> bool {
    step.created
        .and_then(|created| created.checked_add(CLOCK_SLACK).ok())
        .is_none_or(|latest| latest >= sent)
}
