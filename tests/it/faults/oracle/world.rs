//! What faults strike: a PostgreSQL cluster, the server program, and a proxy on each way between
//! them and the clients. One world serves many seeds, one after the other.
//!
//! A fault holds the part that it strikes, so that faults of different parts may overlap and those
//! of one part do not.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tokio::{sync::Mutex, time::timeout};

use super::followers::Way;
use crate::support::{
    client::Http,
    postgres::{self, PrivateCluster},
    program::{Running, program},
    proxy::Proxy,
    server::{ORIGIN, eventually},
};

/// How PostgreSQL is set: what was committed survives its crash, and writers that stand in each
/// other's way are told soon.
const SETTINGS: [(&str, &str); 2] = [("synchronous_commit", "on"), ("deadlock_timeout", "100ms")];

/// See the module.
pub struct World {
    pub postgres: Mutex<PrivateCluster>,
    pub server: Mutex<Running>,
    pub database_side: Mutex<DatabaseSide>,
    pub client_side: Mutex<Proxy>,
    /// How clients reach the server, and writers and judges the database.
    pub way: Way,
    /// Where the server accepts, past the proxy.
    address: String,
    listen_url: String,
    pool_url: String,
    log: PathBuf,
}

/// The proxies between the server and PostgreSQL.
pub struct DatabaseSide {
    /// In front of what listens.
    pub listener: Proxy,
    /// In front of everything else.
    pub pool: Proxy,
}

impl World {
    /// Makes one, with somebody signed in.
    pub async fn new() -> Self {
        let cluster = postgres::private_cluster(&SETTINGS).await;
        let database = cluster.url();
        let (listener, listen_url) = Proxy::in_front_of(&database).await;
        let (pool, pool_url) = Proxy::in_front_of(&database).await;
        let database_side = DatabaseSide { listener, pool };
        let log = cluster.data_dir().join("marketplace.log");
        let (server, address) = launch("127.0.0.1:0", &listen_url, &pool_url, &log).await;
        let (_, port) = address.rsplit_once(':').expect("an address has a port");
        let clients = Proxy::to(port.parse().expect("a port is a number")).await;
        let base = format!("http://127.0.0.1:{}", clients.port);
        let visitor = sign_in(&base).await;
        Self {
            postgres: Mutex::new(cluster),
            server: Mutex::new(server),
            database_side: Mutex::new(database_side),
            client_side: Mutex::new(clients),
            way: Way { visitor, database },
            address,
            listen_url,
            pool_url,
            log,
        }
    }

    /// Kills the server with SIGKILL and starts it again on the same port.
    pub async fn replace_server(&self) {
        let mut server = self.server.lock().await;
        let before = server.child.id();
        server.child.kill().await.expect("it ran until now");
        let (started, address) =
            launch(&self.address, &self.listen_url, &self.pool_url, &self.log).await;
        assert_eq!(address, self.address);
        assert_ne!(started.child.id(), before, "it is another process");
        *server = started;
    }

    /// The end of what the server has logged since it was started last.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Connections that were left silent end.
    pub async fn tidy(&self) {
        let database = self.database_side.lock().await;
        for proxy in [&database.listener, &database.pool] {
            proxy.end_silent();
        }
    }
}

/// Starts the server; gives its address once it accepts.
async fn launch(bind: &str, listen_url: &str, pool_url: &str, log: &Path) -> (Running, String) {
    let mut command = program(&["serve", "--bind", bind]);
    command
        .env("DATABASE_URL", pool_url)
        .env("LISTEN_DATABASE_URL", listen_url)
        .env("RATE_LIMITS", "off");
    let mut server = Running::logging(command, log);
    let base = server.line("listening on ").await;
    let address = base.trim_start_matches("http://").to_owned();
    (server, address)
}

async fn sign_in(base: &str) -> Http {
    let mut operator = Http::new(base);
    eventually("the server is ready", async || {
        operator.get("/readyz").send().await.status == 200
    })
    .await;
    let mut visitor = Http::new(base).on_page(ORIGIN);
    let password = "Correct-horse-7";
    let account = json!({
        "username": "oracle", "email": "", "password": password, "confirm_password": password,
    });
    for path in ["/api/register/", "/api/login/"] {
        let answer = timeout(
            Duration::from_mins(1),
            visitor.post(path).json(&account).send(),
        );
        let answer = answer.await.expect("it answers");
        assert!(answer.status < 300, "{path}: {}", answer.text());
    }
    visitor
}
