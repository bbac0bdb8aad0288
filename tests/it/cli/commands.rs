//! Commands for whoever operates the server: tail, demo, completions, secrets in files; outputs that
//! nobody reads, signals, and what a failed migration says.

use std::{fs, process::Stdio};

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    client::Http,
    postgres::Home,
    program::{Running, program},
    proxy::Proxy,
    server::{SOON, database, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_announced_is_printed_as_it_happens() {
    let database = database().await;
    let dba = database.connect().await;
    for json in [true, false] {
        let mut command = program(&["tail"]);
        command.env("DATABASE_URL", &database.url);
        command.args(json.then_some("--json"));
        let mut tail = Running::start(command);
        eventually("it listens", async || {
            let sql = "select from pg_stat_activity where application_name = 'marketplace tail'
                        and datname = current_database() and query like 'listen%' and state = 'idle'";
            !dba.query(sql, &[]).await.unwrap().is_empty()
        })
        .await;
        let sql = "insert into sources (country) values ('Peru') returning id::text";
        let id: String = dba.query_one(sql, &[]).await.unwrap().get(0);
        dba.batch_execute("notify crud, 'hello\x1b[2J'")
            .await
            .unwrap();
        let mut lines = Vec::new();
        for _ in 0..4 {
            lines.push(tail.line("").await);
        }
        if json {
            let lines: Vec<Value> = lines
                .iter()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(lines[0]["channel"], "activity");
            for (line, channel) in lines[1..].iter().zip(["source_lib", "crud"]) {
                assert_eq!(line["channel"], channel);
                assert_eq!(
                    (&line["op"], &line["ids"]),
                    (&json!("insert"), &json!([id]))
                );
            }
            assert_eq!(lines[3]["payload"], "hello\x1b[2J");
        } else {
            assert!(
                lines[1].ends_with(&format!(" source_lib insert {id}")),
                "{lines:?}"
            );
            assert!(
                lines[2].ends_with(&format!(" crud       insert {id}")),
                "{lines:?}"
            );
            assert!(
                !lines[3].contains('\x1b') && lines[3].contains("hello"),
                "{lines:?}"
            );
        }
        tail.signal("-INT").await;
        let ended = timeout(SOON, tail.child.wait()).await.unwrap().unwrap();
        assert_eq!(ended.code(), Some(0));
        // Or the next would be thought to listen already.
        eventually("its backend is gone", async || {
            let sql = "select from pg_stat_activity where application_name = 'marketplace tail'
                        and datname = current_database()";
            dba.query(sql, &[]).await.unwrap().is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn the_demo_is_added_once_and_the_url_may_be_in_a_file() {
    let database = database().await;
    let home = Home::new();
    fs::create_dir(&home.dir).unwrap();
    let file = home.dir.join("url");
    fs::write(&file, format!("{}\n", database.url)).unwrap();
    for expected in [
        "8 sample sources were added\n",
        "0 sample sources were added\n",
    ] {
        let mut command = program(&["demo"]);
        command.env("DATABASE_URL_FILE", &file);
        let output = command.output().await.unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
        assert!(output.status.success());
    }
    let mut command = program(&["demo"]);
    command.env("DATABASE_URL_FILE", home.dir.join("missing"));
    let output = command.output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr.starts_with("marketplace: DATABASE_URL_FILE: "),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_secrets_may_be_in_files_too() {
    let database = database().await;
    let (proxy, listen) = Proxy::in_front_of(&database.url).await;
    let home = Home::new();
    fs::create_dir(&home.dir).unwrap();
    let file = |name: &str, line: &str| {
        let file = home.dir.join(name);
        fs::write(&file, format!("{line}\n")).unwrap();
        file
    };
    let mut command = program(&["serve", "--bind", "127.0.0.1:0"]);
    command
        .env("DATABASE_URL_FILE", file("url", &database.url))
        .env("LISTEN_DATABASE_URL_FILE", file("listen", &listen))
        .env("METRICS_TOKEN_FILE", file("token", "0123456789-geheim"))
        .env("METRICS_ALLOW", "192.0.2.1");
    let mut server = Running::start(command);
    let mut operator = Http::new(&server.line("listening on ").await);
    eventually("the server is ready", async || {
        operator.get("/readyz").send().await.status == 200
    })
    .await;
    proxy.reset();
    eventually(
        "what listens, and nothing else, went by the proxy",
        async || proxy.counts().reset == 1,
    )
    .await;
    for (token, status) in [("0123456789-geheim", 200), ("0123456789-gehein", 403)] {
        let call = operator.get("/metrics");
        let call = call.header("Authorization", &format!("Bearer {token}"));
        assert_eq!(call.send().await.status, status, "{token}");
    }
}

#[tokio::test]
async fn shells_can_complete_the_arguments() {
    for shell in ["bash", "zsh", "fish"] {
        let output = program(&["completions", shell]).output().await.unwrap();
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("import-django"), "{shell}");
    }
    let bash = "marketplace() { :; }; source <(\"$0\" completions bash) && complete -p marketplace";
    let mut command =
        crate::support::program::command("bash", &["-c", bash, crate::support::program::PROGRAM]);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The writing end of a pipe that nobody reads any more.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("there are pipes");
    drop(reader);
    writer.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_nobody_reads_is_no_failure() {
    let database = database().await;
    for line in [
        "--help",
        "--version",
        "help users",
        "serve --help",
        "users",
        "users list",
        "users list --json",
        "users add ann",
        "users role ann admin",
        "doctor",
        "doctor --json",
        "migrate",
        "demo",
        "emr runs",
        "completions bash",
    ] {
        let arguments: Vec<_> = line.split(' ').collect();
        let is_help = line == "users";
        let mut command = program(&arguments);
        let password = database.url.as_bytes();
        let file = Home::new();
        fs::create_dir(&file.dir).unwrap();
        fs::write(file.dir.join("input"), password).unwrap();
        command
            .env("DATABASE_URL", &database.url)
            .stdin(fs::File::open(file.dir.join("input")).unwrap())
            .stdout(unread());
        let output = timeout(SOON, command.output()).await.expect("it ends");
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = if is_help { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{line}: {said}");
        assert!(!said.contains("panicked"), "{line}: {said}");
        assert!(
            is_help || said.lines().all(|line| !line.starts_with("marketplace: ")),
            "{line}: {said}"
        );
    }
    // Nor is one that nobody can complain to.
    let mut command = program(&["users", "role", "nobody", "admin"]);
    command.env("DATABASE_URL", &database.url);
    command.stdout(unread()).stderr(unread());
    let status = timeout(SOON, command.status()).await.expect("it ends");
    assert_eq!(status.unwrap().code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_nobody_reads_ends() {
    let database = database().await;
    let dba = database.connect().await;
    let mut command = program(&["tail"]);
    command.env("DATABASE_URL", &database.url).stdout(unread());
    let mut tail = command.spawn().unwrap();
    eventually("it has ended", async || {
        // It may not listen yet.
        let sql = "insert into sources (country) values ('Peru')";
        dba.batch_execute(sql).await.unwrap();
        tail.try_wait().unwrap().is_some()
    })
    .await;
    assert_eq!(tail.wait().await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_output_and_log_nobody_reads_serves() {
    let database = database().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    drop(port);
    for format in ["text", "json"] {
        let mut command = program(&["serve", "--bind", &address, "--log-format", format]);
        command
            .env("DATABASE_URL", &database.url)
            .env("RUST_LOG", "debug")
            .stdout(unread())
            .stderr(unread());
        let mut server = command.spawn().unwrap();
        let mut operator = Http::new(&format!("http://{address}"));
        eventually("the server is ready", async || {
            assert!(server.try_wait().unwrap().is_none(), "it runs");
            operator.address().connect().await.is_ok()
                && operator.get("/readyz").send().await.status == 200
        })
        .await;
        let pid = server.id().expect("it runs").to_string();
        signal("-TERM", &pid).await;
        let status = timeout(SOON, server.wait()).await.expect("it stops");
        assert_eq!(status.unwrap().code(), Some(0));
    }
}

async fn signal(name: &str, pid: &str) {
    let mut kill = crate::support::program::command("kill", &[name, pid]);
    assert!(kill.status().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_that_is_closed_stops_the_server_gracefully_unless_it_was_told_to_ignore_that() {
    let database = database().await;
    let started = async |mut command: tokio::process::Command| {
        command.env("DATABASE_URL", &database.url);
        let mut server = Running::start(command);
        let base = server.line("listening on ").await;
        let mut visitor = Http::new(&base);
        eventually("the server is ready", async || {
            visitor.get("/readyz").send().await.status == 200
        })
        .await;
        (server, visitor)
    };
    for name in ["-HUP", "-QUIT", "-INT", "-TERM"] {
        let (mut server, _) = started(program(&["serve", "--bind", "127.0.0.1:0"])).await;
        server.signal(name).await;
        let status = timeout(SOON, server.child.wait()).await;
        assert_eq!(status.expect("it stops").unwrap().code(), Some(0), "{name}");
    }
    // As nohup has it.
    let ignoring = "trap '' HUP; exec \"$0\" serve --bind 127.0.0.1:0";
    let command =
        crate::support::program::command("sh", &["-c", ignoring, crate::support::program::PROGRAM]);
    let (mut server, mut visitor) = started(command).await;
    for _ in 0..3 {
        server.signal("-HUP").await;
        assert_eq!(visitor.get("/readyz").send().await.status, 200);
    }
    server.signal("-TERM").await;
    let status = timeout(SOON, server.child.wait()).await;
    assert_eq!(status.expect("it stops").unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_fails_says_why_with_everything_that_the_database_says() {
    let database = crate::support::postgres::cluster()
        .await
        .database(None)
        .await;
    let dba = database.connect().await;
    dba.batch_execute("create view sources as select 1 as id")
        .await
        .unwrap();
    let mut command = program(&["migrate"]);
    command.env("DATABASE_URL", &database.url);
    let output = timeout(SOON, command.output())
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap();
    for part in [
        "marketplace: migrating the database failed: ",
        "V3__sources",
        "42P07",
        "already exists",
    ] {
        assert!(last.contains(part), "{part} in {last}");
    }
    assert!(!last.contains("db error"), "{last}");
}

#[tokio::test]
async fn no_command_but_serve_makes_a_cluster() {
    let home = Home::new();
    let data_dir = home.dir.to_str().unwrap();
    for line in [
        "migrate",
        "users list",
        "doctor",
        "tail",
        "demo",
        "import-django --from postgres://host/backend",
    ] {
        let mut arguments: Vec<_> = line.split(' ').collect();
        arguments.extend(["--embedded", "--data-dir", data_dir]);
        let output = timeout(SOON, program(&arguments).output()).await;
        let output = output.expect("it ends").unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        let expected = format!(
            "marketplace: no cluster at {data_dir}; start one with `marketplace serve --embedded`"
        );
        assert!(said.starts_with(&expected), "{line}: {said}");
        assert!(!home.dir.exists(), "{line}");
    }
}
