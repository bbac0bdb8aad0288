//! The log as JSON: every line is an object, names the request on whose behalf it was written, and
//! gives nothing away.

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    client::{Frame, Http, Response, Socket},
    postgres::{Home, private_cluster},
    program::{Running, program},
    server::{ORIGIN, SOON, database, eventually, open},
};

const RIGHT: &str = "Right-secret-7";
const WRONG: &str = "Wrong-secret-7";
const TOKEN: &str = "Token-secret-7-of-prometheus";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_a_request_or_socket_names_it_and_gives_nothing_away() {
    let cluster = private_cluster(&[]).await;
    let mut command = program(&["serve", "--bind", "127.0.0.1:0", "--log-format", "json"]);
    command
        .env("DATABASE_URL", cluster.url())
        .env("RATE_LIMITS", "off")
        .env("METRICS_TOKEN", TOKEN)
        .env("RUST_LOG", "marketplace=debug");
    let folder = Home::new();
    std::fs::create_dir(&folder.dir).unwrap();
    let file = folder.dir.join("log");
    let mut server = Running::logging(command, &file);
    let printed: Value = serde_json::from_str(&server.line("").await).unwrap();
    let base = printed["url"].as_str().expect("it says where it listens");
    let mut visitor = Http::new(base).on_page(ORIGIN);
    eventually("the server is ready", async || {
        visitor.get("/readyz").send().await.status == 200
    })
    .await;

    let ids = ask(&mut visitor).await;

    let mut socket = open(&visitor, "/ws/source/").await;
    let message =
        json!({"action": "add_source", "formData": {"created_by": "x", "country": RIGHT}});
    socket.send_text(&message.to_string()).await;
    eventually("it is saved", async || has(&socket, r#""success""#)).await;

    let _home = cluster.stop().await;
    let failed = visitor
        .get("/api/read-source/")
        .header("X-Request-Id", "down-1");
    let failed = failed.send().await;
    assert_eq!(failed.status, 503);
    let body: Value = serde_json::from_str(&failed.text()).unwrap();
    assert_eq!(body["request_id"], "down-1");
    socket.send_text(&message.to_string()).await;
    eventually("it is told", async || has(&socket, r#""request_id""#)).await;
    socket.close(1000).await;
    server.signal("-TERM").await;
    let ended = timeout(SOON, server.child.wait()).await;
    assert!(ended.expect("it stops").unwrap().success());

    let log = std::fs::read_to_string(file).unwrap();
    let cookie = |name| visitor.cookie(name).expect("it is signed in").to_owned();
    for secret in [
        RIGHT,
        WRONG,
        TOKEN,
        &cookie("sessionid"),
        &cookie("csrftoken"),
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
    check(&log, &ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_else_is_left_out_of_the_log_the_id_is_not() {
    let database = database().await;
    let mut command = program(&["serve", "--bind", "127.0.0.1:0"]);
    command
        .env("DATABASE_URL", &database.url)
        .env("RUST_LOG", "off,marketplace::http::middleware=debug");
    let folder = Home::new();
    std::fs::create_dir(&folder.dir).unwrap();
    let file = folder.dir.join("log");
    let mut server = Running::logging(command, &file);
    let base = server.line("listening on ").await;
    let mut visitor = Http::new(&base);
    let call = visitor.get("/healthz").header("X-Request-Id", "one-1");
    assert_eq!(call.send().await.status, 200);
    server.signal("-TERM").await;
    let ended = timeout(SOON, server.child.wait()).await;
    assert!(ended.expect("it stops").unwrap().success());
    let log = std::fs::read_to_string(file).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("request{request_id=one-1}"), "{log}");
}

/// Signs in and asks for this and that; gives the ids that were made for two of the requests.
async fn ask(visitor: &mut Http) -> [String; 2] {
    let register = json!({ "username": "ann", "password": RIGHT, "confirm_password": RIGHT });
    let login = |password| json!({ "username": "ann", "password": password });
    for (id, path, body, status) in [
        ("register-1", "/api/register/", register, 201),
        ("wrong-1", "/api/login/", login(WRONG), 400),
        ("right-1", "/api/login/", login(RIGHT), 200),
        (
            "away-1",
            "/api/nothing/?password=Wrong-secret-7",
            login(RIGHT),
            404,
        ),
    ] {
        let call = visitor.post(path).header("X-Request-Id", id).json(&body);
        let answer = call.send().await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("x-request-id"), Some(id));
        // Frontends know these bodies.
        assert!(!answer.text().contains("request_id"), "{}", answer.text());
    }
    let long = json!({ "username": "x".repeat(2 << 20) });
    let refused = visitor.post("/api/login/").header("X-Request-Id", "long-1");
    let refused = refused.json(&long).send().await;
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["request_id"], "long-1");
    for brought in ["a b", "\"", &"a".repeat(65)] {
        let call = visitor.get("/healthz").header("X-Request-Id", brought);
        let id = id(&call.send().await);
        assert!(id != brought && id.len() == 32, "{id}");
    }
    let made = [(); 2].map(|()| visitor.clone());
    let [mut one, mut other] = made;
    let ids = [
        id(&one.get("/api/me/").send().await),
        id(&other.get("/api/me/").send().await),
    ];
    assert_ne!(ids[0], ids[1]);
    let scrape = |token: &str| format!("Bearer {token}");
    for (token, status) in [(TOKEN, 200), (WRONG, 403)] {
        let mut operator = Http::new(&visitor.address().base());
        let call = operator
            .get("/metrics")
            .header("X-Forwarded-For", "203.0.113.9");
        let answer = call.header("Authorization", &scrape(token)).send().await;
        assert_eq!(answer.status, status);
    }
    ids
}

/// Whether the lines have the ids that they should.
fn check(log: &str, ids: &[String; 2]) {
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for (message, id) in [
        ("user registered", "register-1"),
        ("sign-in failed", "wrong-1"),
        ("signed in", "right-1"),
        ("answered", "away-1"),
        ("answered", &ids[0]),
        ("answered", &ids[1]),
        ("request failed", "down-1"),
    ] {
        let found = lines
            .iter()
            .any(|line| line["message"] == message && line["span"]["request_id"] == id);
        assert!(found, "{message} {id} in\n{log}");
    }
    // A socket's lines have the id of its handshake.
    let of_socket = ["source saved", "saving a source failed", "socket closed"];
    let ids = of_socket.map(|message| {
        let line = lines.iter().find(|line| line["message"] == message);
        line.unwrap_or_else(|| panic!("{message} in\n{log}"))["span"]["request_id"].clone()
    });
    let handshake = lines
        .iter()
        .find(|line| line["route"] == "/ws/source/" && line["status"] == 101)
        .expect("the handshake is logged");
    for id in ids {
        assert_eq!(id, handshake["span"]["request_id"]);
    }
    for line in &lines {
        let target = line["target"].as_str().expect("every line has a target");
        let of_request = [
            "marketplace::http",
            "marketplace::sockets::consumer",
            "marketplace::auth",
        ];
        if of_request.iter().any(|module| target.starts_with(module)) {
            assert!(line["span"]["request_id"].is_string(), "{line}");
        }
    }
}

/// Whether a message with this in it has come.
fn has(socket: &Socket, text: &str) -> bool {
    let frames = socket.frames_from(0);
    let mut texts = frames.iter().filter_map(|frame| match frame {
        Frame::Text(text) => Some(text),
        Frame::Binary(_) => None,
    });
    texts.any(|frame| frame.contains(text))
}

fn id(answer: &Response) -> String {
    answer
        .header("x-request-id")
        .expect("every answer has one")
        .to_owned()
}
