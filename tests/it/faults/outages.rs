//! What the log says of a database that is out, and of one that does not let the server in: a line at
//! the beginning, one when it is over, and none for each attempt in between.

use std::path::PathBuf;

use marketplace::embedded::Cluster;
use serde_json::Value;

use crate::support::{
    client::Http,
    postgres::{self, Home, PrivateCluster},
    program::{Running, program},
    proxy::Proxy,
    server::{database, eventually},
};

/// Attempts to connect after which a line for each would have been seen.
const MANY: u64 = 8;

/// A server that logs JSON into a file.
struct Logging {
    server: Running,
    operator: Http,
    file: PathBuf,
    _home: Home,
}

impl Logging {
    async fn start(url: &str) -> Self {
        let home = Home::new();
        std::fs::create_dir(&home.dir).unwrap();
        let file = home.dir.join("log");
        let mut command = program(&["serve", "--bind", "127.0.0.1:0", "--log-format", "json"]);
        command.env("DATABASE_URL", url);
        let mut server = Running::logging(command, &file);
        let printed: Value = serde_json::from_str(&server.line("").await).unwrap();
        let address = printed["url"].as_str().expect("it says where it listens");
        assert_eq!(printed["message"], format!("listening on {address}"));
        Self {
            operator: Http::new(address),
            server,
            file,
            _home: home,
        }
    }

    /// What `/readyz` answers.
    async fn ready(&mut self) -> (u16, String) {
        let answer = self.operator.get("/readyz").send().await;
        (answer.status, answer.text())
    }

    async fn is_ready(&mut self) {
        eventually("the server is ready", async || self.ready().await.0 == 200).await;
    }

    /// The lines so far.
    fn lines(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(&self.file).unwrap();
        let json = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        log.lines().map(json).collect()
    }

    /// Those with that message.
    fn with(&self, message: &str) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line["message"] == message);
        lines
    }
}

async fn started(home: &Home) -> Cluster {
    let options = postgres::options(&home.dir, &[]);
    let started = Cluster::start(options).await;
    started.expect("PostgreSQL starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_once_and_when_it_is_over() {
    let cluster: PrivateCluster = postgres::private_cluster(&[]).await;
    let (proxy, url) = Proxy::in_front_of(&cluster.url()).await;
    let home = cluster.stop().await;
    let mut logging = Logging::start(&url).await;
    eventually("it was tried many times", async || proxy.accepted() >= MANY).await;
    let waiting = logging.with("waiting for the database");
    assert_eq!(waiting.len(), 1, "{waiting:#?}");
    let (status, body) = logging.ready().await;
    assert_eq!(status, 503);
    assert!(body.contains("the database is not available"), "{body}");

    let cluster = started(&home).await;
    logging.is_ready().await;
    let reached = logging.with("connected to the database");
    assert!(reached[0]["after"].as_f64().unwrap() > 0.0, "{reached:?}");
    let started_line = &logging.with("started")[0];
    assert_eq!(started_line["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(started_line["role"], "marketplace");
    let database = started_line["database"].as_str().unwrap();
    assert_eq!(database, format!("127.0.0.1:{}/marketplace", proxy.port));
    eventually("it says that it is ready", async || {
        logging.with("ready").len() == 1
    })
    .await;

    cluster.stop().await.unwrap();
    let before = proxy.accepted();
    let out = [
        "not listening; connecting again",
        "the database does not answer; trying again",
    ];
    eventually("it was tried many times", async || {
        proxy.accepted() >= before + MANY
            && out.iter().all(|message| !logging.with(message).is_empty())
    })
    .await;
    let cluster = started(&home).await;
    logging.is_ready().await;
    for message in ["listening again", "the database answers again"] {
        eventually(message, async || !logging.with(message).is_empty()).await;
        let after = &logging.with(message)[0]["after"];
        assert!(after.as_f64().unwrap() > 0.0, "{message}: {after}");
    }
    for message in out {
        let told = logging.with(message);
        assert_eq!(told.len(), 1, "{told:#?}");
    }
    let warnings = |line: &Value| line["level"] == "WARN" || line["level"] == "ERROR";
    let warned: Vec<_> = logging.lines().into_iter().filter(warnings).collect();
    // The requests of this test that failed are logged too.
    let of_requests = warned
        .iter()
        .filter(|line| line["span"].is_object())
        .count();
    assert_eq!(warned.len() - of_requests, 3, "{warned:#?}");
    drop(logging.server);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_the_server_is_told_at_once_and_asked_less_and_less() {
    let database = database().await;
    let dba = database.connect().await;
    let role = format!("server_of_{}", database.name);
    dba.batch_execute(&format!(
        "create role {role} nologin password 'geheim'; grant all on schema public to {role};
         grant all on all tables in schema public to {role};
         grant execute on all functions in schema public to {role}"
    ))
    .await
    .unwrap();
    let (_, server) = database.url.split_once('@').unwrap();
    let missing = postgres::with_database(server, "nowhere");
    for (url, code, mend) in [
        (
            format!("postgres://{role}:geheim@{server}"),
            "28000",
            format!("alter role {role} login"),
        ),
        (
            format!("postgres://{role}:richtig@{server}"),
            "28P01",
            format!("alter role {role} password 'richtig'"),
        ),
        (
            format!("postgres://{role}:richtig@{missing}"),
            "3D000",
            String::new(),
        ),
    ] {
        let (proxy, url) = Proxy::in_front_of(&url).await;
        let mut logging = Logging::start(&url).await;
        eventually(code, async || logging.ready().await.1.contains(code)).await;
        let told = logging.with("the database refuses the login; trying again");
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(
            told[0]["error"].as_str().unwrap().contains(code),
            "{told:?}"
        );
        assert!(!told[0].to_string().contains("geheim"), "{told:?}");
        if !mend.is_empty() {
            dba.batch_execute(&mend).await.unwrap();
            logging.is_ready().await;
        }
        // A database that is down would have been tried far more often by now.
        assert!(proxy.accepted() < 200, "{}", proxy.accepted());
    }
    dba.batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .await
        .unwrap();
}
