//! How much one stranger may have: attempts to sign in, accounts, sockets, messages.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::support::{
    client::{Frame, Http, Refusal, Response, Socket},
    server::{ORIGIN, SOON, TestServer, database, eventually, open},
};

const ON: [&str; 2] = ["--rate-limits", "on"];
const OFF: [&str; 2] = ["--rate-limits", "off"];
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
    let body = json!({ "old_password": "guessed", "new_password": "Battery-staple-8" });
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
async fn a_change_whose_old_password_nobody_looked_at_does_not_count() {
    let database = database().await;
    let server = TestServer::on(&database.url, &BEHIND_PROXY).await;
    let mut ann = server.visitor("ann").await;
    let body = json!({ "old_password": PASSWORD, "new_password": "Battery-staple-8" });
    let mut from = async |address: &str| {
        let call = ann
            .post("/api/password/")
            .header("X-Forwarded-For", address);
        call.json(&body).send().await
    };
    let here = At(&server, "198.51.100.7");
    for n in 0..20 {
        let refused = here.log_in("ann", &n.to_string()).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
    for _ in 0..30 {
        assert_throttled(&from("198.51.100.7").await, 60);
    }
    let changed = from("198.51.100.8").await;
    assert_eq!(changed.status, 200, "{}", changed.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_changes_the_password_ten_times_at_once_and_not_more() {
    let database = database().await;
    let server = TestServer::on(&database.url, &ON).await;
    let ann = server.visitor("ann").await;
    let body = json!({ "old_password": PASSWORD, "new_password": PASSWORD });
    let answers = join_all((0..120).map(|_| {
        let (mut ann, body) = (ann.clone(), &body);
        async move { ann.post("/api/password/").json(body).send().await }
    }))
    .await;
    let refused: Vec<_> = answers.iter().filter(|it| it.status == 429).collect();
    assert!((110..=112).contains(&refused.len()), "{}", refused.len());
    for answer in refused {
        assert_throttled(answer, 60);
    }
    let mut bob = server.visitor("bob").await;
    let answer = bob.post("/api/password/").json(&body).send().await;
    assert_eq!(answer.status, 200, "another user: {}", answer.text());
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
async fn an_address_counts_before_its_body_is_read() {
    let database = database().await;
    let server = TestServer::on(&database.url, &BEHIND_PROXY).await;
    for (path, at_most) in [("/api/register/", 200), ("/api/login/", 300)] {
        let mut waiting = Vec::new();
        let mut refused = None;
        // A few more when the machine is slow: one is free every now and then.
        while refused.is_none() && waiting.len() < at_most + 50 {
            let mut stream = Http::new(&server.base).address().connect().await.unwrap();
            // Waits for the body, unless there were too many.
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 198.51.100.7\r\n\
                 Content-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            match &answer[9..] {
                // It is asked for as soon as somebody wants to read it.
                b"100" => waiting.push(stream),
                _ => refused = Some(String::from_utf8_lossy(&answer[9..]).into_owned()),
            }
        }
        assert_eq!(refused.as_deref(), Some("429"), "{path}");
        assert!(waiting.len() >= at_most, "{path}: {}", waiting.len());
        let body = json!({ "username": "ann", "password": PASSWORD });
        let elsewhere = At(&server, "203.0.113.1").post(path, &body).await;
        assert_eq!(elsewhere.status, 400, "{}", elsewhere.text());
    }
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

/// A connection from one of the addresses of this machine, with what was sent on it.
async fn connect_from(server: &TestServer, address: &str, sent: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let from = format!("{address}:0").parse().unwrap();
    socket.bind(from).unwrap();
    let to = server.base.strip_prefix("http://").unwrap();
    let mut stream = socket.connect(to.parse().unwrap()).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// The status of what is answered; none when it is hung up on.
async fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut head = [0; 12];
    timeout(SOON, stream.read_exact(&mut head))
        .await
        .expect("it is answered or hung up on")
        .ok()?;
    let text = std::str::from_utf8(&head).unwrap();
    Some(text.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap())
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_slow_connections_of_one_address_leave_room_for_others() {
    const MOST: usize = 80;
    let database = database().await;
    let arguments = [ON[0], ON[1], "--max-connections", "80"];
    let server = TestServer::on(&database.url, &arguments).await;
    let body = "POST /api/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    let (mut held, mut refused) = (Vec::new(), 0);
    for n in 0..MOST {
        let sent = ["", "GET /healthz HTTP/1.1\r\nHost: lo", body][n % 3];
        let mut stream = connect_from(&server, "127.0.0.2", sent).await;
        if n >= MOST / 8 {
            assert_eq!(status(&mut stream).await, Some(429));
            refused += 1;
        }
        held.push(stream);
    }
    assert_eq!(refused, MOST - MOST / 8);
    for _ in 0..MOST {
        let mut other = connect_from(&server, "127.0.0.3", HEALTH).await;
        assert_eq!(status(&mut other).await, Some(200));
    }
    // What is closed makes room.
    held.clear();
    eventually("the address is served again", async || {
        let mut stream = connect_from(&server, "127.0.0.2", HEALTH).await;
        status(&mut stream).await == Some(200)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_that_was_silent_the_longest_makes_room_for_another() {
    let database = database().await;
    // Nobody is told apart, as behind a proxy.
    let arguments = [OFF[0], OFF[1], "--max-connections", "4"];
    let server = TestServer::on(&database.url, &arguments).await;
    let begin = "POST /api/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{";
    let mut asking = connect_from(&server, "127.0.0.1", begin).await;
    let mut silent = Vec::new();
    eventually("it is full", async || {
        // The request that asked for readiness may not have hung up yet.
        silent.push(connect_from(&server, "127.0.0.1", "").await);
        let mut late = connect_from(&server, "127.0.0.1", HEALTH).await;
        status(&mut late).await == Some(503)
    })
    .await;
    eventually("one makes room", async || {
        let mut late = connect_from(&server, "127.0.0.1", HEALTH).await;
        status(&mut late).await == Some(200)
    })
    .await;
    assert_eq!(
        status(&mut silent[0]).await,
        None,
        "the first is hung up on"
    );
    asking.write_all(b"}").await.unwrap();
    assert_eq!(
        status(&mut asking).await,
        Some(400),
        "a request that is being read stays"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_requests_are_counted_by_the_address_that_it_names() {
    let database = database().await;
    let arguments = [&BEHIND_PROXY[..], &["--max-connections", "80"]].concat();
    let server = TestServer::on(&database.url, &arguments).await;
    // Its own connections are everybody's.
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(connect_from(&server, "127.0.0.1", "").await);
    }
    let begin = |address| {
        format!(
            "POST /api/login/ HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\n\
             Content-Length: 100\r\n\r\n{{"
        )
    };
    let mut slow = JoinSet::new();
    for mut stream in silent.drain(..11) {
        let sent = begin("198.51.100.7");
        stream.write_all(sent.as_bytes()).await.unwrap();
        slow.spawn(async move { status(&mut stream).await });
    }
    let refused = slow.join_next().await.unwrap().unwrap();
    assert_eq!(refused, Some(429));
    assert!(slow.try_join_next().is_none(), "an eighth is let in");
    let health =
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 198.51.100.8\r\n\r\n";
    let mut other = connect_from(&server, "127.0.0.1", health).await;
    assert_eq!(status(&mut other).await, Some(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_with_a_password_leave_one_session_and_refused_ones_none() {
    let database = database().await;
    let arguments = [ON[0], ON[1], "--max-connections", "80"];
    let server = TestServer::on(&database.url, &arguments).await;
    server.visitor("ann").await;
    let dba = database.connect().await;
    let sessions = async || {
        let sql = "select count(*) from sessions";
        dba.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!(sessions().await, 1, "of signing in");
    let handshake = |method: &str, more: &str, version: &str, key: &str| {
        let basic = crate::support::sign_in::basic("ann", PASSWORD);
        format!(
            "{method} /ws/read_source/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: {version}\r\n\
             Sec-WebSocket-Key: {key}\r\nAuthorization: {basic}\r\n{more}\r\n"
        )
    };
    let key = "AAAAAAAAAAAAAAAAAAAAAA==";
    for (sent, refused) in [
        (handshake("GET", "", "8", key), 426),
        (handshake("GET", "", "13", "short"), 400),
        (handshake("POST", "Content-Length: 0\r\n", "13", key), 405),
        (
            handshake("GET", "Origin: http://evil.example\r\n", "13", key),
            403,
        ),
    ] {
        for _ in 0..20 {
            let mut stream = connect_from(&server, "127.0.0.1", &sent).await;
            assert_eq!(status(&mut stream).await, Some(refused), "{sent}");
        }
    }
    assert_eq!(sessions().await, 1, "a refused handshake leaves none");

    let mut open = Vec::new();
    for n in 0..40 {
        let mut stream = connect_from(&server, "127.0.0.1", &handshake("GET", "", "13", key)).await;
        // A user has a quarter of the sockets.
        let expected = if n < 20 { 101 } else { 429 };
        assert_eq!(status(&mut stream).await, Some(expected));
        open.push(stream);
    }
    assert_eq!(sessions().await, 2, "all sockets share one");

    // It ends as others do, and its sockets with it.
    dba.batch_execute("delete from sessions").await.unwrap();
    for mut stream in open.drain(..20) {
        let mut rest = Vec::new();
        let read = timeout(SOON, stream.read_to_end(&mut rest));
        read.await.expect("it is closed").unwrap();
        let reason = b"the session has ended";
        assert!(rest.windows(reason.len()).any(|text| text == reason));
    }
    drop(open);
    eventually("a socket is opened again", async || {
        let sent = handshake("GET", "", "13", key);
        let mut again = connect_from(&server, "127.0.0.1", &sent).await;
        status(&mut again).await == Some(101)
    })
    .await;
    assert_eq!(sessions().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_a_hundred_sessions_and_those_used_last_stay() {
    let (server, database) = TestServer::start().await;
    let ann = server.visitor("ann").await;
    let bob = server.visitor("bob").await;
    let dba = database.connect().await;
    let mut anns = open(&ann, "/ws/filter_source/").await;
    let mut bobs = open(&bob, "/ws/filter_source/").await;
    // Signed in and out of sight since; one of them was used a moment ago.
    let sql = "insert into sessions (user_id, token_hash, created_at, expires_at)
               select id, sha256(n::text::bytea), now() - interval '20 days',
                   now() + interval '5 days' + n * interval '1 minute'
                 from users, generate_series(1, 99) n where username = 'ann'";
    assert_eq!(dba.execute(sql, &[]).await.unwrap(), 99);
    let sql = "update sessions set created_at = now() - interval '30 days',
                   expires_at = now() + interval '1 minute'
                where user_id = (select id from users where username = 'ann')
                  and created_at > now() - interval '1 hour'";
    assert_eq!(dba.execute(sql, &[]).await.unwrap(), 1);
    let count = async |name: &str| {
        let sql = "select count(*) from sessions s join users u on u.id = s.user_id
                    where u.username = $1";
        dba.query_one(sql, &[&name]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!(count("ann").await, 100);
    let mut again = ann.clone();
    for _ in 0..2 {
        server.sign_in(&mut again, "ann").await;
        assert_eq!(count("ann").await, 100);
    }
    let closed = anns.closed_within(SOON).await;
    assert_eq!(closed.code, 1008, "the one used longest ago has ended");
    assert_eq!(again.get("/api/me/").send().await.status, 200);
    assert_eq!(count("bob").await, 1);
    assert!(bobs.closed().is_none());
    let message = json!({ "action": "filter_by_id", "id": "x" });
    bobs.send_json(&message).await;
    bobs.next_json(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_four_lists_under_way_and_others_have_theirs() {
    let database = database().await;
    let server = TestServer::on(&database.url, &ON).await;
    let ann = server.visitor("ann").await;
    let mut bob = server.visitor("bob").await;
    let dba = database.connect().await;
    let sql = "insert into sources (country, panel) select 'country', repeat('p', 200)
                 from generate_series(1, 20000)";
    dba.execute(sql, &[]).await.unwrap();
    let request = format!(
        "GET /api/read-source/ HTTP/1.1\r\nHost: localhost\r\nCookie: sessionid={}\r\n\r\n",
        ann.cookie("sessionid").unwrap()
    );
    let mut under_way = Vec::new();
    for _ in 0..4 {
        let mut stream = connect_from(&server, "127.0.0.1", &request).await;
        assert_eq!(status(&mut stream).await, Some(200));
        under_way.push(stream);
    }
    let mut late = connect_from(&server, "127.0.0.1", &request).await;
    let answer = bob.get("/api/read-source/").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json().as_array().unwrap().len(), 20_000);
    assert_eq!(status(&mut late).await, Some(429), "she read none of them");
    under_way.clear();
    eventually("there is room for one", async || {
        let mut stream = connect_from(&server, "127.0.0.1", &request).await;
        status(&mut stream).await == Some(200)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_shows_what_anybody_committed_before_it_was_asked_for() {
    let (server, database) = TestServer::start().await;
    let visitor = server.visitor("ann").await;
    let dba = database.connect().await;
    let sql = "insert into sources (country) select 'nowhere' from generate_series(1, 20)";
    dba.execute(sql, &[]).await.unwrap();
    // Many who change a row each and look; they share what is read.
    let writers = (0..20_i64).map(|n| {
        let (mut visitor, url) = (visitor.clone(), database.url.clone());
        tokio::spawn(async move {
            let dba = crate::support::postgres::connect(&url).await;
            let sql = "select id from sources order by id offset $1 limit 1";
            let id: uuid::Uuid = dba.query_one(sql, &[&n]).await.unwrap().get(0);
            for round in 0..10 {
                let country = format!("country {n} {round}");
                let sql = "update sources set country = $1 where id = $2";
                dba.execute(sql, &[&country, &id]).await.unwrap();
                let list = visitor.get("/api/read-source/").send().await;
                assert_eq!(list.status, 200, "{}", list.text());
                let list = list.json();
                let mut rows = list.as_array().unwrap().iter();
                let row = rows.find(|row| row["id"] == id.to_string()).unwrap();
                assert_eq!(row["country"], country);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    // A list that is not changed any more stays as it is, and an empty one is one.
    let mut visitor = visitor;
    let list = visitor.get("/api/read-source/").send().await;
    assert_eq!(
        visitor.get("/api/read-source/").send().await.body,
        list.body
    );
    let head = visitor.call("HEAD", "/api/read-source/").send().await;
    assert_eq!(
        head.header("content-length"),
        Some(list.body.len().to_string().as_str())
    );
    dba.batch_execute("truncate sources").await.unwrap();
    let list = visitor.get("/api/read-source/").send().await;
    assert_eq!(list.text(), "[]");
}
