//! A role that may create objects in `public` plants operators, functions, aggregates and a cast that fit the
//! program's statements better than PostgreSQL's own. None of them ever runs with the rights of somebody else.

use marketplace::{db::migrate, error::Error, pg::Pool};
use tokio_postgres::Client;

use crate::{
    database::plans::call_everything,
    support::{
        postgres::{self, TestDatabase},
        server::{TestServer, database},
    },
};

/// Counts by a sequence, which no rollback sets back. `PLANTER` is the role.
const PLANT: &str = r"
create sequence public.ran;
grant usage, select on sequence public.ran to public;
create function public.hit() returns void language plpgsql set search_path = pg_catalog as $$
begin
    if current_user <> 'PLANTER' then
        perform nextval('public.ran');
        raise warning 'planted code runs as %', current_user;
    end if;
end $$;
create type public.bait as enum ('x');
do $plant$
declare
    types constant text[] := array['text', 'varchar', 'uuid', 'name', 'int4', 'int8', 'timestamptz', 'float8', 'oid', 'regclass'];
    a text; b text; op text; name text; parameters text;
begin
    foreach a in array types loop foreach b in array types loop
        execute format('create function public.hit(%s, %s) returns boolean language plpgsql as
            $f$ begin perform public.hit(); return true; end $f$', a, b);
        foreach op in array array['=', '<>', '<', '>', '<=', '>=', '~~', '!~~', '~', '!~', '||', '+', '-'] loop
            execute format('create operator public.%s (leftarg = %s, rightarg = %s, function = public.hit)', op, a, b);
        end loop;
    end loop; end loop;
    -- Overloads of ours and of what our statements call.
    for name, parameters in
        select f.name, p.parameters
          from unnest(array['notify_change', 'refuse_foreign_table', 'pipeline_state_is_final', 'delivery_status',
                    'follow_table', 'unfollow_table', 'notifier_name', 'notifier_body',
                    'cancel_waiting_run', 'local_date', 'local_time_zone', 'turn_day', 'rederive_sources',
                    'lower', 'left', 'format', 'count', 'min', 'max', 'to_regclass', 'pg_notify', 'set_config', 'unnest',
                    'concat_ws', 'string_agg', 'array_agg', 'md5', 'to_char', 'octet_length', 'current_setting',
                    'make_interval', 'isfinite', 'quote_ident', 'pg_get_triggerdef', 'has_table_privilege']) f (name),
               unnest(array['varchar', 'name', 'bait', 'varchar, varchar', 'varchar, text', 'oid, varchar', 'oid, text',
                    'text, text, text', 'varchar, text, uuid[]', 'text, varchar, uuid[]', 'text, text, varchar',
                    'varchar, varchar, boolean', 'text, text, boolean', 'date, text', 'variadic text[]']) p (parameters)
         -- An overload that takes a single text as well as PostgreSQL's would only make the call ambiguous.
         where not exists (select from pg_proc mine where mine.pronamespace = 'public'::regnamespace
                              and mine.proname = f.name and p.parameters like 'variadic%')
    loop
        begin
            execute format('create function public.%I(%s) returns text language plpgsql as
                $f$ begin perform public.hit(); return null; end $f$', name, parameters);
        exception when duplicate_function or invalid_function_definition then
            null;
        end;
    end loop;
end $plant$;
create function public.hit(text) returns public.bait language plpgsql as
    $$ begin perform public.hit(); return 'x'; end $$;
create cast (text as public.bait) with function public.hit(text) as implicit;
create aggregate public.sum(varchar) (sfunc = pg_catalog.textcat, stype = text);
";

/// A role that may create objects in `public`, and its session.
async fn planter(database: &TestDatabase, dba: &Client) -> (String, Client) {
    let role = format!("planter_{}", database.name);
    dba.batch_execute(&format!(
        "create role {role} login password 'hush'; grant create on schema public to {role}"
    ))
    .await
    .unwrap();
    let (_, server) = database.url.split_once('@').unwrap();
    let session = postgres::connect(&format!("postgres://{role}:hush@{server}")).await;
    (role, session)
}

/// How often planted code has run as somebody else.
async fn ran(dba: &Client) -> i64 {
    let sql = "select case when is_called then last_value else 0::bigint end from public.ran";
    dba.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_planted_code_runs_as_somebody_else() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into public.users (username, password_hash) select 'user ' || n, 'x' from generate_series(1, 20) n",
    )
    .await
    .unwrap();
    let (role, session) = planter(&database, &dba).await;
    session
        .batch_execute(&PLANT.replace("PLANTER", &role))
        .await
        .unwrap();
    dba.batch_execute("select 'a'::varchar = 'a'::text")
        .await
        .unwrap();
    let felt = ran(&dba).await;
    assert!(
        felt > 0,
        "the attack is one: a DBA whose path has public feels it"
    );

    // Every statement of the program.
    let pool = Pool::new(&database.url.parse().unwrap(), 1).unwrap();
    let mut client = pool.client().await.unwrap();
    call_everything(&mut client).await;
    assert_eq!(ran(&dba).await, felt, "a statement of the program");

    // Triggers and functions that run as their owner, called by others.
    let clerk = format!("clerk_{}", database.name);
    dba.batch_execute(&format!(
        "create role {clerk}; grant all on public.sources, public.pipeline_runs, public.users, public.sessions to {clerk};
         set role {clerk}"
    ))
    .await
    .unwrap();
    for statement in [
        "insert into public.sources (country, next_update) values ('a', '2030-01-02'), ('b', null)",
        "update public.sources set status = 'inactive'",
        "update public.sources set panel = 'x'",
        "delete from public.sources",
        "truncate public.sources",
        "insert into public.pipeline_runs (step) values ('s')",
        "update public.pipeline_runs set state = 'FAILED'",
        "truncate public.pipeline_runs",
        "update public.users set is_active = false",
        "truncate public.users cascade",
    ] {
        dba.batch_execute(statement).await.unwrap();
        assert_eq!(ran(&dba).await, felt, "{statement}");
    }
    dba.batch_execute(
        "reset role; truncate public.day_turns; select public.turn_day(), public.rederive_sources()",
    )
    .await
    .unwrap();
    assert_eq!(ran(&dba).await, felt, "the turn of the day");

    // The server from its start, and the commands.
    let server = TestServer::on(&database.url, &[]).await;
    server.ready().await;
    server.visitor("visitor").await;
    for arguments in [&["doctor"][..], &["demo"], &["users", "list"], &["migrate"]] {
        let mut run = crate::support::program::program(arguments);
        let output = run
            .env("DATABASE_URL", &database.url)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    assert_eq!(ran(&dba).await, felt, "the server or a command");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_that_look_into_public_are_refused_where_others_may_create_there() {
    let database = postgres::cluster().await.database(None).await;
    let dba = database.connect().await;
    let (role, session) = planter(&database, &dba).await;
    let refused = async || {
        let error = migrate::run(&database.url.parse().unwrap(), "Europe/Paris").await;
        match error.unwrap_err() {
            Error::Start(why) => why,
            other => panic!("{other}"),
        }
    };
    let why = refused().await;
    let advice = format!("revoke create on schema public from {role}");
    assert!(why.contains(&advice), "{why}");
    session
        .batch_execute(
            "create function public.same(varchar, text) returns boolean language sql return true;
             create operator public.= (leftarg = varchar, rightarg = text, function = public.same)",
        )
        .await
        .unwrap();
    dba.batch_execute(&advice).await.unwrap();
    let why = refused().await;
    assert!(
        why.contains("the operator public.=(character varying,text)"),
        "{why}"
    );
    session
        .batch_execute("drop operator public.= (varchar, text)")
        .await
        .unwrap();
    dba.batch_execute(&format!("grant create on schema public to {role}"))
        .await
        .unwrap();
    session
        .batch_execute("create view public.refinery_schema_history as select 1 as version")
        .await
        .unwrap();
    let why = refused().await;
    assert!(
        why.contains("refinery_schema_history belongs to the role"),
        "{why}"
    );
    session
        .batch_execute("drop view public.refinery_schema_history")
        .await
        .unwrap();
    dba.batch_execute(&advice).await.unwrap();
    migrate::run(&database.url.parse().unwrap(), "Europe/Paris")
        .await
        .unwrap();
    // Later migrations look nowhere but into PostgreSQL's own schema.
    dba.batch_execute(&format!("grant create on schema public to {role}"))
        .await
        .unwrap();
    migrate::run(&database.url.parse().unwrap(), "Europe/Berlin")
        .await
        .unwrap();
}
