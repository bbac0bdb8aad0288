//! Uploads that go wrong before they are done: nothing of them stays.

use std::{fs, time::Duration};

use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::{
    ADD, ANN, END, FORM, Store, add, head, lines, noted, remain, send, start, start_with,
    update_path,
};
use crate::support::{
    client::Http,
    server::{TestServer, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_after_it_arrived_is_removed() {
    let (server, database, store, mut editor) = start(&["--max-upload-mib", "1"]).await;
    let nobody = format!("/api/update-source/{}/", uuid::Uuid::new_v4());
    let mut added = 0;
    for (request, fields, content, status, body) in [
        (
            ADD,
            &[("country", "France")][..],
            &b"1"[..],
            400,
            "created_by",
        ),
        (
            ADD,
            &[("created_by", "A"), ("end_date", "soon")],
            b"1",
            400,
            "end_date",
        ),
        (ADD, ANN, b"", 400, "The submitted file is empty."),
        (("PATCH", &*nobody), &[], b"1", 404, "Source not found"),
        (
            ADD,
            ANN,
            &vec![b'1'; (1 << 20) + 1],
            413,
            "The file is too large.",
        ),
        (
            ADD,
            ANN,
            &vec![b'1'; 3 << 20],
            413,
            "The file is too large.",
        ),
        (ADD, ANN, &vec![b'1'; 1 << 20], 201, "Ann"),
    ] {
        let answer = send(&mut editor, request, fields, ("a.csv", content)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(body), "{}", answer.text());
        added += i64::from(status == 201);
    }
    assert_eq!(added, 1);
    remain(&store, &database, 1).await;

    // Where no file was chosen there is none.
    let form = [&head(ANN, ""), END].concat();
    let answer = editor.post(ADD.1).body(FORM, form).send().await;
    assert_eq!(
        (answer.status, &answer.json()["data_upload"]),
        (201, &json!(null))
    );
    // Of two in one form the last counts.
    let two = [
        &head(ANN, "1.csv")[..],
        b"1\r\n",
        &head(&[], "2.csv"),
        b"2",
        END,
    ]
    .concat();
    let answer = editor.post(ADD.1).body(FORM, two).send().await;
    let path = answer.json()["data_upload"].as_str().unwrap().to_owned();
    assert!(path.ends_with("/2.csv"), "{path}");
    remain(&store, &database, 2).await;

    let dba = database.connect().await;
    let sql = "update users set role = 'viewer' where username = 'editor'";
    dba.execute(sql, &[]).await.unwrap();
    let mut viewer = Http::new(&server.base)
        .on_page(crate::support::server::ORIGIN)
        .with_cookies_of(&editor);
    let answer = send(&mut viewer, ADD, ANN, ("a.csv", b"1")).await;
    assert_eq!(answer.status, 403);
    assert_eq!(viewer.get(&path).send().await.status, 200, "viewers read");
    assert_eq!(noted(&database).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_client_that_hangs_up_nothing_stays() {
    let (_server, database, store, mut editor) = start(&[]).await;
    // More than is held in memory, so that a part of it is in the store.
    let begun = vec![b'1'; 12 << 20];
    let head = head(ANN, "a.csv");
    let mut request = format!(
        "POST /api/add-source/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n",
        64 << 20
    );
    request += &lines(&editor);
    request += "\r\n";
    let mut wire = editor.address().connect().await.unwrap();
    wire.write_all(request.as_bytes()).await.unwrap();
    wire.write_all(&head).await.unwrap();
    wire.write_all(&begun).await.unwrap();
    eventually("a part is stored", async || {
        store.files().iter().any(|name| name.ends_with("#1"))
    })
    .await;
    // Meanwhile others are served.
    add(&mut editor, ("b.csv", b"1")).await;
    assert_eq!(noted(&database).await, 2);
    drop(wire);
    remain(&store, &database, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_down_is_said_to_be_and_takes_files_again() {
    let (_server, database, store, mut editor) = start(&[]).await;
    let source = add(&mut editor, ("a.csv", b"1")).await;
    let path = source["data_upload"].as_str().unwrap();
    let away = Store::new();
    fs::rename(&store.0, &away.0).unwrap();
    fs::write(&store.0, "not a directory").unwrap();
    let update = update_path(&source);
    let answer = send(&mut editor, ("PATCH", &update), &[], ("b.csv", b"2")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert!(answer.text().contains("The store of uploaded files"));
    assert_eq!(editor.get(path).send().await.status, 503);
    fs::remove_file(&store.0).unwrap();
    fs::rename(&away.0, &store.0).unwrap();
    assert_eq!(editor.get(path).send().await.body, b"1");
    let answer = send(&mut editor, ("PATCH", &update), &[], ("b.csv", b"2")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    remain(&store, &database, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_source_is_locked_goes_again() {
    let (_server, database, store, mut editor) = start_with(&[]).await;
    let source = add(&mut editor, ("a.csv", b"1")).await;
    let dba = database.connect().await;
    let hold = "begin; select from sources for update";
    dba.batch_execute(hold).await.unwrap();
    let update = update_path(&source);
    let answer = send(&mut editor, ("PATCH", &update), &[], ("b.csv", b"2")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("Nothing was saved"));
    remain(&store, &database, 1).await;
    // A trigger that refuses or suppresses it is as sure.
    for body in ["raise exception 'no'", "return null"] {
        let trigger = format!(
            "rollback; create or replace function public.rule() returns trigger language plpgsql
                as $$ begin {body}; end $$;
             create or replace trigger a_rule before update on sources
                for each row execute function public.rule()"
        );
        dba.batch_execute(&trigger).await.unwrap();
        let answer = send(&mut editor, ("PATCH", &update), &[], ("b.csv", b"2")).await;
        assert_eq!(answer.status, 409, "{}", answer.text());
        remain(&store, &database, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_files_for_one_source_at_once_leave_one() {
    let (_server, database, store, mut editor) = start(&[]).await;
    let source = add(&mut editor, ("a.csv", b"1")).await;
    let update = update_path(&source);
    let mut other = editor.clone();
    let (one, two) = tokio::join!(
        send(&mut editor, ("PATCH", &update), &[], ("b.csv", b"2")),
        send(&mut other, ("PATCH", &update), &[], ("c.csv", b"3")),
    );
    assert_eq!((one.status, two.status), (200, 200));
    remain(&store, &database, 1).await;
    let sources = other.get("/api/read-source/").send().await.json();
    let path = sources[0]["data_upload"].as_str().unwrap();
    let content = if path.ends_with("/b.csv") { b"2" } else { b"3" };
    assert_eq!(other.get(path).send().await.body, content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_nothing_is_stored() {
    let store = Store::new();
    let nowhere = "postgres://nobody@127.0.0.1:1/nothing";
    let server = TestServer::launch(nowhere, &["--uploads-url", &store.url()]).await;
    let mut visitor = Http::new(&server.base).with_cookie("sessionid", &"a".repeat(32));
    let answer = tokio::time::timeout(
        Duration::from_secs(10),
        send(&mut visitor, ADD, ANN, ("a.csv", b"1")),
    );
    assert_ne!(answer.await.expect("in time").status, 201);
    assert!(store.files().is_empty());
}
