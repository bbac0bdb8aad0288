//! Throw-away PostgreSQL clusters for the tests, made with the program's own code for its private
//! cluster.
//!
//! A cluster is a copy of a template that initdb made once and that is kept below `target/`. It
//! lives in memory where there is enough, else in the system's temporary directory, and is removed
//! when the test process ends, in whatever way. It never uses a server that runs already.

pub mod standby;
mod tls;
pub mod version;

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use marketplace::embedded::{Cluster, EmbeddedError, Options};
use tokio::sync::{Mutex, OnceCell};
use tokio_postgres::{Client, NoTls};

pub use self::tls::{Authority, Certificate, TlsCluster, chmod, tls_cluster};

/// What the tests' clusters do without: surviving a crash of the machine.
const SETTINGS: [(&str, &str); 6] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("shared_buffers", "32MB"),
    ("max_connections", "300"),
    ("autovacuum", "off"),
];

/// How much room in memory makes it the place for clusters.
const ENOUGH_KIB: u64 = 4 << 20;

/// The cluster that the tests of this process share, started by the first who asks.
pub async fn cluster() -> &'static TestCluster {
    static CLUSTER: OnceCell<TestCluster> = OnceCell::const_new();
    let start = || async {
        TestCluster {
            cluster: private_cluster(&[]).await,
            creating: Mutex::new(()),
        }
    };
    CLUSTER.get_or_init(start).await
}

/// A cluster of one test's own, to be restarted, stopped or broken. The settings win over those of
/// all tests.
pub async fn private_cluster(settings: &[(&str, &str)]) -> PrivateCluster {
    let home = Home::with_cluster().await;
    match Cluster::start(options(&home.dir, settings)).await {
        Ok(cluster) => PrivateCluster { cluster, home },
        Err(EmbeddedError::OtherVersion { .. }) => {
            // PostgreSQL was replaced by another major version since the template was made.
            fs::remove_dir_all(template_dir()).expect("the template can be removed");
            Box::pin(private_cluster(settings)).await
        }
        Err(error) => panic!("PostgreSQL does not start: {error}"),
    }
}

/// The shared cluster.
pub struct TestCluster {
    cluster: PrivateCluster,
    creating: Mutex<()>,
}

impl TestCluster {
    /// A new database: empty, or a copy of another one to which nobody is connected at this moment.
    pub async fn database(&self, template: Option<&str>) -> TestDatabase {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let template = template.unwrap_or("template1");
        let admin = connect(&self.cluster.url()).await;
        // Two copies of one template at once: PostgreSQL refuses the second.
        let _one_at_a_time = self.creating.lock().await;
        let create = format!("create database {name} template {template}");
        admin
            .batch_execute(&create)
            .await
            .expect("the database can be made");
        TestDatabase {
            url: with_database(&self.cluster.url(), &name),
            psql: self.cluster.psql(),
            admin_url: self.cluster.url(),
            name,
        }
    }
}

/// A database of one test, dropped with this value.
pub struct TestDatabase {
    /// The address, with the password.
    pub url: String,
    /// The database's name.
    pub name: String,
    admin_url: String,
    psql: String,
}

impl TestDatabase {
    /// A plain connection, as a DBA would have.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// A role of its own that may do nothing but connect, and its connection.
    pub async fn connect_as_stranger(&self) -> (String, Client) {
        let role = format!("idler_{}", self.name);
        let create = format!("create role {role} login password 'geheim'");
        self.connect().await.batch_execute(&create).await.unwrap();
        let (_, server) = self.url.split_once('@').unwrap();
        let client = connect(&format!("postgres://{role}:geheim@{server}")).await;
        (role, client)
    }

    /// Runs a script through the real psql, which stops at the first error.
    pub async fn psql(&self, script: &str) -> Output {
        psql(&self.psql, &self.name, script).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let url = self.admin_url.clone();
        let statement = format!("drop database if exists {} with (force)", self.name);
        // The test's runtime is about to end, and nobody waits: what is not dropped in time goes
        // with the cluster.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime starts").block_on(async {
                let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await else {
                    return;
                };
                let drop = async move { client.batch_execute(&statement).await };
                let _ = tokio::join!(drop, connection);
            });
        });
    }
}

/// A cluster whose directory is removed when this value is dropped or the process ends.
pub struct PrivateCluster {
    cluster: Cluster,
    home: Home,
}

impl PrivateCluster {
    /// A new database in it, which has been migrated.
    pub async fn database(&self, name: &str) -> TestDatabase {
        let database = self.empty_database(name).await;
        let dsn = database.url.parse();
        let dsn = dsn.expect("the tests' address is well-formed");
        marketplace::db::migrate::run(&dsn, "Europe/Paris")
            .await
            .expect("an empty database can be migrated");
        database
    }

    /// A new database in it.
    pub async fn empty_database(&self, name: &str) -> TestDatabase {
        let admin_url = self.cluster.url();
        let admin = connect(&admin_url).await;
        let create = format!("create database {name}");
        admin
            .batch_execute(&create)
            .await
            .expect("the database can be made");
        TestDatabase {
            url: with_database(&admin_url, name),
            name: name.to_owned(),
            psql: self.cluster.psql(),
            admin_url,
        }
    }

    /// Stops the server and waits for that; the data is kept until the returned value is dropped.
    pub async fn stop(self) -> Home {
        self.cluster.stop().await.expect("the server stops");
        self.home
    }
}

impl Deref for PrivateCluster {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl DerefMut for PrivateCluster {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
}

/// A data directory and the process that removes it.
pub struct Home {
    pub dir: PathBuf,
    sweeper: Child,
}

impl Home {
    /// A data directory in which initdb has already run.
    pub async fn with_cluster() -> Self {
        let template = template().await;
        let home = Self::new();
        copy(&template, &home.dir);
        home
    }

    /// A name in memory or in the system's temporary directory; nothing is made there.
    pub fn new() -> Self {
        // Ends when this process does: its standard input is a pipe that this process holds.
        const SWEEP: &str = r#"
            cat >/dev/null
            for i in $(seq 300); do find "$1" -name postmaster.pid | grep -q . || break; sleep 0.1; done
            rm -rf "$1"
        "#;
        let dir = scratch().join(format!("marketplace-{:016x}", rand::random::<u64>()));
        let mut sweeper = Command::new("sh");
        sweeper
            .args(["-c", SWEEP, "sh"])
            .arg(&dir)
            .current_dir("/")
            .stdin(Stdio::piped());
        // It outlives this process, whose output somebody may read to its end.
        sweeper.stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C ends the tests, not what cleans up behind them.
        sweeper.process_group(0);
        Self {
            dir,
            sweeper: sweeper.spawn().expect("sh starts"),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.sweeper.stdin.take());
    }
}

/// A connection whose other half runs in the background of the test.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("the database accepts");
    tokio::spawn(connection);
    client
}

/// Pastes the command that opens a cluster into a shell, with a script as its input.
pub async fn psql(command: &str, database: &str, script: &str) -> Output {
    let command = format!("{command} -d {database} -X -q -A -t -v ON_ERROR_STOP=1");
    let script = script.to_owned();
    let run = move || {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut shell = shell.spawn().expect("sh starts");
        let mut input = shell.stdin.take().expect("it is piped");
        // Read while writing, or a script with much output would block both sides.
        std::thread::spawn(move || input.write_all(script.as_bytes()));
        shell.wait_with_output().expect("psql ends")
    };
    tokio::task::spawn_blocking(run).await.expect("psql runs")
}

/// The same address with another database.
pub fn with_database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("an address has a path");
    format!("{server}/{name}")
}

/// The options of a cluster for tests; the settings win over those of all tests.
pub fn options(data_dir: &Path, settings: &[(&str, &str)]) -> Options {
    let settings = SETTINGS.iter().chain(settings);
    let settings = settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Options {
        data_dir: data_dir.to_owned(),
        port: None,
        settings,
    }
}

/// The template, made by the first process that needs it.
async fn template() -> PathBuf {
    let dir = template_dir();
    let lock =
        File::create(dir.with_extension("lock")).expect("the target directory can be written");
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await;
    let _lock = lock
        .expect("the lock is waited for")
        .expect("the lock works");
    if !dir.exists() {
        make_template(&dir).await;
    }
    dir
}

/// Makes the role of the address a superuser: the tests make databases and roles, and do what a DBA may.
async fn allow_everything(cluster: &Cluster) {
    let admin = connect(&cluster.admin_url()).await;
    admin
        .batch_execute("alter role marketplace superuser")
        .await
        .expect("the superuser makes others");
}

/// The template's name changes with the code that makes it.
fn template_dir() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    for code in [
        include_str!("../../../src/embedded/home.rs"),
        include_str!("../../../src/embedded/roles.rs"),
        include_str!("postgres.rs"),
    ] {
        code.hash(&mut hasher);
    }
    let name = format!("postgres-template-{:016x}", hasher.finish());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

async fn make_template(dir: &Path) {
    // The server's user may not get into the target directory, but the one who copies does.
    let home = Home::new();
    let cluster = Cluster::start(options(&home.dir, &[]))
        .await
        .expect("PostgreSQL starts");
    assert_eq!(
        cluster.data_dir(),
        home.dir,
        "PostgreSQL's user can't get to the directory of the tests"
    );
    allow_everything(&cluster).await;
    cluster.stop().await.expect("PostgreSQL stops");
    // Its port would be the first choice of every copy.
    fs::remove_file(home.dir.join("cluster/marketplace.conf")).expect("the settings were written");
    let unfinished = dir.with_extension("new");
    let _ = fs::remove_dir_all(&unfinished);
    copy(&home.dir, &unfinished);
    fs::rename(&unfinished, dir).expect("the template gets its name");
}

/// Where clusters live: a copy of the template takes a tenth of the time in memory. Containers often
/// have too little there.
pub fn scratch() -> PathBuf {
    let df = Command::new("df").args(["-Pk", "/dev/shm"]).output();
    let table = df
        .map(|df| String::from_utf8_lossy(&df.stdout).into_owned())
        .unwrap_or_default();
    let kibibytes = table
        .lines()
        .nth(1)
        .and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    if kibibytes.is_some_and(|free: u64| free >= ENOUGH_KIB) {
        PathBuf::from("/dev/shm")
    } else {
        std::env::temp_dir()
    }
}

/// Copies a directory with the owners of its files.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .expect("cp starts");
    assert!(
        copied.success(),
        "{} could not be copied to {}",
        from.display(),
        to.display()
    );
}
