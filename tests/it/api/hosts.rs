//! Which host a request was sent to: a page whose own name leads to the server (DNS rebinding) gets
//! nothing, and whoever asks by a name that is allowed gets what they ask for.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    client::{Http, Refusal, Response, Socket},
    server::{ORIGIN, SOON, TestServer, database, open},
};

const EVIL: &str = "evil.example";

/// The status of the answer to these bytes, and its body.
async fn raw(base: &str, request: &str) -> (u16, String) {
    let mut stream = Http::new(base).address().connect().await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("it is an answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

async fn get(base: &str, path: &str, host: &str) -> Response {
    let mut visitor = Http::new(base);
    visitor.get(path).header("Host", host).send().await
}

async fn handshake(base: &str, path: &str, host: &str, origin: &str) -> u16 {
    let visitor = Http::new(base);
    let headers = vec![
        ("Host".to_owned(), host.to_owned()),
        ("Origin".to_owned(), origin.to_owned()),
    ];
    match Socket::connect(visitor.address(), path, headers).await {
        Ok(_) => 101,
        Err(Refusal::Answer(answer)) => answer.status,
        Err(Refusal::Broken(error)) => panic!("{path}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_whose_name_leads_here_registers_reads_and_changes_nothing() {
    let database = database().await;
    let server = TestServer::on(&database.url, &["--anonymous", "read"]).await;
    let port = server.base.rsplit_once(':').unwrap().1;
    let host = format!("{EVIL}:{port}");
    let mut page = Http::new(&server.base).on_page(&format!("http://{host}"));
    let account = json!({
        "username": "mallory", "password": "Correct-horse-7", "confirm_password": "Correct-horse-7",
    });
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for path in [
            "/",
            "/api/register/",
            "/api/login/",
            "/api/logout/",
            "/api/read-source/",
            "/api/docs",
            "/metrics",
            "/nothing",
        ] {
            let call = page.call(method, path).json(&account).header("Host", &host);
            let answer = call.send().await;
            assert_eq!(answer.status, 421, "{method} {path}: {}", answer.text());
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert!(answer.header("x-request-id").is_some(), "it can be found");
        }
    }
    let refused = get(&server.base, "/", &host).await.json();
    let told = refused["detail"].as_str().unwrap();
    assert!(told.contains("add evil.example to ALLOWED_HOSTS"), "{told}");
    let origin = format!("http://{host}");
    let status = handshake(&server.base, "/ws/read_source/", &host, &origin).await;
    assert_eq!(status, 421);
    let dba = database.connect().await;
    let users = dba.query("select from users", &[]).await.unwrap();
    assert!(users.is_empty(), "nobody was registered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopback_the_own_address_listed_hosts_and_frontends_are_answered() {
    let database = database().await;
    let server = TestServer::on(
        &database.url,
        &[
            "--bind",
            "0.0.0.0:0",
            "--allowed-hosts",
            "market.example, 192.0.2.7",
            "--allowed-origins",
            "https://app.example,http://localhost:3000",
            "--anonymous",
            "read",
        ],
    )
    .await;
    let port = server.base.rsplit_once(':').unwrap().1;
    let base = format!("http://127.0.0.1:{port}");
    for (host, is_own) in [
        ("localhost", true),
        ("LocalHost.:1", true),
        ("0.0.0.0", true),
        ("[::1]", true),
        ("market.example", true),
        ("MARKET.example:443", true),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("app.example", true),
        ("www.market.example", false),
        (EVIL, false),
    ] {
        let answer = get(&base, "/api/read-source/", host).await;
        assert_eq!(answer.status, if is_own { 403 } else { 421 }, "{host}");
        let origin = format!("http://{host}");
        // Of a host that is allowed, a page of the server's own is known by it.
        let expected = if is_own { 101 } else { 421 };
        let status = handshake(&base, "/ws/read_source/", host, &origin).await;
        assert_eq!(status, expected, "{host}");
    }
    // What a proxy says that the client asked for is not asked.
    let mut visitor = Http::new(&base);
    for header in ["X-Forwarded-Host", "X-Host", "Forwarded"] {
        let call = visitor.get("/api/read-source/").header("Host", EVIL);
        let answer = call.header(header, "localhost").send().await;
        assert_eq!(answer.status, 421, "{header}");
        let call = visitor.get("/api/read-source/");
        let answer = call.header(header, EVIL).send().await;
        assert_eq!(answer.status, 403, "{header}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_names_one_host_and_the_targets_counts() {
    let (server, _database) = TestServer::start().await;
    let path = "/api/read-source/";
    for (what, line, headers, status) in [
        ("none", format!("{path} HTTP/1.1"), "", 400),
        ("none, to a probe", "/healthz HTTP/1.1".into(), "", 400),
        ("empty", format!("{path} HTTP/1.1"), "Host:\r\n", 400),
        (
            "two",
            format!("{path} HTTP/1.1"),
            "Host: localhost\r\nHost: localhost\r\n",
            400,
        ),
        (
            "a list",
            format!("{path} HTTP/1.1"),
            "Host: localhost, evil\r\n",
            400,
        ),
        (
            "a URL",
            format!("{path} HTTP/1.1"),
            "Host: http://localhost\r\n",
            400,
        ),
        (
            "no port",
            format!("{path} HTTP/1.1"),
            "Host: localhost:x\r\n",
            400,
        ),
        ("old", format!("{path} HTTP/1.0"), "", 403),
        (
            "old, named",
            format!("{path} HTTP/1.0"),
            "Host: evil.example\r\n",
            421,
        ),
        (
            "target",
            format!("http://evil.example{path} HTTP/1.1"),
            "Host: localhost\r\n",
            421,
        ),
        (
            "other target",
            format!("http://localhost{path} HTTP/1.1"),
            "Host: evil.example\r\n",
            403,
        ),
        (
            "target alone",
            format!("http://localhost{path} HTTP/1.1"),
            "",
            400,
        ),
        (
            "user",
            format!("http://localhost@evil.example{path} HTTP/1.1"),
            "Host: localhost\r\n",
            400,
        ),
    ] {
        let request = format!("GET {line}\r\n{headers}Connection: close\r\n\r\n");
        let (found, body) = raw(&server.base, &request).await;
        assert_eq!(found, status, "{what}: {body}");
    }
    // The page that acts is judged by the same host: a target does not make it one of the server's.
    let origin = "Origin: http://evil.example\r\n";
    let request = format!(
        "POST http://localhost/api/login/ HTTP/1.1\r\nHost: evil.example\r\n{origin}\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let (status, body) = raw(&server.base, &request).await;
    assert_eq!(status, 403, "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_probes_are_answered_whatever_host_they_name() {
    let database = database().await;
    let token = "0123456789abcdef";
    let server = TestServer::on(&database.url, &["--metrics-token", token]).await;
    for path in ["/healthz", "/readyz"] {
        let answer = get(&server.base, path, EVIL).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.json(), json!({ "status": "ok" }));
    }
    // A page on this machine has an address that may read the metrics, but not the token.
    assert_eq!(get(&server.base, "/metrics", EVIL).await.status, 421);
    let mut prometheus = Http::new(&server.base);
    let call = prometheus.get("/metrics").header("Host", EVIL);
    let call = call.header("Authorization", &format!("Bearer {token}"));
    assert_eq!(call.send().await.status, 200);
    for path in ["/healthz", "/readyz"] {
        let mut page = Http::new(&server.base).on_page(ORIGIN);
        let call = page.post(path).header("Host", EVIL);
        assert_eq!(call.send().await.status, 421, "only what is read: {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_hear_whether_the_server_is_ready_and_operators_why_not() {
    let nowhere = "postgres://nobody@127.0.0.1:1/nothing";
    let token = "0123456789abcdef";
    let bare = json!({ "status": "unavailable" });
    for (settings, headers, is_operator) in [
        (&[][..], &[][..], true),
        (&[], &[("X-Forwarded-For", "192.0.2.1")], false),
        (&[], &[("Host", EVIL)], false),
        (&["--metrics-allow", "192.0.2.1"], &[], false),
        (&["--metrics-allow", ""], &[], false),
        (
            &["--metrics-allow", "192.0.2.1", "--metrics-token", token],
            &[("Authorization", "Bearer 0123456789abcdef")],
            true,
        ),
    ] {
        let settings = [settings, &["--anonymous", "read"]].concat();
        let server = TestServer::launch(nowhere, &settings).await;
        let mut visitor = Http::new(&server.base);
        let mut call = visitor.get("/readyz");
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let answer = call.send().await;
        assert_eq!(answer.status, 503);
        let told = answer.json();
        assert_eq!(told["status"], "unavailable");
        assert_eq!(
            told != bare,
            is_operator,
            "{settings:?} {headers:?}: {told}"
        );
        assert_eq!(visitor.get("/healthz").send().await.status, 200);
    }
    // The same on a socket.
    let server = TestServer::launch(nowhere, &["--anonymous", "read"]).await;
    let stranger = Http::new(&server.base).on_page(ORIGIN);
    let mut socket = open(&stranger, "/ws/read_source/?mode=delta").await;
    socket.send_text(r#"{"action":"ping"}"#).await;
    let pulse = socket.next_json(SOON).await;
    assert_eq!(pulse["live"], false, "{pulse}");
    assert_eq!(pulse.get("trouble"), None, "{pulse}");
}
