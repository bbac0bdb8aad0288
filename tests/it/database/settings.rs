//! What a role, a database or `postgresql.conf` sets does not reach the program's connections, directly
//! or through a transaction pooler; and what other transactions do is waited out or said.

use std::{
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use marketplace::{db::migrate, pg::Pool};
use serde_json::json;
use tokio_postgres::{Client, error::SqlState};
use uuid::Uuid;

use crate::support::{
    client::Http,
    dashboard::Dashboard,
    observe::listeners,
    pgbouncer::PgBouncer,
    postgres::{self, TestDatabase},
    server::{SOON, TestServer, database, eventually},
};

const WATCHED: Uuid = Uuid::from_u128(1);

/// What can be set for a role or a database that would stop a server or change what it does.
const SET: [(&str, &str); 22] = [
    ("search_path", "elsewhere, pg_catalog, public"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_deferrable", "on"),
    ("lock_timeout", "1"),
    ("enable_seqscan", "off"),
    ("enable_nestloop", "off"),
    ("enable_sort", "off"),
    ("statement_timeout", "100"),
    ("idle_in_transaction_session_timeout", "1"),
    ("idle_session_timeout", "50"),
    ("row_security", "off"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "sql_standard"),
    ("TimeZone", "Pacific/Apia"),
    ("standard_conforming_strings", "off"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-15"),
    ("transform_null_equals", "on"),
    ("quote_all_identifiers", "on"),
    ("plpgsql.extra_errors", "all"),
    ("exit_on_error", "on"),
];

/// What the program's connections have instead.
const HAVE: [(&str, &str); 22] = [
    ("search_path", "pg_catalog, pg_temp"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    // A write waits for a lock so long; see `a_lock_that_somebody_holds_is_said_and_nothing_happens_later`.
    ("lock_timeout", "850ms"),
    ("enable_seqscan", "on"),
    ("enable_nestloop", "on"),
    ("enable_sort", "on"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("row_security", "on"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("standard_conforming_strings", "on"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("transform_null_equals", "off"),
    ("quote_all_identifiers", "off"),
    ("plpgsql.extra_errors", "none"),
    ("exit_on_error", "off"),
];

/// The statements of the program's pool have each of its settings.
async fn are_fixed(url: &str, left_out: &str) {
    let pool = Pool::new(&url.parse().unwrap(), 1).unwrap();
    let client = pool.client().await.unwrap();
    for ((name, value), (set, _)) in HAVE.iter().zip(SET) {
        assert_eq!(*name, set);
        if *name != left_out {
            let sql = format!("select current_setting('{name}')");
            let rows = client.query_typed(&sql, &[]).await.unwrap();
            assert_eq!(rows[0].get::<_, String>(0), *value, "{name}");
        }
    }
}

/// A schema in which names of ours mean something else.
const ELSEWHERE: &str = "create schema elsewhere;
    create table elsewhere.sources (id uuid, country text);
    create table elsewhere.users (id int);
    create table elsewhere.sessions (id int);
    create table elsewhere.refinery_schema_history (id int);
    create function elsewhere.local_date() returns date language sql as
        $$ select 'infinity'::date $$;
    create function elsewhere.equal(text, text) returns boolean language sql as $$ select false $$;
    create operator elsewhere.= (leftarg = text, rightarg = text, function = elsewhere.equal);
    create function elsewhere.never(timestamptz, timestamptz) returns boolean language sql as
        $$ select false $$;
    create operator elsewhere.= (leftarg = timestamptz, rightarg = timestamptz,
        function = elsewhere.never);
    grant usage on schema elsewhere to public;
    grant all on all tables in schema elsewhere to public;";

/// Who sets it.
#[derive(Clone, Copy, Debug)]
enum By {
    Role,
    Database,
}

/// A role of this database's own that owns it, and its address.
async fn owner_of(database: &TestDatabase) -> (String, String) {
    let role = format!("owner_of_{}", database.name);
    let dba = database.connect().await;
    dba.batch_execute(&format!(
        "create role {role} login nosuperuser password 'hush';
         alter database {} owner to {role}; create role {role}_group; grant {role} to current_user",
        database.name
    ))
    .await
    .unwrap();
    let (_, server) = database.url.split_once('@').unwrap();
    (role.clone(), format!("postgres://{role}:hush@{server}"))
}

/// Sets everything for the connections to come.
async fn set_all(dba: &Client, database: &TestDatabase, role: &str, by: By) {
    for (name, value) in SET {
        let value = if name == "search_path" {
            value.to_owned()
        } else {
            format!("'{value}'")
        };
        let whose = match by {
            By::Role => format!("role {role}"),
            By::Database => format!("database {}", database.name),
        };
        dba.batch_execute(&format!("alter {whose} set {name} = {value}"))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}

/// Writes over HTTP and by hand; every dashboard follows.
async fn works(server: &TestServer, dba: &Client, what: &str) {
    server.ready().await;
    dba.batch_execute(
        "set search_path = public; set statement_timeout = 0; set lock_timeout = 0;
         set default_transaction_read_only = off; set idle_session_timeout = 0;
         insert into sources (id, country) values
            ('00000000-0000-0000-0000-000000000001', 'one')",
    )
    .await
    .unwrap();
    let mut writer = server.visitor("writer").await;
    let mut dashboard = Dashboard::open(&writer, WATCHED).await;
    let path = format!("/api/update-source/{WATCHED}/");
    let change = json!({ "country": "two", "next_update": "2011-12-30" });
    let patched = writer.call("PATCH", &path).json(&change).send().await;
    assert_eq!(patched.status, 200, "{what}: {}", patched.text());
    assert_eq!(patched.json()["next_status"], "2011-12-30");
    let added = writer
        .post("/api/add-source/")
        .json(&json!({ "country": "added", "created_by": "writer" }))
        .send()
        .await;
    assert_eq!(added.status, 201, "{what}: {}", added.text());
    dba.batch_execute("update sources set status = 'inactive' where country = 'added'")
        .await
        .unwrap();
    dashboard.agrees_with(dba, WATCHED).await;
    let changed = writer
        .post("/api/password/")
        .json(&json!({
            "old_password": "Correct-horse-7", "new_password": "Another-horse-8",
            "confirm_password": "Another-horse-8",
        }))
        .send()
        .await;
    assert!(changed.status < 500, "{what}: {}", changed.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_role_or_database_never_reach_the_program() {
    for by in [By::Role, By::Database] {
        // Also the migrations run with them.
        let database = postgres::cluster().await.database(None).await;
        let dba = database.connect().await;
        let (role, url) = owner_of(&database).await;
        dba.batch_execute(ELSEWHERE).await.unwrap();
        set_all(&dba, &database, &role, by).await;
        let victim = postgres::connect(&url).await;
        let refused = victim.batch_execute("create table public.x (id int)").await;
        assert!(refused.is_err(), "{by:?}: others feel the settings");

        are_fixed(&url, "").await;
        let server = TestServer::launch(&url, &[]).await;
        works(&server, &dba, &format!("{by:?}")).await;
        let before = listeners(&dba).await;
        assert_eq!(before.len(), 1);
        // Much longer than a session may be idle.
        let beats = async || {
            let heard = Http::new(&server.base).get("/readyz").send().await;
            assert_eq!(heard.status, 200, "{by:?}: {}", heard.text());
        };
        let until = Instant::now() + Duration::from_secs(3);
        eventually("some heartbeats have passed", async || {
            beats().await;
            Instant::now() > until
        })
        .await;
        assert_eq!(listeners(&dba).await, before, "{by:?}: the listener stays");
        for (command, arguments) in [
            ("doctor", &[][..]),
            ("demo", &[][..]),
            ("users", &["list"][..]),
            ("migrate", &[][..]),
        ] {
            let mut all = vec![command];
            all.extend(arguments);
            let mut run = crate::support::program::program(&all);
            let output = run.env("DATABASE_URL", &url).output().await.unwrap();
            assert!(output.status.success(), "{by:?}: {command}: {output:?}");
        }
        let sql = "select (select count(*) from elsewhere.sources)
                          + (select count(*) from elsewhere.users)";
        let astray: i64 = dba.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!(astray, 0, "{by:?}: nothing went elsewhere");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_role_do_not_reach_the_program_through_a_pooler() {
    for ignores in [false, true] {
        let database = postgres::cluster().await.database(None).await;
        let dba = database.connect().await;
        let (role, url) = owner_of(&database).await;
        dba.batch_execute(ELSEWHERE).await.unwrap();
        set_all(&dba, &database, &role, By::Role).await;
        // Such a session would end before the pooler has another use for it.
        dba.batch_execute(&format!("alter role {role} reset idle_session_timeout"))
            .await
            .unwrap();
        let pooler = if ignores {
            PgBouncer::that_ignores_options(&url, 4).await
        } else {
            PgBouncer::before(&url, 4).await
        };
        are_fixed(&pooler.url, "idle_session_timeout").await;
        let server = TestServer::launch(&pooler.url, &["--listen-database-url", &url]).await;
        works(&server, &dba, &format!("ignores options: {ignores}")).await;
        assert!(pooler.transactions().await > 0);
        let sql = "select count(*) from elsewhere.sources";
        let astray: i64 = dba.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!(astray, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_planner_method_is_as_postgresql_has_it() {
    let database = database().await;
    let dba = database.connect().await;
    let methods = "from pg_settings where category = 'Query Tuning / Planner Method Configuration'";
    let sql = format!("select name, case boot_val when 'on' then 'off' else 'on' end {methods}");
    let rows = dba.query(&sql, &[]).await.unwrap();
    assert!(rows.len() > 15, "{} methods", rows.len());
    for row in &rows {
        let (name, other): (&str, &str) = (row.get(0), row.get(1));
        let set = format!(
            "alter database {} set {name} = {other}; alter database {0} set jit = on",
            database.name
        );
        dba.batch_execute(&set).await.unwrap();
    }
    let changed = format!(
        "select coalesce(string_agg(name, ' '), '') as names from (
            select name {methods} and setting <> boot_val
            union all select 'jit' where current_setting('jit') = 'on') changed"
    );
    let felt = database.connect().await;
    let felt: String = felt.query_one(&changed, &[]).await.unwrap().get(0);
    assert_eq!(felt.split(' ').count(), rows.len() + 1, "others feel them");
    let pooler = PgBouncer::before(&database.url, 4).await;
    for url in [&database.url, &pooler.url] {
        let pool = Pool::new(&url.parse().unwrap(), 1).unwrap();
        let client = pool.client().await.unwrap();
        let rows = client.query_typed(&changed, &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, &str>("names"), "", "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_the_roles_name_is_not_in_front() {
    let database = postgres::cluster().await.database(None).await;
    let dba = database.connect().await;
    let (role, url) = owner_of(&database).await;
    dba.batch_execute(&format!("create schema {role} authorization {role}"))
        .await
        .unwrap();
    let server = TestServer::launch(&url, &[]).await;
    works(&server, &dba, "a schema of the role's name").await;
    let sql = "select count(*) from pg_class where relnamespace = $1::text::regnamespace";
    let made: i64 = dba.query_one(sql, &[&role]).await.unwrap().get(0);
    assert_eq!(made, 0, "everything is in public");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writes_to_one_source_all_succeed_where_the_default_is_serializable() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(&format!(
        "alter database {} set default_transaction_isolation = 'serializable';
         insert into sources (id) values ('00000000-0000-0000-0000-000000000001')",
        database.name
    ))
    .await
    .unwrap();
    let server = TestServer::on(&database.url, &[]).await;
    let writer = server.visitor("writer").await;
    let changes = (0..60).map(|n| {
        let mut writer = writer.clone();
        async move {
            let path = format!("/api/update-source/{WATCHED}/");
            let change = json!({ "panel": n.to_string() });
            writer
                .call("PATCH", &path)
                .json(&change)
                .send()
                .await
                .status
        }
    });
    let statuses = futures_util::future::join_all(changes).await;
    assert_eq!(statuses, [200; 60]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_somebody_holds_is_said_and_nothing_happens_later() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into sources (id, country) values
            ('00000000-0000-0000-0000-000000000001', 'before')",
    )
    .await
    .unwrap();
    let mut writer = server.visitor("writer").await;
    let path = format!("/api/update-source/{WATCHED}/");
    for lock in [
        "select from sources for update",
        "lock table sources in share row exclusive mode",
    ] {
        dba.batch_execute(&format!("begin; {lock}")).await.unwrap();
        let change = json!({ "country": "too late" });
        let asked = Instant::now();
        let refused = writer.call("PATCH", &path).json(&change).send().await;
        let took = asked.elapsed();
        assert_eq!(refused.status, 503, "{}", refused.text());
        let said = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            said.contains("changing the same row. Nothing was saved"),
            "{said}"
        );
        assert!(took > Duration::from_millis(800), "it waited: {took:?}");
        dba.batch_execute("commit").await.unwrap();
        // Whoever waited would have the lock now.
        let waiting = "select from pg_stat_activity where datname = current_database()
                        and wait_event_type = 'Lock'";
        eventually("nobody waits", async || {
            dba.query(waiting, &[]).await.unwrap().is_empty()
        })
        .await;
        let country: String = dba
            .query_one("select country from sources", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(country, "before", "{lock}");
        let change = json!({ "country": "before" });
        let done = writer.call("PATCH", &path).json(&change).send().await;
        assert_eq!(done.status, 200, "{}", done.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_rolled_back_for_another_is_made_again() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    // The first attempts fail as PostgreSQL lets them fail.
    dba.batch_execute(
        "insert into sources (id) values ('00000000-0000-0000-0000-000000000001');
         insert into users (username, password_hash, role) values ('boss', 'x', 'admin');
         create sequence attempts;
         create function stumble() returns trigger language plpgsql as $$
         begin
             -- A sequence is not rolled back.
             if nextval('public.attempts') % 3 <> 0 then
                 raise exception 'in the way' using errcode = tg_argv[0];
             end if;
             return new;
         end $$;
         create trigger a before update on sources for each row execute function stumble('40P01');
         create trigger a before update of role on users for each row
             execute function stumble('40001')",
    )
    .await
    .unwrap();
    let mut writer = server.visitor("writer").await;
    let path = format!("/api/update-source/{WATCHED}/");
    let change = json!({ "country": "written" });
    let done = writer.call("PATCH", &path).json(&change).send().await;
    assert_eq!(done.status, 200, "{}", done.text());
    let attempts = async || -> i64 {
        let sql = "select last_value from attempts";
        dba.query_one(sql, &[]).await.unwrap().get(0)
    };
    assert_eq!(attempts().await, 3, "two attempts failed");
    let output = crate::support::program::program(&["users", "role", "writer", "viewer"])
        .env("DATABASE_URL", &database.url)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(attempts().await, 6, "two more failed");

    // Not for ever.
    dba.batch_execute(
        "create or replace function stumble() returns trigger language plpgsql as $$
         begin raise exception 'in the way' using errcode = tg_argv[0]; end $$",
    )
    .await
    .unwrap();
    dba.batch_execute("update users set role = 'editor' where username = 'writer'")
        .await
        .unwrap_err();
    let refused = dba.batch_execute("update sources set panel = 'p'").await;
    assert_eq!(
        refused.unwrap_err().code(),
        Some(&SqlState::T_R_DEADLOCK_DETECTED)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_has_become_read_only_is_not_ready_and_says_so() {
    let mut cluster = postgres::private_cluster(&[]).await;
    let url = cluster.url();
    migrate::run(&url.parse().unwrap(), "Europe/Paris")
        .await
        .unwrap();
    let server = TestServer::on(&url, &[]).await;
    // The same cluster as a standby of nobody.
    let signal = cluster.data_dir().join("cluster/standby.signal");
    std::fs::write(&signal, "").unwrap();
    let owner = std::fs::metadata(cluster.data_dir().join("cluster")).unwrap();
    std::os::unix::fs::chown(&signal, Some(owner.uid()), Some(owner.gid())).unwrap();
    cluster
        .restart(marketplace::embedded::StopMode::Fast)
        .await
        .unwrap();
    let mut operator = Http::new(&server.base);
    eventually("readiness says it", async || {
        let ready = operator.get("/readyz").send().await;
        ready.status == 503 && ready.text().contains("it only reads: it is a standby")
    })
    .await;
    std::fs::remove_file(&signal).unwrap();
    cluster
        .restart(marketplace::embedded::StopMode::Fast)
        .await
        .unwrap();
    server.ready().await;
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused_with_what_to_do() {
    let cluster = postgres::cluster().await;
    let any = cluster.database(None).await;
    let dba = any.connect().await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("{}_{}", any.name, encoding.to_lowercase());
        dba.batch_execute(&format!(
            "create database {name} encoding '{encoding}' template template0 locale 'C'"
        ))
        .await
        .unwrap();
        let url = postgres::with_database(&any.url, &name);
        let sentence = format!(
            "the database {name} has the encoding {encoding}: make one with `create database NAME \
             encoding 'UTF8' template template0` and restore a dump of this one there"
        );
        for command in [
            &["serve", "--bind", "127.0.0.1:0"][..],
            &["migrate"],
            &["doctor"],
        ] {
            let mut run = crate::support::program::program(command);
            run.env("DATABASE_URL", &url);
            let output = tokio::time::timeout(SOON, run.output()).await;
            let output = output.expect("it ends").unwrap();
            assert!(!output.status.success(), "{command:?}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout);
            if command[0] == "doctor" {
                assert!(
                    said.contains(encoding) && said.contains("template0"),
                    "{said}"
                );
            } else {
                assert!(said.contains(&sentence), "{said}");
            }
        }
        dba.batch_execute(&format!("drop database {name} with (force)"))
            .await
            .unwrap();
    }
}
