//! The log at its most talkative, after log-ins, sockets and failures: no password, cookie or token is
//! in it, nor what the database keeps of them, nor the database's password.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{
    client::{Http, Socket},
    pipeline,
    postgres::{self, Home, private_cluster},
    program::{Running, program},
    server::{ORIGIN, SOON, eventually, open},
};

const RIGHT: &str = "Right-secret-7";
const WRONG: &str = "Wrong-secret-7";
const NEXT: &str = "Next-secret-7";
/// Of the cluster that runs the pipeline; nobody answers there.
const AWS: &str = "Aws-secret-7";
/// Has the form of a session's token.
const FORGED: &str = "abcdefghijklmnopponmlkjihgfedcbaabcdefghijklmnopponmlkjihgfedcba";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secrets_are_logged_as_text() {
    no_secrets_are_logged("text").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secrets_are_logged_as_json() {
    no_secrets_are_logged("json").await;
}

async fn no_secrets_are_logged(format: &str) {
    let cluster = private_cluster(&[]).await;
    let url = cluster.url();
    let (name, _) = url.split_once('@').expect("name:password@place");
    let (_, password) = name.rsplit_once(':').expect("name:password");
    let mut command = program(&["serve", "--bind", "127.0.0.1:0", "--log-format", format]);
    command
        .env("DATABASE_URL", &url)
        .env("RATE_LIMITS", "off")
        .env("RUST_LOG", "trace")
        .envs(pipeline::settings("http://127.0.0.1:1", "j-SECRETS"))
        .env("AWS_SECRET_ACCESS_KEY", AWS)
        .env("AWS_SESSION_TOKEN", AWS);
    let folder = Home::new();
    std::fs::create_dir(&folder.dir).unwrap();
    let log = folder.dir.join("log");
    let mut server = Running::logging(command, &log);
    let base = server.line("listening on ").await;
    let mut visitor = Http::new(&base).on_page(ORIGIN);
    eventually("the server is ready", async || {
        visitor.get("/readyz").send().await.status == 200
    })
    .await;

    let mut secrets: Vec<String> = [RIGHT, WRONG, NEXT, FORGED, AWS, password]
        .map(Into::into)
        .into();
    secrets.extend(use_it(&mut visitor, &url).await);

    eventually("the step was tried", async || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.contains("the submission of a run failed")
    })
    .await;

    // Everything fails while the database is gone.
    let _home = cluster.stop().await;
    let body = json!({ "username": "ann", "password": RIGHT });
    assert_eq!(
        visitor.post("/api/login/").json(&body).send().await.status,
        503
    );
    let mut visitor = visitor.with_cookie("sessionid", FORGED);
    assert_eq!(visitor.get("/api/read-source/").send().await.status, 503);
    assert_eq!(visitor.get("/readyz").send().await.status, 503);
    server.signal("-TERM").await;
    let ended = timeout(SOON, server.child.wait()).await;
    assert!(ended.expect("it stops").unwrap().success());

    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("DEBUG marketplace") || log.contains(r#""target":"marketplace::"#),
        "{log}"
    );
    assert!(log.lines().count() > 100, "it is talkative: {log}");
    assert!(secrets.len() > 12, "{secrets:?}");
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret}");
    }
}

/// Does all that one does with secrets, and gives those that came of it.
async fn use_it(visitor: &mut Http, url: &str) -> Vec<String> {
    let mut secrets = Vec::new();
    let register = json!({ "username": "ann", "password": RIGHT, "confirm_password": RIGHT });
    let other = json!({ "username": "ann", "password": RIGHT, "confirm_password": WRONG });
    for (body, status) in [(&register, 201), (&register, 400), (&other, 400)] {
        let answer = visitor.post("/api/register/").json(body).send().await;
        assert_eq!(answer.status, status);
    }
    for (password, status) in [(WRONG, 400), (RIGHT, 200), (RIGHT, 200)] {
        let body = json!({ "username": "ann", "password": password });
        let answer = visitor.post("/api/login/").json(&body).send().await;
        assert_eq!(answer.status, status);
        for name in ["sessionid", "csrftoken"] {
            secrets.extend(visitor.cookie(name).map(ToOwned::to_owned));
        }
    }
    for (kind, body) in [
        ("application/json", format!("{{\"password\":\"{RIGHT}\"")),
        ("text/plain", RIGHT.to_owned()),
        ("multipart/form-data; boundary=x", RIGHT.to_owned()),
    ] {
        for path in ["/api/login/", "/api/register/"] {
            let answer = visitor.post(path).body(kind, body.as_str()).send().await;
            assert!((400..500).contains(&answer.status), "{}", answer.text());
        }
    }
    for (password, status) in [(RIGHT, 200), (WRONG, 403)] {
        let basic = BASE64_STANDARD.encode(format!("ann:{password}"));
        let answer = Http::new(&base_of(visitor))
            .get("/api/read-source/")
            .header("Authorization", &format!("Basic {basic}"))
            .send()
            .await;
        assert_eq!(answer.status, status);
        secrets.push(basic);
    }
    let forged = Http::new(&base_of(visitor)).with_cookie("sessionid", FORGED);
    assert!(Socket::open(&forged, "/ws/read_source/").await.is_err());

    for path in [
        "/ws/read_source/",
        "/ws/source/",
        "/ws/filter_source/",
        "/ws/EMRConsumer/",
    ] {
        let mut socket = open(visitor, path).await;
        for text in [
            RIGHT,
            r#"{"action":"add_source","formData":{"country":"a"}}"#,
            r#"{"step":"qc"}"#,
        ] {
            socket.send_text(text).await;
        }
        socket.send_binary(RIGHT.into()).await;
        socket.close(1000).await;
    }
    let change = json!({
        "old_password": RIGHT, "new_password": NEXT, "confirm_password": NEXT,
    });
    for status in [200, 400] {
        let answer = visitor.post("/api/password/").json(&change).send().await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }

    let dba = postgres::connect(url).await;
    let sql = "select password_hash from users union all
        select encode(token_hash, 'hex') from sessions union all
        select regexp_replace(encode(token_hash, 'hex'), '(..)', '\\x\\1', 'g') from sessions";
    for row in dba.query(sql, &[]).await.unwrap() {
        secrets.push(row.get(0));
    }
    // As tokio_postgres would print bytes.
    for row in dba
        .query("select token_hash from sessions", &[])
        .await
        .unwrap()
    {
        secrets.push(format!("{:?}", row.get::<_, Vec<u8>>(0)));
    }
    dba.batch_execute("delete from sessions").await.unwrap();
    assert_eq!(visitor.get("/api/read-source/").send().await.status, 403);
    secrets
}

fn base_of(visitor: &Http) -> String {
    visitor.address().base()
}
