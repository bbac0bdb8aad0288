//! Files whose sources seem to be gone: they stay until it is certain that nobody wants them.

use std::{
    fs,
    process::Output,
    time::{Duration, Instant},
};

use marketplace::{db::uploads::Look, pg::Pool};
use tokio::{io::AsyncWriteExt, process::Command};
use tokio_postgres::{Client, error::SqlState};
use uuid::Uuid;

use super::{
    AT_ONCE, Store, add, another, noted, remain, remain_noted, start, start_with, update_path,
};
use crate::support::{
    client::Http,
    metrics::metric,
    postgres::{self, TestDatabase},
    program::{command, program},
    server::{TestServer, database, eventually},
};

/// One more server as operators run it, which sweeps as soon as it starts.
async fn sweeping(database: &TestDatabase, store: &Store) -> TestServer {
    TestServer::on(&database.url, &["--uploads-url", &store.url()]).await
}

async fn are(dba: &Client, condition: &str, count: i64) -> bool {
    let sql = format!("select count(*) from uploads where {condition}");
    dba.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0) == count
}

async fn stopped(server: &TestServer, reason: &str) -> bool {
    let name = format!("marketplace_uploads_sweep_stopped{{reason=\"{reason}\"}}");
    metric(&mut Http::new(&server.base), &name).await == Some(1.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_there_when_the_rows_of_a_truncated_table_come_back() {
    let (server, database, store, mut editor) = start_with(&[]).await;
    let mut paths = Vec::new();
    for n in 0..5 {
        let source = add(&mut editor, (&format!("{n}.csv"), b"1")).await;
        paths.push(source["data_upload"].as_str().unwrap().to_owned());
    }
    let dba = database.connect().await;
    let reload = "create table kept as select * from sources; truncate sources";
    dba.batch_execute(reload).await.unwrap();
    let second = sweeping(&database, &store).await;
    eventually("a server has seen that all are orphans", async || {
        are(&dba, "orphaned_at is not null", 5).await
    })
    .await;
    assert_eq!(store.files().len(), 5);
    let reload = "insert into sources select * from kept";
    dba.batch_execute(reload).await.unwrap();
    for path in &paths {
        assert_eq!(editor.get(path).send().await.body, b"1");
    }
    let third = sweeping(&database, &store).await;
    eventually("a server has seen that none is", async || {
        are(&dba, "orphaned_at is null and attached", 5).await
    })
    .await;
    assert_eq!(store.files().len(), 5);
    drop((server, second, third));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_a_source_is_kept_for_seven_days_and_no_longer() {
    let (server, database, store, mut editor) = start_with(&[]).await;
    let young = add(&mut editor, ("young.csv", b"1")).await;
    let old = add(&mut editor, ("old.csv", b"1")).await;
    let replaced = add(&mut editor, ("replaced.csv", b"1")).await;
    let update = ("PATCH", &*update_path(&replaced));
    let replaced = super::send(&mut editor, update, &[], ("new.csv", b"2")).await;
    assert_eq!(replaced.status, 200);
    for source in [&young, &old] {
        let path = format!("/api/delete-source/{}/", source["id"].as_str().unwrap());
        assert_eq!(editor.call("DELETE", &path).send().await.status, 204);
    }
    let dba = database.connect().await;
    let first = sweeping(&database, &store).await;
    eventually("a server has noted when", async || {
        are(&dba, "orphaned_at > now() - interval '1 hour'", 3).await
    })
    .await;
    for (name, age) in [("young", "6 days 23 hours"), ("old", "7 days 1 hour")] {
        let sql = format!(
            "update uploads set orphaned_at = now() - interval '{age}' where name = '{name}.csv'"
        );
        assert_eq!(dba.execute(&sql, &[]).await.unwrap(), 1);
    }
    let other = sweeping(&database, &store).await;
    remain(&store, &database, 3).await;
    assert!(are(&dba, "name <> 'old.csv'", 3).await);
    drop((server, first, other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extreme_times_stop_no_sweep() {
    let (server, database, store, mut editor) = start(&[]).await;
    for n in 0..4 {
        add(&mut editor, (&format!("{n}.csv"), b"1")).await;
    }
    let dba = database.connect().await;
    let keep = "create table kept as select * from sources; delete from sources where data_upload like '%/3.csv'";
    // A schema that refuses such times is as good.
    for (n, time) in [
        "infinity",
        "294276-12-31 23:59:59Z",
        "4713-01-01 00:00:00Z BC",
    ]
    .iter()
    .enumerate()
    {
        for column in ["created_at", "orphaned_at", "claimed_until"] {
            let sql = format!("update uploads set {column} = '{time}' where name = '{n}.csv'");
            let _ = dba.execute(&sql, &[]).await;
        }
    }
    dba.batch_execute(keep).await.unwrap();
    let other = another(&database, &store).await;
    eventually("the ordinary one is gone", async || {
        are(&dba, "name = '3.csv'", 0).await
    })
    .await;
    drop((server, other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_policy_hides_sources_nothing_is_removed() {
    let database = postgres::cluster().await.database(None).await;
    let dba = database.connect().await;
    let owner = format!("owner_of_{}", database.name);
    let sql = format!(
        "create role {owner} login nosuperuser password 'hush';
         alter database {} owner to {owner}",
        database.name
    );
    dba.batch_execute(&sql).await.unwrap();
    let (_, address) = database.url.split_once('@').unwrap();
    let url = format!("postgres://{owner}:hush@{address}");
    let store = Store::new();
    let arguments = ["--uploads-url", &store.url(), AT_ONCE[0], AT_ONCE[1]];
    let server = TestServer::on(&url, &arguments).await;
    let mut editor = server.visitor("editor").await;
    for n in 0..3 {
        add(&mut editor, (&format!("{n}.csv"), b"1")).await;
    }
    let force = "alter table sources enable row level security;
        alter table sources force row level security";
    dba.batch_execute(force).await.unwrap();
    let other = TestServer::launch(&url, &arguments).await;
    eventually("it is known that sweeps fail", async || {
        stopped(&other, "failing").await
    })
    .await;
    assert!(are(&dba, "orphaned_at is null", 3).await);
    assert_eq!(store.files().len(), 3);
    let release = "alter table sources disable row level security; delete from sources";
    dba.batch_execute(release).await.unwrap();
    let third = TestServer::on(&url, &arguments).await;
    remain(&store, &database, 0).await;
    drop((server, other, third));
}

/// Files that sources once named, as many as that; the directory is there already.
async fn orphans(database: &TestDatabase, store: &Store, count: usize) {
    let dba = database.connect().await;
    fs::create_dir_all(&store.0).unwrap();
    for n in 0..count {
        let key = Uuid::new_v4();
        fs::write(store.0.join(key.to_string()), "1").unwrap();
        let sql = "insert into uploads (key, name, attached) values ($1, $2, true)";
        dba.execute(sql, &[&key, &format!("{n}.csv")])
            .await
            .unwrap();
    }
}

/// `marketplace uploads sweep` with these settings, told this.
async fn sweep(database: &TestDatabase, store: &Store, more: &[&str], said: &str) -> Output {
    let url = store.url();
    let arguments = [&["uploads", "sweep", "--uploads-url", &url], more].concat();
    let mut sweep: Command = program(&arguments);
    sweep.env("DATABASE_URL", &database.url);
    sweep.stdin(std::process::Stdio::piped());
    let mut sweep = sweep.spawn().unwrap();
    let mut input = sweep.stdin.take().unwrap();
    // It may have ended without reading.
    let _ = input.write_all(said.as_bytes()).await;
    drop(input);
    sweep.wait_with_output().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_files_at_once_wait_for_somebody_who_says_that_they_may_go() {
    let (database, store) = (database().await, Store::new());
    orphans(&database, &store, 21).await;
    let server = another(&database, &store).await;
    eventually("it is known that there are too many", async || {
        stopped(&server, "too_many").await
    })
    .await;
    remain(&store, &database, 21).await;

    // Within the grace there is nothing to remove by hand either.
    let young = sweep(&database, &store, &[], "y\n").await;
    assert!(young.status.success(), "{young:?}");
    let said = String::from_utf8_lossy(&young.stdout).into_owned();
    assert!(
        said.contains("0 of 21 files can be deleted; 21 more"),
        "{said}"
    );
    for said in ["", "n\n", "perhaps\n"] {
        let refused = sweep(&database, &store, &AT_ONCE, said).await;
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let shown = String::from_utf8_lossy(&refused.stdout);
        for part in ["0.csv  (unused since ", "and 1 more", "21 of 21"] {
            assert!(shown.contains(part), "{shown}");
        }
    }
    remain(&store, &database, 21).await;
    let removed = sweep(&database, &store, &AT_ONCE, "yes\n").await;
    assert!(removed.status.success(), "{removed:?}");
    remain(&store, &database, 0).await;

    // Another sweep finds that it is over.
    let mut editor = server.visitor("editor").await;
    let source = add(&mut editor, ("a.csv", b"1")).await;
    let path = format!("/api/delete-source/{}/", source["id"].as_str().unwrap());
    assert_eq!(editor.call("DELETE", &path).send().await.status, 204);
    eventually("it is over", async || !stopped(&server, "too_many").await).await;
    remain(&store, &database, 0).await;

    orphans(&database, &store, 21).await;
    let removed = sweep(&database, &store, &[&AT_ONCE[..], &["--yes"]].concat(), "").await;
    assert!(removed.status.success(), "{removed:?}");
    remain(&store, &database, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_of_many_go_by_themselves() {
    let (database, store) = (database().await, Store::new());
    orphans(&database, &store, 20).await;
    let dba = database.connect().await;
    let named = "with named as (
            insert into uploads (key, name, attached)
            select gen_random_uuid(), 'named.csv', true from generate_series(1, 10) returning key)
        insert into sources (data_upload) select key || '/named.csv' from named";
    dba.batch_execute(named).await.unwrap();
    let server = another(&database, &store).await;
    remain_noted(&database, 10).await;
    assert!(store.files().is_empty());
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database_with_the_same_store_touches_nothing() {
    let (server, first, store, mut editor) = start(&[]).await;
    let source = add(&mut editor, ("a.csv", b"1")).await;
    let empty = database().await;
    let dba = empty.connect().await;
    let orphan = "insert into uploads (key, name, attached) values (gen_random_uuid(), 'b', true)";
    dba.execute(orphan, &[]).await.unwrap();
    let other = another(&empty, &store).await;
    remain_noted(&empty, 0).await;
    assert_eq!(store.files().len(), 1);
    let path = source["data_upload"].as_str().unwrap();
    assert_eq!(editor.get(path).send().await.body, b"1");
    assert_eq!(noted(&first).await, 1);
    drop((server, other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_whose_rows_somebody_deleted_are_found_again() {
    let (server, database, store, mut editor) = start(&[]).await;
    let source = add(&mut editor, ("a.csv", b"1")).await;
    let path = source["data_upload"].as_str().unwrap().to_owned();
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into sources (data_upload) values ('uploads/old.csv'), ('x'),
            ('00000000-0000-4000-8000-00000000000a'), ('--------_----_----_----_------------/b'),
            ('zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz/a.csv')",
    )
    .await
    .unwrap();
    assert_eq!(dba.execute("delete from uploads", &[]).await.unwrap(), 1);
    assert_eq!(editor.get(&path).send().await.status, 404);
    let other = another(&database, &store).await;
    eventually("it is noted again", async || {
        editor.get(&path).send().await.status == 200
    })
    .await;
    assert_eq!(editor.get(&path).send().await.body, b"1");
    assert_eq!((store.files().len(), noted(&database).await), (1, 1));
    drop((server, other));
}

#[tokio::test]
async fn sources_are_asked_for_their_files_some_at_a_time_and_all_in_turn() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into sources (data_upload)
         select gen_random_uuid() || '/a.csv' from generate_series(1, 12000)",
    )
    .await
    .unwrap();
    let pool = Pool::new(&database.url.parse().unwrap(), 1).unwrap();
    let mut client = pool.client().await.unwrap();
    let (mut from, mut noted) = (Uuid::nil(), Vec::new());
    loop {
        let look = Look::begin(&mut client).await.unwrap();
        from = look.adopt(from).await.unwrap();
        look.end().await.unwrap();
        let sql = "select count(*) from uploads where attached";
        noted.push(dba.query_one(sql, &[]).await.unwrap().get::<_, i64>(0));
        if from.is_nil() {
            break;
        }
    }
    assert_eq!(noted, [5000, 10_000, 12_000]);
    let sql = "select from sources s where not exists (
                   select from uploads u where s.data_upload = u.key || '/' || u.name)";
    assert!(dba.query(sql, &[]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_not_there_holds_its_files_all_the_same() {
    let (server, database, store, mut editor) = start(&[]).await;
    let source = add(&mut editor, ("a.csv", b"1")).await;
    assert!(
        !stopped(&server, "failing").await,
        "nothing was to be removed"
    );
    let away = Store::new();
    fs::rename(&store.0, &away.0).unwrap();
    let path = format!("/api/delete-source/{}/", source["id"].as_str().unwrap());
    assert_eq!(editor.call("DELETE", &path).send().await.status, 204);
    eventually("it is known that sweeps fail", async || {
        stopped(&server, "failing").await
    })
    .await;
    assert_eq!(noted(&database).await, 1);
    let now = [&AT_ONCE[..], &["--yes"]].concat();
    let refused = sweep(&database, &store, &now, "").await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    fs::rename(&away.0, &store.0).unwrap();
    let other = another(&database, &store).await;
    remain(&store, &database, 0).await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_brings_uploads_before_sources_loses_no_file() {
    let (server, database, store, mut editor) = start_with(&[]).await;
    for n in 0..3 {
        add(&mut editor, (&format!("{n}.csv"), b"1")).await;
    }
    let dump = store.0.with_extension("dump");
    let file = dump.to_str().unwrap();
    let run = async |name: &str, arguments: &[&str]| {
        let output = command(name, arguments).output().await.unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
    };
    run("pg_dump", &["-Fc", "-f", file, &database.url]).await;
    let dba = database.connect().await;
    dba.batch_execute("truncate sources, uploads")
        .await
        .unwrap();
    for table in ["uploads", "sources"] {
        let restore = [
            "--data-only",
            "--table",
            table,
            "--dbname",
            &database.url,
            file,
        ];
        run("pg_restore", &restore).await;
        let other = sweeping(&database, &store).await;
        let is_so = match table {
            "uploads" => "orphaned_at is not null",
            _ => "orphaned_at is null",
        };
        eventually("a server has swept", async || are(&dba, is_so, 3).await).await;
        drop(other);
    }
    fs::remove_file(dump).unwrap();
    assert_eq!(store.files().len(), 3);
    let sources = editor.get("/api/read-source/").send().await.json();
    for source in sources.as_array().unwrap() {
        let path = source["data_upload"].as_str().unwrap();
        assert_eq!(editor.get(path).send().await.body, b"1");
    }
    drop(server);
}

/// A look at both tables costs the more the more rows they have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_goes_with_its_file_starts_no_sweep() {
    for attempt in 1.. {
        let begun = Instant::now();
        let (server, database, _store, mut editor) = start_with(&[]).await;
        let dba = database.connect().await;
        for n in 0..10 {
            let source = add(&mut editor, (&format!("{n}.csv"), b"1")).await;
            let replaced = ("PATCH", &*update_path(&source));
            let replaced = super::send(&mut editor, replaced, &[], ("new.csv", b"2")).await;
            assert_eq!(replaced.status, 200);
            let path = format!("/api/delete-source/{}/", source["id"].as_str().unwrap());
            assert_eq!(editor.call("DELETE", &path).send().await.status, 204);
        }
        let unseen = are(&dba, "attached and orphaned_at is null", 20).await;
        drop(server);
        // In half a minute the server sweeps unasked.
        if begun.elapsed() < Duration::from_secs(25) {
            assert!(unseen, "no sweep has noted that they are orphans");
            return;
        }
        assert!(
            attempt < 5,
            "twenty requests take longer than between two sweeps"
        );
    }
}

#[tokio::test]
async fn a_role_that_may_only_connect_keeps_no_sweep_from_running() {
    let database = database().await;
    let dba = database.connect().await;
    let (role, idler) = database.connect_as_stranger().await;
    // What a sweep once held.
    idler
        .batch_execute("select pg_advisory_lock(x'75706c6f61647301'::bigint)")
        .await
        .unwrap();
    let reads = "begin; lock table public.uploads in access share mode";
    let refused = idler.batch_execute(reads).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));

    let pool = Pool::new(&database.url.parse().unwrap(), 2).unwrap();
    let (mut first, mut second) = (pool.client().await.unwrap(), pool.client().await.unwrap());
    let look = Look::begin(&mut first).await.unwrap();
    // Others come one after the other, and files are noted meanwhile.
    let orphan = "insert into uploads (key, name, attached) values (gen_random_uuid(), 'b', true)";
    dba.execute(orphan, &[]).await.unwrap();
    let next = Look::begin(&mut second);
    let waits = async {
        let sql = "select from pg_locks where relation = 'uploads'::regclass and not granted";
        eventually("the second waits", async || {
            !dba.query(sql, &[]).await.unwrap().is_empty()
        })
        .await;
        look.end().await.unwrap();
    };
    let (next, ()) = tokio::join!(next, waits);
    next.unwrap().end().await.unwrap();
    drop(idler);
    dba.batch_execute(&format!("drop role {role}"))
        .await
        .unwrap();
}

/// A version of the schema made such times of those that no program can read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_claimed_for_ever_goes_too() {
    let (database, store) = (database().await, Store::new());
    orphans(&database, &store, 3).await;
    let dba = database.connect().await;
    let sql =
        "update uploads set claimed_until = '9999-12-30', orphaned_at = now() where name = '0.csv'";
    assert_eq!(dba.execute(sql, &[]).await.unwrap(), 1);
    let sql =
        "update uploads set claimed_until = now() + interval '5 minutes' where name = '1.csv'";
    assert_eq!(dba.execute(sql, &[]).await.unwrap(), 1);
    let server = another(&database, &store).await;
    remain(&store, &database, 1).await;
    assert!(
        are(&dba, "name = '1.csv'", 1).await,
        "another has claimed it"
    );
    drop(server);
}
