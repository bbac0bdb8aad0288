//! Files that arrive at the same time: nobody has all slots, and a trickle does not keep its slot.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use super::{ADD, ANN, FORM, add, head, lines, noted, remain, send, start};
use crate::support::{client::Http, server::eventually};

/// A client has half a minute for a file that does not get on; the rest is for busy machines.
const ENDED: Duration = Duration::from_secs(75);

/// A form of `visitor` at that address, sent up to the beginning of its file.
async fn begin(visitor: &Http, address: &str) -> TcpStream {
    let mut wire = visitor.address().connect().await.unwrap();
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: 1000000\r\n\
         X-Forwarded-For: {address}\r\n{}\r\n",
        ADD.1,
        lines(visitor)
    );
    wire.write_all(request.as_bytes()).await.unwrap();
    wire.write_all(&head(ANN, "a.csv")).await.unwrap();
    wire
}

/// The status of the answer, which comes in time.
async fn status(wire: &mut TcpStream) -> u16 {
    let mut head = [0; 12];
    let read = timeout(ENDED, wire.read_exact(&mut head)).await;
    read.expect("an answer comes")
        .expect("it does not break off");
    String::from_utf8_lossy(&head[9..]).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trickling_uploads_of_one_user_leave_room_for_others_and_end() {
    let (server, database, store, ann) = start(&[]).await;
    let mut bob = server.visitor("bob").await;
    let mut wires = Vec::new();
    for _ in 0..16 {
        wires.push(begin(&ann, "").await);
    }
    eventually("all that may have begun", async || {
        noted(&database).await == 4
    })
    .await;
    let mut trickles = JoinSet::new();
    for mut wire in wires {
        trickles.spawn(async move {
            let began = Instant::now();
            let mut head = [0; 12];
            loop {
                match timeout(Duration::from_secs(1), wire.read_exact(&mut head)).await {
                    Ok(Ok(_)) => break,
                    Ok(Err(error)) => panic!("no answer: {error}"),
                    Err(_) => assert!(began.elapsed() < ENDED, "it goes on"),
                }
                // It may be hung up on at this moment, and says so when it reads.
                let _ = wire.write_all(&[b'1'; 100]).await;
            }
            String::from_utf8_lossy(&head[9..]).parse::<u16>().unwrap()
        });
    }
    // Meanwhile others are served.
    add(&mut bob, ("b.csv", b"1")).await;
    let mut statuses = trickles.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[408; 4].as_slice(), &[429; 12]].concat());
    remain(&store, &database, 1).await;
    let mut ann = ann;
    add(&mut ann, ("a.csv", b"1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_too_many_is_told_to_come_later() {
    let (server, database, store, ann) = start(&["--trusted-proxies", "127.0.0.1"]).await;
    let mut users = vec![ann];
    for name in ["bob", "cid", "dan"] {
        users.push(server.visitor(name).await);
    }
    let mut wires = Vec::new();
    for (n, user) in users.iter().enumerate() {
        for _ in 0..4 {
            wires.push(begin(user, &format!("192.0.2.{n}")).await);
        }
    }
    eventually("all have begun", async || noted(&database).await == 16).await;
    // Of a user, wherever they are; of the server, whoever it is.
    assert_eq!(status(&mut begin(&users[0], "192.0.2.99").await).await, 429);
    let mut eve = server.visitor("eve").await;
    let answer = send(&mut eve, ADD, ANN, ("b.csv", b"1")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert!(
        answer.text().contains("Too many files"),
        "{}",
        answer.text()
    );
    assert_eq!(noted(&database).await, 16);
    drop(wires);
    remain(&store, &database, 0).await;

    // Of an address, whoever is there.
    let mut wires = Vec::new();
    for user in &users[..3] {
        for _ in 0..4 {
            wires.push(begin(user, "192.0.2.1").await);
        }
    }
    eventually("all have begun", async || noted(&database).await == 12).await;
    assert_eq!(status(&mut begin(&users[3], "192.0.2.1").await).await, 429);
    add(&mut eve, ("b.csv", b"1")).await;
    drop(wires);
    remain(&store, &database, 1).await;
}
