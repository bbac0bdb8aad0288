//! `marketplace doctor` on databases that are well and on others.

use crate::support::{
    doctor::{bad, doctor},
    pgbouncer::PgBouncer,
    postgres::{self, standby::standby_of},
    program::program,
    server::database,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_database_has_nothing_wrong() {
    let database = database().await;
    let (code, findings) = doctor(&database.url, &[]).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
    for about in [
        "connection",
        "encryption",
        "standby",
        "encoding",
        "schema",
        "privileges",
        "schemas",
        "schema public",
        "callers",
        "settings",
        "definitions",
        "functions",
        "triggers",
        "time zone",
        "clock",
        "queue",
        "pooler",
        "notifications",
    ] {
        assert!(findings.iter().any(|one| one[1] == about), "{about}");
    }
    let mut command = program(&["doctor"]);
    command.env("DATABASE_URL", &database.url);
    let text = String::from_utf8(command.output().await.unwrap().stdout).unwrap();
    assert_eq!(text.lines().count(), findings.len());
    assert!(
        text.lines().all(|line| line.starts_with("ok    ")),
        "{text}"
    );

    let (code, findings) = doctor(&database.url, &["--time-zone", "Asia/Tokyo"]).await;
    assert_eq!(code, 0);
    assert_eq!(bad(&findings)[0][..2], ["warn", "time zone"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_that_are_off_or_gone_are_named_with_what_to_do() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "alter table sources disable trigger follow_update;
         alter table sources disable trigger sources_derived;
         alter table sources enable trigger follow_delete;
         drop trigger follow_update on users",
    )
    .await
    .unwrap();
    let (code, findings) = doctor(&database.url, &[]).await;
    assert_eq!(code, 1);
    let found = bad(&findings);
    assert_eq!(found.len(), 4, "{found:#?}");
    for (level, trigger) in [
        (
            "fail",
            "follow_update of sources is disabled: changes reach dashboards late (within 5 s)",
        ),
        (
            "fail",
            "sources_derived of sources is disabled: derived columns are not updated",
        ),
        (
            "warn",
            "follow_delete of sources does not fire in every session",
        ),
        ("fail", "follow_update of users is missing"),
    ] {
        assert!(
            found
                .iter()
                .any(|one| one[0] == level && one[2].starts_with(trigger)),
            "{trigger}: {found:#?}"
        );
    }
    // What is advised helps.
    for advice in found {
        dba.batch_execute(advice[3]).await.unwrap();
    }
    let (code, findings) = doctor(&database.url, &[]).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_triggers_is_mended_when_that_is_asked_for() {
    let database = database().await;
    let dba = database.connect().await;
    let definitions =
        "select string_agg(pg_get_triggerdef(oid) || tgenabled::text, ';' order by tgrelid, tgname)
                         from pg_trigger where not tgisinternal";
    let sound: String = dba.query_one(definitions, &[]).await.unwrap().get(0);
    dba.batch_execute(
        "insert into sources (country, current_update) values ('France', local_date());
         drop trigger sources_derived on sources;
         alter table sources disable trigger all;
         alter table users enable replica trigger follow_delete;
         drop trigger follow_update on users;
         create trigger follow_update after insert on users
             for each statement execute function notify_users();
         update sources set next_update = '2031-02-03', current_update = '2001-01-01'",
    )
    .await
    .unwrap();
    let (code, findings) = doctor(&database.url, &[]).await;
    assert_eq!(code, 1);
    let different = "follow_update of users is not the one that this program makes";
    assert!(
        findings.iter().any(|one| one[2] == different),
        "{findings:#?}"
    );

    let (code, findings) = doctor(&database.url, &["--fix"]).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
    for mended in [
        "sources_derived of sources was mended",
        "derived columns of 1 sources were mended",
    ] {
        assert!(findings.iter().any(|one| one[2] == mended), "{findings:#?}");
    }
    let now: String = dba.query_one(definitions, &[]).await.unwrap().get(0);
    assert_eq!(now, sound);
    let derived = "select next_status || ' ' || datadelivery_status from sources";
    let derived: String = dba.query_one(derived, &[]).await.unwrap().get(0);
    assert_eq!(derived, "2031-02-03 delayed");
    // There is nothing left to do.
    let (_, findings) = doctor(&database.url, &["--fix"]).await;
    assert!(
        !findings.iter().any(|one| one[2].contains("mended")),
        "{findings:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_mend_is_told_so_and_nothing_is_half_done() {
    let database = database().await;
    let dba = database.connect().await;
    let role = format!("clerk_{}", database.name);
    dba.batch_execute(&format!(
        "create role {role} login password 'geheim';
         grant select, insert, update, delete on all tables in schema public to {role};
         grant execute on all functions in schema public to {role};
         alter table sources disable trigger follow_update; drop trigger follow_update on users"
    ))
    .await
    .unwrap();
    let (_, server) = database.url.split_once('@').unwrap();
    let url = format!("postgres://{role}:geheim@{server}");
    let (code, findings) = doctor(&url, &["--fix"]).await;
    assert_eq!(code, 1);
    let refused = bad(&findings);
    assert!(refused[0][2].contains("42501"), "{findings:#?}");
    assert!(refused[0][3].contains("owns"), "{findings:#?}");
    assert_eq!(refused.len(), 3, "{findings:#?}");
    dba.batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_is_missing_is_one_thing_that_is_wrong() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute("drop function derive_source() cascade")
        .await
        .unwrap();
    for arguments in [&[][..], &["--fix"]] {
        let (code, findings) = doctor(&database.url, arguments).await;
        assert_eq!((code, bad(&findings).len()), (1, 1), "{findings:#?}");
        assert_eq!(
            bad(&findings)[0][1..3],
            ["functions", "missing: derive_source()"]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_lets_nobody_in_is_one_thing_that_is_wrong_with_its_own_advice() {
    let database = database().await;
    let dba = database.connect().await;
    let role = format!("outsider_{}", database.name);
    let name = &database.name;
    dba.batch_execute(&format!(
        "create role {role} login password 'geheim'; create role {role}_2 nologin password 'geheim';
         create role {role}_3 login password 'geheim' connection limit 0;
         revoke connect on database {name} from public"
    ))
    .await
    .unwrap();
    let (_, server) = database.url.split_once('@').unwrap();
    let missing = postgres::with_database(server, "nowhere");
    let other = postgres::with_database(server, "postgres");
    for (url, code, advice) in [
        (
            format!("postgres://{role}:falsch@{server}"),
            "28P01",
            "password",
        ),
        (
            format!("postgres://{role}_2:geheim@{server}"),
            "28000",
            "LOGIN",
        ),
        (
            format!("postgres://{role}:geheim@{missing}"),
            "3D000",
            "create database",
        ),
        (
            format!("postgres://{role}:geheim@{server}"),
            "42501",
            "grant",
        ),
        (
            format!("postgres://{role}_3:geheim@{other}"),
            "53300",
            "CONNECTION LIMIT",
        ),
        (
            "postgres://me:geheim@127.0.0.1:1/x".into(),
            "refused",
            "host and port",
        ),
    ] {
        let (status, findings) = doctor(&url, &[]).await;
        assert_eq!((status, findings.len()), (1, 1), "{findings:#?}");
        let [level, about, found, what] = &findings[0];
        assert_eq!((level.as_str(), about.as_str()), ("fail", "connection"));
        assert!(
            found.contains(code) && what.contains(advice),
            "{findings:#?}"
        );
        assert!(!format!("{findings:?}").contains("geheim"));
    }
    dba.batch_execute(&format!(
        "drop role {role}; drop role {role}_2; drop role {role}_3"
    ))
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_server_from_writing_is_named() {
    let database = database().await;
    let dba = database.connect().await;
    let role = format!("reader_{}", database.name);
    dba.batch_execute(&format!(
        "create role {role} login password 'geheim'; grant select on all tables in schema public to {role};
         grant insert, update, delete on all tables in schema public to {role};
         revoke insert, delete on sources, uploads from {role}; revoke update on changes from {role};
         revoke select on refinery_schema_history from {role}"
    ))
    .await
    .unwrap();
    let (_, server) = database.url.split_once('@').unwrap();
    let url = format!("postgres://{role}:geheim@{server}");
    // Without this right nothing else can be told.
    let (code, findings) = doctor(&url, &[]).await;
    assert_eq!((code, bad(&findings).len()), (1, 1), "{findings:#?}");
    assert!(bad(&findings)[0][2].contains("refinery_schema_history"));
    dba.batch_execute(&format!(
        "grant select on refinery_schema_history to {role}"
    ))
    .await
    .unwrap();
    let (code, findings) = doctor(&url, &[]).await;
    assert_eq!(code, 1, "{findings:#?}");
    assert_eq!(
        bad(&findings)[0][..3],
        [
            "fail",
            "privileges",
            "missing: update on changes, insert on sources, delete on sources, \
             insert on uploads, delete on uploads, \
             execute on function cancel_waiting_run(uuid), execute on function delivery_status(date, date), \
             execute on function notifier_body(text, jsonb, boolean), execute on function notifier_name(text), \
             execute on function pipeline_state_is_final(text), execute on function rederive_sources(), \
             execute on function turn_day()"
        ]
    );

    let name = &database.name;
    dba.batch_execute(&format!(
        "alter database {name} set default_transaction_read_only = on"
    ))
    .await
    .unwrap();
    let (code, findings) = doctor(&database.url, &[]).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
    let settings = findings.iter().find(|one| one[1] == "settings").unwrap();
    assert_eq!(
        settings[2],
        "of the role or database: default_transaction_read_only=on; the server fixes its own"
    );
    dba.batch_execute(&format!(
        "set default_transaction_read_only = off;
         alter database {name} reset default_transaction_read_only;
         drop owned by {role}; drop role {role}"
    ))
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_in_front_and_rights_that_others_have_too_much_are_named() {
    let database = database().await;
    let dba = database.connect().await;
    let (owner, other) = (
        format!("front_{}", database.name),
        format!("maker_{}", database.name),
    );
    dba.batch_execute(&format!(
        "create role {owner} login superuser password 'geheim'; create role {other};
         create schema {owner} authorization {owner}; grant create on schema public to {other};
         grant execute on function end_sessions() to public"
    ))
    .await
    .unwrap();
    let (_, server) = database.url.split_once('@').unwrap();
    let url = format!("postgres://{owner}:geheim@{server}");
    let (code, findings) = doctor(&url, &[]).await;
    assert_eq!(code, 1, "{findings:#?}");
    let named: Vec<_> = bad(&findings).iter().map(|one| (one[0], one[1])).collect();
    let expected = [
        ("warn", "schemas"),
        ("warn", "schema public"),
        ("fail", "callers"),
    ];
    assert_eq!(named, expected, "{findings:#?}");
    let wrong = bad(&findings);
    assert!(wrong[0][2].contains(&owner), "{wrong:?}");
    assert_eq!(
        wrong[1][3],
        format!("revoke create on schema public from {other}")
    );
    assert_eq!(
        wrong[2][3],
        "revoke execute on function public.end_sessions() from public"
    );

    // What the role's own path says goes before the rule.
    dba.batch_execute(&format!(
        "alter role {owner} set search_path = public, {owner};
         revoke create on schema public from {other};
         revoke execute on function end_sessions() from public"
    ))
    .await
    .unwrap();
    let (code, findings) = doctor(&url, &[]).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
    dba.batch_execute(&format!(
        "drop schema {owner}; drop role {owner}; drop role {other}"
    ))
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_another_program_is_told_from_ours() {
    let database = database().await;
    let dba = database.connect().await;
    for (sql, advice) in [
        (
            "insert into refinery_schema_history (version, name) values (9999, 'later')",
            "use the newer program",
        ),
        (
            "update refinery_schema_history set checksum = '1' where version = 3",
            "use the program that has made this database; if somebody has changed \
             public.refinery_schema_history, restore that table from a backup",
        ),
        (
            "delete from refinery_schema_history
              where version = (select max(version) from refinery_schema_history)",
            "run `marketplace migrate`",
        ),
    ] {
        let history = "select version, name, applied_on, checksum from refinery_schema_history";
        let was = dba.query(history, &[]).await.unwrap();
        dba.execute(sql, &[]).await.unwrap();
        let (code, findings) = doctor(&database.url, &[]).await;
        let bad = bad(&findings);
        assert_eq!((code, bad.len()), (1, 1), "{findings:#?}");
        assert_eq!(
            (bad[0][0], bad[0][1], bad[0][3]),
            ("fail", "schema", advice)
        );
        if !advice.contains("marketplace migrate") {
            // The server refuses, too.
            let mut command = program(&["migrate"]);
            command.env("DATABASE_URL", &database.url);
            assert!(!command.output().await.unwrap().status.success(), "{sql}");
        }
        // As it was.
        dba.execute("delete from refinery_schema_history", &[])
            .await
            .unwrap();
        for row in was {
            dba.execute(
                "insert into refinery_schema_history (version, name, applied_on, checksum) values ($1, $2, $3, $4)",
                &[
                    &row.get::<_, i32>(0),
                    &row.get::<_, String>(1),
                    &row.get::<_, String>(2),
                    &row.get::<_, String>(3),
                ],
            )
            .await
            .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_needs_another_way_to_listen() {
    let database = database().await;
    let pooler = PgBouncer::before(&database.url, 2).await;
    let (code, findings) = doctor(&pooler.url, &[]).await;
    assert_eq!(code, 1);
    let abouts: Vec<_> = bad(&findings).iter().map(|one| one[1]).collect();
    assert_eq!(abouts, ["pooler"], "{findings:#?}");
    assert!(bad(&findings)[0][3].contains("LISTEN_DATABASE_URL"));
    let arguments = ["--listen-database-url", database.url.as_str()];
    let (code, findings) = doctor(&pooler.url, &arguments).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_an_empty_database_and_none_are_told_apart() {
    let primary = postgres::private_cluster(&[]).await;
    let url = primary.url().parse().unwrap();
    marketplace::db::migrate::run(&url, "Europe/Paris")
        .await
        .unwrap();
    let standby = standby_of(&primary).await;
    let (code, findings) = doctor(&standby.url(), &[]).await;
    assert_eq!(code, 1);
    let abouts: Vec<_> = bad(&findings).iter().map(|one| one[1]).collect();
    assert_eq!(abouts, ["standby"], "{findings:#?}");

    let empty = postgres::cluster().await.database(None).await;
    let (code, findings) = doctor(&empty.url, &[]).await;
    assert_eq!(code, 1);
    assert_eq!(
        bad(&findings)[0][1..],
        ["schema", "missing", "run `marketplace migrate`"]
    );

    let schema = findings.iter().position(|one| one[1] == "schema");
    assert_eq!(
        schema,
        Some(findings.len() - 1),
        "nothing follows: {findings:#?}"
    );
}

/// What somebody may have done to a database, what the doctor says of it, and how bad it is.
const CHANGED: &[(&str, &str, &str)] = &[
    ("drop table changes cascade", "fail", "the table changes is missing"),
    ("alter table changes rename to x", "fail", "the table changes is missing"),
    ("alter table sources alter created_at type timestamp", "fail", "sources.created_at is timestamp without"),
    ("alter table sources alter country type varchar(20)", "warn", "sources.country is character varying(20)"),
    ("alter table sources alter created_by drop not null", "fail", "sources.created_by has null null"),
    ("alter table sources alter id drop default", "fail", "sources.id has default none"),
    ("alter table sources drop column granularity", "fail", "the column sources.granularity is missing"),
    ("alter table sources enable row level security, force row level security", "fail", "row security"),
    ("alter table sources set unlogged", "fail", "the table sources is unlogged"),
    ("alter table sources drop constraint sources_in_range", "fail", "constraint sources.sources_in_range is missing"),
    ("alter table sessions drop constraint sessions_user_id_fkey", "fail", "sessions_user_id_fkey is missing"),
    ("drop index users_new_name_key", "fail", "users_new_name_key is missing"),
    ("drop index sources_created_at_idx", "warn", "sources_created_at_idx is missing"),
    (
        "create or replace function derive_source() returns trigger language plpgsql security definer as $$
         begin return new; end $$",
        "fail",
        "derive_source() is not the one",
    ),
    ("alter function end_sessions() security invoker", "fail", "end_sessions() is not the one"),
    ("alter function notify_sources() reset search_path", "fail", "notify_sources() is not the one"),
    ("alter function notify_sources() owner to {role}", "fail", "notify_sources() belongs to"),
    ("alter table users owner to {role}", "fail", "the table users belongs to"),
    (
        "create function theirs() returns trigger language plpgsql as $$ begin return null; end $$;
         create trigger theirs before insert on sources for each row execute function theirs()",
        "warn",
        "sources has the trigger theirs",
    ),
    ("create rule theirs as on insert to sources do instead nothing", "fail", "sources has the rule theirs"),
    ("alter table sources add check (country <> '')", "warn", "sources has the constraint"),
    ("alter table sources add column theirs text not null", "fail", "sources has the column"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_not_as_the_migrations_make_it_is_named() {
    for (change, level, words) in CHANGED {
        let database = database().await;
        let dba = database.connect().await;
        let role = format!("other_{}", database.name);
        let change = change.replace("{role}", &role);
        dba.batch_execute(&format!(
            "create role {role}; grant create on schema public to {role}"
        ))
        .await
        .unwrap();
        dba.batch_execute(&change).await.unwrap();
        let (code, findings) = doctor(&database.url, &[]).await;
        let found = bad(&findings);
        let is_named = found
            .iter()
            .any(|one| (one[0], one[1]) == (level, "definitions") && one[2].contains(words));
        assert!(is_named, "{change}: {found:#?}");
        assert_eq!(code, i32::from(*level == "fail"), "{change}: {found:#?}");
        assert!(found.len() <= 4, "{change}: {found:#?}");
        dba.batch_execute(&format!(
            "reassign owned by {role} to current_user; drop owned by {role}; drop role {role}"
        ))
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_may_change_is_not_named() {
    let database = database().await;
    let dba = database.connect().await;
    // Made by an extension that everybody may call, as pg_stat_statements_reset is by some.
    dba.batch_execute(
        "create extension pgcrypto; alter function gen_salt(text) security definer;
         create index theirs on sources (country);
         alter table sources add column theirs text, add column more int not null default 0;
         alter table sources replica identity full; alter table sources set (fillfactor = 90);
         create or replace function local_time_zone() returns text language sql immutable parallel safe
             return 'Asia/Tokyo'",
    )
    .await
    .unwrap();
    let (code, findings) = doctor(&database.url, &["--time-zone", "Asia/Tokyo"]).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
    dba.batch_execute(
        "create function theirs() returns int language sql security definer return 1",
    )
    .await
    .unwrap();
    let (code, findings) = doctor(&database.url, &["--time-zone", "Asia/Tokyo"]).await;
    assert_eq!(code, 0, "{findings:#?}");
    assert_eq!(bad(&findings)[0][..2], ["warn", "callers"]);
    assert!(bad(&findings)[0][2].contains("theirs()"), "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_dumped_and_restored_is_as_the_migrations_make_it() {
    let database = database().await;
    let copy = postgres::cluster().await.database(None).await;
    let dump = tokio::process::Command::new("pg_dump")
        .arg(&database.url)
        .output()
        .await
        .unwrap();
    assert!(dump.status.success(), "{dump:?}");
    let restored = copy.psql(&String::from_utf8(dump.stdout).unwrap()).await;
    assert!(restored.status.success(), "{restored:?}");
    let (code, findings) = doctor(&copy.url, &[]).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
}

/// With what the doctor asks for a server gets ready and does its work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_with_the_rights_that_the_doctor_asks_for_is_enough_for_a_server() {
    let database = database().await;
    let dba = database.connect().await;
    let role = format!("server_{}", database.name);
    dba.batch_execute(&format!("create role {role} login password 'geheim'; grant select on refinery_schema_history to {role}"))
        .await
        .unwrap();
    let (_, address) = database.url.split_once('@').unwrap();
    let url = format!("postgres://{role}:geheim@{address}");
    let (_, findings) = doctor(&url, &[]).await;
    let missing = findings.iter().find(|one| one[1] == "privileges").unwrap();
    for right in missing[2].strip_prefix("missing: ").unwrap().split(", ") {
        // A signature with two types has a comma, too.
        let right = match right {
            "execute on function delivery_status(date" => {
                "execute on function delivery_status(date, date)"
            }
            "execute on function notify_change(text" => {
                "execute on function notify_change(text, text, uuid[])"
            }
            "execute on function notifier_body(text" => {
                "execute on function notifier_body(text, jsonb, boolean)"
            }
            "date)" | "text" | "uuid[])" | "jsonb" | "boolean)" => continue,
            right => right,
        };
        dba.batch_execute(&format!("grant {right} to {role}"))
            .await
            .unwrap();
    }
    let (code, findings) = doctor(&url, &[]).await;
    assert_eq!((code, bad(&findings)), (0, vec![]), "{findings:#?}");
    let server = crate::support::server::TestServer::on(&url, &[]).await;
    let mut visitor = server.visitor("visitor").await;
    let id: uuid::Uuid = dba
        .query_one(
            "insert into sources (country) values ('France') returning id",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let change = serde_json::json!({ "country": "Spain" });
    let path = format!("/api/update-source/{id}/");
    let changed = visitor.call("PATCH", &path).json(&change).send().await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    crate::support::server::eventually("the day has turned", async || {
        let sql = "select exists (select from day_turns)";
        dba.query_one(sql, &[]).await.unwrap().get(0)
    })
    .await;
    server.ready().await;
    server.stop().await.unwrap();
    dba.batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .await
        .unwrap();
}
