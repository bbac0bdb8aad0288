//! Many servers on one database behind nginx, as processes of their own: what one writes all show,
//! what that costs, restarts one after another, and cold starts all at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{
    client::{Frame, Http, Socket},
    dashboard::Dashboard,
    metrics::metric,
    nginx::{self, Nginx, WHOLE},
    postgres::{self, PrivateCluster, private_cluster},
    program::{Running, program},
    server::{ORIGIN, SOON, eventually},
};

const WATCHED: Uuid = Uuid::from_u128(1);
const SEED: &str = "insert into sources (id, country) values
    ('00000000-0000-0000-0000-000000000001', 'one'),
    ('00000000-0000-0000-0000-000000000002', 'two')";

/// One server's process.
struct Node {
    running: Running,
    base: String,
    log: PathBuf,
}

impl Node {
    async fn start(url: &str, bind: &str, log: PathBuf) -> Self {
        let mut command = program(&["serve", "--bind", bind, "--pool-size", "8"]);
        command.env("DATABASE_URL", url);
        let mut running = Running::logging(command, &log);
        let base = running.line("listening on ").await;
        Self { running, base, log }
    }

    async fn ready(&mut self) {
        let mut operator = Http::new(&self.base);
        eventually("a node is ready", async || {
            let ended = self.running.child.try_wait().unwrap();
            assert_eq!(ended, None, "{}", fs::read_to_string(&self.log).unwrap());
            operator.get("/readyz").send().await.status == 200
        })
        .await;
    }

    /// SIGTERM, and the end that it asks for.
    async fn stop(&mut self) {
        self.running.signal("-TERM").await;
        let status = timeout(SOON, self.running.child.wait()).await;
        let status = status.expect("it stops").unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    fn address(&self) -> &str {
        self.base.strip_prefix("http://").expect("it is plain HTTP")
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("there is a log")
    }
}

/// A cluster that writes down who sent which statement, and nodes on it.
async fn nodes(count: usize) -> (PrivateCluster, Vec<Node>) {
    let cluster = private_cluster(&[("log_statement", "all"), ("log_line_prefix", "%a|%p|")]).await;
    let starts = (0..count).map(|n| {
        let log = cluster.data_dir().join(format!("node-{n}.log"));
        let url = cluster.url();
        async move { Node::start(&url, "127.0.0.1:0", log).await }
    });
    let mut nodes = join_all(starts).await;
    for node in &mut nodes {
        node.ready().await;
    }
    (cluster, nodes)
}

/// Somebody who has signed in; every node knows the session.
async fn visitor(base: &str, name: &str) -> Http {
    let mut visitor = Http::new(base).on_page(ORIGIN);
    let password = "Correct-horse-7";
    let account = json!({
        "username": name, "email": "", "password": password, "confirm_password": password,
    });
    for path in ["/api/register/", "/api/login/"] {
        let answer = visitor.post(path).json(&account).send().await;
        assert!(answer.status < 300, "{path}: {}", answer.text());
    }
    visitor
}

async fn count(dba: &Client, sql: &str) -> i64 {
    dba.query_one(sql, &[]).await.unwrap().get(0)
}

async fn patch(visitor: &mut Http, country: &str) -> u16 {
    let path = format!("/api/update-source/{WATCHED}/");
    let body = json!({ "country": country });
    visitor.call("PATCH", &path).json(&body).send().await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_cold_starts_on_an_empty_database_migrate_it_once() {
    let (cluster, mut nodes) = nodes(5).await;
    let logs: Vec<String> = nodes.iter().map(Node::log).collect();
    let migrated = logs.iter().filter(|log| log.contains("migrations applied"));
    assert_eq!(migrated.count(), 1, "{logs:#?}");
    for log in &logs {
        let mut lines = log.lines();
        // The machine of the test may allow few descriptors, and the server says so.
        let bad = lines.find(|line| {
            line.contains("ERROR") || line.contains("WARN") && !line.contains("ulimit")
        });
        assert_eq!(bad, None, "{log}");
    }
    let server = fs::read_to_string(cluster.data_dir().join("postgres.log")).unwrap();
    let errors: Vec<&str> = server
        .lines()
        .filter(|line| line.contains("ERROR:") || line.contains("FATAL:"))
        .filter(|line| line.starts_with("marketplace"))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for node in &mut nodes {
        assert_eq!(
            node.running.child.try_wait().unwrap(),
            None,
            "a node has ended"
        );
    }
    let dba = postgres::connect(&cluster.url()).await;
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations")).unwrap();
    let applied = "select count(*) from refinery_schema_history";
    assert_eq!(
        count(&dba, applied).await,
        i64::try_from(files.count()).unwrap()
    );
}

/// How often the nodes have read the sources because of a doubt.
async fn audit_reads(nodes: &[Node]) -> usize {
    let mut reads = 0;
    for node in nodes {
        let mut operator = Http::new(&node.base);
        let name = r#"marketplace_audit_reads_total{table="sources"}"#;
        reads += metric::<usize>(&mut operator, name)
            .await
            .expect("it is shown");
    }
    reads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_on_any_of_four_nodes_is_seen_on_all_for_one_read_a_view_and_node() {
    let (cluster, nodes) = nodes(4).await;
    let dba = postgres::connect(&cluster.url()).await;
    dba.batch_execute(SEED).await.unwrap();
    let listeners = "select count(*) from pg_stat_activity
                      where application_name = 'marketplace listener'";
    assert_eq!(
        count(&dba, listeners).await,
        4,
        "one LISTEN connection a node"
    );

    let somebody = visitor(&nodes[0].base, "somebody").await;
    let mut dashboards = Vec::new();
    for node in &nodes {
        let here = Http::new(&node.base)
            .on_page(ORIGIN)
            .with_cookies_of(&somebody);
        for _ in 0..3 {
            dashboards.push(Dashboard::open(&here, WATCHED).await);
        }
    }
    for (n, node) in nodes.iter().enumerate() {
        let mut here = Http::new(&node.base)
            .on_page(ORIGIN)
            .with_cookies_of(&somebody);
        assert_eq!(patch(&mut here, &format!("by node {n}")).await, 200);
        for dashboard in &mut dashboards {
            dashboard.agrees_with(&dba, WATCHED).await;
        }
    }

    // What a change costs PostgreSQL, by its own log; with three dashboards on each node.
    let log = cluster.data_dir().join("postgres.log");
    // In this order: what is read from here on because of a doubt is counted from here on too.
    let audited = audit_reads(&nodes).await;
    let before = fs::read_to_string(&log).unwrap().len();
    let changes = 10;
    for n in 0..changes {
        // It moves a count and a status, so that every view has something to read.
        let status = ["inactive", "active"][n % 2];
        let sql = "update sources set country = $1, status = $2 where id = $3";
        let country = format!("change {n}");
        dba.execute(sql, &[&country, &status, &WATCHED])
            .await
            .unwrap();
        for dashboard in &mut dashboards {
            dashboard.agrees_with(&dba, WATCHED).await;
        }
    }
    let text = fs::read_to_string(&log).unwrap()[before..].to_owned();
    // While it is not certain that everything was announced, a node reads once more in some seconds.
    let audited = audit_reads(&nodes).await - audited;
    let sent = |what: &str| {
        let statements = text.lines().filter(|line| line.starts_with("marketplace|"));
        statements
            .filter(|line| line.contains("execute") && line.contains(what))
            // The probes of the tables read no row.
            .filter(|line| !line.ends_with(" limit 0"))
            .count()
    };
    // On a machine that is too busy a node may lose its listener, and reads everything after the next LISTEN.
    let listened = text
        .lines()
        .filter(|line| line.starts_with("marketplace listener|"));
    let relistened = listened
        .filter(|line| line.to_lowercase().contains("listen "))
        .count();
    let rows = sent("next_status");
    let statuses = sent("select id, status from public.sources");
    let counts = sent("now() as at,");
    println!(
        "{changes} changes, 4 nodes, 12 dashboards, {audited} audits, {relistened} LISTEN: {rows} reads of rows (lists and watched \
         sources), {statuses} of statuses (events), {counts} of counts"
    );
    // Two views read rows, the list's and the watched sources'; two read statuses for their events.
    for (reads, views) in [(rows, 2), (statuses, 2), (counts, 1)] {
        let most = (changes * nodes.len() + audited + relistened) * views;
        assert!(reads <= most, "{reads} of {most}");
        assert!(
            reads >= changes * nodes.len(),
            "{reads}: not all reads were seen"
        );
    }
    assert_eq!(count(&dba, listeners).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_one_after_another_behind_nginx_lose_nobody_the_final_state() {
    let (cluster, mut nodes) = nodes(4).await;
    let dba = postgres::connect(&cluster.url()).await;
    dba.batch_execute(SEED).await.unwrap();
    let addresses: Vec<&str> = nodes.iter().map(Node::address).collect();
    let nginx = Nginx::start(&cluster.data_dir().join("nginx"), WHOLE, &addresses).await;
    let of_readme = cluster.data_dir().join("nginx-of-readme");
    let of_readme = Nginx::start(&of_readme, nginx::of_readme(), &addresses).await;
    let mut somebody = visitor(&nginx.base, "somebody").await;
    let somebody_else = visitor(&of_readme.base, "somebody_else").await;
    let watchers: Vec<Watcher> = (0..16)
        .map(|n| Watcher::start([&somebody, &somebody_else][n % 2]))
        .collect();
    let on_each = "select count(*) from pg_stat_activity where application_name = 'marketplace'";
    eventually("everybody watches", async || {
        watchers.iter().all(|watcher| watcher.shows().is_some())
    })
    .await;
    assert!(
        count(&dba, on_each).await >= 4,
        "nginx spreads them over all nodes"
    );

    let stop = CancellationToken::new();
    let written = Arc::new(AtomicUsize::new(0));
    let writer = {
        let (mut visitor, stop, written) = (somebody.clone(), stop.clone(), written.clone());
        tokio::spawn(async move {
            let mut refused = BTreeMap::new();
            while !stop.is_cancelled() {
                let country = format!("write {}", written.load(SeqCst));
                match patch(&mut visitor, &country).await {
                    200 => drop(written.fetch_add(1, SeqCst)),
                    status => *refused.entry(status).or_insert(0) += 1,
                }
            }
            refused
        })
    };
    let more_writes = async || {
        let before = written.load(SeqCst);
        eventually("people go on writing", async || {
            written.load(SeqCst) >= before + 20
        })
        .await;
    };
    for node in &mut nodes {
        let old = node.running.child.id();
        node.stop().await;
        more_writes().await;
        let log = node.log.with_extension("again.log");
        *node = Node::start(&cluster.url(), node.address(), log).await;
        assert_ne!(node.running.child.id(), old, "it was restarted");
        node.ready().await;
        more_writes().await;
    }
    stop.cancel();
    let refused = writer.await.unwrap();
    println!("{written:?} writes through nginx during four restarts, refused: {refused:?}");
    // nginx sends no PATCH a second time; one may meet the very moment of a stop.
    let refused: usize = refused.values().sum();
    assert!(
        refused <= 4,
        "{refused} writes were refused although three nodes served"
    );

    assert_eq!(patch(&mut somebody, "final").await, 200);
    eventually("everybody sees the final state", async || {
        watchers
            .iter()
            .all(|watcher| watcher.shows().as_deref() == Some("final"))
    })
    .await;
    for watcher in watchers {
        let connections = watcher.stop().await;
        assert!(connections > 1, "its node was not restarted");
    }
}

/// A page that shows the list and, as browsers' pages do, connects again whenever it is cut off.
struct Watcher {
    shown: tokio::sync::watch::Receiver<Option<String>>,
    stop: CancellationToken,
    task: JoinHandle<u32>,
}

impl Watcher {
    fn start(visitor: &Http) -> Self {
        let (sender, shown) = tokio::sync::watch::channel(None);
        let stop = CancellationToken::new();
        let (visitor, stopped) = (visitor.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut connections = 0;
            loop {
                if let Ok(socket) = Socket::open(&visitor, "/ws/read_source/").await {
                    connections += 1;
                    tokio::select! {
                        () = follow(socket, &sender) => {}
                        () = stopped.cancelled() => return connections,
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self { shown, stop, task }
    }

    /// The watched source's country.
    fn shows(&self) -> Option<String> {
        self.shown.borrow().clone()
    }

    /// How often it has connected.
    async fn stop(self) -> u32 {
        self.stop.cancel();
        self.task.await.expect("it does not panic")
    }
}

/// Shows what comes until the socket ends.
async fn follow(socket: Socket, shown: &tokio::sync::watch::Sender<Option<String>>) {
    let mut seen = 0;
    while socket.closed().is_none() {
        for frame in socket.frames_from(seen) {
            seen += 1;
            let Frame::Text(text) = frame else {
                panic!("no socket sends binary frames")
            };
            let list: Value = serde_json::from_str(&text).expect("frames are JSON");
            let rows = list["data"].as_array().expect("a list has data");
            let id = WATCHED.to_string();
            let watched = rows
                .iter()
                .find(|row| row["id"] == id.as_str())
                .expect("it is there");
            shown.send_replace(watched["country"].as_str().map(ToOwned::to_owned));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
