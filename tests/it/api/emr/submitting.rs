//! From the request to the step: each run becomes one step, whatever happens on the way.

use serde_json::{Value, json};
use tokio_postgres::Client;

use super::{
    Pipeline, ask,
    fake::{Fake, Fate},
    the_run, went_through,
};
use crate::support::server::{SOON, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_sent_once_and_answered() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut page = pipeline.page("alice").await;
    let answer = ask(&mut page, &json!({"step": "qc"})).await;
    let steps = fake.steps();
    assert_eq!(steps.len(), 1);
    assert_eq!(answer, json!({"success": true, "step_id": steps[0].id}));
    assert_eq!(steps[0].config["Name"], "qc");
    let kept = "select username from changes where operation = 'insert'";
    let kept: Option<String> = dba.query_one(kept, &[]).await.unwrap().get(0);
    assert_eq!(kept.as_deref(), Some("alice"));
    let row = "select step, requested_by, source_id is null, cluster_id, deploy_mode
        from pipeline_runs";
    let row = dba.query_one(row, &[]).await.unwrap();
    let (step, by, cluster): (&str, &str, &str) = (row.get(0), row.get(1), row.get(3));
    assert_eq!((step, by, cluster), ("qc", "alice", super::fake::CLUSTER));
    assert!(row.get::<_, bool>(2));
    assert_eq!(went_through(&dba).await, ["requested", "PENDING"]);
    assert!(
        fake.calls("ListSteps").is_empty() || fake.calls("AddJobFlowSteps").len() == 1,
        "the first attempt asks for nothing before"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_step_reaches_neither_the_table_nor_the_cluster() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut page = pipeline.page("alice").await;
    for step in [
        json!("QC"),
        json!("qc; rm -rf /"),
        json!("$(id)"),
        json!(5),
        json!(["qc"]),
        json!({"a": 1}),
        json!("qc\u{0}"),
    ] {
        let answer = ask(&mut page, &json!({ "step": step })).await;
        assert_eq!(answer["success"], false, "{step}: {answer}");
    }
    for more in [
        json!({"source_id": "00000000-0000-4000-8000-000000000000"}),
        json!({"source_id": 5}),
        json!({"deploy_mode": "moon"}),
    ] {
        let mut message = more.clone();
        message["step"] = json!("qc");
        let answer = ask(&mut page, &message).await;
        assert_eq!(answer["success"], false, "{more}: {answer}");
    }
    let rows = dba.query("select from pipeline_runs", &[]).await.unwrap();
    assert!(rows.is_empty());
    // A name that a DBA writes into the table gets no further either.
    dba.batch_execute("insert into pipeline_runs (step) values ('qc; rm -rf /')")
        .await
        .unwrap();
    eventually("the row is refused", async || {
        the_run(&dba).await.0 == "refused"
    })
    .await;
    assert!(fake.calls("AddJobFlowSteps").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_a_dba_inserts_is_handed_over() {
    let fake = Fake::start().await;
    let (_pipeline, _database, dba) = Pipeline::of(&fake).await;
    let sql = "insert into pipeline_runs (step, deploy_mode) values ('cleaning', 'client')";
    dba.batch_execute(sql).await.unwrap();
    eventually("the row has a step", async || {
        the_run(&dba).await.1.is_some()
    })
    .await;
    let args = fake.steps()[0].config["HadoopJarStep"]["Args"][2].to_string();
    assert!(args.contains("--deploy-mode client"), "{args}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_asked_for_long_ago_starts_only_when_it_is_asked_for_again() {
    let fake = Fake::start().await;
    let (_pipeline, _database, dba) = Pipeline::of(&fake).await;
    let sql = "insert into pipeline_runs (step, created_at, updated_at)
        values ('qc', now() - interval '2 hours', now() - interval '2 hours')";
    dba.batch_execute(sql).await.unwrap();
    eventually("it is refused", async || the_run(&dba).await.0 == "refused").await;
    assert!(fake.calls("AddJobFlowSteps").is_empty());
    let sql = "update pipeline_runs set state = 'requested', reason = null";
    dba.batch_execute(sql).await.unwrap();
    eventually("it has a step", async || the_run(&dba).await.1.is_some()).await;
    assert_eq!(
        went_through(&dba).await,
        ["requested", "refused", "requested", "PENDING"]
    );
}

#[tokio::test]
async fn of_one_command_the_table_holds_one_run_in_doubt() {
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    let in_doubt = "insert into pipeline_submissions
            (run_id, node, claimed_until, cluster_id, command, sent_at)
        values (gen_random_uuid(), gen_random_uuid(), now(), 'j-1', 'ls', now())";
    dba.batch_execute(in_doubt).await.unwrap();
    let second = dba.batch_execute(in_doubt).await.unwrap_err();
    let constraint = second.as_db_error().and_then(|error| error.constraint());
    assert_eq!(constraint, Some("pipeline_submissions_one_in_doubt"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_is_waited_out() {
    let fake = Fake::start().await;
    fake.next(&[Fate::Throttled, Fate::Throttled]);
    let (pipeline, _database, _dba) = Pipeline::of(&fake).await;
    let mut page = pipeline.page("alice").await;
    let answer = ask(&mut page, &json!({"step": "qc"})).await;
    assert_eq!(answer["success"], true, "{answer}");
    assert_eq!(fake.steps().len(), 1);
    assert_eq!(fake.calls("AddJobFlowSteps").len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_too_many_active_steps_is_waited_for() {
    let fake = Fake::start().await;
    fake.next(&[Fate::Full, Fate::Full]);
    let (pipeline, _database, _dba) = Pipeline::of(&fake).await;
    let mut page = pipeline.page("alice").await;
    let answer = ask(&mut page, &json!({"step": "qc"})).await;
    assert_eq!(answer["success"], true, "{answer}");
    assert_eq!(fake.steps().len(), 1);
    assert_eq!(fake.calls("AddJobFlowSteps").len(), 3);
}

/// What a waiting run waits for, as the table has it.
async fn waits_for(dba: &Client) -> Option<String> {
    let sql = "select waits_for from pipeline_submissions";
    let row = dba.query_opt(sql, &[]).await.expect("the table is there");
    row.and_then(|row| row.get(0))
}

/// Lets the run have been asked for two hours ago.
async fn grow_old(dba: &Client) {
    assert_eq!(all_grow_old(dba).await, 1);
}

/// Lets all runs have been asked for two hours ago; says how many those are.
async fn all_grow_old(dba: &Client) -> u64 {
    let sql = "update pipeline_runs set updated_at = now() - interval '2 hours'";
    dba.execute(sql, &[]).await.unwrap()
}

/// Ends the pause before the next attempt, which may be longer than a test waits.
async fn be_due(dba: &Client) {
    let sql = "update pipeline_submissions set claimed_until = now() where waits_for = 'access'";
    dba.batch_execute(sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_room_on_the_cluster_does_not_grow_stale() {
    let fake = Fake::start().await;
    fake.all_further(|| Fate::Full);
    let (_pipeline, _database, dba) = Pipeline::of(&fake).await;
    dba.batch_execute("insert into pipeline_runs (step) values ('qc')")
        .await
        .unwrap();
    eventually("the cluster was full", async || {
        waits_for(&dba).await.as_deref() == Some("room")
    })
    .await;
    grow_old(&dba).await;
    let calls = fake.calls("AddJobFlowSteps").len();
    eventually("it is tried again all the same", async || {
        fake.calls("AddJobFlowSteps").len() > calls
    })
    .await;
    fake.all_further(|| Fate::Taken);
    eventually("it has a step", async || the_run(&dba).await.1.is_some()).await;
    assert_eq!(went_through(&dba).await, ["requested", "PENDING"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_wait_behind_one_that_waits_for_room_do_not_grow_stale() {
    let fake = Fake::start().await;
    fake.all_further(|| Fate::Full);
    let (_pipeline, _database, dba) = Pipeline::of(&fake).await;
    let three = "insert into pipeline_runs (step) select 'qc' from generate_series(1, 3)";
    dba.batch_execute(three).await.unwrap();
    eventually("it is noted that all wait for room", async || {
        let sql =
            "select from pipeline_submissions where waits_for = 'room' and full_at is not null";
        dba.query(sql, &[]).await.unwrap().len() == 3
    })
    .await;
    assert_eq!(all_grow_old(&dba).await, 3);
    fake.all_further(|| Fate::Taken);
    eventually("all have a step", async || {
        let sql = "select from pipeline_runs where step_id is not null";
        dba.query(sql, &[]).await.unwrap().len() == 3
    })
    .await;
    assert_eq!(fake.steps().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waited_for_room_is_not_stale_because_of_what_it_waits_for_later() {
    let fake = Fake::start().await;
    fake.all_further(|| Fate::Full);
    let (_pipeline, _database, dba) = Pipeline::of(&fake).await;
    dba.batch_execute("insert into pipeline_runs (step) values ('qc')")
        .await
        .unwrap();
    eventually("the cluster was full", async || {
        waits_for(&dba).await.as_deref() == Some("room")
    })
    .await;
    grow_old(&dba).await;
    fake.all_further(|| Fate::Throttled);
    eventually("EMR took no more requests", async || {
        waits_for(&dba).await.as_deref() == Some("rate")
    })
    .await;
    fake.all_further(|| Fate::Taken);
    eventually("it has a step", async || the_run(&dba).await.1.is_some()).await;
    assert_eq!(went_through(&dba).await, ["requested", "PENDING"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_grows_stale_from_when_the_cluster_was_last_full() {
    let fake = Fake::start().await;
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    let sql = "with run as (
            insert into pipeline_runs (step, created_at, updated_at)
            values ('qc', now() - interval '9 hours', now() - interval '9 hours') returning id)
        insert into pipeline_submissions (run_id, node, claimed_until, waits_for, problem, full_at)
        select id, gen_random_uuid(), now(), 'room', 'full', now() - interval '2 hours' from run";
    dba.batch_execute(sql).await.unwrap();
    let settings = super::settings(&fake.base, super::fake::CLUSTER);
    let _pipeline = Pipeline::with(&database, &settings).await;
    eventually("it is refused", async || the_run(&dba).await.0 == "refused").await;
    assert!(fake.calls("AddJobFlowSteps").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_doubt_stays_in_doubt_while_emr_refuses_to_list_steps() {
    for code in [
        "ExpiredTokenException",
        "AccessDeniedException",
        "UnrecognizedClientException",
    ] {
        let fake = Fake::start().await;
        fake.next(&[Fate::TakenInSilence]);
        fake.refuse_lists(Some(code));
        let (pipeline, _database, dba) = Pipeline::of(&fake).await;
        let mut page = pipeline.page("alice").await;
        let answer = ask(&mut page, &json!({"step": "qc"})).await;
        assert_eq!(answer["success"], false, "{answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(code), "the page is told why: {error}");
        assert!(answer["run_id"].is_string(), "{answer}");
        // Nor does it become `refused` by waiting.
        grow_old(&dba).await;
        let asked = fake.calls("ListSteps").len();
        eventually("the cluster is asked again", async || {
            fake.calls("ListSteps").len() > asked + 1
        })
        .await;
        assert_eq!(the_run(&dba).await.0, "requested", "{code}");
        let in_doubt = "select sent_at is not null from pipeline_submissions";
        assert!(
            dba.query_one(in_doubt, &[])
                .await
                .unwrap()
                .get::<_, bool>(0)
        );

        fake.refuse_lists(None);
        eventually("its step is found", async || {
            be_due(&dba).await;
            the_run(&dba).await.1.is_some()
        })
        .await;
        assert_eq!(the_run(&dba).await.1, Some(fake.steps()[0].id.clone()));
        assert_eq!(fake.calls("AddJobFlowSteps").len(), 1, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_doubt_is_lost_when_its_cluster_stays_unknown_for_an_hour() {
    let fake = Fake::start().await;
    fake.next(&[Fate::TakenInSilence]);
    fake.refuse_lists(Some("InvalidRequestException"));
    let (_pipeline, _database, dba) = Pipeline::of(&fake).await;
    dba.batch_execute("insert into pipeline_runs (step) values ('qc')")
        .await
        .unwrap();
    eventually("the cluster was asked twice", async || {
        fake.calls("ListSteps").len() > 1
    })
    .await;
    assert_eq!(the_run(&dba).await.0, "requested");
    grow_old(&dba).await;
    eventually("it is lost", async || the_run(&dba).await.0 == "lost").await;
    let reason = the_run(&dba).await.2.unwrap();
    assert!(reason.contains("unknown whether it ran"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_is_told_at_once_with_its_reason() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    let settings = super::settings(&format!("http://{address}"), super::fake::CLUSTER);
    let pipeline = Pipeline::with(&database, &settings).await;
    let mut page = pipeline.page("alice").await;
    let answer = ask(&mut page, &json!({"step": "qc"})).await;
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("Connection refused"), "{error}");
    assert!(error.contains("the run is kept"), "{error}");
    // Nothing was sent, so nothing is in doubt; the list says why the run waits.
    let sent = "select attempts, sent_at is null, waits_for from pipeline_submissions";
    let row = dba.query_one(sent, &[]).await.unwrap();
    assert_eq!((row.get(1), row.get(2)), (true, Some("access")));
    assert!(
        row.get::<_, i32>(0) < 4,
        "the page did not wait for more attempts"
    );
    let mut visitor = pipeline.visitor("bob").await;
    let runs = visitor.get("/api/pipeline-runs/").send().await.json();
    assert_eq!(runs[0]["state"], "requested");
    let reason = runs[0]["reason"].as_str().unwrap();
    assert!(reason.contains("Connection refused"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_and_kept() {
    let fake = Fake::start().await;
    fake.next(&[Fate::Refused]);
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut page = pipeline.page("alice").await;
    let answer = ask(&mut page, &json!({"step": "qc"})).await;
    assert_eq!(answer["success"], false);
    assert!(answer["error"].as_str().unwrap().contains("is terminating"));
    let (state, step_id, reason) = the_run(&dba).await;
    assert_eq!((state.as_str(), step_id), ("refused", None));
    assert!(reason.unwrap().contains("InvalidRequestException"));
    assert_eq!(fake.calls("AddJobFlowSteps").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_not_there_refuses_runs_and_has_lost_those_it_had() {
    let fake = Fake::start().await;
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    let pipeline = Pipeline::with(&database, &super::settings(&fake.base, "j-GONE")).await;
    let mut page = pipeline.page("alice").await;
    let answer = ask(&mut page, &json!({"step": "qc"})).await;
    let error = answer["error"].as_str().expect("it is refused");
    assert!(error.contains("Cluster id is not valid"), "{error}");
    let sql = "truncate pipeline_runs; insert into pipeline_runs (step, state, step_id, cluster_id)
        values ('qc', 'RUNNING', 's-OLD', 'j-GONE')";
    dba.batch_execute(sql).await.unwrap();
    eventually("it is lost", async || the_run(&dba).await.0 == "lost").await;
    assert!(the_run(&dba).await.2.unwrap().contains("not valid"));
}

/// The first request ends like this; afterwards there must be one step, and the page is told of it.
async fn ends_as_one_step(first: Fate, sent: usize) {
    let fake = Fake::start().await;
    // Somebody else's step of the same name, and one of another command, are not taken for ours.
    fake.add_foreign(
        json!({"Name": "qc", "HadoopJarStep": {"Jar": "x", "Args": ["bash", "-c", "ls"]}}),
    );
    fake.next(&[first]);
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut page = pipeline.page("alice").await;
    let answer = ask(&mut page, &json!({"step": "qc"})).await;
    assert_eq!(answer["success"], true, "{answer}");
    let steps = fake.steps();
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert_eq!(answer["step_id"], json!(steps[1].id));
    assert_eq!(the_run(&dba).await.1.as_ref(), Some(&steps[1].id));
    assert_eq!(fake.calls("AddJobFlowSteps").len(), sent);
    let asked = fake.calls("ListSteps");
    assert!(
        asked.iter().any(|call| call["StepIds"] == Value::Null),
        "the cluster was asked whether it has the step"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_whose_answer_was_lost_is_found_and_not_sent_again() {
    ends_as_one_step(Fate::TakenInSilence, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_was_taken_with_an_error_is_found() {
    ends_as_one_step(Fate::TakenButFailed, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_was_taken_behind_a_proxy_that_says_otherwise_is_found() {
    for status in [403, 404, 408, 429] {
        ends_as_one_step(Fate::TakenBehindProxy(status), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_broke_off_is_sent_again() {
    ends_as_one_step(Fate::Broken, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_hangs_is_given_up_and_sent_again() {
    ends_as_one_step(Fate::Hangs, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_one_step_whose_answers_are_lost_are_not_mixed_up() {
    let fake = Fake::start().await;
    fake.all_further(|| {
        if rand::random_ratio(1, 2) {
            Fate::TakenInSilence
        } else {
            Fate::Taken
        }
    });
    let (_pipeline, _database, dba) = Pipeline::of(&fake).await;
    let sql = "insert into pipeline_runs (step) select 'qc' from generate_series(1, 4)";
    dba.batch_execute(sql).await.unwrap();
    eventually("every run has a step", async || {
        let sql = "select from pipeline_runs where step_id is null";
        dba.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(fake.steps().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_doubt_goes_before_an_older_one_that_was_committed_later() {
    let command = "cd /home/hadoop/ && aws s3 sync s3://demo-bucket/scripts/qc/ /home/hadoop/qc/ \
        && cd /home/hadoop/qc && spark-submit --deploy-mode cluster --conf \
        spark.pyspark.python=/home/hadoop/myenv/bin/python --py-files dependencies.py job.py ";
    let fake = Fake::start().await;
    let taken = fake.add_foreign(json!({"Name": "qc",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["bash", "-c", command]}}));
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into pipeline_runs (step, created_at) values ('qc', now() - interval '1 second')",
    )
    .await
    .unwrap();
    let sql = "with run as (insert into pipeline_runs (step) values ('qc') returning id)
        insert into pipeline_submissions (run_id, node, claimed_until, cluster_id, command, sent_at)
        select id, gen_random_uuid(), clock_timestamp(), $1, $2, clock_timestamp() from run";
    dba.execute(sql, &[&super::fake::CLUSTER, &command])
        .await
        .unwrap();
    let settings = super::settings(&fake.base, super::fake::CLUSTER);
    let _pipeline = Pipeline::with(&database, &settings).await;
    eventually("both have a step", async || {
        let sql = "select from pipeline_runs where step_id is not null";
        dba.query(sql, &[]).await.unwrap().len() == 2
    })
    .await;
    let sql = "select step_id from pipeline_runs order by created_at";
    let rows = dba.query(sql, &[]).await.unwrap();
    let ids: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(ids, [fake.steps()[1].id.clone(), taken]);
    assert_eq!(fake.steps().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_waits_while_the_cluster_hangs() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut page = pipeline.page("alice").await;
    fake.hang(true);
    page.send_json(&json!({"step": "qc"})).await;
    eventually("the call hangs", async || {
        !fake.calls("AddJobFlowSteps").is_empty()
    })
    .await;
    let mut other = pipeline.visitor("bob").await;
    let mut list = crate::support::server::open(&other, "/ws/read_source/").await;
    list.next_json(SOON).await;
    let source = json!({"country": "France", "created_by": "bob"});
    let added = other.post("/api/add-source/").json(&source).send().await;
    assert_eq!(added.status, 201, "{}", added.text());
    assert_eq!(list.next_json(SOON).await["data"][0]["country"], "France");
    let (state, step_id, _) = the_run(&dba).await;
    assert_eq!(
        (state.as_str(), step_id),
        ("requested", None),
        "AWS still hangs"
    );
    // Whoever asked is told in time, and the run goes on once EMR answers again.
    let answer = loop {
        let frame = page.next_json(2 * SOON).await;
        if frame.get("success").is_some() {
            break frame;
        }
    };
    assert_eq!(answer["success"], false, "{answer}");
    assert!(answer["run_id"].is_string(), "{answer}");
    fake.hang(false);
    let deadline = tokio::time::Instant::now() + 6 * SOON;
    while the_run(&dba).await.1.is_none() {
        assert!(tokio::time::Instant::now() < deadline, "it is handed over");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(fake.steps().len(), 1);
}
