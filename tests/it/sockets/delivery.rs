//! What a change costs and who is served how: reads, snapshots, deltas, slow members, handshakes.

use std::{
    fs,
    io::ErrorKind,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use crate::support::{
    client::{Http, Refusal, Socket},
    metrics::metric,
    postgres::{self, PrivateCluster, private_cluster},
    server::{ORIGIN, SOON, TestServer, database, eventually, open},
};

const DELTAS: &str = "/ws/read_source/?mode=delta";
const CHANGED: &str = "00000000-0000-0000-0000-000000000007";
const AUDIT_READS: &str = r#"marketplace_audit_reads_total{table="sources"}"#;

/// A cluster that writes down every statement.
async fn observed_cluster() -> PrivateCluster {
    private_cluster(&[("log_statement", "all"), ("log_line_prefix", "%a|")]).await
}

/// The statements on sources that the server sent, with their parameters.
fn reads(cluster: &PrivateCluster) -> Vec<String> {
    let log = fs::read_to_string(cluster.data_dir().join("postgres.log")).expect("there is a log");
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("marketplace|"))
        .collect();
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains("from public.sources") && line.contains("next_status"))
        .map(|(at, line)| {
            let detail = lines.get(at + 1).filter(|next| next.contains("DETAIL"));
            format!("{line} {}", detail.copied().unwrap_or_default())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_where_only_the_page_is_finds_no_socket() {
    let (server, _database) = TestServer::start().await;
    let visitor = server.visitor("ann").await;
    for sent in [
        &[][..],
        &[("User-Agent", "Mozilla/5.0")],
        &[("Accept", "text/html")],
        &[("User-Agent", "Mozilla/5.0"), ("Accept", "*/*")],
    ] {
        let mut headers = visitor.headers();
        let sent = sent
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        headers.extend(sent);
        match Socket::connect(visitor.address(), "/", headers.clone()).await {
            Err(Refusal::Answer(answer)) => assert_eq!(answer.status, 404, "{headers:?}"),
            other => panic!("{headers:?}: {other:?}"),
        }
    }
}

async fn anonymous(base: &str, path: &str) -> Socket {
    open(&Http::new(base).on_page(ORIGIN), path).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_read_once_however_many_watch_and_not_at_all_while_nobody_does() {
    let mut attempts = 0..5;
    let reads = loop {
        attempts.next().expect("the audit is sure for a moment");
        if let Some(reads) = reads_of_a_change().await {
            break reads;
        }
    };
    assert_eq!(
        reads.len(),
        2,
        "one for the first frame of all, one for the change: {reads:#?}"
    );
    let named = reads[1].matches("00000000-").count();
    assert!(
        reads[1].contains("any($1)") && reads[1].contains(CHANGED) && named == 1,
        "one row: {}",
        reads[1]
    );
}

/// What is read for many who join and then see a change; none when the audit was not sure meanwhile,
/// because then it has everything read once more.
async fn reads_of_a_change() -> Option<Vec<String>> {
    let cluster = observed_cluster().await;
    let server = TestServer::on(&cluster.url(), &["--anonymous", "read"]).await;
    let dba = postgres::connect(&cluster.url()).await;
    let insert = "insert into sources (id, country) select ('00000000-0000-0000-0000-0000000000' ||
        lpad(n::text, 2, '0'))::uuid, n::text from generate_series(1, 50) n";
    dba.batch_execute(insert).await.unwrap();
    let mut counts = anonymous(&server.base, "/ws/data_library/").await;
    for n in 0..5 {
        dba.execute("update sources set panel = $1", &[&n.to_string()])
            .await
            .unwrap();
    }
    // Whoever shows the last change has heard of the others.
    dba.batch_execute("update sources set status = 'inactive'")
        .await
        .unwrap();
    while counts.next_json(SOON).await["data"][0]["s3"] != 50 {}
    assert_eq!(reads(&cluster), Vec::<String>::new(), "nobody watches");

    let mut operator = Http::new(&server.base);
    let sure = metric::<u64>(&mut operator, AUDIT_READS).await;
    let mut watchers = Vec::new();
    for n in 0..20 {
        let path = if n % 2 == 0 {
            "/ws/read_source/"
        } else {
            DELTAS
        };
        watchers.push(anonymous(&server.base, path).await);
    }
    for watcher in &mut watchers {
        let first = watcher.next_json(SOON).await;
        assert_eq!(first["data"].as_array().unwrap().len(), 50);
        assert_eq!(
            first["data"][0]["panel"], "4",
            "brought up to date before the first frame"
        );
    }

    let update = format!("update sources set country = 'changed' where id = '{CHANGED}'");
    dba.batch_execute(&update).await.unwrap();
    for (n, watcher) in watchers.iter_mut().enumerate() {
        let next = watcher.next_json(SOON).await;
        if n % 2 == 0 {
            assert_eq!(next["data"].as_array().unwrap().len(), 50);
        } else {
            assert_eq!(next["changed"].as_array().unwrap().len(), 1);
            assert_eq!(next["changed"][0]["country"], "changed");
        }
    }
    let reads = reads(&cluster);
    (metric(&mut operator, AUDIT_READS).await == sure).then_some(reads)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_is_merged_into_few_reads_and_ends_with_the_last_state() {
    let cluster = observed_cluster().await;
    let server = TestServer::on(&cluster.url(), &["--anonymous", "read"]).await;
    let dba = postgres::connect(&cluster.url()).await;
    dba.batch_execute("insert into sources (country) values ('start')")
        .await
        .unwrap();
    let mut list = anonymous(&server.base, "/ws/read_source/").await;
    let mut deltas = anonymous(&server.base, DELTAS).await;
    list.next_json(SOON).await;
    deltas.next_json(SOON).await;

    let before = reads(&cluster).len();
    let began = std::time::Instant::now();
    for n in 1..=500 {
        dba.execute("update sources set country = $1", &[&n.to_string()])
            .await
            .unwrap();
    }
    let mut newest = Value::Null;
    while newest != "500" {
        newest = list.next_json(SOON).await["data"][0]["country"].clone();
    }
    while newest != "done" {
        let delta = deltas.next_json(SOON).await;
        if delta["changed"][0]["country"] == "500" {
            newest = json!("done");
        }
    }
    let reads = reads(&cluster).len() - before;
    let allowed = began.elapsed().as_millis() / 20 + 2;
    assert!(
        reads as u128 <= allowed,
        "{reads} reads in {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_gets_what_changed_since() {
    let cluster = private_cluster(&[]).await;
    let server = TestServer::on(&cluster.url(), &["--anonymous", "read"]).await;
    let dba = postgres::connect(&cluster.url()).await;
    dba.batch_execute("insert into sources (country) values ('a'), ('b'), ('c')")
        .await
        .unwrap();
    let mut first = anonymous(&server.base, DELTAS).await;
    let snapshot = first.next_json(SOON).await;
    let old = snapshot["version"].as_str().unwrap().to_owned();
    dba.batch_execute("update sources set panel = 'p' where country = 'a'")
        .await
        .unwrap();
    first.next_json(SOON).await;
    dba.batch_execute("delete from sources where country = 'b'")
        .await
        .unwrap();
    let now = first.next_json(SOON).await["version"]
        .as_str()
        .unwrap()
        .to_owned();
    first.close(1000).await;
    // Changed while nobody watched.
    dba.batch_execute("update sources set panel = 'q' where country = 'c'")
        .await
        .unwrap();

    let mut back = anonymous(&server.base, &format!("{DELTAS}&since={old}")).await;
    let mut delta = back.next_json(SOON).await;
    let countries = |delta: &Value| -> Vec<String> {
        let rows = delta["changed"].as_array().expect("it is a delta").iter();
        let mut names: Vec<String> = rows
            .map(|row| row["country"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let mut changed = countries(&delta);
    assert_eq!(delta["deleted"].as_array().unwrap().len(), 1);
    if changed == ["a"] {
        // It came back before the notification of the last change did.
        delta = back.next_json(SOON).await;
        changed.extend(countries(&delta));
    }
    assert_eq!(changed, ["a", "c"]);
    let mut back = anonymous(&server.base, &format!("{DELTAS}&since={now}")).await;
    assert_eq!(countries(&back.next_json(SOON).await), ["c"]);

    // Unknown versions get a snapshot, whatever they are.
    for unknown in [
        "",
        "1:1",
        "x",
        &format!("{now}0"),
        "99999999999999:0",
        "%00",
    ] {
        let mut socket = anonymous(&server.base, &format!("{DELTAS}&since={unknown}")).await;
        let snapshot = socket.next_json(SOON).await;
        assert_eq!(
            snapshot["data"].as_array().map(Vec::len),
            Some(2),
            "{unknown}: {snapshot}"
        );
    }

    // The current version costs no SQL: it is answered while there is no database.
    let newest = delta["version"].as_str().unwrap().to_owned();
    let url = cluster.url();
    let _home = cluster.stop().await;
    assert!(
        tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .is_err(),
        "it is down"
    );
    let mut back = anonymous(&server.base, &format!("{DELTAS}&since={newest}")).await;
    let nothing = back.next_json(SOON).await;
    assert_eq!(
        nothing,
        json!({ "changed": [], "deleted": [], "version": newest })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_stops_reading_skips_to_the_newest_state_and_holds_nobody_up() {
    let database = database().await;
    let server = TestServer::on(&database.url, &["--anonymous", "read"]).await;
    let dba = database.connect().await;
    let insert =
        "insert into sources (country) select repeat('x', 250) from generate_series(1, 2000)";
    dba.batch_execute(insert).await.unwrap();
    let address = Http::new(&server.base).address().clone();
    let mut stuck = address.connect().await.unwrap();
    stuck.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut lively = anonymous(&server.base, "/ws/read_source/").await;
    lively.next_json(SOON).await;
    let changes = 10;
    for n in 1..=changes {
        dba.execute("update sources set panel = $1", &[&n.to_string()])
            .await
            .unwrap();
        let mut shown = Value::Null;
        let panel = n.to_string();
        while shown != panel {
            shown = lively.next_json(SOON).await["data"][0]["panel"].clone();
        }
    }
    // Now it reads: one list, the question whether it has, and no other until it has answered.
    let first = read_until(&mut stuck, b"\x89\x00").await;
    assert_eq!(lists_in(&first), 1);
    stuck.write_all(&PONG).await.unwrap();
    let newest = read_until(&mut stuck, b"\x89\x00").await;
    assert_eq!(lists_in(&newest), 1);
    let panel = format!("\"panel\":\"{changes}\"");
    assert!(String::from_utf8_lossy(&newest).contains(&panel));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_of_a_frame_is_given_up_after_half_a_minute() {
    let database = database().await;
    let server = TestServer::on(&database.url, &["--anonymous", "read"]).await;
    let dba = database.connect().await;
    // More than what the kernel takes for a client that does not read.
    let insert =
        "insert into sources (country) select repeat('x', 250) from generate_series(1, 30000)";
    dba.batch_execute(insert).await.unwrap();
    let address = Http::new(&server.base).address().clone();
    let mut stuck = address.connect().await.unwrap();
    stuck.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let start = Instant::now();
    let mut lively = anonymous(&server.base, "/ws/data_library/").await;
    lively.next_json(SOON).await;
    let given_up = loop {
        if let Some(error) = stuck.take_error().unwrap() {
            break error;
        }
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "it is still served"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(given_up.kind(), ErrorKind::ConnectionReset);
    assert!(start.elapsed() > Duration::from_secs(29), "too early");
    dba.batch_execute("update sources set status = 'inactive'")
        .await
        .unwrap();
    assert_eq!(lively.next_json(SOON).await["data"][0]["s3"], 30_000);
}

const HANDSHAKE: &str = "GET /ws/read_source/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/// A pong of a client, masked with zeros.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// What comes up to and with `end`, which must be the last there is.
async fn read_until(client: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut received = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    while !received.ends_with(end) {
        let read = tokio::time::timeout(SOON, client.read(&mut buffer)).await;
        let read = read.expect("more comes in time").unwrap();
        assert!(read > 0, "it was closed");
        received.extend_from_slice(&buffer[..read]);
    }
    received
}

fn lists_in(received: &[u8]) -> usize {
    String::from_utf8_lossy(received)
        .matches(r#"{"data":["#)
        .count()
}

#[tokio::test]
async fn strangers_may_look_where_that_is_allowed_but_never_write() {
    let database = database().await;
    let closed = TestServer::on(&database.url, &[]).await;
    let open_to_all = TestServer::on(&database.url, &["--anonymous", "read"]).await;
    let reading = [
        "/ws/data_library/",
        "/ws/read_source/",
        DELTAS,
        "/ws/filter_source/",
    ];
    let writing = [
        "/ws/source/",
        "/ws/data_source_activation/",
        "/ws/EMRConsumer/",
    ];
    for (server, path, let_in) in reading
        .iter()
        .flat_map(|path| [(&closed, *path, false), (&open_to_all, *path, true)])
        .chain(
            writing
                .iter()
                .flat_map(|path| [(&closed, *path, false), (&open_to_all, *path, false)]),
        )
    {
        let stranger = Http::new(&server.base).on_page(ORIGIN);
        match Socket::open(&stranger, path).await {
            Ok(_) => assert!(let_in, "{path}"),
            Err(Refusal::Answer(answer)) => {
                assert_eq!((answer.status, let_in), (403, false), "{path}");
                assert!(answer.json()["detail"].is_string());
            }
            Err(broken) => panic!("{path}: {broken:?}"),
        }
        let foreign = Http::new(&server.base).on_page("http://evil.example");
        assert!(
            Socket::open(&foreign, path).await.is_err(),
            "{path} from a foreign page"
        );
    }
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused_as_rfc_6455_says() {
    let database = database().await;
    let server = TestServer::on(&database.url, &["--anonymous", "read"]).await;
    let mut client = Http::new(&server.base);
    let good = [
        ("Upgrade", "websocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    for (method, name, value, status) in [
        ("GET", "Sec-WebSocket-Version", "8", 426),
        ("GET", "Sec-WebSocket-Key", "short", 400),
        ("GET", "Sec-WebSocket-Key", "", 400),
        ("GET", "Connection", "close", 400),
        ("POST", "Sec-WebSocket-Version", "13", 405),
    ] {
        let mut call = client.call(method, "/ws/read_source/");
        for (key, usual) in good {
            call = call.header(key, if key == name { value } else { usual });
        }
        let answer = call.send().await;
        assert_eq!(
            answer.status,
            status,
            "{method} {name}: {value}: {}",
            answer.text()
        );
        if status == 426 {
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_was_asked_for_is_shown_again_whenever_it_changes() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let [one, other] = [1, 2].map(Uuid::from_u128);
    for id in [one, other] {
        dba.execute("insert into sources (id, country) values ($1, 'a')", &[&id])
            .await
            .unwrap();
    }
    let visitor = server.visitor("watcher").await;
    let mut socket = open(&visitor, "/ws/filter_source/").await;
    let ask = |id: Uuid| json!({ "action": "filter_by_id", "id": id });
    socket.send_json(&ask(one)).await;
    assert_eq!(socket.next_json(SOON).await["data"]["id"], one.to_string());
    // Asked again, it answers again although nothing changed.
    socket.send_json(&ask(one)).await;
    assert_eq!(socket.next_json(SOON).await["data"]["country"], "a");

    dba.execute("update sources set country = 'b' where id = $1", &[&other])
        .await
        .unwrap();
    dba.execute("update sources set country = 'c' where id = $1", &[&one])
        .await
        .unwrap();
    assert_eq!(
        socket.next_json(SOON).await["data"]["country"],
        "c",
        "only the one asked for"
    );
    socket.send_json(&ask(other)).await;
    assert_eq!(socket.next_json(SOON).await["data"]["country"], "b");
    dba.execute("update sources set country = 'd'", &[])
        .await
        .unwrap();
    assert_eq!(
        socket.next_json(SOON).await["data"]["id"],
        other.to_string()
    );
    dba.execute("delete from sources", &[]).await.unwrap();
    let gone = json!({ "status": "error", "message": "Source not found", "data": {} });
    assert_eq!(socket.next_json(SOON).await, gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_for_a_source_is_answered_in_order_also_when_many_are_sent_at_once() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let ids = [1, 2, 3].map(Uuid::from_u128);
    for id in ids {
        let sql = "insert into sources (id, country) values ($1, 'a')";
        dba.execute(sql, &[&id]).await.unwrap();
    }
    let mut socket = open(&server.visitor("watcher").await, "/ws/filter_source/").await;
    let missing = Uuid::from_u128(9);
    let ask = |id: Uuid| json!({ "action": "filter_by_id", "id": id });
    // More than may wait at once; twice the same, one that is not there, and what is no request.
    for _ in 0..20 {
        for id in [ids[0], ids[0], missing, ids[1]] {
            socket.send_json(&ask(id)).await;
        }
        socket.send_json(&json!({ "action": "filter_by_id" })).await;
        socket.send_text("{").await;
        socket.send_binary(vec![1]).await;
        socket.send_json(&ask(ids[2])).await;
    }
    let shown = |answer: &Value| answer["data"]["id"].as_str().map(ToOwned::to_owned);
    for _ in 0..20 {
        for id in [Some(ids[0]), Some(ids[0]), None, Some(ids[1])] {
            let answer = socket.next_json(SOON).await;
            assert_eq!(shown(&answer), id.map(|id| id.to_string()), "{answer}");
        }
        let answer = socket.next_json(SOON).await;
        assert_eq!(answer["message"], "ID not provided");
        for _ in 0..2 {
            let answer = socket.next_json(SOON).await;
            assert!(
                answer["status"] == "error" && answer["message"] != "Source not found",
                "{answer}"
            );
        }
        assert_eq!(
            shown(&socket.next_json(SOON).await),
            Some(ids[2].to_string())
        );
    }
    // The source that was asked for last is followed, and no other.
    dba.batch_execute("update sources set country = 'changed'")
        .await
        .unwrap();
    let pushed = socket.next_json(SOON).await;
    assert_eq!(shown(&pushed), Some(ids[2].to_string()));
    assert_eq!(pushed["data"]["country"], "changed");
    socket.send_json(&ask(missing)).await;
    assert_eq!(socket.next_json(SOON).await["message"], "Source not found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_that_lies_shows_nothing_that_is_not_there() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute("insert into sources (country) values ('a')")
        .await
        .unwrap();
    let visitor = server.visitor("watcher").await;
    let mut source = open(&visitor, "/ws/source/").await;
    let mut activation = open(&visitor, "/ws/data_source_activation/").await;
    let mut list = open(&visitor, "/ws/read_source/").await;
    list.next_json(SOON).await;
    let invented = Uuid::new_v4();
    for channel in [
        "crud",
        "toggle",
        "source_lib",
        "source",
        "lib",
        "session",
        "account",
    ] {
        for payload in [
            json!({ "op": "insert", "ids": [invented] }).to_string(),
            json!({ "op": "update", "ids": [invented] }).to_string(),
            "<script>".to_owned(),
            String::new(),
            "x".repeat(7000),
        ] {
            dba.execute("select pg_notify($1, $2)", &[&channel, &payload])
                .await
                .unwrap();
        }
    }
    dba.batch_execute("update sources set country = 'b', status = 'inactive'")
        .await
        .unwrap();
    let mut frames = Vec::new();
    eventually("the real change is shown", async || {
        frames = [&source, &activation, &list]
            .iter()
            .flat_map(|socket| socket.frames_from(0))
            .map(|frame| format!("{frame:?}"))
            .collect();
        let any = |text| frames.iter().any(|frame: &String| frame.contains(text));
        any("toggled") && any("inactive")
    })
    .await;
    for frame in &frames {
        // That what does not exist was deleted is true, whoever announced it.
        let is_shown = frame.contains(&invented.to_string()) && !frame.contains("deleted");
        assert!(!is_shown && !frame.contains("<script"), "{frame}");
    }
    for socket in [&mut source, &mut activation, &mut list] {
        assert_eq!(socket.closed(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_gets_another_id_is_gone_under_the_old_one() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let [old, new] = [1, 2].map(Uuid::from_u128);
    dba.execute("insert into sources (id) values ($1)", &[&old])
        .await
        .unwrap();
    let visitor = server.visitor("watcher").await;
    let mut changes = open(&visitor, "/ws/source/").await;
    dba.execute("update sources set id = $2 where id = $1", &[&old, &new])
        .await
        .unwrap();
    let mut event = changes.next_json(SOON).await;
    if event["event"] == "created" {
        // Of the insert, which was announced when the socket was open already.
        event = changes.next_json(SOON).await;
    }
    assert_eq!(event, json!({ "event": "updated", "ids": [new] }));
    let event = changes.next_json(SOON).await;
    assert_eq!(event, json!({ "event": "deleted", "ids": [old] }));
}
