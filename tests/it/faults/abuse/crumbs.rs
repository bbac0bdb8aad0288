//! Bodies that come in crumbs: a byte a chunk, a byte a segment, a part a few bytes. Each is refused
//! before it has cost a tenth of a second of the processor, measured from outside the process.

use std::{fs, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{ENDED, Target, lossy};
use crate::support::{client::Http, sign_in::lines};

/// A body of this size in chunks of one byte.
const BYTES: usize = 738 * 1024;
/// Of the processor, for one request.
const MOST: Duration = Duration::from_millis(100);
/// Requests of a kind, so that one that is interrupted does not decide.
const EACH: u32 = 4;

/// How long the processor has worked for the program.
fn worked(target: &Target) -> Duration {
    let process = target.server.child.id().expect("it runs");
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // After the name, which may contain anything: user and system time, in hundredths of a second.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Each byte in a chunk of its own, with an extension.
fn chunks(body: &[u8], extension: &str) -> Vec<u8> {
    let mut chunked = Vec::new();
    for byte in body {
        chunked.extend(format!("1{extension}\r\n").as_bytes());
        chunked.extend([*byte, b'\r', b'\n']);
    }
    chunked.extend(b"0\r\n\r\n");
    chunked
}

/// Sends a request as it is and gives the status of the answer, which comes although not all was read.
async fn status(target: &Target, request: &[u8]) -> u16 {
    let mut stream = target.connect().await;
    let (mut read, mut write) = stream.split();
    let send = async {
        // The server may have seen enough.
        let _ = write.write_all(request).await;
        std::future::pending::<()>().await;
    };
    let mut head = [0; 12];
    let answer = async {
        tokio::select! {
            read = read.read_exact(&mut head) => read.map(|_| ()),
            () = send => unreachable!("it waits"),
        }
    };
    let answer = timeout(ENDED, answer).await.expect("an answer comes");
    answer.expect("the answer arrives");
    lossy(&head[9..]).parse().expect("a status")
}

const FORM: &str = "multipart/form-data; boundary=x";
const FIELDS: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// What is sent to a path, and with which status it is refused.
struct Crumbs {
    what: &'static str,
    path: &'static str,
    kind: &'static str,
    body: Vec<u8>,
    is_chunked: bool,
    status: u16,
}

/// Bodies in chunks of one byte.
fn in_chunks() -> Vec<Crumbs> {
    let text = "--x\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\n";
    let file =
        "--x\r\nContent-Disposition: form-data; name=\"data_upload\"; filename=\"a\"\r\n\r\n";
    let form = |head: &str, fill: u8| {
        let mut form = head.as_bytes().to_vec();
        form.resize(BYTES, fill);
        chunks(&form, "")
    };
    let spaces = || chunks(&vec![b' '; BYTES], "");
    [
        ("a form", "/api/register/", FORM, form(text, b'a')),
        (
            "a file nobody wants",
            "/api/register/",
            FORM,
            form(file, b'a'),
        ),
        ("line ends", "/api/register/", FORM, form(file, b'\r')),
        ("a preamble", "/api/register/", FORM, form("", b'a')),
        (
            "extensions",
            "/api/register/",
            FORM,
            chunks(&[b'a'; 3000], ";a=b"),
        ),
        ("JSON to register", "/api/register/", JSON, spaces()),
        ("JSON to sign in", "/api/login/", JSON, spaces()),
        (
            "a text beside a file",
            "/api/add-source/",
            FORM,
            form(text, b'a'),
        ),
        (
            "another file",
            "/api/add-source/",
            FORM,
            form(&file.replace("data_upload", "other"), b'a'),
        ),
        ("a password", "/api/password/", FIELDS, spaces()),
        ("no type", "/emrrunner/start", "text/plain", spaces()),
    ]
    .into_iter()
    .map(|(what, path, kind, body)| Crumbs {
        what,
        path,
        kind,
        body,
        is_chunked: true,
        status: 413,
    })
    .collect()
}

/// Bodies of many small things.
fn in_one_piece() -> Vec<Crumbs> {
    let part = b"--x\r\nContent-Disposition: form-data; filename=a\r\n\r\n\r\n";
    let headers = format!("--x\r\n{}\r\n\r\n", "A: b\r\n".repeat(2000));
    let nested = "[".repeat(BYTES);
    [
        ("many parts", FORM, part.repeat(BYTES * 4 / part.len()), 413),
        ("many headers", FORM, headers.repeat(400).into_bytes(), 400),
        ("many fields", FIELDS, b"a&".repeat(BYTES / 2), 413),
        ("nothing between fields", FIELDS, b"&".repeat(BYTES), 400),
        ("nested JSON", JSON, nested.into_bytes(), 400),
    ]
    .into_iter()
    .map(|(what, kind, body, status)| Crumbs {
        what,
        path: "/api/register/",
        kind,
        body,
        is_chunked: false,
        status,
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_in_crumbs_are_refused_early() {
    let target = Target::start().await;
    let cookies = lines(&target.member().await);
    for crumbs in in_chunks().into_iter().chain(in_one_piece()) {
        let Crumbs {
            what,
            path,
            kind,
            body,
            ..
        } = &crumbs;
        let length = if crumbs.is_chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {}", body.len())
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{length}\r\n{cookies}\r\n"
        );
        let request = [head.as_bytes(), body].concat();
        let before = worked(&target);
        for _ in 0..EACH {
            assert_eq!(status(&target, &request).await, crumbs.status, "{what}");
        }
        let each = worked(&target).saturating_sub(before) / EACH;
        println!("{what}: {each:?}");
        assert!(each <= MOST, "{what}: {each:?}");
    }
    target.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_of_one_byte_are_refused_early() {
    let target = Target::start().await;
    let mut stream = target.connect().await;
    let head = "POST /api/register/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 700000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let before = worked(&target);
    let (mut read, mut write) = stream.split();
    let send = async {
        // Each by itself, as far as the kernel has it so.
        while write.write_all(b" ").await.is_ok() {
            tokio::task::yield_now().await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = [0; 12];
    let answered = async {
        tokio::select! {
            read = read.read_exact(&mut answer) => read.map(|_| ()),
            () = send => unreachable!("it waits"),
        }
    };
    timeout(ENDED, answered)
        .await
        .expect("an answer comes")
        .unwrap();
    assert!(
        matches!(&answer[9..], b"413" | b"408"),
        "{}",
        lossy(&answer)
    );
    let worked = worked(&target).saturating_sub(before);
    println!("segments of one byte: {worked:?}");
    target.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_bodies_in_pieces_are_read() {
    let target = Target::start().await;
    let member = target.member().await;
    let head = format!(
        "POST /api/add-source/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{}",
        lines(&member)
    );
    let json = br#"{"created_by":"Ann","country":"France"}"#;
    let json = [
        head.as_bytes(),
        b"Content-Type: application/json\r\n\r\n",
        &chunks(json, ""),
    ]
    .concat();
    assert_eq!(status(&target, &json).await, 201);
    // A file in pieces as a program writes them that sends line by line.
    let text = "--x\r\nContent-Disposition: form-data; name=\"created_by\"\r\n\r\nAnn\r\n\
        --x\r\nContent-Disposition: form-data; name=\"country\"\r\n\r\nFrance\r\n\
        --x\r\nContent-Disposition: form-data; name=\"data_upload\"; filename=\"a\"\r\n\r\n";
    let mut form = format!("{:x}\r\n{text}\r\n", text.len());
    for _ in 0..20_000 {
        form += "4d\r\n";
        form += &"1".repeat(77);
        form += "\r\n";
    }
    for _ in 0..5_000 {
        form += "1\r\n1\r\n";
    }
    form += "9\r\n\r\n--x--\r\n\r\n0\r\n\r\n";
    let kind = "Content-Type: multipart/form-data; boundary=x\r\n\r\n";
    let form = [head.as_bytes(), kind.as_bytes(), form.as_bytes()].concat();
    assert_eq!(status(&target, &form).await, 201);
    let mut visitor: Http = member;
    let sources = visitor.get("/api/read-source/").send().await.json();
    let file = sources[0]["data_upload"].as_str().unwrap();
    let file = visitor.get(file).send().await;
    assert_eq!(file.body.len(), 20_000 * 77 + 5_000);
    assert!(file.body.iter().all(|byte| *byte == b'1'));
}
