//! What happens to a step at the cluster, and who hears of it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Pipeline, ask, event,
    fake::{self, Fake},
    settings, the_run, went_through,
};
use crate::support::{
    client::Socket,
    server::{SOON, database, eventually, open},
};

/// The numbers of the Data Update tile in the newest frame.
async fn tile(library: &mut Socket, expected: [i64; 3]) {
    loop {
        let frame = library.next_json(2 * SOON).await;
        let tile = &frame["data"][2];
        assert_eq!(tile["section"], "Data Update");
        if [&tile["s1"], &tile["s2"], &tile["s3"]].map(|n| n.as_i64().unwrap()) == expected {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_sees_a_step_move_and_the_tile_with_it() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let alice = pipeline.visitor("alice").await;
    let mut first = open(&alice, "/ws/EMRConsumer/").await;
    let mut second = pipeline.page("bob").await;
    let mut library = open(&alice, "/ws/data_library/").await;
    tile(&mut library, [0, 0, 0]).await;
    let source = "insert into sources (country) values ('x') returning id::text";
    let source: String = dba.query_one(source, &[]).await.unwrap().get(0);
    let order = json!({"step": "qc", "source_id": source});
    let answer = ask(&mut first, &order).await;
    let step = answer["step_id"].as_str().expect("it was taken").to_owned();
    tile(&mut library, [1, 0, 0]).await;
    let pending = event(&mut second, "PENDING").await;
    let run: String = {
        let row = dba
            .query_one("select id::text from pipeline_runs", &[])
            .await;
        row.unwrap().get(0)
    };
    assert_eq!(
        pending,
        json!({"event": "step", "run_id": run, "source_id": source, "step": "qc",
            "step_id": step, "state": "PENDING", "reason": null})
    );

    fake.put(&step, "RUNNING", Value::Null);
    for page in [&mut first, &mut second] {
        assert_eq!(event(page, "RUNNING").await["step_id"], step.as_str());
    }
    tile(&mut library, [0, 1, 0]).await;
    // A word that this program does not know is shown, and followed on.
    fake.put(&step, "HIBERNATING", Value::Null);
    event(&mut second, "HIBERNATING").await;
    fake.put(&step, "COMPLETED", Value::Null);
    for page in [&mut first, &mut second] {
        event(page, "COMPLETED").await;
    }
    tile(&mut library, [0, 0, 1]).await;
    assert_eq!(
        went_through(&dba).await,
        [
            "requested",
            "PENDING",
            "RUNNING",
            "HIBERNATING",
            "COMPLETED"
        ]
    );
    let asked = fake.calls("ListSteps").len();
    let order = ask(&mut first, &json!({"step": "cleaning"})).await;
    assert_eq!(order["success"], true);
    eventually("only the other step is asked for", async || {
        let calls = fake.calls("ListSteps");
        calls.len() > asked && calls.last().unwrap()["StepIds"] == json!([order["step_id"]])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reason_of_a_failure_is_kept() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut page = pipeline.page("alice").await;
    for (step, state) in [
        ("qc", "FAILED"),
        ("cleaning", "CANCELLED"),
        ("recoding", "INTERRUPTED"),
    ] {
        dba.batch_execute("truncate pipeline_runs").await.unwrap();
        let answer = ask(&mut page, &json!({ "step": step })).await;
        // PostgreSQL has no text with a NUL.
        let details =
            json!({"Reason": "Unknown Error.", "Message": "exit\u{0}1", "LogFile": "s3://l"});
        fake.put(answer["step_id"].as_str().unwrap(), state, details);
        let frame = event(&mut page, state).await;
        assert_eq!(frame["reason"], "Unknown Error. exit\u{fffd}1 s3://l");
        assert_eq!(the_run(&dba).await.0, state);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_are_asked_for_with_few_calls_and_a_lost_one_harms_no_other() {
    let fake = Fake::start().await;
    let (_pipeline, _database, dba) = Pipeline::of(&fake).await;
    let steps: Vec<String> = (0..25)
        .map(|n| fake.add_foreign(json!({"Name": format!("n{n}"), "HadoopJarStep": {}})))
        .collect();
    let sql = "insert into pipeline_runs (step, state, step_id, cluster_id)
        select 'qc', 'PENDING', id, $2 from unnest($1::text[]) id";
    dba.execute(sql, &[&steps, &fake::CLUSTER]).await.unwrap();
    eventually("the cluster was asked", async || {
        !fake.calls("ListSteps").is_empty()
    })
    .await;
    let per_poll: Vec<_> = fake.calls("ListSteps");
    assert!(per_poll[0]["StepIds"].is_null(), "one call for all of them");
    for step in &steps[1..] {
        fake.put(step, "RUNNING", Value::Null);
    }
    fake.forget(&steps[0]);
    let count = async |state: &str| -> i64 {
        let sql = "select count(*) from pipeline_runs where state = $1";
        dba.query_one(sql, &[&state]).await.unwrap().get(0)
    };
    eventually("all others run", async || count("RUNNING").await == 24).await;
    eventually("one is lost", async || count("lost").await == 1).await;
    // Of few, all are named in one call; one that is not there spoils that call only.
    let sql = "update pipeline_runs set state = 'COMPLETED' where step_id <> all($1)";
    dba.execute(sql, &[&&steps[1..4]]).await.unwrap();
    fake.forget(&steps[1]);
    fake.put(&steps[2], "COMPLETED", Value::Null);
    eventually("the lost one is told apart", async || {
        count("lost").await == 1
    })
    .await;
    eventually("the other is over", async || count("RUNNING").await == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dba_writes_is_followed() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let alice = pipeline.visitor("alice").await;
    let mut page = open(&alice, "/ws/EMRConsumer/").await;
    let mut library = open(&alice, "/ws/data_library/").await;
    ask(&mut page, &json!({"step": "qc"})).await;
    let sql = "update pipeline_runs set state = 'COMPLETED', reason = 'by hand'";
    dba.batch_execute(sql).await.unwrap();
    assert_eq!(event(&mut page, "COMPLETED").await["reason"], "by hand");
    tile(&mut library, [0, 0, 1]).await;
    dba.batch_execute("delete from pipeline_runs")
        .await
        .unwrap();
    tile(&mut library, [0, 0, 0]).await;
    // The step of the deleted run is still known: the next one, whose answer is lost, is another.
    fake.next(&[fake::Fate::TakenInSilence]);
    let answer = ask(&mut page, &json!({"step": "qc"})).await;
    assert_eq!(answer["step_id"], json!(fake.steps()[1].id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_follows_and_another_takes_over() {
    let fake = Fake::start().await;
    let database = database().await;
    let dba = database.connect().await;
    let settings = settings(&fake.base, fake::CLUSTER);
    let first = Pipeline::with(&database, &settings).await;
    let follower = async || -> Option<String> {
        let sql = "select node::text from pipeline_followers";
        let row = dba.query_opt(sql, &[]).await.unwrap();
        row.map(|row| row.get(0))
    };
    eventually("one follows", async || follower().await.is_some()).await;
    let before = follower().await;
    let second = Pipeline::with(&database, &settings).await;
    let mut page = second.page("alice").await;
    let answer = ask(&mut page, &json!({"step": "qc"})).await;
    fake.put(answer["step_id"].as_str().unwrap(), "RUNNING", Value::Null);
    event(&mut page, "RUNNING").await;
    assert_eq!(follower().await, before, "the other node does not follow");
    first.server.signal("-KILL").await;
    fake.put(
        answer["step_id"].as_str().unwrap(),
        "COMPLETED",
        Value::Null,
    );
    let deadline = Instant::now() + 4 * SOON;
    while the_run(&dba).await.0 != "COMPLETED" {
        assert!(Instant::now() < deadline, "the other node takes over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_ne!(follower().await, before);
    event(&mut page, "COMPLETED").await;
}
