//! Connections of HTTP between requests, and those that a client closes in one direction.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    client::Http,
    server::{SOON, TestServer, database, settings},
};

const READ: &str = "GET /api/read-source/ HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn connect(server: &TestServer) -> TcpStream {
    Http::new(&server.base).address().connect().await.unwrap()
}

/// Sends a request and reads its answer, of which nobody knows where it ends but by its last byte.
async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        answer.push(stream.read_u8().await.expect("it is answered"));
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_kept_as_long_as_is_set_and_then_closed() {
    let database = database().await;
    let keep_alive = Duration::from_secs(2);
    let server = TestServer::on(&database.url, &["--keep-alive", "2s"]).await;
    let mut stream = connect(&server).await;
    let mut answered = Instant::now();
    for _ in 0..3 {
        assert!(ask(&mut stream, READ).await.starts_with("HTTP/1.1 403"));
        answered = Instant::now();
    }
    let mut rest = Vec::new();
    let closed = timeout(SOON, stream.read_to_end(&mut rest)).await;
    closed.expect("it is closed").unwrap();
    assert!(rest.is_empty());
    assert!(
        answered.elapsed() + Duration::from_millis(50) >= keep_alive,
        "not before"
    );
    // By default for longer than load balancers keep theirs.
    assert_eq!(settings(&[]).keep_alive, Duration::from_secs(75));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_sent_a_request_and_closes_that_direction_is_answered() {
    let (server, database) = TestServer::start().await;
    server.visitor("ann").await;
    let dba = database.connect().await;
    let body = r#"{"username":"ann","password":"Correct-horse-7"}"#;
    let login = format!(
        "POST /api/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // Its answer has to wait, so that the end of what is sent is seen before.
    dba.batch_execute("begin; lock table users in access exclusive mode")
        .await
        .unwrap();
    let mut stream = connect(&server).await;
    stream.write_all(login.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let observer = database.connect().await;
    crate::support::observe::blocked(&observer).await;
    dba.batch_execute("commit").await.unwrap();
    let mut answer = String::new();
    let read = timeout(SOON, stream.read_to_string(&mut answer)).await;
    read.expect("it is answered, and that is the end").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("Hello ann"), "{answer}");
}
