//! The real server, in this process, on a free port and a database of its own.

use std::time::Duration;

use marketplace::{
    config::{self, Command, Config},
    db::migrate,
    error::Result,
    pg::dsn::Dsn,
};
use serde_json::json;
use tokio::{sync::OnceCell, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::support::{
    client::{Http, Socket},
    postgres::{self, TestDatabase},
};

/// The origin that the server allows by default.
pub const ORIGIN: &str = "http://localhost:3000";

/// Long enough for anything that is going to happen, also on a busy machine.
pub const SOON: Duration = Duration::from_secs(15);

/// A running server; stopped when dropped.
pub struct TestServer {
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub base: String,
    stop: CancellationToken,
    running: Option<JoinHandle<Result<()>>>,
}

impl TestServer {
    /// A server on a fresh database.
    pub async fn start() -> (Self, TestDatabase) {
        let database = database().await;
        (Self::on(&database.url, &[]).await, database)
    }

    /// A server on the database at `url`, with more arguments; returns once it is ready.
    pub async fn on(url: &str, arguments: &[&str]) -> Self {
        let server = Self::launch(url, arguments).await;
        server.ready().await;
        server
    }

    /// The same without waiting for the database.
    pub async fn launch(url: &str, arguments: &[&str]) -> Self {
        let dsn: Dsn = url.parse().expect("the tests' address is well-formed");
        let stop = CancellationToken::new();
        let (bound, address) = tokio::sync::oneshot::channel();
        let stopped = stop.clone();
        let config = settings(arguments);
        let running = tokio::spawn(async move {
            let bound = |address| bound.send(address).expect("the test waits for it");
            let stopped = stopped.cancelled_owned();
            let ended = Box::pin(marketplace::run(config, &dsn, bound, stopped)).await;
            if let Err(error) = &ended {
                eprintln!("the server ends: {error}");
            }
            ended
        });
        let address = address.await.expect("the server binds");
        Self {
            base: format!("http://{address}"),
            stop,
            running: Some(running),
        }
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&self) {
        let mut operator = Http::new(&self.base);
        eventually("the server is ready", async || {
            operator.get("/readyz").send().await.status == 200
        })
        .await;
    }

    /// Stops gracefully and gives what `run` gave.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        self.running
            .take()
            .expect("it runs until now")
            .await
            .expect("it does not panic")
    }

    /// A visitor who has registered and signed in, on the frontend's page.
    pub async fn visitor(&self, name: &str) -> Http {
        let mut visitor = Http::new(&self.base).on_page(ORIGIN);
        let password = "Correct-horse-7";
        let answer = visitor
            .post("/api/register/")
            .json(&json!({
                "username": name, "email": "", "password": password, "confirm_password": password,
            }))
            .send()
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        self.sign_in(&mut visitor, name).await;
        visitor
    }

    /// Signs a registered visitor in (again).
    pub async fn sign_in(&self, visitor: &mut Http, name: &str) {
        let answer = visitor
            .post("/api/login/")
            .json(&json!({ "username": name, "password": "Correct-horse-7" }))
            .send()
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A database that has been migrated; copied from one that was migrated once.
pub async fn database() -> TestDatabase {
    static TEMPLATE: OnceCell<TestDatabase> = OnceCell::const_new();
    let template = TEMPLATE
        .get_or_init(|| async {
            let template = postgres::cluster().await.database(None).await;
            let dsn = template
                .url
                .parse()
                .expect("the tests' address is well-formed");
            migrate::run(&dsn, "Europe/Paris")
                .await
                .expect("an empty database can be migrated");
            // A template may have no visitors when it is copied.
            let elsewhere = postgres::cluster().await.database(None).await;
            let admin = elsewhere.connect().await;
            eventually("the migration has hung up", async || {
                let sql = "select 1 from pg_stat_activity where datname = $1";
                admin
                    .query(sql, &[&template.name])
                    .await
                    .expect("statistics")
                    .is_empty()
            })
            .await;
            template
        })
        .await;
    postgres::cluster()
        .await
        .database(Some(&template.name))
        .await
}

/// The configuration that these arguments give.
pub fn settings(arguments: &[&str]) -> Config {
    let fixed = ["marketplace", "serve", "--pool-size", "8"];
    let free: &[&str] = if arguments.contains(&"--bind") {
        &[]
    } else {
        &["--bind", "127.0.0.1:0"]
    };
    // Unless that is what is tested: no test is to be in another's way.
    let off: &[&str] = if arguments.contains(&"--rate-limits") {
        &[]
    } else {
        &["--rate-limits", "off"]
    };
    let arguments = fixed.iter().chain(free).chain(off).chain(arguments);
    let arguments = arguments.map(ToString::to_string);
    match config::parse(arguments)
        .expect("the tests' arguments are right")
        .command
    {
        Command::Serve(config) => *config,
        _ => unreachable!("the command is serve"),
    }
}

/// Opens a socket, which must be let in.
pub async fn open(visitor: &Http, path: &str) -> Socket {
    Socket::open(visitor, path)
        .await
        .unwrap_or_else(|refusal| panic!("{path}: {refusal:?}"))
}

/// Waits until something is so; panics when it does not become so in time.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + SOON;
    while !is_so().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not in time: {what}"
        );
        // Only how often it is looked at; what is waited for is the condition.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
