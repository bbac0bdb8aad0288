//! What is promised of "PostgreSQL 15 or newer", on each version that the tests have: the one that is
//! installed and the newest two.

use std::path::{Path, PathBuf};

use tokio::process::Command;
use uuid::Uuid;

use crate::{
    database::statements,
    support::{
        dashboard::Dashboard,
        doctor::{bad, doctor},
        postgres::{
            PrivateCluster, TestDatabase, private_cluster,
            version::{NEWER, Version, Versioned},
        },
        server::TestServer,
    },
};

const WATCHED: Uuid = Uuid::from_u128(1);

async fn keeps_its_promises(version: &Version) {
    let Versioned {
        cluster, programs, ..
    } = &version.start(&[]).await;
    let database = cluster.database("promises").await;
    let dba = database.connect().await;
    let found = dba.query_one("show server_version", &[]).await.unwrap();
    let found: &str = found.try_get(0).unwrap();
    assert!(found.starts_with(&version.major.to_string()), "{found}");

    let (code, findings) = doctor(&database.url, &[]).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");

    let server = TestServer::on(&database.url, &[]).await;
    statements::run_matrix(&server, &database).await;
    server.stop().await.unwrap();
    is_dumped_and_restored(cluster, &database, programs).await;
}

/// As after a move to a newer server: what `pg_dump` of this version writes is served by it.
async fn is_dumped_and_restored(
    cluster: &PrivateCluster,
    database: &TestDatabase,
    programs: &Path,
) {
    let dba = database.connect().await;
    let sql = "truncate sources; insert into sources (id, country, status, current_update) values
        ('00000000-0000-0000-0000-000000000001', 'one', 'active', local_date()),
        ('00000000-0000-0000-0000-000000000002', 'two', 'inactive', '0001-01-01')";
    dba.batch_execute(sql).await.unwrap();
    let restored = cluster.empty_database("restored").await;
    let archive = std::env::temp_dir().join(format!("{:016x}.dump", rand::random::<u64>()));
    let to = archive.to_str().unwrap();
    run(programs, "pg_dump", &["-Fc", "-f", to, &database.url]).await;
    run(
        programs,
        "pg_restore",
        &["--exit-on-error", "-d", &restored.url, to],
    )
    .await;
    std::fs::remove_file(&archive).unwrap();

    let (code, findings) = doctor(&restored.url, &[]).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
    let server = TestServer::on(&restored.url, &[]).await;
    let mut dashboard = Dashboard::open(&server.visitor("mover").await, WATCHED).await;
    dashboard.agrees_with(&dba, WATCHED).await;
    let other = restored.connect().await;
    let edit = "update sources set status = 'inactive', country = 'restored'";
    other.batch_execute(edit).await.unwrap();
    dashboard.agrees_with(&other, WATCHED).await;
}

async fn run(programs: &Path, name: &str, arguments: &[&str]) {
    let mut command = Command::new(programs.join(name));
    let output = command.args(arguments).output().await;
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(output.status.success(), "{name}: {output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_17_keeps_what_is_promised() {
    keeps_its_promises(&NEWER[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_18_keeps_what_is_promised() {
    keeps_its_promises(&NEWER[1]).await;
}

/// The matrix and the doctor have tests of their own for the version that is installed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_installed_postgresql_can_be_dumped_and_restored() {
    let cluster = private_cluster(&[]).await;
    let database = cluster.database("promises").await;
    is_dumped_and_restored(&cluster, &database, &PathBuf::new()).await;
}
