//! Databases at an earlier version of the schema.

use std::path::Path;

use refinery_core::{Runner, Target, load_sql_migrations};
use tokio_postgres::Client;

use super::postgres::{self, TestDatabase};

/// A database with the schema of that version.
pub async fn at_version(version: i32) -> TestDatabase {
    let database = postgres::cluster().await.database(None).await;
    migrate_to(version, &mut database.connect().await).await;
    database
}

/// Brings an empty database to that version.
pub async fn migrate_to(version: i32, client: &mut Client) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/migrations");
    let migrations = load_sql_migrations(folder).expect("the migrations can be read");
    Runner::new(&migrations)
        .set_target(Target::Version(version))
        .run_async(client)
        .await
        .expect("an empty database can be migrated");
}
