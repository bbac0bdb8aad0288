//! A matrix of SQL statements, run by hand as a DBA would: which channels each notifies how often,
//! and that every kind of socket ends with what the table says.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use marketplace::db::migrate;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, NoTls, error::SqlState};
use uuid::Uuid;

use crate::support::{
    dashboard::Dashboard,
    postgres::{self, TestDatabase},
    server::{SOON, TestServer},
};

/// The source that the filter socket watches.
const WATCHED: Uuid = Uuid::from_u128(1);

/// What each case begins with: five rows, the first of them watched.
const SEED: &str = "truncate sources;
    insert into sources (id, country, current_update) values
        ('00000000-0000-0000-0000-000000000001', 'one', null),
        ('00000000-0000-0000-0000-000000000002', 'two', local_date()),
        ('00000000-0000-0000-0000-000000000003', 'three', local_date() + 1),
        ('00000000-0000-0000-0000-000000000004', 'four', local_date() - 1),
        ('00000000-0000-0000-0000-000000000005', 'five', null);";

/// A statement and how often it notifies each channel.
struct Case {
    what: &'static str,
    sql: &'static str,
    notified: &'static [(&'static str, usize)],
}

const fn case(
    what: &'static str,
    sql: &'static str,
    notified: &'static [(&'static str, usize)],
) -> Case {
    Case {
        what,
        sql,
        notified,
    }
}

const ROWS: &[(&str, usize)] = &[("activity", 1), ("crud", 1), ("source_lib", 1)];
const COLUMNS: &[(&str, usize)] = &[("activity", 1), ("crud", 1), ("source", 1)];
const STATUS: &[(&str, usize)] = &[
    ("activity", 1),
    ("crud", 1),
    ("toggle", 1),
    ("source_lib", 1),
];
const NOTHING: &[(&str, usize)] = &[];

/// More rows than a notification names, with both statuses, written before what a case is about.
const MANY: &str =
    "insert into sources (status) select case n % 2 when 0 then 'active' else 'inactive' end
    from generate_series(1, 300) n;";

/// What an update of [`MANY`] rows notifies, their insertion not counted.
const MANY_CASES: &[Case] = &[
    case(
        "update of many texts",
        "update sources set panel = 'p'",
        COLUMNS,
    ),
    case(
        "update of many statuses to themselves",
        "update sources set status = status",
        COLUMNS,
    ),
    case(
        "update of many statuses",
        "update sources set status = 'archived'",
        STATUS,
    ),
    case(
        "update of one status among many",
        "update sources set status = case country when 'one' then 'inactive' else status end",
        STATUS,
    ),
    case(
        "many rows that swap their statuses",
        "update sources set status = case status when 'active' then 'inactive' else 'active' end",
        STATUS,
    ),
    case(
        "update of one delivery among many",
        "update sources set current_update = local_date() where country in ('one', '')",
        ROWS,
    ),
    case(
        "update of one created_at among many",
        "update sources set created_at = created_at - interval '1 microsecond' where country = 'one'",
        ROWS,
    ),
    case(
        "many rows that swap their created_at",
        "update sources s set created_at = o.created_at
           from (select id, row_number() over (order by id) n, created_at from sources) a,
                (select id, row_number() over (order by id desc) n, created_at from sources) o
          where s.id = a.id and a.n = o.n",
        ROWS,
    ),
    case(
        "update of many created_at to themselves",
        "update sources set created_at = created_at",
        COLUMNS,
    ),
    case(
        "update of many keys",
        "update sources set id = gen_random_uuid()",
        STATUS,
    ),
];

const CASES: &[Case] = &[
    case("insert", "insert into sources (country) values ('new')", ROWS),
    case("insert with defaults only", "insert into sources default values", ROWS),
    case(
        "insert of many rows",
        "insert into sources (country) select 'n' || n from generate_series(1, 500) n",
        ROWS,
    ),
    case("insert of no row", "insert into sources (country) select 'x' where false", NOTHING),
    case("copy", "copy sources (country, current_update) from stdin;\nA\t2024-01-01\nB\t\\N\n\\.\n", ROWS),
    case("copy of no row", "copy sources (country) from stdin;\n\\.\n", NOTHING),
    case("update of a text", "update sources set country = 'moved' where country = 'one'", COLUMNS),
    case("update of every row's text", "update sources set panel = 'p'", COLUMNS),
    case("update of a text to itself", "update sources set country = country", COLUMNS),
    case("update of next_update", "update sources set next_update = '2030-01-01'", COLUMNS),
    case("update of end_date", "update sources set end_date = '2030-01-01'", COLUMNS),
    case(
        "update of current_update that moves no count",
        "update sources set current_update = '1999-01-01' where country = 'one'",
        COLUMNS,
    ),
    case(
        "update of current_update that moves a count",
        "update sources set current_update = local_date() where country = 'one'",
        ROWS,
    ),
    case(
        "update of the derived columns, which the database derives again",
        "update sources set datadelivery_status = 'received', next_status = 'never'",
        COLUMNS,
    ),
    case("update of status", "update sources set status = 'inactive' where country = 'one'", STATUS),
    case("update of every status", "update sources set status = 'archived'", STATUS),
    case("update of status to itself", "update sources set status = status", COLUMNS),
    case(
        "update of status and text",
        "update sources set status = 'inactive', country = upper(country)",
        STATUS,
    ),
    case(
        "update of created_at",
        "update sources set created_at = now() - interval '31 days' where country = 'one'",
        ROWS,
    ),
    case("update of created_at to itself", "update sources set created_at = created_at", COLUMNS),
    case("update of no row", "update sources set country = 'x' where false", NOTHING),
    case(
        "update of the key",
        "update sources set id = '00000000-0000-0000-0000-00000000000a' where country = 'one'",
        STATUS,
    ),
    case("delete", "delete from sources where country = 'one'", ROWS),
    case("delete of every row", "delete from sources", ROWS),
    case("delete of no row", "delete from sources where false", NOTHING),
    case("truncate", "truncate sources", ROWS),
    case(
        "merge that updates and inserts",
        "merge into sources s using (values ('one'), ('new')) v (c) on s.country = v.c
             when matched then update set panel = 'merged'
             when not matched then insert (country) values (v.c)",
        &[("activity", 2), ("crud", 2), ("source", 1), ("source_lib", 1)],
    ),
    case(
        "merge that deletes",
        "merge into sources s using (values ('one')) v (c) on s.country = v.c
             when matched then delete",
        ROWS,
    ),
    case(
        "upsert that inserts",
        "insert into sources (id, country) values (gen_random_uuid(), 'new')
             on conflict (id) do update set country = 'upserted'",
        ROWS,
    ),
    case(
        "upsert that updates",
        "insert into sources (id, country) values ('00000000-0000-0000-0000-000000000001', 'new')
             on conflict (id) do update set country = 'upserted'",
        COLUMNS,
    ),
    case(
        "upsert that does nothing",
        "insert into sources (id) values ('00000000-0000-0000-0000-000000000001')
             on conflict do nothing",
        NOTHING,
    ),
    case("rollback", "begin; update sources set status = 'x'; delete from sources; rollback", NOTHING),
    case(
        "savepoint rolled back",
        "begin; update sources set panel = 'p'; savepoint s; delete from sources;
         rollback to s; commit",
        COLUMNS,
    ),
    case(
        "two statements of one transaction on different rows",
        "begin; update sources set panel = 'a' where country = 'one';
         update sources set panel = 'b' where country = 'two'; commit",
        &[("activity", 2), ("crud", 2), ("source", 2)],
    ),
    case(
        "the same statement twice in one transaction, which PostgreSQL folds",
        "begin; update sources set panel = 'a' where country = 'one';
         update sources set panel = 'b' where country = 'one'; commit",
        &[("activity", 2), ("crud", 1), ("source", 1)],
    ),
    case(
        "replica role",
        "set session_replication_role = replica; update sources set status = 'inactive',
         current_update = local_date(); reset session_replication_role",
        STATUS,
    ),
    case(
        "replica role, insert and delete",
        "set session_replication_role = replica; insert into sources (current_update)
         values (local_date()); delete from sources where country = 'two';
         reset session_replication_role",
        &[("activity", 2), ("crud", 2), ("source_lib", 2)],
    ),
    case(
        "a common table expression that writes twice",
        "with gone as (delete from sources where country = 'one' returning id)
         insert into sources (country) select 'from ' || count(*) from gone",
        &[("activity", 2), ("crud", 2), ("source_lib", 2)],
    ),
    case("a search path without public", "set search_path = ''; update public.sources set status = 'inactive'; reset search_path", STATUS),
    case(
        "pipeline runs",
        "insert into pipeline_runs (step) values ('qc'); update pipeline_runs set state = 'RUNNING';
         update pipeline_runs set state = 'x' where false; delete from pipeline_runs;
         truncate pipeline_runs",
        &[("activity", 4), ("emr", 4), ("lib", 4)],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_statement_notifies_as_promised_and_every_socket_follows() {
    let (server, database) = TestServer::start().await;
    run_matrix(&server, &database).await;
}

/// Runs each case on a database of `server`.
pub async fn run_matrix(server: &TestServer, database: &TestDatabase) {
    let dba = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    let visitor = server.visitor("watcher").await;
    let mut dashboard = Dashboard::open(&visitor, WATCHED).await;
    let mut wire = Wire::listen(&database.url).await;

    let few = CASES.iter().map(|case| ("", case));
    let many = MANY_CASES.iter().map(|case| (MANY, case));
    for (before, case) in few.chain(many) {
        dba.batch_execute(SEED).await.unwrap();
        dba.batch_execute(before).await.unwrap();
        dba.batch_execute("notify sentinel").await.unwrap();
        wire.until_sentinel().await;
        // What follows a COPY's data must not begin with a semicolon, or psql takes no more.
        let end = if case.sql.ends_with('\n') { "" } else { ";" };
        let output = database
            .psql(&format!("{}{end}\nnotify sentinel;", case.sql))
            .await;
        assert!(output.status.success(), "{}: {output:?}", case.what);
        let counted = wire.until_sentinel().await;
        let expected: BTreeMap<String, usize> = case
            .notified
            .iter()
            .map(|(channel, n)| ((*channel).to_owned(), *n))
            .collect();
        assert_eq!(counted, expected, "{}", case.what);
        dashboard.agrees_with(&dba, WATCHED).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_rows_at_once_are_one_notification_and_every_socket_follows() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute(SEED).await.unwrap();
    dba.batch_execute(
        "insert into sources (country) select n::text from generate_series(6, 10000) n",
    )
    .await
    .unwrap();
    let visitor = server.visitor("watcher").await;
    let mut dashboard = Dashboard::open(&visitor, WATCHED).await;
    let mut wire = Wire::listen(&database.url).await;
    let changed = dba
        .execute("update sources set status = 'inactive'", &[])
        .await
        .unwrap();
    assert_eq!(changed, 10_000);
    dba.batch_execute("notify sentinel").await.unwrap();
    let counted = wire.until_sentinel().await;
    assert_eq!(counted.into_values().collect::<Vec<_>>(), [1, 1, 1, 1]);
    dashboard.agrees_with(&dba, WATCHED).await;
}

#[tokio::test]
async fn payloads_name_rows_as_long_as_they_fit() {
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    let mut wire = Wire::listen(&database.url).await;
    for (rows, named) in [(1, Some(1)), (204, Some(204)), (205, None), (5000, None)] {
        let sql = "insert into sources (country) select n::text from generate_series(1, $1::int) n";
        dba.execute(sql, &[&rows]).await.unwrap();
        let (channel, payload) = wire.next().await;
        let kept: serde_json::Value = serde_json::from_str(&payload).unwrap();
        assert_eq!((&*channel, &kept["op"]), ("activity", &"insert".into()));
        assert_eq!(kept["ids"].as_array().map(Vec::len), Some(1));
        let (_, payload) = wire.next().await;
        let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
        assert_eq!(payload["op"], "insert");
        assert_eq!(payload["ids"].as_array().map(Vec::len), named, "{rows}");
        wire.next().await;
    }
    // Text sizes are the database's business too: the limit is PostgreSQL's own.
    dba.batch_execute("update sources set panel = 'p'")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_date_is_the_same_in_every_time_zone() {
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    let zones = "select name from pg_timezone_names";
    let zones = dba.query(zones, &[]).await.unwrap();
    assert!(zones.len() > 300);
    // In these zones these days, or their midnights, never were.
    let days = [
        "2011-12-30", // Pacific/Apia
        "1993-08-21", // Pacific/Kwajalein
        "1844-12-31", // Asia/Manila
        "2018-11-04", // America/Sao_Paulo
        "0001-01-01",
        "9999-12-31",
    ];
    for zone in zones {
        let zone: &str = zone.get(0);
        let sql = "select set_config('TimeZone', $1, false)";
        dba.execute(sql, &[&zone]).await.unwrap();
        let sql = "insert into sources (next_update) select unnest($1::text[])::date
                   returning next_status";
        let rows = dba.query(sql, &[&days.as_slice()]).await.unwrap();
        let derived: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(derived, days, "{zone}");
    }
}

#[tokio::test]
async fn a_two_phase_commit_after_a_write_fails_in_postgresql() {
    let cluster = postgres::private_cluster(&[("max_prepared_transactions", "5")]).await;
    let url = cluster.url();
    migrate::run(&url.parse().unwrap(), "Europe/Paris")
        .await
        .unwrap();
    let dba = postgres::connect(&url).await;
    dba.batch_execute("begin; insert into users (username, password_hash) values ('a', 'x')")
        .await
        .unwrap();
    for statement in ["prepare transaction 'silent'", "commit prepared 'silent'"] {
        dba.batch_execute(statement)
            .await
            .expect("what announces nothing can be prepared");
    }
    for table in ["sources", "pipeline_runs"] {
        let column = if table == "sources" {
            "country"
        } else {
            "step"
        };
        dba.batch_execute(&format!(
            "begin; insert into {table} ({column}) values ('a')"
        ))
        .await
        .unwrap();
        let refused = dba.batch_execute("prepare transaction 'told'").await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED));
        let rows = format!("select from {table}");
        assert!(
            dba.query(&rows, &[]).await.unwrap().is_empty(),
            "nothing was written"
        );
    }
}

#[tokio::test]
async fn the_database_keeps_direct_edits_right() {
    let database = crate::support::server::database().await;
    let dba = database.connect().await;
    let row = dba
        .query_one(
            "insert into sources (current_update, next_update, datadelivery_status, next_status)
             values (local_date(), '0987-01-02', 'lies', 'lies')
             returning datadelivery_status, next_status, created_by = current_user,
                 status, panel_group, granularity, country, updated_at = created_at
                 or updated_at > created_at",
            &[],
        )
        .await
        .unwrap();
    let texts = [0, 1, 3, 4, 5, 6].map(|column| row.get::<_, String>(column));
    assert_eq!(
        texts,
        ["received", "0987-01-02", "active", "DKM", "National", ""]
    );
    assert!(row.get::<_, bool>(2) && row.get::<_, bool>(7));

    // `updated_at` moves by itself, but a statement that sets it is obeyed.
    let moved = "update sources set country = 'x' returning updated_at > created_at";
    assert!(dba.query_one(moved, &[]).await.unwrap().get::<_, bool>(0));
    let kept = "update sources set updated_at = '2020-01-01' returning updated_at = '2020-01-01'";
    assert!(dba.query_one(kept, &[]).await.unwrap().get::<_, bool>(0));

    for wrong in [
        "update sources set end_date = 'infinity'",
        "update sources set current_update = '0001-01-01 BC'",
        "update sources set created_at = '-infinity'",
        "update sources set country = null",
        "update sources set country = repeat('x', 256)",
        "insert into users (username, password_hash) values ('', 'x')",
        "insert into sessions (user_id, token_hash, expires_at) values (gen_random_uuid(), '', now())",
    ] {
        assert!(
            dba.batch_execute(wrong).await.is_err(),
            "{wrong} was accepted"
        );
    }
}

/// Somebody who only listens.
struct Wire {
    notifications: mpsc::Receiver<(String, String)>,
    _client: tokio_postgres::Client,
}

impl Wire {
    async fn listen(url: &str) -> Self {
        let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let (sender, notifications) = mpsc::channel(100);
        tokio::spawn(async move {
            let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(n) = message {
                    let said = (n.channel().to_owned(), n.payload().to_owned());
                    if sender.send(said).await.is_err() {
                        return;
                    }
                }
            }
        });
        let listen = "listen crud; listen lib; listen source; listen toggle; listen source_lib;
            listen emr; listen activity; listen sentinel";
        client.batch_execute(listen).await.unwrap();
        Self {
            notifications,
            _client: client,
        }
    }

    async fn next(&mut self) -> (String, String) {
        let next = tokio::time::timeout(SOON, self.notifications.recv()).await;
        next.expect("a notification comes in time")
            .expect("the connection lives")
    }

    /// How often each channel was notified before the sentinel.
    async fn until_sentinel(&mut self) -> BTreeMap<String, usize> {
        let mut counted = BTreeMap::new();
        loop {
            let (channel, _) = self.next().await;
            if channel == "sentinel" {
                return counted;
            }
            *counted.entry(channel).or_default() += 1;
        }
    }
}
