//! The clients against a server whose every byte is written here.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{Close, Frame, Http, Refusal, Socket};

const SOON: Duration = Duration::from_secs(5);

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

/// Answers one connection after the other with the texts given; returns what was asked.
async fn answer(listener: TcpListener, answers: Vec<&'static str>) -> Vec<String> {
    let mut asked = vec![];
    for answer in answers {
        let (mut stream, _) = listener.accept().await.unwrap();
        asked.push(read_request(&mut stream).await);
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    asked
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = vec![];
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
    }
}

#[tokio::test]
async fn a_visitor_keeps_cookies_and_sends_only_what_it_should() {
    let (listener, base) = listen().await;
    let server = tokio::spawn(answer(
        listener,
        vec![
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: csrftoken=t0k; Path=/\r\nSet-Cookie: sessionid=s3; HttpOnly\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
            "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\nSet-Cookie: sessionid=\"\"; Max-Age=0\r\n\r\n3\r\n[1,\r\n2;x=y\r\n2]\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 42\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nto the end",
        ],
    ));
    let mut visitor = Http::new(&base).on_page("http://localhost:3000");
    let login = visitor
        .post("/api/login/")
        .json(&json!({"username": "x"}))
        .send()
        .await;
    assert_eq!((login.status, login.json()), (200, json!({"a": 1})));
    let refused = visitor
        .call("PATCH", "/p")
        .csrf()
        .header("X-Own", "1")
        .send()
        .await;
    assert_eq!((refused.status, refused.json()), (403, json!([1, 2])));
    assert_eq!(visitor.get("/q").send().await.body, b"");
    assert_eq!(visitor.get("/r").send().await.text(), "to the end");
    let asked = server.await.unwrap();
    let host = base.strip_prefix("http://").unwrap();
    assert_eq!(
        asked[0],
        format!(
            "POST /api/login/ HTTP/1.1\r\nHost: {host}\r\nOrigin: http://localhost:3000\r\nContent-Type: application/json\r\nContent-Length: 16\r\nAccept: */*\r\n\r\n{{\"username\":\"x\"}}"
        )
    );
    assert_eq!(
        asked[1],
        format!(
            "PATCH /p HTTP/1.1\r\nHost: {host}\r\nCookie: csrftoken=t0k; sessionid=s3\r\nOrigin: http://localhost:3000\r\nX-CSRFToken: t0k\r\nX-Own: 1\r\nContent-Length: 0\r\nAccept: */*\r\n\r\n"
        )
    );
    assert!(asked[2].contains("Cookie: csrftoken=t0k\r\n"));
}

#[tokio::test]
async fn a_socket_collects_messages_and_sees_how_it_was_closed() {
    let (listener, base) = listen().await;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        socket
            .send(Message::Text("{\"first\":true}".into()))
            .await
            .unwrap();
        let mut received = vec![];
        for _ in 0..3 {
            received.push(socket.next().await.unwrap().unwrap());
        }
        socket.send(Message::Binary(vec![7].into())).await.unwrap();
        let gone = CloseFrame {
            code: 1011.into(),
            reason: "sorry".into(),
        };
        socket.close(Some(gone)).await.unwrap();
        while socket.next().await.is_some() {}
        received
    });
    let mut socket = Socket::open(&Http::new(&base), "/ws/source/")
        .await
        .unwrap();
    assert_eq!(socket.next_json(SOON).await, json!({"first": true}));
    socket.send_text("hello").await;
    socket.send_json(&json!({"a": 1})).await;
    socket.send_binary(vec![1, 2]).await;
    assert_eq!(
        socket.closed_within(SOON).await,
        Close {
            code: 1011,
            reason: "sorry".into()
        }
    );
    assert_eq!(socket.frames_from(1), [Frame::Binary(vec![7])]);
    socket.send_text("into the void").await;
    let text = |text: &str| Message::Text(text.into());
    let sent = [
        text("hello"),
        text("{\"a\":1}"),
        Message::Binary(vec![1, 2].into()),
    ];
    assert_eq!(server.await.unwrap(), sent);
}

#[tokio::test]
async fn a_refused_handshake_shows_the_answer() {
    let (listener, base) = listen().await;
    let server = tokio::spawn(answer(
        listener,
        vec![
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
            "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        ],
    ));
    let visitor = Http::new(&base).on_page("http://evil.example");
    match Socket::open(&visitor, "/ws/source/").await {
        Err(Refusal::Answer(refused)) => {
            assert_eq!((refused.status, &*refused.text()), (403, "no"));
        }
        other => panic!("not refused: {other:?}"),
    }
    assert!(matches!(
        Socket::open(&visitor, "/").await,
        Err(Refusal::Broken(_))
    ));
    let asked = server.await.unwrap();
    assert!(
        asked[0].contains("\r\nOrigin: http://evil.example\r\n"),
        "{}",
        asked[0]
    );
    assert!(
        asked[0].contains("\r\nUpgrade: websocket\r\n"),
        "{}",
        asked[0]
    );
}
