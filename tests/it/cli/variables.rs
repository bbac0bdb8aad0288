//! Variables of the environment: empty ones, those that exclude each other, values that are wrong, secrets
//! in files; and a port that is busy.

use std::collections::BTreeSet;

use tokio::{net::TcpListener, process::Command, time::timeout};

use crate::support::{
    postgres::{self, Home},
    program::program,
    server::SOON,
};

/// Exit status and both outputs.
async fn said(mut command: Command) -> (i32, String) {
    let output = timeout(SOON, command.output()).await.expect("it ends");
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("geheim"), "{text}");
    (output.status.code().expect("it was not killed"), text)
}

/// Each way to call the program that has variables, with arguments that get past the command line.
const COMMANDS: [&[&str]; 14] = [
    &["serve"],
    &["serve", "--print-config"],
    &["check", "--print-config"],
    &["migrate"],
    &["users", "list"],
    &["emr", "start", "--step", "qc"],
    &["emr", "runs"],
    &["uploads", "sweep"],
    &["import-django", "--dump", "/nowhere/dump"],
    &["import-django"],
    &["doctor"],
    &["tail"],
    &["demo"],
    &["healthcheck"],
];

/// The variables that the help of a command names.
async fn variables(command: &[&str]) -> BTreeSet<String> {
    let words = command.iter().take_while(|word| !word.starts_with("--"));
    let words: Vec<_> = words.copied().chain(["--help"]).collect();
    let (code, help) = said(program(&words)).await;
    assert_eq!(code, 0, "{help}");
    let names = help.split("[env: ").skip(1);
    names
        .map(|rest| rest.split(['=', ']']).next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_empty_variable_counts_as_not_set_in_every_command() {
    let mut all = BTreeSet::new();
    for command in COMMANDS {
        let mut variables = variables(command).await;
        assert!(!variables.is_empty(), "{command:?}");
        all.extend(variables.clone());
        variables.extend(["AWS_REGION", "RUST_LOG", "DATABSE_URL"].map(str::to_owned));
        let unset = said(program(command)).await;
        let mut empty = program(command);
        empty.envs(variables.iter().map(|name| (name, "")));
        assert_eq!(said(empty).await, unset, "{command:?}");
        // One alone: another that is not set could hide it.
        for name in &variables {
            let mut empty = program(command);
            empty.env(name, "");
            assert_eq!(said(empty).await, unset, "{command:?} {name}");
        }
    }
    assert!(all.len() > 30, "{all:?}");
    // The help names them all the same.
    let mut help = program(&["serve", "--help"]);
    help.env("BIND", "").env("UPLOADS_URL", "");
    let (_, help) = said(help).await;
    assert!(help.contains("[env: BIND=") && help.contains("[env: UPLOADS_URL="));
}

#[tokio::test]
async fn settings_that_exclude_each_other_are_named_as_they_were_given() {
    let url = ("DATABASE_URL", "postgres://u:geheim@h/d");
    let file = ("DATABASE_URL_FILE", "/dev/stdin");
    for (arguments, variables, says) in [
        (
            &["migrate"][..],
            &[url, file][..],
            "DATABASE_URL and DATABASE_URL_FILE are both set; leave one of them out",
        ),
        (
            &["serve", "--embedded"],
            &[url],
            "--embedded and DATABASE_URL are both set",
        ),
        (
            &["demo", "--database-url", "postgres://u@h/d"],
            &[file],
            "--database-url and DATABASE_URL_FILE are both set",
        ),
    ] {
        let home = Home::new();
        std::fs::create_dir(&home.dir).unwrap();
        let path = home.dir.join("url");
        std::fs::write(&path, "postgres://u:geheim@h/d\n").unwrap();
        let mut command = program(arguments);
        for (name, value) in variables {
            match *name {
                "DATABASE_URL_FILE" => command.env(name, &path),
                name => command.env(name, value),
            };
        }
        let (code, text) = said(command).await;
        assert_eq!(code, 2, "{text}");
        let (one, other) = says.split_once(" and ").unwrap();
        let other = other.split(' ').next().unwrap();
        assert!(
            text.starts_with("marketplace: ") && text.contains(one) && text.contains(other),
            "{says}: {text}"
        );
        assert!(
            text.contains("are both set; leave one of them out"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    // Mistakes in the command line are left to clap.
    let flags = ["demo", "--database-url", "postgres://u@h/d", "--embedded"];
    let (code, text) = said(program(&flags)).await;
    assert!(code == 2 && text.contains("cannot be used with"), "{text}");
}

#[tokio::test]
async fn usage_has_no_option_that_a_variable_has_set() {
    let mut command = program(&["emr", "start"]);
    command
        .env("DATABASE_URL", "postgres://u:geheim@h/d")
        .env("TIME_ZONE", "UTC");
    let (code, text) = said(command).await;
    assert_eq!(code, 2, "{text}");
    let usage = text
        .lines()
        .find(|line| line.starts_with("Usage: "))
        .unwrap();
    assert_eq!(
        usage,
        "Usage: marketplace emr start <--step <NAME>|--job <NAME>>"
    );
}

const ADDRESS: &str = "is not an IP address and a port, such as 127.0.0.1:8000";

/// Arguments, a variable and its value (or none), and what is said.
const WRONG: &[(&[&str], &str, &str, &str)] = &[
    (&["serve"], "BIND", "localhost:8000", ADDRESS),
    (&["serve"], "BIND", ":8000", ADDRESS),
    (&["healthcheck"], "BIND", "8000", ADDRESS),
    (
        &["emr", "cancel", "x"],
        "",
        "",
        "RUN: x is not the id of a run",
    ),
    (
        &["emr", "start", "--step", "qc", "--source", "x"],
        "",
        "",
        "--source: x is not the id of a source",
    ),
    (
        &["serve", "--data-dir="],
        "",
        "",
        "DATA_DIR: must not be empty",
    ),
    (
        &["serve"],
        "RATE_LIMITS",
        "maybe",
        "RATE_LIMITS: must be on or off",
    ),
    (
        &["serve"],
        "POOL_SIZE",
        "0",
        "POOL_SIZE: must be a number from 1 to 1000",
    ),
    (
        &["serve"],
        "UPLOADS_URL",
        "file://var/lib/x",
        "UPLOADS_URL: file://var/lib/x has no absolute path; write three slashes: file:///var/lib/x",
    ),
    (
        &["serve"],
        "KEEP_ALIVE",
        "1w",
        "KEEP_ALIVE: 1w is not a time from 1s to 1h",
    ),
    (
        &["serve"],
        "UPLOADS_GRACE",
        "7",
        "UPLOADS_GRACE: 7 is not a time such as",
    ),
    (
        &["serve"],
        "S3_PATH",
        "bucket",
        "S3_PATH: bucket is not s3://bucket/path",
    ),
    (
        &["migrate"],
        "DATABASE_URL_FILE",
        "/nowhere/url",
        "DATABASE_URL_FILE: cannot read /nowhere/url: No such file",
    ),
    (
        &["serve"],
        "METRICS_TOKEN_FILE",
        "/nowhere/token",
        "METRICS_TOKEN_FILE: cannot read /nowhere/token: No such file",
    ),
    (
        &["tail"],
        "LISTEN_DATABASE_URL_FILE",
        "/dev/null",
        "LISTEN_DATABASE_URL_FILE: the first line of /dev/null is empty",
    ),
    (
        &["import-django"],
        "DJANGO_DATABASE_URL_FILE",
        "/nowhere/django",
        "DJANGO_DATABASE_URL_FILE: cannot read /nowhere/django: No such file",
    ),
    (
        &["import-django"],
        "DJANGO_DATABASE_URL",
        "mysql://u:geheim@h/d",
        "DJANGO_DATABASE_URL: ",
    ),
];

#[tokio::test]
async fn a_value_that_is_wrong_is_explained() {
    for (arguments, variable, value, says) in WRONG {
        let mut command = program(arguments);
        if !variable.is_empty() {
            command.env(variable, value);
        }
        let (code, text) = said(command).await;
        assert_eq!(code, 2, "{arguments:?} {value}: {text}");
        assert!(
            text.starts_with("marketplace: ") && text.contains(says) && text.lines().count() == 1,
            "{arguments:?} {value}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_port_is_found_out_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let says = format!("marketplace: BIND: another program uses {address}; stop it, or set BIND");
    let home = Home::new();
    let data_dir = home.dir.to_str().unwrap();
    let embedded = [
        "serve",
        "--embedded",
        "--data-dir",
        data_dir,
        "--bind",
        &address,
    ];
    let (code, text) = said(program(&embedded)).await;
    assert!(code == 2 && text.contains(&says), "{code} {text}");
    assert!(!home.dir.exists(), "a cluster was made");

    let database = postgres::cluster().await.database(None).await;
    let mut command = program(&["serve", "--bind", &address]);
    command.env("DATABASE_URL", &database.url);
    let (code, text) = said(command).await;
    assert!(code == 2 && text.contains(&says), "{code} {text}");
    let dba = database.connect().await;
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    let tables: i64 = dba.query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(tables, 0, "the database was migrated");

    let (code, text) = said(program(&["serve", "--embedded", "--bind", "192.0.2.1:80"])).await;
    let says = "BIND: 192.0.2.1:80 is not an address of this machine";
    assert!(code == 2 && text.contains(says), "{code} {text}");
}
