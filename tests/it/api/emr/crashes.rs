//! Two servers are killed again and again while runs are asked for and the cluster loses answers:
//! afterwards every run is one step and every step is one run.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;

use super::{
    Pipeline,
    fake::{self, Fake, Fate},
    settings,
};
use crate::support::server::{database, open};

/// What is asked for, at least.
const RUNS: i64 = 200;
/// Sockets that ask for one run each in every life of the servers.
const PAGES: usize = 25;
const STEPS: [&str; 7] = [
    "collection",
    "cleaning",
    "qc",
    "consolidation",
    "referencing",
    "recoding",
    "transcoding",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_runs_none_is_lost_or_doubled_when_the_program_is_killed() {
    let fake = Fake::start().await;
    fake.all_further(|| match rand::random_range(0..10) {
        0 => Fate::TakenInSilence,
        1 => Fate::Throttled,
        2 => Fate::Broken,
        3..=5 => Fate::TakenSlowly,
        _ => Fate::Taken,
    });
    let database = database().await;
    let dba = database.connect().await;
    let settings = settings(&fake.base, fake::CLUSTER);
    let count = async |condition: &str| -> i64 {
        let sql = format!("select count(*) from pipeline_runs where {condition}");
        dba.query_one(&sql, &[]).await.unwrap().get(0)
    };
    let (mut lives, mut in_doubt, mut unknown) = (0, 0, 0);
    while count("true").await < RUNS {
        let nodes = [
            Pipeline::with(&database, &settings).await,
            Pipeline::with(&database, &settings).await,
        ];
        let visitors = [
            nodes[0].visitor("alice").await,
            nodes[1].visitor("bob").await,
        ];
        let mut pages = Vec::new();
        for n in 0..PAGES {
            let mut page = open(&visitors[n % 2], "/ws/EMRConsumer/").await;
            let step = STEPS[(lives * PAGES + n) % STEPS.len()];
            page.send_json(&json!({ "step": step })).await;
            pages.push(page);
        }
        let life = Duration::from_millis(rand::random_range(0..400));
        tokio::time::sleep(life).await;
        for node in nodes {
            node.server.signal("-KILL").await;
        }
        let sql = "select from pipeline_submissions where sent_at is not null";
        in_doubt += dba.query(sql, &[]).await.unwrap().len();
        let taken = fake.steps().into_iter().map(|step| step.id);
        let taken: Vec<String> = taken.collect();
        let sql = "select from unnest($1::text[]) id
            where id not in (select step_id from pipeline_runs where step_id is not null)";
        unknown += dba.query(sql, &[&taken]).await.unwrap().len();
        lives += 1;
    }
    println!("{lives} lives; {in_doubt} runs in doubt, {unknown} steps unknown when they ended");
    assert!(
        in_doubt > unknown && unknown > 0,
        "the moments were well chosen"
    );
    fake.all_further(|| Fate::Taken);
    let _last = Pipeline::with(&database, &settings).await;
    let deadline = tokio::time::Instant::now() + Duration::from_mins(3);
    while count("step_id is null").await > 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{} runs were not handed over",
            count("step_id is null").await
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let sql = "select step_id, step from pipeline_runs";
    let runs = dba.query(sql, &[]).await.unwrap();
    let runs: BTreeSet<(String, String)> =
        runs.iter().map(|row| (row.get(0), row.get(1))).collect();
    let steps: BTreeSet<(String, String)> = fake
        .steps()
        .into_iter()
        .map(|step| (step.id, step.config["Name"].as_str().unwrap().to_owned()))
        .collect();
    assert!(runs.len() >= 200);
    assert_eq!(runs, steps);
    let left = "select from pipeline_submissions";
    assert!(dba.query(left, &[]).await.unwrap().is_empty());
}
