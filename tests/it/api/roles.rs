//! Who may do what, over HTTP and sockets, and that a change of it reaches what is open already.

use base64::Engine;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{
    client::{Http, Socket},
    server::{ORIGIN, SOON, TestServer, database, open},
};

const FORBIDDEN: &str = "You do not have permission to perform this action.";
const ID: &str = "00000000-0000-4000-8000-00000000000a";
/// What every socket that takes changes says no to, in its own words.
const WRITING: [&str; 3] = [
    "/ws/source/",
    "/ws/data_source_activation/",
    "/ws/EMRConsumer/",
];

async fn set_role(dba: &Client, name: &str, role: &str) {
    let sql = "update users set role = $2 where username = $1";
    assert_eq!(dba.execute(sql, &[&name, &role]).await.unwrap(), 1);
}

async fn id_of(dba: &Client, name: &str) -> Uuid {
    let sql = "select id from users where username = $1";
    dba.query_one(sql, &[&name]).await.unwrap().get(0)
}

/// The headers of a client that sends its password with each request.
fn basic(name: &str) -> Vec<(String, String)> {
    let pair = format!("{name}:Correct-horse-7");
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    vec![("Authorization".into(), format!("Basic {encoded}"))]
}

/// What a socket is asked for, and its answer when that is not allowed.
fn request_and_refusal(path: &str) -> (Value, Value) {
    match path {
        "/ws/source/" => (
            json!({ "action": "add_source", "formData": { "created_by": "x" } }),
            json!({ "status": "error", "message": FORBIDDEN, "errors": {} }),
        ),
        "/ws/data_source_activation/" => (
            json!({ "action": "deactivate", "source_id": ID }),
            json!({ "error": FORBIDDEN }),
        ),
        _ => (
            json!({ "step": "qc" }),
            json!({ "success": false, "error": FORBIDDEN }),
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_gets_as_far_as_it_may_over_http() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let user = format!("/api/users/{ID}/");
    let path = |name: &str| format!("/api/{name}-source/{ID}/");
    // The source and the user are not there, which only those hear who may know.
    let requests = [
        ("GET", "/api/read-source/".to_owned(), [200, 200, 200]),
        ("GET", "/api/data-library/".to_owned(), [200, 200, 200]),
        ("GET", "/api/me/".to_owned(), [200, 200, 200]),
        ("POST", "/api/add-source/".to_owned(), [403, 400, 400]),
        ("POST", "/api/add-demo/".to_owned(), [403, 200, 200]),
        ("GET", "/api/pipeline/".to_owned(), [200, 200, 200]),
        ("GET", "/api/pipeline-steps/".to_owned(), [200, 200, 200]),
        ("GET", "/api/pipeline-runs/".to_owned(), [200, 200, 200]),
        ("POST", "/api/pipeline-runs/".to_owned(), [403, 400, 400]),
        ("PUT", path("update"), [403, 404, 404]),
        ("PATCH", path("update"), [403, 404, 404]),
        ("POST", path("update"), [403, 404, 404]),
        ("DELETE", path("delete"), [403, 404, 404]),
        ("POST", path("delete"), [403, 404, 404]),
        ("POST", path("activate"), [403, 404, 404]),
        ("PUT", path("activate"), [403, 404, 404]),
        ("POST", path("deactivate"), [403, 404, 404]),
        ("POST", path("reactivate"), [403, 404, 404]),
        ("GET", "/api/users/".to_owned(), [403, 403, 200]),
        ("PATCH", user.clone(), [403, 403, 404]),
        ("DELETE", user, [403, 403, 404]),
    ];
    for (at, role) in ["viewer", "editor", "admin"].into_iter().enumerate() {
        let mut visitor = server.visitor(role).await;
        set_role(&dba, role, role).await;
        for (method, path, statuses) in &requests {
            let answer = visitor.call(method, path).json(&json!({})).send().await;
            let text = answer.text();
            assert_eq!(
                answer.status, statuses[at],
                "{role}: {method} {path}: {text}"
            );
            if answer.status == 403 {
                assert_eq!(answer.json(), json!({ "detail": FORBIDDEN }), "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewers_sockets_say_no_in_their_own_words_and_go_on_pushing() {
    let database = database().await;
    let server = TestServer::on(&database.url, &["--registration-role", "viewer"]).await;
    let dba = database.connect().await;
    let insert = "insert into sources (id, country) values ($1::text::uuid, 'a')";
    dba.execute(insert, &[&ID]).await.unwrap();
    let viewer = server.visitor("viewer").await;
    let mut sockets = Vec::new();
    for path in WRITING {
        let mut socket = open(&viewer, path).await;
        let (request, refusal) = request_and_refusal(path);
        for message in [request, json!({ "action": "update_source" }), json!(1)] {
            socket.send_json(&message).await;
            assert_eq!(socket.next_json(SOON).await, refusal, "{path}: {message}");
        }
        sockets.push(socket);
    }
    let mut list = open(&viewer, "/ws/read_source/").await;
    assert_eq!(list.next_json(SOON).await["data"][0]["country"], "a");
    let mut filter = open(&viewer, "/ws/filter_source/").await;
    let ask = json!({ "action": "filter_by_id", "id": ID });
    filter.send_json(&ask).await;
    assert_eq!(filter.next_json(SOON).await["data"]["country"], "a");

    dba.batch_execute(
        "update sources set country = 'b', status = 'inactive';
         insert into pipeline_runs (step) values ('qc')",
    )
    .await
    .unwrap();
    assert_eq!(list.next_json(SOON).await["data"][0]["country"], "b");
    assert_eq!(filter.next_json(SOON).await["data"]["country"], "b");
    for (socket, event) in sockets.iter_mut().zip(["updated", "toggled", "step"]) {
        assert_eq!(socket.next_json(SOON).await["event"], event);
        assert_eq!(socket.closed(), None);
    }
}

/// Asks until the answer is no, or no longer no; the request itself lacks what it would need.
async fn answers(socket: &mut Socket, refused: bool) {
    let probe = json!({ "action": "add_source" });
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        socket.send_json(&probe).await;
        let answer = answer_on(socket).await;
        if (answer["message"] == FORBIDDEN) == refused {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "still {answer}");
    }
}

/// The next answer; what is pushed to everybody is none, and may come late.
async fn answer_on(socket: &mut Socket) -> Value {
    loop {
        let answer = socket.next_json(SOON).await;
        if answer.get("event").is_none() {
            return answer;
        }
    }
}

async fn sources(dba: &Client) -> i64 {
    let sql = "select count(*) from sources";
    dba.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_socket_follows_its_users_role_on_every_node() {
    let database = database().await;
    let nodes = [
        TestServer::on(&database.url, &[]).await,
        TestServer::on(&database.url, &[]).await,
    ];
    let dba = database.connect().await;
    let mut admin = nodes[0].visitor("admin").await;
    set_role(&dba, "admin", "admin").await;
    let editor = nodes[0].visitor("editor").await;
    let mut sockets = vec![open(&editor, "/ws/source/").await];
    let elsewhere = Http::new(&nodes[1].base).on_page(ORIGIN);
    sockets.push(open(&elsewhere.clone().with_cookies_of(&editor), "/ws/source/").await);
    let known = Socket::connect(elsewhere.address(), "/ws/source/", basic("editor"));
    sockets.push(known.await.expect("it is let in"));
    for socket in &mut sockets {
        answers(socket, false).await;
    }

    let account = format!("/api/users/{}/", id_of(&dba, "editor").await);
    let (request, refusal) = request_and_refusal("/ws/source/");
    for round in 0..2 {
        let to = |role: &str| json!({ "role": role });
        // By the API, and by hand.
        match round {
            0 => {
                let call = admin.call("PATCH", &account).json(&to("viewer"));
                assert_eq!(call.send().await.status, 200);
            }
            _ => set_role(&dba, "editor", "viewer").await,
        }
        for socket in &mut sockets {
            answers(socket, true).await;
            let before = sources(&dba).await;
            socket.send_json(&request).await;
            assert_eq!(answer_on(socket).await, refusal);
            assert_eq!(sources(&dba).await, before);
        }
        match round {
            0 => {
                let call = admin.call("PATCH", &account).json(&to("editor"));
                assert_eq!(call.send().await.status, 200);
            }
            _ => {
                // More at once than a notification names.
                dba.batch_execute(
                    "insert into users (username, password_hash)
                     select 'n' || n, 'x' from generate_series(1, 300) n;
                     update users set role = 'admin'",
                )
                .await
                .unwrap();
            }
        }
        for socket in &mut sockets {
            answers(socket, false).await;
            let before = sources(&dba).await;
            socket.send_json(&request).await;
            while socket.next_json(SOON).await["status"] != "success" {}
            assert_eq!(sources(&dba).await, before + 1);
            assert_eq!(socket.closed(), None);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_taken_away_while_nobody_listens_is_noticed_afterwards() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let editor = server.visitor("editor").await;
    let mut socket = open(&editor, "/ws/source/").await;
    answers(&mut socket, false).await;
    // In one transaction, whose notification the listener is not there to get.
    let killed = dba
        .query_one(
            "with gone as (update users set role = 'viewer' returning id)
             select count(pg_terminate_backend(pid)) from pg_stat_activity, gone
              where application_name = 'marketplace listener' and datname = current_database()",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(killed.get::<_, i64>(0), 1, "the listener was there");
    answers(&mut socket, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_disabled_or_deleted_is_out_at_once_everywhere() {
    let database = database().await;
    let nodes = [
        TestServer::on(&database.url, &[]).await,
        TestServer::on(&database.url, &[]).await,
    ];
    let dba = database.connect().await;
    let mut admin = nodes[0].visitor("admin").await;
    set_role(&dba, "admin", "admin").await;
    let bystander = nodes[1].visitor("bystander").await;
    let mut untouched = open(&bystander, "/ws/source/").await;

    for (name, method, body, status) in [
        ("disabled", "PATCH", json!({ "is_active": false }), 200),
        ("deleted", "DELETE", json!({}), 204),
    ] {
        let mut visitor = nodes[0].visitor(name).await;
        let mut sockets = Vec::new();
        for (node, path) in [(0, "/ws/source/"), (1, "/ws/read_source/")] {
            let there = Http::new(&nodes[node].base).on_page(ORIGIN);
            let known = Socket::connect(there.address(), path, basic(name));
            sockets.push(known.await.expect("it is let in"));
            sockets.push(open(&there.with_cookies_of(&visitor), path).await);
        }
        let account = format!("/api/users/{}/", id_of(&dba, name).await);
        let answer = admin.call(method, &account).json(&body).send().await;
        assert_eq!(answer.status, status, "{}", answer.text());
        // HTTP asks the table, so it is at once.
        let stale = visitor.cookie("sessionid").unwrap().to_owned();
        let refused = visitor.get("/api/read-source/").send().await;
        assert_eq!(refused.status, 403, "{name}");
        let missing = json!({ "detail": "Authentication credentials were not provided." });
        assert_eq!(refused.json(), missing);
        assert_eq!(
            visitor.cookie("sessionid"),
            None,
            "the cookie is taken back"
        );
        let call = visitor.get("/api/read-source/");
        let refused = call.header("Authorization", &basic(name)[0].1).send().await;
        let wrong = json!({ "detail": "Invalid username/password." });
        assert_eq!((refused.status, refused.json()), (403, wrong));
        let form = json!({ "username": name, "password": "Correct-horse-7" });
        let refused = visitor.post("/api/login/").json(&form).send().await;
        let wrong = json!({ "error": "Invalid credentials" });
        assert_eq!((refused.status, refused.json()), (400, wrong));
        assert!(Socket::open(&visitor, "/ws/source/").await.is_err());
        for socket in &mut sockets {
            assert_eq!(socket.closed_within(SOON).await.code, 1008, "{name}");
        }

        if name == "disabled" {
            let enable = json!({ "is_active": true });
            let answer = admin.call("PATCH", &account).json(&enable).send().await;
            assert_eq!(answer.status, 200);
            let call = visitor.get("/api/read-source/");
            let cookie = format!("sessionid={stale}");
            let answer = call.header("Cookie", &cookie).send().await;
            assert_eq!(answer.status, 403, "what was open before stays closed");
            nodes[0].sign_in(&mut visitor, name).await;
            let mut socket = open(&visitor, "/ws/source/").await;
            answers(&mut socket, false).await;
        }
    }
    answers(&mut untouched, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_disabled_behind_the_triggers_back_is_refused_too() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let mut visitor = server.visitor("ann").await;
    assert_eq!(visitor.get("/api/read-source/").send().await.status, 200);
    dba.batch_execute(
        "alter table users disable trigger all;
         update users set is_active = false;
         alter table users enable trigger all",
    )
    .await
    .unwrap();
    let sessions = dba.query("select from sessions", &[]).await.unwrap();
    assert_eq!(sessions.len(), 1, "its session is still there");
    assert_eq!(visitor.get("/api/read-source/").send().await.status, 403);
    assert!(Socket::open(&visitor, "/ws/source/").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_matters_to_open_sockets_is_announced() {
    let database = database().await;
    let dba = database.connect().await;
    let (listener, mut connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let (sender, mut heard) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        while let Some(Ok(message)) =
            std::future::poll_fn(|context| connection.poll_message(context)).await
        {
            if let tokio_postgres::AsyncMessage::Notification(notification) = message {
                let text = notification.payload().to_owned();
                sender.send(text).await.expect("the test listens");
            }
        }
    });
    listener.batch_execute("listen account").await.unwrap();
    let one = "00000000-0000-0000-0000-000000000001";
    for (sql, expected) in [
        (
            format!(
                "insert into users (id, username, password_hash) values
                 ('{one}', 'one', 'x'), (gen_random_uuid(), 'two', 'x')"
            ),
            None,
        ),
        ("update users set last_login_at = now()".into(), None),
        (
            "update users set password_hash = 'y', email = 'e'".into(),
            None,
        ),
        (
            "update users set role = role, is_active = is_active".into(),
            None,
        ),
        ("update users set role = 'admin' where false".into(), None),
        ("delete from users where false".into(), None),
        (
            "update users set role = 'admin' where username = 'one'".into(),
            Some(format!(r#"{{"op":"update","ids":["{one}"]}}"#)),
        ),
        (
            "set session_replication_role = replica;
             update users set is_active = false where username = 'one';
             reset session_replication_role"
                .into(),
            Some(format!(r#"{{"op":"update","ids":["{one}"]}}"#)),
        ),
        (
            "delete from users where username = 'one'".into(),
            Some(format!(r#"{{"op":"delete","ids":["{one}"]}}"#)),
        ),
        (
            "truncate users cascade".into(),
            Some(r#"{"op":"truncate","ids":null}"#.to_owned()),
        ),
    ] {
        dba.batch_execute(&sql).await.unwrap();
        dba.batch_execute("notify account, 'end'").await.unwrap();
        let mut announced = Vec::new();
        loop {
            let next = tokio::time::timeout(SOON, heard.recv()).await;
            match next.expect("it comes in time").expect("it listens") {
                text if text == "end" => break,
                text => announced.push(text),
            }
        }
        assert_eq!(announced, Vec::from_iter(expected), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_registers_becomes_what_was_set_and_nobody_chooses_a_role() {
    let database = database().await;
    let usual = TestServer::on(&database.url, &[]).await;
    let careful = TestServer::on(&database.url, &["--registration-role", "viewer"]).await;
    for (server, name, role) in [(&usual, "ann", "editor"), (&careful, "bob", "viewer")] {
        let mut visitor = Http::new(&server.base).on_page(ORIGIN);
        let body = json!({
            "username": name, "email": "a@b.example", "password": "Correct-horse-7",
            "confirm_password": "Correct-horse-7", "role": "admin", "is_active": true,
        });
        let answer = visitor.post("/api/register/").json(&body).send().await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        server.sign_in(&mut visitor, name).await;
        let me = visitor.get("/api/me/").send().await.json();
        let expected = json!({ "username": name, "email": "a@b.example", "role": role });
        assert_eq!(me, expected);
    }
    let stranger = Http::new(&usual.base).get("/api/me/").send().await;
    assert_eq!(stranger.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_itself_knows_its_roles() {
    let database = database().await;
    let dba = database.connect().await;
    let insert = "insert into users (username, password_hash, role) values ('x', 'x', $1)";
    for role in ["", "Admin", "owner"] {
        let error = dba.execute(insert, &[&role]).await.unwrap_err();
        let constraint = error.as_db_error().and_then(|error| error.constraint());
        assert_eq!(constraint, Some("users_role_known"), "{role}");
    }
    dba.execute(insert, &[&"viewer"]).await.unwrap();
}
