//! The queue of notifications, which one listening session in an open transaction fills.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::ChildStderr,
    time::timeout,
};

use crate::support::{
    client::Http,
    metrics::metric,
    postgres::{connect, private_cluster},
    program::program,
    server::{SOON, eventually},
};

/// The real limit is 8 GB; 10 % of it were filled by hand, in the tests it is a thousandth.
const WARNING: f64 = 0.001;
const USAGE: &str = "marketplace_notification_queue_usage_ratio";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_fills_up_is_warned_of_once_with_the_session_that_holds_it() {
    // The queue is the whole cluster's.
    let cluster = private_cluster(&[]).await;
    let mut command = program(&["serve", "--bind", "127.0.0.1:0"]);
    command
        .env("DATABASE_URL", cluster.url())
        .env("NOTIFY_QUEUE_WARNING", (WARNING * 100.0).to_string())
        .stderr(Stdio::piped());
    let mut server = command.spawn().expect("the program starts");
    let mut log = BufReader::new(server.stderr.take().expect("it is piped")).lines();
    let mut lines = BufReader::new(server.stdout.take().expect("it is piped")).lines();
    let line = timeout(SOON, lines.next_line()).await.unwrap().unwrap();
    let line = line.expect("it prints where it listens");
    let base = line.strip_prefix("listening on ").expect("it listens");
    let mut operator = Http::new(base);
    eventually("the server is ready", async || {
        operator.get("/readyz").send().await.status == 200
    })
    .await;
    assert_eq!(metric(&mut operator, USAGE).await, Some(0.0));

    let dba = connect(&cluster.url()).await;
    for round in ["first", "second"] {
        let holder = connect(&cluster.url()).await;
        // One by one: together they would be one transaction, and it listens when it commits.
        for sql in [
            "listen anything",
            "set application_name = 'a long report'",
            "begin",
        ] {
            holder.batch_execute(sql).await.unwrap();
        }
        let pid: i32 = holder
            .query_one("select pg_backend_pid()", &[])
            .await
            .unwrap()
            .get(0);
        let fill =
            "select pg_notify('anything', repeat('x', 7900) || i) from generate_series(1, 500) i";
        while usage(&dba).await < WARNING {
            dba.batch_execute(fill).await.unwrap();
        }
        // The second would come with the next look, a second later.
        let mut warnings = Vec::new();
        for patience in [SOON, Duration::from_secs(3)] {
            warnings.extend(warning(&mut log, patience).await);
        }
        assert_eq!(warnings.len(), 1, "{round}: {warnings:?}");
        let names_it =
            warnings[0].contains(&format!("pid {pid} ")) && warnings[0].contains("a long report");
        assert!(names_it, "{round}: {warnings:?}");
        assert!(
            metric(&mut operator, USAGE).await >= Some(WARNING),
            "{round}"
        );

        holder.batch_execute("rollback").await.unwrap();
        eventually("the queue is empty again", async || {
            metric(&mut operator, USAGE).await == Some(0.0)
        })
        .await;
        assert!(usage(&dba).await < WARNING, "{round}");
    }
}

async fn usage(database: &tokio_postgres::Client) -> f64 {
    let sql = "select pg_notification_queue_usage()";
    database.query_one(sql, &[]).await.unwrap().get(0)
}

/// The next warning of the queue in the log.
async fn warning(log: &mut Lines<BufReader<ChildStderr>>, patience: Duration) -> Option<String> {
    let next = async {
        while let Some(line) = log.next_line().await.expect("the log can be read") {
            if line.contains("notification queue is filling up") {
                return line;
            }
        }
        panic!("the server has ended");
    };
    timeout(patience, next).await.ok()
}
