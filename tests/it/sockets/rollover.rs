//! The day's turn, by a real clock: the servers' time zone is chosen so that its midnight is near.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use marketplace::{
    db::{changes, sessions, users},
    pg::Pool,
};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{
    dashboard::Dashboard,
    postgres::Home,
    program::{Running, program},
    server::{SOON, TestServer, database, eventually, open},
};

const SECONDS_A_DAY: i64 = 86_400;

/// A POSIX time zone in which it is `seconds` before midnight now.
fn zone_before_midnight(seconds: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let now = i64::try_from(now).unwrap() % SECONDS_A_DAY;
    let mut ahead = SECONDS_A_DAY - seconds - now;
    if ahead > SECONDS_A_DAY / 2 {
        ahead -= SECONDS_A_DAY;
    }
    // POSIX counts westwards.
    let (sign, ahead) = if ahead < 0 {
        ('+', -ahead)
    } else {
        ('-', ahead)
    };
    format!(
        "TST{sign}{:02}:{:02}:{:02}",
        ahead / 3600,
        ahead / 60 % 60,
        ahead % 60
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_day_turns_without_a_write_and_once_for_all_servers() {
    let database = database().await;
    let dba = database.connect().await;
    let zone = zone_before_midnight(6);
    let one = TestServer::on(&database.url, &["--time-zone", &zone]).await;
    let _other = TestServer::on(&database.url, &["--time-zone", &zone]).await;
    let today: String = dba
        .query_one("select local_date()::text", &[])
        .await
        .unwrap()
        .get(0);
    dba.batch_execute(
        "insert into sources (id, country, current_update) values
            ('00000000-0000-0000-0000-000000000001', 'tomorrow', local_date() + 1),
            (default, 'today', local_date()), (default, 'later', local_date() + 2)",
    )
    .await
    .unwrap();
    let watched = Uuid::from_u128(1);
    let mut dashboard = Dashboard::open(&one.visitor("watcher").await, watched).await;
    dashboard.agrees_with(&dba, watched).await;
    let states = "select string_agg(country || ' ' || datadelivery_status, ', ' order by country)
        from sources";
    let before: String = dba.query_one(states, &[]).await.unwrap().get(0);
    assert_eq!(before, "later awaiting, today received, tomorrow awaiting");

    eventually("the day has turned", async || {
        let after: String = dba.query_one(states, &[]).await.unwrap().get(0);
        after == "later awaiting, today delayed, tomorrow received"
    })
    .await;
    dashboard.agrees_with(&dba, watched).await;
    let turns = "select count(*), max(rederived) from day_turns where day > $1::text::date";
    let turns = dba.query_one(turns, &[&today]).await.unwrap();
    assert_eq!((turns.get::<_, i64>(0), turns.get::<_, i64>(1)), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prune_that_fails_is_logged_and_made_up_for_and_the_day_turns() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into changes (at, table_name, operation, role_name, application_name)
         values (now() - interval '31 days', 'sources', 'insert', 'old', 'psql');
         create function refuse() returns trigger language plpgsql as
             $$ begin raise 'not today'; end $$;
         create trigger refused before delete on changes execute function refuse()",
    )
    .await
    .unwrap();
    let home = Home::new();
    std::fs::create_dir(&home.dir).unwrap();
    let log = home.dir.join("log");
    let mut command = program(&["serve", "--bind", "127.0.0.1:0"]);
    command.env("DATABASE_URL", &database.url);
    let _server = Running::logging(command, &log);
    let refused = || {
        let log = std::fs::read_to_string(&log).unwrap();
        let mut lines = log.lines();
        lines.any(|line| line.contains("cannot delete old rows") && line.contains("not today"))
    };
    eventually("the failure is logged", async || refused()).await;
    dba.batch_execute("delete from day_turns").await.unwrap();
    eventually("the day turns all the same", async || {
        let turned = dba.query("select from day_turns", &[]).await.unwrap();
        !turned.is_empty()
    })
    .await;
    let old = "select from changes where role_name = 'old'";
    assert_eq!(dba.query(old, &[]).await.unwrap().len(), 1);
    dba.batch_execute("drop trigger refused on changes")
        .await
        .unwrap();
    eventually("the next try removes it", async || {
        dba.query(old, &[]).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_day_that_turned_while_no_server_was_up_is_turned_by_the_next() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into sources (country, current_update) values ('a', local_date());
         alter table sources disable trigger sources_derived;
         update sources set datadelivery_status = 'awaiting';
         alter table sources enable always trigger sources_derived;
         delete from day_turns; insert into day_turns (day) values (local_date() - 1)",
    )
    .await
    .unwrap();
    let server = TestServer::on(&database.url, &[]).await;
    let mut socket = open(&server.visitor("watcher").await, "/ws/read_source/").await;
    let mut status = Value::Null;
    eventually("the row's status follows the calendar", async || {
        status = socket.next_json(SOON).await["data"][0]["datadelivery_status"].clone();
        status == "received"
    })
    .await;
}

#[tokio::test]
async fn another_time_zone_derives_every_status_again() {
    let database = database().await;
    let dba = database.connect().await;
    TestServer::on(&database.url, &["--time-zone", "Etc/GMT+12"])
        .await
        .stop()
        .await
        .unwrap();
    dba.batch_execute("insert into sources (current_update) values (local_date())")
        .await
        .unwrap();
    // 24 hours ahead of the other: always the next day there.
    let server = TestServer::on(&database.url, &["--time-zone", "Etc/GMT-12"]).await;
    let status = "select datadelivery_status from sources";
    let status: String = dba.query_one(status, &[]).await.unwrap().get(0);
    assert_eq!(status, "delayed");
    let zone: String = dba
        .query_one("select local_time_zone()", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(zone, "Etc/GMT-12");
    server.stop().await.unwrap();
}

/// Two rows whose status the calendar has left behind.
const STALE: &str = "insert into sources (id, current_update) values
        ('00000000-0000-0000-0000-000000000001', local_date()),
        ('00000000-0000-0000-0000-000000000002', local_date());
    alter table sources disable trigger sources_derived;
    update sources set datadelivery_status = 'awaiting';
    alter table sources enable always trigger sources_derived;
    truncate day_turns";

#[tokio::test]
async fn housekeeping_waits_for_no_row_and_fails_no_transaction() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(STALE).await.unwrap();
    let statuses = "select array_agg(datadelivery_status::text order by id) from sources";
    let write = |n: u8| {
        format!(
            "update sources set country = 'x'
              where id = '00000000-0000-0000-0000-00000000000{n}'"
        )
    };
    for job in ["turn_day()", "rederive_sources()"] {
        let (user, keeper) = (database.connect().await, database.connect().await);
        user.batch_execute(&format!("begin; {}", write(2)))
            .await
            .unwrap();
        let sql = format!("select {job}::text");
        // Waiting for the second row while it holds the first is one half of a deadlock.
        let done = tokio::time::timeout(SOON, keeper.query_one(&sql, &[])).await;
        let done = done.expect("it waits for nobody").unwrap();
        assert_ne!(
            done.get::<_, &str>(0),
            "0",
            "{job} has derived the other row"
        );
        let found: Vec<String> = dba.query_one(statuses, &[]).await.unwrap().get(0);
        assert_eq!(found, ["received", "awaiting"], "{job}");
        user.batch_execute(&write(1)).await.expect("no deadlock");
        user.batch_execute("rollback").await.unwrap();

        // What the other one held is stale until the next run.
        let found: Vec<String> = dba.query_one(statuses, &[]).await.unwrap().get(0);
        assert_eq!(found, ["received", "awaiting"], "{job}");
        keeper
            .execute("select rederive_sources()", &[])
            .await
            .unwrap();
        let found: Vec<String> = dba.query_one(statuses, &[]).await.unwrap().get(0);
        assert_eq!(found, ["received", "received"], "{job}");
        dba.batch_execute(&format!("truncate sources; {STALE}"))
            .await
            .unwrap();
    }
}

/// Somebody has dropped constraints and turned the triggers off: the rows that came in are bad in ways
/// that the trigger and the constraints refuse.
#[tokio::test]
async fn bad_rows_keep_no_other_row_from_turning() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "alter table sources add column today text, add column changed text, add column ids text;
         alter table day_turns add column today text, add column changed text;
         alter table sources drop constraint sources_next_update_range, drop constraint sources_in_range;
         alter table sources disable trigger user;
         insert into sources (country, current_update, datadelivery_status)
              select 'good ' || n, local_date() - 1, 'awaiting' from generate_series(1, 200) n;
         insert into sources (country, current_update, datadelivery_status, next_update, next_status) values
              ('far', local_date() - 1, 'awaiting', '5000000-01-01', 'kept'),
              ('endless', local_date() - 1, 'awaiting', 'infinity', 'kept');
         insert into sources (country, current_update, datadelivery_status, created_at)
              values ('refused', local_date() - 1, 'awaiting', 'infinity');
         alter table sources add constraint sources_in_range check (isfinite(created_at)) not valid;
         do $$ declare name text; begin
             for name in select tgname from pg_trigger where tgrelid = 'sources'::regclass and not tgisinternal loop
                 execute format('alter table sources enable always trigger %I', name);
             end loop;
         end $$",
    )
    .await
    .unwrap();
    let turned = dba.query_one("select turn_day()", &[]).await.unwrap();
    assert!(turned.get::<_, bool>(0));
    let sql = "select string_agg(format('%s %s %s', country, datadelivery_status, next_status), ', ' order by country)
                 from sources where country not like 'good%' or datadelivery_status <> 'delayed'";
    let rows: String = dba.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(
        rows,
        "endless delayed kept, far delayed kept, refused awaiting unscheduled"
    );
    let counted = "select rederived from day_turns where day = local_date()";
    let counted: i64 = dba.query_one(counted, &[]).await.unwrap().get(0);
    assert_eq!(counted, 202);
}

#[tokio::test]
async fn a_role_that_may_only_connect_keeps_no_day_from_turning() {
    let database = database().await;
    let dba = database.connect().await;
    let (role, idler) = database.connect_as_stranger().await;
    idler
        .batch_execute("select pg_advisory_lock('public.day_turns'::regclass::bigint)")
        .await
        .unwrap();
    let turned = dba.query_one("select turn_day()", &[]).await.unwrap();
    assert!(turned.get::<_, bool>(0));
    drop(idler);
    dba.batch_execute(&format!("drop role {role}"))
        .await
        .unwrap();
}

#[tokio::test]
async fn rows_that_somebody_has_locked_are_removed_later() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into changes (at, table_name, operation, role_name, application_name)
         select now() - interval '31 days', 'sources', 'update', role, '' from unnest(array['a', 'b']) role;
         insert into users (username, password_hash) values ('ann', 'x');
         insert into sessions (user_id, token_hash, created_at, expires_at)
         select id, sha256(n::text::bytea), now() - interval '3 hours',
                now() + case when n <= 2 then interval '-1 hour' else n * interval '1 minute' end
           from users, generate_series(1, 102) n",
    )
    .await
    .unwrap();
    let pool = Pool::new(&database.url.parse().unwrap(), 1).unwrap();
    let keeper = pool.client().await.unwrap();
    let left = async |sql: &str| -> i64 { dba.query_one(sql, &[]).await.unwrap().get(0) };
    let count = "select count(*) from changes";
    let expired = "select count(*) from sessions where expires_at < now()";

    let holder = database.connect().await;
    holder
        .batch_execute(
            "begin; select from changes where role_name = 'a' for update;
             select from sessions where token_hash in (sha256('1'), sha256('3')) for update",
        )
        .await
        .unwrap();
    let jobs = async {
        changes::prune(&keeper).await.unwrap();
        assert_eq!(left(count).await, 1);
        sessions::delete_expired(&keeper).await.unwrap();
        assert_eq!(left(expired).await, 1);
        // The hundred that are valid leave no room, and the oldest of them is locked.
        let user = users::by_username(&keeper, "ann").await.unwrap().unwrap();
        let hour = Duration::from_hours(1);
        let made = sessions::insert(&keeper, &user, &[1; 32], hour).await;
        assert!(made.unwrap().is_some());
    };
    let done = tokio::time::timeout(SOON, jobs).await;
    done.expect("nothing waits for what is locked");
    holder.batch_execute("rollback").await.unwrap();
    changes::prune(&keeper).await.unwrap();
    sessions::delete_expired(&keeper).await.unwrap();
    assert_eq!((left(count).await, left(expired).await), (0, 0));
}
