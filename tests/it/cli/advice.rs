//! What every command says about a database that it cannot use: the cause, what to do, and the setting that
//! has to be corrected.

use std::fs;

use tokio::{process::Command, time::timeout};

use crate::support::{
    client::Http,
    postgres::{self, Home, TestDatabase},
    program::{Running, program},
    server::{SOON, database, eventually},
};

/// Commands that ask the database.
const COMMANDS: [&[&str]; 7] = [
    &["doctor"],
    &["migrate"],
    &["users", "list"],
    &["demo"],
    &["tail"],
    &["emr", "runs"],
    &["uploads", "sweep"],
];

async fn said(mut command: Command) -> (i32, String) {
    let output = timeout(SOON, command.output()).await.expect("it ends");
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("geheim"), "{text}");
    (output.status.code().expect("it was not killed"), text)
}

/// The connection string with another part.
fn with(database: &TestDatabase, part: &str, other: &str) -> String {
    assert!(database.url.contains(part), "{part}");
    database.url.replacen(part, other, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_gives_the_same_advice_by_cause() {
    let database = database().await;
    let (user, _) = database.url.split_once('@').unwrap();
    let (_, password) = user.rsplit_once(':').unwrap();
    let home = Home::new();
    fs::create_dir(&home.dir).unwrap();
    let file = home.dir.join("url");
    for (url, advice) in [
        (
            with(&database, &format!(":{password}@"), "@"),
            "write the password into DATABASE_URL_FILE",
        ),
        (
            with(&database, &format!(":{password}@"), ":geheim@"),
            "the password is wrong: correct it in DATABASE_URL_FILE",
        ),
        (
            format!("{}?sslmode=require", database.url),
            "turn on ssl in the server's postgresql.conf, or use another sslmode in DATABASE_URL_FILE",
        ),
        (
            format!(
                "host={} user=u password=geheim dbname=d",
                home.dir.display()
            ),
            "there is no socket of PostgreSQL in this directory: check the host in DATABASE_URL_FILE",
        ),
        (
            "postgres://u:geheim@127.0.0.1:1/d".into(),
            "check host and port in DATABASE_URL_FILE",
        ),
        (
            with(&database, &format!("/{}", database.name), "/nowhere"),
            "correct the database's name in DATABASE_URL_FILE",
        ),
    ] {
        fs::write(&file, &url).unwrap();
        for arguments in COMMANDS {
            let mut command = program(arguments);
            command.env("DATABASE_URL_FILE", &file);
            let (code, text) = said(command).await;
            assert_eq!(code, 1, "{arguments:?}: {text}");
            let advice = format!("{advice} ({})", file.display());
            assert!(text.contains(&advice), "{arguments:?}: {advice}: {text}");
        }
    }
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_said_to_be_misspelt() {
    for arguments in [&["doctor"], &["migrate"]] {
        let mut command = program(arguments);
        command.env("DATABASE_URL", "postgres://u:geheim@nowhere.invalid/d");
        let output = timeout(SOON * 4, command.output()).await.expect("it ends");
        let output = output.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            text.contains("check the spelling of the host in DATABASE_URL")
                // Where nothing answers for DNS.
                || text.contains("no answer in time"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_says_that_the_schema_is_missing() {
    let empty = postgres::cluster().await.database(None).await;
    for arguments in COMMANDS {
        if arguments[0] == "migrate" {
            continue;
        }
        let mut command = program(arguments);
        command.env("DATABASE_URL", &empty.url);
        let (code, text) = said(command).await;
        assert_eq!(code, 1, "{arguments:?}: {text}");
        assert!(
            text.contains("run `marketplace migrate`"),
            "{arguments:?}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_role_lacks_a_right_waits_and_says_what_to_grant() {
    let database = database().await;
    let dba = database.connect().await;
    let role = format!("clerk_{}", database.name);
    dba.batch_execute(&format!("create role {role} login password 'geheim'"))
        .await
        .unwrap();
    let (_, server) = database.url.split_once('@').unwrap();
    let url = format!("postgres://{role}:geheim@{server}");
    let advice = "let the server use the role that owns the database, or grant it";
    for arguments in [
        &["users", "list"][..],
        &["emr", "runs"],
        &["demo"],
        &["migrate"],
    ] {
        let mut command = program(arguments);
        command.env("DATABASE_URL", &url);
        let (code, text) = said(command).await;
        assert_eq!(code, 1, "{arguments:?}: {text}");
        assert!(
            text.contains("42501") && text.contains(advice),
            "{arguments:?}: {text}"
        );
    }
    let mut command = program(&[
        "serve",
        "--bind",
        "127.0.0.1:0",
        "--uploads-url",
        "memory://",
    ]);
    command.env("DATABASE_URL", &url);
    let mut server = Running::start(command);
    let mut operator = Http::new(&server.line("listening on ").await);
    eventually("readyz says which right is missing", async || {
        let answer = operator.get("/readyz").send().await;
        let text = answer.text();
        answer.status == 503 && text.contains("42501") && text.contains(advice)
    })
    .await;
    assert!(server.child.try_wait().unwrap().is_none(), "it waits");
    dba.batch_execute(&format!(
        "do $$ begin execute format('grant %I to {role}', current_user); end $$"
    ))
    .await
    .unwrap();
    eventually("the server is ready", async || {
        operator.get("/readyz").send().await.status == 200
    })
    .await;
    drop(server);
    dba.batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_for_uploads_that_cannot_be_written_is_one_warning_at_the_start() {
    let database = database().await;
    let home = Home::new();
    fs::create_dir(&home.dir).unwrap();
    let log = home.dir.join("log");
    let mut command = program(&["serve", "--bind", "127.0.0.1:0"]);
    command
        .env("DATABASE_URL", &database.url)
        .env("UPLOADS_URL", "file:///proc/nowhere");
    let mut server = Running::logging(command, &log);
    let mut operator = Http::new(&server.line("listening on ").await);
    eventually("the server is ready", async || {
        operator.get("/readyz").send().await.status == 200
    })
    .await;
    let lines = || {
        let text = fs::read_to_string(&log).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.contains("WARN") && line.contains("uploads cannot be stored"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("it warns", async || !lines().is_empty()).await;
    assert_eq!(lines().len(), 1, "{:?}", lines());
    assert!(lines()[0].contains("/proc"), "{:?}", lines());
}
