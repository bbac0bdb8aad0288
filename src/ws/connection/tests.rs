//! Connections over real TCP, against a client made of bytes and against an independent one.

use super::*;
use crate::ws::{Frame, close, handshake};
use std::mem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

const LONG: Duration = Duration::from_secs(20);

fn limits() -> Limits {
    Limits {
        message_bytes: 1 << 20,
        message: LONG,
        ping: LONG,
        write: LONG,
        unconfirmed_bytes: usize::MAX,
        close: LONG,
    }
}

/// A connection and the client's end of it.
async fn pair(limits: Limits) -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    server.writable().await.unwrap();
    (
        Connection::new(server, Bytes::new(), None, Arc::new(limits)),
        client,
    )
}

/// A masked frame with a short payload; the mask is zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![
        first,
        0x80 | u8::try_from(payload.len()).unwrap(),
        0,
        0,
        0,
        0,
    ];
    bytes.extend_from_slice(payload);
    bytes
}

fn text(payload: &str) -> Event {
    Event::Message(Message::Text(payload.to_owned()))
}

async fn next(connection: &mut Connection) -> Event {
    timeout(LONG, connection.next(true))
        .await
        .expect("something must happen")
}

async fn read_exact(client: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    timeout(LONG, client.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    bytes
}

async fn read_to_end(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(LONG, client.read_to_end(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    bytes
}

/// Runs the connection beside the client until the client is done.
async fn beside<T>(connection: &mut Connection, client: impl Future<Output = T>) -> T {
    tokio::select! {
        done = client => done,
        event = connection.next(true) => panic!("unexpected {event:?}"),
    }
}

/// A frame larger than what the kernel holds for a client that does not read.
fn large() -> Frame {
    Frame::text(&"large ".repeat(4_000_000))
}

#[tokio::test]
async fn messages_come_one_at_a_time() {
    let (mut connection, mut client) = pair(limits()).await;
    let all = [
        frame(0x81, b"one"),
        frame(0x01, b"tw"),
        frame(0x80, b"o"),
        frame(0x82, b"3"),
    ];
    client.write_all(&all.concat()).await.unwrap();
    assert_eq!(next(&mut connection).await, text("one"));
    assert_eq!(next(&mut connection).await, text("two"));
    assert_eq!(
        next(&mut connection).await,
        Event::Message(Message::Binary(b"3".to_vec()))
    );
    assert!(connection.unread.is_empty());
}

#[tokio::test]
async fn what_was_read_with_the_handshake_comes_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let all = [frame(0x81, b"early"), frame(0x81, b"cut in two")].concat();
    let (early, late) = all.split_at(15);
    let unread = Bytes::copy_from_slice(early);
    let mut connection = Connection::new(server, unread, None, Arc::new(limits()));
    client.write_all(late).await.unwrap();
    assert_eq!(next(&mut connection).await, text("early"));
    assert_eq!(next(&mut connection).await, text("cut in two"));
}

#[tokio::test]
async fn an_empty_rest_of_the_handshake_keeps_no_buffer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let buffer = Bytes::from(vec![0; 8192]);
    let mut rest = buffer.clone();
    rest.advance(8192);
    let _connection = Connection::new(server, rest, None, Arc::new(limits()));
    assert!(buffer.is_unique());
}

#[tokio::test]
async fn every_ping_is_answered_while_nothing_is_written() {
    let (mut connection, mut client) = pair(limits()).await;
    let pongs = beside(&mut connection, async {
        for payload in ["1", "2", "3"] {
            client
                .write_all(&frame(0x89, payload.as_bytes()))
                .await
                .unwrap();
        }
        read_exact(&mut client, 9).await
    });
    assert_eq!(pongs.await, b"\x8a\x011\x8a\x012\x8a\x013");
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    for (payload, code) in [
        (b"\x03\xe8bye".as_slice(), Some(1000)),
        (b"\x0f\xa0", Some(4000)),
    ] {
        let (mut connection, mut client) = pair(limits()).await;
        client.write_all(&frame(0x88, payload)).await.unwrap();
        let answer = beside(&mut connection, read_to_end(&mut client)).await;
        assert_eq!(answer, [&[0x88, 2], &payload[..2]].concat());
        drop(client);
        assert_eq!(
            next(&mut connection).await,
            Event::Closed(Reason::Client(code))
        );
        assert_eq!(
            next(&mut connection).await,
            Event::Closed(Reason::Client(code))
        );
    }
    let (mut connection, mut client) = pair(limits()).await;
    client.write_all(&frame(0x88, b"")).await.unwrap();
    assert_eq!(
        beside(&mut connection, read_to_end(&mut client)).await,
        b"\x88\x00"
    );
}

#[tokio::test]
async fn who_breaks_the_rules_is_told_even_while_talking_on() {
    let oversized = [
        b"\x82\xff\0\0\0\0\0\x10\0\x01\0\0\0\0".as_slice(),
        &vec![0; 5_000_000],
    ]
    .concat();
    for (bytes, code) in [
        (b"\x81\x05Hello".to_vec(), close::PROTOCOL),
        (frame(0x81, b"\xff"), close::BAD_TEXT),
        (oversized, close::TOO_BIG),
    ] {
        let (mut connection, mut client) = pair(limits()).await;
        let answer = beside(&mut connection, async {
            client.write_all(&bytes).await.unwrap();
            client.write_all(&frame(0x81, b"too late")).await.unwrap();
            read_to_end(&mut client).await
        });
        let answer = answer.await;
        assert_eq!(
            (answer[0], &answer[2..4]),
            (0x88, code.to_be_bytes().as_slice())
        );
        drop(client);
        let Event::Closed(Reason::Violation(violation)) = next(&mut connection).await else {
            panic!("must end with the violation");
        };
        assert_eq!(violation.code(), code);
    }
}

#[tokio::test]
async fn a_lost_connection_says_so() {
    let (mut connection, client) = pair(limits()).await;
    drop(client);
    let lost = Event::Closed(Reason::Io(io::ErrorKind::UnexpectedEof));
    assert_eq!(next(&mut connection).await, lost);
    assert!(!connection.can_send());
}

#[tokio::test]
async fn reading_goes_on_while_a_frame_is_written() {
    let (mut connection, mut client) = pair(limits()).await;
    let large = large().wire(None);
    connection.send(large.clone());
    assert!(connection.is_writing() && !connection.can_send());
    for payload in ["old", "new"] {
        client
            .write_all(&frame(0x89, payload.as_bytes()))
            .await
            .unwrap();
    }
    client.write_all(&frame(0x81, b"hello")).await.unwrap();
    assert_eq!(next(&mut connection).await, text("hello"));
    assert!(connection.is_writing());

    // The frame is finished, then the newest ping is answered, then the owner may go on.
    let reading = tokio::spawn(async move {
        let bytes = read_exact(&mut client, large.len() + 5).await;
        assert!(bytes.starts_with(&large));
        assert_eq!(bytes[large.len()..], *b"\x8a\x03new");
        client
    });
    assert_eq!(next(&mut connection).await, Event::Flushed);
    assert!(connection.can_send());
    connection.send(Frame::text("after").wire(None));
    let mut client = reading.await.unwrap();
    assert_eq!(
        beside(&mut connection, read_exact(&mut client, 7)).await,
        b"\x81\x05after"
    );
}

#[tokio::test]
async fn the_close_is_the_last_frame() {
    let (mut connection, mut client) = pair(limits()).await;
    let large = large().wire(None);
    connection.send(large.clone());
    let bytes = [frame(0x89, b"last"), frame(0x88, b"\x03\xe8")].concat();
    client.write_all(&bytes).await.unwrap();
    let reading = tokio::spawn(async move {
        let bytes = read_to_end(&mut client).await;
        assert_eq!(bytes[large.len()..], *b"\x8a\x04last\x88\x02\x03\xe8");
    });
    assert_eq!(
        next(&mut connection).await,
        Event::Closed(Reason::Client(Some(1000)))
    );
    reading.await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_not_whole_in_time_ends_the_connection() {
    let message = Duration::from_millis(300);
    let (mut connection, mut client) = pair(Limits {
        message,
        ..limits()
    })
    .await;
    // Each message has a time of its own, and what holds no memory has none.
    for _ in 0..3 {
        client.write_all(&frame(0x01, b"a")).await.unwrap();
        assert!(timeout(message / 2, connection.next(true)).await.is_err());
        client.write_all(&frame(0x80, b"b")).await.unwrap();
        assert_eq!(next(&mut connection).await, text("ab"));
    }
    client.write_all(&frame(0x01, b"")).await.unwrap();
    assert!(timeout(message * 2, connection.next(true)).await.is_err());
    let trickle = tokio::spawn(async move {
        let begun = Instant::now();
        while begun.elapsed() < LONG && client.write_all(&frame(0x00, b"a")).await.is_ok() {
            let mut answer = [0; 4];
            if let Ok(read) = timeout(message / 10, client.read_exact(&mut answer)).await {
                read.unwrap();
                return (begun.elapsed(), answer);
            }
        }
        panic!("it was taken for ever");
    });
    let ended = next(&mut connection).await;
    assert_eq!(
        ended,
        Event::Closed(Reason::Violation(Violation::Unfinished))
    );
    let (took, answer) = trickle.await.unwrap();
    assert!(took >= message, "{took:?}");
    assert_eq!(answer[2..], close::POLICY.to_be_bytes());
}

#[tokio::test]
async fn a_written_frame_is_let_go() {
    let (mut connection, mut client) = pair(limits()).await;
    let bytes = Bytes::from(vec![0; 100]);
    connection.send(bytes.clone());
    assert!(connection.can_send());
    assert!(bytes.is_unique());
    read_exact(&mut client, 100).await;
}

#[tokio::test]
async fn who_takes_nothing_is_slow() {
    let write = Duration::from_millis(200);
    let (mut connection, client) = pair(Limits { write, ..limits() }).await;
    let start = Instant::now();
    connection.send(large().wire(None));
    assert_eq!(next(&mut connection).await, Event::Closed(Reason::Slow));
    assert!(start.elapsed() >= write);
    drop(connection);
    // The kernel does not go on offering what was left.
    let error = client.readable().await.and_then(|()| {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match client.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    });
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn who_takes_a_little_is_not_slow() {
    let write = Duration::from_millis(400);
    let (mut connection, mut client) = pair(Limits { write, ..limits() }).await;
    let large = large().wire(None);
    connection.send(large.clone());
    let reading = async {
        let mut left = large.len();
        let mut buffer = vec![0; large.len() / 20];
        let start = Instant::now();
        while left > 0 {
            let step = left.min(buffer.len());
            timeout(LONG, client.read_exact(&mut buffer[..step]))
                .await
                .unwrap()
                .unwrap();
            left -= step;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        start.elapsed()
    };
    let (event, took) = tokio::join!(next(&mut connection), reading);
    assert_eq!(event, Event::Flushed);
    assert!(
        took > write * 2,
        "the test must last longer than the deadline"
    );
}

#[tokio::test]
async fn a_flood_does_not_put_off_the_write_deadline() {
    let write = Duration::from_millis(200);
    let (mut connection, mut client) = pair(Limits { write, ..limits() }).await;
    connection.send(large().wire(None));
    let flood = tokio::spawn(async move {
        let pings = frame(0x89, b"flood").repeat(1000);
        while client.write_all(&pings).await.is_ok() {}
    });
    assert_eq!(next(&mut connection).await, Event::Closed(Reason::Slow));
    drop(connection);
    timeout(LONG, flood).await.unwrap().unwrap();
}

#[tokio::test]
async fn who_has_not_read_the_last_frames_keeps_up_no_more() {
    let unconfirmed_bytes = 1000;
    let (mut connection, mut client) = pair(Limits {
        unconfirmed_bytes,
        ..limits()
    })
    .await;
    for _ in 0..3 {
        // Two halves and their headers are too much together.
        for half in [true, false] {
            let bytes = Frame::binary(&[0; 500]).wire(None);
            connection.send(bytes);
            assert_eq!(connection.keeps_up(), half);
        }
        // A reply does not wait, and is not asked about.
        connection.send(Frame::text("reply").wire(None));
        let sent = read_exact(&mut client, 2 * 504 + 2 + 7).await;
        assert_eq!(sent[2 * 504..], *b"\x89\x00\x81\x05reply");
        client.write_all(&frame(0x81, b"text")).await.unwrap();
        assert_eq!(next(&mut connection).await, text("text"));
        assert!(!connection.keeps_up(), "only a pong tells");
        client.write_all(&frame(0x8a, b"")).await.unwrap();
        assert_eq!(next(&mut connection).await, Event::Flushed);
        assert!(connection.keeps_up());
    }
}

#[tokio::test]
async fn who_answers_no_ping_is_gone() {
    let ping = Duration::from_millis(100);
    let (mut connection, mut client) = pair(Limits { ping, ..limits() }).await;
    let start = Instant::now();
    assert_eq!(next(&mut connection).await, Event::Closed(Reason::Gone));
    assert!(start.elapsed() >= ping * 3);
    assert_eq!(read_exact(&mut client, 4).await, b"\x89\x00\x89\x00");
}

#[tokio::test]
async fn any_byte_is_a_sign_of_life() {
    let ping = Duration::from_millis(150);
    let (mut connection, mut client) = pair(Limits { ping, ..limits() }).await;
    beside(&mut connection, async {
        // Single bytes of one frame, one for each ping.
        for byte in frame(0x81, b"slowly, slowly") {
            read_exact(&mut client, 2).await;
            client.write_all(&[byte]).await.unwrap();
            if byte == b'l' {
                break;
            }
        }
    })
    .await;
    client.write_all(b"owly, slowly").await.unwrap();
    assert_eq!(next(&mut connection).await, text("slowly, slowly"));
}

#[tokio::test]
async fn our_close_waits_for_the_frame_and_for_the_answer() {
    let (mut connection, mut client) = pair(limits()).await;
    let large = large().wire(None);
    connection.send(large.clone());
    connection.close(1001, "restart");
    assert!(!connection.can_send());
    let reading = tokio::spawn(async move {
        let bytes = read_exact(&mut client, large.len() + 11).await;
        assert_eq!(bytes[large.len()..], *b"\x88\x09\x03\xe9restart");
        client.write_all(&frame(0x81, b"ignored")).await.unwrap();
        client.write_all(&frame(0x89, b"ignored")).await.unwrap();
        client.write_all(&frame(0x88, b"\x03\xe9")).await.unwrap();
        assert_eq!(read_to_end(&mut client).await, b"");
    });
    assert_eq!(
        next(&mut connection).await,
        Event::Closed(Reason::Server(1001))
    );
    reading.await.unwrap();
}

#[tokio::test]
async fn an_answer_to_our_close_is_not_waited_for_too_long() {
    let close = Duration::from_millis(100);
    let (mut connection, mut client) = pair(Limits { close, ..limits() }).await;
    connection.close(1008, "session ended");
    let start = Instant::now();
    assert_eq!(
        next(&mut connection).await,
        Event::Closed(Reason::Server(1008))
    );
    assert!((close..LONG).contains(&start.elapsed()));
    drop(connection);
    assert_eq!(
        read_to_end(&mut client).await,
        b"\x88\x0f\x03\xf0session ended"
    );
}

#[tokio::test]
async fn who_never_hangs_up_is_left() {
    let close = Duration::from_millis(100);
    let (mut connection, mut client) = pair(Limits { close, ..limits() }).await;
    client.write_all(&frame(0x88, b"\x03\xe8")).await.unwrap();
    assert_eq!(
        next(&mut connection).await,
        Event::Closed(Reason::Client(Some(1000)))
    );
    assert_eq!(read_to_end(&mut client).await, b"\x88\x02\x03\xe8");
}

#[tokio::test]
async fn next_may_be_dropped_anywhere() {
    let (mut connection, mut client) = pair(limits()).await;
    let count = 200;
    let writing = tokio::spawn(async move {
        for number in 0..count {
            let bytes = frame(0x81, number.to_string().as_bytes());
            let (start, end) = bytes.split_at(number % bytes.len());
            client.write_all(start).await.unwrap();
            tokio::task::yield_now().await;
            client.write_all(end).await.unwrap();
        }
        client
    });
    let mut received = 0;
    let mut dropped = 0;
    while received < count {
        tokio::select! {
            biased;
            event = connection.next(true) => {
                assert_eq!(event, text(&received.to_string()));
                received += 1;
            }
            () = tokio::task::yield_now() => dropped += 1,
        }
    }
    assert!(dropped > 0, "some calls must have been dropped");
    drop(writing.await.unwrap());
}

#[tokio::test]
async fn an_idle_connection_is_small() {
    assert!(
        mem::size_of::<Connection>() <= 400,
        "{}",
        mem::size_of::<Connection>()
    );
    let (mut connection, mut client) = pair(limits()).await;
    client.write_all(&frame(0x89, b"ping")).await.unwrap();
    beside(&mut connection, read_exact(&mut client, 6)).await;
    assert_eq!(connection.reader.held_bytes(), 0);
    assert!(mem::size_of_val(&*connection.alarm) <= 160);
    let next = connection.next(true);
    assert!(mem::size_of_val(&next) <= 48, "{}", mem::size_of_val(&next));
}

mod tungstenite {
    //! Against an independent client, which checks what it gets by itself.

    use super::*;
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::{
        WebSocketStream,
        tungstenite::{Message as Sent, protocol::CloseFrame},
    };

    async fn connect() -> (Connection, WebSocketStream<TcpStream>) {
        let (connection, client) = pair(limits()).await;
        let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
        (
            connection,
            WebSocketStream::from_raw_socket(client, role, None).await,
        )
    }

    async fn echo(mut connection: Connection) -> Reason {
        loop {
            match next(&mut connection).await {
                Event::Message(message) => {
                    let frame = match message {
                        Message::Text(text) => Frame::text(&text),
                        Message::Binary(bytes) => Frame::binary(&bytes),
                    };
                    connection.send(frame.wire(None));
                    while connection.is_writing() {
                        assert_eq!(next(&mut connection).await, Event::Flushed);
                    }
                }
                Event::Flushed => {}
                Event::Closed(reason) => return reason,
            }
        }
    }

    #[tokio::test]
    async fn all_is_echoed_and_closed_in_order() {
        let (connection, mut client) = connect().await;
        let server = tokio::spawn(echo(connection));
        for len in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
            for message in [Sent::text("ö".repeat(len / 2)), Sent::binary(vec![7; len])] {
                client.send(message.clone()).await.unwrap();
                assert_eq!(client.next().await.unwrap().unwrap(), message);
            }
        }
        client
            .send(Sent::Ping("are you there".into()))
            .await
            .unwrap();
        assert_eq!(
            client.next().await.unwrap().unwrap(),
            Sent::Pong("are you there".into())
        );
        let bye = CloseFrame {
            code: 1000.into(),
            reason: "bye".into(),
        };
        client.close(Some(bye)).await.unwrap();
        let Some(Ok(Sent::Close(Some(answer)))) = client.next().await else {
            panic!("a close must be answered");
        };
        assert_eq!(u16::from(answer.code), 1000);
        assert!(client.next().await.is_none());
        drop(client);
        assert_eq!(server.await.unwrap(), Reason::Client(Some(1000)));
    }

    #[tokio::test]
    async fn its_handshake_is_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            let mut headers = warp::http::HeaderMap::new();
            for line in std::str::from_utf8(&request).unwrap().lines().skip(1) {
                if let Some((name, value)) = line.split_once(": ") {
                    let name: warp::http::HeaderName = name.parse().unwrap();
                    headers.append(name, value.parse().unwrap());
                }
            }
            let accept = handshake::accept(&warp::http::Method::GET, &headers).unwrap();
            let mut answer = "HTTP/1.1 101 Switching Protocols\r\n".to_owned();
            for (name, value) in &accept.headers() {
                answer = answer + name.as_str() + ": " + value.to_str().unwrap() + "\r\n";
            }
            stream
                .write_all((answer + "\r\n").as_bytes())
                .await
                .unwrap();
            let limits = Arc::new(limits());
            echo(Connection::new(
                stream,
                Bytes::new(),
                accept.deflate(),
                limits,
            ))
            .await
        });
        let url = format!("ws://{address}/");
        let (mut client, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        client.send(Sent::text("hello")).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Sent::text("hello"));
        client.close(None).await.unwrap();
        while client.next().await.is_some() {}
        drop(client);
        assert_eq!(server.await.unwrap(), Reason::Client(None));
    }
}
