//! A server without a cluster, or without a way to it: that is said at once, by name, and the rest of
//! the server does not care.

use std::time::Instant;

use serde_json::json;
use tokio::net::TcpListener;

use super::{Pipeline, ask};
use crate::support::server::{SOON, database};

/// What the answer names when only these are set.
async fn assert_named(variables: &[(&'static str, String)], named: &[&str]) {
    let database = database().await;
    let pipeline = Pipeline::with(&database, variables).await;
    let mut page = pipeline.page("alice").await;
    let asked = Instant::now();
    let answer = ask(&mut page, &json!({"step": "qc"})).await;
    assert!(asked.elapsed() < SOON / 5, "at once: {:?}", asked.elapsed());
    assert_eq!(answer["success"], false);
    let error = answer["error"].as_str().unwrap();
    for name in named {
        assert!(error.contains(name), "{name} is not in {error:?}");
    }
    let mut visitor = pipeline.visitor("bob").await;
    let read = visitor.get("/api/read-source/").send().await;
    assert_eq!(read.status, 200);
    let started = visitor
        .post("/emrrunner/start")
        .json(&json!({"job": "qc"}))
        .send()
        .await;
    assert_eq!(started.status, 503, "{}", started.text());
    assert_eq!(started.json()["success"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_setting_all_of_them_are_named() {
    let named = [
        "EMR_CLUSTER_ID",
        "S3_PATH",
        "AWS_REGION",
        "AWS_ACCESS_KEY_ID",
    ];
    assert_named(&[], &named).await;
    assert_named(&[("EMR_CLUSTER_ID", String::new())], &named).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_never_answers_delays_no_answer() {
    // Instances ask this address for a region and a role; here it accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let variables = [
        ("EMR_CLUSTER_ID", "j-1".to_owned()),
        ("S3_PATH", "s3://b/a".to_owned()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", address),
    ];
    assert_named(&variables, &["region", "credentials"]).await;
    let asked = tokio::time::timeout(SOON, silent.accept()).await;
    assert!(asked.is_ok(), "the metadata was asked for all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_without_credentials_is_not_enough() {
    let variables = [
        ("EMR_CLUSTER_ID", "j-1".to_owned()),
        ("S3_PATH", "s3://b/a".to_owned()),
        ("AWS_REGION", "eu-west-3".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
    assert_named(&variables, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]).await;
}
