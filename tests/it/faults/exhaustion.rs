//! Things that run out: descriptors, PostgreSQL's connections, the pool, the disk. Each is shown to
//! have run out; then what people and operators are told, and that it is over by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::support::{
    client::{Http, Response},
    dashboard::Dashboard,
    postgres::{self, Home, private_cluster},
    processes::{Process, until},
    program::{PROGRAM, Running, command, program},
    server::{ORIGIN, TestServer, database, eventually},
};

const WATCHED: Uuid = Uuid::from_u128(1);
const SEED: &str = "insert into sources (id, country) values
    ('00000000-0000-0000-0000-000000000001', 'one'),
    ('00000000-0000-0000-0000-000000000002', 'two')";
/// What people are promised, and something for a busy machine.
const TWO_SECONDS: Duration = Duration::from_millis(2500);

async fn patch(visitor: &mut Http, country: &str) -> Response {
    let path = format!("/api/update-source/{WATCHED}/");
    let asked = Instant::now();
    let body = json!({ "country": country });
    let answer = visitor.call("PATCH", &path).json(&body).send().await;
    assert!(asked.elapsed() < TWO_SECONDS, "{:?}", asked.elapsed());
    answer
}

async fn count(dba: &Client, sql: &str) -> i64 {
    dba.query_one(sql, &[]).await.unwrap().get(0)
}

/// Waits until `/readyz` answers 503 with these words.
async fn unready(base: &str, words: &str) {
    let mut operator = Http::new(base);
    eventually(&format!("/readyz says {words:?}"), async || {
        let ready = operator.get("/readyz").send().await;
        ready.status == 503 && ready.text().contains(words)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_beyond_the_descriptors_are_told_so_and_let_in_when_there_are_some() {
    let database = database().await;
    let script = format!("ulimit -n 48; exec {PROGRAM} serve --bind 127.0.0.1:0");
    let mut command = command("sh", &["-c", &script]);
    command.env("DATABASE_URL", &database.url);
    let mut server = Running::start(command);
    let base = server.line("listening on ").await;
    let mut operator = Http::new(&base);
    eventually("the server is ready", async || {
        operator.get("/readyz").send().await.status == 200
    })
    .await;
    let process = Process(server.child.id().expect("it runs"));
    let open = || {
        fs::read_dir(format!("/proc/{}/fd", process.0))
            .unwrap()
            .count()
    };

    let mut early = Address(operator.address().connect().await.unwrap());
    assert!(early.ask("/readyz").await.starts_with("HTTP/1.1 200"));
    let mut idle = Vec::new();
    eventually("no descriptor is left", async || {
        idle.push(operator.address().connect().await.unwrap());
        open() >= 48
    })
    .await;
    // A few more that wait in vain.
    for _ in 0..5 {
        idle.push(operator.address().connect().await.unwrap());
    }
    let busy = process.cpu_ticks();
    let answer = operator.get("/healthz").send().await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.json()["detail"].is_string());
    assert_eq!(answer.header("retry-after"), Some("1"));
    // Who was let in before is served, and told what is the matter.
    let ready = early.ask("/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(
        ready.contains("all 48 file descriptors are in use"),
        "{ready}"
    );
    let watched = Instant::now();
    eventually("a second has passed", async || {
        watched.elapsed() > Duration::from_secs(1)
    })
    .await;
    let ticks = process.cpu_ticks() - busy;
    // A hundred ticks are a second.
    assert!(ticks < 30, "the process spins: {ticks} ticks");

    drop(idle);
    eventually("the server is ready again", async || {
        operator.get("/readyz").send().await.status == 200
    })
    .await;
    assert!(open() < 48);
}

/// A connection that is kept for more requests.
struct Address(TcpStream);

impl Address {
    async fn ask(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        // Each answer is one JSON object.
        while !text.ends_with('}') {
            let mut bytes = [0; 1024];
            let read = self.0.read(&mut bytes).await.unwrap();
            assert!(read > 0, "it hung up after {text}");
            text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        text
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_postgresql_is_named_and_what_is_connected_goes_on() {
    let cluster = private_cluster(&[("max_connections", "12")]).await;
    let url = cluster.url();
    let server = TestServer::on(&url, &[]).await;
    let mut visitor = server.visitor("somebody").await;
    let dba = postgres::connect(&url).await;
    dba.batch_execute(SEED).await.unwrap();
    let mut others = Vec::new();
    fill(&url, &mut others).await;

    // With the few connections that it has, the server serves more requests than those at once.
    let ours = count(
        &dba,
        "select count(*) from pg_stat_activity where application_name = 'marketplace'",
    )
    .await;
    assert!((1..8).contains(&ours), "{ours}");
    let requests = (0..16).map(|_| {
        let mut visitor = visitor.clone();
        async move { visitor.get("/api/read-source/").send().await.status }
    });
    let statuses = futures_util::future::join_all(requests).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");

    // Others take those too; the server may be quicker a few times.
    let mut answer = None;
    eventually("the server has no connection", async || {
        let end = "select pg_terminate_backend(pid) from pg_stat_activity
                    where application_name like 'marketplace%'";
        dba.query(end, &[]).await.unwrap();
        fill(&url, &mut others).await;
        let left =
            "select count(*) from pg_stat_activity where application_name like 'marketplace%'";
        let alone = count(&dba, left).await == 0;
        let patched = patch(&mut visitor, "nowhere").await;
        let refused = patched.status != 200;
        answer = Some(patched);
        alone && refused
    })
    .await;
    let answer = answer.expect("it was asked");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.json()["detail"].is_string());
    unready(&server.base, "too many clients").await;

    drop(others);
    server.ready().await;
    eventually("writes work", async || {
        patch(&mut visitor, "again").await.status == 200
    })
    .await;
}

/// Connects until PostgreSQL has no room.
async fn fill(url: &str, others: &mut Vec<Client>) {
    loop {
        match tokio_postgres::connect(url, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                others.push(client);
            }
            Err(error) => {
                let code = error.code().map(tokio_postgres::error::SqlState::code);
                assert_eq!(code, Some("53300"), "{error}");
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_behind_a_lock_are_answered_in_time_and_leave_nothing_behind() {
    let (server, database) = TestServer::start().await;
    let mut visitor = server.visitor("somebody").await;
    let mut dba = database.connect().await;
    let observer = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    let lock = dba.transaction().await.unwrap();
    lock.batch_execute("lock table sources in access exclusive mode")
        .await
        .unwrap();
    let waiting = "select count(*) from pg_stat_activity
                    where wait_event_type = 'Lock' and application_name = 'marketplace'
                      and datname = current_database()";

    let requests = (0..8).map(|n| {
        let mut visitor = visitor.clone();
        tokio::spawn(async move { patch(&mut visitor, &format!("behind {n}")).await })
    });
    let requests: Vec<_> = requests.collect();
    eventually("the whole pool waits for the lock", async || {
        count(&observer, waiting).await == 8
    })
    .await;
    // More find no connection at first, and then perhaps one that has to wait; the server says why.
    let late = (0..6).map(|n| {
        let mut visitor = visitor.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(200) * n).await;
            patch(&mut visitor, &format!("behind {n}")).await
        })
    });
    let late: Vec<_> = late.collect();
    unready(&server.base, "all 8 connections of the pool are busy").await;
    for request in requests.into_iter().chain(late) {
        let answer = request.await.unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.json()["detail"].is_string());
    }
    // What people were told has failed does not happen later, nor does it take up PostgreSQL.
    eventually("nothing waits any more", async || {
        count(&observer, waiting).await == 0
    })
    .await;
    // A table that nobody can read is said to be locked, until it is not.
    unready(&server.base, "locked by pid").await;
    lock.commit().await.unwrap();
    server.ready().await;
    let behind = "select count(*) from sources where country like 'behind%'";
    assert_eq!(count(&observer, behind).await, 0);
    assert_eq!(patch(&mut visitor, "written").await.status, 200);
}

/// The program with a private cluster on a disk of 96 MB that nobody else sees and that goes with it.
struct SmallDisk {
    server: Running,
    base: String,
    url: String,
    disk: PathBuf,
    _home: Home,
}

impl SmallDisk {
    /// `None` where this user may not mount anything.
    async fn start() -> Option<Self> {
        let mount = "mount -t tmpfs -o size=96m,mode=755 none";
        let try_out = format!("unshare --mount sh -c '{mount} /mnt'");
        let may_mount = std::process::Command::new("sh")
            .args(["-c", &try_out])
            .status();
        if !may_mount.is_ok_and(|status| status.success()) {
            return None;
        }
        let home = Home::new();
        fs::create_dir(&home.dir).unwrap();
        let data_dir = home.dir.join("data");
        let script = format!(
            "{mount} {} && exec {PROGRAM} serve --embedded --bind 127.0.0.1:0 --data-dir {}",
            home.dir.display(),
            data_dir.display()
        );
        let command = command("unshare", &["--mount", "sh", "-c", &script]);
        let mut server = Running::start(command);
        let base = server.line("listening on ").await;
        let root = PathBuf::from(format!(
            "/proc/{}/root",
            server.child.id().expect("it runs")
        ));
        let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap());
        let (disk, data_dir) = (inside(&home.dir), inside(&data_dir));
        let password = fs::read_to_string(data_dir.join("password")).unwrap();
        let conf = fs::read_to_string(data_dir.join("cluster/marketplace.conf")).unwrap();
        let port = conf
            .lines()
            .find_map(|line| line.strip_prefix("port = "))
            .unwrap();
        let url = format!(
            "postgres://marketplace:{}@127.0.0.1:{port}/marketplace",
            password.trim()
        );
        // The role of the address is no superuser, and a test has to use up the space of the log of changes.
        let (admin, connection) = tokio_postgres::Config::new()
            .host_path(data_dir.join("socket"))
            .port(port.parse().unwrap())
            .user("marketplace_admin")
            .dbname("marketplace")
            .connect(NoTls)
            .await
            .expect("root gets in through the socket");
        tokio::spawn(connection);
        admin
            .batch_execute("grant execute on function pg_catalog.pg_switch_wal() to marketplace")
            .await
            .unwrap();
        Some(Self {
            server,
            base,
            url,
            disk,
            _home: home,
        })
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let ballast = self.disk.join("ballast");
        let filled = std::process::Command::new("dd")
            .arg("if=/dev/zero")
            .arg(format!("of={}", ballast.display()))
            .args(["bs=4k", "conv=notrunc", "oflag=append"])
            .output()
            .expect("dd starts");
        let text = String::from_utf8_lossy(&filled.stderr).into_owned();
        assert!(text.contains("No space left"), "{text}");
    }

    fn free(&self) {
        fs::remove_file(self.disk.join("ballast")).unwrap();
    }

    fn postmaster(&self) -> Option<Process> {
        let text = fs::read_to_string(self.disk.join("data/cluster/postmaster.pid")).ok()?;
        Some(Process(text.lines().next()?.parse().ok()?))
    }

    async fn stop(mut self) {
        self.server.signal("-TERM").await;
        let status = self.server.child.wait().await.unwrap();
        assert_eq!(status.code(), Some(0));
    }

    async fn visitor(&self) -> Http {
        let mut visitor = Http::new(&self.base).on_page(ORIGIN);
        let password = "Correct-horse-7";
        let account = json!({
            "username": "somebody", "email": "", "password": password,
            "confirm_password": password,
        });
        for path in ["/api/register/", "/api/login/"] {
            let answer = visitor.post(path).json(&account).send().await;
            assert!(answer.status < 300, "{path}: {}", answer.text());
        }
        visitor
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_writes_not_reads_and_a_crash_on_it_is_survived() {
    let Some(small) = SmallDisk::start().await else {
        eprintln!("NOT COVERED: this user may not mount, so nobody has seen a full disk");
        return;
    };
    let dba = postgres::connect(&small.url).await;
    dba.batch_execute(SEED).await.unwrap();
    let mut visitor = small.visitor().await;
    let mut dashboard = Dashboard::open(&visitor, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;

    small.fill();
    let long = "x".repeat(255);
    let source = json!({ "created_by": "me", "country": &long, "data_vendor": &long, "panel": &long, "data_type": &long });
    let mut answer = None;
    eventually("a write fails", async || {
        // Pages that are there already still take some.
        let added = visitor.post("/api/add-source/").json(&source).send().await;
        let failed = added.status != 201;
        answer = Some(added);
        failed
    })
    .await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, 507, "{}", answer.text());
    assert!(answer.text().contains("no space left"), "{}", answer.text());
    unready(&small.base, "no space left").await;
    assert_eq!(visitor.get("/api/read-source/").send().await.status, 200);
    dashboard.agrees_with(&dba, WATCHED).await;
    Dashboard::open(&visitor, WATCHED)
        .await
        .agrees_with(&dba, WATCHED)
        .await;

    small.free();
    eventually("a write works", async || {
        visitor
            .post("/api/add-source/")
            .json(&source)
            .send()
            .await
            .status
            == 201
    })
    .await;
    dashboard.agrees_with(&dba, WATCHED).await;
    let mut operator = Http::new(&small.base);
    assert_eq!(operator.get("/readyz").send().await.status, 200);

    // Without room for its log of changes PostgreSQL gives up, and cannot start again.
    let before = small.postmaster().expect("it runs");
    small.fill();
    eventually("PostgreSQL crashes", async || {
        let _ = dba
            .batch_execute("select pg_switch_wal(); create table if not exists w ()")
            .await;
        small.fill();
        !before.is_alive() || dba.is_closed()
    })
    .await;
    until("PostgreSQL has ended", || !before.is_alive()).await;
    unready(&small.base, "the database is not available").await;
    small.free();
    eventually("the server is ready", async || {
        operator.get("/readyz").send().await.status == 200
    })
    .await;
    assert_ne!(small.postmaster(), Some(before));
    let dba = postgres::connect(&small.url).await;
    eventually("a write works", async || {
        patch(&mut visitor, "after").await.status == 200
    })
    .await;
    dashboard.agrees_with(&dba, WATCHED).await;
    small.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_cluster_that_dies_is_started_again() {
    let home = Home::with_cluster().await;
    let data_dir = home.dir.to_str().unwrap();
    let arguments = [
        "serve",
        "--embedded",
        "--bind",
        "127.0.0.1:0",
        "--data-dir",
        data_dir,
    ];
    let mut server = Running::start(program(&arguments));
    let account = server.line("sign in as: ").await;
    let base = server.line("listening on ").await;
    let (name, password) = account.split_once(" / ").expect("a name and a password");
    let mut visitor = Http::new(&base).on_page(ORIGIN);
    let body = json!({ "username": name, "password": password });
    eventually("the account works", async || {
        visitor.post("/api/login/").json(&body).send().await.status == 200
    })
    .await;
    let added = visitor
        .post("/api/add-source/")
        .json(&json!({ "created_by": "me", "country": "kept" }))
        .send()
        .await;
    assert_eq!(added.status, 201, "{}", added.text());
    let mut list = crate::support::server::open(&visitor, "/ws/read_source/").await;
    list.next_json(crate::support::server::SOON).await;

    let killed = crate::cli::embedded::server(&home.dir);
    killed.signal("KILL");
    assert!(!killed.is_alive(), "PostgreSQL is dead");
    eventually("a write works", async || {
        let sent = visitor
            .post("/api/add-source/")
            .json(&json!({ "created_by": "me", "country": "after" }));
        sent.send().await.status == 201
    })
    .await;
    assert_ne!(crate::cli::embedded::server(&home.dir), killed);
    eventually("the page shows both", async || {
        let shown = list.next_json(crate::support::server::SOON).await;
        let text = shown.to_string();
        text.contains("kept") && text.contains("after")
    })
    .await;
    server.signal("-TERM").await;
    let status = server.child.wait().await.unwrap();
    assert_eq!(status.code(), Some(0));
}
