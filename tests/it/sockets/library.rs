//! The Data Library's counts of the past 30 days, and how they change when a row becomes older.

use std::path::Path;

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::{
    client::{Http, Socket},
    metrics::metric,
    observe::audited,
    program::program,
    server::{SOON, TestServer, database, eventually, open},
};

const SOCKET: &str = "/ws/data_library/";
const READS: &str = r#"marketplace_view_reads_total{view="library"}"#;

/// Created, activated and deactivated; received, awaiting and delayed; pending, in progress and
/// completed.
fn counts(sections: &Value) -> Value {
    let sections = sections.as_array().expect("there are sections");
    sections
        .iter()
        .map(|section| json!([section["s1"], section["s2"], section["s3"]]))
        .collect()
}

async fn over_http(visitor: &mut Http) -> Value {
    counts(&visitor.get("/api/data-library/").send().await.json())
}

async fn shows(socket: &mut Socket, wanted: &Value) {
    eventually("the socket shows these counts", async || {
        counts(&socket.next_json(SOON).await["data"]) == *wanted
    })
    .await;
}

/// Makes a source that becomes older than 30 days in so many seconds.
async fn ends_in(dba: &Client, seconds: f64) {
    let sql = "insert into sources (country, created_at)
        values ('ends', now() - interval '720 hours' + make_interval(secs => $1))";
    dba.execute(sql, &[&seconds]).await.unwrap();
}

/// Waits until the database's clock has passed the moments that [`ends_in`] has set.
async fn all_are_older(dba: &Client) {
    eventually("every source is older than 30 days", async || {
        let sql = "select from sources where created_at >= now() - interval '720 hours'";
        dba.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_and_runs_of_the_past_thirty_days_are_counted() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    // A calendar whose clocks went forward ten days ago: 30 of its days are 719 hours.
    let sql = "select to_char(now() - interval '10 days', 'DDD')::int, to_char(now() + interval '99 days', 'DDD')::int";
    let row = dba.query_one(sql, &[]).await.unwrap();
    let (spring, autumn): (i32, i32) = (row.get(0), row.get(1));
    let zone = format!(
        "alter database {} set timezone = 'AAA0BBB,J{},J{}'",
        database.name,
        spring.min(365),
        autumn.min(365)
    );
    dba.batch_execute(&zone).await.unwrap();
    drop(server);
    let server = TestServer::on(&database.url, &[]).await;
    dba.batch_execute(
        "insert into sources (status, created_at, current_update) values
            ('active', now(), local_date()),
            ('active', now() - interval '29 days', local_date() + 1),
            ('active', now() - interval '719 hours 55 minutes', null),
            ('active', now() - interval '720 hours 1 second', null),
            ('active', now() - interval '9 years', local_date()),
            ('active', now() + interval '9 years', null),
            ('inactive', now() - interval '5 days', null),
            ('inactive', now() - interval '31 days', null),
            ('archived', now(), local_date()),
            ('archived', now() - interval '31 days', null);
         insert into pipeline_runs (step, state, created_at) values
            ('a', 'COMPLETED', now() - interval '719 hours 55 minutes'),
            ('b', 'COMPLETED', now() - interval '720 hours 1 second'),
            ('c', 'RUNNING', now()), ('d', 'RUNNING', now() - interval '31 days')",
    )
    .await
    .unwrap();
    let mut visitor = server.visitor("watcher").await;
    let wanted = json!([[5, 4, 1], [3, 1, 6], [0, 1, 1]]);
    assert_eq!(over_http(&mut visitor).await, wanted);
    let mut socket = open(&visitor, SOCKET).await;
    shows(&mut socket, &wanted).await;

    // By hand, in and out again, one row and more rows than a notification names.
    dba.batch_execute(
        "update sources set created_at = now() - interval '31 days' where status = 'active'",
    )
    .await
    .unwrap();
    shows(&mut socket, &json!([[1, 0, 1], [3, 1, 6], [0, 1, 1]])).await;
    dba.batch_execute("insert into sources (created_at) select now() - interval '1 year' from generate_series(1, 300)")
        .await
        .unwrap();
    shows(&mut socket, &json!([[1, 0, 1], [3, 1, 306], [0, 1, 1]])).await;
    dba.batch_execute("update sources set created_at = now()")
        .await
        .unwrap();
    let wanted = json!([[308, 306, 2], [3, 1, 306], [0, 1, 1]]);
    shows(&mut socket, &wanted).await;
    assert_eq!(over_http(&mut visitor).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_becomes_older_changes_the_counts_on_every_server_without_a_write() {
    let database = database().await;
    let dba = database.connect().await;
    let servers = [
        TestServer::on(&database.url, &[]).await,
        TestServer::on(&database.url, &[]).await,
    ];
    ends_in(&dba, 4.0).await;
    ends_in(&dba, 5.0).await;
    dba.batch_execute(
        "insert into sources (country) values ('stays');
         insert into pipeline_runs (step, state, created_at)
         values ('s', 'COMPLETED', now() - interval '720 hours' + interval '6 seconds')",
    )
    .await
    .unwrap();
    let mut sockets = Vec::new();
    for (server, name) in servers.iter().zip(["ann", "bob"]) {
        let mut socket = open(&server.visitor(name).await, SOCKET).await;
        shows(&mut socket, &json!([[3, 3, 0], [0, 0, 3], [0, 0, 1]])).await;
        sockets.push(socket);
    }
    for socket in &mut sockets {
        shows(socket, &json!([[1, 1, 0], [0, 0, 3], [0, 0, 0]])).await;
    }
    // Who comes later, also to a server that starts later, sees the same.
    let later = TestServer::on(&database.url, &[]).await;
    for (server, name) in servers.iter().chain([&later]).zip(["cleo", "dan", "eve"]) {
        let mut visitor = server.visitor(name).await;
        let wanted = json!([[1, 1, 0], [0, 0, 3], [0, 0, 0]]);
        assert_eq!(over_http(&mut visitor).await, wanted);
        let first = open(&visitor, SOCKET).await.next_json(SOON).await;
        assert_eq!(counts(&first["data"]), wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_becomes_older_while_nobody_watches_is_not_counted_for_who_comes_then() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let mut visitor = server.visitor("watcher").await;
    ends_in(&dba, 3.0).await;
    {
        let mut socket = open(&visitor, SOCKET).await;
        shows(&mut socket, &json!([[1, 1, 0], [0, 0, 1], [0, 0, 0]])).await;
    }
    all_are_older(&dba).await;
    audited(&dba, 2).await;
    let first = open(&visitor, SOCKET).await.next_json(SOON).await;
    assert_eq!(counts(&first["data"])[0], json!([0, 0, 0]));
    assert_eq!(over_http(&mut visitor).await[0], json!([0, 0, 0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counts_are_read_once_for_each_row_that_becomes_older() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let mut operator = Http::new(&server.base);
    let mut socket = open(&server.visitor("watcher").await, SOCKET).await;
    for attempt in 1.. {
        ends_in(&dba, 9_000.0).await;
        ends_in(&dba, 7.0).await;
        shows(&mut socket, &json!([[2, 2, 0], [0, 0, 2], [0, 0, 0]])).await;
        let [reads, doubts] = read_so_far(&mut operator).await;
        shows(&mut socket, &json!([[1, 1, 0], [0, 0, 2], [0, 0, 0]])).await;
        let [reads_now, doubts_now] = read_so_far(&mut operator).await;
        // A doubt of the audit makes the server read once more, such as when what was written before the start is
        // counted late.
        if doubts_now == doubts {
            assert_eq!(reads_now, reads + 1);
            return;
        }
        assert!(attempt < 5, "the audit is in doubt again and again");
        dba.batch_execute("delete from sources").await.unwrap();
        shows(&mut socket, &json!([[0, 0, 0], [0, 0, 0], [0, 0, 0]])).await;
    }
}

/// How often the counts were read, and how often because the audit was in doubt.
async fn read_so_far(operator: &mut Http) -> [u64; 2] {
    let mut doubts = 0;
    for table in ["sources", "pipeline_runs"] {
        let name = format!(r#"marketplace_audit_reads_total{{table="{table}"}}"#);
        doubts += metric::<u64>(operator, &name).await.unwrap();
    }
    [metric(operator, READS).await.unwrap(), doubts]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_catalogue_is_counted_as_the_backend_counted_it() {
    let (server, database) = TestServer::start().await;
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/django/django-full.sql");
    let mut import = program(&["import-django", "--dump", dump.to_str().unwrap()]);
    import.env("DATABASE_URL", &database.url);
    let output = import.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    // As on the day after the dump was made.
    let dba = database.connect().await;
    dba.batch_execute("update sources set created_at = created_at + (now() - '2026-11-24')")
        .await
        .unwrap();
    let mut visitor = server.visitor("watcher").await;
    assert_eq!(over_http(&mut visitor).await[0], json!([17, 14, 3]));
    let first = open(&visitor, SOCKET).await.next_json(SOON).await;
    assert_eq!(counts(&first["data"])[0], json!([17, 14, 3]));
}
