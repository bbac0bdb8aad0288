//! `sql/schema.sql` and `sql/catalogue.txt` are what the migrations make. `UPDATE_SCHEMA=1 cargo test schema`
//! writes them anew.

use std::path::Path;

use tokio::process::Command;

use crate::support::server::database;

#[tokio::test]
async fn the_committed_schema_is_what_the_migrations_make() {
    let database = database().await;
    let output = Command::new("pg_dump")
        .args(["--schema-only", "--no-owner"])
        .arg("--exclude-table=refinery_schema_history")
        // Times in constraints are written in the zone of whoever asks.
        .env("PGTZ", "UTC")
        .arg(&database.url)
        .output()
        .await
        .expect("pg_dump starts");
    assert!(output.status.success(), "{output:?}");
    // Versions and one-time tokens of the tool itself are not the schema.
    let dump: Vec<&str> = std::str::from_utf8(&output.stdout)
        .expect("the schema is UTF-8")
        .lines()
        .filter(|line| !line.starts_with("-- Dumped") && !line.starts_with('\\'))
        .collect();
    let mut dump = dump.join("\n");
    while dump.contains("\n\n\n") {
        dump = dump.replace("\n\n\n", "\n\n");
    }
    let dump = format!("{}\n", dump.trim());
    is_committed("schema.sql", &dump);
}

#[tokio::test]
async fn the_committed_facts_are_those_of_a_new_database() {
    let database = database().await;
    let client = database.connect().await;
    let facts = marketplace::db::diagnostics::facts(&client).await.unwrap();
    is_committed("catalogue.txt", &facts);
}

/// Holds a file of `sql` against what it must be, or writes it anew.
fn is_committed(name: &str, wanted: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql").join(name);
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&file, wanted).expect("the file can be written");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == wanted,
        "sql/{name} is out of date; run: UPDATE_SCHEMA=1 cargo test --test it schema"
    );
}

#[tokio::test]
async fn everything_in_the_schema_is_described() {
    let database = database().await;
    let client = database.connect().await;
    let sql = "
        select 'table ' || c.relname from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
           and c.relname <> 'refinery_schema_history' and obj_description(c.oid) is null
        union all
        select 'function ' || p.proname from pg_proc p
         where p.pronamespace = 'public'::regnamespace and obj_description(p.oid) is null";
    let bare = client.query(sql, &[]).await.unwrap();
    let bare: Vec<String> = bare.iter().map(|row| row.get(0)).collect();
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}

#[tokio::test]
async fn of_many_programs_that_migrate_at_once_each_ends_well() {
    let empty = crate::support::postgres::cluster()
        .await
        .database(None)
        .await;
    let dsn: marketplace::pg::dsn::Dsn = empty.url.parse().unwrap();
    let runs: Vec<_> = (0..5)
        .map(|_| {
            let dsn = dsn.clone();
            tokio::spawn(async move { marketplace::db::migrate::run(&dsn, "Europe/Paris").await })
        })
        .collect();
    let mut applied = Vec::new();
    for run in runs {
        applied.push(run.await.unwrap().expect("migrating ends well").applied);
    }
    applied.sort_unstable();
    assert_eq!(applied[..4], [0, 0, 0, 0], "one applied them all");
    assert!(applied[4] > 0);
}
