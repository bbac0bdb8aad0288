//! Senders who may not come in any more when their body has arrived: what they asked for is not done.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{ADD, ANN, END, FORM, head, lines, noted, remain, start};
use crate::support::{
    client::Http,
    server::{SOON, eventually},
};

const JSON: &str = "application/json";

/// A request whose body is cut in two, up to the cut, with headers that say who sends it.
async fn begin(
    visitor: &Http,
    who: &str,
    (method, path): (&str, &str),
    kind: &str,
    [first, rest]: [&[u8]; 2],
) -> TcpStream {
    let mut wire = visitor.address().connect().await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n{who}\r\n",
        first.len() + rest.len()
    );
    wire.write_all(&[request.as_bytes(), first].concat())
        .await
        .unwrap();
    wire
}

/// The answer once the rest is sent: its status, and all of it.
async fn end(mut wire: TcpStream, rest: &[u8]) -> (u16, String) {
    wire.write_all(rest).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        while !answer.ends_with(b"}") {
            answer.push(wire.read_u8().await.expect("it does not break off"));
        }
    };
    timeout(SOON, read).await.expect("an answer comes");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer[9..12].parse().unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_kept_out_while_a_file_arrives_adds_nothing() {
    let (server, database, store, _) = start(&[]).await;
    let dba = database.connect().await;
    let form = [&head(ANN, "a.csv"), &b"1,2\n"[..]].concat();
    for (n, kept_out) in [
        "update users set is_active = false where username = $1",
        "update users set role = 'viewer' where username = $1",
        "delete from users where username = $1",
        "delete from sessions where user_id = (select id from users where username = $1)",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user{n}");
        let user = server.visitor(&name).await;
        let wire = begin(&user, &lines(&user), ADD, FORM, [&form, END]).await;
        eventually("it has begun", async || noted(&database).await == 1).await;
        assert_eq!(dba.execute(kept_out, &[&name]).await.unwrap(), 1);
        linger().await;
        let (status, answer) = end(wire, END).await;
        assert_eq!(status, 403, "{kept_out}: {answer}");
        remain(&store, &database, 0).await;
    }
    let added = dba.query_one("select count(*) from sources", &[]).await;
    assert_eq!(added.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_kept_out_while_any_body_arrives_changes_nothing() {
    let (server, database, _store, mut editor) = start(&[]).await;
    let dba = database.connect().await;
    let added = json!({ "created_by": "Ann", "country": "France" });
    let added = editor.post(ADD.1).json(&added).send().await.json();
    let update = format!("/api/update-source/{}/", added["id"].as_str().unwrap());
    let sql = "select id::text from users where username = 'editor'";
    let editor_id: String = dba.query_one(sql, &[]).await.unwrap().get(0);
    let user = format!("/api/users/{editor_id}/");
    let spain = r#"{"created_by":"Eve","country":"Spain"}"#;
    let password = r#"{"old_password":"Correct-horse-7","new_password":"Correct-horse-8","confirm_password":"Correct-horse-8"}"#;
    let requests = [
        (ADD, spain),
        (("PATCH", &*update), spain),
        (("PUT", &*update), spain),
        (("POST", "/api/password/"), password),
        (("PATCH", &*user), r#"{"role":"viewer"}"#),
        (("POST", "/emrrunner/start"), r#"{"job":"qc"}"#),
        (("POST", "/api/pipeline-runs/"), r#"{"step":"qc"}"#),
    ];
    let disabled = "update users set is_active = false where username = $1";
    let demoted = "update users set role = 'viewer' where username = $1";
    let basic = "Authorization: Basic ";
    for (n, (request, body)) in requests.into_iter().enumerate() {
        for (by_session, kept_out) in [(true, disabled), (false, disabled), (true, demoted)] {
            // A viewer may change a password.
            if request.1 == "/api/password/" && kept_out == demoted {
                continue;
            }
            let name = format!("user{n}{by_session}{}", kept_out.len());
            let visitor = server.visitor(&name).await;
            let sql = "update users set role = 'admin' where username = $1";
            dba.execute(sql, &[&name]).await.unwrap();
            let who = if by_session {
                lines(&visitor)
            } else {
                use base64::{Engine, prelude::BASE64_STANDARD};
                let pair = BASE64_STANDARD.encode(format!("{name}:Correct-horse-7"));
                format!("{basic}{pair}\r\n")
            };
            let (first, rest) = body.as_bytes().split_at(9);
            let wire = begin(&visitor, &who, request, JSON, [first, rest]).await;
            linger().await;
            assert_eq!(dba.execute(kept_out, &[&name]).await.unwrap(), 1);
            let (status, answer) = end(wire, rest).await;
            assert_eq!(status, 403, "{request:?} {by_session} {kept_out}: {answer}");
        }
    }
    let rows = dba.query("select country from sources", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<_, String>(0), "France");
    let sql = "select role from users where username = 'editor'";
    let role: String = dba.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(role, "editor");
}

/// Who somebody is holds for a tenth of a second without being asked again.
async fn linger() {
    sleep(Duration::from_millis(500)).await;
}
