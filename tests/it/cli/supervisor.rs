//! The server under a service manager, which the test plays itself: a listening socket that is
//! passed, messages of readiness, life and stopping, and restarts that no client notices.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::{TcpStream, UnixDatagram},
    process::Command,
    task::JoinHandle,
    time,
};

use crate::support::{
    client::Http,
    postgres::{self, Home},
    program::{PROGRAM, Running, command},
    server::{ORIGIN, SOON, TestServer, database, eventually, open},
};

/// The socket arrives as standard input and becomes descriptor 3 of a process whose id is told.
const PASS: &str = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";

/// The server on a socket that exists already.
fn passed(listener: &TcpListener, url: &str) -> Command {
    let mut command = command("sh", &["-c", PASS, PROGRAM, "serve", "--pool-size", "8"]);
    let listener = OwnedFd::from(listener.try_clone().expect("it can be shared"));
    command
        .stdin(Stdio::from(listener))
        .env("DATABASE_URL", url)
        .env("RATE_LIMITS", "off");
    command
}

/// A service manager's ear.
struct Manager {
    socket: UnixDatagram,
    home: Home,
}

impl Manager {
    fn new() -> Self {
        let home = Home::new();
        std::fs::create_dir(&home.dir).expect("a directory can be made");
        let socket = UnixDatagram::bind(home.dir.join("notify")).expect("a socket can be bound");
        Self { socket, home }
    }

    /// Wants to know how the program is.
    fn watches(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", self.home.dir.join("notify"));
    }

    /// Has no room for another message until somebody reads.
    fn is_deaf(&self) {
        let anybody = std::os::unix::net::UnixDatagram::unbound().expect("there are sockets");
        anybody.set_nonblocking(true).expect("it can be changed");
        let socket = self.home.dir.join("notify");
        let full = loop {
            if let Err(full) = anybody.send_to(b"NOISE=1", &socket) {
                break full;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
    }

    async fn hears(&self) -> String {
        let mut message = [0; 4096];
        let length = time::timeout(SOON, self.socket.recv(&mut message)).await;
        let length = length.expect("it is told something").unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    async fn hears_of(&self, what: &str) {
        while !self.hears().await.lines().any(|line| line == what) {}
    }
}

async fn stopped(mut server: Running) {
    server.signal("-TERM").await;
    let status = time::timeout(SOON, server.child.wait()).await;
    assert_eq!(status.expect("it stops").unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_service_manager_is_told_of_readiness_life_and_stopping() {
    let cluster = postgres::private_cluster(&[]).await;
    let url = cluster.url();
    let down = cluster.stop().await;
    let manager = Manager::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = passed(&listener, &url);
    manager.watches(&mut command);
    command.env("WATCHDOG_USEC", "300000");
    let mut server = Running::start(command);
    let base = server.line("listening on ").await;
    assert_eq!(base, format!("http://{}", listener.local_addr().unwrap()));
    let first = manager.hears().await;
    assert!(first.starts_with("STATUS=the database"), "{first}");

    let options = postgres::options(&down.dir, &[]);
    let cluster = marketplace::embedded::Cluster::start(options)
        .await
        .expect("PostgreSQL starts");
    manager.hears_of("READY=1").await;
    let ready = Http::new(&base).get("/readyz").send().await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    for _ in 0..3 {
        assert_eq!(manager.hears().await, "WATCHDOG=1\n");
    }
    server.signal("-TERM").await;
    manager.hears_of("STOPPING=1").await;
    let status = time::timeout(SOON, server.child.wait()).await;
    assert_eq!(status.expect("it stops").unwrap().code(), Some(0));
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_manager_is_told_what_is_wrong_before_and_after_the_start() {
    let cluster = postgres::private_cluster(&[]).await;
    let dba = postgres::connect(&cluster.url()).await;
    dba.batch_execute("create role server superuser login password 'old'")
        .await
        .unwrap();
    let (_, address) = cluster
        .url()
        .split_once('@')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let manager = Manager::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = passed(&listener, &format!("postgres://server:new@{address}"));
    manager.watches(&mut command);
    let server = Running::start(command);
    let status = async |words: &str| loop {
        let message = manager.hears().await;
        if message.starts_with("STATUS=") && message.contains(words) {
            assert_eq!(message.lines().count(), 1, "{message}");
            return;
        }
    };
    status("28P01").await;
    dba.batch_execute("alter role server password 'new'")
        .await
        .unwrap();
    manager.hears_of("READY=1").await;

    // Who is in stays in; only new connections are refused.
    dba.batch_execute(
        "alter role server password 'newer';
         select pg_terminate_backend(pid) from pg_stat_activity where usename = 'server'",
    )
    .await
    .unwrap();
    status("28P01").await;
    dba.batch_execute("alter role server password 'new'")
        .await
        .unwrap();
    manager.hears_of("STATUS=ready").await;
    stopped(server).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_service_manager_that_does_not_read_keeps_nobody_waiting() {
    let database = database().await;
    let manager = Manager::new();
    manager.is_deaf();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = passed(&listener, &database.url);
    manager.watches(&mut command);
    command.env("WATCHDOG_USEC", "300000");
    let mut server = Running::start(command);
    let base = server.line("listening on ").await;
    eventually("the server is ready", async || {
        Http::new(&base).get("/readyz").send().await.status == 200
    })
    .await;
    // It says so when somebody reads again.
    manager.hears_of("READY=1").await;
    manager.hears_of("WATCHDOG=1").await;
    manager.is_deaf();
    let ready = Http::new(&base).get("/readyz").send().await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    stopped(server).await;
}

#[tokio::test]
async fn what_is_no_listening_socket_is_refused_with_one_line() {
    let mut command = passed(
        &TcpListener::bind("127.0.0.1:0").unwrap(),
        "postgres://nobody@127.0.0.1:1/nothing",
    );
    command.stdin(Stdio::null());
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("marketplace: LISTEN_FDS: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Clients that ask without pause, and what went wrong for them.
struct Crowd {
    over: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Crowd {
    fn new(address: SocketAddr, session: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicUsize::new(0));
        let clients = (0..8).map(|n| {
            let (over, answers) = (Arc::clone(&over), Arc::clone(&answers));
            let session = session.to_owned();
            tokio::spawn(async move {
                let mut failures = Vec::new();
                let mut kept = None;
                while !over.load(SeqCst) {
                    if let Err(failure) = ask(address, &session, &mut kept, n % 2 == 0).await {
                        kept = None;
                        failures.push(failure);
                    }
                    answers.fetch_add(1, SeqCst);
                }
                failures
            })
        });
        let clients = clients.collect();
        Self {
            over,
            answers,
            clients,
        }
    }

    /// Waits until so many more were answered.
    async fn goes_on(&self, more: usize) {
        let enough = self.answers.load(SeqCst) + more;
        eventually("the clients are answered", async || {
            self.answers.load(SeqCst) >= enough
        })
        .await;
    }

    async fn ends(self) -> (usize, Vec<String>) {
        self.over.store(true, SeqCst);
        let mut failures = Vec::new();
        for client in self.clients {
            failures.extend(client.await.unwrap());
        }
        (self.answers.load(SeqCst), failures)
    }
}

type Kept = Option<hyper::client::conn::http1::SendRequest<Empty<Bytes>>>;

/// One request, on the connection that is kept or on a new one.
async fn ask(
    address: SocketAddr,
    session: &str,
    kept: &mut Kept,
    keeps: bool,
) -> Result<(), String> {
    // A connection that the server has closed after an answer that said so is no failure.
    let mut sender = kept.take();
    if let Some(kept) = &mut sender
        && kept.ready().await.is_err()
    {
        sender = None;
    }
    let mut sender = if let Some(sender) = sender {
        sender
    } else {
        let stream = TcpStream::connect(address).await.map_err(said)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(said)?;
        tokio::spawn(connection);
        sender
    };
    let request = Request::get("/api/read-source/")
        .header("host", "localhost")
        .header("cookie", session)
        .body(Empty::new())
        .expect("it is a request");
    let answer = sender.send_request(request).await.map_err(said)?;
    let status = answer.status();
    answer.into_body().collect().await.map_err(said)?;
    if status != 200 {
        return Err(status.to_string());
    }
    *kept = keeps.then_some(sender);
    Ok(())
}

fn said(error: impl std::error::Error) -> String {
    format!("{error}: {:?}", error.source())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_on_a_passed_socket_lose_no_request() {
    let database = database().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let manager = Manager::new();
    let start = async || {
        let mut command = passed(&listener, &database.url);
        manager.watches(&mut command);
        let server = Running::start(command);
        manager.hears_of("READY=1").await;
        server
    };
    let mut server = start().await;
    let address = listener.local_addr().unwrap();
    let visitor = visitor(&format!("http://{address}")).await;
    let mut page = open(&visitor, "/ws/read_source/").await;
    let session = format!("sessionid={}", visitor.cookie("sessionid").unwrap());
    let crowd = Crowd::new(address, &session);
    for overlapping in [true, false, true, false] {
        crowd.goes_on(50).await;
        if overlapping {
            // The next one is there before this one goes.
            let next = start().await;
            stopped(server).await;
            server = next;
        } else {
            // There is none for a while: clients wait in the socket.
            stopped(server).await;
            server = start().await;
        }
        // Each page is told to look elsewhere, and finds a server there.
        assert_eq!(page.closed_within(SOON).await.code, 1001);
        page = open(&visitor, "/ws/read_source/").await;
        page.next_json(SOON).await;
    }
    crowd.goes_on(50).await;
    let (answers, failures) = crowd.ends().await;
    stopped(server).await;
    println!(
        "{answers} requests during four restarts, {} failed",
        failures.len()
    );
    assert_eq!(failures, Vec::<String>::new(), "of {answers} requests");
}

#[tokio::test]
async fn a_request_on_a_connection_that_was_kept_is_answered_while_the_server_stops() {
    let (server, _database) = TestServer::start().await;
    let visitor = server.visitor("somebody").await;
    let mut page = open(&visitor, "/ws/read_source/").await;
    let address = server.base.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut answer = async || {
        sender.ready().await.expect("the connection is kept");
        let request = Request::get("/healthz").header("host", "localhost");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        body.collect().await.expect("all of it");
        head.headers.get("connection").cloned()
    };
    assert_eq!(answer().await, None, "there may be more requests");
    let stopped = tokio::spawn(server.stop());
    assert_eq!(page.closed_within(SOON).await.code, 1001);
    // Not at once: a client's request may be under way that long.
    time::sleep(Duration::from_millis(200)).await;
    assert_eq!(answer().await.expect("it says so"), "close", "the last one");
    stopped.await.unwrap().unwrap();
}

/// Somebody who has signed in.
async fn visitor(base: &str) -> Http {
    let mut visitor = Http::new(base).on_page(ORIGIN);
    let password = "Correct-horse-7";
    let account = json!({
        "username": "somebody", "email": "", "password": password, "confirm_password": password,
    });
    for path in ["/api/register/", "/api/login/"] {
        let answer = visitor.post(path).json(&account).send().await;
        assert!(answer.status < 300, "{path}: {}", answer.text());
    }
    visitor
}
