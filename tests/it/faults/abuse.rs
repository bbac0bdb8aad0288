//! Clients that want to be a burden: slow, endless, deep, huge, tiny, many. The program, in a process
//! of its own, goes on serving others and holds little memory for them.

mod crumbs;

use std::{
    fs,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use marketplace::ws::deflate;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::support::{
    client::{Http, Response},
    postgres::TestDatabase,
    program::{Running, program},
    server::{ORIGIN, SOON, database, eventually, open},
};

/// The times that the server gives a client for a head, a body and a message are 30 s; the rest is for
/// busy machines.
const ENDED: Duration = Duration::from_secs(75);
const MIB: u64 = 1 << 20;
/// Connections of clients that have just hung up may be counted yet.
const SPARE: usize = 3;
/// Where strangers may look.
const LIST: &str = "/ws/read_source/";

/// The program on a database of its own, with what it holds.
struct Target {
    server: Running,
    base: String,
    database: TestDatabase,
}

impl Target {
    async fn start() -> Self {
        Self::with_rate_limits("off").await
    }

    async fn with_rate_limits(limits: &str) -> Self {
        let database = database().await;
        let mut command = program(&["serve", "--bind", "127.0.0.1:0", "--anonymous", "read"]);
        command
            .env("DATABASE_URL", &database.url)
            .env("RATE_LIMITS", limits)
            .env("RUST_LOG", "error");
        let mut server = Running::start(command);
        let base = server.line("listening on ").await;
        let target = Self {
            server,
            base,
            database,
        };
        eventually("the server is ready", async || {
            target.visitor().get("/readyz").send().await.status == 200
        })
        .await;
        target
    }

    fn visitor(&self) -> Http {
        Http::new(&self.base).on_page(ORIGIN)
    }

    /// Somebody who has registered and signed in.
    async fn member(&self) -> Http {
        let mut member = self.visitor();
        let body = json!({
            "username": "member", "password": "Correct-horse-7",
            "confirm_password": "Correct-horse-7",
        });
        for (path, status) in [("/api/register/", 201), ("/api/login/", 200)] {
            assert_eq!(member.post(path).json(&body).send().await.status, status);
        }
        member
    }

    async fn connect(&self) -> TcpStream {
        let visitor = self.visitor();
        visitor.address().connect().await.expect("it accepts")
    }

    /// A socket as bytes, after the handshake.
    async fn socket(&self, path: &str, cookie: Option<&str>) -> TcpStream {
        let mut stream = self.connect().await;
        let cookie = cookie.map_or(String::new(), |c| format!("Cookie: sessionid={c}\r\n"));
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{cookie}\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.expect("it is answered"));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", lossy(&answer));
        stream
    }

    /// Others are served: a page, and a socket that gets its first frame.
    async fn serves(&self) {
        let began = Instant::now();
        let mut visitor = self.visitor();
        assert_eq!(visitor.get("/healthz").send().await.status, 200);
        let mut list = open(&visitor, LIST).await;
        assert!(list.next_json(SOON).await["data"].is_array());
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }

    /// The most memory that it has held since the last call, in bytes.
    fn peak(&self) -> u64 {
        let process = format!("/proc/{}", self.server.child.id().expect("it runs"));
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = line.unwrap().trim_end_matches("kB").trim().parse().unwrap();
        fs::write(format!("{process}/clear_refs"), "5").unwrap();
        kib * 1024
    }

    /// The memory that it holds now, in bytes.
    fn resident(&self) -> u64 {
        let process = format!("/proc/{}", self.server.child.id().expect("it runs"));
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line.unwrap().trim_end_matches("kB").trim().parse().unwrap();
        kib * 1024
    }

    fn descriptors(&self) -> usize {
        let process = format!("/proc/{}", self.server.child.id().expect("it runs"));
        fs::read_dir(format!("{process}/fd")).unwrap().count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_hung_up_on_and_hold_little() {
    const EACH: usize = 60;
    let target = Target::start().await;
    target.serves().await;
    let part = vec![b' '; 200 * 1024];
    let body = [
        b"POST /api/register/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 250000\r\n\r\n"
            .as_slice(),
        &part,
    ]
    .concat();
    let form = [
        b"POST /api/register/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\
        Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disposition: "
            .as_slice(),
        &part[..8 * 1024],
    ]
    .concat();
    let unmasked = (part.len() as u64).to_be_bytes();
    let message = [&[0x01, 0xff], &unmasked[..], &[0; 4], &part].concat();
    // Where one is in a fragment, and its text.
    let fragments = [&[0x01, 0x84, 0, 0, 0, 0], b"text".as_slice()].concat();
    let kinds: [(&str, Vec<u8>, &[u8]); 6] = [
        ("nothing", Vec::new(), b""),
        (
            "head",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".to_vec(),
            b"a",
        ),
        ("body", body, b" "),
        ("form", form, b"a"),
        ("message", message, b"\x00\x81\0\0\0\0a"),
        ("fragments", fragments, b"\x00\x81\0\0\0\0a"),
    ];
    let before = (target.peak(), target.descriptors());
    let mut slow = JoinSet::new();
    for (kind, start, more) in kinds {
        for _ in 0..EACH {
            let is_socket = matches!(kind, "message" | "fragments");
            let mut stream = if is_socket {
                target.socket(LIST, None).await
            } else {
                target.connect().await
            };
            stream.write_all(&start).await.unwrap();
            slow.spawn(async move { (kind, trickle(stream, more).await) });
        }
    }
    eventually("all are accepted", async || {
        target.descriptors() + SPARE >= before.1 + 6 * EACH
    })
    .await;
    let mut ended = 0;
    while let Some(one) = slow.join_next().await {
        let (kind, lasted) = one.unwrap();
        assert!(lasted < ENDED, "{kind} lasted {lasted:?}");
        if ended % EACH == 0 {
            target.serves().await;
        }
        ended += 1;
    }
    assert_eq!(ended, 6 * EACH);
    eventually("their descriptors are free", async || {
        target.descriptors() <= before.1 + SPARE
    })
    .await;
    let grown = target.peak().saturating_sub(before.0);
    println!("{} slow clients: {} MiB", 6 * EACH, grown / MIB);
    assert!(grown < 80 * MIB, "{} MiB", grown / MIB);
}

/// Sends `more` each second until it is hung up on, and says how long that took.
async fn trickle(mut stream: TcpStream, more: &[u8]) -> Duration {
    let began = Instant::now();
    let mut answer = [0; 4096];
    while began.elapsed() < ENDED {
        match timeout(Duration::from_secs(1), stream.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => continue,
            Err(_) => {}
        }
        if stream.write_all(more).await.is_err() {
            break;
        }
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_heads_and_bodies_are_refused() {
    let target = Target::start().await;
    target.serves().await;
    let post = "POST /api/register/ HTTP/1.1\r\nHost: localhost\r\n";
    let headers = "X-Many: a\r\n".repeat(300);
    let form = "Content-Length: 60000000\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n";
    let before = target.peak();
    for (what, start, more, statuses) in [
        (
            "a header's value",
            format!("{post}X-Long: "),
            "aaaaaaaaaaaaaaaa",
            &[431][..],
        ),
        (
            "headers",
            format!("{post}{headers}"),
            "X-More: a\r\n",
            &[431],
        ),
        (
            "the target",
            "GET /".to_owned(),
            "aaaaaaaaaaaaaaaaaaa",
            &[414, 431],
        ),
        (
            "a form's preamble",
            format!("{post}{form}"),
            "aaaaaaaaaaaaaaaaa",
            &[413],
        ),
        (
            "a part's head",
            format!("{post}{form}--x\r\nA: "),
            "aaaaaaaaaaaaaaa",
            &[413],
        ),
        (
            "parts",
            format!("{post}{form}"),
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n",
            &[413],
        ),
        (
            "an extension of a chunk",
            format!("{post}{chunked}1;"),
            "aaaaaaaaaaaaaaa",
            &[400, 413],
        ),
        ("chunks", format!("{post}{chunked}"), "1\r\n \r\n", &[413]),
        (
            "trailers",
            format!("{post}{chunked}2\r\n{{}}\r\n0\r\n"),
            "X-More: a\r\n",
            &[400, 431],
        ),
    ] {
        let began = Instant::now();
        let mut attacks = JoinSet::new();
        for _ in 0..8 {
            let stream = target.connect().await;
            attacks.spawn(flood(stream, start.clone(), more.repeat(4096)));
        }
        target.serves().await;
        while let Some(status) = attacks.join_next().await {
            let status = status.unwrap();
            assert!(
                status.is_none_or(|status| statuses.contains(&status)),
                "{what}: {status:?}"
            );
        }
        println!("endless {what}: {:?}", began.elapsed());
    }
    target.serves().await;
    let grown = target.peak().saturating_sub(before);
    println!("endless requests: {} MiB", grown / MIB);
    assert!(grown < 32 * MIB, "{} MiB", grown / MIB);
}

/// Sends `more` until it is refused, 64 MiB at most, and gives the status that it was refused with,
/// unless the connection broke before that was read.
async fn flood(mut stream: TcpStream, start: String, more: String) -> Option<u16> {
    let (mut read, mut write) = stream.split();
    let flood = async {
        write.write_all(start.as_bytes()).await?;
        for _ in 0..64 * MIB / more.len() as u64 {
            write.write_all(more.as_bytes()).await?;
        }
        std::io::Result::Ok(())
    };
    let mut head = [0; 12];
    let answer = timeout(ENDED, async {
        tokio::select! {
            answer = read.read_exact(&mut head) => return answer.is_ok(),
            _ = flood => {}
        }
        read.read_exact(&mut head).await.is_ok()
    });
    if !answer.await.expect("it is ended in time") {
        return None;
    }
    let status = head.strip_prefix(b"HTTP/1.1 ").expect("it is HTTP");
    Some(lossy(status).parse().expect("a status"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_and_huge_json_is_refused() {
    let target = Target::start().await;
    let mut member = target.member().await;
    let id = "00000000-0000-4000-8000-00000000000a";
    let update = format!("/api/update-source/{id}/");
    let before = target.peak();
    let began = Instant::now();
    for (what, value) in monsters() {
        let form = format!(
            r#"{{"username":{value},"password":{value},"country":{value},"end_date":{value}}}"#
        );
        for body in [&value, &form] {
            for path in ["/api/register/", "/api/login/", "/api/add-source/", &update] {
                let call = member.post(path).body("application/json", body.as_str());
                let Response { status, .. } = call.send().await;
                assert!((400..500).contains(&status), "{what} at {path}: {status}");
            }
        }
        for path in [
            "/ws/source/",
            "/ws/filter_source/",
            "/ws/data_source_activation/",
            "/ws/EMRConsumer/",
        ] {
            let mut socket = open(&member, path).await;
            let messages = [
                value.clone(),
                format!(
                    r#"{{"action":"add_source","id":{value},"source_id":{value},"formData":{value}}}"#
                ),
                format!(r#"{{"action":{value},"step":[{value}]}}"#),
                json!({ "action": "filter_by_id", "id": id }).to_string(),
            ];
            let count = messages.len();
            for message in messages {
                socket.send_text(message).await;
            }
            for _ in 0..count {
                let answer = socket.next_json(SOON).await;
                assert!(is_refusal(&answer), "{what} at {path}: {answer}");
            }
            assert_eq!(socket.closed(), None, "{what} at {path}");
        }
    }
    println!("monsters: {:?}", began.elapsed());
    target.serves().await;
    let grown = target.peak().saturating_sub(before);
    println!("monsters: {} MiB", grown / MIB);
    // What checks passwords takes 19 MiB for each at once.
    assert!(grown < 96 * MIB, "{} MiB", grown / MIB);
}

/// JSON that is no value of ours.
fn monsters() -> Vec<(&'static str, String)> {
    let long = 20_000;
    vec![
        ("arrays", "[".repeat(long) + &"]".repeat(long)),
        ("unclosed arrays", "[".repeat(2 * long)),
        (
            "objects",
            r#"{"a":"#.repeat(long / 4) + "1" + &"}".repeat(long / 4),
        ),
        ("digits", "9".repeat(2 * long)),
        ("a fraction", format!("0.{}", "3".repeat(2 * long))),
        ("an exponent", "1e999999999999999999".to_owned()),
        ("a small exponent", "-1e-99999999999999999".to_owned()),
        ("many values", format!("[{}0]", "0,".repeat(long))),
        ("backslashes", format!("\"{}\"", r"\\".repeat(long))),
        ("half pairs", format!("\"{}\"", r"\ud800".repeat(long / 4))),
        ("zeros", format!("\"{}\"", r"\u0000".repeat(long / 4))),
    ]
}

fn is_refusal(answer: &Value) -> bool {
    answer["status"] == "error" || answer["error"].is_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_and_crumbs_are_refused_or_swallowed() {
    let target = Target::start().await;
    let member = target.member().await;
    let cookie = member.cookie("sessionid").unwrap().to_owned();
    let before = target.peak();

    // 200 MiB in 200 KiB, on many sockets at once.
    let bomb = frame(0xc1, &deflate::deflate(&vec![b' '; 200 << 20], 15, 0));
    assert!(bomb.len() < 256 * 1024, "it is let in: {}", bomb.len());
    let mut attacks = JoinSet::new();
    for _ in 0..16 {
        let mut socket = target.socket("/ws/source/", Some(&cookie)).await;
        let bomb = bomb.clone();
        attacks.spawn(async move {
            socket.write_all(&bomb).await.unwrap();
            close_code(&mut socket).await
        });
    }
    target.serves().await;
    while let Some(code) = attacks.join_next().await {
        assert_eq!(code.unwrap(), 1009);
    }
    let grown = target.peak().saturating_sub(before);
    println!("16 bombs of 200 MiB: {} MiB", grown / MIB);
    assert!(grown < 32 * MIB, "{} MiB", grown / MIB);

    // Blocks that end and say nothing: it is the empty text, which is no JSON.
    let began = Instant::now();
    let mut socket = target.socket("/ws/source/", Some(&cookie)).await;
    let blocks = frame(0xc1, &b"\x03\x00".repeat(100_000));
    socket.write_all(&blocks).await.unwrap();
    assert!(is_refusal(&answer(&mut socket).await));
    println!("100,000 blocks: {:?}", began.elapsed());

    // A million fragments, most of them empty, and pings between them.
    let began = Instant::now();
    let start = frame(0x01, b"{\"action\":\"");
    let crumbs = [
        frame(0x00, b""),
        frame(0x00, b""),
        frame(0x00, b"a"),
        frame(0x89, b""),
    ]
    .concat();
    let crumbs = crumbs.repeat(250);
    let (mut read, mut write) = socket.split();
    let send = async {
        write.write_all(&start).await.unwrap();
        for _ in 0..1000 {
            write.write_all(&crumbs).await.unwrap();
        }
        write.write_all(&frame(0x80, b"\"}")).await.unwrap();
    };
    let receive = async {
        loop {
            let (first, payload) = received(&mut read).await;
            match first {
                0x8a | 0x89 => {}
                0x81 => return serde_json::from_slice::<Value>(&payload).unwrap(),
                other => panic!("{other:x}"),
            }
        }
    };
    let (answer, (), ()) = timeout(ENDED, async {
        tokio::join!(receive, send, target.serves())
    })
    .await
    .expect("they are swallowed in time");
    assert!(is_refusal(&answer), "{answer}");
    println!("1,000,000 fragments: {:?}", began.elapsed());
    target.serves().await;
    let grown = target.peak().saturating_sub(before);
    println!("in all: {} MiB", grown / MIB);
    assert!(grown < 32 * MIB, "{} MiB", grown / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_send_nothing_cost_little() {
    const MANY: usize = 2000;
    let target = Target::start().await;
    target.serves().await;
    let before = (target.peak(), target.descriptors());
    let mut silent = Vec::new();
    for _ in 0..MANY {
        silent.push(target.connect().await);
    }
    eventually("all are accepted", async || {
        target.descriptors() + SPARE >= before.1 + MANY
    })
    .await;
    target.serves().await;
    let grown = target.peak().saturating_sub(before.0);
    println!(
        "{MANY} silent connections: {} KiB each",
        grown / 1024 / MANY as u64
    );
    assert!(grown / (MANY as u64) < 16 * 1024, "{} KiB", grown / 1024);
    drop(silent);
    eventually("they are let go", async || {
        target.descriptors() <= before.1 + SPARE
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_wrong_sign_ins_at_once_leave_little_memory_behind() {
    const MANY: usize = 240;
    const AT_ONCE: usize = 60;
    let target = Target::start().await;
    target.member().await;
    target.serves().await;
    let before = target.resident();
    let body = json!({ "username": "member", "password": "wrong" });
    let answers = futures_util::stream::iter((0..MANY).map(|n| {
        let mut visitor = target.visitor();
        // Of one who is there and of many who are not.
        let other = json!({ "username": n.to_string(), "password": "wrong" });
        let body = if n % 2 == 0 { body.clone() } else { other };
        async move { visitor.post("/api/login/").json(&body).send().await.status }
    }));
    let answers: Vec<u16> = answers.buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(answers, [400; MANY]);
    let grown = target.resident().saturating_sub(before);
    println!("{MANY} wrong sign-ins: {} MiB stay", grown / MIB);
    assert!(grown < 64_000_000, "{} MiB", grown / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_signs_in_as_one_does_not_keep_others_waiting() {
    const CROWD: usize = 120;
    let target = Target::start().await;
    let mut member = target.member().await;
    let mut crowd = JoinSet::new();
    for n in 0..CROWD {
        let mut visitor = target.visitor();
        crowd.spawn(async move {
            let password = format!("wrong {n}");
            let body = json!({ "username": "mallory", "password": password });
            visitor.post("/api/login/").json(&body).send().await.status
        });
    }
    assert_eq!(crowd.join_next().await.unwrap().unwrap(), 400);
    let body = json!({ "username": "member", "password": "Correct-horse-7" });
    let answer = member.post("/api/login/").json(&body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut before = 1;
    while crowd.try_join_next().is_some() {
        before += 1;
    }
    assert!(before < CROWD / 2, "{before} of {CROWD} came first");
    crowd.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_nobody_reads_share_their_memory_and_others_are_served() {
    const UNREAD: usize = 100;
    let target = Target::start().await;
    let mut member = target.member().await;
    let dba = target.database.connect().await;
    let sql = "insert into sources (country, panel) select 'country', repeat('p', 200)
                 from generate_series(1, 5000)";
    assert_eq!(dba.execute(sql, &[]).await.unwrap(), 5000);
    let whole = member.get("/api/read-source/").send().await;
    assert_eq!(whole.status, 200);
    let length = whole.body.len() as u64;
    assert!(length > 2 * MIB, "{length}");
    let before = target.resident();
    let cookie = member.cookie("sessionid").unwrap().to_owned();
    let mut unread = Vec::new();
    for n in 0..UNREAD {
        // No two are the same.
        let sql =
            "update sources set panel = $1 where id = (select id from sources offset $2 limit 1)";
        let at = i64::try_from(n).unwrap();
        dba.execute(sql, &[&n.to_string(), &at]).await.unwrap();
        let mut stream = target.connect().await;
        let request = format!(
            "GET /api/read-source/ HTTP/1.1\r\nHost: localhost\r\nCookie: sessionid={cookie}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(lossy(&head), "HTTP/1.1 200");
        unread.push(stream);
        if n % 10 == 0 {
            let read = member.get("/api/read-source/").send().await;
            assert_eq!(read.status, 200);
            assert!(read.text().contains(&format!(r#""panel":"{n}""#)));
        }
    }
    let grown = target.resident().saturating_sub(before);
    println!(
        "{UNREAD} unread lists of {} KiB: {} MiB",
        length / 1024,
        grown / MIB
    );
    assert!(grown < 64 * MIB, "{} MiB", grown / MIB);
    target.serves().await;
    drop(unread);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_are_few_at_a_time_and_others_are_served() {
    const UNREAD: usize = 40;
    let target = Target::with_rate_limits("on").await;
    let mut member = target.member().await;
    let dba = target.database.connect().await;
    let sql = "insert into pipeline_runs (step, state, reason)
               select 'qc', 'FAILED', repeat('r', 5000) from generate_series(1, 1000)";
    assert_eq!(dba.execute(sql, &[]).await.unwrap(), 1000);
    let whole = member.get("/api/pipeline-runs/").send().await;
    assert_eq!(whole.status, 200);
    let length = whole.body.len() as u64;
    assert!(length > 5 * MIB, "{length}");
    let before = target.resident();
    let cookie = member.cookie("sessionid").unwrap().to_owned();
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        let mut stream = target.connect().await;
        let request = format!(
            "GET /api/pipeline-runs/ HTTP/1.1\r\nHost: localhost\r\nCookie: sessionid={cookie}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        unread.push(stream);
    }
    let mut answered = std::collections::BTreeMap::new();
    for stream in &mut unread {
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        *answered.entry(lossy(&head)).or_insert(0) += 1;
    }
    // The others wait for one of the eight places in vain, or for the database, which on a busy machine is
    // too slow for some of the eight as well.
    let served = answered["HTTP/1.1 200"];
    assert!((1..=8).contains(&served), "{answered:?}");
    assert!(answered["HTTP/1.1 429"] > 0, "{answered:?}");
    let grown = target.resident().saturating_sub(before);
    println!(
        "8 unread answers of {} KiB: {} MiB",
        length / 1024,
        grown / MIB
    );
    // The eight, and what was needed to make them.
    assert!(grown < 28 * length, "{} MiB", grown / MIB);
    target.serves().await;
    drop(unread);
    // Their places are free again.
    eventually("the member reads again", async || {
        member.get("/api/pipeline-runs/").send().await.status == 200
    })
    .await;
}

/// A frame whose mask is zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..65_536 => {
            bytes.push(0xfe);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            bytes.push(0xff);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// The next frame from the server: its first byte and its payload.
async fn received(stream: &mut (impl AsyncReadExt + Unpin)) -> (u8, Vec<u8>) {
    let frame = async {
        let first = stream.read_u8().await?;
        let len = match stream.read_u8().await? {
            126 => stream.read_u16().await?.into(),
            127 => stream.read_u64().await?,
            short => short.into(),
        };
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        stream.read_exact(&mut payload).await?;
        std::io::Result::Ok((first, payload))
    };
    let frame = timeout(ENDED, frame).await.expect("it says something");
    frame.expect("it does not break off")
}

async fn answer(socket: &mut TcpStream) -> Value {
    let (first, payload) = received(socket).await;
    assert_eq!(first, 0x81);
    serde_json::from_slice(&payload).unwrap()
}

async fn close_code(socket: &mut TcpStream) -> u16 {
    let (first, payload) = received(socket).await;
    assert_eq!(first, 0x88, "{}", lossy(&payload));
    u16::from_be_bytes([payload[0], payload[1]])
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
