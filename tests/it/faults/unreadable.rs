//! What cannot be read of the database: `/readyz` and the log say what and why, and when it is over.

use std::{fs, path::PathBuf};

use marketplace::{db::probe, pg::Pool};
use serde_json::Value;

use crate::support::{
    client::Http,
    migrate::migrate_to,
    postgres::{self, Home},
    program::{Running, program},
    server::{SOON, TestServer, database, eventually, open},
};

/// Waits until `/readyz` gives this status and, in one of its sentences, each of these parts.
async fn is_told(operator: &mut Http, status: u16, parts: &[&str]) {
    let mut body = Value::Null;
    let told = async || {
        let answer = operator.get("/readyz").send().await;
        body = answer.json();
        let troubles: Vec<String> = body["troubles"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|trouble| trouble.as_str().unwrap().to_owned())
            .collect();
        let has_all = |trouble: &String| parts.iter().all(|part| trouble.contains(part));
        answer.status == status && (parts.is_empty() || troubles.iter().any(has_all))
    };
    eventually(&format!("{status} with {parts:?}"), told).await;
}

/// Any column of any table: statements that write use some which no list reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_a_renamed_column_cannot_be_read() {
    let database = database().await;
    let pool = Pool::new(&database.url.parse().unwrap(), 1).unwrap();
    let client = pool.client().await.unwrap();
    let sql = "select c.relname::text as table, quote_ident(a.attname) as column
                 from pg_attribute a join pg_class c on c.oid = a.attrelid
                where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
                  and c.relname <> 'refinery_schema_history' and a.attnum > 0 and not a.attisdropped";
    let dba = database.connect().await;
    let columns = dba.query(sql, &[]).await.unwrap();
    assert!(columns.len() > 70, "{}", columns.len());
    for row in columns {
        let (table, column): (&str, &str) = (row.get("table"), row.get("column"));
        probe::table(&client, table).await.unwrap();
        let rename = |from, to| format!("alter table public.{table} rename column {from} to {to}");
        dba.batch_execute(&rename(column, "another_name"))
            .await
            .unwrap();
        let read = probe::table(&client, table).await;
        dba.batch_execute(&rename("another_name", column))
            .await
            .unwrap();
        let why = read.expect_err(&format!("{table}.{column}")).to_string();
        assert!(
            why.contains(column.trim_matches('"')),
            "{table}.{column}: {why}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_transaction_that_holds_a_lock_is_named() {
    let cluster = postgres::private_cluster(&[("max_prepared_transactions", "5")]).await;
    let url = cluster.url();
    let mut dba = postgres::connect(&url).await;
    migrate_to(12, &mut dba).await;
    dba.batch_execute(
        "begin; lock table public.sources in access exclusive mode; prepare transaction 'left behind'",
    )
    .await
    .unwrap();
    let pool = Pool::new(&url.parse().unwrap(), 1).unwrap();
    let client = pool.client().await.unwrap();
    let holder = probe::holder(&client, "sources").await.unwrap();
    let holder = holder.expect("it holds the lock");
    assert!(
        holder.contains("the prepared transaction 'left behind'"),
        "{holder}"
    );
    // A migration says so, too.
    let server = TestServer::launch(&url, &[]).await;
    let mut operator = Http::new(&server.base);
    is_told(
        &mut operator,
        503,
        &["sources is locked by the prepared transaction 'left behind'"],
    )
    .await;
    dba.batch_execute("rollback prepared 'left behind'")
        .await
        .unwrap();
    server.ready().await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_told_with_the_reason_until_it_can() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let mut operator = Http::new(&server.base);
    let visitor = server.visitor("watcher").await;
    let mut socket = open(&visitor, "/ws/read_source/").await;
    socket.next_json(SOON).await;

    for (breaks, parts, mends) in [
        (
            "alter table sources rename country to land",
            ["table sources", "country"],
            "alter table sources rename land to country",
        ),
        (
            "alter table users rename to people",
            ["table users", "users"],
            "alter table people rename to users",
        ),
        (
            "alter table pipeline_runs rename reason to why",
            ["table pipeline_runs", "reason"],
            "alter table pipeline_runs rename why to reason",
        ),
        (
            "begin; lock table sources in access exclusive mode",
            ["table sources", "locked by pid"],
            "commit",
        ),
    ] {
        dba.batch_execute(breaks).await.unwrap();
        is_told(&mut operator, 503, &parts).await;
        dba.batch_execute(mends).await.unwrap();
        is_told(&mut operator, 200, &[]).await;
    }
    // A view that has something to read says so, too, and is right afterwards.
    dba.batch_execute("alter table sources rename panel to pane")
        .await
        .unwrap();
    dba.batch_execute("insert into sources (country) values ('new')")
        .await
        .unwrap();
    is_told(&mut operator, 503, &["view list", "panel"]).await;
    dba.batch_execute("alter table sources rename pane to panel")
        .await
        .unwrap();
    is_told(&mut operator, 200, &[]).await;
    eventually("the list is shown", async || {
        socket.next_json(SOON).await["data"][0]["country"] == "new"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_one_line_when_it_begins_and_one_when_it_is_over() {
    let database = database().await;
    let dba = database.connect().await;
    let home = Home::new();
    fs::create_dir(&home.dir).unwrap();
    let log: PathBuf = home.dir.join("log");
    let mut command = program(&["serve", "--bind", "127.0.0.1:0"]);
    command.env("DATABASE_URL", &database.url);
    let _server = Running::logging(command, &log);
    let lines = |part: &str| {
        let log = fs::read_to_string(&log).unwrap();
        log.lines()
            .filter(|line| line.contains(part) && line.contains("table sources"))
            .count()
    };
    // Its first rounds are over.
    eventually("the server runs", async || {
        let sql = "select from pg_stat_activity where application_name = 'marketplace listener' and datname = current_database()";
        !dba.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;
    dba.batch_execute("alter table sources rename country to land")
        .await
        .unwrap();
    eventually("the log speaks", async || {
        lines("cannot be read; trying again") == 1
    })
    .await;
    // Several rounds more: in each of them another table is found to be wrong, and then to be right.
    let of_runs = |part: &str| {
        let log = fs::read_to_string(&log).unwrap();
        log.lines()
            .filter(|line| line.contains(part) && line.contains("table pipeline_runs"))
            .count()
    };
    for round in 1..=3 {
        dba.batch_execute("alter table pipeline_runs rename reason to why")
            .await
            .unwrap();
        eventually("it is found to be wrong", async || {
            of_runs("cannot be read; trying again") == round
        })
        .await;
        dba.batch_execute("alter table pipeline_runs rename why to reason")
            .await
            .unwrap();
        eventually("it is found to be right", async || {
            of_runs("can be read again") == round
        })
        .await;
    }
    assert_eq!(lines("cannot be read; trying again"), 1);
    dba.batch_execute("alter table sources rename land to country")
        .await
        .unwrap();
    eventually("the log says that it is over", async || {
        lines("can be read again") == 1
    })
    .await;
}
