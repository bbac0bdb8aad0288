//! Things that break on purpose, each with the proof that it broke, and what clients show after.

use std::time::{Duration, Instant};

use marketplace::embedded::{Cluster, StopMode};
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{
    client::Http,
    dashboard::Dashboard,
    observe::listeners,
    postgres::{self, private_cluster},
    proxy::Proxy,
    server::{ORIGIN, SOON, TestServer, eventually, open},
};

const WATCHED: Uuid = Uuid::from_u128(1);
const SEED: &str = "insert into sources (id, country) values
    ('00000000-0000-0000-0000-000000000001', 'one'),
    ('00000000-0000-0000-0000-000000000002', 'two')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_made_while_the_listener_is_away_is_shown() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let elsewhere = postgres::cluster().await.database(None).await;
    let elsewhere = elsewhere.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    let mut dashboard = Dashboard::open(&server.visitor("watcher").await, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;

    // Nobody gets in any more, so the listener stays away; those who are in are not disturbed.
    let lock = |open: bool| format!("alter database {} allow_connections {open}", database.name);
    elsewhere.batch_execute(&lock(false)).await.unwrap();
    let before = listeners(&dba).await;
    assert_eq!(before.len(), 1);
    dba.execute("select pg_terminate_backend($1)", &[&before[0]])
        .await
        .unwrap();
    eventually("the listener is gone", async || {
        listeners(&dba).await.is_empty()
    })
    .await;
    dba.batch_execute("update sources set country = 'unseen', status = 'inactive'")
        .await
        .unwrap();
    dba.batch_execute("delete from sources where id::text like '%2'")
        .await
        .unwrap();
    assert!(
        listeners(&dba).await.is_empty(),
        "the change was made while nobody listened"
    );
    let mut operator = Http::new(&server.base);
    eventually("the server says that it does not listen", async || {
        let ready = operator.get("/readyz").send().await;
        ready.status == 503 && ready.text().contains("listener")
    })
    .await;

    elsewhere.batch_execute(&lock(true)).await.unwrap();
    dashboard.agrees_with(&dba, WATCHED).await;
    server.ready().await;
    assert_ne!(listeners(&dba).await, before);
    let anything = json!({ "event": "updated", "ids": null });
    assert_eq!(dashboard.source.newest(), &anything);
    assert_eq!(
        dashboard.activation.newest(),
        &json!({ "event": "toggled", "sources": null })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboards_survive_a_restart_of_postgresql() {
    // The sessions must survive a crash, as they do by default.
    let mut cluster = private_cluster(&[("synchronous_commit", "on")]).await;
    let server = TestServer::on(&cluster.url(), &[]).await;
    let dba = postgres::connect(&cluster.url()).await;
    dba.batch_execute(SEED).await.unwrap();
    let mut dashboard = Dashboard::open(&server.visitor("watcher").await, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;
    let started = "select pg_postmaster_start_time()::text";
    let before: String = dba.query_one(started, &[]).await.unwrap().get(0);

    for mode in [StopMode::Immediate, StopMode::Fast] {
        // `immediate` loses what was not synced, so the row's last state is whatever survived.
        cluster.restart(mode).await.unwrap();
        let dba = postgres::connect(&cluster.url()).await;
        let after: String = dba.query_one(started, &[]).await.unwrap().get(0);
        assert_ne!(before, after, "PostgreSQL was restarted");
        dba.batch_execute("update sources set country = clock_timestamp()::text")
            .await
            .unwrap();
        dashboard.agrees_with(&dba, WATCHED).await;
    }
    server.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_on_one_server_is_shown_by_the_other() {
    let (one, database) = TestServer::start().await;
    let other = TestServer::on(&database.url, &[]).await;
    let dba = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    assert_eq!(listeners(&dba).await.len(), 2, "two servers listen");
    let mut writer = one.visitor("writer").await;
    let mut dashboards = [
        Dashboard::open(&writer, WATCHED).await,
        Dashboard::open(&other.visitor("reader").await, WATCHED).await,
    ];
    let path = format!("/api/update-source/{WATCHED}/");
    let patched = writer
        .call("PATCH", &path)
        .json(&json!({ "country": "patched" }))
        .send()
        .await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    for dashboard in &mut dashboards {
        dashboard.agrees_with(&dba, WATCHED).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_closes_its_sockets_on_every_server() {
    let (one, database) = TestServer::start().await;
    let other = TestServer::on(&database.url, &[]).await;
    let dba = database.connect().await;
    let visitor = one.visitor("watcher").await;
    let mut elsewhere = Http::new(&other.base).on_page(ORIGIN);
    one.visitor("bystander").await;
    other.sign_in(&mut elsewhere, "bystander").await;
    let bystander = open(&elsewhere, "/ws/read_source/").await;

    let expire = "update sessions set expires_at = clock_timestamp() where user_id =
        (select id from users where username = 'watcher')";
    let soon = expire.replace(
        "clock_timestamp()",
        "clock_timestamp() + interval '1 second'",
    );
    let delete = "delete from sessions where user_id =
        (select id from users where username = 'watcher')";
    for how in [
        "log out",
        expire,
        &soon,
        delete,
        "delete from users where username = 'watcher'",
    ] {
        let mut visitor = visitor.clone();
        one.sign_in(&mut visitor, "watcher").await;
        // The same session, seen by the other server.
        let there = Http::new(&other.base)
            .on_page(ORIGIN)
            .with_cookies_of(&visitor);
        let mut sockets = [
            open(&visitor, "/ws/source/").await,
            open(&there, "/ws/read_source/").await,
            open(&there, "/ws/data_library/").await,
        ];
        if how == "log out" {
            assert_eq!(visitor.get("/api/logout/").send().await.status, 200);
        } else {
            assert!(dba.execute(how, &[]).await.unwrap() > 0, "{how}");
        }
        let ended = Instant::now();
        for socket in &mut sockets {
            assert_eq!(socket.closed_within(SOON).await.code, 1008, "{how}");
        }
        let within = Duration::from_secs(if how == soon { 2 } else { 1 });
        assert!(ended.elapsed() < within, "{how}: {:?}", ended.elapsed());
        let refused = crate::support::client::Socket::open(&there, "/ws/read_source/").await;
        assert!(refused.is_err(), "{how}: the cookie still opens sockets");
    }
    assert_eq!(
        bystander.closed(),
        None,
        "another session's socket was closed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_during_an_outage_is_answered_503_within_two_seconds() {
    let cluster = private_cluster(&[]).await;
    let url = cluster.url();
    let server = TestServer::on(&url, &[]).await;
    let mut visitor = server.visitor("somebody").await;
    let home = cluster.stop().await;
    assert!(
        tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .is_err(),
        "it is down"
    );
    let body = json!({ "username": "somebody", "password": "Correct-horse-7" });
    let id = Uuid::nil();
    for (method, path) in [
        ("GET", "/api/read-source/".to_owned()),
        ("GET", "/api/data-library/".to_owned()),
        ("POST", "/api/add-source/".to_owned()),
        ("PATCH", format!("/api/update-source/{id}/")),
        ("POST", format!("/api/activate-source/{id}/")),
        ("DELETE", format!("/api/delete-source/{id}/")),
        ("POST", "/api/login/".to_owned()),
    ] {
        let asked = Instant::now();
        let answer = visitor.call(method, &path).json(&body).send().await;
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.text());
        assert!(
            answer.json()["detail"].is_string(),
            "{method} {path}: {}",
            answer.text()
        );
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{method} {path}: {:?}",
            asked.elapsed()
        );
    }
    let mut operator = Http::new(&server.base);
    assert_eq!(operator.get("/healthz").send().await.status, 200);
    let ready = operator.get("/readyz").send().await;
    assert_eq!(ready.status, 503, "{}", ready.text());

    let options = postgres::options(&home.dir, &[]);
    let cluster = Cluster::start(options).await.expect("PostgreSQL starts");
    assert_eq!(cluster.url(), url, "it is the same database");
    server.ready().await;
    assert_eq!(visitor.get("/api/read-source/").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_hosts_is_tried_in_turn() {
    let database = crate::support::server::database().await;
    let address = database
        .url
        .rsplit_once('@')
        .expect("an address has a user")
        .1;
    let (host, _) = address.split_once('/').expect("an address has a path");
    // Nobody listens on port 1.
    let hosts = format!("127.0.0.1:1,{host}");
    let url = format!(
        "{}?target_session_attrs=read-write",
        database.url.replace(host, &hosts)
    );
    let server = TestServer::on(&url, &[]).await;
    assert_eq!(listeners(&database.connect().await).await.len(), 1);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_beyond_the_limit_are_told_so_and_let_in_when_others_leave() {
    let database = crate::support::server::database().await;
    let arguments = ["--anonymous", "read", "--max-connections", "3"];
    let server = TestServer::on(&database.url, &arguments).await;
    let visitor = Http::new(&server.base).on_page(ORIGIN);
    let mut sockets = Vec::new();
    eventually("three sockets are open", async || {
        // The request that asked for readiness may not have hung up yet.
        if let Ok(socket) = crate::support::client::Socket::open(&visitor, "/ws/read_source/").await
        {
            sockets.push(socket);
        }
        sockets.len() == 3
    })
    .await;
    let mut late = visitor.clone();
    let answer = late.get("/healthz").send().await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(answer.json()["detail"].is_string());
    sockets.pop().expect("three were open").close(1000).await;
    eventually("there is a place again", async || {
        late.get("/healthz").send().await.status == 200
    })
    .await;
}

/// A program that has something to migrate asks for this lock.
const MIGRATION_LOCK: &str =
    "begin; lock table public.refinery_schema_history in share update exclusive mode";

/// Waits until a statement in this database waits for a lock.
async fn somebody_waits(onlooker: &Client) {
    eventually("somebody waits for a lock", async || {
        let sql = "select 1 from pg_stat_activity
                    where datname = current_database() and wait_event_type = 'Lock'";
        !onlooker.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_while_migrating_is_made_again() {
    let database = crate::support::server::database().await;
    let (dba, onlooker) = (database.connect().await, database.connect().await);
    let (proxy, url) = Proxy::in_front_of(&database.url).await;
    // Another time zone has the program derive every source again, in the transaction that it migrates in.
    let hold = "begin; lock table public.sources in share row exclusive mode";
    dba.batch_execute(hold).await.unwrap();
    let server = TestServer::launch(&url, &["--time-zone", "Asia/Tokyo"]).await;
    somebody_waits(&onlooker).await;
    proxy.reset();
    eventually("its connection broke", async || proxy.counts().reset > 0).await;
    dba.batch_execute("rollback").await.unwrap();
    server.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_goes_silent_at_the_start_is_not_waited_for() {
    let database = crate::support::server::database().await;
    let (dba, onlooker) = (database.connect().await, database.connect().await);
    let (proxy, url) = Proxy::in_front_of(&database.url).await;
    let hold = "begin; lock table refinery_schema_history";
    dba.batch_execute(hold).await.unwrap();
    let server = TestServer::launch(&url, &[]).await;
    somebody_waits(&onlooker).await;
    proxy.silence();
    dba.batch_execute("rollback").await.unwrap();
    eventually("an answer did not come through", async || {
        proxy.counts().withheld > 0
    })
    .await;
    server.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_database_that_is_up_to_date_asks_nobody_for_the_lock() {
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    dba.batch_execute(MIGRATION_LOCK).await.unwrap();
    TestServer::on(&database.url, &[]).await;
    let sql =
        "select 1 from pg_locks where pid = pg_backend_pid() and mode = 'ShareUpdateExclusiveLock'";
    assert!(!dba.query(sql, &[]).await.unwrap().is_empty(), "it is held");
}
