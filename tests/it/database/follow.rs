//! `follow_table`: what one call makes a table notify, what it refuses, and that nothing of it stays.

use std::process::Stdio;

use tokio::process::Command;
use tokio_postgres::{Client, error::SqlState};

use crate::support::{
    doctor::{bad, doctor},
    postgres::TestDatabase,
    server::database,
};

/// Rules of every kind.
const RULES: &str = r#"[
    {"notify": "renamed", "on": ["update"], "changed": ["name"]},
    {"notify": "counted", "changed": ["name", "Rating %"], "otherwise": "touched"},
    {"notify": "gone", "on": ["delete", "truncate"]},
    "all %"]"#;
const COLUMNS: &str =
    r#"id uuid primary key default gen_random_uuid(), name text, "Rating %" json, note text"#;

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn follow(table: &str, rules: &str, recorded: bool) -> String {
    let table = table.replace('\'', "''");
    format!("select public.follow_table('{table}'::text, '{rules}'::jsonb, {recorded})")
}

/// What the statements of `sql` notify: channel, operation and the number of named rows.
async fn notified(database: &TestDatabase, sql: &str) -> Vec<String> {
    let script = format!(
        "listen renamed; listen counted; listen touched; listen gone; listen \"all %\"; listen activity;
         listen vendors;\n{sql};"
    );
    let output = database.psql(&script).await;
    assert!(output.status.success(), "{sql}: {output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let told = said.lines().filter_map(|line| {
        let (channel, rest) = line
            .strip_prefix("Asynchronous notification \"")?
            .split_once("\" with payload \"")?;
        let (payload, _) = rest.split_once("\" received from")?;
        let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
        let named = payload["ids"]
            .as_array()
            .map_or_else(|| "all".to_owned(), |ids| ids.len().to_string());
        Some(format!("{channel} {} {named}", payload["op"].as_str()?))
    });
    told.collect()
}

async fn refused(client: &Client, sql: &str) -> (SqlState, String) {
    let error = client.batch_execute(sql).await.expect_err(sql);
    let error = error.as_db_error().unwrap();
    (error.code().clone(), error.message().to_owned())
}

/// Everything that a database has, as SQL.
async fn dump(database: &TestDatabase) -> String {
    let output = Command::new("pg_dump")
        .args(["--schema-only", "--restrict-key=a"])
        .arg(&database.url)
        .stderr(Stdio::null())
        .output()
        .await
        .unwrap();
    let output = if output.status.success() {
        output
    } else {
        // Older ones write no such key.
        let mut plain = Command::new("pg_dump");
        plain.arg("--schema-only").arg(&database.url);
        plain.output().await.unwrap()
    };
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Statements on so many rows of a table that has none, and what each notifies: `N` ids, or those of `ONE` row.
fn statements(name: &str, rows: i32) -> [(String, &'static [&'static str]); 6] {
    let one = format!("id = (select id from {name} limit 1)");
    [
        (
            format!(
                "insert into {name} (name, \"Rating %\") select 'n', '1' from generate_series(1, {rows})"
            ),
            &["counted insert N", "all % insert N"],
        ),
        (
            format!("update {name} set note = 'a', name = name"),
            &["touched update N", "all % update N"],
        ),
        (
            format!("update {name} set \"Rating %\" = '2'"),
            &["counted update N", "all % update N"],
        ),
        (
            format!("update {name} set name = case when {one} then null else name end"),
            &["renamed update ONE", "counted update N", "all % update N"],
        ),
        (
            format!("update {name} set name = 'n'; update {name} set note = 'z' where false"),
            &["renamed update ONE", "counted update N", "all % update N"],
        ),
        (
            format!("delete from {name}"),
            &["counted delete N", "gone delete N", "all % delete N"],
        ),
    ]
}

#[tokio::test]
async fn one_call_makes_statements_of_any_size_notify_as_the_rules_say() {
    let database = database().await;
    let dba = database.connect().await;
    let long = "x".repeat(63);
    for table in ["vendors", "Weird % \"name'", &long] {
        let name = quoted(table);
        dba.batch_execute(&format!(
            "create table {name} ({COLUMNS}); {}",
            follow(table, RULES, true)
        ))
        .await
        .unwrap();
        for (rows, named) in [
            (1, "1"),
            (2, "2"),
            (204, "204"),
            (205, "all"),
            (100_000, "all"),
        ] {
            for (sql, expected) in statements(&name, rows) {
                // Of so many rows those that have changed are not looked for.
                let of_one = if rows < 250 { "1" } else { "all" };
                let filled = expected.iter();
                let filled = filled.map(|one| one.replace("ONE", of_one).replace('N', named));
                let kept = std::iter::once("activity insert 1".to_owned());
                let expected: Vec<String> = kept.chain(filled).collect();
                assert_eq!(
                    notified(&database, &sql).await,
                    expected,
                    "{table} {rows} {sql}"
                );
            }
        }
        // A new id counts as two rows that have changed.
        let moved = format!(
            "insert into {name} default values; update {name} set id = gen_random_uuid(); truncate {name}"
        );
        let told = notified(&database, &moved).await;
        let told: Vec<&str> = told
            .iter()
            .map(String::as_str)
            .filter(|one| !one.contains("insert"))
            .collect();
        let expected = [
            "renamed update 2",
            "counted update 2",
            "all % update 2",
            "counted truncate all",
            "gone truncate all",
            "all % truncate all",
        ];
        assert_eq!(told, expected, "{table}");
        let kept = "select count(*), count(distinct operation), max(row_count), bool_and(cardinality(row_ids) <= 100)
                      from changes where table_name = $1";
        let kept = dba.query_one(kept, &[&table]).await.unwrap();
        let found: (i64, i64, i64, bool) = (kept.get(0), kept.get(1), kept.get(2), kept.get(3));
        assert_eq!(found, (33, 4, 100_000, true), "{table}");
    }
}

#[tokio::test]
async fn many_rows_that_swap_their_values_and_nulls_count_as_changed() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(&format!(
        "create table vendors (id uuid primary key default gen_random_uuid(), n int, name text, day date, at timestamptz, parts json);
         {}",
        follow("vendors", r#"[{"notify": "vendors", "changed": ["name", "day", "at", "parts"]}]"#, false)
    ))
    .await
    .unwrap();
    dba.batch_execute("insert into vendors (n) select n from generate_series(1, 300) n")
        .await
        .unwrap();
    let once = vec!["vendors update all".to_owned()];

    for column in ["name", "day", "at", "parts"] {
        let (kind, first, second) = match column {
            "day" => ("date", "'2030-01-01'", "'2030-01-02'"),
            "at" => (
                "timestamptz",
                "'2030-01-01 00:00+00'",
                "'2030-01-01 00:00:00.000001+00'",
            ),
            "parts" => ("json", "'{\"a\": 1}'", "'{\"a\":1}'"),
            _ => ("text", "''", "'x'"),
        };
        let set = |value: &str| {
            format!("update vendors set {column} = case when n = 7 then {value} else {column} end")
        };
        for (sql, expected) in [
            (format!("update vendors set {column} = {column}"), vec![]),
            (set(first), once.clone()),
            (set(first), vec![]),
            (set(second), once.clone()),
            (
                format!(
                    "update vendors set {column} = (case n when 7 then null when 8 then {second} end)::{kind}"
                ),
                once.clone(),
            ),
            (
                format!(
                    "update vendors v set {column} = o.{column} from vendors o
                          where o.n = case v.n when 7 then 8 when 8 then 7 else v.n end"
                ),
                once.clone(),
            ),
        ] {
            assert_eq!(notified(&database, &sql).await, expected, "{sql}");
        }
    }
    // All compared columns are null, and the ids are others.
    let sql = "update vendors set name = null, day = null, at = null, parts = null where true";
    assert_eq!(notified(&database, sql).await, once);
    let sql = "update vendors set id = gen_random_uuid()";
    assert_eq!(notified(&database, sql).await, once);
    let sql = "update vendors set n = n where n = 7";
    assert_eq!(notified(&database, sql).await, [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "create table vendors (id uuid primary key, name text);
         create table numbered (id int primary key);
         create table loose (id uuid);
         create view seen as select * from vendors;
         create materialized view kept as select * from vendors;
         create schema other; create table other.away (id uuid primary key);
         create temp table brief (id uuid primary key)",
    )
    .await
    .unwrap();
    for (table, code, words) in [
        ("nowhere", SqlState::UNDEFINED_TABLE, "has no table nowhere"),
        ("public.vendors", SqlState::UNDEFINED_TABLE, "has no table"),
        ("away", SqlState::UNDEFINED_TABLE, "has no table away"),
        ("brief", SqlState::UNDEFINED_TABLE, "has no table brief"),
        ("seen", SqlState::WRONG_OBJECT_TYPE, "seen is no table"),
        ("kept", SqlState::WRONG_OBJECT_TYPE, "kept is no table"),
        (
            "numbered",
            SqlState::INVALID_TABLE_DEFINITION,
            "no column id of type uuid",
        ),
        ("loose", SqlState::INVALID_TABLE_DEFINITION, "not null"),
    ] {
        let (found, message) = refused(&dba, &follow(table, r#"["vendors"]"#, false)).await;
        assert!(
            found == code && message.contains(words),
            "{table}: {message}"
        );
    }
    let long = format!(r#"["{}"]"#, "x".repeat(64));
    for rules in [
        "null",
        "{}",
        "[]",
        "[1]",
        "[[]]",
        "[{}]",
        r#"[""]"#,
        &long,
        r#"["a", {"notify": 1}]"#,
        r#"[{"notify": "a", "changd": ["name"]}]"#,
        r#"[{"notify": "a", "changed": ["nam"]}]"#,
        r#"[{"notify": "a", "changed": []}]"#,
        r#"[{"notify": "a", "changed": "name"}]"#,
        r#"[{"notify": "a", "changed": ["name"], "on": ["delete"]}]"#,
        r#"[{"notify": "a", "otherwise": "b"}]"#,
        r#"[{"notify": "a", "changed": ["name"], "otherwise": ""}]"#,
        r#"[{"notify": "a", "on": []}]"#,
        r#"[{"notify": "a", "on": ["select"]}]"#,
        r#"[{"notify": "a", "on": "update"}]"#,
    ] {
        let (code, message) = refused(&dba, &follow("vendors", rules, false)).await;
        assert_eq!(
            code,
            SqlState::INVALID_PARAMETER_VALUE,
            "{rules}: {message}"
        );
    }
    let (code, _) = refused(&dba, &follow("changes", r#"["a"]"#, true)).await;
    assert_eq!(code, SqlState::INVALID_PARAMETER_VALUE);
}

#[tokio::test]
async fn unfollowing_leaves_nothing_behind() {
    let database = database().await;
    let dba = database.connect().await;
    let long = "ü".repeat(31);
    let names = ["vendors", "Weird \"name", long.as_str()];
    for name in names {
        let create = format!("create table {} ({COLUMNS})", quoted(name));
        dba.batch_execute(&create).await.unwrap();
    }
    let bare = dump(&database).await;
    for name in names {
        dba.batch_execute(&follow(name, RULES, true)).await.unwrap();
    }
    let followed = dump(&database).await;
    assert_ne!(followed, bare);
    // Twice is as good as once, and other rules replace the first ones.
    for name in names {
        for rules in [r#"[{"notify": "a", "on": ["insert"]}]"#, RULES] {
            let recorded = rules == RULES;
            dba.batch_execute(&follow(name, rules, recorded))
                .await
                .unwrap();
        }
    }
    assert_eq!(dump(&database).await, followed);
    for name in names {
        let sql = format!("select unfollow_table('{name}'), unfollow_table('{name}')");
        dba.batch_execute(&sql).await.unwrap();
    }
    assert_eq!(dump(&database).await, bare);

    // The same name again, and a table that goes first.
    dba.batch_execute(&format!(
        "{one}; drop table vendors; create table vendors ({COLUMNS}); {one};
         drop table vendors; select unfollow_table('vendors'); create table vendors ({COLUMNS})",
        one = follow("vendors", RULES, false)
    ))
    .await
    .unwrap();
    assert_eq!(dump(&database).await, bare);
}

#[tokio::test]
async fn after_a_rename_one_call_makes_it_right() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(&format!(
        "create table vendors ({COLUMNS}); {}; insert into vendors (name) values ('a')",
        follow("vendors", RULES, false)
    ))
    .await
    .unwrap();
    // A silent loss would be worse than a refusal.
    dba.batch_execute("alter table vendors rename name to title")
        .await
        .unwrap();
    let (code, _) = refused(&dba, "update vendors set title = 'b'").await;
    assert_eq!(code, SqlState::UNDEFINED_COLUMN);
    let rules = RULES.replace("\"name\"", "\"title\"");
    dba.batch_execute(&follow("vendors", &rules, false))
        .await
        .unwrap();
    dba.batch_execute("alter table vendors rename to sellers")
        .await
        .unwrap();
    let (code, _) = refused(&dba, "update sellers set title = 'b'").await;
    assert_eq!(code, SqlState::UNDEFINED_TABLE);
    dba.batch_execute(&follow("sellers", &rules, false))
        .await
        .unwrap();
    let told = notified(&database, "update sellers set title = 'b'").await;
    assert_eq!(
        told,
        ["renamed update 1", "counted update 1", "all % update 1"]
    );
    let functions = "select array_agg(proname::text order by proname) from pg_proc where proname ~ 'vendors|sellers'";
    let functions: Vec<String> = dba.query_one(functions, &[]).await.unwrap().get(0);
    assert_eq!(functions, ["notify_sellers"]);
}

#[tokio::test]
async fn statements_on_a_partitioned_table_notify_and_its_parts_may_come_and_go() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(&format!(
        "create table vendors (id uuid not null default gen_random_uuid(), part int) partition by list (part);
         create table vendors_1 partition of vendors for values in (1); {};
         create table vendors_2 partition of vendors for values in (2)",
        follow("vendors", r#"["vendors"]"#, false)
    ))
    .await
    .unwrap();
    let told = notified(
        &database,
        "insert into vendors (part) values (1), (2); update vendors set part = 3 - part; update vendors set part = 2;
         insert into vendors_1 (part) values (1); delete from vendors",
    )
    .await;
    let expected = [
        "vendors insert 2",
        "vendors update 2",
        "vendors update 2",
        "vendors delete 3",
    ];
    assert_eq!(told, expected);
    let enabled =
        "select count(*), bool_and(tgenabled = 'A') from pg_trigger where not tgisinternal
                      and tgrelid in ('vendors_1'::regclass, 'vendors_2'::regclass)";
    let row = dba.query_one(enabled, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (2, true));
    dba.batch_execute("select unfollow_table('vendors'); insert into vendors_1 (part) values (1)")
        .await
        .unwrap();
}

#[tokio::test]
async fn only_the_owner_of_the_tables_may_follow_one() {
    let database = database().await;
    let dba = database.connect().await;
    let (role, session) = database.connect_as_stranger().await;
    dba.batch_execute(&format!(
        "create table vendors ({COLUMNS}); grant all on vendors to {role}; grant create on schema public to {role}"
    ))
    .await
    .unwrap();
    session
        .batch_execute(&format!("create table mine ({COLUMNS})"))
        .await
        .unwrap();
    let signatures = [
        "follow_table(text, jsonb, boolean)",
        "unfollow_table(text)",
        "notifier_body(text, jsonb, boolean)",
        "notifier_name(text)",
    ];
    let follow_vendors = follow("vendors", r#"["vendors"]"#, false);
    let (code, message) = refused(&session, &follow_vendors).await;
    assert!(
        code == SqlState::INSUFFICIENT_PRIVILEGE
            && message.starts_with("permission denied for function"),
        "{message}"
    );
    // Whom the owner lets call it may still follow no table: neither the owner's nor an own one.
    for signature in signatures {
        let grant = format!("grant execute on function {signature} to {role}");
        dba.batch_execute(&grant).await.unwrap();
    }
    for table in ["vendors", "mine"] {
        let (code, message) = refused(&session, &follow(table, r#"["vendors"]"#, true)).await;
        assert!(
            code == SqlState::INSUFFICIENT_PRIVILEGE && message.contains("only its owner"),
            "{message}"
        );
        let (_, message) = refused(&dba, &follow("mine", r#"["vendors"]"#, true)).await;
        assert!(message.contains("belongs to the owner"), "{message}");
    }
    dba.batch_execute(&follow_vendors).await.unwrap();
    let (code, _) = refused(&session, "select unfollow_table('vendors')").await;
    assert_eq!(code, SqlState::INSUFFICIENT_PRIVILEGE);
    assert_eq!(
        notified(&database, "insert into vendors default values").await,
        ["vendors insert 1"]
    );

    // A function that waits for the call, and would run with the owner's rights.
    dba.batch_execute("select unfollow_table('vendors')")
        .await
        .unwrap();
    session
        .batch_execute(
            "create function notify_vendors() returns trigger language plpgsql as $$ begin return null; end $$",
        )
        .await
        .unwrap();
    let (code, message) = refused(&dba, &follow_vendors).await;
    assert!(
        code == SqlState::DUPLICATE_FUNCTION && message.contains("another role"),
        "{message}"
    );
}

#[tokio::test]
async fn a_dump_brings_followed_tables_along() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(&format!(
        "create table \"Weird name\" ({COLUMNS}); {}",
        follow("Weird name", RULES, true)
    ))
    .await
    .unwrap();
    let copy = crate::support::postgres::cluster()
        .await
        .database(None)
        .await;
    let restored = copy.psql(&dump(&database).await).await;
    assert!(restored.status.success(), "{restored:?}");
    let told = notified(&copy, "insert into \"Weird name\" (name) values ('a')").await;
    assert_eq!(
        told,
        ["activity insert 1", "counted insert 1", "all % insert 1"]
    );
    let is_current =
        "select prosrc = notifier_body('Weird name', $1::text::jsonb, true) from pg_proc
                       where proname = 'notify_Weird name'";
    let copy = copy.connect().await;
    let row = copy.query_one(is_current, &[&RULES]).await.unwrap();
    assert!(row.get::<_, bool>(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_looks_at_every_followed_table_and_mends_it() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(&format!(
        "create table \"Weird name\" ({COLUMNS}); {}; create table vendors ({COLUMNS}); {}",
        follow("Weird name", RULES, true),
        follow(
            "vendors",
            r#"[{"notify": "vendors", "on": ["update"]}]"#,
            false
        ),
    ))
    .await
    .unwrap();
    let sound = dump(&database).await;
    let (code, findings) = doctor(&database.url, &[]).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
    for (harm, level, words) in [
        ("drop trigger follow_insert on \"Weird name\"", "fail", "Weird name"),
        ("drop trigger follow_applied on vendors", "fail", "vendors"),
        ("alter table vendors disable trigger follow_update", "fail", "vendors"),
        (
            "create or replace function notify_vendors() returns trigger language plpgsql security definer
                 set search_path = pg_catalog, pg_temp as $$ begin return null; end $$",
            "fail",
            "vendors",
        ),
        ("drop function notify_sources() cascade", "fail", "follow_update of sources is missing"),
    ] {
        dba.batch_execute(harm).await.unwrap();
        let (code, findings) = doctor(&database.url, &[]).await;
        let named = bad(&findings);
        assert_eq!(code, 1, "{harm}");
        let one = named.iter().find(|one| one[2].contains(words));
        let one = one.unwrap_or_else(|| panic!("{harm}: {findings:#?}"));
        assert_eq!(one[0], level, "{harm}");
        assert!(one[3].starts_with("select public.follow_table('"), "{one:?}");
        let (code, findings) = doctor(&database.url, &["--fix"]).await;
        assert_eq!((code, bad(&findings)), (0, vec![]), "{harm}: {findings:#?}");
        assert_eq!(dump(&database).await, sound, "{harm}");
    }
    // What is left of a table that is gone.
    dba.batch_execute("drop table vendors").await.unwrap();
    let (code, findings) = doctor(&database.url, &[]).await;
    let found = bad(&findings);
    assert_eq!((code, found.len()), (0, 1), "{findings:#?}");
    assert_eq!(
        (found[0][0], found[0][3]),
        ("warn", "drop function public.notify_vendors()")
    );
    let (_, findings) = doctor(&database.url, &["--fix"]).await;
    assert_eq!(bad(&findings), Vec::<[&str; 4]>::new());
}
