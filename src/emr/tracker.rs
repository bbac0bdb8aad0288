//! Follows runs at the cluster: one server at a time asks how the steps are, many with one call, and
//! writes what has changed into the table. The others take over when it is not heard of any more.

use std::{collections::HashMap, time::Duration};

use tokio::time;

use super::{
    Emr,
    client::{Client, Failure, Step},
};
use crate::{
    backoff::Backoff,
    db::runs::{self, Change, Followed, LOST},
    error::Result,
    outage::Outage,
    pg::Pool,
};

/// Ids that one call may name.
const IDS_A_CALL: usize = 10;
/// How many pages of a cluster's list are read. Steps that are not on them are asked for by id.
const MOST_PAGES: usize = 200;
/// Beyond so many runs the cluster's own list, newest first, is shorter than asking by ids.
const FEW: usize = 2 * IDS_A_CALL;
/// Longest pause while the cluster does not answer or throttles, in polls.
const LONGEST_PAUSE: u32 = 12;
/// How much longer than a poll a turn lasts.
const GRACE: Duration = Duration::from_secs(8);

/// Follows the runs that the cluster has taken.
#[derive(Debug)]
pub(super) struct Tracker {
    emr: Emr,
    pool: Pool,
}

impl Tracker {
    pub(super) fn new(emr: Emr, pool: Pool) -> Self {
        Self { emr, pool }
    }

    /// Follows runs for ever.
    pub(super) async fn run(self) {
        let poll = self.emr.0.settings.emr_poll;
        let mut retry = Backoff::new(2 * poll, LONGEST_PAUSE * poll);
        let (mut silence, mut outage) = (Outage::default(), Outage::beside_the_pool());
        loop {
            match self.follow(poll).await {
                Ok(Ok(())) => {
                    retry.reset();
                    if let Some(after) = silence.over() {
                        tracing::info!(after, "EMR tells again how the runs are");
                    }
                    if let Some(after) = outage.over() {
                        tracing::info!(after, "polling EMR for run states works again");
                    }
                    time::sleep(poll).await;
                }
                Ok(Err(failure)) => {
                    if let Some(lasting) = silence.failed() {
                        let why = failure.why();
                        tracing::warn!(why, lasting, "EMR does not tell how the runs are");
                    }
                    retry.pause().await;
                }
                Err(error) => {
                    if !self.pool.is_out()
                        && let Some(lasting) = outage.failed()
                    {
                        tracing::warn!(%error, lasting, "cannot poll EMR for run states; trying again");
                    }
                    retry.pause().await;
                }
            }
        }
    }

    async fn follow(&self, poll: Duration) -> Result<Result<(), Failure>> {
        let Ok(aws) = self.emr.client() else {
            return Ok(Ok(()));
        };
        let runs = {
            let client = self.pool.client().await?;
            if !runs::take_turn(&client, self.emr.0.node, poll + GRACE).await? {
                return Ok(Ok(()));
            }
            runs::followed(&client).await?
        };
        let mut clusters: HashMap<&str, Vec<&Followed>> = HashMap::new();
        for run in &runs {
            let cluster = run.cluster_id.as_deref().unwrap_or(&aws.cluster_id);
            clusters.entry(cluster).or_default().push(run);
        }
        for (cluster, runs) in clusters {
            let (news, failure) = ask(&aws, cluster, &runs).await;
            let changes: Vec<Change> = runs
                .iter()
                .filter_map(|run| change(run, news.get(run.step_id.as_str())?))
                .collect();
            if !changes.is_empty() {
                runs::change(&*self.pool.client().await?, &changes).await?;
                tracing::debug!(runs = changes.len(), "runs have changed");
            }
            if let Some(failure) = failure {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }
}

/// What the cluster says of a step: its state and the reason for it.
type News = (String, Option<String>);

/// Asks for as much as can be had, by step id; and why not for more.
async fn ask(
    aws: &Client,
    cluster: &str,
    runs: &[&Followed],
) -> (HashMap<String, News>, Option<Failure>) {
    let mut news = HashMap::new();
    let result = ask_into(aws, cluster, runs, &mut news).await;
    (news, result.err())
}

async fn ask_into(
    aws: &Client,
    cluster: &str,
    runs: &[&Followed],
    news: &mut HashMap<String, News>,
) -> Result<(), Failure> {
    if runs.len() > FEW {
        let mut marker = None;
        // A list that never ends must not take the turn for ever.
        for _ in 0..MOST_PAGES {
            let page = match aws.list(cluster, Vec::new(), marker).await {
                Ok(page) => page,
                // The cluster itself may be gone: each run is asked for on its own below.
                Err(Failure::Invalid(_)) => break,
                Err(failure) => return Err(failure),
            };
            news.extend(page.steps.into_iter().map(told));
            marker = page.marker;
            if marker.is_none() || runs.iter().all(|run| news.contains_key(&run.step_id)) {
                break;
            }
        }
    }
    let rest: Vec<&String> = runs
        .iter()
        .map(|run| &run.step_id)
        .filter(|id| !news.contains_key(*id))
        .collect();
    for ids in rest.chunks(IDS_A_CALL) {
        let named = ids.iter().map(ToString::to_string).collect();
        match aws.list(cluster, named, None).await {
            Ok(page) => news.extend(page.steps.into_iter().map(told)),
            // One that is not known spoils the answer for all of them.
            Err(Failure::Invalid(_)) => {}
            Err(failure) => return Err(failure),
        }
        for id in ids {
            if !news.contains_key(*id) {
                let told = match aws.describe(cluster, id).await {
                    Ok(step) => told(step),
                    Err(Failure::Invalid(why)) => ((*id).clone(), (LOST.to_owned(), Some(why))),
                    Err(failure) => return Err(failure),
                };
                news.extend([told]);
            }
        }
    }
    Ok(())
}

fn told(step: Step) -> (String, News) {
    (step.id, (step.state, step.reason))
}

fn change(run: &Followed, (state, reason): &News) -> Option<Change> {
    (&run.state != state || &run.reason != reason).then(|| Change {
        id: run.id,
        from: run.state.clone(),
        state: state.clone(),
        reason: reason.clone(),
    })
}
