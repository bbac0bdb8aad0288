//! How PostgreSQL carries out the statements of `src/db` on large tables: none reads a whole table where an
//! index is meant. Every function of `src/db` that sends a statement is called here; one that is not is found
//! by its absence. The statements inside of the database's functions and triggers are looked at too.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use marketplace::{
    db::{
        changes, counts, days, demo, listed, probe, runs, sessions, sources, statistics,
        submissions, uploads, users,
    },
    pg::{Pool, PooledClient},
};
use serde_json::Value;
use uuid::Uuid;

use crate::support::postgres::{PrivateCluster, private_cluster};

/// A table that is read whole on purpose, a part of the statement that does so, and why it is right.
const WHOLE: &[(&str, &str, &str)] = &[
    (
        "sources",
        "pg_visible_in_snapshot",
        "whether a row was changed is asked when the counts leave a doubt",
    ),
    (
        "sources",
        "from public.sources order by created_at desc, id",
        "the list is of all sources",
    ),
    (
        "sources",
        "from public.sources every_source",
        "all sources are read into memory",
    ),
    (
        "sources",
        "as oldest_source",
        "the deliveries of all sources are counted",
    ),
    (
        "sources",
        "<> public.delivery_status(s.current_update",
        "the day has turned for all sources",
    ),
    (
        "sessions",
        "count(*) as valid",
        "all that are valid are counted, and few others are there",
    ),
    (
        "users",
        "from public.users order by username",
        "the list is of all users",
    ),
    (
        "uploads",
        "set orphaned_at = now()",
        "every upload is asked for its source",
    ),
    (
        "sources",
        "set orphaned_at = now()",
        "every upload is asked for its source",
    ),
    (
        "uploads",
        "as all_of_them",
        "uploads that may go are compared with all",
    ),
];

/// Files of `src/db` whose functions are not called here, and why.
const OTHER_FILES: &[(&str, &str)] = &[
    (
        "creators",
        "it reads PostgreSQL's own tables, before a migration",
    ),
    ("diagnostics", "a person waits for it"),
    ("django", "an import, which reads everything"),
    ("declared", "it reads no table"),
    ("migrate", "it makes the tables"),
    ("moments", "it reads no table"),
    ("notifications", "it reads no table"),
    ("server_info", "it reads no table"),
];

/// Large tables, in which what a statement is after is a small part.
const LARGE: &str = "
    set synchronous_commit = off;
    do $$ declare name text; begin
        for name in select unnest(array['sources', 'users', 'sessions', 'pipeline_runs', 'changes', 'uploads']) loop
            execute format('alter table %I disable trigger user', name);
        end loop;
    end $$;
    insert into users (id, username, password_hash, role, is_active, name_key, look_key)
        select number(n), 'user ' || n, 'x', case when n < 3 then 'admin' else 'editor' end, true,
               nullif('user ' || n, 'user 5'), nullif('user ' || n, 'user 5')
          from generate_series(1, 100000) n;
    insert into sessions (id, user_id, token_hash, expires_at)
        select number(n), number(n), sha256(n::text::bytea),
               now() + case when n between 100 and 200 then interval '-1 hour' else interval '1 hour' end
          from generate_series(1, 100000) n;
    insert into sources (id, country, created_at, data_upload)
        select number(n), 'c', now() - n * interval '10 minutes', number(n) || '/a.csv' from generate_series(1, 100000) n;
    insert into uploads (key, name, attached, created_at)
        select number(n), 'a.csv', true, now() - interval '1 day' from generate_series(1, 100000) n;
    insert into changes (at, table_name, operation, role_name, application_name)
        select now() - n * interval '25 seconds', 'sources', 'update', 'r', 'a' from generate_series(1, 103700) n;
    insert into pipeline_runs (id, source_id, step, state, step_id, created_at)
        select number(n), number(n), 's', case when n < 50 then 'requested' when n < 60 then 'FAILED' else 'COMPLETED' end,
               case when n >= 50 then 's-' || n end, now() - n * interval '10 minutes'
          from generate_series(1, 100000) n;
    insert into pipeline_run_states (run_id, state, step_id)
        select number(n), 'COMPLETED', 's-' || n from generate_series(1, 200000) n;
    insert into pipeline_submissions (run_id, node, claimed_until)
        select number(n), number(1), now() + case when n % 10000 = 0 then interval '-1 hour' else interval '1 hour' end
          from generate_series(100001, 200000) n;
    do $$ declare name text; trigger text; begin
        for name, trigger in select tgrelid::regclass, tgname from pg_trigger where not tgisinternal loop
            execute format('alter table %s enable always trigger %I', name, trigger);
        end loop;
    end $$;
    analyze";

/// The `n`th row of every table.
const NUMBER: &str = "create function number(n bigint) returns uuid language sql immutable
    return lpad(to_hex(n), 32, '0')::uuid";

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Calls a function of `src/db`, which must succeed, and remembers its name.
macro_rules! call {
    ($called:ident, $module:ident :: $function:ident ( $($argument:expr),* $(,)? )) => {{
        $called.insert(concat!(stringify!($module), "::", stringify!($function)).to_owned());
        $module::$function($($argument),*).await.expect(stringify!($function))
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_reads_a_whole_table_where_an_index_is_meant() {
    let cluster = private_cluster(&[
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_nested_statements", "on"),
        ("auto_explain.log_format", "json"),
        ("log_line_prefix", "%a|"),
    ])
    .await;
    let database = cluster.database("large").await;
    let dba = database.connect().await;
    // Not of the statements that fill the tables.
    dba.batch_execute("set auto_explain.log_min_duration = -1")
        .await
        .unwrap();
    dba.batch_execute(NUMBER).await.unwrap();
    dba.batch_execute(LARGE).await.unwrap();

    let url = format!("{}?application_name=plans", database.url);
    let pool = Pool::new(&url.parse().unwrap(), 1).unwrap();
    let mut client = pool.client().await.unwrap();
    let called = call_everything(&mut client).await;
    let mut missing = functions();
    missing.retain(|function| !called.contains(function));
    assert!(missing.is_empty(), "call these here, too: {missing:?}");

    let partial = "select indexrelid::regclass::text from pg_index where indpred is not null";
    let partial = dba.query(partial, &[]).await.unwrap();
    let partial: BTreeSet<String> = partial.iter().map(|row| row.try_get(0).unwrap()).collect();
    let plans = plans(&cluster);
    assert!(plans.len() > called.len(), "{} plans", plans.len());
    let mut found = Vec::new();
    let mut excepted = BTreeSet::new();
    for plan in &plans {
        let text = plan["Query Text"]
            .as_str()
            .expect("a plan has its statement");
        let mut tables = BTreeSet::new();
        whole_tables(&plan["Plan"], false, &partial, &mut tables);
        for table in tables {
            let is_meant =
                |(whole, part, _): &(&str, &str, &str)| *whole == table && text.contains(part);
            match WHOLE.iter().find(|one| is_meant(one)) {
                Some((table, part, _)) => drop(excepted.insert((*table, *part))),
                None => found.push(format!("{table}: {text}\n{:#}", plan["Plan"])),
            }
        }
    }
    assert!(found.is_empty(), "read whole:\n{}", found.join("\n"));
    // What is excepted is still so: the table is read whole by that statement.
    for (table, part, _) in WHOLE {
        assert!(
            excepted.contains(&(*table, *part)),
            "no statement with {part} reads all of {table}"
        );
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "a list of calls, one for each function"
)]
pub async fn call_everything(client: &mut PooledClient) -> BTreeSet<String> {
    let mut called = BTreeSet::new();
    let hour = Duration::from_hours(1);
    let ids = [id(7), id(8)];

    let _: Vec<sources::Source> = call!(called, listed::list(client));
    let _: Vec<sources::Source> = call!(called, listed::by_ids(client, &ids));
    call!(called, sources::count_estimate(client));
    let mut streamed = call!(called, sources::stream(client));
    while streamed.next().await.expect("all of it").is_some() {}
    drop(streamed);
    call!(called, sources::find(client, id(7)));
    call!(called, sources::statuses(client, &ids));
    let change = sources::Change::of_status("inactive");
    call!(called, sources::insert(client, id(1 << 64), &change, "ann"));
    let _: Option<sources::Source> = call!(called, sources::update(client, id(7), &change, "ann"));
    call!(called, sources::delete(client, id(9), "ann"));
    call!(called, demo::add(client, "ann"));
    call!(called, counts::read(client));
    call!(called, days::turn(client));
    call!(called, days::rederive(client));
    call!(called, statistics::read(client, &["sources"]));
    call!(
        called,
        statistics::has_rows_since(client, "sources", "1:1:")
    );
    call!(called, probe::table(client, "sources"));
    call!(called, probe::holder(client, "sources"));

    call!(called, changes::newest(client));
    call!(called, changes::minutes(client));
    call!(called, changes::prune(client));

    let user = call!(called, users::by_username(client, "user 7")).expect("it is there");
    call!(
        called,
        users::insert(client, "new", "", "x", users::Role::Viewer)
    );
    call!(called, users::to_sign_in(client, "user 7"));
    call!(called, users::is_taken(client, "USER 7"));
    call!(called, users::is_taken(client, "nobody"));
    call!(called, users::add_keys(client));
    call!(called, users::set_password_hash(client, id(8), "y"));
    call!(called, users::renew_password_hash(client, &user, "x"));
    call!(called, users::signed_in(client, id(7)));
    call!(called, users::list(client));
    call!(called, users::find(client, id(7)));
    call!(called, users::roles(client, &ids));
    let change = users::Change {
        role: Some(users::Role::Viewer),
        is_active: Some(false),
    };
    call!(called, users::change(client, id(10), change));
    call!(called, users::delete(client, id(11)));
    call!(called, users::appoint_first_admin(client, id(12)));

    call!(called, sessions::insert(client, &user, &[1; 32], hour));
    let lifetimes = sessions::Lifetimes {
        with_cookie: hour,
        unseen: hour,
        renewed_below: hour,
    };
    call!(called, sessions::stay(client, &user, &[2; 32], lifetimes));
    call!(called, sessions::count(client));
    call!(called, sessions::by_tokens(client, &[[1; 32], [9; 32]]));
    call!(called, sessions::by_ids(client, &ids));
    call!(called, sessions::extend(client, id(7), hour));
    call!(called, sessions::delete(client, &[[1; 32], [9; 32]]));
    call!(called, sessions::delete_of_user(client, id(13)));
    call!(called, sessions::delete_expired(client));
    call!(called, users::change_password(client, &user, "y", None));

    let request = runs::Request {
        source_id: Some(id(7)),
        kind: "step",
        step: "qc".into(),
        deploy_mode: "cluster",
        requested_by: "ann".into(),
    };
    call!(called, runs::by_ids(client, &ids));
    call!(called, runs::find(client, id(7)));
    for source in [None, Some(id(7))] {
        for state in [None, Some("FAILED")] {
            call!(called, runs::list(client, source, state));
        }
    }
    call!(called, runs::totals(client));
    call!(called, runs::history(client, id(7)));
    call!(called, runs::insert(client, id(1 << 65), &request));
    call!(called, runs::cancel_waiting(client, id(3)));
    call!(called, runs::take_turn(client, id(1), hour));
    call!(called, runs::followed(client));
    let change = runs::Change {
        id: id(60),
        from: "COMPLETED".into(),
        state: "FAILED".into(),
        reason: None,
    };
    call!(called, runs::change(client, &[change]));

    let node = id(2);
    call!(called, submissions::claim(client, node, hour, hour, 10));
    call!(
        called,
        submissions::send(client, id(49), node, hour, "j-1", "c")
    );
    let problem = submissions::Problem {
        waits_for: submissions::WaitsFor::Answer,
        why: "no answer".into(),
    };
    call!(
        called,
        submissions::postpone(client, id(49), node, hour, true, &problem)
    );
    call!(called, submissions::problem(client, id(49)));
    call!(called, submissions::accepted(client, id(49), "j-1", "s-1"));
    call!(called, submissions::refused(client, id(48), "no"));
    call!(called, submissions::lost(client, id(47), "gone"));
    call!(called, submissions::sweep(client));
    call!(
        called,
        submissions::known_steps(client, &["s-7".to_owned()])
    );

    let upload = uploads::Upload {
        key: id(1 << 66),
        name: "a.csv".into(),
        original_name: "a b.csv".into(),
    };
    call!(called, uploads::announce(client, &upload));
    call!(called, uploads::attach(client, upload.key, hour));
    call!(called, uploads::release(client, upload.key));
    call!(called, uploads::find(client, id(7)));
    call!(called, uploads::is_named(client, id(7)));
    let terms = uploads::Terms {
        grace: 3600.0,
        half_way: 3600.0,
        moment: None,
    };
    let look = uploads::Look::begin(client).await.expect("a look");
    look.adopt(Uuid::nil()).await.expect("what is named again");
    look.due(&terms).await.expect("a count");
    look.examples(&terms).await.expect("examples");
    look.claim(&terms, hour).await.expect("a claim");
    call!(called, uploads::forget(client, upload.key));
    called
}

/// The public functions of `src/db` that may send a statement, as `module::function`.
fn functions() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/db");
    let mut functions = Vec::new();
    for path in files(&dir) {
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let below = path.strip_prefix(&dir).unwrap().with_extension("");
        let is_other = |name: &Path| {
            OTHER_FILES
                .iter()
                .any(|(other, _)| name == Path::new(other))
        };
        if below.ancestors().any(is_other) {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let name = line.strip_prefix("pub async fn ");
            let name = name.and_then(|rest| rest.split(['(', '<']).next());
            functions.extend(name.map(|name| format!("{module}::{name}")));
        }
    }
    assert!(functions.len() > 50, "{functions:?}");
    functions
}

/// The files in a folder and its folders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// What PostgreSQL has logged of the client's statements.
fn plans(cluster: &PrivateCluster) -> Vec<Value> {
    let log = fs::read_to_string(cluster.data_dir().join("postgres.log")).unwrap();
    let mut plans = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("plans|") && line.ends_with("plan:") {
            let mut json = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
                json += line;
            }
            plans.push(serde_json::from_str(&json).expect("a plan is JSON"));
        }
    }
    plans
}

/// The large tables of which a plan reads every row. Walking along an index is no such read when a limit ends it, or
/// when the index has few rows because it is partial.
fn whole_tables(
    node: &Value,
    is_limited: bool,
    partial: &BTreeSet<String>,
    tables: &mut BTreeSet<String>,
) {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let is_whole = match kind {
        "Seq Scan" => !is_limited || node.get("Filter").is_some(),
        "Index Scan" | "Index Only Scan" => {
            let index = node["Index Name"].as_str().unwrap_or_default();
            node.get("Index Cond").is_none() && !is_limited && !partial.contains(index)
        }
        _ => false,
    };
    let table = node["Relation Name"].as_str().unwrap_or_default();
    let is_small = ["day_turns", "pipeline_followers", "new_rows", "old_rows"].contains(&table);
    if is_whole && !is_small && !table.starts_with("pg_") {
        tables.insert(table.to_owned());
    }
    let is_limited = is_limited || kind == "Limit";
    for child in node["Plans"].as_array().into_iter().flatten() {
        whole_tables(child, is_limited, partial, tables);
    }
}
