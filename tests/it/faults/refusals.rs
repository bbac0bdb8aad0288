//! What people are told when the database does not do what they ask: a trigger of somebody's refuses or
//! suppresses a write, or the only address leads to a standby.

use std::time::{Duration, Instant};

use marketplace::{
    db::runs::{self, Request},
    error::Error,
    pg::Pool,
};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{
    client::{Http, Response},
    pgbouncer::PgBouncer,
    postgres::{connect, private_cluster, standby::standby_of},
    server::{SOON, TestServer, eventually, open},
    sign_in::register,
};

const SUPPRESSED: &str =
    "Nothing was saved: a trigger of the database keeps this row from being written.";
const ADDED: &str = r#"{"created_by":"Ann","country":"France"}"#;

fn added() -> Value {
    serde_json::from_str(ADDED).unwrap()
}

/// The answer to each way in which a source or a user is written over HTTP.
async fn writes(visitor: &mut Http, source: &str, user: &str) -> Vec<(String, Response)> {
    let mut answers = Vec::new();
    for (method, path, body) in [
        ("POST", "/api/add-source/".to_owned(), added()),
        (
            "PATCH",
            format!("/api/update-source/{source}/"),
            json!({ "country": "Spain" }),
        ),
        ("PUT", format!("/api/update-source/{source}/"), added()),
        (
            "POST",
            format!("/api/deactivate-source/{source}/"),
            json!({}),
        ),
        ("DELETE", format!("/api/delete-source/{source}/"), json!({})),
        (
            "PATCH",
            format!("/api/users/{user}/"),
            json!({ "role": "viewer" }),
        ),
        ("DELETE", format!("/api/users/{user}/"), json!({})),
    ] {
        let answer = visitor.call(method, &path).json(&body).send().await;
        answers.push((format!("{method} {path}"), answer));
    }
    answers
}

/// Somebody who may do everything, a source and another user.
async fn setting(server: &TestServer, dba: &Client) -> (Http, String, String) {
    let mut admin = server.visitor("ann").await;
    let sql = "update users set role = 'admin' where username = 'ann'";
    dba.batch_execute(sql).await.unwrap();
    let source = admin.post("/api/add-source/").json(&added()).send().await;
    assert_eq!(source.status, 201, "{}", source.text());
    let source = source.json()["id"].as_str().unwrap().to_owned();
    let sql = "insert into users (username, password_hash) values ('bob', 'x') returning id::text";
    let user: String = dba.query_one(sql, &[]).await.unwrap().get(0);
    (admin, source, user)
}

/// Lets a function run before each write to these tables.
async fn plant(dba: &Client, body: &str) {
    let function = format!(
        "create or replace function public.rule() returns trigger language plpgsql as $$ begin {body} end $$"
    );
    dba.batch_execute(&function).await.unwrap();
    for table in ["sources", "pipeline_runs", "users", "sessions"] {
        let trigger = format!(
            "create or replace trigger a_rule before insert or update or delete on public.{table}
               for each row execute function public.rule()"
        );
        dba.batch_execute(&trigger).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editors_are_told_what_a_trigger_says_and_nobody_else_is() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let (mut admin, source, user) = setting(&server, &dba).await;
    plant(
        &dba,
        "raise exception E'closed until Monday\\nfor the audit'
             using detail = 'secret', hint = 'secret';",
    )
    .await;
    for (what, answer) in writes(&mut admin, &source, &user).await {
        assert_eq!(answer.status, 409, "{what}: {}", answer.text());
        let detail = answer.json()["detail"].clone();
        if what.contains("/api/users/") {
            assert_eq!(detail, "The database refuses the change.", "{what}");
        } else {
            assert_eq!(detail, "closed until Monday", "{what}");
        }
        assert!(!answer.text().contains("secret"), "{}", answer.text());
    }
    let mut socket = open(&admin, "/ws/source/").await;
    socket
        .send_json(&json!({ "action": "add_source", "formData": added() }))
        .await;
    let told = socket.next_json(SOON).await;
    assert_eq!(told["message"], "closed until Monday", "{told}");
    // Somebody who signs in writes a session.
    let login = json!({ "username": "ann", "password": "Correct-horse-7" });
    let mut stranger = Http::new(&server.base);
    let refused = stranger.post("/api/login/").json(&login).send().await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(!refused.text().contains("Monday"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_a_trigger_suppresses_is_said_to_be() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let (mut admin, source, user) = setting(&server, &dba).await;
    plant(&dba, "return null;").await;
    for (what, answer) in writes(&mut admin, &source, &user).await {
        assert_eq!(answer.status, 409, "{what}: {}", answer.text());
        assert_eq!(answer.json()["detail"], SUPPRESSED, "{what}");
    }
    let nobody_yet = register(&server.base, "zoe", "correct horse").await;
    assert_eq!(nobody_yet.status, 409, "{}", nobody_yet.text());
    let mut socket = open(&admin, "/ws/data_source_activation/").await;
    socket
        .send_json(&json!({ "action": "activate", "source_id": source }))
        .await;
    let told = socket.next_json(SOON).await;
    assert_eq!(told["error"], SUPPRESSED, "{told}");
    let pool = Pool::new(&database.url.parse().unwrap(), 1).unwrap();
    let run = Request {
        source_id: None,
        kind: "step",
        step: "qc".into(),
        deploy_mode: "cluster",
        requested_by: "ann".into(),
    };
    let client = pool.client().await.unwrap();
    let inserted = runs::insert(&client, Uuid::new_v4(), &run).await;
    assert!(matches!(inserted, Err(Error::Suppressed("pipeline_runs"))));
    // What is not there is still not there.
    let nobody = Uuid::new_v4();
    for (method, path) in [
        ("PATCH", format!("/api/update-source/{nobody}/")),
        ("DELETE", format!("/api/delete-source/{nobody}/")),
        ("PATCH", format!("/api/users/{nobody}/")),
        ("DELETE", format!("/api/users/{nobody}/")),
    ] {
        let answer = admin.call(method, &path).json(&json!({})).send().await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
    }
}

/// Whoever follows the only address that there is, such as one that moves between nodes, may be led to a standby.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_standby_reads_go_on_and_writes_are_for_later() {
    let primary = private_cluster(&[]).await;
    let first = TestServer::on(&primary.url(), &[]).await;
    let dba = connect(&primary.url()).await;
    let (admin, source, user) = setting(&first, &dba).await;
    let standby = standby_of(&primary).await;
    let replica = connect(&standby.url()).await;
    eventually("the rows have come", async || {
        let sql = "select from users where username = 'bob'";
        replica.query(sql, &[]).await.unwrap().len() == 1
    })
    .await;
    let in_recovery = replica.query_one("select pg_is_in_recovery()", &[]).await;
    assert!(in_recovery.unwrap().get::<_, bool>(0));

    let pooler = PgBouncer::before(&standby.url(), 4).await;
    for (url, reads) in [(standby.url(), 200), (pooler.url.clone(), 503)] {
        let server = TestServer::launch(&url, &[]).await;
        let mut operator = Http::new(&server.base);
        let mut said = String::new();
        eventually("it is not ready", async || {
            let answer = operator.get("/readyz").send().await;
            said = answer.text();
            answer.status == 503 && (said.contains("recovery") || said.contains("standby"))
        })
        .await;
        println!("{said}");
        let mut admin = Http::new(&server.base)
            .on_page(crate::support::server::ORIGIN)
            .with_cookies_of(&admin);
        let read = admin.get("/api/read-source/").send().await;
        assert_eq!(read.status, reads, "{}", read.text());
        let password = json!({
            "old_password": "Correct-horse-7", "new_password": "Battery-staple-8",
            "confirm_password": "Battery-staple-8",
        });
        let mut answers = writes(&mut admin, &source, &user).await;
        let changed = admin.post("/api/password/").json(&password).send().await;
        answers.push(("POST /api/password/".into(), changed));
        let login = json!({ "username": "ann", "password": "Correct-horse-7" });
        let login = Http::new(&server.base)
            .post("/api/login/")
            .json(&login)
            .send()
            .await;
        answers.push(("POST /api/login/".into(), login));
        for (what, answer) in answers {
            assert_eq!(answer.status, 503, "{what}: {}", answer.text());
            let detail = answer.json()["detail"].as_str().map(str::len);
            assert!(detail > Some(20), "{what}: {}", answer.text());
            assert!(answer.header("retry-after").is_some(), "{what}");
        }
    }
}

/// How long a request may wait for the database, by itself.
const ANSWER: Duration = Duration::from_millis(1900);

/// What became of two who asked for the list while it was locked twice.
#[derive(Debug)]
struct Pair {
    statuses: [u16; 2],
    /// How long the second waited, in all and after the first had its answer.
    waited: [Duration; 2],
}

/// The first waits for a lock; the second waits for the first, and then for another lock.
async fn two_readers(visitor: &Http, dba: [&Client; 3]) -> Pair {
    let [one, two, watcher] = dba;
    let waiting = async |count: usize| {
        let sql = "select from pg_locks where relation = 'sources'::regclass and not granted";
        eventually("they wait for the lock", async || {
            watcher.query(sql, &[]).await.unwrap().len() >= count
        })
        .await;
    };
    let lock = "begin; lock table sources in access exclusive mode";
    one.batch_execute(lock).await.unwrap();
    let ask = || {
        let mut visitor = visitor.clone();
        tokio::spawn(async move {
            let status = visitor.get("/api/read-source/").send().await.status;
            (status, Instant::now())
        })
    };
    let first = ask();
    waiting(1).await;
    let asked = Instant::now();
    let second = ask();
    let locks_again = async {
        // Before the first has given up and asks again.
        waiting(2).await;
        sleep(Duration::from_millis(500)).await;
        one.batch_execute("rollback").await.unwrap();
    };
    let (locked, ()) = tokio::join!(two.batch_execute(lock), locks_again);
    locked.unwrap();
    let (first, answered) = first.await.unwrap();
    // The second has waited for longer than one request may, and its own read has not.
    sleep((ANSWER + Duration::from_millis(200)).saturating_sub(asked.elapsed())).await;
    two.batch_execute("rollback").await.unwrap();
    let (second, ended) = second.await.unwrap();
    Pair {
        statuses: [first, second],
        waited: [ended - asked, ended - answered],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_anothers_read_of_the_list_has_the_whole_time_for_their_own() {
    let (server, database) = TestServer::start().await;
    let visitor = server.visitor("reader").await;
    let dba = [
        database.connect().await,
        database.connect().await,
        database.connect().await,
    ];
    for attempt in 1.. {
        let pair = two_readers(&visitor, [&dba[0], &dba[1], &dba[2]]).await;
        println!("{pair:?}");
        let [in_all, alone] = pair.waited;
        // A machine that is too slow makes the first give up, or the second's own read too long.
        if pair.statuses[0] == 200 && in_all > ANSWER && alone < Duration::from_millis(1600) {
            assert_eq!(pair.statuses[1], 200, "{pair:?}");
            return;
        }
        assert!(attempt < 10, "never as it is to be: {pair:?}");
    }
}
