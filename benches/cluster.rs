//! A throw-away PostgreSQL cluster of this run's own, and a fresh migrated database for each row.

use std::{
    ops::Deref,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use marketplace::{
    db::migrate,
    embedded::{self, Cluster},
    pg::dsn::Dsn,
};
use tokio_postgres::{Client, NoTls};

use crate::Result;

/// Settings of the whole run. Surviving a crash of the machine is turned on where it is measured.
const SETTINGS: [(&str, &str); 8] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("shared_buffers", "256MB"),
    ("max_wal_size", "4GB"),
    ("max_connections", "100"),
    ("autovacuum", "off"),
    // Parallel workers would make one statement's reads look like several.
    ("max_parallel_workers_per_gather", "0"),
];

/// A cluster that is removed when this process ends, in whatever way.
pub(crate) struct Throwaway {
    cluster: Cluster,
    directory: PathBuf,
    sweeper: Child,
}

/// Makes and starts it.
pub(crate) async fn start() -> Result<Throwaway> {
    // Its standard input ends when this process does.
    const SWEEP: &str = r#"
        cat >/dev/null
        for i in $(seq 300); do [ -e "$1/cluster/postmaster.pid" ] || break; sleep 0.1; done
        rm -rf "$1"
    "#;
    let directory =
        std::env::temp_dir().join(format!("marketplace-bench-{:016x}", rand::random::<u64>()));
    let mut sweeper = Command::new("sh");
    sweeper
        .args(["-c", SWEEP, "sh"])
        .arg(&directory)
        .current_dir("/");
    sweeper
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Ctrl-C ends the benchmark, not what cleans up behind it.
    let sweeper = sweeper.process_group(0).spawn()?;
    let settings = SETTINGS
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let options = embedded::Options {
        data_dir: directory.clone(),
        port: None,
        settings,
    };
    let cluster = Cluster::start(options).await?;
    // The benchmarks make databases.
    connect(&cluster.admin_url())
        .await?
        .batch_execute("alter role marketplace superuser")
        .await?;
    Ok(Throwaway {
        cluster,
        directory,
        sweeper,
    })
}

impl Throwaway {
    /// Stops the server and removes its files.
    pub(crate) async fn stop(self) -> Result<()> {
        let Self {
            cluster,
            directory,
            mut sweeper,
        } = self;
        cluster.stop().await?;
        drop(sweeper.stdin.take());
        sweeper.wait()?;
        assert!(!directory.exists(), "the cluster is still there");
        Ok(())
    }

    /// Where the server writes what it was told to log.
    pub(crate) fn log(&self) -> PathBuf {
        self.cluster.data_dir().join("postgres.log")
    }
}

impl Deref for Throwaway {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

/// A row's own database, with the product's schema.
pub(crate) struct Database {
    url: String,
    /// A plain connection, as a DBA would have.
    pub(crate) client: Client,
}

impl Database {
    /// A new one.
    pub(crate) async fn new(cluster: &Cluster, name: &str) -> Result<Self> {
        connect(&cluster.url())
            .await?
            .batch_execute(&format!("create database {name}"))
            .await?;
        let url = cluster.url();
        let (server, _) = url.rsplit_once('/').ok_or("an address has a path")?;
        let url = format!("{server}/{name}");
        let dsn: Dsn = url.parse()?;
        migrate::run(&dsn, "Europe/Paris").await?;
        Ok(Self {
            client: connect(&url).await?,
            url,
        })
    }

    /// Its address, with the password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Another plain connection.
    pub(crate) async fn connect(&self) -> Result<Client> {
        connect(&self.url).await
    }

    /// What PostgreSQL says it is.
    pub(crate) async fn server_version(&self) -> Result<String> {
        let row = self.client.query_one("show server_version", &[]).await?;
        Ok(format!("PostgreSQL {}", row.get::<_, &str>(0)))
    }

    /// Fills `sources` with active rows that look like a catalogue's; `number` counts from 1 and
    /// the row of number 1 is the newest.
    pub(crate) async fn fill(&self, rows: i32) -> Result<()> {
        let statement = "insert into sources (created_at, created_by, country, data_vendor, panel,
                scope_of_subscription, data_type, end_date, current_update, next_update)
            select now() - n * interval '1 minute', 'user_' || n % 17, 'Country ' || n % 60,
                initcap(substr(md5(n::text), 1, 8)), 'Panel ' || n,
                substr(md5('s' || n), 1, 24), substr(md5('t' || n), 1, 12),
                current_date + 365, current_date + (n % 5 - 2), current_date + n % 30
            from generate_series(1, $1::integer) n";
        self.client.execute(statement, &[&rows]).await?;
        self.client.batch_execute("vacuum analyze sources").await?;
        Ok(())
    }
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
