//! Connections that are up and deaf: half-open, or behind a transaction pooler; and everything else
//! through such a pooler.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{
    client::Http,
    dashboard::Dashboard,
    live::Live,
    metrics::metric,
    observe::listeners,
    pgbouncer::PgBouncer,
    postgres,
    proxy::Proxy,
    server::{SOON, TestServer, database, eventually},
};

const WATCHED: Uuid = Uuid::from_u128(1);
const SEED: &str = "insert into sources (id, country) values
    ('00000000-0000-0000-0000-000000000001', 'one'),
    ('00000000-0000-0000-0000-000000000002', 'two')";

/// The address with another port of the same host.
fn with_port(url: &str, port: u16) -> String {
    let config: tokio_postgres::Config = url.parse().unwrap();
    url.replace(
        &format!(":{}/", config.get_ports()[0]),
        &format!(":{port}/"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_up_and_deaf_is_found_and_replaced() {
    let database = database().await;
    let config: tokio_postgres::Config = database.url.parse().unwrap();
    let proxy = Proxy::to(config.get_ports()[0]).await;
    let listen = with_port(&database.url, proxy.port);
    let server = TestServer::on(&database.url, &["--listen-database-url", &listen]).await;
    let dba = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    let mut dashboard = Dashboard::open(&server.visitor("watcher").await, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;
    let before = listeners(&dba).await;
    assert_eq!(before.len(), 1);

    proxy.silence();
    let deaf_since = Instant::now();
    dba.batch_execute("update sources set country = 'unheard', status = 'inactive'")
        .await
        .unwrap();
    eventually("what was notified is withheld", async || {
        proxy.counts().withheld > 0
    })
    .await;
    assert_eq!(listeners(&dba).await, before, "neither end knows");

    let mut operator = Http::new(&server.base);
    let connections = metric(&mut operator, "marketplace_listener_connections_total").await;
    assert_eq!(connections, Some(1.0));
    eventually("the connection is replaced", async || {
        let now = listeners(&dba).await;
        !now.is_empty() && now != before && {
            let connections = metric(&mut operator, "marketplace_listener_connections_total");
            connections.await == Some(2.0)
        }
    })
    .await;
    let found = deaf_since.elapsed();
    assert!(found < Duration::from_secs(10), "{found:?}");
    dashboard.agrees_with(&dba, WATCHED).await;
    dba.batch_execute("update sources set country = 'heard again'")
        .await
        .unwrap();
    dashboard.agrees_with(&dba, WATCHED).await;
    server.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_transaction_pooler_with_a_direct_listener_everything_works() {
    let empty = postgres::cluster().await.database(None).await;
    let pooler = PgBouncer::before(&empty.url, 4).await;
    let dba = empty.connect().await;
    // Three cold starts at once: the migrations, the calendar and the day's turn by the pooler.
    let direct = ["--listen-database-url", &empty.url];
    let servers = [
        TestServer::launch(&pooler.url, &direct).await,
        TestServer::launch(&pooler.url, &direct).await,
        TestServer::launch(&pooler.url, &direct).await,
    ];
    for server in &servers {
        server.ready().await;
    }
    let locks = "select count(*) from pg_locks
                  where locktype = 'advisory' and database = (select oid from pg_database
                        where datname = current_database())";
    eventually("the migrations left no lock", async || {
        count(&dba, locks).await == 0
    })
    .await;
    eventually("exactly one server turned the day", async || {
        count(&dba, "select count(*) from day_turns").await == 1
    })
    .await;

    dba.batch_execute(SEED).await.unwrap();
    let [one, other, _] = &servers;
    let mut writer = one.visitor("writer").await;
    let mut dashboards = [
        Dashboard::open(&writer, WATCHED).await,
        Dashboard::open(&other.visitor("reader").await, WATCHED).await,
    ];
    let mut live = Live::of(&writer).await;
    live.subscribe("all", "rows", json!({ "limit": 500 })).await;
    let before = pooler.transactions().await;
    let path = format!("/api/update-source/{WATCHED}/");
    for country in ["a", "b", "c", "d", "e"] {
        let patched = writer.call("PATCH", &path);
        let patched = patched.json(&json!({ "country": country })).send().await;
        assert_eq!(patched.status, 200, "{}", patched.text());
    }
    let added = writer
        .post("/api/add-source/")
        .json(
            &json!({ "country": "added", "created_by": "writer", "current_update": "2020-02-02" }),
        )
        .send()
        .await;
    assert_eq!(added.status, 201, "{}", added.text());
    dba.batch_execute("update sources set status = 'inactive' where country = 'two'")
        .await
        .unwrap();
    for dashboard in &mut dashboards {
        dashboard.agrees_with(&dba, WATCHED).await;
    }
    let newest_first = "select country from sources order by created_at desc, id";
    live.agrees("all", "country", &dba, newest_first).await;
    let idle = "select count(*) from pg_stat_activity
                 where datname = current_database() and state = 'idle in transaction'";
    assert_eq!(
        count(&dba, idle).await,
        0,
        "what was read as it came left no transaction"
    );
    let read = writer.get("/api/read-source/").send().await;
    assert_eq!(read.json().as_array().map(Vec::len), Some(3));
    assert_eq!(writer.get("/api/logout/").send().await.status, 200);
    eventually("the pooler has carried it", async || {
        // Its statistics are of the last whole period, but the sums are of now.
        pooler.transactions().await > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_transaction_pooler_alone_readiness_says_what_to_set_and_dashboards_follow() {
    let database = database().await;
    let pooler = PgBouncer::before(&database.url, 4).await;
    let dba = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    let server = TestServer::launch(&pooler.url, &[]).await;
    let mut operator = Http::new(&server.base);
    eventually("readiness says what to set", async || {
        let ready = operator.get("/readyz").send().await;
        let text = ready.text();
        ready.status == 503 && text.contains("set LISTEN_DATABASE_URL to a direct connection")
    })
    .await;
    let told: Vec<serde_json::Value> = operator.get("/readyz").send().await.json()["troubles"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(told.len(), 1, "in one sentence: {told:?}");
    let up = metric(&mut operator, "marketplace_listener_up").await;
    assert_eq!(up, Some(0.0), "nothing is heard");

    let mut writer = server.visitor("writer").await;
    let mut dashboard = Dashboard::open(&writer, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;
    for sql in [
        "update sources set country = 'by hand', status = 'inactive'",
        "delete from sources where id::text like '%2'",
        "insert into sources (country, current_update) values ('new', local_date())",
        "truncate sources",
        SEED,
    ] {
        dba.batch_execute(sql).await.unwrap();
        let changed = Instant::now();
        dashboard.agrees_with(&dba, WATCHED).await;
        let fresh = changed.elapsed();
        assert!(fresh < Duration::from_secs(5), "{sql}: {fresh:?}");
    }
    let path = format!("/api/update-source/{WATCHED}/");
    let patched = writer.call("PATCH", &path);
    let patched = patched.json(&json!({ "country": "patched" })).send().await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    dashboard.agrees_with(&dba, WATCHED).await;
    let anything = json!({ "event": "updated", "ids": null });
    eventually("those who want events are told as well", async || {
        dashboard.source.newest() == &anything
    })
    .await;

    let mut session = crate::support::server::open(&writer, "/ws/source/").await;
    dba.execute("delete from sessions", &[]).await.unwrap();
    assert_eq!(session.closed_within(SOON).await.code, 1008);
}

async fn count(database: &Client, sql: &str) -> i64 {
    database.query_one(sql, &[]).await.unwrap().get(0)
}
