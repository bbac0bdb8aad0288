//! A real PgBouncer in front of one database, in transaction mode, on a Unix socket of its own. Its
//! directory and its process are gone when this value is dropped or the test process ends.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
};

use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::support::{postgres::Home, server::eventually};

/// The file name of the socket holds a port, which nobody listens on.
const PORT: u16 = 6432;

/// A running PgBouncer.
pub struct PgBouncer {
    /// The address of the database behind it.
    pub url: String,
    admin_url: String,
    process: Child,
    _home: Home,
}

impl PgBouncer {
    /// Pools up to `connections` to the database at `url`.
    pub async fn before(url: &str, connections: u8) -> Self {
        Self::with(url, connections, "").await
    }

    /// The same; it accepts the settings that a client starts with, and passes none on.
    pub async fn that_ignores_options(url: &str, connections: u8) -> Self {
        Self::with(url, connections, "ignore_startup_parameters = options\n").await
    }

    async fn with(url: &str, connections: u8, more: &str) -> Self {
        let config: tokio_postgres::Config =
            url.parse().expect("the tests' address is well-formed");
        let user = config.get_user().expect("it names a user");
        let password = String::from_utf8_lossy(config.get_password().expect("and a password"));
        let database = config.get_dbname().expect("and a database");
        let port = config.get_ports()[0];
        let home = Home::new();
        fs::create_dir(&home.dir).expect("the directory can be made");
        // Run by root, PgBouncer becomes somebody else, who must get in.
        fs::set_permissions(&home.dir, fs::Permissions::from_mode(0o777))
            .expect("the directory is ours");
        let dir = home.dir.display();
        let users = home.dir.join("users");
        fs::write(&users, format!("\"{user}\" \"{password}\"\n")).expect("it can be written");
        let settings = format!(
            "[databases]\n\
             {database} = host=127.0.0.1 port={port} dbname={database}\n\
             [pgbouncer]\n\
             listen_port = {PORT}\n\
             unix_socket_dir = {dir}\n\
             auth_type = scram-sha-256\n\
             auth_file = {users}\n\
             admin_users = {user}\n\
             pool_mode = transaction\n\
             default_pool_size = {connections}\n\
             max_client_conn = 200\n\
             {more}",
            users = users.display(),
        );
        let file = home.dir.join("pgbouncer.ini");
        fs::write(&file, settings).expect("it can be written");
        let address = |database: &str| {
            let dir = dir.to_string().replace('/', "%2F");
            format!("postgres://{user}:{password}@{dir}:{PORT}/{database}")
        };
        let mut pooler = Self {
            url: address(database),
            admin_url: address("pgbouncer"),
            process: spawn(&file, &home),
            _home: home,
        };
        eventually("PgBouncer accepts", async || {
            let ended = pooler.process.try_wait().expect("it can be asked");
            assert!(
                ended.is_none(),
                "pgbouncer did not start: `make test` installs it, or apt-get install pgbouncer"
            );
            tokio_postgres::connect(&pooler.url, NoTls).await.is_ok()
        })
        .await;
        pooler
    }

    /// Transactions that it has carried for clients.
    pub async fn transactions(&self) -> u64 {
        let admin = crate::support::postgres::connect(&self.admin_url).await;
        let stats = admin.simple_query("show stats").await.expect("it tells");
        let of_row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) if row.get("database") != Some("pgbouncer") => row
                .get("total_xact_count")
                .and_then(|count| count.parse::<u64>().ok()),
            _ => None,
        };
        stats.iter().filter_map(of_row).sum::<u64>()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Starts the program so that it ends with this process: its shell waits for the end of a pipe.
fn spawn(file: &Path, home: &Home) -> Child {
    const RUN: &str = r#"
        PATH=$PATH:/usr/sbin:/usr/local/sbin
        command -v pgbouncer >/dev/null || exit 127
        pgbouncer "$@" </dev/null &
        cat >/dev/null
        kill -INT $!
        wait
    "#;
    let mut command = Command::new("sh");
    command.args(["-c", RUN, "sh", "-q"]);
    if fs::metadata(&home.dir).is_ok_and(|dir| dir.uid() == 0) {
        command.args(["-u", "nobody"]);
    }
    command.arg(file).stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C ends the tests, not what cleans up behind them.
    command.process_group(0);
    command.spawn().expect("sh starts")
}
