//! `/metrics`: who may read it, that every metric is described, and that what it says is so.

use std::{collections::BTreeSet, str::FromStr};

use crate::{
    client::Http,
    server::{TestServer, database, eventually, open},
};

/// The metric of this name and labels, as `name{label="value"}`; `None` when it is not shown.
pub async fn metric<T: FromStr>(operator: &mut Http, name: &str) -> Option<T> {
    let answer = operator.get("/metrics").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_described_and_says_what_is_so() {
    let (server, database) = TestServer::start().await;
    let visitor = server.visitor("somebody").await;
    let mut operator = Http::new(&server.base);
    let mut list = open(&visitor, "/ws/read_source/").await;
    let other = open(&visitor, "/ws/data_library/").await;
    let dba = database.connect().await;
    dba.batch_execute("insert into sources (country) values ('one'), ('two')")
        .await
        .unwrap();
    eventually("the list shows two rows", async || {
        list.frames_from(0).len() >= 2
    })
    .await;
    list.close(1000).await;

    eventually("the sockets are counted", async || {
        metric(&mut operator, "marketplace_sockets_open").await == Some(1.0)
    })
    .await;
    for (name, expected) in [
        ("marketplace_listener_up", 1.0),
        ("marketplace_listener_connections_total", 1.0),
        ("marketplace_sockets_opened_total", 2.0),
        (r#"marketplace_sockets_ended_total{reason="client"}"#, 1.0),
        (r#"marketplace_sockets_ended_total{reason="slow"}"#, 0.0),
        (r#"marketplace_silent_edits_total{table="sources"}"#, 0.0),
        (r#"marketplace_view_failures_total{view="list"}"#, 0.0),
    ] {
        assert_eq!(metric(&mut operator, name).await, Some(expected), "{name}");
    }
    // The queue is that of all tests.
    let usage = metric(&mut operator, "marketplace_notification_queue_usage_ratio").await;
    assert!((0.0..0.1).contains(&usage.unwrap()), "{usage:?}");
    let reads = metric(
        &mut operator,
        r#"marketplace_view_reads_total{view="list"}"#,
    )
    .await;
    assert!(reads >= Some(2.0), "{reads:?}");
    let rows = metric(&mut operator, r#"marketplace_view_rows_total{view="list"}"#).await;
    assert!(rows >= Some(2.0), "{rows:?}");
    let age = metric(&mut operator, "marketplace_listener_heartbeat_age_seconds").await;
    assert!((0.0..7.0).contains(&age.unwrap()), "{age:?}");

    let page = operator.get("/metrics").send().await;
    assert_eq!(
        page.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let named = |prefix: &str| -> BTreeSet<String> {
        let text = page.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        lines
            .filter_map(|line| line.split([' ', '{']).next())
            .map(ToOwned::to_owned)
            .collect()
    };
    let shown = named("marketplace_");
    assert!(shown.len() >= 12, "{shown:?}");
    assert_eq!(
        named("# HELP marketplace_"),
        shown,
        "each with its sentence"
    );
    assert_eq!(named("# TYPE marketplace_"), shown);
    drop(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_addresses_that_were_named_may_read_it() {
    let database = database().await;
    let server = TestServer::on(&database.url, &[]).await;
    let mut operator = Http::new(&server.base);
    assert_eq!(operator.get("/metrics").send().await.status, 200);
    for header in ["X-Forwarded-For", "Forwarded"] {
        let by_proxy = operator.get("/metrics").header(header, "203.0.113.9");
        assert_eq!(by_proxy.send().await.status, 403, "{header}");
    }
    let elsewhere = ["--metrics-allow", "10.0.0.0/8,2001:db8::/32"];
    let server = TestServer::on(&database.url, &elsewhere).await;
    let refused = Http::new(&server.base).get("/metrics").send().await;
    assert_eq!(refused.status, 403);
    assert!(!refused.text().contains("marketplace_"));
}
