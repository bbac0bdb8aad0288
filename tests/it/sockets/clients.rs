//! Clients that others have written: Python's `websockets`, and Chromium. Each follows the list by
//! snapshots and by deltas, with and without compression, while the table changes; all must end with
//! what the table says.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    time::timeout,
};
use uuid::Uuid;
use warp::Filter;

use crate::support::{
    dashboard,
    postgres::TestDatabase,
    server::{SOON, TestServer, database, eventually},
};

/// Snapshot and delta.
const PATHS: [(&str, &str); 2] = [
    ("lists", "/ws/read_source/"),
    ("deltas", "/ws/read_source/?mode=delta"),
];
/// So many rows make a list of more than a megabyte.
const ROWS: i32 = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_of_python_ends_with_what_the_table_says() {
    let database = database().await;
    let server = TestServer::on(&database.url, &["--anonymous", "read"]).await;
    let base = server.base.replace("http", "ws");
    let mut sockets = Vec::new();
    for (name, path) in PATHS {
        for (how, deflate) in [("deflated", true), ("plain", false)] {
            let name = format!("{how} {name}");
            sockets.push(json!({ "name": name, "url": base.clone() + path, "deflate": deflate }));
        }
    }
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    assert!(python.exists(), "{python:?} is missing: run `make tools`");
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/sockets/clients/follow.py"
    );
    let mut client = Command::new(python)
        .args([script, &Value::from(sockets).to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let reports = async || {
        let line = timeout(SOON * 2, lines.next_line()).await;
        let line = line.expect("it says more in time").unwrap();
        serde_json::from_str(&line.expect("it failed as it says above")).unwrap()
    };
    follow_changes(&database, reports).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_ends_with_what_the_table_says() {
    let (pages, mut reports) = serve_page();
    let origin = format!("http://{pages}");
    let database = database().await;
    let arguments = ["--anonymous", "read", "--allowed-origins", &origin];
    let server = TestServer::on(&database.url, &arguments).await;
    let direct = server.base.strip_prefix("http://").unwrap().to_owned();
    let plain = without_extensions(direct.parse().unwrap())
        .await
        .to_string();
    let mut sockets = Vec::new();
    for (name, path) in PATHS {
        for (how, address) in [("deflated", &direct), ("plain", &plain)] {
            let name = format!("{how} {name}");
            sockets.push(json!({ "name": name, "url": format!("ws://{address}{path}") }));
        }
    }
    let query: String =
        form_urlencoded::byte_serialize(Value::from(sockets).to_string().as_bytes()).collect();
    let profile = std::env::temp_dir().join(format!("marketplace-test-{}", Uuid::new_v4()));
    let mut browser = Command::new("chromium")
        // The sandbox refuses root.
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args(["--no-first-run", "--disable-background-networking"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("{origin}/?{}", query.replace('+', "%20")))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("chromium can be started: run `make tools`");
    let reports = async || {
        let report = timeout(SOON * 4, reports.recv()).await;
        report.expect("the page reports in time").unwrap()
    };
    follow_changes(&database, reports).await;
    // It writes there until it has gone.
    browser.kill().await.unwrap();
    eventually("the profile can be removed", async || {
        std::fs::remove_dir_all(&profile).is_ok()
    })
    .await;
}

/// Waits for the first report, that all clients show a list, then changes the table in all ways, the
/// last of which is the end, and compares what the second report says.
async fn follow_changes(database: &TestDatabase, mut report: impl AsyncFnMut() -> Value) {
    let dba = database.connect().await;
    let fill = "insert into sources (country, panel)
        select 'c' || n, repeat('x', 200) from generate_series(1, $1) n";
    dba.execute(fill, &[&ROWS]).await.unwrap();
    assert_eq!(report().await, "ready");
    for n in 0..40 {
        let statement = match n % 5 {
            0 => format!("update sources set panel = '{n}' where country = 'c10{n:02}'"),
            1 => format!("update sources set status = 'inactive' where country like 'c{n}%'"),
            2 => format!("insert into sources (country) values ('new {n}')"),
            3 => format!("delete from sources where country like 'c{n}_'"),
            _ => format!("update sources set data_type = 'all {n}'"),
        };
        let changed = dba.execute(&statement, &[]).await.unwrap();
        assert!(changed > 0, "{statement} changes nothing");
    }
    dba.batch_execute("insert into sources (country) values ('the end')")
        .await
        .unwrap();
    agrees(database, &report().await).await;
}

/// What each client showed is what the table says, and it had the compression that it was to have.
async fn agrees(database: &TestDatabase, report: &Value) {
    let report: BTreeMap<String, Value> = serde_json::from_value(report.clone()).unwrap();
    let names: Vec<&String> = report.keys().collect();
    assert_eq!(
        names,
        [
            "deflated deltas",
            "deflated lists",
            "plain deltas",
            "plain lists"
        ],
        "{report:?}"
    );
    let stored = dashboard::stored_state(&database.connect().await, Uuid::nil()).await;
    for (name, shown) in report {
        let extensions = shown["extensions"].as_str().unwrap();
        let deflated = extensions.starts_with("permessage-deflate");
        assert_eq!(
            deflated,
            name.starts_with("deflated"),
            "{name}: {extensions}"
        );
        let rows = shown["rows"].as_array().unwrap().iter().collect();
        assert_eq!(dashboard::by_id(rows), stored["list"], "{name}");
    }
}

/// Serves the page that follows, and takes what it reports.
fn serve_page() -> (SocketAddr, mpsc::Receiver<Value>) {
    let (sender, reports) = mpsc::channel(2);
    let page = warp::path::end().map(|| warp::reply::html(include_str!("clients/follow.html")));
    let report = warp::path!("report")
        .and(warp::body::bytes())
        .map(move |body: bytes::Bytes| {
            let report = serde_json::from_slice(&body).expect("the page reports JSON");
            sender.try_send(report).expect("it reports twice");
            warp::reply::html("")
        });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    tokio::spawn(warp::serve(page.or(report)).incoming(listener).run());
    (address, reports)
}

/// A way to the server on which no extension can be agreed on, because the offer is misspelt.
async fn without_extensions(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if client.read_buf(&mut head).await? == 0 {
                        return Ok(());
                    }
                }
                let head = String::from_utf8_lossy(&head).replace("-Extensions:", "-Nothing:");
                let mut upstream = TcpStream::connect(server).await?;
                upstream.write_all(head.as_bytes()).await?;
                copy_bidirectional(&mut client, &mut upstream)
                    .await
                    .map(drop)
            });
        }
    });
    address
}
