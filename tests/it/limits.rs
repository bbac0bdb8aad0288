//! How much one stranger may have: attempts to sign in, accounts, sockets, messages.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    client::{Frame, Http, Refusal, Response, Socket},
    server::{ORIGIN, SOON, TestServer, database, eventually, open},
};

const ON: [&str; 2] = ["--rate-limits", "on"];
const BEHIND_PROXY: [&str; 4] = ["--rate-limits", "on", "--trusted-proxies", "127.0.0.1"];
const PASSWORD: &str = "Correct-horse-7";

/// Somebody at an address, as the proxy tells it.
#[derive(Clone, Copy)]
struct At<'a>(&'a TestServer, &'a str);

impl At<'_> {
    async fn log_in(self, name: &str, password: &str) -> Response {
        let body = json!({ "username": name, "password": password });
        self.post("/api/login/", &body).await
    }

    async fn post(self, path: &str, body: &Value) -> Response {
        let mut visitor = Http::new(&self.0.base).on_page(ORIGIN);
        let call = visitor.post(path).header("X-Forwarded-For", self.1);
        call.json(body).send().await
    }

    async fn with_password(self, name: &str, password: &str) -> Response {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let mut visitor = Http::new(&self.0.base);
        let basic = BASE64_STANDARD.encode(format!("{name}:{password}"));
        let call = visitor.get("/api/read-source/");
        call.header("X-Forwarded-For", self.1)
            .header("Authorization", &format!("Basic {basic}"))
            .send()
            .await
    }
}

/// That an answer says: later, and when.
fn assert_throttled(answer: &Response, at_most: u64) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let seconds = answer.header("retry-after").expect("it says when");
    let seconds: u64 = seconds.parse().expect("in seconds");
    assert!((1..=at_most).contains(&seconds), "{seconds}");
    let s = if seconds == 1 { "" } else { "s" };
    let text = format!("Request was throttled. Expected available in {seconds} second{s}.");
    let id = answer.header("x-request-id").expect("every answer has one");
    let body = json!({ "detail": text, "error": text, "request_id": id });
    assert_eq!(answer.json(), body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_a_password_ends_after_twenty_tries_and_locks_nobody_out() {
    let database = database().await;
    let server = TestServer::on(&database.url, &BEHIND_PROXY).await;
    let (here, there) = (At(&server, "198.51.100.7"), At(&server, "198.51.100.8"));
    server.visitor("ann").await;
    for n in 0..20 {
        // Both ways in count together.
        let (answer, refused) = if n % 2 == 0 {
            (here.log_in("ann", &n.to_string()).await, 400)
        } else {
            (here.with_password("ann", &n.to_string()).await, 403)
        };
        assert_eq!(answer.status, refused, "{}", answer.text());
    }
    assert_throttled(&here.log_in("ann", "20").await, 60);
    assert_throttled(&here.with_password("ann", "21").await, 60);
    assert_throttled(&here.log_in("ann", "22").await, 60);
    // Not even the right one, although it was right a moment ago: or guessing would go on.
    assert_throttled(&here.log_in("ann", PASSWORD).await, 60);
    let spoofed = At(&server, "203.0.113.9, 198.51.100.7");
    assert_throttled(&spoofed.log_in("ann", "23").await, 60);

    assert_eq!(there.log_in("ann", PASSWORD).await.status, 200);
    assert_eq!(there.with_password("ann", PASSWORD).await.status, 200);
    assert_eq!(here.log_in("nobody", "x").await.status, 400, "another name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_gives_no_more_guesses_at_the_old_password() {
    let database = database().await;
    let server = TestServer::on(&database.url, &ON).await;
    let mut thief = server.visitor("ann").await;
    let body = json!({ "old_password": "guessed", "new_password": "b" });
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) && statuses.len() < 30 {
        let answer = thief.post("/api/password/").json(&body).send().await;
        statuses.push(answer.status);
    }
    let mut expected = vec![400; 20];
    expected.push(429);
    assert_eq!(statuses, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_is_the_connections_unless_a_trusted_proxy_says_otherwise() {
    let database = database().await;
    let server = TestServer::on(&database.url, &ON).await;
    for n in 0..20 {
        let somewhere = format!("198.51.100.{n}");
        let answer = At(&server, &somewhere).log_in("ann", "x").await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert_throttled(&At(&server, "198.51.100.99").log_in("ann", "x").await, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_office_behind_one_address_signs_in_at_nine() {
    let (off, database) = TestServer::start().await;
    off.visitor("template").await;
    let sql = "insert into users (username, password_hash)
               select 'person' || n, password_hash from users, generate_series(1, 110) n";
    let dba = database.connect().await;
    assert_eq!(dba.execute(sql, &[]).await.unwrap(), 110);
    let server = TestServer::on(&database.url, &ON).await;
    let answers = join_all((1..=110).map(|n| {
        let server = &server;
        async move {
            // The page signs in twice, and here and there somebody mistypes first.
            let name = format!("person{n}");
            let office = At(server, "");
            if n % 10 == 0 {
                assert_eq!(office.log_in(&name, "mistyped").await.status, 400);
            }
            let first = office.log_in(&name, PASSWORD).await.status;
            [first, office.log_in(&name, PASSWORD).await.status]
        }
    }))
    .await;
    assert_eq!(answers, vec![[200, 200]; 110]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_many_addresses_guess_at_is_spared_and_its_owner_gets_in() {
    let database = database().await;
    let server = TestServer::on(&database.url, &BEHIND_PROXY).await;
    server.visitor("ann").await;
    let home = At(&server, "203.0.113.1");
    assert_eq!(home.log_in("ann", PASSWORD).await.status, 200);
    let mut refused = None;
    for n in 0..150 {
        // Of one subscriber's network each, and of IPv6 only the network counts.
        let address = format!("2001:db8:0:{:x}::{n:x}", n / 15);
        let answer = At(&server, &address).log_in("ann", "x").await;
        if answer.status != 400 {
            refused = Some((n, answer));
            break;
        }
    }
    let (tried, answer) = refused.expect("it ends");
    // A few more when the machine is slow: one is free every five seconds.
    assert!((100..140).contains(&tried), "{tried}");
    assert_throttled(&answer, 5);
    let wrong = home.log_in("ann", "mistyped").await;
    assert_eq!(
        wrong.status,
        400,
        "where the name has signed in: {}",
        wrong.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_made_up_to_a_number_per_address_and_name() {
    let database = database().await;
    let server = TestServer::on(&database.url, &BEHIND_PROXY).await;
    let body = |name: &str| json!({ "username": name, "password": "", "confirm_password": "" });
    // By name, from wherever.
    for n in 0..20 {
        let address = format!("198.51.100.{n}");
        let answer = At(&server, &address)
            .post("/api/register/", &body("ann"))
            .await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    let there = At(&server, "198.51.100.99");
    assert_throttled(&there.post("/api/register/", &body("ann")).await, 10);

    // By address, for whatever name.
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) && statuses.len() < 250 {
        let name = format!("person{}", statuses.len());
        let answer = there.post("/api/register/", &body(&name)).await;
        if answer.status == 429 {
            assert_throttled(&answer, 30);
        }
        statuses.push(answer.status);
    }
    assert!((200..220).contains(&statuses.len()), "{}", statuses.len());
    let good = json!({
        "username": "bob", "password": PASSWORD, "confirm_password": PASSWORD,
    });
    let elsewhere = At(&server, "203.0.113.1");
    assert_eq!(elsewhere.post("/api/register/", &good).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_limits_when_they_are_off() {
    let (server, _database) = TestServer::start().await;
    let body = json!({ "username": "ann", "password": "", "confirm_password": "" });
    for _ in 0..25 {
        assert_eq!(At(&server, "").log_in("ann", "x").await.status, 400);
        assert_eq!(
            At(&server, "").post("/api/register/", &body).await.status,
            400
        );
    }
}

/// Why a handshake is refused.
async fn refusal(visitor: &Http, path: &str) -> Response {
    match Socket::open(visitor, path).await {
        Err(Refusal::Answer(answer)) => answer,
        other => panic!("not refused in words: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_user_and_no_address_has_all_sockets() {
    let database = database().await;
    let arguments = [
        ON[0],
        ON[1],
        "--max-connections",
        "40",
        "--anonymous",
        "read",
    ];
    let server = TestServer::on(&database.url, &arguments).await;
    let mut ann = server.visitor("ann").await;
    let bob = server.visitor("bob").await;
    let stranger = Http::new(&server.base).on_page(ORIGIN);
    let path = "/ws/filter_source/";
    let mut anns = Vec::new();
    for _ in 0..10 {
        anns.push(open(&ann, path).await);
    }
    let answer = refusal(&ann, path).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("10"));
    let text = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(text.contains("this user"), "{text}");
    server.sign_in(&mut ann, "ann").await;
    assert_eq!(refusal(&ann, path).await.status, 429);

    // A new session gets no more. Another user has their own; strangers count for their address only.
    let mut bobs = Vec::new();
    for _ in 0..10 {
        bobs.push(open(&bob, path).await);
    }
    let mut strangers = Vec::new();
    for _ in 0..10 {
        strangers.push(open(&stranger, path).await);
    }
    for visitor in [&stranger, &bob] {
        let answer = refusal(visitor, path).await;
        assert_eq!(answer.status, 429, "{}", answer.text());
        let text = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(text.contains("this address"), "{text}");
    }
    // What is refused leaves nothing behind, and what is closed makes room.
    anns.pop().expect("ten are open").close(1000).await;
    eventually("there is room for one", async || {
        Socket::open(&ann, path).await.is_ok()
    })
    .await;
    assert!(
        anns.iter()
            .chain(&bobs)
            .chain(&strangers)
            .all(|socket| socket.closed().is_none())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_messages_is_refused_in_words_and_then_closed() {
    let database = database().await;
    let server = TestServer::on(&database.url, &ON).await;
    let ann = server.visitor("ann").await;
    let bob = server.visitor("bob").await;
    let mut reading = open(&ann, "/ws/data_library/").await;
    reading.next_json(SOON).await;
    let mut list = open(&ann, "/ws/filter_source/").await;
    let message = json!({ "action": "filter_by_id", "id": "x" });

    // A page with thousands of cards asks for all of them at once.
    for _ in 0..5_000 {
        list.send_json(&message).await;
    }
    eventually("all are answered", async || list.count() == 5_000).await;
    let answers = list.frames_from(0);
    assert!(
        answers.iter().all(|frame| *frame == answers[0]),
        "none was too many"
    );

    let mut sent = 5_000;
    while list.closed().is_none() && sent < 100_000 {
        list.send_json(&message).await;
        sent += 1;
    }
    let closed = list.closed_within(SOON).await;
    assert_eq!(
        (closed.code, closed.reason.as_str()),
        (1013, "too many messages")
    );
    let refused: Vec<Frame> = list
        .frames_from(5_000)
        .into_iter()
        .filter(|frame| *frame != answers[0])
        .collect();
    assert_eq!(refused.len(), 100);
    let Frame::Text(text) = &refused[0] else {
        panic!("{refused:?}")
    };
    let error: Value = serde_json::from_str(text).unwrap();
    assert_eq!(error["status"], "error");
    assert_eq!(error["message"], "Too many messages. Try again in 1 s.");
    assert_eq!(error["data"], json!({}), "the page reads it of every frame");

    // A socket whose page could not show an error gets none before it is closed.
    while reading.closed().is_none() && sent < 200_000 {
        reading.send_json(&message).await;
        sent += 1;
    }
    assert_eq!(reading.closed_within(SOON).await.code, 1013);
    assert_eq!(reading.count(), 1);

    let mut untouched = open(&bob, "/ws/filter_source/").await;
    untouched.send_json(&message).await;
    assert_eq!(
        untouched.next_json(SOON).await["message"],
        "Source not found"
    );
}
