//! Roles of the database: the rights that are enough for each statement, and what nobody may run.

use tokio_postgres::{Client, error::SqlState};

use crate::support::{
    postgres::TestDatabase,
    server::{SOON, database, eventually},
};

/// The tables that have triggers.
const TABLES: [&str; 4] = ["sources", "pipeline_runs", "users", "sessions"];

/// A right on a table, and a statement that needs that right and no other.
const STATEMENTS: [(&str, &str); 17] = [
    (
        "insert on sources",
        "insert into sources (current_update, next_update) values ('2030-01-01', '2030-02-01')",
    ),
    (
        "update on sources",
        "update sources set status = 'inactive', current_update = '2030-01-01'",
    ),
    ("delete on sources", "delete from sources"),
    ("truncate on sources", "truncate sources"),
    (
        "insert on pipeline_runs",
        "insert into pipeline_runs (step) values ('qc')",
    ),
    (
        "update on pipeline_runs",
        "update pipeline_runs set state = 'RUNNING'",
    ),
    ("delete on pipeline_runs", "delete from pipeline_runs"),
    ("truncate on pipeline_runs", "truncate pipeline_runs"),
    (
        "insert on users",
        "insert into users (username, password_hash) values ('new', 'x')",
    ),
    ("update on users", "update users set is_active = false"),
    ("update on users", "update users set role = 'viewer'"),
    ("delete on users", "delete from users"),
    ("truncate on users, sessions", "truncate users cascade"),
    (
        "insert on sessions",
        "insert into sessions (user_id, token_hash, expires_at)
         values ('00000000-0000-0000-0000-000000000001', sha256('new'), now())",
    ),
    (
        "update on sessions",
        "update sessions set expires_at = now()",
    ),
    ("delete on sessions", "delete from sessions"),
    ("truncate on sessions", "truncate sessions"),
];

/// A row in each table, and all that somebody who hardens a database takes from everybody.
const HARDENED: &str = "revoke execute on all functions in schema public from public;
    insert into sources (country) values ('one');
    insert into pipeline_runs (step) values ('qc');
    insert into users (id, username, password_hash)
    values ('00000000-0000-0000-0000-000000000001', 'one', 'x');
    insert into sessions (user_id, token_hash, expires_at)
    values ('00000000-0000-0000-0000-000000000001', sha256('one'), now() + interval '1 day');";

#[tokio::test]
async fn one_right_on_one_table_is_enough_for_its_statement_and_for_no_other() {
    let database = database().await;
    let dba = database.connect().await;
    let with_triggers = "select array_agg(distinct tgrelid::regclass::text) from pg_trigger
                          where not tgisinternal";
    let mut found: Vec<String> = dba.query_one(with_triggers, &[]).await.unwrap().get(0);
    let mut listed = TABLES.map(str::to_owned).to_vec();
    found.sort();
    listed.sort();
    assert_eq!(found, listed, "every table with triggers is tried");
    dba.batch_execute(HARDENED).await.unwrap();

    // Roles belong to the cluster, so their names are this database's own.
    let role = format!("narrow_{}", database.name);
    let mut refused = 0;
    for (right, _) in STATEMENTS {
        dba.batch_execute(&format!("create role {role}; grant {right} to {role}"))
            .await
            .unwrap();
        for (needed, statement) in STATEMENTS {
            dba.batch_execute(&format!("begin; set local role {role}"))
                .await
                .unwrap();
            let done = dba.batch_execute(statement).await;
            dba.batch_execute("rollback").await.unwrap();
            let covers = needed.split_once(" on ").is_some_and(|(verb, tables)| {
                let (held, on) = right.split_once(" on ").unwrap();
                verb == held
                    && tables
                        .split(", ")
                        .all(|table| on.split(", ").any(|it| it == table))
            });
            if covers {
                done.unwrap_or_else(|error| panic!("{right}: {statement}: {error:?}"));
            } else {
                let error = done.expect_err(&format!("{right} let {statement} pass"));
                let error = error.as_db_error().unwrap();
                assert_eq!(error.code(), &SqlState::INSUFFICIENT_PRIVILEGE, "{error}");
                assert!(
                    error.message().starts_with("permission denied for table"),
                    "{error}"
                );
                refused += 1;
            }
        }
        dba.batch_execute(&format!("drop owned by {role}; drop role {role}"))
            .await
            .unwrap();
    }
    assert!(refused > STATEMENTS.len() * 14, "{refused} were refused");
}

#[tokio::test]
async fn public_may_call_no_function_that_runs_as_its_owner_and_few_others() {
    let database = database().await;
    let dba = database.connect().await;
    let ours = "from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                 where n.nspname not in ('pg_catalog', 'information_schema')";
    let sql = format!(
        "select coalesce(array_agg(p.proname::text order by p.proname), '{{}}') {ours}
            and has_function_privilege('public', p.oid, 'execute')"
    );
    let callable: Vec<String> = dba.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(callable, ["local_date", "local_time_zone", "notify_change"]);
    let sql = format!("select count(*) filter (where prosecdef), count(*) {ours}");
    let row = dba.query_one(&sql, &[]).await.unwrap();
    let (definers, all): (i64, i64) = (row.get(0), row.get(1));
    assert!(
        definers >= 7 && all > definers,
        "{definers} of {all} run as their owner"
    );

    // The names of a body that is a plain RETURN were resolved when it was made.
    let sql = format!(
        "select coalesce(array_agg(p.proname::text order by p.proname), '{{}}') {ours}
            and p.prosqlbody is null and not coalesce(
                array['search_path=pg_catalog, pg_temp'] <@ p.proconfig, false)"
    );
    let unset: Vec<String> = dba.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(unset, [""; 0]);
    // A call whose types are not exact may go to a function that somebody else has made.
    let sql = format!(
        "select coalesce(array_agg(p.proname::text order by p.proname), '{{}}') {ours}
            and (p.provariadic <> 0 or p.prosrc ~ $$notify_change\\('\\w+',|notify_change\\([^;]*, '\\w+',|notify_change\\([^;]*, null\\)|refuse_foreign_table\\(tg_relid, '$$)"
    );
    let inexact: Vec<String> = dba.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(inexact, [""; 0]);
    let defaults = dba.query("select from pg_default_acl", &[]).await.unwrap();
    assert!(defaults.is_empty(), "rights of later objects are nobody's");
}

/// A role that may connect and nothing else, with a table whose `id` has a cast that notes who runs it.
struct Attacker {
    dba: Client,
    session: Client,
    role: String,
}

impl Attacker {
    async fn of(database: &TestDatabase) -> Self {
        let dba = database.connect().await;
        let role = format!("attacker_{}", database.name);
        dba.batch_execute(&format!("create role {role} login password 'hush'"))
            .await
            .unwrap();
        let (_, server) = database.url.split_once('@').unwrap();
        let session =
            crate::support::postgres::connect(&format!("postgres://{role}:hush@{server}")).await;
        session
            .batch_execute(
                "create temp table caught (who text);
                 grant insert on caught to public;
                 create type pg_temp.bait as (n int);
                 create function pg_temp.take(pg_temp.bait) returns uuid language plpgsql as $$
                 begin
                     insert into pg_temp.caught values (current_user);
                     return gen_random_uuid();
                 end $$;
                 create cast (pg_temp.bait as uuid) with function pg_temp.take(pg_temp.bait)
                     as implicit",
            )
            .await
            .unwrap();
        Self { dba, session, role }
    }

    /// Attaches a function to a fresh table and inserts a row there.
    async fn attach(&self, function: &str, is_for_rows: bool) -> Result<(), tokio_postgres::Error> {
        let when = if is_for_rows {
            "before insert on trap for each row"
        } else {
            "after insert on trap referencing new table as new_rows for each statement"
        };
        self.session
            .batch_execute(&format!(
                "drop table if exists trap;
                 create temp table trap (id pg_temp.bait, state text, step_id text, reason text);
                 create trigger sprung {when} execute function {function}();
                 insert into trap (id) values (row(1))"
            ))
            .await
    }

    /// Whose rights the cast has run with.
    async fn caught(&self) -> Vec<String> {
        let sql =
            "with all_of_them as (delete from caught returning who) select who from all_of_them";
        let rows = self.session.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

#[tokio::test]
async fn no_trigger_function_runs_code_of_a_table_that_is_somebody_elses() {
    let database = database().await;
    let attacker = Attacker::of(&database).await;
    let (dba, role) = (&attacker.dba, &attacker.role);
    let owner: String = dba
        .query_one("select current_user::text", &[])
        .await
        .unwrap()
        .get(0);
    // A trigger function without a check: this is what the attack does where nothing stops it.
    dba.batch_execute(
        "create function unguarded() returns trigger
             language plpgsql security definer set search_path = '' as $$
         declare
             ids uuid[];
         begin
             ids := array(select n.id from new_rows n limit 100);
             return null;
         end $$",
    )
    .await
    .unwrap();
    attacker.attach("public.unguarded", false).await.unwrap();
    assert_eq!(attacker.caught().await, [owner], "the attack is one");

    let sql = "select oid::regprocedure::text, proname::text, proname in
                      ('derive_source', 'note_pipeline_run_state')
                 from pg_proc
                where pronamespace = 'public'::regnamespace and prorettype = 'trigger'::regtype
                  and prosecdef and proname <> 'unguarded'";
    let functions = dba.query(sql, &[]).await.unwrap();
    assert!(functions.len() >= 7);
    for row in functions {
        let (signature, name, is_for_rows): (String, String, bool) =
            (row.get(0), row.get(1), row.get(2));
        let name = format!("public.{name}");
        let error = attacker.attach(&name, is_for_rows).await.unwrap_err();
        let error = error.as_db_error().unwrap().message().to_owned();
        assert!(
            error.starts_with("permission denied for function"),
            "{name}: {error}"
        );

        dba.batch_execute(&format!("grant execute on function {signature} to {role}"))
            .await
            .unwrap();
        let error = attacker.attach(&name, is_for_rows).await.unwrap_err();
        let error = error.as_db_error().unwrap().message().to_owned();
        assert!(
            error.starts_with("this trigger function is for public."),
            "{name}: {error}"
        );
        assert_eq!(attacker.caught().await, [""; 0], "{name}");
    }
    drop(attacker.session);
    let clear = format!("drop owned by {role}; drop role {role}");
    eventually("the attacker's session is over", async || {
        dba.batch_execute(&clear).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_child_of_sources_keeps_its_triggers() {
    let database = database().await;
    let dba = database.connect().await;
    let fired = "create table young () inherits (sources);
         create table younger () inherits (young);
         create trigger told after insert on younger referencing new table as new_rows
             for each statement execute function notify_sources();
         create trigger derived before insert on younger
             for each row execute function derive_source();
         insert into younger (next_update) values ('2030-01-02')";
    dba.batch_execute(fired).await.unwrap();
    let sql = "select next_status, (select table_name from changes) from younger";
    let row = dba.query_one(sql, &[]).await.unwrap();
    let found: (&str, &str) = (row.get(0), row.get(1));
    assert_eq!(found, ("2030-01-02", "younger"));
}

/// The recipe for a table of one's own, as docs/contributing.md has it.
fn recipe() -> &'static str {
    let document = include_str!("../../../docs/contributing.md");
    let (_, block) = document.split_once("```sql\n").expect("there is a recipe");
    block.split_once("```").expect("it ends").0
}

#[tokio::test]
async fn a_table_made_by_the_recipe_takes_statements_of_any_size_from_a_narrow_role() {
    let database = database().await;
    let dba = database.connect().await;
    let role = format!("orderer_{}", database.name);
    dba.batch_execute(recipe()).await.unwrap();
    dba.batch_execute(&format!(
        "revoke execute on all functions in schema public from public;
         create role {role}; grant select, insert, update, delete, truncate on orders to {role}"
    ))
    .await
    .unwrap();
    let (client, mut connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let tokio_postgres::AsyncMessage::Notification(notification) = message {
                let _ = sender.send(notification.payload().to_owned());
            }
        }
    });
    client.batch_execute("listen orders").await.unwrap();
    dba.batch_execute(&format!("set role {role}"))
        .await
        .unwrap();
    for (rows, named) in [
        (3, Some(3)),
        (204, Some(204)),
        (205, None),
        (500, None),
        (100_000, None),
    ] {
        for (op, sql) in [
            (
                "insert",
                format!(
                    "insert into orders (item) select n::text from generate_series(1, {rows}) n"
                ),
            ),
            ("update", "update orders set item = 'x'".to_owned()),
            ("delete", "delete from orders".to_owned()),
        ] {
            assert_eq!(dba.execute(&sql, &[]).await.unwrap(), rows);
            let payload = tokio::time::timeout(SOON, heard.recv())
                .await
                .unwrap()
                .unwrap();
            let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
            assert_eq!(payload["op"], op);
            assert_eq!(
                payload["ids"].as_array().map(Vec::len),
                named,
                "{op} of {rows}"
            );
        }
    }
    dba.batch_execute("truncate orders; update orders set item = 'y'; reset role")
        .await
        .unwrap();
    let payload = tokio::time::timeout(SOON, heard.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(payload, r#"{"op":"truncate","ids":null}"#);
    dba.batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .await
        .unwrap();
}

#[tokio::test]
async fn whatever_is_announced_fits_into_a_payload() {
    let database = database().await;
    let dba = database.connect().await;
    let long = "x".repeat(9000);
    let sql = "select notify_change($1, $2, array(
                   select gen_random_uuid() from generate_series(1, $3::int)))";
    for (channel, op) in [
        ("a", "insert"),
        ("a", &*long),
        (&*long, "insert"),
        ("ü", &*"ü".repeat(3980)),
    ] {
        for ids in [0, 1, 204, 205, 100_000] {
            dba.execute(sql, &[&channel, &op, &ids]).await.unwrap();
        }
    }
    let nothing: Option<&str> = None;
    dba.execute("select notify_change('a', $1, null)", &[&nothing])
        .await
        .unwrap();
}
