//! `marketplace check`, `--print-config` and `ops/environment.example`: what can be set, what is, and
//! what is wrong with it.

use std::{fs, path::Path};

use marketplace::config::settings;
use tokio::{net::TcpListener, process::Command, time::timeout};

use crate::support::{
    program::{PROGRAM, command, program},
    server::{SOON, TestServer},
};

const GOOD: [(&str, &str); 3] = [
    ("DATABASE_URL", "postgres://shop:geheim@127.0.0.1:1/shop"),
    ("BIND", "127.0.0.1:0"),
    ("UPLOADS_URL", "memory://"),
];

/// What a command says on either output, and its exit status.
async fn said(mut command: Command) -> (i32, String) {
    let output = timeout(SOON, command.output()).await.expect("it ends");
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("geheim"), "{text}");
    (output.status.code().expect("it was not killed"), text)
}

/// The same of `check` with more variables than the good ones; `-` takes one away.
async fn check(variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = program(&["check"]);
    command.envs(GOOD);
    for (name, value) in variables {
        match *value {
            "-" => command.env_remove(name),
            value => command.env(name, value),
        };
    }
    said(command).await
}

#[tokio::test]
async fn a_sound_configuration_has_no_problem() {
    let (code, text) = check(&[]).await;
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("fail"), "{text}");
    assert!(
        text.contains("DATABASE_URL: postgres://shop:***@127.0.0.1:1/shop"),
        "{text}"
    );
}

#[tokio::test]
async fn each_mistake_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    // Whoever has it answers something else.
    tokio::spawn(async move { while taken.accept().await.is_ok() {} });
    let no_ca = "postgres://shop:geheim@db/shop?sslmode=verify-full&sslrootcert=/nowhere/ca.pem";
    for (variables, says) in [
        (
            &[("DATABSE_URL", "x")][..],
            "fail  DATABSE_URL: unknown variable; did you mean DATABASE_URL?",
        ),
        (&[("MARKETPLACE_BIND", "x")], "did you mean BIND?"),
        (&[("DATABASE_URL", "-")], "fail  DATABASE_URL: is not set"),
        (&[("DATABASE_URL", no_ca)], "/nowhere/ca.pem"),
        (
            &[("LISTEN_DATABASE_URL", no_ca)],
            "fail  LISTEN_DATABASE_URL: ",
        ),
        (
            &[("EMR_CLUSTER_ID", "j-1")],
            "fail  S3_PATH: not set, but EMR_CLUSTER_ID is",
        ),
        (
            &[("S3_PATH", "s3://b/c")],
            "fail  EMR_CLUSTER_ID: not set, but S3_PATH is",
        ),
        (
            &[("AWS_ACCESS_KEY_ID", "x")],
            "fail  AWS_SECRET_ACCESS_KEY: not set",
        ),
        (
            &[("UPLOADS_URL", "file:///proc/files")],
            "fail  UPLOADS_URL: /proc/files cannot be written",
        ),
        (
            &[("RUST_LOG", "garbage=foo")],
            "fail  RUST_LOG: garbage=foo is not a log filter",
        ),
        (
            &[("AWS_ENDPOINT_URL", "user:geheim@s3.example")],
            "fail  AWS_ENDPOINT_URL: is not a URL with http or https",
        ),
        (
            &[("AWS_ENDPOINT_URL_S3", "https://user:geheim@s3.example")],
            "fail  AWS_ENDPOINT_URL_S3: names a user or a password",
        ),
        (&[("BIND", &address)], "fail  BIND: another program uses"),
    ] {
        let (code, text) = check(variables).await;
        assert_eq!(code, 1, "{variables:?}: {text}");
        assert!(text.contains(says), "{variables:?}: {text}");
        assert_eq!(text.matches("fail  ").count(), 1, "{variables:?}: {text}");
    }
    let few = "ulimit -n 64; exec \"$0\" check";
    let mut few = command("sh", &["-c", few, PROGRAM]);
    few.envs(GOOD);
    let few = said(few).await;
    assert!(
        few.0 == 0 && few.1.contains("warn  MAX_CONNECTIONS: 20000, but only 64"),
        "{}",
        few.1
    );
}

#[tokio::test]
async fn what_is_dangerous_on_a_server_that_others_reach_is_warned_of() {
    let read = ("ANONYMOUS", "read");
    for (variables, warnings) in [
        (&[][..], &[][..]),
        (&[("BIND", "0.0.0.0:0")], &["REGISTRATION: open: anybody"]),
        (
            &[("ALLOWED_HOSTS", "market.example")],
            &["ALLOWED_HOSTS lets others reach it; set it to closed"],
        ),
        (
            &[
                ("ALLOWED_HOSTS", "market.example"),
                ("REGISTRATION", "closed"),
            ],
            &[],
        ),
        (
            &[
                ("TRUSTED_PROXIES", "10.0.0.1, 0.0.0.0/0"),
                ("REGISTRATION", "closed"),
            ],
            &["TRUSTED_PROXIES: 0.0.0.0/0 is every address"],
        ),
        (
            &[("TRUSTED_PROXIES", "::/0"), ("REGISTRATION", "open")],
            &[
                "REGISTRATION: open",
                "TRUSTED_PROXIES: ::/0 is every address",
            ],
        ),
        (
            &[("RATE_LIMITS", "off")],
            &["RATE_LIMITS: off: nothing limits"],
        ),
        (&[read], &[]),
        (
            &[("RATE_LIMITS", "off"), read],
            &["RATE_LIMITS: off, and ANONYMOUS=read"],
        ),
        (
            &[("METRICS_ALLOW", "0.0.0.0/0")],
            &["METRICS_ALLOW: every address"],
        ),
    ] {
        let (code, text) = check(variables).await;
        assert_eq!(code, 0, "{variables:?}: {text}");
        let count = text.matches("warn  ").count();
        assert_eq!(count, warnings.len(), "{variables:?}: {text}");
        for warning in warnings {
            assert!(text.contains(warning), "{variables:?}: {text}");
        }
    }
}

#[tokio::test]
async fn a_server_that_runs_already_is_a_warning_and_nothing_is_left_behind() {
    let (server, _database) = TestServer::start().await;
    let home = crate::support::postgres::Home::new();
    fs::create_dir(&home.dir).unwrap();
    let uploads = format!("file://{}/uploads", home.dir.display());
    let address = server.base.strip_prefix("http://").unwrap();
    let (code, text) = check(&[("BIND", address), ("UPLOADS_URL", &uploads)]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("warn  BIND: a marketplace server uses"),
        "{text}"
    );
    assert_eq!(fs::read_dir(&home.dir).unwrap().count(), 0);
}

#[tokio::test]
async fn the_settings_are_printed_with_where_they_come_from_and_without_secrets() {
    for name in ["serve", "check"] {
        let mut command = program(&[name, "--print-config", "--pool-size", "3"]);
        command
            .envs(GOOD)
            .env(
                "LISTEN_DATABASE_URL",
                "host=db user=me password=geheim dbname=shop",
            )
            .env("METRICS_TOKEN", "geheim-0123456789")
            .env("AWS_SECRET_ACCESS_KEY", "geheim")
            .env("AWS_ENDPOINT_URL_S3", "https://me:geheim@s3.example");
        let (code, text) = said(command).await;
        assert_eq!(code, 0, "{text}");
        let line = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.split(' ').next() == Some(name));
            let line = line.unwrap_or_else(|| panic!("{name} in {text}"));
            line.split_whitespace()
                .skip(1)
                .collect::<Vec<_>>()
                .join(" ")
        };
        for (name, is) in [
            ("POOL_SIZE", "3 flag"),
            ("BIND", "127.0.0.1:0 variable"),
            ("MAX_CONNECTIONS", "20000 default"),
            (
                "DATABASE_URL",
                "postgres://shop:***@127.0.0.1:1/shop variable",
            ),
            (
                "LISTEN_DATABASE_URL",
                "postgres://me:***@db:5432/shop variable",
            ),
            ("METRICS_TOKEN", "*** variable"),
            ("AWS_SECRET_ACCESS_KEY", "*** variable"),
            ("AWS_ENDPOINT_URL_S3", "https://me:***@s3.example/ variable"),
            ("S3_PATH", "not set"),
        ] {
            assert_eq!(line(name), is, "{name}");
        }
    }
}

#[tokio::test]
async fn the_example_has_every_setting_with_its_default() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/environment.example");
    let example = settings::example();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &example).unwrap();
    }
    assert!(
        fs::read_to_string(&file).is_ok_and(|text| text == example),
        "ops/environment.example is out of date; run: UPDATE_DOCS=1 cargo test --test it check"
    );
    // With every default set by this file, everything is as without it.
    let script = r#"sed -n 's/^#\([A-Z0-9_]*=..*\)/\1/p' "$1" >"$2"; set -a; . "$2"; exec "$0" serve --print-config"#;
    let home = crate::support::postgres::Home::new();
    fs::create_dir(&home.dir).unwrap();
    let set = home.dir.join("set");
    let arguments = [
        "-c",
        script,
        PROGRAM,
        file.to_str().unwrap(),
        set.to_str().unwrap(),
    ];
    let (code, by_file) = said(command("sh", &arguments)).await;
    assert_eq!(code, 0, "{by_file}");
    let (_, by_itself) = said(program(&["serve", "--print-config"])).await;
    assert!(by_itself.contains(" default"), "{by_itself}");
    let variable = by_itself.replace(" default", " variable");
    assert_eq!(by_file, variable);
    let set = fs::read_to_string(set).unwrap();
    assert!(set.lines().count() > 10, "{set}");
}

#[tokio::test]
async fn a_misspelt_variable_is_warned_of_by_the_server_too() {
    let mut command = program(&["serve"]);
    command
        .envs(GOOD)
        .env("MAX_CONECTIONS", "5")
        .env("UPLOADS_URL", "memory://");
    command.args(["--bind", "192.0.2.1:1"]);
    let (code, text) = said(command).await;
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("MAX_CONECTIONS") && text.contains("MAX_CONNECTIONS"),
        "{text}"
    );
}
