//! Managing users: over HTTP as an admin, and by `marketplace users` as the operator.

use std::{fs, process::Stdio};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, time::timeout};
use tokio_postgres::Client;

use crate::support::{
    client::{Http, Response},
    postgres::{self, Home, TestDatabase},
    program::{Running, program},
    server::{ORIGIN, SOON, TestServer, database, eventually, open},
};

const LAST: &str = "The last admin cannot be demoted, disabled or deleted.";

/// An admin who has signed in.
async fn admin(server: &TestServer, dba: &Client, name: &str) -> Http {
    let admin = server.visitor(name).await;
    set(dba, name, "role = 'admin'").await;
    admin
}

async fn set(dba: &Client, name: &str, what: &str) {
    let sql = format!("update users set {what} where username = $1");
    assert_eq!(dba.execute(&sql, &[&name]).await.unwrap(), 1);
}

async fn path(dba: &Client, name: &str) -> String {
    let sql = "select id::text from users where username = $1";
    let row = dba.query_one(sql, &[&name]).await.unwrap();
    format!("/api/users/{}/", row.get::<_, &str>(0))
}

async fn patch(admin: &mut Http, path: &str, body: &Value) -> Response {
    admin.call("PATCH", path).json(body).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_sees_everybody_and_no_hash_and_changes_what_may_be_changed() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let mut admin = admin(&server, &dba, "boss").await;
    server.visitor("ann").await;
    dba.batch_execute(
        "insert into users (username, email, password_hash, role, is_active)
         values ('zoé', 'z@b.example', 'x', 'viewer', false)",
    )
    .await
    .unwrap();
    let answer = admin.get("/api/users/").send().await;
    let text = answer.text();
    assert!(!text.contains("argon2") && !text.contains("hash"), "{text}");
    let list = answer.json();
    let seen: Vec<_> = list.as_array().unwrap().iter().collect();
    let brief: Vec<Value> = seen
        .iter()
        .map(|user| {
            json!([
                user["username"],
                user["email"],
                user["role"],
                user["is_active"]
            ])
        })
        .collect();
    assert_eq!(
        brief,
        [
            json!(["ann", "", "editor", true]),
            json!(["boss", "", "admin", true]),
            json!(["zoé", "z@b.example", "viewer", false]),
        ]
    );
    assert!(seen[0]["created_at"].is_string() && seen[0]["last_login_at"].is_string());
    assert_eq!(seen[2]["last_login_at"], Value::Null);
    let keys: Vec<_> = seen[0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 7, "{keys:?}");

    let ann = path(&dba, "ann").await;
    let change = json!({ "role": "viewer", "username": "other", "password_hash": "x" });
    let changed = patch(&mut admin, &ann, &change).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["role"], "viewer");
    assert_eq!(changed.json()["username"], "ann");
    for (body, wrong) in [
        (json!({ "role": "boss" }), "role"),
        (json!({ "is_active": "perhaps" }), "is_active"),
        (json!([]), "non_field_errors"),
    ] {
        let refused = patch(&mut admin, &ann, &body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.json()[wrong].is_array(), "{}", refused.text());
    }
    assert_eq!(admin.call("DELETE", &ann).send().await.status, 204);
    let gone = json!({ "detail": "No User matches the given query." });
    for answer in [
        admin.call("DELETE", &ann).send().await,
        patch(&mut admin, &ann, &json!({ "role": "viewer" })).await,
    ] {
        assert_eq!((answer.status, answer.json()), (404, gone.clone()));
    }
    assert_eq!(admin.call("GET", &ann).send().await.status, 405);
    // A foreign page cannot make its visitor do it.
    let mut foreign = Http::new(&server.base)
        .on_page("http://evil.example")
        .with_cookies_of(&admin);
    let zoe = path(&dba, "zoé").await;
    assert_eq!(foreign.call("DELETE", &zoe).send().await.status, 403);
    assert!(
        dba.query_one("select from users where username = 'zoé'", &[])
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_admin_stays() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let mut boss = admin(&server, &dba, "boss").await;
    let own = path(&dba, "boss").await;
    // One who cannot sign in does not count.
    server.visitor("former").await;
    set(&dba, "former", "role = 'admin', is_active = false").await;
    for (method, body) in [
        ("PATCH", json!({ "role": "editor" })),
        ("PATCH", json!({ "role": "viewer", "is_active": true })),
        ("PATCH", json!({ "is_active": false })),
        ("DELETE", json!({})),
    ] {
        let answer = boss.call(method, &own).json(&body).send().await;
        let expected = (409, &json!(LAST));
        let answered = (answer.status, &answer.json()["detail"]);
        assert_eq!(answered, expected, "{method} {body}");
    }
    let harmless = json!({ "role": "admin", "is_active": true });
    assert_eq!(patch(&mut boss, &own, &harmless).await.status, 200);
    let former = path(&dba, "former").await;
    let harmless = json!({ "role": "viewer" });
    assert_eq!(patch(&mut boss, &former, &harmless).await.status, 200);
    // With a second one the first may go.
    set(&dba, "former", "role = 'admin', is_active = true").await;
    assert_eq!(boss.call("DELETE", &own).send().await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_admins_who_remove_each_other_at_once_one_stays() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let mut one = admin(&server, &dba, "one").await;
    admin(&server, &dba, "two").await;
    let two = path(&dba, "two").await;
    for (method, body) in [
        ("DELETE", json!({})),
        ("PATCH", json!({ "role": "viewer" })),
        ("PATCH", json!({ "is_active": false })),
    ] {
        set(&dba, "one", "role = 'admin'").await;
        // The other's change of the first is under way and not yet to be seen.
        dba.batch_execute("begin; update users set role = 'viewer' where username = 'one'")
            .await
            .unwrap();
        let request = one.call(method, &two).json(&body).send();
        let other = async {
            let observer = database.connect().await;
            let sql = "select 1 from pg_stat_activity where wait_event_type = 'Lock'
                        and datname = current_database()";
            eventually("it waits for the other", async || {
                !observer.query(sql, &[]).await.unwrap().is_empty()
            })
            .await;
            dba.batch_execute("commit").await.unwrap();
        };
        let (answer, ()) = timeout(SOON, async { tokio::join!(request, other) })
            .await
            .expect("neither waits for ever");
        let expected = (409, &json!(LAST));
        let answered = (answer.status, &answer.json()["detail"]);
        assert_eq!(answered, expected, "{method} {body}");
        let sql = "select from users where role = 'admin' and is_active";
        assert_eq!(dba.query(sql, &[]).await.unwrap().len(), 1);
    }
}

/// Runs `marketplace users` on a database with something typed; what it printed and its exit code.
async fn users(url: &str, arguments: &[&str], typed: &str) -> (i32, String, String) {
    let mut command = program(&["users"]);
    command.args(arguments).env("DATABASE_URL", url);
    finish(command, typed).await
}

async fn finish(mut command: tokio::process::Command, typed: &str) -> (i32, String, String) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().expect("it is piped");
    // It may have refused before it reads.
    let _ = input.write_all(typed.as_bytes()).await;
    drop(input);
    let output = timeout(SOON * 4, child.wait_with_output())
        .await
        .expect("it ends")
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("it was not killed");
    (code, text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_manages_users_and_open_sockets_follow() {
    let (server, database) = TestServer::start().await;
    let url = &database.url;
    let (code, out, err) =
        users(url, &["add", "ann", "--email", "a@b.example"], "Secret-1\n").await;
    assert_eq!(
        (code, out.as_str()),
        (0, "ann was added as editor\n"),
        "{err}"
    );
    let home = Home::new();
    fs::create_dir(&home.dir).unwrap();
    let file = home.dir.join("password");
    fs::write(&file, "Correct-horse-7\nsecond line\n").unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["add", "boss", "--admin", "--password-file", file];
    assert_eq!(users(url, &arguments, "").await.0, 0);

    let mut ann = Http::new(&server.base).on_page(ORIGIN);
    let sign_in = async |ann: &mut Http, password: &str| {
        let form = json!({ "username": "ann", "password": password });
        ann.post("/api/login/").json(&form).send().await.status
    };
    assert_eq!(sign_in(&mut ann, "Secret-1").await, 200);
    let mut boss = Http::new(&server.base).on_page(ORIGIN);
    server.sign_in(&mut boss, "boss").await;
    let (code, out, _) = users(url, &["list", "--json"], "").await;
    assert_eq!(code, 0);
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(listed, boss.get("/api/users/").send().await.json());
    assert!(!out.contains("argon2") && !out.contains("hash"));
    let (_, out, _) = users(url, &["list"], "").await;
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(
        lines[1].starts_with("ann   a@b.example  editor  active    20"),
        "{out}"
    );
    assert!(lines[1].ends_with('Z'), "the time zone is said: {out}");
    assert!(!out.contains("argon2"));

    let mut socket = open(&ann, "/ws/data_source_activation/").await;
    let refusal = json!({ "error": "You do not have permission to perform this action." });
    assert_eq!(users(url, &["role", "ann", "viewer"], "").await.0, 0);
    eventually("the open socket is a viewer's", async || {
        socket.send_json(&json!({})).await;
        socket.next_json(SOON).await == refusal
    })
    .await;
    assert_eq!(users(url, &["password", "ann"], "Secret-2\n").await.0, 0);
    assert_eq!(socket.closed_within(SOON).await.code, 1008);
    assert_eq!(sign_in(&mut ann, "Secret-1").await, 400);
    assert_eq!(sign_in(&mut ann, "Secret-2").await, 200);
    let mut socket = open(&ann, "/ws/source/").await;
    assert_eq!(users(url, &["disable", "ann"], "").await.0, 0);
    assert_eq!(socket.closed_within(SOON).await.code, 1008);
    assert_eq!(sign_in(&mut ann, "Secret-2").await, 400);
    assert_eq!(users(url, &["enable", "ann"], "").await.0, 0);
    assert_eq!(sign_in(&mut ann, "Secret-2").await, 200);
}

#[tokio::test]
async fn what_the_operator_cannot_have_is_said_with_an_exit_code() {
    let database = database().await;
    let url = &database.url;
    let boss = ["add", "boss", "--admin", "--email", "jane.doe7@example.com"];
    assert_eq!(users(url, &boss, "Secret-1\n").await.0, 0);
    for (arguments, typed, said) in [
        (["add", "BOSS"], "Secret-1\n", "already exists"),
        (["add", "b\u{43e}ss"], "Secret-1\n", "already exists"),
        (["add", "ann"], "short\n", "password: Use at least 8"),
        (
            ["add", "Long-Name"],
            "long-name\n",
            "password: Do not use your name",
        ),
        (["password", "boss"], "Password1\n", "password: Many people"),
        (
            ["password", "boss"],
            "Jane.Doe7\n",
            "password: Do not use your name",
        ),
    ] {
        let (code, _, err) = users(url, &arguments, typed).await;
        assert!(code == 1 && err.contains(said), "{arguments:?}: {err}");
    }
    what_cannot_be(&database).await;
}

async fn what_cannot_be(database: &TestDatabase) {
    let url = &database.url;
    for (arguments, typed, code, said) in [
        (&["add", "boss"][..], "Secret-1\n", 1, "already exists"),
        (
            &["add", "no good"],
            "Secret-1\n",
            1,
            "username: Enter a valid",
        ),
        (
            &["add", "ann", "--email", "x"],
            "Secret-1\n",
            1,
            "email: Enter a valid",
        ),
        (
            &["add", "ann"],
            "",
            1,
            "password: This field may not be blank",
        ),
        (
            &["add", "ann"],
            " \n",
            1,
            "password: This field may not be blank",
        ),
        (
            &["add", "ann", "--password-file", "/nowhere"],
            "",
            1,
            "/nowhere",
        ),
        (
            &["add", "ann", "--role", "boss"],
            "x\n",
            2,
            "--role: must be viewer, editor or admin",
        ),
        (
            &["add", "ann", "--password", "x"],
            "",
            2,
            "unexpected argument",
        ),
        (
            &["add", "ann", "--admin", "--role", "viewer"],
            "x\n",
            2,
            "cannot be used",
        ),
        (
            &["role", "boss", "owner"],
            "",
            2,
            "ROLE: must be viewer, editor or admin",
        ),
        (&["role", "ann", "viewer"], "", 1, "there is no user ann"),
        (
            &["password", "ann"],
            "Secret-1\n",
            1,
            "there is no user ann",
        ),
        (&["disable", "ann"], "", 1, "there is no user ann"),
        (&["role", "boss", "viewer"], "", 1, "the last admin"),
        (&["disable", "boss"], "", 1, "the last admin"),
        (&["list", "--embedded"], "", 2, "--embedded are both set"),
        (&[], "", 2, "Usage"),
    ] {
        let (found, _, err) = users(url, arguments, typed).await;
        assert_eq!(found, code, "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
    let sql = "select username, role from users where is_active";
    let rows = database.connect().await.query(sql, &[]).await.unwrap();
    assert_eq!(rows.len(), 1, "nothing was changed by any of them");
    assert_eq!(rows[0].get::<_, &str>(1), "admin");

    let empty = postgres::cluster().await.database(None).await;
    let (code, _, err) = users(&empty.url, &["list"], "").await;
    assert!(code == 1 && err.contains("marketplace migrate"), "{err}");
    let nowhere = "postgres://nobody:geheim@127.0.0.1:1/nothing";
    let (code, _, err) = users(nowhere, &["list"], "").await;
    assert!(code == 1 && err.contains("not available"), "{err}");
    assert!(!err.contains("geheim"), "{err}");
    let (code, _, err) = finish(program(&["users", "list"]), "").await;
    assert!(code == 2 && err.contains("DATABASE_URL"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_cluster_is_visited_whether_its_server_runs_or_not() {
    let home = Home::new();
    let data_dir = home.dir.to_str().unwrap().to_owned();
    let run = async |arguments: &[&str], typed: &str| {
        let mut command = program(&["users"]);
        command.args(arguments);
        command.args(["--embedded", "--data-dir", &data_dir]);
        finish(command, typed).await
    };
    let (code, _, err) = run(&["add", "ann"], "Secret-1\n").await;
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("no cluster at ") && err.contains("serve --embedded"),
        "{err}"
    );
    assert!(!home.dir.exists(), "nothing was made");

    let arguments = [
        "serve",
        "--embedded",
        "--bind",
        "127.0.0.1:0",
        "--data-dir",
        &data_dir,
    ];
    let mut server = Running::start(program(&arguments));
    let account = server.line("sign in as: ").await;
    let base = server.line("listening on ").await;
    let (name, password) = account.split_once(" / ").expect("a name and a password");
    let mut newcomer = Http::new(&base).on_page(&base);
    let form = json!({ "username": name, "password": password });
    eventually("the account works", async || {
        newcomer.post("/api/login/").json(&form).send().await.status == 200
    })
    .await;
    let me = newcomer.get("/api/me/").send().await.json();
    assert_eq!(me["role"], "admin");
    let mut socket = open(&newcomer, "/ws/source/").await;
    let (code, _, err) = run(&["add", "ann"], "Secret-1\n").await;
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = run(&["list"], "").await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("ann ") && out.contains(name), "{out}");
    assert_eq!(run(&["role", "ann", "admin"], "").await.0, 0);
    assert_eq!(run(&["disable", name], "").await.0, 0);
    assert_eq!(socket.closed_within(SOON).await.code, 1008);
    // The server's cluster was left running.
    let ready = newcomer.get("/readyz").send().await;
    assert_eq!(ready.status, 200, "{}", ready.text());

    server.signal("-TERM").await;
    timeout(SOON, server.child.wait()).await.unwrap().unwrap();
    let (code, out, err) = run(&["list"], "").await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("ann "), "{out}");
}
