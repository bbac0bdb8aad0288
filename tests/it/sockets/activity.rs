//! Who changed what: every statement is kept once, with whose it was, and shown live.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::server::{SOON, TestServer, eventually, open};

/// What is kept of the statements, oldest first: operation, count, how many ids, user, role, program.
async fn kept(dba: &Client) -> Vec<(String, Option<i64>, i32, Option<String>, String, String)> {
    let sql = "select operation, row_count, cardinality(row_ids), username, role_name,
                      application_name
                 from changes order by at";
    let rows = dba.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| {
            let text = |column| row.get::<_, String>(column);
            (
                text(0),
                row.get(1),
                row.get(2),
                row.get(3),
                text(4),
                text(5),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_for_a_user_is_kept_as_theirs_and_one_by_hand_as_the_roles() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let mut ann = server.visitor("ann").await;
    let added = ann
        .post("/api/add-source/")
        .json(&json!({ "created_by": "x", "country": "France" }))
        .send()
        .await;
    let id = added.json()["id"].as_str().unwrap().to_owned();
    let update = format!("/api/update-source/{id}/");
    let patch = ann.call("PATCH", &update).json(&json!({ "panel": "p" }));
    assert_eq!(patch.send().await.status, 200);
    let toggled = ann.post(&format!("/api/deactivate-source/{id}/")).send();
    assert_eq!(toggled.await.status, 200);

    let mut socket = open(&ann, "/ws/source/").await;
    let message = json!({ "action": "add_source",
        "formData": { "created_by": "x", "country": "Italy" } });
    socket.send_json(&message).await;
    let mut socket = open(&ann, "/ws/data_source_activation/").await;
    let message = json!({ "action": "activate", "source_id": id });
    socket.send_json(&message).await;
    eventually("the sockets' writes are kept", async || {
        kept(&dba).await.len() == 5
    })
    .await;
    let gone = ann.call("DELETE", &format!("/api/delete-source/{id}/"));
    assert_eq!(gone.send().await.status, 204);

    let role: String = dba
        .query_one("select session_user::text", &[])
        .await
        .unwrap()
        .get(0);
    let all = kept(&dba).await;
    let mut operations: Vec<&str> = all.iter().map(|kept| &*kept.0).collect();
    operations[3..5].sort_unstable(); // Two sockets, in either order.
    assert_eq!(
        operations,
        ["insert", "update", "update", "insert", "update", "delete"]
    );
    for (operation, count, ids, user, as_role, program) in all {
        assert_eq!((count, ids), (Some(1), 1), "{operation}");
        assert_eq!(user.as_deref(), Some("ann"), "{operation}");
        assert_eq!((&as_role, &*program), (&role, "marketplace"), "{operation}");
    }

    let sql = "truncate changes; insert into sources (country) select n::text from generate_series(1, 500) n;
        update sources set panel = 'p' where false; update sources set panel = 'q' where country = '7';
        truncate sources";
    assert!(database.psql(sql).await.status.success());
    let by_hand: Vec<_> = kept(&dba)
        .await
        .into_iter()
        .map(|(operation, count, ids, user, as_role, program)| {
            assert_eq!((user, as_role, &*program), (None, role.clone(), "psql"));
            (operation, count, ids)
        })
        .collect();
    let expected = [
        ("insert", Some(500), 100),
        ("update", Some(1), 1),
        ("truncate", None, 0),
    ];
    assert_eq!(
        by_hand,
        expected.map(|(operation, count, ids)| (operation.to_owned(), count, ids))
    );
}

#[tokio::test]
async fn what_replication_applies_and_what_is_emptied_is_kept_as_well() {
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    for (table, column) in [("sources", "country"), ("pipeline_runs", "step")] {
        for role in ["replica", "origin"] {
            dba.batch_execute(&format!(
                "truncate changes; set session_replication_role = {role};
                 insert into {table} ({column}) values ('a'), ('b'), ('c');
                 update {table} set {column} = 'd' where {column} <> 'c';
                 delete from {table} where {column} = 'c';
                 delete from {table} where {column} = 'c';
                 truncate {table};
                 reset session_replication_role"
            ))
            .await
            .unwrap();
            let sql =
                "select concat_ws(' ', table_name, operation, row_count, cardinality(row_ids))
                         from changes order by at";
            let rows = dba.query(sql, &[]).await.unwrap();
            let kept: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            let expected = ["insert 3 3", "update 2 2", "delete 1 1", "truncate 0"];
            let expected = expected.map(|did| format!("{table} {did}"));
            assert_eq!(kept, expected, "{role}");
        }
    }
}

#[tokio::test]
async fn what_a_session_says_of_itself_is_cut_to_the_length_of_a_name() {
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "select set_config('marketplace.user', repeat('ü', 3000000), false);
         select set_config('application_name', repeat('a', 3000000), false);
         insert into sources (country) values ('France')",
    )
    .await
    .unwrap();
    let all = kept(&dba).await;
    assert_eq!(all[0].3.as_deref(), Some(&*"ü".repeat(150)));
    assert!(all[0].4.len() < 64 && all[0].5.len() < 64, "{all:?}");
}

#[tokio::test]
async fn who_may_change_sources_needs_no_rights_on_what_is_kept() {
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    // Roles are the cluster's, so the name is this test's own.
    dba.batch_execute(
        "drop role if exists activity_clerk; create role activity_clerk;
         grant select, insert, update on sources to activity_clerk;
         set role activity_clerk;
         insert into sources (country) values ('France');
         reset role",
    )
    .await
    .unwrap();
    let all = kept(&dba).await;
    dba.batch_execute("drop owned by activity_clerk; drop role activity_clerk")
        .await
        .unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].4, "activity_clerk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_hundred_are_shown_and_what_is_new_follows() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    for n in 0..120 {
        let sql = format!("insert into sources (country) values ('c{n}')");
        dba.batch_execute(&sql).await.unwrap();
    }
    let ann = server.visitor("ann").await;
    let mut socket = open(&ann, "/ws/activity/").await;
    let first = socket.next_json(SOON).await;
    assert_eq!(first["data"].as_array().map(Vec::len), Some(100));
    let minutes = first["minutes"].as_array().unwrap();
    let all: i64 = minutes.iter().map(|pair| pair[1].as_i64().unwrap()).sum();
    assert_eq!(all, 120);

    let sql = "update sources set panel = 'p' where country in ('c1', 'c2', 'c3')";
    assert!(database.psql(sql).await.status.success());
    let newest = socket.next_json(SOON).await["data"][0].clone();
    assert_eq!(
        json!([
            newest["table"],
            newest["operation"],
            newest["count"],
            newest["user"],
            newest["application"]
        ]),
        json!(["sources", "update", 3, null, "psql"])
    );
    assert_eq!(newest["ids"].as_array().map(Vec::len), Some(3));

    // Old ones go by the daily job, which runs when a server starts.
    dba.batch_execute("update changes set at = at - interval '31 days' where operation = 'insert'")
        .await
        .unwrap();
    server.stop().await.unwrap();
    let _server = TestServer::on(&database.url, &[]).await;
    eventually("old changes are gone", async || kept(&dba).await.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_see_neither_activity_nor_health() {
    let database = crate::support::server::database().await;
    let server = TestServer::on(&database.url, &["--anonymous", "read"]).await;
    let mut stranger = crate::support::client::Http::new(&server.base);
    let refused = crate::support::client::Socket::open(&stranger, "/ws/activity/").await;
    assert!(
        refused.is_err(),
        "the names of people are not for strangers"
    );
    assert_eq!(stranger.get("/api/health/").send().await.status, 403);

    let mut ann = server.visitor("ann").await;
    let _list = open(&ann, "/ws/read_source/").await;
    let mut report = Value::Null;
    eventually("the socket is counted", async || {
        report = ann.get("/api/health/").send().await.json();
        report["groups"]["DataSource"] == 1
    })
    .await;
    assert_eq!(report["troubles"], json!([]));
    assert_eq!(report["database"]["nodes"], 1);
    assert!(report["listener"]["heartbeat_age_ms"].is_u64(), "{report}");
}
