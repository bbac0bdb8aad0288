//! The private cluster: what it survives, what it refuses, who gets in.
//!
//! Needs /proc to look at processes, so Linux.

mod links;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use marketplace::embedded::{Cluster, EmbeddedError, Options, StopMode};

use crate::support::{
    postgres::{self, Home, connect, options, psql},
    processes::{Process, until},
    server::TestServer,
};

#[tokio::test]
async fn a_second_start_finds_the_data_port_and_password_of_the_first() {
    let home = Home::new();
    let first = Cluster::start(options(&home.dir, &[])).await.unwrap();
    write_row(&first).await;
    let url = first.url();
    first.stop().await.unwrap();
    assert!(
        tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .is_err(),
        "it still runs"
    );

    let second = Cluster::start(options(&home.dir, &[])).await.unwrap();
    assert_eq!(second.url(), url);
    assert_row(&second).await;
}

#[tokio::test]
async fn a_restart_keeps_the_address_and_ends_sessions() {
    let mut cluster = postgres::private_cluster(&[]).await;
    write_row(&cluster).await;
    for mode in [StopMode::Fast, StopMode::Immediate] {
        let (url, before) = (cluster.url(), server(cluster.data_dir()));
        let session = connect(&url).await;
        cluster.restart(mode).await.unwrap();
        assert_eq!(cluster.url(), url);
        assert_ne!(server(cluster.data_dir()), before);
        session.batch_execute("select 1").await.unwrap_err();
        assert_row(&cluster).await;
    }
}

/// The test starts itself as the program that is killed; the second of its arguments is then a data directory.
#[tokio::test]
async fn a_killed_program_takes_its_server_with_it_and_can_be_started_at_once() {
    if let Some(data_dir) = argument() {
        let cluster = Cluster::start(options(&data_dir, &[])).await.unwrap();
        write_row(&cluster).await;
        return hold(&cluster);
    }
    let home = Home::with_cluster().await;
    let name = "a_killed_program_takes_its_server_with_it_and_can_be_started_at_once";
    let mut program = Program::start(name, &home.dir);
    let left = server(&home.dir);
    assert!(left.is_alive());
    program.kill();
    until("the server ends without its program", || !left.is_alive()).await;

    let mut program = Program::start(name, &home.dir);
    program.kill();
    let cluster = Cluster::start(options(&home.dir, &[])).await.unwrap();
    assert_row(&cluster).await;
}

#[tokio::test]
async fn a_killed_test_leaves_no_cluster() {
    if argument().is_some() {
        let cluster = postgres::private_cluster(&[]).await;
        return hold(&cluster);
    }
    let mut program = Program::start("a_killed_test_leaves_no_cluster", Path::new("/unused"));
    assert!(program.data_dir.exists());
    program.kill();
    until("the directory is removed", || !program.data_dir.exists()).await;
}

#[tokio::test]
async fn a_server_whose_watchdog_was_killed_is_stopped_by_the_next_start() {
    let home = Home::with_cluster().await;
    let cluster = Cluster::start(options(&home.dir, &[])).await.unwrap();
    write_row(&cluster).await;
    let left = server(&home.dir);
    kill_watchdog(left);
    drop(cluster);
    assert!(left.is_alive(), "nothing is left to be stopped");

    let cluster = Cluster::start(options(&home.dir, &[])).await.unwrap();
    assert!(!left.is_alive());
    assert_row(&cluster).await;

    let orphan = server(&home.dir);
    kill_watchdog(orphan);
    cluster.stop().await.unwrap();
    assert!(!orphan.is_alive(), "stopping needs the watchdog");
}

#[tokio::test]
async fn a_stale_postmaster_pid_stops_neither_the_start_nor_a_stranger() {
    let home = Home::with_cluster().await;
    let cluster = Cluster::start(options(&home.dir, &[])).await.unwrap();
    write_row(&cluster).await;
    let killed = server(&home.dir);
    kill_watchdog(killed);
    killed.signal("KILL");
    drop(cluster);
    let pid_file = home.dir.join("cluster/postmaster.pid");
    assert!(pid_file.exists(), "nothing is stale");

    let cluster = Cluster::start(options(&home.dir, &[])).await.unwrap();
    assert_row(&cluster).await;

    let killed = server(&home.dir);
    kill_watchdog(killed);
    killed.signal("KILL");
    drop(cluster);
    // After a reboot the number may belong to any process of the same user.
    let owner = fs::metadata(home.dir.join("cluster")).unwrap();
    let mut stranger = tokio::process::Command::new("sleep");
    stranger
        .arg("1000")
        .current_dir("/")
        .stdout(Stdio::null())
        .kill_on_drop(true);
    if is_root() {
        stranger.uid(owner.uid()).gid(owner.gid());
    }
    let mut stranger = stranger.spawn().unwrap();
    let stale = fs::read_to_string(&pid_file).unwrap();
    let (_, rest) = stale.split_once('\n').unwrap();
    fs::write(&pid_file, format!("{}\n{rest}", stranger.id().unwrap())).unwrap();

    let cluster = Cluster::start(options(&home.dir, &[])).await.unwrap();
    assert_row(&cluster).await;
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "a process that has nothing to do with it ended"
    );
}

#[tokio::test]
async fn the_second_of_two_at_once_is_told_who_the_first_is() {
    let cluster = postgres::private_cluster(&[]).await;
    let second = Cluster::start(options(cluster.data_dir(), &[]))
        .await
        .unwrap_err();
    assert!(matches!(second, EmbeddedError::InUse { .. }), "{second}");
    assert_one_line(&second, &format!("process {}", std::process::id()));
    write_row(&cluster).await;
    assert_row(&cluster).await;
}

#[tokio::test]
async fn the_psql_command_works_when_pasted_and_a_stranger_gets_nowhere() {
    let cluster = postgres::private_cluster(&[]).await;
    write_row(&cluster).await;
    let output = psql(&cluster.psql(), "marketplace", "select word from kept").await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "survives\n",
        "{output:?}"
    );

    let tcp = format!("psql -w -h 127.0.0.1 -p {} -U marketplace", cluster.port());
    let output = psql(&tcp, "marketplace", "select 1").await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("no password supplied"), "{error}");
    for (path, mode) in [
        ("", 0o700),
        ("socket", 0o700),
        ("password", 0o600),
        ("cluster", 0o700),
    ] {
        let metadata = fs::metadata(cluster.data_dir().join(path)).unwrap();
        assert_eq!(metadata.mode() & 0o777, mode, "{path}");
    }
}

/// Whether the roles are superusers, and who owns the database and what is in it.
const OWNERSHIP: &str =
    "select (select rolsuper from pg_roles where rolname = 'marketplace') as app,
        (select rolsuper from pg_roles where rolname = 'marketplace_admin') as admin,
        (select array_agg(distinct owner::text) from (
            select pg_get_userbyid(datdba) as owner from pg_database where datname = 'marketplace'
            union all select pg_get_userbyid(relowner) from pg_class where oid >= 16384
            union all select pg_get_userbyid(proowner) from pg_proc where oid >= 16384
            union all select pg_get_userbyid(typowner) from pg_type where oid >= 16384
            union all select pg_get_userbyid(nspowner) from pg_namespace
                       where oid >= 16384 and nspname !~ '^pg_') owners) as owners";

async fn assert_ownership(cluster: &Cluster) {
    let app = connect(&cluster.url()).await;
    let row = app.query_one(OWNERSHIP, &[]).await.unwrap();
    let supers: (bool, bool) = (row.get("app"), row.get("admin"));
    assert_eq!(supers, (false, true));
    assert_eq!(row.get::<_, Vec<String>>("owners"), ["marketplace"]);
    for beyond in [
        "copy (select 1) to program 'true'",
        "create role other superuser",
        "select pg_read_file('/etc/passwd')",
        "alter system set work_mem = '1MB'",
    ] {
        let error = app.batch_execute(beyond).await.unwrap_err();
        let code = error.code().unwrap().code();
        assert_eq!(code, "42501", "{beyond}: {error:?}");
    }
    let admin = connect(&cluster.admin_url()).await;
    admin
        .batch_execute("select pg_read_file('PG_VERSION')")
        .await
        .unwrap();
    let over_tcp = cluster
        .url()
        .replace("//marketplace:", "//marketplace_admin:");
    assert!(
        tokio_postgres::connect(&over_tcp, tokio_postgres::NoTls)
            .await
            .is_err(),
        "no password opens the superuser's door"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_of_the_application_is_no_superuser_and_can_do_all_that_is_needed() {
    let home = Home::new();
    let cluster = Cluster::start(options(&home.dir, &[])).await.unwrap();
    let server = TestServer::on(&cluster.url(), &[]).await;
    server.visitor("ann").await;
    assert_ownership(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_application_was_a_superuser_is_converted_also_when_that_was_cut_short() {
    let home = Home::new();
    let mut cluster = Cluster::start(options(&home.dir, &[])).await.unwrap();
    TestServer::on(&cluster.url(), &[])
        .await
        .stop()
        .await
        .unwrap();
    write_row(&cluster).await;
    let app = connect(&cluster.url()).await;
    app.batch_execute(
        "create type mood as enum ('fine'); create domain few as int check (value < 9);
         create schema beside; create view beside.words as select word from kept;
         create table beside.counted (n serial primary key, m int generated always as identity);
         create procedure beside.nothing() language sql as 'select 1';
         create table beside.parts (n int) partition by list (n);
         create table beside.part partition of beside.parts for values in (1);
         insert into sources (country) values ('France')",
    )
    .await
    .unwrap();
    drop(app);
    for is_cut_short in [false, true] {
        // As a former version left it: initdb's own role is the application's.
        let admin = connect(&cluster.admin_url()).await;
        for statement in [
            "do $$ begin execute (
                 select format('alter role marketplace_admin password %L', rolpassword)
                   from pg_authid where rolname = 'marketplace'); end $$",
            "create role converter superuser login",
            "set session authorization converter",
            "alter role marketplace rename to app",
            "alter role marketplace_admin rename to marketplace",
            "reset session authorization",
            "drop role converter",
            "alter database marketplace owner to marketplace",
        ] {
            admin.batch_execute(statement).await.unwrap();
        }
        let there = cluster
            .admin_url()
            .replace("marketplace_admin@", "marketplace@");
        let there = there.replace("/postgres", "/marketplace");
        let inside = connect(&there).await;
        inside
            .batch_execute("reassign owned by app to marketplace; drop role app")
            .await
            .unwrap();
        if is_cut_short {
            inside
                .batch_execute(
                    "create role marketplace_owner; alter table kept owner to marketplace_owner",
                )
                .await
                .unwrap();
            inside
                .batch_execute(
                    "do $$ begin execute (
                         select format('alter role marketplace_owner login password %L', rolpassword)
                           from pg_authid where rolname = 'marketplace'); end $$",
                )
                .await
                .unwrap();
        }
        let sql = "select rolsuper and oid = 10 from pg_roles where rolname = 'marketplace'";
        assert!(inside.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
        drop((inside, admin));
        cluster.restart(StopMode::Fast).await.unwrap();
        assert_row(&cluster).await;
        assert_ownership(&cluster).await;
        let server = TestServer::on(&cluster.url(), &[]).await;
        server
            .visitor(if is_cut_short { "bob" } else { "ann" })
            .await;
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn the_password_is_in_no_command_line_and_no_log() {
    let home = Home::with_cluster().await;
    let cluster = Cluster::start(options(&home.dir, &[("log_statement", "all")]))
        .await
        .unwrap();
    write_row(&cluster).await;
    let password = fs::read_to_string(home.dir.join("password")).unwrap();
    let password = password.trim();
    assert!(password.len() >= 32 && cluster.url().contains(password));
    let log = fs::read_to_string(home.dir.join("postgres.log")).unwrap();
    assert!(
        log.contains("create table if not exists kept"),
        "the log holds nothing"
    );
    assert!(!log.contains(password));
    assert!(!cluster.psql().contains(password));
    let server = server(&home.dir);
    for process in [server, server.parent()] {
        let command = process.command_line();
        assert!(
            command.contains("postgres") && !command.contains(password),
            "{command}"
        );
    }
}

#[tokio::test]
async fn a_signal_to_the_terminals_processes_does_not_reach_the_server() {
    let cluster = postgres::private_cluster(&[]).await;
    let own = Process(std::process::id()).group();
    let server = server(cluster.data_dir());
    assert_ne!(server.group(), own);
    assert_ne!(server.parent().group(), own);
}

#[tokio::test]
async fn a_path_may_be_too_long_for_a_socket_or_strange() {
    for name in [
        "long".repeat(40),
        String::from("it's a \"path\", with $(words) and é"),
    ] {
        let home = Home::new();
        let data_dir = home.dir.join(name);
        let cluster = Cluster::start(options(&data_dir, &[])).await.unwrap();
        assert_eq!(cluster.data_dir(), data_dir);
        write_row(&cluster).await;
        let output = psql(&cluster.psql(), "marketplace", "select word from kept").await;
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "survives\n",
            "{output:?}"
        );
        cluster.stop().await.unwrap();
    }
}

#[tokio::test]
async fn somebody_elses_directory_is_refused_and_left_alone() {
    let home = Home::new();
    fs::create_dir(&home.dir).unwrap();
    fs::write(home.dir.join("PG_VERSION"), "15\n").unwrap();
    let before = fs::metadata(&home.dir).unwrap();
    let error = Cluster::start(options(&home.dir, &[])).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::NotOurs { .. }), "{error}");
    assert_one_line(&error, &home.dir.display().to_string());
    let after = fs::metadata(&home.dir).unwrap();
    assert_eq!((before.uid(), before.mode()), (after.uid(), after.mode()));
    let files: Vec<_> = fs::read_dir(&home.dir)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(files, ["PG_VERSION"]);
}

#[tokio::test]
async fn another_major_version_is_named_with_its_package() {
    let cluster = postgres::private_cluster(&[]).await;
    let home = cluster.stop().await;
    let version = home.dir.join("cluster/PG_VERSION");
    fs::write(&version, "9.6\n").unwrap();
    let error = Cluster::start(options(&home.dir, &[])).await.unwrap_err();
    assert!(
        matches!(error, EmbeddedError::OtherVersion { made_by: 9, .. }),
        "{error}"
    );
    assert_one_line(&error, "apt-get install postgresql-9");
    assert_eq!(fs::read_to_string(version).unwrap(), "9.6\n");
}

#[tokio::test]
async fn an_initdb_that_was_cut_short_is_done_again() {
    let home = Home::new();
    Cluster::start(options(&home.dir, &[]))
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    fs::rename(home.dir.join("cluster"), home.dir.join("cluster.new")).unwrap();
    fs::remove_file(home.dir.join("cluster.new/PG_VERSION")).unwrap();
    let cluster = Cluster::start(options(&home.dir, &[])).await.unwrap();
    write_row(&cluster).await;
}

#[tokio::test]
async fn a_failed_start_shows_the_end_of_the_servers_log() {
    let home = Home::with_cluster().await;
    let error = Cluster::start(options(&home.dir, &[("no_such_setting", "1")]))
        .await
        .unwrap_err();
    assert!(matches!(error, EmbeddedError::NotStarted { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("unrecognized configuration parameter"),
        "{error}"
    );
    let cluster = Cluster::start(options(&home.dir, &[])).await.unwrap();
    write_row(&cluster).await;
}

#[tokio::test]
async fn a_port_that_was_asked_for_is_taken_or_the_start_fails() {
    let home = Home::with_cluster().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let asked = Options {
        port: Some(port),
        ..options(&home.dir, &[])
    };
    let error = Cluster::start(asked.clone()).await.unwrap_err();
    assert!(
        error.to_string().contains("Address already in use"),
        "{error}"
    );
    drop(taken);
    assert_eq!(Cluster::start(asked).await.unwrap().port(), port);
}

#[tokio::test]
async fn root_runs_the_server_as_another_user_even_below_its_own_home() {
    if !is_root() {
        eprintln!("NOT COVERED: this is not root, so nobody has seen root's private cluster work");
        return;
    }
    let home = Home::new();
    fs::DirBuilder::new().mode(0o700).create(&home.dir).unwrap();
    let wanted = home.dir.join("market-place/data/postgres");
    let cluster = Cluster::start(options(&wanted, &[])).await.unwrap();
    write_row(&cluster).await;
    let Removed(data_dir) = &Removed(cluster.data_dir().to_owned());
    assert!(
        data_dir.starts_with("/var/lib/marketplace"),
        "{}",
        data_dir.display()
    );
    assert!(!wanted.exists());
    assert_ne!(server(data_dir).status("Uid"), "0 0 0 0");
    assert_eq!(server(data_dir).status("Groups"), "");
    let output = psql(&cluster.psql(), "marketplace", "select word from kept").await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "survives\n",
        "{output:?}"
    );
    cluster.stop().await.unwrap();

    let cluster = Cluster::start(options(&wanted, &[])).await.unwrap();
    assert_eq!(cluster.data_dir(), data_dir);
    assert_row(&cluster).await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn root_leaves_a_users_directory_to_that_user() {
    if !is_root() {
        eprintln!("NOT COVERED: this is not root, so nobody has seen it give files away");
        return;
    }
    // Any user but root and postgres.
    let user = 1;
    let home = Home::new();
    fs::create_dir(&home.dir).unwrap();
    std::os::unix::fs::chown(&home.dir, Some(user), None).unwrap();
    let data_dir = home.dir.join("data/postgres");
    let cluster = Cluster::start(options(&data_dir, &[])).await.unwrap();
    write_row(&cluster).await;
    for path in [
        "data",
        "data/postgres",
        "data/postgres/password",
        "data/postgres/cluster",
    ] {
        assert_eq!(
            fs::metadata(home.dir.join(path)).unwrap().uid(),
            user,
            "{path}"
        );
    }
    assert_eq!(server(&data_dir).status("Uid"), "1 1 1 1");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_is_a_copy_of_its_template_and_goes_with_its_test() {
    let cluster = postgres::cluster().await;
    let template = cluster.database(None).await;
    let output = template
        .psql("create table t as select 7 as n; select n from t")
        .await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "7\n", "{output:?}");
    let (one, two) = tokio::join!(
        cluster.database(Some(&template.name)),
        cluster.database(Some(&template.name))
    );
    for copy in [&one, &two] {
        let row = copy
            .connect()
            .await
            .query_one("select n from t", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i32>(0), 7);
    }
    let (watcher, names) = (
        template.connect().await,
        [one.name.clone(), two.name.clone()],
    );
    drop((one, two));
    let left = "select count(*) from pg_database where datname = any($1)";
    let gone = async {
        while watcher
            .query_one(left, &[&names.as_slice()])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the databases are dropped");
}

#[tokio::test]
async fn a_tls_cluster_shows_its_certificate() {
    let tls = postgres::tls_cluster().await;
    let pgpass = tls.cluster.data_dir().join("pgpass");
    let password = fs::read_to_string(tls.cluster.data_dir().join("password")).unwrap();
    fs::write(&pgpass, format!("*:*:*:*:{password}")).unwrap();
    fs::set_permissions(&pgpass, fs::Permissions::from_mode(0o600)).unwrap();
    let name = postgres::TlsCluster::NAME;
    for (mode, host, ca, accepted) in [
        ("verify-full", name, &tls.ca_file, true),
        ("verify-full", "127.0.0.1", &tls.ca_file, false),
        ("verify-ca", "127.0.0.1", &tls.ca_file, true),
        ("verify-ca", name, &tls.other_ca_file, false),
    ] {
        let command = format!(
            "PGPASSFILE={} PGSSLMODE={mode} PGSSLROOTCERT={} PGHOSTADDR=127.0.0.1 \
             psql -h {host} -p {} -U marketplace",
            pgpass.display(),
            ca.display(),
            tls.cluster.port()
        );
        let question = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let output = psql(&command, "marketplace", question).await;
        assert_eq!(output.stdout == b"t\n", accepted, "{command}: {output:?}");
    }
}

/// A copy of this test binary that runs one test in the role of a program.
struct Program {
    process: std::process::Child,
    data_dir: PathBuf,
}

impl Program {
    /// Starts it and waits until its cluster runs.
    fn start(test: &str, data_dir: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", &format!("cli::embedded::{test}")])
            .arg(data_dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut lines = output.lines().map_while(Result::ok);
        let ready = lines.find_map(|line| Some(PathBuf::from(line.split_once("runs in ")?.1)));
        Self {
            process,
            data_dir: ready.expect("the program's cluster runs"),
        }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A directory below `/var/lib/marketplace` that goes with its test.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        let _ = fs::remove_dir("/var/lib/marketplace");
    }
}

/// The data directory that [`Program::start`] hands to its copy.
fn argument() -> Option<PathBuf> {
    std::env::args()
        .skip(1)
        .find(|argument| argument.starts_with('/'))
        .map(PathBuf::from)
}

/// Says that the cluster runs and waits to be killed.
fn hold(cluster: &Cluster) {
    println!("runs in {}", cluster.data_dir().display());
    loop {
        std::thread::park();
    }
}

async fn write_row(cluster: &Cluster) {
    // The tests' clusters don't wait for the disk otherwise.
    let write = "set synchronous_commit = on; \
                 create table if not exists kept as select 'survives' as word";
    connect(&cluster.url())
        .await
        .batch_execute(write)
        .await
        .unwrap();
}

async fn assert_row(cluster: &Cluster) {
    let row = connect(&cluster.url())
        .await
        .query_one("select word from kept", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "survives");
}

fn assert_one_line(error: &EmbeddedError, words: &str) {
    let text = error.to_string();
    assert!(text.contains(words) && !text.contains('\n'), "{text}");
}

/// The server of a data directory, as its postmaster.pid says.
/// The server process of a cluster.
pub fn server(data_dir: &Path) -> Process {
    let text = fs::read_to_string(data_dir.join("cluster/postmaster.pid")).unwrap();
    Process(text.lines().next().unwrap().parse().unwrap())
}

/// Kills the shells that would stop a server when its program ends.
fn kill_watchdog(server: Process) {
    let watchdog = server.parent();
    for reader in watchdog
        .children()
        .into_iter()
        .filter(|child| *child != server)
    {
        reader.signal("KILL");
    }
    watchdog.signal("KILL");
}

/// Whether the tests are run by root.
pub fn is_root() -> bool {
    Process(std::process::id()).status("Uid") == "0 0 0 0"
}
