//! The documents in `docs/`: what they tell people to run is run, block after block, as it stands.

use std::env;

use serde_json::{Value, json};

use crate::{
    client::Browser,
    postgres::TestDatabase,
    program::{PROGRAM, command},
    server::{TestServer, database},
};

/// Kinds of blocks that are shown and not run: what is printed, and what needs systemd or a container
/// engine, or would take a real backup.
const SHOWN: [&str; 2] = ["text", "console"];

/// The blocks of a document, with their kinds.
fn blocks(document: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = document.split("```").collect();
    assert!(parts.len() % 2 == 1, "a block does not end");
    let blocks = parts.into_iter().skip(1).step_by(2);
    blocks
        .map(|block| block.split_once('\n').expect("a block has lines"))
        .filter(|(kind, _)| !SHOWN.contains(kind))
        .collect()
}

/// Runs a document's blocks on a database; gives what they printed.
async fn run(document: &str, database: &TestDatabase) -> String {
    let mut said = String::new();
    let directory = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .chain([std::path::Path::new(PROGRAM).parent().unwrap().into()])
        .collect::<Vec<_>>();
    let path = env::join_paths(directory).unwrap();
    for (kind, block) in blocks(document) {
        let output = match kind {
            "sql" => database.psql(block).await,
            "sh" => {
                let mut shell = command("sh", &["-ec", block]);
                shell.env("PATH", &path).env("DATABASE_URL", &database.url);
                shell.output().await.unwrap()
            }
            other => panic!("a block of {other} is run by nobody"),
        };
        assert!(output.status.success(), "{block}\n{output:?}");
        said += &String::from_utf8_lossy(&output.stdout);
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_are_told_works() {
    let database = database().await;
    let said = run(include_str!("../../docs/deploying.md"), &database).await;
    assert!(said.contains("notifications"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dbas_are_told_works() {
    let database = database().await;
    let said = run(include_str!("../../docs/databases.md"), &database).await;
    assert!(
        said.contains("Asynchronous notification \"crud\" with payload \"{\"op\":\"update\""),
        "{said}"
    );
    let state = "select string_agg(concat_ws(' ', country, panel, status, panel_group), ',' order by country),
            (select string_agg(operation || ' ' || role_name, ',' order by at) from changes) like '%update clerk%',
            (select every(tgenabled = 'A') from pg_trigger
              where tgrelid = 'sources'::regclass and not tgisinternal)
       from sources";
    let state = database.psql(state).await.stdout;
    assert_eq!(
        String::from_utf8_lossy(&state).trim(),
        "France Retail inactive DKM,Italy  active GPI,Spain  active DKM|t|t"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_frontend_developers_are_told_works() {
    if Browser::is_missing() {
        return;
    }
    let (server, database) = TestServer::start().await;
    server.visitor("ann").await;
    let mut page = Browser::open(&server.base).await;
    let account = json!({ "username": "ann", "password": "Correct-horse-7" });
    let sign_in = format!(
        "fetch('/api/login/', {{ method: 'POST', headers: {{ 'content-type': 'application/json' }},
            body: JSON.stringify({account}) }}).then(({{ status }}) => status)"
    );
    assert_eq!(page.evaluate(&sign_in).await, 200);
    for (kind, block) in blocks(include_str!("../../docs/frontend.md")) {
        assert_eq!(kind, "js");
        page.evaluate(&format!("{block}; undefined")).await;
    }
    page.until("window.refused?.[0] === 400 && Array.isArray(window.refused[1].status)")
        .await;
    page.forgive("400").await;
    let shows = |countries: Value| {
        format!(
            "JSON.stringify(list.map(({{ country }}) => country)) === '{countries}'
                && JSON.stringify(deltas.map(({{ country }}) => country)) === '{countries}'
                && counts[0].s1 === {}",
            countries.as_array().unwrap().len()
        )
    };
    page.until("!!window.list && !!window.deltas && !!window.counts")
        .await;
    for (sql, countries) in [
        (
            "insert into sources (country) values ('one')",
            json!(["one"]),
        ),
        (
            "insert into sources (country) values ('two')",
            json!(["two", "one"]),
        ),
        (
            "update sources set country = 'uno' where country = 'one'",
            json!(["two", "uno"]),
        ),
        ("delete from sources where country = 'two'", json!(["uno"])),
    ] {
        assert!(database.psql(sql).await.status.success());
        page.until(&shows(countries)).await;
    }
    assert_eq!(page.complaints, [""; 0]);
    page.close().await;
}
