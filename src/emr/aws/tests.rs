//! What is sent in a call, and how often.

use std::sync::{Arc, Mutex};

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// What a service was sent: each request's head, and its body.
type Sent = Arc<Mutex<Vec<(String, String)>>>;

/// A service that answers the first request alone and breaks the connections of the others.
async fn service() -> (Connection, Sent) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent = Sent::default();
    let notes = sent.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            while let Some(request) = read_request(&mut stream).await {
                let is_first = {
                    let mut notes = notes.lock().unwrap();
                    notes.push(request);
                    notes.len() == 1
                };
                if !is_first {
                    break;
                }
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    let endpoint = format!("http://127.0.0.1:{port}/at/emr");
    let variables = [
        ("AWS_REGION", "eu-west-3"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "sec/ret+="),
        ("AWS_SESSION_TOKEN", "to/ken+=="),
        ("AWS_ENDPOINT_URL_EMR", &endpoint),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let variables = variables.into_iter().collect();
    (Connection::find(variables).await.unwrap(), sent)
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap() == 0 {
            return None;
        }
    }
    let length = header(&head, "content-length").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Some((head, String::from_utf8(body).unwrap()))
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let lines = head.lines().skip(1);
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value.trim())
}

#[tokio::test]
async fn a_call_is_sent_once_also_when_its_connection_breaks() {
    let (service, sent) = service().await;
    let body = json!({});
    let call = || service.call("AddJobFlowSteps", &body, PATIENCE);
    call().await.unwrap();
    // The second call goes over the connection of the first one, the third over one of its own.
    for number in [2, 3] {
        let answer = call().await;
        assert!(matches!(answer, Err(CallError::NoAnswer(_))), "{answer:?}");
        assert_eq!(sent.lock().unwrap().len(), number);
    }
}

/// HMAC (RFC 2104) with SHA-256, for keys that are no longer than a block.
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let padded = |pad: u8| -> Vec<u8> {
        let key = key.iter().copied().chain(std::iter::repeat(0));
        key.take(64).map(|byte| byte ^ pad).collect()
    };
    let inner = Sha256::digest([padded(0x36), text.into()].concat());
    Sha256::digest([padded(0x5c), inner.to_vec()].concat()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Computed here as the service does
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
#[tokio::test]
async fn a_call_has_the_signature_that_the_service_computes() {
    let (service, sent) = service().await;
    let body = json!({ "Name": "caf\u{e9} & more" });
    service.call("ListSteps", &body, PATIENCE).await.unwrap();
    let (head, body) = sent.lock().unwrap().remove(0);
    let hash = |text: &str| hex(&Sha256::digest(text));
    assert!(head.starts_with("POST /at/emr/ HTTP/1.1\r\n"), "{head}");
    let names =
        "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-amz-target";
    let headers = names.split(';');
    let headers = headers.map(|name| format!("{name}:{}\n", header(&head, name)));
    let headers: String = headers.collect();
    let request = format!("POST\n/at/emr/\n\n{headers}\n{names}\n{}", hash(&body));
    let time = header(&head, "x-amz-date");
    let (day, _) = time.split_once('T').unwrap();
    let scope = format!("{day}/eu-west-3/elasticmapreduce/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(&request));
    let key = scope
        .split('/')
        .fold(b"AWS4sec/ret+=".to_vec(), |key, part| hmac(&key, part));
    assert_eq!(
        header(&head, "authorization"),
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, \
             Signature={}",
            hex(&hmac(&key, &text))
        )
    );
    assert_eq!(header(&head, "x-amz-content-sha256"), hash(&body));
    assert_eq!(header(&head, "x-amz-security-token"), "to/ken+==");
    assert_eq!(header(&head, "x-amz-target"), "ElasticMapReduce.ListSteps");
}
