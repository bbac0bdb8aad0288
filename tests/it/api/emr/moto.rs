//! The wire format, as another implementation of EMR understands it: moto, which `make test` installs
//! below `target/`.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

use super::{Pipeline, ask, settings, the_run};
use crate::support::{
    client::{Http, Response},
    server::{database, eventually},
};

/// A running moto; killed when dropped.
pub struct Moto {
    pub base: String,
    _child: Child,
}

impl Moto {
    pub async fn start() -> Self {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
        assert!(
            python.exists(),
            "{} is missing: run `make tools`",
            python.display()
        );
        // moto takes no port 0, so the kernel is asked for one that is free.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = Command::new(python)
            .args([
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("moto starts");
        let base = format!("http://127.0.0.1:{port}");
        let operator = Http::new(&base);
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        while operator.address().connect().await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "moto listens");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self {
            base,
            _child: child,
        }
    }

    async fn call(&self, action: &str, body: &Value) -> Response {
        let scope = "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/eu-west-3/elasticmapreduce/aws4_request, SignedHeaders=host, Signature=0";
        Http::new(&self.base)
            .post("/")
            .header("X-Amz-Target", &format!("ElasticMapReduce.{action}"))
            .header("Authorization", scope)
            .body("application/x-amz-json-1.1", body.to_string())
            .send()
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_understands_what_is_sent_and_is_understood() {
    let moto = Moto::start().await;
    let cluster = moto
        .call(
            "RunJobFlow",
            &json!({"Name": "tests", "Instances": {"KeepJobFlowAliveWhenNoSteps": true,
                "MasterInstanceType": "m5.xlarge", "InstanceCount": 1}}),
        )
        .await;
    assert_eq!(cluster.status, 200, "{}", cluster.text());
    let cluster = cluster.json()["JobFlowId"].as_str().unwrap().to_owned();

    let database = database().await;
    let dba = database.connect().await;
    let pipeline = Pipeline::with(&database, &settings(&moto.base, &cluster)).await;
    let mut page = pipeline.page("alice").await;
    let answer = ask(&mut page, &json!({"step": "qc"})).await;
    assert_eq!(answer["success"], true, "{answer}");

    let step = json!({"ClusterId": cluster, "StepId": answer["step_id"]});
    let step = moto.call("DescribeStep", &step).await.json();
    assert_eq!(step["Step"]["Name"], "qc");
    assert_eq!(step["Step"]["Config"]["Jar"], "command-runner.jar");
    assert_eq!(step["Step"]["Config"]["Args"][0], "bash");
    assert_eq!(step["Step"]["ActionOnFailure"], "CONTINUE");
    // moto runs the oldest waiting step as soon as it looks at its cluster.
    let theirs = step["Step"]["Status"]["State"].as_str().unwrap().to_owned();
    eventually("moto's list is read", async || {
        the_run(&dba).await.0 == theirs
    })
    .await;
    // A run of which only the cluster's own list can tell that it was taken: its answer was lost.
    let command = step["Step"]["Config"]["Args"][2].as_str().unwrap();
    let lost = json!({"JobFlowId": cluster, "Steps": [{"Name": "qc", "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["bash", "-c", command]}}]});
    let lost = moto.call("AddJobFlowSteps", &lost).await.json()["StepIds"][0].clone();
    let sql = "with run as (insert into pipeline_runs (step) values ('qc') returning id)
        insert into pipeline_submissions (run_id, node, claimed_until, cluster_id, command, sent_at)
        select id, gen_random_uuid(), clock_timestamp(), $1, $2, clock_timestamp() from run";
    dba.execute(sql, &[&cluster, &command]).await.unwrap();
    eventually("it is found", async || {
        let sql = "select from pipeline_runs where step_id = $1";
        let id = lost.as_str().unwrap();
        dba.query(sql, &[&id]).await.unwrap().len() == 1
    })
    .await;
}
