//! Migrations on databases that are in use: published, locked, written to by others, and with rows that
//! the schema of today refuses.

use std::sync::atomic::{AtomicUsize, Ordering};

use marketplace::db::migrate;
use tokio_postgres::Client;

use crate::support::{
    client::Http,
    migrate::at_version,
    postgres::{self, TestDatabase},
    program::program,
    server::{TestServer, eventually},
    sign_in::register,
};

/// Runs `marketplace migrate`, which must end well, and gives its log.
async fn migrated(database: &TestDatabase) -> String {
    let mut command = program(&["migrate"]);
    command.env("DATABASE_URL", &database.url);
    let output = command.output().await.unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    log
}

async fn text(client: &Client, sql: &str) -> String {
    let row = client.query_one(sql, &[]).await.unwrap();
    row.try_get(0).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_published_without_a_key_are_corrected_too() {
    let identities = "select string_agg(relname || relreplident::text, ' ' order by relname)
                        from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";
    for rows in [
        "select",
        "insert into pipeline_run_states (run_id, state, at)
              values (gen_random_uuid(), 'FAILED', 'infinity');
         insert into daily (country, created_at, updated_at)
              values ('far', '20000-01-01', '2020-01-01'), ('near', '2020-01-01', '2020-01-01')",
    ] {
        let database = at_version(12).await;
        let dba = database.connect().await;
        let publication = format!("everything_{}", database.name);
        dba.batch_execute(&format!(
            "create table daily () inherits (sources);
             insert into sources (country) values ('first');
             {rows};
             create publication {publication} for all tables"
        ))
        .await
        .unwrap();
        let before = text(&dba, identities).await;
        let log = migrated(&database).await;
        assert_eq!(text(&dba, identities).await, before);
        let wrong =
            "select (select count(*) from pipeline_run_states where not isfinite(at)) || ' '
                         || (select count(*) from sources where created_at >= '9999-12-31')";
        assert_eq!(text(&dba, wrong).await, "0 0");
        let is_told = log.contains("pipeline_run_states: at");
        assert_eq!(is_told, rows != "select", "{log}");
        // A row of a child has the place of another row of its parent.
        let first = "select string_agg(country, ' ') from sources where created_at between '2021-01-01' and '9000-01-01'";
        assert_eq!(text(&dba, first).await, "first");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_corrected_still_belongs_together_and_is_claimed_by_nobody() {
    let database = at_version(12).await;
    let dba = database.connect().await;
    let key = "00000000-0000-4000-8000-00000000000a";
    for characters in [65_499, 65_510, 70_000] {
        dba.batch_execute(&format!(
            "insert into uploads (key, name, attached) values (gen_random_uuid(), repeat('x', {characters}), true);
             insert into sources (data_upload) select key || '/' || name from uploads
              where length(name) = {characters}"
        ))
        .await
        .unwrap();
    }
    dba.batch_execute(&format!(
        "insert into uploads (key, name, claimed_until) values ('{key}', 'claimed.csv', 'infinity');
         insert into pipeline_runs (id, step) values ('{key}', 'qc');
         insert into pipeline_submissions (run_id, node, claimed_until) values ('{key}', '{key}', 'infinity');
         insert into pipeline_followers (node, until) values ('{key}', '20000-01-01');
         insert into users (username, password_hash) values ('long', repeat('x', 70000))"
    ))
    .await
    .unwrap();
    migrated(&database).await;
    let named = "select count(*)::text from uploads u join sources s on s.data_upload = u.key || '/' || u.name";
    assert_eq!(text(&dba, named).await, "3");
    let claims = "select concat_ws(' ',
        (select count(*) from uploads where claimed_until > now()),
        (select count(*) from pipeline_submissions where claimed_until > now()),
        (select count(*) from pipeline_followers where until > now()))";
    assert_eq!(text(&dba, claims).await, "0 0 0");
    let hash = "select password_hash from users where username = 'long'";
    assert_eq!(text(&dba, hash).await, "!");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_transaction_of_others_ends_because_of_a_migration() {
    let database = at_version(12).await;
    let dba = database.connect().await;
    let writer = database.connect().await;
    let reader = database.connect().await;
    dba.batch_execute("insert into users (username, password_hash) values ('ann', '!')")
        .await
        .unwrap();
    writer
        .batch_execute("begin; select from users for update")
        .await
        .unwrap();
    reader
        .batch_execute("begin; select from changes")
        .await
        .unwrap();
    let dsn: marketplace::pg::dsn::Dsn = database.url.parse().unwrap();
    let migrating = tokio::spawn(async move {
        migrate::run(&dsn, "Europe/Paris")
            .await
            .map(|done| done.applied)
    });
    eventually("the migration waits", async || {
        let sql = "select (count(*) > 0)::text from pg_locks
                    where not granted and database = (select oid from pg_database where datname = current_database())";
        text(&dba, sql).await == "true"
    })
    .await;
    // The tables that come first and last in the order of their names, too.
    writer
        .batch_execute(
            "update users set email = 'ann@example.com';
             insert into sources (country) values ('France');
             insert into changes (table_name, operation, role_name, application_name) values ('t', 'o', 'r', 'a');
             commit",
        )
        .await
        .expect("the writer's transaction is not ended");
    reader
        .batch_execute("select from users; select from sources; commit")
        .await
        .expect("the reader's transaction is not ended");
    assert!(migrating.await.unwrap().expect("the migration ends well") > 0);
}

/// Refuses the first statements that change a table, as PostgreSQL refuses them in a deadlock.
const STUMBLE: &str = "
    create sequence attempts;
    create function stumble() returns event_trigger language plpgsql as $$
    begin
        if nextval('public.attempts') <= 8 then
            raise exception 'in the way' using errcode = '40P01';
        end if;
    end $$;
    create event trigger stumble on ddl_command_start when tag in ('ALTER TABLE') execute function stumble()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_met_a_deadlock_is_tried_again() {
    let database = at_version(12).await;
    let dba = database.connect().await;
    dba.batch_execute(STUMBLE).await.unwrap();
    let server = TestServer::on(&database.url, &[]).await;
    let attempts = text(&dba, "select last_value::text from attempts").await;
    assert!(attempts.parse::<u32>().unwrap() > 8, "{attempts}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_only_connect_keeps_no_program_from_migrating() {
    let database = postgres::cluster().await.database(None).await;
    let dba = database.connect().await;
    let (role, idler) = database.connect_as_stranger().await;
    // The number that programs once agreed on.
    idler
        .batch_execute("select pg_advisory_lock(x'6d61726b6574'::bigint)")
        .await
        .unwrap();
    let server = TestServer::on(&database.url, &[]).await;
    // What such a role can lock of the tables is nothing.
    let refused = idler
        .batch_execute("lock table public.refinery_schema_history in share update exclusive mode")
        .await;
    assert!(refused.is_err());
    server.stop().await.unwrap();
    drop(idler);
    dba.batch_execute(&format!("drop role {role}"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_what_a_migration_waits_for_is_said() {
    for (version, held, table) in [
        (12, "select from public.sources", "sources"),
        (
            12,
            "lock table public.refinery_schema_history in share update exclusive mode",
            "refinery_schema_history",
        ),
    ] {
        let database = at_version(version).await;
        let holder = database.connect().await;
        let pid = text(&holder, "select pg_backend_pid()::text").await;
        holder
            .batch_execute(&format!("begin; {held}"))
            .await
            .unwrap();
        let server = TestServer::launch(&database.url, &[]).await;
        let mut operator = Http::new(&server.base);
        eventually("readiness says who holds the lock", async || {
            let ready = operator.get("/readyz").send().await;
            let holder = format!("{table} is locked by pid {pid} ");
            ready.status == 503 && ready.text().contains(&holder)
        })
        .await;
        holder.batch_execute("commit").await.unwrap();
        server.ready().await;
        server.stop().await.unwrap();
    }
}

/// A database whose users were imported before names were compared by their look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_upgrade_with_thousands_of_users_the_first_registration_succeeds() {
    let database = at_version(19).await;
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into users (username, password_hash) select 'user ' || n, '!' from generate_series(1, 9000) n;
         -- 600 that differ in case alone.
         insert into users (username, password_hash)
         select (select string_agg(case when n >> i::int & 1 = 1 then upper(c) else c end, '' order by i)
                   from unnest(string_to_array('abcdefghij', null)) with ordinality letters (c, i)), '!'
           from generate_series(0, 1198, 2) n",
    )
    .await
    .unwrap();
    let server = TestServer::on(&database.url, &[]).await;
    // A busy machine may answer 503, and a registration that was answered so may have been
    // written: each try takes another name.
    let tries = AtomicUsize::new(0);
    eventually("a registration succeeds", async || {
        let name = format!("newcomer{}", tries.fetch_add(1, Ordering::Relaxed));
        let answer = register(&server.base, &name, "Correct-horse-7").await;
        assert!([201, 503].contains(&answer.status), "{}", answer.text());
        answer.status == 201
    })
    .await;
    for name in ["aBcDefghij", "USER 77", "us\u{435}r 8999"] {
        let answer = register(&server.base, name, "Correct-horse-7").await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
    }
    eventually("all names have keys", async || {
        let sql = "select count(*)::text from users where name_key is null or look_key is null";
        text(&dba, sql).await == "0"
    })
    .await;
    // From then on a registration writes nobody else's row.
    let places =
        "select md5(string_agg(ctid::text, ' ' order by id)) from users where username <> 'other'";
    let before = text(&dba, places).await;
    for (name, status) in [("other", 201), ("ABCDEFGHIJ", 400)] {
        let answer = register(&server.base, name, "Correct-horse-7").await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
    }
    assert_eq!(text(&dba, places).await, before);
    server.stop().await.unwrap();
}
