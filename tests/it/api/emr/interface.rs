//! Runs over HTTP and from the command line: list, history, packaged jobs.

use serde_json::{Value, json};

use super::{
    Pipeline, ask, event,
    fake::{self, Fake},
    settings,
};
use crate::support::{
    client::Http,
    program::program,
    server::{ORIGIN, eventually},
};

async fn runs(visitor: &mut Http, query: &str) -> Value {
    let answer = visitor
        .get(&format!("/api/pipeline-runs/{query}"))
        .send()
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_listed_and_each_has_its_history() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut visitor = pipeline.visitor("alice").await;
    let mut page = crate::support::server::open(&visitor, "/ws/EMRConsumer/").await;
    assert_eq!(runs(&mut visitor, "").await, json!([]));
    let source = "insert into sources (country) values ('x') returning id::text";
    let source: String = dba.query_one(source, &[]).await.unwrap().get(0);
    ask(&mut page, &json!({"step": "qc", "source_id": source})).await;
    let last = ask(&mut page, &json!({"step": "cleaning"})).await;
    let all = runs(&mut visitor, "").await;
    let names: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|run| &run["step"])
        .collect();
    assert_eq!(names, ["cleaning", "qc"], "newest first");
    let keys: Vec<_> = all[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "id",
            "source_id",
            "kind",
            "step",
            "deploy_mode",
            "state",
            "step_id",
            "cluster_id",
            "reason",
            "requested_by",
            "created_at",
            "updated_at"
        ]
    );
    let of_source = runs(&mut visitor, &format!("?source={source}")).await;
    assert_eq!(of_source.as_array().unwrap().len(), 1);
    assert_eq!(of_source[0]["step"], "qc");
    assert_eq!(runs(&mut visitor, "?state=RUNNING").await, json!([]));
    assert_eq!(runs(&mut visitor, "?state=%00").await, json!([]));
    let odd = visitor.get("/api/pipeline-runs/?source=5").send().await;
    assert_eq!((odd.status, odd.json()["source"].is_array()), (400, true));

    fake.put(last["step_id"].as_str().unwrap(), "COMPLETED", Value::Null);
    event(&mut page, "COMPLETED").await;
    let id = all[0]["id"].as_str().unwrap();
    let one = visitor
        .get(&format!("/api/pipeline-runs/{id}/"))
        .send()
        .await;
    let history: Vec<_> = one.json()["history"].as_array().unwrap().clone();
    let states: Vec<_> = history.iter().map(|past| past["state"].clone()).collect();
    assert_eq!(states, ["requested", "PENDING", "COMPLETED"]);
    let none = "/api/pipeline-runs/00000000-0000-4000-8000-000000000000/";
    assert_eq!(visitor.get(none).send().await.status, 404);
    let mut stranger = Http::new(&pipeline.base).on_page(ORIGIN);
    for path in ["/api/pipeline-runs/", none] {
        assert_eq!(stranger.get(path).send().await.status, 403, "{path}");
    }
    let job = json!({"job": "qc"});
    let refused = stranger.post("/emrrunner/start").json(&job).send().await;
    assert_eq!(refused.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packaged_job_is_started_over_http() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut visitor = pipeline.visitor("alice").await;
    let job = json!({"job": "report-1"});
    let started = visitor.post("/emrrunner/start").json(&job).send().await;
    assert_eq!(started.status, 200, "{}", started.text());
    let step = &fake.steps()[0];
    assert_eq!(
        started.json(),
        json!({"success": true, "step_id": step.id, "details": {"job": "report-1", "deploy_mode": "client"}})
    );
    let command = step.config["HadoopJarStep"]["Args"][2].as_str().unwrap();
    assert!(
        command.contains("s3://demo-bucket/scripts/report-1/job_package.zip"),
        "{command}"
    );
    assert!(command.contains("unzip"), "{command}");
    assert!(command.contains("--deploy-mode client"), "{command}");
    assert!(
        command.ends_with("--py-files job_package.zip main.py"),
        "{command}"
    );
    let row = dba
        .query_one("select kind, requested_by from pipeline_runs", &[])
        .await;
    let row = row.unwrap();
    assert_eq!((row.get(0), row.get(1)), ("job", "alice"));
    for (body, status) in [
        (json!({"job": "qc"}), 400),
        (json!({"job": "report"}), 400),
        (json!({"job": "report-/../load"}), 400),
        (json!({"job": "report-$(id)"}), 400),
        (json!({"job": ""}), 400),
        (json!({}), 400),
        (json!([]), 400),
        (json!({"job": "load", "deploy_mode": "x"}), 400),
        (json!({"job": "load", "deploy_mode": "cluster"}), 200),
    ] {
        let answer = visitor.post("/emrrunner/start").json(&body).send().await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert_eq!(answer.json()["success"], status == 200, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_and_jobs_are_started_over_http() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut visitor = pipeline.visitor("alice").await;
    let known = visitor.get("/api/pipeline/").send().await.json();
    assert_eq!(known["problem"], Value::Null);
    assert_eq!(known["steps"][2], "qc");
    assert_eq!(known["jobs"], json!(["report-*", "load"]));
    let source = "insert into sources (country) values ('x') returning id::text";
    let source: String = dba.query_one(source, &[]).await.unwrap().get(0);
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (body, status) in [
        (json!({"step": "qc"}), 201),
        (
            json!({"step": "qc", "source_id": source, "deploy_mode": "client"}),
            201,
        ),
        (
            json!({"job": "load", "step": null, "source_id": source}),
            201,
        ),
        (json!({"step": "load"}), 400),
        (json!({"job": "qc"}), 400),
        (json!({"step": "qc", "job": "load"}), 400),
        (json!({"step": "qc", "source_id": unknown}), 404),
        (json!({"step": "qc", "source_id": "x"}), 400),
        (json!({"step": "qc", "deploy_mode": "x"}), 400),
        (json!({"step": 5}), 400),
        (json!({}), 400),
        (json!([]), 400),
    ] {
        let call = visitor.post("/api/pipeline-runs/").json(&body);
        let answer = call.send().await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert_eq!(answer.json()["success"], status == 201, "{body}");
    }
    let all = runs(&mut visitor, "").await;
    let made: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|run| {
            (
                &run["kind"],
                &run["step"],
                &run["deploy_mode"],
                &run["source_id"],
            )
        })
        .map(|(kind, step, mode, of)| json!([kind, step, mode, of]))
        .collect();
    assert_eq!(
        made,
        [
            json!(["step", "qc", "cluster", null]),
            json!(["step", "qc", "client", source]),
            json!(["job", "load", "client", source]),
        ]
    );
    assert_eq!(fake.steps().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_cluster_the_pipeline_says_what_is_missing() {
    let (server, _database) = crate::support::server::TestServer::start().await;
    let mut visitor = server.visitor("alice").await;
    let known = visitor.get("/api/pipeline/").send().await.json();
    let problem = known["problem"].as_str().unwrap();
    assert!(problem.contains("EMR_CLUSTER_ID"), "{problem}");
    let call = visitor
        .post("/api/pipeline-runs/")
        .json(&json!({"step": "qc"}));
    let answer = call.send().await;
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (503, &known["problem"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_started_listed_and_cancelled_from_the_command_line() {
    let fake = Fake::start().await;
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    let aws = settings(&fake.base, fake::CLUSTER);
    let say = async |arguments: &[&str], with_aws: bool| -> (bool, String) {
        let mut command = program(&[&["emr"], arguments].concat());
        command.env("DATABASE_URL", &database.url);
        if with_aws {
            command.envs(aws.iter().map(|(name, value)| (name, value)));
        }
        let output = command.output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    // With a cluster of its own, no server is needed.
    let (done, text) = say(&["start", "--step", "qc"], true).await;
    assert!(done && text.contains(&fake.steps()[0].id), "{text}");
    for (what, name, why) in [
        ("--job", "moon", "no such job"),
        ("--job", "qc", "no such job"),
        ("--step", "moon", "no such step"),
    ] {
        let (done, text) = say(&["start", what, name], true).await;
        assert!(!done && text.contains(why), "{text}");
    }
    let (done, text) = say(&["start"], true).await;
    assert!(!done && text.contains("--step"), "{text}");
    let (done, text) = say(&["runs"], false).await;
    assert!(
        done && text.contains("PENDING") && text.contains("qc"),
        "{text}"
    );
    let id = "select id::text from pipeline_runs";
    let id: String = dba.query_one(id, &[]).await.unwrap().get(0);
    let (done, text) = say(&["cancel", &id], false).await;
    assert!(!done && text.contains("EMR_CLUSTER_ID"), "{text}");
    let (done, text) = say(&["cancel", &id], true).await;
    assert!(done && text.contains("CANCEL_PENDING"), "{text}");
    dba.batch_execute("update pipeline_runs set state = 'COMPLETED'")
        .await
        .unwrap();
    let (done, text) = say(&["cancel", &id], false).await;
    assert!(!done, "{text}");
    assert_eq!(text, "marketplace: the run is COMPLETED already\n");
    // Without EMR in its settings it leaves no run behind that a server would start at any later time.
    let (done, text) = say(&["start", "--step", "cleaning"], false).await;
    assert!(
        !done && text.starts_with("marketplace: EMR is not configured: EMR_CLUSTER_ID and S3_PATH"),
        "{text}"
    );
    let count = "select count(*) from pipeline_runs";
    let count: i64 = dba.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
    // A run of somebody else's waits for a server, and says so.
    dba.batch_execute("insert into pipeline_runs (step) values ('cleaning')")
        .await
        .unwrap();
    let (done, text) = say(&["runs"], false).await;
    assert!(
        done && text.contains("a server with EMR_CLUSTER_ID and S3_PATH does so"),
        "{text}"
    );
    let _pipeline = Pipeline::with(&database, &aws).await;
    eventually("a server has submitted it", async || {
        fake.steps().len() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_sees_runs_and_starts_and_cancels_none() {
    let fake = Fake::start().await;
    let (pipeline, _database, dba) = Pipeline::of(&fake).await;
    let mut page = pipeline.page("alice").await;
    pipeline.visitor("bob").await;
    dba.batch_execute("update users set role = 'viewer' where username = 'bob'")
        .await
        .unwrap();
    let mut viewer = pipeline.visitor("bob").await;
    let mut seen = crate::support::server::open(&viewer, "/ws/EMRConsumer/").await;
    ask(&mut page, &json!({"step": "qc"})).await;
    event(&mut seen, "PENDING").await;
    let run = &runs(&mut viewer, "").await[0]["id"];
    for message in [
        json!({"step": "qc"}),
        json!({"action": "cancel", "run_id": run}),
    ] {
        assert_eq!(ask(&mut seen, &message).await["success"], false);
    }
    let cancel = format!("/api/pipeline-runs/{}/cancel/", run.as_str().unwrap());
    for path in [cancel.as_str(), "/emrrunner/start"] {
        let answer = viewer.post(path).json(&json!({"job": "qc"})).send().await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    assert_eq!(fake.calls("AddJobFlowSteps").len(), 1);
    assert!(fake.calls("CancelSteps").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_of_the_pipeline_is_right() {
    let document = include_str!("../../../../docs/pipeline.md");
    let block = |kind: &str| {
        let (_, block) = document.split_once(&format!("```{kind}\n")).unwrap();
        block.split_once("```").unwrap().0
    };
    let policy: Value = serde_json::from_str(block("json")).unwrap();
    assert_eq!(
        policy["Statement"][0]["Action"].as_array().unwrap().len(),
        4
    );
    let database = crate::support::server::database().await;
    let said = database.psql(block("sql")).await;
    assert!(said.status.success(), "{said:?}");
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "requested|\n");

    // The cluster's script is read by bash, and makes the environment that runs ask for.
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/emr-bootstrap.sh");
    let read = std::process::Command::new("bash")
        .args(["-n", script])
        .status();
    assert!(read.unwrap().success());
    let script = include_str!("../../../../ops/emr-bootstrap.sh");
    assert!(script.contains("\nenvironment=/home/hadoop/myenv\n"));
    let fake = Fake::start().await;
    let (pipeline, _database, _dba) = Pipeline::of(&fake).await;
    let mut page = pipeline.page("alice").await;
    ask(&mut page, &json!({"step": "qc"})).await;
    let command = fake.steps()[0].config["HadoopJarStep"]["Args"][2].to_string();
    assert!(
        command.contains("python=/home/hadoop/myenv/bin/python "),
        "{command}"
    );
}
