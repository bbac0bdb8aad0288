//! Moving in from a Django backend: its sources and users as its own dump has them, once and again.

mod dumps;
mod malicious;

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    client::Http,
    postgres::{self, Home, TestDatabase},
    program::{Running, program},
    server::{ORIGIN, SOON, TestServer, database, eventually, open},
    sign_in::basic,
};

/// What `pg_dump` wrote of a whole backend.
const DUMP: &str = include_str!("../../django/django-full.sql");
/// What the backend answered on exactly this data, to `GET /api/read-source/` and to each sign-in.
const SOURCES: &str = include_str!("../../django/expected-read-source.json");
const LOGINS: &str = include_str!("../../django/expected-logins.json");

const PASSWORDS: [(&str, &str); 3] = [
    ("anna", "Anna-pass-2024!"),
    ("bruno", "Bruno pass with spaces é 7"),
    ("chloé.d", "короткий-Пароль-9"),
];

/// A source that has a file, and one that has none.
const CANADA: &str = "c1763902-7518-4583-9481-eb6480177d65";
const FRANCE: &str = "e9b09c4c-67ba-43c1-8b52-48af13552dae";

/// A backend that still runs.
pub async fn backend() -> TestDatabase {
    let backend = postgres::cluster().await.database(None).await;
    let restored = backend.psql(DUMP).await;
    assert!(restored.status.success(), "{restored:?}");
    backend
}

/// Runs `marketplace import-django`; its exit code and what it said.
async fn import(to: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = program(&["import-django"]);
    command.args(arguments).env("DATABASE_URL", to);
    command.env("TMPDIR", postgres::scratch());
    let output = timeout(SOON * 8, command.output()).await;
    let output = output.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("it was not killed");
    (code, text(output.stdout), text(output.stderr))
}

/// The report of an import that succeeds.
async fn report(to: &str, arguments: &[&str]) -> Value {
    let (code, out, err) = import(to, &[arguments, &["--json"]].concat()).await;
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

/// `[added, changed, removed]` of a kind.
fn counts(report: &Value, kind: &str) -> Value {
    let of = &report[kind];
    json!([of["added"], of["changed"], of["removed"]])
}

fn notes<'a>(report: &'a Value, section: &str) -> Vec<&'a str> {
    let notes = report[section].as_array().unwrap();
    notes.iter().map(|note| note.as_str().unwrap()).collect()
}

async fn sign_in(base: &str, name: &str, password: &str) -> (Http, Value) {
    let mut visitor = Http::new(base).on_page(ORIGIN);
    let form = json!({ "username": name, "password": password });
    let answer = visitor.post("/api/login/").json(&form).send().await;
    let answer = json!([answer.status, answer.json()]);
    (visitor, answer)
}

async fn sources(visitor: &mut Http) -> Value {
    visitor.get("/api/read-source/").send().await.json()
}

/// All that an import could change, as text.
async fn everything(database: &TestDatabase) -> String {
    let sql = "select coalesce(string_agg(t, e'\\n' order by t), '') from (
                   select to_jsonb(s)::text from sources s union all select to_jsonb(u)::text from users u
                   union all select to_jsonb(i)::text from django_imports i) x (t)";
    let client = database.connect().await;
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_is_served_as_the_backend_served_it() {
    let (server, database) = TestServer::start().await;
    let display = server.visitor("display").await;
    let mut socket = open(&display, "/ws/read_source/").await;
    assert_eq!(socket.next_json(SOON).await["data"], json!([]));

    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/django/django-full.sql");
    let arguments = ["--dump", dump.to_str().unwrap()];
    let first = report(&database.url, &arguments).await;
    assert_eq!(counts(&first, "sources"), json!([21, 0, 0]), "{first}");
    assert_eq!(counts(&first, "users"), json!([3, 0, 0]), "{first}");
    // Whoever looks sees them come.
    eventually("the open dashboard has all", async || {
        let seen = socket.next_json(SOON).await;
        seen["data"].as_array().map(Vec::len) == Some(21)
    })
    .await;

    // Everybody is let in or not, as before; twice, for the first time changes what is stored.
    let expected: Value = serde_json::from_str(LOGINS).unwrap();
    for (name, password) in PASSWORDS.into_iter().chain(PASSWORDS) {
        let (mut visitor, answer) = sign_in(&server.base, name, password).await;
        assert_eq!(answer, expected[name]["login"], "{name}");
        let (_, wrong) = sign_in(&server.base, name, &password.to_lowercase()).await;
        assert_eq!(
            wrong,
            json!([400, { "error": "Invalid credentials" }]),
            "{name}"
        );
        if answer[0] == 200 {
            let me = visitor.get("/api/me/").send().await.json();
            let role = if name == "anna" { "admin" } else { "editor" };
            assert_eq!(me["role"], role);
        }
        let mut stranger = Http::new(&server.base);
        let call = stranger.get("/api/read-source/");
        let call = call.header("Authorization", &basic(name, password));
        let answer = call.send().await;
        let body = match answer.json() {
            Value::Array(rows) => json!(format!("{} rows", rows.len())),
            other => other,
        };
        assert_eq!(
            json!([answer.status, body]),
            expected[name]["basic"],
            "{name}"
        );
    }
    let sql = "select username from users where password_hash like '$argon2id$%' order by 1";
    let renewed = database.connect().await.query(sql, &[]).await.unwrap();
    let renewed: Vec<String> = renewed.iter().map(|row| row.get(0)).collect();
    assert_eq!(renewed, ["anna", "bruno", "display"]);

    // Every source as before, but for what the report names.
    let mut expected: Value = serde_json::from_str(SOURCES).unwrap();
    for source in expected.as_array_mut().unwrap() {
        let id = source["id"].as_str().unwrap().to_owned();
        if let Some(path) = source["data_upload"].as_str() {
            let key = path.trim_start_matches('/').to_owned();
            let named = format!("the file of source {id}, {key}:");
            let left_out = notes(&first, "left_out");
            assert!(
                left_out.iter().any(|note| note.starts_with(&named)),
                "{first}"
            );
            source["data_upload"] = json!(key);
        }
    }
    let (mut anna, _) = sign_in(&server.base, PASSWORDS[0].0, PASSWORDS[0].1).await;
    assert_eq!(sources(&mut anna).await, expected);
    assert_eq!(
        notes(&first, "changed"),
        ["user anna: staff or superuser there, admin here"]
    );
    for named in [
        "sessions: people have to sign in again",
        "the first and last name of user anna",
        "the table public.auth_permission",
    ] {
        assert!(
            notes(&first, "left_out").contains(&named),
            "{named}: {first}"
        );
    }

    let before = everything(&database).await;
    let second = report(&database.url, &arguments).await;
    for kind in ["sources", "users"] {
        assert_eq!(counts(&second, kind), json!([0, 0, 0]), "{second}");
    }
    assert_eq!(everything(&database).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_import_brings_what_changed_there_and_nothing_else() {
    let (backend, database) = (backend().await, database().await);
    let arguments = ["--from", backend.url.as_str()];
    let empty = everything(&database).await;
    let dry = report(&database.url, &[&arguments[..], &["--dry-run"]].concat()).await;
    assert_eq!(counts(&dry, "sources"), json!([21, 0, 0]), "{dry}");
    assert_eq!(everything(&database).await, empty, "nothing was written");
    report(&database.url, &arguments).await;

    let server = TestServer::on(&database.url, &[]).await;
    let (mut anna, _) = sign_in(&server.base, PASSWORDS[0].0, PASSWORDS[0].1).await;
    let (mut bruno, _) = sign_in(&server.base, PASSWORDS[1].0, PASSWORDS[1].1).await;
    let (here, there) = (database.connect().await, backend.connect().await);
    // Here: one source is changed, one removed; there: another column of the same source, a third
    // source, one more and one less; a user's password and another's standing.
    here.batch_execute(&format!(
        "update sources set panel = 'ours' where id = '{FRANCE}';
         update sources set panel = 'ours' where country = 'Italia';
         update sources set panel = 'ours' where country = 'Germany';
         delete from sources where country = 'Canada'"
    ))
    .await
    .unwrap();
    let before = everything(&database).await;
    report(&database.url, &arguments).await;
    assert_eq!(
        everything(&database).await,
        before,
        "nothing had changed there"
    );
    there
        .batch_execute(&format!(
            "update myapp_sourcemodel set data_vendor = 'theirs', updated_at = now() where id = '{FRANCE}';
             update myapp_sourcemodel set panel = 'theirs', updated_at = '2025-01-01' where country = 'Italia';
             update myapp_sourcemodel set status = 'archived' where country = 'Türkiye';
             delete from myapp_sourcemodel where country in ('USA', 'Germany');
             insert into myapp_sourcemodel select gen_random_uuid(), now(), now(), created_by, 'Peru', data_vendor, panel,
                    panel_group, scope_of_subscription, data_type, granularity, end_date, current_update, next_update,
                    data_upload, next_status, status, datadelivery_status from myapp_sourcemodel where id = '{CANADA}';
             update auth_user set password = (select password from auth_user where username = 'anna') where username = 'bruno';
             update auth_user set is_active = true where id = 3"
        ))
        .await
        .unwrap();
    let third = report(&database.url, &arguments).await;
    assert_eq!(counts(&third, "sources"), json!([1, 3, 1]), "{third}");
    assert_eq!(counts(&third, "users"), json!([0, 2, 0]), "{third}");
    let sql = "select country, data_vendor, panel, status from sources
                where country in ('France', 'Italia', 'Türkiye', 'USA', 'Germany', 'Peru', 'Canada') order by country";
    let rows = here.query(sql, &[]).await.unwrap();
    let rows: Vec<[String; 4]> = rows
        .iter()
        .map(|row| [0, 1, 2, 3].map(|column| row.get(column)))
        .collect();
    assert_eq!(
        rows,
        [
            ["France", "theirs", "ours", "active"],
            ["Germany", "GfK", "ours", "inactive"],
            ["Italia", "Nielsen", "theirs", "active"],
            ["Peru", "IQVIA", "LMPB", "inactive"],
            ["Türkiye", "GfK", "DPM", "archived"],
        ]
    );
    let sql =
        "select id::text from sources where country in ('Italia', 'Germany') order by country";
    let ids = here.query(sql, &[]).await.unwrap();
    let id = |n: usize| ids[n].get::<_, &str>(0);
    let kept = format!("the removal of source {}: it was changed here since", id(0));
    assert!(
        notes(&third, "left_out").contains(&kept.as_str()),
        "{third}"
    );
    let both = format!(
        "source {}: panel was changed here too; the backend's value was taken",
        id(1)
    );
    assert!(notes(&third, "changed").contains(&both.as_str()), "{third}");

    let sql = "select updated_at > now() - interval '1 hour' from sources where country = 'Italia'";
    let is_new: bool = here.query_one(sql, &[]).await.unwrap().get(0);
    assert!(is_new, "what was done here was later");

    // Bruno's new password counts, and what was opened with the old one has ended.
    assert_eq!(bruno.get("/api/me/").send().await.status, 403);
    assert_eq!(anna.get("/api/me/").send().await.status, 200);
    assert_eq!(
        sign_in(&server.base, "bruno", PASSWORDS[1].1).await.1[0],
        400
    );
    assert_eq!(
        sign_in(&server.base, "bruno", PASSWORDS[0].1).await.1[0],
        200
    );
    let (name, password) = PASSWORDS[2];
    assert_eq!(sign_in(&server.base, name, password).await.1[0], 200);

    let before = everything(&database).await;
    let fourth = report(&database.url, &arguments).await;
    for kind in ["sources", "users"] {
        assert_eq!(counts(&fourth, kind), json!([0, 0, 0]), "{fourth}");
    }
    assert_eq!(everything(&database).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_here_to_users_stays() {
    let (backend, database) = (backend().await, database().await);
    let (here, there) = (database.connect().await, backend.connect().await);
    let from = ["--from", backend.url.as_str()];
    // Four more than sign in: one is removed here, two are removed there, one of them also changed
    // here, and one is called like somebody here by then.
    there
        .batch_execute(
            "insert into auth_user select 10 + n, '!x', null, false, name, '', '', '', false, true, now()
               from (values (1, 'left'), (2, 'gone'), (3, 'kept'), (4, 'renamed')) x (n, name);
             update auth_user set is_staff = false where username = 'anna'",
        )
        .await
        .unwrap();
    report(&database.url, &from).await;
    let role = "select role from users where username = 'anna'";
    let found: String = here.query_one(role, &[]).await.unwrap().get(0);
    assert_eq!(found, "admin", "a superuser who is not staff");

    let server = TestServer::on(&database.url, &[]).await;
    let (mut anna, _) = sign_in(&server.base, PASSWORDS[0].0, PASSWORDS[0].1).await;
    here.batch_execute(
        "delete from users where username = 'left';
         update users set email = 'here@example.com' where username = 'kept';
         update users set role = 'viewer' where username = 'bruno';
         insert into users (username, password_hash) values ('newcomer', 'x')",
    )
    .await
    .unwrap();
    there
        .batch_execute(
            "delete from auth_user where username in ('gone', 'kept');
             update auth_user set username = 'newcomer' where username = 'renamed';
             update auth_user set email = 'new@example.com' where username in ('anna', 'bruno');
             update auth_user set is_superuser = false, is_staff = true, last_login = now() - interval '1 day'
              where username = 'anna'",
        )
        .await
        .unwrap();
    let second = report(&database.url, &from).await;
    assert_eq!(counts(&second, "users"), json!([0, 2, 1]), "{second}");
    for note in [
        "the removal of user kept: it was changed here since",
        "changes of user renamed, who is called newcomer there: here that is somebody else",
    ] {
        assert!(notes(&second, "left_out").contains(&note), "{second}");
    }
    let sql = "select username, email, role, password_hash like '$argon2id$%' and last_login_at > now() - interval '1 hour'
                 from users order by 1";
    let rows = here.query(sql, &[]).await.unwrap();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let text = [0, 1, 2].map(|column| row.get::<_, String>(column));
            (text, row.get::<_, Option<bool>>(3))
        })
        .collect();
    let row = |name: &str, email: &str, role: &str, is_renewed| {
        ([name, email, role].map(str::to_owned), is_renewed)
    };
    assert_eq!(
        rows,
        [
            row("anna", "new@example.com", "admin", Some(true)),
            row("bruno", "new@example.com", "viewer", Some(false)),
            row("chloé.d", "", "editor", Some(false)),
            row("kept", "here@example.com", "editor", Some(false)),
            row("newcomer", "", "editor", Some(false)),
            row("renamed", "", "editor", Some(false)),
        ]
    );
    // Another address is no reason to sign anybody out.
    assert_eq!(anna.get("/api/me/").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_sign_ins_at_once_all_succeed() {
    let (backend, database) = (backend().await, database().await);
    report(&database.url, &["--from", &backend.url]).await;
    let server = TestServer::on(&database.url, &[]).await;
    let (name, password) = PASSWORDS[0];
    let all = (0..6).map(|_| sign_in(&server.base, name, password));
    for (_, answer) in futures_util::future::join_all(all).await {
        assert_eq!(answer[0], 200, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_no_room_for_is_named() {
    let (backend, database) = (backend().await, database().await);
    let (here, there) = (database.connect().await, backend.connect().await);
    there
        .batch_execute(&format!(
            "alter table myapp_sourcemodel alter country type text, alter end_date drop not null, add column colour text;
             alter table auth_user alter username type varchar(200);
             update myapp_sourcemodel set country = repeat('é', 300), end_date = 'infinity', updated_at = 'infinity' where id = '{FRANCE}';
             update myapp_sourcemodel set current_update = (now() at time zone 'Europe/Paris')::date, datadelivery_status = 'awaiting' where id = '{CANADA}';
             insert into auth_user select 10 + n, '!x', null, false, name, '', '', '', false, true, now()
               from (values (1, 'unusable'), (2, 'taken'), (3, repeat('n', 151))) x (n, name);
             insert into auth_user values (20, 'argon2$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$aGFzaA', null, false, 'modern', '', '', '', false, true, now());
             insert into auth_user values (21, 'bcrypt_sha256$$2b$12$x', null, false, 'other', '', '', '', false, true, now());
             insert into auth_user values (23, 'argon2$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA', null, false, 'older', '', '', '', false, true, now());
             insert into auth_user values (22, 'pbkdf2_sha256$2000001$salt$aGFzaA==', null, false, 'costly', '', '', '', false, true, now())"
        ))
        .await
        .unwrap();
    let sql = "select id::text from myapp_sourcemodel where country = 'Italia'";
    let italia: String = there.query_one(sql, &[]).await.unwrap().get(0);
    here.batch_execute(&format!(
        "insert into users (username, password_hash) values ('taken', 'x');
         insert into sources (id, country) values ('{italia}', 'ours')"
    ))
    .await
    .unwrap();
    let report = report(&database.url, &["--from", &backend.url]).await;
    assert_eq!(counts(&report, "sources"), json!([20, 0, 0]), "{report}");
    assert_eq!(counts(&report, "users"), json!([8, 0, 0]), "{report}");
    for (section, note) in [
        ("changed", format!("source {FRANCE}: country was cut from 300 to 255 characters")),
        ("changed", format!("source {FRANCE}: end_date was no day of the years 1 to 9999 and is empty now")),
        ("changed", format!("source {FRANCE}: updated_at was moved into the years 1 to 9999")),
        ("changed", format!("source {CANADA}: datadelivery_status is received today, and was awaiting when it was saved")),
        ("left_out", "the column colour of public.myapp_sourcemodel: there is none of this name here".into()),
        ("left_out", format!("source {italia}: one of this id was here before")),
        ("left_out", "user taken: somebody of this name was here before".into()),
        ("left_out", format!("user {}: no name to sign in with here", "n".repeat(151))),
        ("left_out", "the password of user unusable, which was not usable there: set one with marketplace users password".into()),
        ("left_out", "the password of user costly, whose hash costs more than any may here: set one with marketplace users password".into()),
        ("left_out", "the password of user other, which is hashed in a way unknown here: set one with marketplace users password".into()),
    ] {
        assert!(notes(&report, section).contains(&note.as_str()), "{note}: {report:#}");
    }
    let sql = "select password_hash from users where username = 'modern'";
    let hash: String = here.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(hash, "$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$aGFzaA");
    let sql = "select password_hash from users where username = 'older'";
    let hash: String = here.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(hash, "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA");
    let (_, out, _) = import(&database.url, &["--from", &backend.url]).await;
    assert!(
        out.starts_with(
            "sources: 21 there; 0 added, 0 changed, 0 removed\n\
             users:   10 there; 0 added, 0 changed, 0 removed\nleft out:\n"
        ),
        "{out}"
    );
    assert!(
        !out.contains("was cut"),
        "only of rows that were touched: {out}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_cannot_be_right_changes_nothing() {
    let (backend, database) = (backend().await, database().await);
    let (here, there) = (database.connect().await, backend.connect().await);
    let from = ["--from", backend.url.as_str()];
    let unmigrated = postgres::cluster().await.database(None).await;
    let refuses = async |to: &str, arguments: &[&str], expected: i32, why: &str| {
        let before = everything(&database).await;
        let (code, out, err) = import(to, arguments).await;
        assert_eq!((code, out.as_str()), (expected, ""), "{why}: {err}");
        assert!(err.contains(why), "{why}: {err}");
        assert!(!err.contains("geheim"), "{err}");
        assert_eq!(everything(&database).await, before);
    };
    let to = &database.url;
    refuses(&unmigrated.url, &from, 1, "run `marketplace migrate`").await;
    refuses(
        to,
        &["--from", &unmigrated.url],
        1,
        "no table ..._sourcemodel",
    )
    .await;
    refuses(
        to,
        &["--from", "postgres://a:geheim@127.0.0.1:1/b"],
        1,
        "the backend's database",
    )
    .await;
    let unreadable = ["--from", "postgres://a:geheim@h:port/b"];
    refuses(to, &unreadable, 2, "marketplace: DJANGO_DATABASE_URL: ").await;
    refuses(to, &[], 2, "required").await;
    refuses(
        to,
        &["--dump", "x", "--from", &backend.url],
        2,
        "cannot be used",
    )
    .await;

    report(to, &from).await;
    there
        .batch_execute("begin; alter table myapp_sourcemodel rename panel to panels; commit")
        .await
        .unwrap();
    refuses(to, &from, 1, "public.myapp_sourcemodel has no column panel").await;
    there
        .batch_execute("alter table myapp_sourcemodel rename panels to panel")
        .await
        .unwrap();
    there
        .batch_execute("update auth_user set is_staff = false, is_superuser = false")
        .await
        .unwrap();
    refuses(to, &from, 1, "nobody who may manage users").await;
    there
        .batch_execute("update auth_user set is_staff = true; delete from myapp_sourcemodel")
        .await
        .unwrap();
    refuses(to, &from, 1, "is it another one?").await;
    here.batch_execute("truncate django_imports, sources, users cascade")
        .await
        .unwrap();
    // A password needs to stand in no list of processes.
    let home = Home::new();
    fs::create_dir(&home.dir).unwrap();
    let file = home.dir.join("url");
    fs::write(&file, format!("{}\n", backend.url)).unwrap();
    let report = report(to, &["--from-file", file.to_str().unwrap()]).await;
    assert_eq!(counts(&report, "users"), json!([3, 0, 0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_may_be_packed_but_not_cut_short() {
    let database = database().await;
    let home = Home::new();
    fs::create_dir(&home.dir).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let file = home.dir.join(name);
        fs::write(&file, bytes).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let packed = |text: &str| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    // Between two rows, where psql takes the end of the file for the end of the rows.
    let in_rows = DUMP.find("COPY public.myapp_sourcemodel").unwrap() + 2000;
    let in_rows = in_rows + DUMP[in_rows..].find('\n').unwrap() + 1;
    for (name, bytes, why) in [
        ("short", &DUMP.as_bytes()[..in_rows], "cut short"),
        (
            "rows",
            b"insert into nothing values (1);".as_slice(),
            "42P01",
        ),
        ("no-dump", b"hello".as_slice(), "cannot be restored"),
    ] {
        let (code, _, err) = import(&database.url, &["--dump", &file(name, bytes)]).await;
        assert!(code == 1 && err.contains(why), "{name}: {err}");
    }
    // Nothing is left of the cluster.
    let place = home.dir.join("place");
    fs::create_dir(&place).unwrap();
    let mut command = program(&["import-django", "--dump", &file("whole", DUMP.as_bytes())]);
    command
        .env("DATABASE_URL", &database.url)
        .env("TMPDIR", &place);
    let mut child = command.spawn().unwrap();
    eventually("the cluster is there", async || {
        fs::read_dir(&place).unwrap().count() == 1
    })
    .await;
    assert!(
        timeout(SOON * 8, child.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    );
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);

    // As most people's: of roles that are not here, and packed.
    let owned = DUMP.replace(
        "COPY public.auth_group (",
        "ALTER TABLE public.auth_user OWNER TO django;\nGRANT SELECT ON public.auth_user TO reporting;\nCOPY public.auth_group (",
    );
    let arguments = ["--dump", &file("owned.sql.gz", &packed(&owned))];
    let again = report(&database.url, &arguments).await;
    assert_eq!(counts(&again, "sources"), json!([0, 0, 0]));

    let backend = backend().await;
    let custom = home.dir.join("custom");
    let dumped = tokio::process::Command::new("pg_dump")
        .args(["-Fc", "-f", custom.to_str().unwrap(), &backend.url])
        .status()
        .await
        .unwrap();
    assert!(dumped.success());
    let again = report(&database.url, &["--dump", custom.to_str().unwrap()]).await;
    assert_eq!(again["users"]["found"], 3);
    assert_eq!(counts(&again, "sources"), json!([0, 0, 0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_cluster_can_be_moved_into() {
    let home = Home::new();
    let data_dir = home.dir.to_str().unwrap();
    let backend = backend().await;
    let arguments = [
        "serve",
        "--embedded",
        "--bind",
        "127.0.0.1:0",
        "--data-dir",
        data_dir,
    ];
    let mut server = Running::start(program(&arguments));
    let base = server.line("listening on ").await;
    let mut command = program(&["import-django", "--embedded", "--data-dir", data_dir]);
    command.env("DJANGO_DATABASE_URL", &backend.url);
    let output = timeout(SOON * 8, command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    eventually("anna is let in", async || {
        sign_in(&base, PASSWORDS[0].0, PASSWORDS[0].1).await.1[0] == 200
    })
    .await;
}
