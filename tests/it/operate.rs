//! Commands for whoever operates the server: tail, demo, completions, and secrets in files.

use std::fs;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
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
    let mut command = crate::program::command("bash", &["-c", bash, crate::program::PROGRAM]);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}
