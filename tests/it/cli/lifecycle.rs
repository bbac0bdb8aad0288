//! The program as people run it: bad settings, a database that is late, the first edit, a stop.

use std::process::Output;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::support::{
    client::Http,
    postgres::{self, Home},
    program::{Running, program},
    server::{ORIGIN, SOON, eventually, open},
};

#[tokio::test]
async fn bad_settings_stop_the_start_with_one_line_that_names_the_variable() {
    let good = (
        "DATABASE_URL",
        "postgres://nobody:geheim@127.0.0.1:1/nothing",
    );
    for (variable, value) in [
        ("DATABASE_URL", "postgres://u:geheim@h/d?sslmode=maybe"),
        ("DATABASE_URL", "geheim"),
        ("LISTEN_DATABASE_URL", "postgres://u:geheim@h:port/d"),
        ("BIND", "here"),
        ("BIND", "192.0.2.1:80"),
        ("ALLOWED_HOSTS", "market.example,https://market.example"),
        ("ALLOWED_ORIGINS", "localhost"),
        (
            "ALLOWED_ORIGINS",
            "http://localhost:3000, http://localhost:3000/",
        ),
        ("ALLOWED_ORIGINS", "https://me:geheim@market.example"),
        ("ALLOWED_ORIGINS", "null"),
        ("TIME_ZONE", "Europe/Atlantis"),
        ("REGISTRATION", "ajar"),
        ("REGISTRATION_ROLE", "admin"),
        ("ANONYMOUS", "write"),
        ("RATE_LIMITS", "maybe"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,proxy"),
        ("COOKIE_SECURE", "yes"),
        ("POOL_SIZE", "0"),
        ("MAX_CONNECTIONS", "many"),
        ("KEEP_ALIVE", "0"),
        ("METRICS_ALLOW", "localhost"),
        ("METRICS_TOKEN", "geheim"),
        ("NOTIFY_QUEUE_WARNING", "half"),
        ("LOG_FORMAT", "xml"),
        ("PIPELINE_STEPS", "qc,$(id)"),
        ("S3_PATH", "s3://bucket; id"),
        ("EMR_POLL", "now"),
        ("UPLOADS_URL", "ftp://user:geheim@files"),
        ("MAX_UPLOAD_MIB", "0"),
    ] {
        let mut command = program(&["serve"]);
        command.env(good.0, good.1).env(variable, value);
        let Output { status, stderr, .. } = timeout(SOON, command.output())
            .await
            .expect("it stops at once")
            .unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{variable}={value}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{variable}={value}: {stderr}");
        assert!(
            stderr.starts_with(&format!("marketplace: {variable}: ")),
            "{stderr}"
        );
        assert!(!stderr.contains("geheim"), "{stderr}");
    }
    let none = program(&["serve"]).output().await.unwrap();
    let stderr = String::from_utf8(none.stderr).unwrap();
    assert!(
        stderr.starts_with("marketplace: DATABASE_URL: "),
        "{stderr}"
    );
}

#[tokio::test]
async fn help_names_every_variable() {
    let help = program(&["serve", "--help"]).output().await.unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for variable in [
        "DATABASE_URL",
        "LISTEN_DATABASE_URL",
        "DATABASE_URL_FILE",
        "LISTEN_DATABASE_URL_FILE",
        "BIND",
        "ALLOWED_HOSTS",
        "ALLOWED_ORIGINS",
        "TIME_ZONE",
        "REGISTRATION",
        "REGISTRATION_ROLE",
        "ANONYMOUS",
        "RATE_LIMITS",
        "TRUSTED_PROXIES",
        "COOKIE_SECURE",
        "LOG_FORMAT",
        "POOL_SIZE",
        "MAX_CONNECTIONS",
        "KEEP_ALIVE",
        "METRICS_ALLOW",
        "METRICS_TOKEN",
        "METRICS_TOKEN_FILE",
        "NOTIFY_QUEUE_WARNING",
        "DATA_DIR",
        "EMR_CLUSTER_ID",
        "S3_PATH",
        "PIPELINE_STEPS",
        "EMR_POLL",
    ] {
        assert!(
            help.contains(&format!("[env: {variable}")),
            "{variable} is not in\n{help}"
        );
    }
}

#[tokio::test]
async fn a_database_that_is_down_at_start_is_waited_for() {
    let cluster = postgres::private_cluster(&[]).await;
    let url = cluster.url();
    let home = cluster.stop().await;
    assert!(
        tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .is_err(),
        "it is down"
    );
    let mut command = program(&["serve", "--bind", "127.0.0.1:0"]);
    command.env("DATABASE_URL", &url);
    let mut server = Running::start(command);
    let base = server.line("listening on ").await;
    let mut operator = Http::new(&base);
    let ready = operator.get("/readyz").send().await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_eq!(operator.get("/healthz").send().await.status, 200);

    let cluster = marketplace::embedded::Cluster::start(postgres::options(&home.dir, &[]))
        .await
        .expect("PostgreSQL starts");
    assert_eq!(cluster.url(), url, "it is the same database");
    eventually("the server is ready", async || {
        operator.get("/readyz").send().await.status == 200
    })
    .await;
    drop(server);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_newcomer_edits_a_row_with_the_printed_command_and_the_page_follows() {
    let home = Home::new();
    let data_dir = home.dir.to_str().unwrap().to_owned();
    let arguments = [
        "serve",
        "--embedded",
        "--bind",
        "127.0.0.1:0",
        "--data-dir",
        &data_dir,
    ];
    let mut server = Running::start(program(&arguments));
    let psql = server.line("edit rows with: ").await;
    let account = server.line("sign in as: ").await;
    let base = server.line("listening on ").await;
    let (name, password) = account.split_once(" / ").expect("a name and a password");

    let mut page = Http::new(&base).on_page(&base);
    let body = serde_json::json!({ "username": name, "password": password });
    eventually("the account works", async || {
        page.post("/api/login/").json(&body).send().await.status == 200
    })
    .await;
    let html = page
        .get("/")
        .header("Accept", "text/html,application/xhtml+xml")
        .send()
        .await;
    assert_eq!(html.status, 200);
    assert!(html.text().contains("/console/"));
    let mut list = open(&page, "/ws/read_source/").await;
    assert_eq!(list.next_json(SOON).await["data"], serde_json::json!([]));

    let readme = include_str!("../../../README.md");
    let (_, sql) = readme
        .split_once("```sql\n")
        .expect("it says what to paste");
    let (sql, _) = sql.split_once("```").expect("the block ends");
    let output = postgres::psql(&psql, "marketplace", sql).await;
    assert!(output.status.success(), "{output:?}");
    loop {
        let row = &list.next_json(SOON).await["data"][0];
        assert_eq!(row["country"], "France");
        if row["status"] == "inactive" {
            break;
        }
    }

    server.signal("-TERM").await;
    assert_eq!(list.closed_within(SOON).await.code, 1001);
    let status = timeout(SOON, server.child.wait())
        .await
        .expect("it stops")
        .unwrap();
    assert_eq!(status.code(), Some(0));

    // The second start finds the data and the account again.
    let mut server = Running::start(program(&arguments));
    let told = server.line("sign in as: ").await;
    assert!(!told.contains(password), "it is said once: {told}");
    let file = home.dir.join("newcomer");
    assert!(
        told.starts_with(name) && told.contains(file.to_str().unwrap()),
        "{told}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), password);
    let base = server.line("listening on ").await;
    let mut page = Http::new(&base).on_page(ORIGIN);
    eventually("the row is still there", async || {
        page.post("/api/login/").json(&body).send().await;
        let rows = page.get("/api/read-source/").send().await;
        rows.status == 200 && rows.json()[0]["country"] == "France"
    })
    .await;
    server.signal("-INT").await;
    let status = timeout(SOON, server.child.wait())
        .await
        .expect("it stops")
        .unwrap();
    assert_eq!(status.code(), Some(0));

    // Who deletes the account has deleted it, also when nobody else is left.
    let mut server = Running::start(program(&arguments));
    let psql = server.line("edit rows with: ").await;
    server.line("listening on ").await;
    let output = postgres::psql(&psql, "marketplace", "delete from users").await;
    assert!(output.status.success(), "{output:?}");
    server.signal("-TERM").await;
    timeout(SOON, server.child.wait())
        .await
        .expect("it stops")
        .unwrap();
    let mut server = Running::start(program(&arguments));
    let psql = server.line("edit rows with: ").await;
    let next = server.line("").await;
    assert!(
        next.contains("listening on "),
        "nothing is said of it: {next}"
    );
    let left = postgres::psql(&psql, "marketplace", "select count(*) from users").await;
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    assert!(left.contains('0') && !left.contains('1'), "{left}");
}

#[tokio::test]
async fn a_stop_finishes_the_request_that_is_under_way() {
    let database = crate::support::server::database().await;
    let mut command = program(&["serve", "--bind", "127.0.0.1:0"]);
    command.env("DATABASE_URL", &database.url);
    let mut server = Running::start(command);
    let base = server.line("listening on ").await;
    let mut operator = Http::new(&base);
    eventually("the server is ready", async || {
        operator.get("/readyz").send().await.status == 200
    })
    .await;

    let body = serde_json::json!({
        "username": "late", "password": "Correct-horse-7", "confirm_password": "Correct-horse-7",
    })
    .to_string();
    let mut stream = operator.address().connect().await.unwrap();
    let head = format!(
        "POST /api/register/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 64];
    let read = timeout(SOON, stream.read(&mut answer))
        .await
        .expect("it asks for the body")
        .unwrap();
    assert!(
        answer[..read].starts_with(b"HTTP/1.1 100"),
        "the request is under way"
    );

    server.signal("-TERM").await;
    eventually("no new connection is accepted", async || {
        operator.address().connect().await.is_err()
    })
    .await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer))
        .await
        .expect("it is answered")
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let status = timeout(SOON, server.child.wait())
        .await
        .expect("it stops")
        .unwrap();
    assert_eq!(status.code(), Some(0));
}
