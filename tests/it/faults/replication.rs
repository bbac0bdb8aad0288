//! A database that follows another by logical replication. No statement writes there and no statement trigger
//! fires, and still every dashboard shows what is applied.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::support::{
    client::{Http, Socket},
    dashboard::Dashboard,
    metrics::metric,
    postgres::{PrivateCluster, TestDatabase, private_cluster},
    server::{ORIGIN, SOON, TestServer, eventually, open},
};

const WATCHED: Uuid = Uuid::from_u128(1);
const SEED: &str = "insert into sources (id, country) values
    ('00000000-0000-0000-0000-000000000001', 'one'), ('00000000-0000-0000-0000-000000000002', 'two')";
const SILENT: &str = r#"marketplace_silent_edits_total{table="sources"}"#;

/// A database that publishes its tables, and one that follows it. They share a cluster.
struct Pair {
    publisher: TestDatabase,
    subscriber: TestDatabase,
    _cluster: PrivateCluster,
}

impl Pair {
    async fn start(two_phase: bool) -> Self {
        let settings = [("wal_level", "logical"), ("max_prepared_transactions", "4")];
        let cluster = private_cluster(&settings).await;
        let publisher = cluster.database("publisher").await;
        let subscriber = cluster.database("subscriber").await;
        let dba = publisher.connect().await;
        for publish in [
            "create publication everything for table sources, pipeline_runs, users, sessions",
            &format!(
                "select pg_create_logical_replication_slot('everything', 'pgoutput', false, {two_phase})"
            ),
        ] {
            dba.batch_execute(publish).await.unwrap();
        }
        let subscribe = format!(
            "create subscription everything connection '{}' publication everything
               with (create_slot = false, slot_name = 'everything', two_phase = {two_phase})",
            publisher.url
        );
        let dba = subscriber.connect().await;
        dba.batch_execute(&subscribe).await.unwrap();
        eventually("the tables have been copied", async || {
            let sql = "select from pg_subscription_rel where srsubstate <> 'r'";
            dba.query(sql, &[]).await.unwrap().is_empty()
        })
        .await;
        Self {
            publisher,
            subscriber,
            _cluster: cluster,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_that_are_applied_are_shown_within_seconds() {
    let pair = Pair::start(false).await;
    let dba = pair.publisher.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    let server = TestServer::on(&pair.subscriber.url, &[]).await;
    let mut dashboard = Dashboard::open(&server.visitor("watcher").await, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;

    for edit in 0..20 {
        // Between commits of one worker its statistics come at once, a second later or not at all.
        tokio::time::sleep(Duration::from_millis(edit * 631 % 1_900)).await;
        let sql = match edit % 5 {
            0 => format!("update sources set country = 'edit {edit}'"),
            1 => "update sources set status = case status when 'active' then 'inactive' else 'active' end where country like 'edit%'".to_owned(),
            2 => format!("insert into sources (country) values ('added {edit}')"),
            3 => "update sources set created_at = created_at - interval '31 days', current_update = local_date() where country like 'added%'".to_owned(),
            _ => "delete from sources where country like 'added%'".to_owned(),
        };
        dba.batch_execute(&sql).await.unwrap();
        // That none is found by the audit alone, which comes later, is counted below.
        dashboard.agrees_with(&dba, WATCHED).await;
    }

    // Its event names the source, as that of a statement does.
    dba.batch_execute(
        "update sources set panel = 'p' where country like 'edit%' and id::text like '%1'",
    )
    .await
    .unwrap();
    let event = json!({ "event": "updated", "ids": [WATCHED] });
    eventually("the event is heard", async || {
        *dashboard.source.newest() == event
    })
    .await;
    // A large transaction names its first rows only.
    dba.batch_execute("insert into sources (country) select 'many' from generate_series(1, 5000)")
        .await
        .unwrap();
    dashboard.agrees_with(&dba, WATCHED).await;
    dba.batch_execute("truncate sources").await.unwrap();
    dashboard.agrees_with(&dba, WATCHED).await;
    let mut operator = Http::new(&server.base);
    assert_eq!(metric(&mut operator, SILENT).await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_signed_out_or_disabled_there_is_so_here() {
    let pair = Pair::start(false).await;
    let there = TestServer::on(&pair.publisher.url, &[]).await;
    let here = TestServer::on(&pair.subscriber.url, &[]).await;
    let dba = pair.publisher.connect().await;
    for sql in [
        "delete from sessions",
        "update users set is_active = false where username = 'ann2'",
    ] {
        let name = if sql.contains("ann2") { "ann2" } else { "ann" };
        let visitor = there.visitor(name).await;
        let same = Http::new(&here.base)
            .on_page(ORIGIN)
            .with_cookies_of(&visitor);
        eventually("the session has come", async || {
            Socket::open(&same, "/ws/read_source/").await.is_ok()
        })
        .await;
        let mut socket = open(&same, "/ws/read_source/").await;
        dba.batch_execute(sql).await.unwrap();
        assert_eq!(socket.closed_within(SOON).await.code, 1008, "{sql}");
    }
}

/// A transaction that has notified cannot be prepared: with `two_phase` the worker must not notify.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_transactions_are_applied_and_noticed() {
    let pair = Pair::start(true).await;
    let dba = pair.publisher.connect().await;
    // Those that prepare transactions have to do without the triggers.
    for table in ["sources", "users", "sessions"] {
        let off = format!("alter table {table} disable trigger user");
        dba.batch_execute(&off).await.unwrap();
    }
    dba.batch_execute(SEED).await.unwrap();
    let follower = pair.subscriber.connect().await;
    eventually("the rows have come", async || {
        let sql = "select from sources";
        follower.query(sql, &[]).await.unwrap().len() == 2
    })
    .await;
    let server = TestServer::on(&pair.subscriber.url, &[]).await;
    let mut dashboard = Dashboard::open(&server.visitor("watcher").await, WATCHED).await;
    for sql in [
        "insert into users (username, password_hash) values ('ann', 'x')",
        "begin; update sources set country = 'prepared'; update users set is_active = false;
         prepare transaction 'two'",
        "commit prepared 'two'",
    ] {
        dba.batch_execute(sql).await.unwrap();
    }
    dashboard.agrees_with(&dba, WATCHED).await;
    dba.batch_execute("update sources set country = 'after'")
        .await
        .unwrap();
    dashboard.agrees_with(&dba, WATCHED).await;
}
