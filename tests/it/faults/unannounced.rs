//! Edits that fire no trigger, and what must not be taken for one.

use std::process::Stdio;

use tokio::process::Command;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{
    client::Http,
    dashboard::Dashboard,
    metrics::metric,
    observe::audited,
    server::{SOON, TestServer, eventually, open},
};

const WATCHED: Uuid = Uuid::from_u128(1);
const SEED: &str = "insert into sources (id, country) values
    ('00000000-0000-0000-0000-000000000001', 'one'),
    ('00000000-0000-0000-0000-000000000002', 'two')";
const SILENT: &str = r#"marketplace_silent_edits_total{table="sources"}"#;
const LIST_READS: &str = r#"marketplace_view_reads_total{view="list"}"#;

/// Waits until the database has counted so many rows as inserted into `sources`, and a server has seen it.
async fn inserts_are_counted(dba: &Client, rows: i64) {
    let sql = "select pg_stat_get_tuples_inserted('sources'::regclass)";
    eventually("the rows are counted", async || {
        dba.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) >= rows
    })
    .await;
    audited(dba, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_that_fire_no_trigger_are_noticed() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    let mut operator = Http::new(&server.base);
    let mut dashboard = Dashboard::open(&server.visitor("watcher").await, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;

    let edit = |country: &str| {
        format!("update sources set country = '{country}', status = 'inactive' where true")
    };
    let off = "alter table sources disable trigger all".to_owned();
    let on = "alter table sources enable trigger all".to_owned();
    let in_one = format!("begin; {off}; {}; {on}; commit", edit("in one transaction"));
    let listen = database.connect().await;
    listen.batch_execute("listen crud").await.unwrap();
    for statements in [
        // Each a transaction of a session that then does nothing: its counts come seconds late.
        vec![off.clone(), edit("triggers off")],
        vec![edit("still off")],
        vec!["delete from sources where id::text like '%2'".to_owned()],
        vec!["truncate sources".to_owned()],
        vec![SEED.to_owned(), on.clone()],
        vec![in_one],
        vec![off, "truncate sources".to_owned(), SEED.to_owned(), on],
        vec![
            "drop trigger follow_update on sources".to_owned(),
            edit("no trigger"),
        ],
    ] {
        for sql in &statements {
            dba.batch_execute(sql).await.unwrap();
        }
        eprintln!("{statements:?}");
        dashboard.agrees_with(&dba, WATCHED).await;
    }
    eventually("they are counted", async || {
        metric(&mut operator, SILENT).await >= Some(1.0)
    })
    .await;
    let anything = serde_json::json!({ "event": "updated", "ids": null });
    assert_eq!(dashboard.source.newest(), &anything);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_is_counted_late_is_noticed_by_the_triggers_that_are_off() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    let mut dashboard = Dashboard::open(&server.visitor("watcher").await, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;
    // Its counts come when it ends, and are looked at then.
    drop(dba);
    let onlooker = database.connect().await;
    inserts_are_counted(&onlooker, 2).await;

    let dba = database.connect().await;
    let updated = async || {
        let sql = "select pg_stat_get_tuples_updated('sources'::regclass)";
        onlooker.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    let before = updated().await;
    for sql in [
        "alter table sources disable trigger all",
        "update sources set country = 'unannounced and not yet counted'",
    ] {
        dba.batch_execute(sql).await.unwrap();
    }
    dashboard.agrees_with(&onlooker, WATCHED).await;
    assert_eq!(
        updated().await,
        before,
        "it was noticed before it was counted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_with_triggers_off_is_noticed() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    dba.batch_execute("insert into pipeline_runs (step, state) values ('s', 'COMPLETED')")
        .await
        .unwrap();
    let dump = Command::new("pg_dump")
        .args([
            "--format=custom",
            "--data-only",
            "--table=sources",
            "--table=pipeline_runs",
        ])
        .arg(&database.url)
        .stdout(Stdio::piped())
        .output()
        .await
        .expect("pg_dump starts");
    assert!(dump.status.success(), "{dump:?}");
    dba.batch_execute("truncate sources, pipeline_runs")
        .await
        .unwrap();
    let mut dashboard = Dashboard::open(&server.visitor("watcher").await, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;
    let mut library = open(&server.visitor("other").await, "/ws/data_library/").await;
    assert_eq!(library.next_json(SOON).await["data"][2]["s3"], 0);

    let archive = std::env::temp_dir().join(format!("{}.dump", database.name));
    std::fs::write(&archive, dump.stdout).unwrap();
    let restored = Command::new("pg_restore")
        .args(["--data-only", "--disable-triggers", "--dbname"])
        .arg(&database.url)
        .arg(&archive)
        .output()
        .await
        .expect("pg_restore starts");
    std::fs::remove_file(&archive).unwrap();
    assert!(restored.status.success(), "{restored:?}");
    dashboard.agrees_with(&dba, WATCHED).await;
    assert_eq!(library.next_json(SOON).await["data"][2]["s3"], 1);
}

/// A savepoint that is rolled back counts its rows as written, and a table that is rewritten gets other
/// files; neither changes a row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_no_row_is_no_silent_edit_and_no_event() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    let mut operator = Http::new(&server.base);
    let mut dashboard = Dashboard::open(&server.visitor("watcher").await, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;
    inserts_are_counted(&dba, 2).await;
    dashboard.source.news();

    let doubts = r#"marketplace_audit_reads_total{table="sources"}"#;
    let savepoint = |statement: &str| {
        format!("begin; savepoint s; {statement}; rollback to s; select 1; commit")
    };
    for sql in [
        savepoint("insert into sources (country) values ('never')"),
        savepoint("update sources set country = 'never'"),
        savepoint("delete from sources"),
        "vacuum full sources".to_owned(),
        "cluster sources using sources_pkey".to_owned(),
    ] {
        let before: u32 = metric(&mut operator, doubts).await.unwrap();
        // A session of its own, whose counts come when it ends.
        let other = database.connect().await;
        other.batch_execute(&sql).await.unwrap();
        drop(other);
        eventually("it was noticed and looked into", async || {
            metric(&mut operator, doubts).await > Some(before)
        })
        .await;
    }
    assert_eq!(metric(&mut operator, SILENT).await, Some(0.0));
    assert_eq!(dashboard.source.news(), [serde_json::Value::Null; 0]);
    dashboard.agrees_with(&dba, WATCHED).await;
}

/// A statement on a partition fires no trigger of the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_written_directly_is_noticed() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    dba.batch_execute("create table more () inherits (sources)")
        .await
        .unwrap();
    let mut operator = Http::new(&server.base);
    let mut dashboard = Dashboard::open(&server.visitor("watcher").await, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;
    inserts_are_counted(&dba, 2).await;
    // The first ones may only be doubted: what was announced at the start may yet be counted.
    for round in 1.. {
        for sql in [
            "insert into more (country) values ('in a part')",
            "update more set country = 'changed in a part', status = 'inactive'",
            "delete from more",
        ] {
            let other = database.connect().await;
            other.batch_execute(sql).await.unwrap();
            drop(other);
            eprintln!("{round}: {sql}");
            dashboard.agrees_with(&dba, WATCHED).await;
        }
        audited(&dba, 2).await;
        if metric(&mut operator, SILENT).await >= Some(2.0) {
            break;
        }
        assert!(round < 10, "they are not counted");
    }
    let anything = serde_json::json!({ "event": "updated", "ids": null });
    assert_eq!(dashboard.source.newest(), &anything);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_goes_silently_closes_its_sockets() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let mut socket = open(&server.visitor("watcher").await, "/ws/read_source/").await;
    socket.next_json(SOON).await;
    dba.batch_execute("alter table sessions disable trigger all; delete from sessions")
        .await
        .unwrap();
    assert_eq!(socket.closed_within(SOON).await.code, 1008);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_announced_is_not_taken_for_silent_and_read_once() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    let mut operator = Http::new(&server.base);
    let mut dashboard = Dashboard::open(&server.visitor("watcher").await, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;
    inserts_are_counted(&dba, 2).await;

    // One change, one read; also when the database has counted it. Soon after the start what was announced
    // before may yet be counted, and is read again.
    for attempt in 1_u16.. {
        let before: f64 = metric(&mut operator, LIST_READS).await.unwrap();
        let change = format!("update sources set country = 'announced {attempt}'");
        dba.batch_execute(&change).await.unwrap();
        dashboard.agrees_with(&dba, WATCHED).await;
        let counted = "select pg_stat_get_tuples_updated('sources'::regclass)";
        eventually("the change is counted", async || {
            let rows: i64 = dba.query_one(counted, &[]).await.unwrap().get(0);
            rows >= 2 * i64::from(attempt)
        })
        .await;
        audited(&dba, 3).await;
        let reads = metric::<f64>(&mut operator, LIST_READS).await.unwrap() - before;
        if (reads - 1.0).abs() < 0.5 {
            break;
        }
        assert!(attempt < 6, "{reads} reads for one change");
    }

    // Everything that counts otherwise than it is announced, in quick succession.
    for sql in [
        "begin; update sources set country = 'twice'; update sources set country = 'twice too'; commit",
        "begin; update sources set country = 'never'; rollback",
        "insert into sources (country) select 'many' from generate_series(1, 1000)",
        "update sources set panel = 'one', country = 'x'",
        "update sources set panel = 'two'",
        "delete from sources where country = 'many'",
        "truncate sources",
        SEED,
    ] {
        dba.batch_execute(sql).await.unwrap();
    }
    dashboard.agrees_with(&dba, WATCHED).await;
    // Those of `SEED`, of the thousand, and of `SEED` again.
    inserts_are_counted(&dba, 1004).await;
    audited(&dba, 3).await;
    assert_eq!(metric(&mut operator, SILENT).await, Some(0.0));
    let doubts = r#"marketplace_audit_reads_total{table="sources"}"#;
    let doubts: u32 = metric(&mut operator, doubts).await.unwrap();
    eprintln!("{doubts} quiet reads");

    // That it looks at all: without a trigger fired and with every trigger in place.
    dba.batch_execute(
        "alter table sources disable trigger all; alter table sources enable trigger all",
    )
    .await
    .unwrap();
    dba.batch_execute(
        "begin; set local session_replication_role = replica;
                       update sources set country = 'as a replica'; commit",
    )
    .await
    .unwrap();
    drop(dba);
    let dba = database.connect().await;
    dashboard.agrees_with(&dba, WATCHED).await;
    eventually("it is counted", async || {
        metric(&mut operator, SILENT).await == Some(1.0)
    })
    .await;
}
