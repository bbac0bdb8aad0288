//! No row stops a server: values that the program cannot hold are refused by the database; where they
//! are in a table all the same, that row alone is left out.

mod bounds;
mod catalogue;

use marketplace::{
    db::{migrate, submissions},
    pg::Pool,
};
use serde_json::Value;
use tokio_postgres::{Client, error::SqlState};

use crate::support::{
    client::{Frame, Http, Socket},
    doctor::doctor,
    migrate::at_version,
    postgres::Home,
    program::{Running, program},
    server::{ORIGIN, SOON, TestServer, database, eventually, open},
};

/// Lets everything into the tables again, as if the constraints had never been made.
const UNGUARDED: &str = "
    alter table sources drop constraint if exists sources_in_range;
    alter table users drop constraint if exists users_in_range;
    alter table sessions drop constraint if exists sessions_in_range;
    alter table pipeline_runs drop constraint if exists pipeline_runs_in_range;
    alter table pipeline_run_states drop constraint if exists pipeline_run_states_in_range;
    alter table pipeline_followers drop constraint if exists pipeline_followers_in_range;
    alter table changes drop constraint if exists changes_in_range";

/// The value of the metric whose name and labels are `series`.
async fn metric(base: &str, series: &str) -> f64 {
    let text = Http::new(base).get("/metrics").send().await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let line = line.unwrap_or_else(|| panic!("{series} is not in\n{text}"));
    line.trim().parse().expect("a number")
}

/// The countries that a list shows, in order of their names.
fn countries(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().expect("a list");
    let mut names: Vec<&str> = rows
        .iter()
        .map(|row| row["country"].as_str().expect("a text"))
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn values_that_the_program_cannot_hold_are_refused() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into sources (country) values ('France');
         insert into users (username, password_hash) values ('ann', '!');
         insert into sessions (user_id, token_hash, expires_at)
              select id, sha256('x'), now() + interval '1 hour' from users;
         insert into pipeline_runs (step) values ('qc');
         insert into pipeline_followers (node, until) values (gen_random_uuid(), now());
         insert into pipeline_submissions (run_id, node, claimed_until, cluster_id, command)
              select id, id, now(), 'j-1', 'qc' from pipeline_runs;
         insert into uploads (key, name) values (gen_random_uuid(), 'a.csv');
         insert into day_turns (day) values ('2020-01-01');
         insert into django_imports values ('source', 'x', gen_random_uuid(), '{}')",
    )
    .await
    .unwrap();
    let times = [
        ("sources", "created_at"),
        ("sources", "updated_at"),
        ("users", "created_at"),
        ("users", "last_login_at"),
        ("sessions", "created_at"),
        ("sessions", "expires_at"),
        ("pipeline_runs", "created_at"),
        ("pipeline_runs", "updated_at"),
        ("pipeline_run_states", "at"),
        ("pipeline_submissions", "claimed_until"),
        ("pipeline_submissions", "sent_at"),
        ("pipeline_followers", "until"),
        ("day_turns", "turned_at"),
        ("uploads", "created_at"),
        ("uploads", "claimed_until"),
        ("uploads", "orphaned_at"),
        ("changes", "at"),
    ];
    let beyond = [
        "infinity",
        "-infinity",
        "9999-12-31 12:00+00",
        "10000-01-01 00:00+00",
        "294276-12-31 00:00+00",
        "0001-01-01 12:00+00",
        "0044-03-15 12:00+00 BC",
    ];
    let mut wrong = Vec::new();
    for (table, column) in times {
        for value in beyond {
            wrong.push(format!("update {table} set {column} = '{value}'"));
        }
        for value in ["0001-01-02 00:00+00", "9999-12-30 00:00+00"] {
            let right = format!("update {table} set {column} = '{value}'");
            dba.batch_execute(&right)
                .await
                .unwrap_or_else(|error| panic!("{right}: {error:?}"));
        }
    }
    wrong.extend(
        [
            "update sources set data_upload = repeat('x', 65537)",
            "update users set password_hash = repeat('x', 65537)",
            "update pipeline_runs set reason = repeat('x', 65537)",
            "update uploads set name = repeat('x', 65537)",
            "update uploads set original_name = repeat('x', 65537)",
            "update users set name_key = repeat('x', 65537)",
            "update users set look_key = repeat('x', 65537)",
            "update pipeline_submissions set command = repeat('x', 65537)",
            "update pipeline_submissions set problem = repeat('x', 65537)",
            "update django_imports set key = repeat('x', 65537)",
            "update django_imports set was = jsonb_build_object('x', repeat('x', 1048576))",
            "update pipeline_submissions set attempts = 2147483647",
            "update pipeline_submissions set attempts = -1",
            "update changes set row_ids = '{NULL}'",
            "update changes set row_ids = '{{00000000-0000-4000-8000-00000000000a}}'",
            "update changes set row_count = -1",
            "update day_turns set day = 'infinity'",
            "update django_imports set was = '[]'",
        ]
        .map(str::to_owned),
    );
    for statement in wrong {
        let refused = dba.batch_execute(&statement).await;
        let code = refused.as_ref().err().and_then(tokio_postgres::Error::code);
        assert!(
            matches!(
                code,
                Some(&SqlState::CHECK_VIOLATION | &SqlState::FEATURE_NOT_SUPPORTED)
            ),
            "{statement}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_there_before_are_corrected_and_named_in_the_log() {
    let database = at_version(12).await;
    let dba = database.connect().await;
    let id = "00000000-0000-4000-8000-00000000000a";
    dba.batch_execute(&format!(
        "insert into sources (id, country, created_at, updated_at) values
             ('{id}', 'far', '9999-12-31 12:00+00', '20000-01-01 00:00+00'),
             (gen_random_uuid(), 'early', '0044-03-15 00:00+00 BC', '2020-01-01 00:00+00'),
             (gen_random_uuid(), 'well', '2020-01-01 00:00+00', '2020-01-01 00:00+00');
         insert into sources (country, data_upload) values ('long', repeat('x', 100000));
         insert into users (username, password_hash, created_at, last_login_at)
              values ('ann', '!', 'infinity', '-infinity');
         insert into sessions (user_id, token_hash, expires_at)
              select id, sha256('x'), 'infinity' from users;
         insert into pipeline_runs (step, created_at) values ('qc', '20000-01-01 00:00+00');
         insert into pipeline_followers (node, until) values (gen_random_uuid(), 'infinity');
         insert into changes (table_name, operation, row_ids, username, role_name, application_name)
              values ('sources', 'update', '{{{{{id}}},{{NULL}}}}', repeat('n', 300), 'r', 'a');
         insert into day_turns (day) values ('infinity');
         insert into django_imports values ('source', 'x', gen_random_uuid(), '[]')"
    ))
    .await
    .unwrap();

    let mut command = program(&["migrate"]);
    command.env("DATABASE_URL", &database.url);
    let output = command.output().await.unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    for (table, row) in [
        ("sources: created_at", id),
        ("sources: updated_at", id),
        ("users: created_at", ""),
        ("users: last_login_at", ""),
        ("sessions: expires_at", ""),
        ("sources: data_upload", ""),
        ("pipeline_runs: created_at", ""),
        ("pipeline_followers: until", ""),
        ("changes: row_ids", ""),
        ("changes: username", ""),
        ("day_turns: the row infinity", ""),
        ("django_imports: was", ""),
    ] {
        let named = log
            .lines()
            .any(|line| line.contains("WARN") && line.contains(table) && line.contains(row));
        assert!(named, "{table} of {row:?} is not in\n{log}");
    }
    let corrected = log
        .lines()
        .filter(|line| line.contains("sources: created_at"));
    assert_eq!(corrected.count(), 2, "{log}");

    let server = TestServer::on(&database.url, &[]).await;
    let mut visitor = server.visitor("visitor").await;
    let rows = visitor.get("/api/read-source/").send().await;
    assert_eq!(
        countries(&rows.json()),
        ["early", "far", "long", "well"],
        "{}",
        rows.text()
    );
    let sql =
        "select created_at = '9999-12-30 00:00+00' as kept from sources where country = 'far'";
    assert!(dba.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
    let sql = "select row_ids::text from changes where role_name = 'r'";
    let ids: String = dba.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(ids, format!("{{{id}}}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_were_there_before_are_cut_and_named_in_the_log() {
    let database = at_version(23).await;
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into users (username, password_hash, name_key, look_key) values
             ('ann', '!', repeat('x', 70000), 'ann'), ('bob', '!', 'bob', repeat('x', 70000)),
             ('eve', '!', 'eve', 'eve');
         insert into pipeline_submissions (run_id, node, claimed_until, problem) values
             ('00000000-0000-4000-8000-00000000000a', gen_random_uuid(), now(), repeat('x', 70000));
         insert into django_imports values
             ('source', 'x', gen_random_uuid(), jsonb_build_object('x', repeat('x', 2000000))),
             ('user', repeat('key', 30000), gen_random_uuid(), '{}')",
    )
    .await
    .unwrap();
    let mut command = program(&["migrate"]);
    command.env("DATABASE_URL", &database.url);
    let output = command.output().await.unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    for named in [
        "pipeline_submissions: problem of the row 00000000-0000-4000-8000-00000000000a",
        "users: name_key",
        "users: look_key",
        "django_imports: was of the row x",
        "django_imports: the row keykey",
    ] {
        let is_named = |line: &str| line.contains("WARN") && line.contains(named);
        assert!(log.lines().any(is_named), "{named} is not in\n{log}");
    }
    let sql = "select (select count(*) from users where name_key is null and look_key is null) = 2
              and (select length(problem) from pipeline_submissions) = 10000
              and (select string_agg(key || was, '') from django_imports) = 'x{}'";
    assert!(dba.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cluster_says_of_a_problem_is_cut() {
    let database = database().await;
    let dba = database.connect().await;
    let [run, node] = [1, 2].map(uuid::Uuid::from_u128);
    let sql =
        "insert into pipeline_submissions (run_id, node, claimed_until) values ($1, $2, now())";
    dba.execute(sql, &[&run, &node]).await.unwrap();
    let pool = Pool::new(&database.url.parse().unwrap(), 1).unwrap();
    let client = pool.client().await.unwrap();
    let problem = submissions::Problem {
        waits_for: submissions::WaitsFor::Access,
        why: "x".repeat(100_000),
    };
    let pause = std::time::Duration::from_secs(1);
    submissions::postpone(&client, run, node, pause, false, &problem)
        .await
        .expect("a long text is no reason to fail");
    let kept = submissions::problem(&client, run).await.unwrap();
    assert_eq!(kept.expect("it is kept").why.len(), 10_000);
}

/// What a server does with rows that it cannot read, in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_read_is_left_out_and_all_others_are_shown() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(UNGUARDED).await.unwrap();
    dba.batch_execute(
        "insert into sources (country, created_at, updated_at) values
             ('bad 1', '9999-12-31 12:00+00', '2020-01-01 00:00+00'),
             ('bad 2', 'infinity', '2020-01-01 00:00+00'),
             ('bad 3', '2020-01-01 00:00+00', '20000-01-01 00:00+00'),
             ('good', '2020-01-01 00:00+00', '2020-01-01 00:00+00');
         insert into changes (at, table_name, operation, role_name, application_name)
              values ('infinity', 'sources', 'update', 'r', 'a');
         insert into pipeline_runs (step, created_at) values ('bad', 'infinity'), ('good', now())",
    )
    .await
    .unwrap();
    let folder = Home::new();
    std::fs::create_dir(&folder.dir).unwrap();
    let log = folder.dir.join("log");
    let mut command = program(&["serve", "--bind", "127.0.0.1:0", "--rate-limits", "off"]);
    command.env("DATABASE_URL", &database.url);
    let mut running = Running::logging(command, &log);
    let base = running.line("listening on ").await;
    let mut operator = Http::new(&base);
    eventually("the server is ready", async || {
        operator.get("/readyz").send().await.status == 200
    })
    .await;
    let mut visitor = sign_up(&base, "ann").await;

    let mut list = open(&visitor, "/ws/read_source/").await;
    assert_eq!(countries(&list.next_json(SOON).await["data"]), ["good"]);
    let mut deltas = open(&visitor, "/ws/read_source/?mode=delta").await;
    assert_eq!(countries(&deltas.next_json(SOON).await["data"]), ["good"]);
    let mut activity = open(&visitor, "/ws/activity/").await;
    assert!(activity.next_json(SOON).await["data"].is_array());
    let answer = visitor.get("/api/read-source/").send().await;
    assert_eq!(countries(&answer.json()), ["good"]);
    let answer = visitor.get("/api/pipeline-runs/").send().await;
    assert!(answer.text().contains("\"good\"") && !answer.text().contains("\"bad\""));

    // Others' changes arrive, one that is corrected appears, and one that goes bad goes.
    dba.batch_execute(
        "update sources set created_at = '2020-01-01 00:00+00' where country = 'bad 1';
         update sources set updated_at = 'infinity' where country = 'good'",
    )
    .await
    .unwrap();
    loop {
        let rows = list.next_json(SOON).await;
        if countries(&rows["data"]) == ["bad 1"] {
            break;
        }
    }
    let id: uuid::Uuid = dba
        .query_one("select id from pipeline_runs where step = 'bad'", &[])
        .await
        .unwrap()
        .get(0);
    let one = visitor
        .get(&format!("/api/pipeline-runs/{id}/"))
        .send()
        .await;
    assert_eq!(one.status, 500, "{}", one.text());
    assert!(one.json()["request_id"].is_string(), "{}", one.text());

    // Read again and again, a row is logged once and counted each time.
    let series = "marketplace_unreadable_rows_total{table=\"sources\"}";
    let before = metric(&base, series).await;
    assert!(before >= 3.0, "{before}");
    for _ in 0..3 {
        assert_eq!(visitor.get("/api/read-source/").send().await.status, 200);
    }
    let log = std::fs::read_to_string(&log).unwrap();
    let told = |table: &str| {
        let words = [
            "a row cannot be read and is left out",
            &format!("table=\"{table}\""),
        ]
        .map(str::to_owned);
        log.lines()
            .filter(|line| words.iter().all(|words| line.contains(words)))
            .count()
    };
    assert_eq!(
        (told("sources"), told("changes"), told("pipeline_runs")),
        (4, 1, 1),
        "{log}"
    );
    assert!(running.child.try_wait().unwrap().is_none(), "it runs");
    assert!(!log.contains("panicked"), "{log}");
}

/// Somebody who has registered at `base` and signed in.
async fn sign_up(base: &str, name: &str) -> Http {
    let mut visitor = Http::new(base).on_page(ORIGIN);
    let password = "Correct-horse-7";
    let body = serde_json::json!({
        "username": name, "email": "", "password": password, "confirm_password": password,
    });
    let answer = visitor.post("/api/register/").json(&body).send().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let body = serde_json::json!({ "username": name, "password": password });
    let answer = visitor.post("/api/login/").json(&body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    visitor
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_with_times_that_cannot_be_read_leave_the_others_alone() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute(UNGUARDED).await.unwrap();
    let mut bad = server.visitor("bad").await;
    let mut admin = server.visitor("admin").await;
    dba.batch_execute(
        "update users set role = 'admin' where username = 'admin';
         update users set created_at = 'infinity', last_login_at = 'infinity'
          where username = 'bad'",
    )
    .await
    .unwrap();
    let users = admin.get("/api/users/").send().await;
    assert_eq!(users.status, 200, "{}", users.text());
    assert!(users.text().contains("\"admin\"") && !users.text().contains("\"bad\""));
    assert_eq!(admin.get("/api/me/").send().await.status, 200);
    let me = bad.get("/api/me/").send().await;
    assert_eq!(me.status, 500, "{}", me.text());
    assert!(me.json()["request_id"].is_string(), "{}", me.text());
    assert_eq!(bad.get("/api/read-source/").send().await.status, 200);
}

/// Ends one session whose visitor has a socket, while another session has an end that no interval
/// can hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_without_a_sane_end_keeps_no_other_session_alive() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute(UNGUARDED).await.unwrap();
    let endless = server.visitor("endless").await;
    let far = server.visitor("far").await;
    let mut others = Vec::new();
    for name in ["deleted", "expired", "moved", "disabled"] {
        others.push((name, server.visitor(name).await));
    }
    let kept = [
        open(&endless, "/ws/read_source/").await,
        open(&far, "/ws/source/").await,
    ];
    let mut sockets = Vec::new();
    for (name, visitor) in &others {
        sockets.push((*name, open(visitor, "/ws/read_source/").await));
    }
    let of = |name: &str| format!("user_id = (select id from users where username = '{name}')");
    dba.batch_execute(&format!(
        "update sessions set expires_at = 'infinity' where {};
         update sessions set expires_at = '294276-12-31 00:00+00' where {};
         delete from sessions where {};
         update sessions set expires_at = now() + interval '1 second' where {};
         update sessions set expires_at = '-infinity' where {};
         update users set is_active = false where username = 'disabled'",
        of("endless"),
        of("far"),
        of("deleted"),
        of("expired"),
        of("moved"),
    ))
    .await
    .unwrap();
    for (name, socket) in &mut sockets {
        let close = socket.closed_within(SOON).await;
        assert_eq!(close.code, 1008, "{name}: {close:?}");
    }
    for socket in &kept {
        assert_eq!(socket.closed(), None);
    }
    let mut endless = endless;
    assert_eq!(endless.get("/api/read-source/").send().await.status, 200);
}

#[tokio::test]
async fn a_turn_that_would_last_for_ever_is_taken_over() {
    let database = database().await;
    let dba: Client = database.connect().await;
    dba.batch_execute(UNGUARDED).await.unwrap();
    let lease = std::time::Duration::from_secs(10);
    let [one, other] = [1, 2].map(uuid::Uuid::from_u128);
    let pool = Pool::new(&database.url.parse().unwrap(), 1).unwrap();
    let client = pool.client().await.unwrap();
    let take = async |node| marketplace::db::runs::take_turn(&client, node, lease).await;
    assert!(take(one).await.unwrap());
    assert!(!take(other).await.unwrap(), "it is somebody else's");
    for until in ["infinity", "9999-01-01 00:00+00"] {
        dba.batch_execute(&format!("update pipeline_followers set until = '{until}'"))
            .await
            .unwrap();
        assert!(take(other).await.unwrap(), "{until}");
    }
}

#[tokio::test]
async fn a_history_that_was_changed_by_hand_is_said_and_no_panic() {
    for change in [
        "set applied_on = 'yesterday' where version = 1",
        "set checksum = 'none' where version = 1",
        "set name = null where version = 1",
    ] {
        let database = at_version(12).await;
        let dba = database.connect().await;
        let sql = format!("update refinery_schema_history {change}");
        dba.batch_execute(&sql).await.unwrap();
        let dsn = database.url.parse().unwrap();
        let error = migrate::run(&dsn, "Europe/Paris").await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("refinery_schema_history"), "{change}: {said}");
    }
}

/// By changes after which no row can be read at all: none of them is an empty list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_which_no_row_can_be_read_is_not_ready_and_no_empty_list() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let mut visitor = server.visitor("visitor").await;
    dba.batch_execute(
        "insert into sources (country) values ('France');
         insert into pipeline_runs (step) values ('qc');
         update users set role = 'admin'",
    )
    .await
    .unwrap();
    let mut list = open(&visitor, "/ws/read_source/").await;
    assert_eq!(countries(&list.next_json(SOON).await["data"]), ["France"]);
    let mut operator = Http::new(&server.base);
    for (break_it, mend_it, table, path) in [
        (
            "alter table sources alter created_at type timestamp",
            "alter table sources alter created_at type timestamptz",
            "sources",
            "/api/read-source/",
        ),
        (
            "alter table sources alter id type text using id::text",
            "alter table sources alter id type uuid using id::uuid",
            "sources",
            "/api/read-source/",
        ),
        (
            "alter table users alter created_at type timestamp",
            "alter table users alter created_at type timestamptz",
            "users",
            "/api/users/",
        ),
        (
            "alter table pipeline_runs alter created_at type timestamp",
            "alter table pipeline_runs alter created_at type timestamptz",
            "pipeline_runs",
            "/api/pipeline-runs/",
        ),
        (
            "alter table uploads rename to elsewhere",
            "alter table elsewhere rename to uploads",
            "uploads",
            "",
        ),
        (
            "alter table changes rename to elsewhere",
            "alter table elsewhere rename to changes",
            "changes",
            "",
        ),
    ] {
        dba.batch_execute(break_it).await.unwrap();
        if table == "sources" {
            dba.batch_execute("update sources set panel = 'written'")
                .await
                .unwrap();
        }
        eventually(
            &format!("readiness names {table}: {break_it}"),
            async || {
                let ready = operator.get("/readyz").send().await;
                ready.status == 503
                    && ready
                        .text()
                        .contains(&format!("table {table} cannot be read"))
            },
        )
        .await;
        if !path.is_empty() {
            let answer = visitor.get(path).send().await;
            assert!(answer.status >= 500, "{break_it}: {}", answer.text());
        }
        dba.batch_execute(mend_it).await.unwrap();
        server.ready().await;
    }
    // What was written meanwhile has arrived without another write, and nobody was told of an empty list.
    eventually("the list shows what was written", async || {
        frames(&list)
            .iter()
            .any(|frame| frame.contains("\"written\""))
    })
    .await;
    for frame in frames(&list) {
        assert!(!frame.contains("\"data\":[]"), "{frame}");
    }
    server.stop().await.unwrap();
}

/// The texts that a socket has been sent.
fn frames(socket: &Socket) -> Vec<String> {
    let texts = socket.frames_from(0).into_iter().map(|frame| match frame {
        Frame::Text(text) => text,
        Frame::Binary(_) => String::new(),
    });
    texts.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_row_security_hides_make_no_server_ready() {
    let database = database().await;
    let dba = database.connect().await;
    let role = format!("keeper_{}", database.name);
    dba.batch_execute(&format!(
        "create role {role} login password 'geheim';
         grant select, insert, update, delete on all tables in schema public to {role};
         grant execute on all functions in schema public to {role};
         alter table sources enable row level security, force row level security"
    ))
    .await
    .unwrap();
    let (_, address) = database.url.split_once('@').unwrap();
    let url = format!("postgres://{role}:geheim@{address}");
    let server = TestServer::launch(&url, &[]).await;
    let mut operator = Http::new(&server.base);
    eventually("readiness names the table", async || {
        let ready = operator.get("/readyz").send().await;
        ready.status == 503 && ready.text().contains("sources: row security is on")
    })
    .await;
    // A policy that lets the server do everything is enough.
    dba.batch_execute("create policy reads on sources for select using (true)")
        .await
        .unwrap();
    let (code, findings) = doctor(&url, &[]).await;
    assert_eq!(code, 1, "{findings:#?}");
    dba.batch_execute("create policy all_of_it on sources using (true)")
        .await
        .unwrap();
    server.ready().await;
    server.stop().await.unwrap();
    dba.batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .await
        .unwrap();
}
