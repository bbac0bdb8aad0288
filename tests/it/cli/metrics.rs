//! `/metrics`: who may read it, and that what it says is so.

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{
    client::Http,
    metrics::metric,
    server::{TestServer, database, eventually, open},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_is_so() {
    let (server, database) = TestServer::start().await;
    let visitor = server.visitor("somebody").await;
    let mut operator = Http::new(&server.base);
    let mut list = open(&visitor, "/ws/read_source/").await;
    let library = open(&visitor, "/ws/data_library/").await;
    eventually("the list is there", async || {
        !list.frames_from(0).is_empty()
    })
    .await;
    let dba = database.connect().await;
    dba.batch_execute("insert into sources (country) values ('one'), ('two')")
        .await
        .unwrap();
    eventually("the list shows two rows", async || {
        list.frames_from(0).len() >= 2
    })
    .await;
    let bytes: f64 = metric(
        &mut operator,
        r#"marketplace_frame_bytes_sent_total{group="DataSource"}"#,
    )
    .await
    .unwrap();
    assert!(bytes > 300.0, "{bytes}");
    list.close(1000).await;

    eventually("the sockets are counted", async || {
        metric(&mut operator, "marketplace_sockets_open").await == Some(1.0)
    })
    .await;
    for (name, expected) in [
        ("marketplace_listener_up", 1.0),
        ("marketplace_listener_connections_total", 1.0),
        ("marketplace_sockets_opened_total", 2.0),
        (r#"marketplace_sockets_ended_total{reason="client"}"#, 1.0),
        (r#"marketplace_sockets_ended_total{reason="slow"}"#, 0.0),
        (r#"marketplace_silent_edits_total{table="sources"}"#, 0.0),
        (r#"marketplace_view_failures_total{view="list"}"#, 0.0),
        (r#"marketplace_group_members{group="DataLibrary"}"#, 1.0),
        (r#"marketplace_group_members{group="DataSource"}"#, 0.0),
        (r#"marketplace_frames_sent_total{group="DataSource"}"#, 2.0),
        (
            r#"marketplace_frames_skipped_total{group="DataSource"}"#,
            0.0,
        ),
        (r#"marketplace_notifications_total{channel="crud"}"#, 1.0),
        (
            r#"marketplace_change_to_send_seconds_count{group="DataSource"}"#,
            1.0,
        ),
        (
            r#"marketplace_http_requests_total{route="/api/register/",status="201"}"#,
            1.0,
        ),
        (
            r#"marketplace_http_requests_total{route="/ws/read_source/",status="101"}"#,
            1.0,
        ),
        (
            r#"marketplace_http_request_duration_seconds_count{route="/api/login/"}"#,
            1.0,
        ),
        (r#"marketplace_pipeline_runs{state="requested"}"#, 0.0),
        ("marketplace_sessions", 1.0),
        ("marketplace_database_up", 1.0),
        ("marketplace_pool_connections_max", 8.0),
        ("marketplace_pool_timeouts_total", 0.0),
    ] {
        assert_eq!(metric(&mut operator, name).await, Some(expected), "{name}");
    }
    // Once for the change, and once more where the audit has everything read again at the start.
    let published = r#"marketplace_notification_to_publish_seconds_count{view="list"}"#;
    let published = metric(&mut operator, published).await;
    assert!(published >= Some(1.0), "{published:?}");
    // The queue is that of all tests.
    let usage = metric(&mut operator, "marketplace_notification_queue_usage_ratio").await;
    assert!((0.0..0.1).contains(&usage.unwrap()), "{usage:?}");
    let reads = metric(
        &mut operator,
        r#"marketplace_view_reads_total{view="list"}"#,
    )
    .await;
    assert!(reads >= Some(2.0), "{reads:?}");
    let rows = metric(&mut operator, r#"marketplace_view_rows_total{view="list"}"#).await;
    assert!(rows >= Some(2.0), "{rows:?}");
    let age = metric(&mut operator, "marketplace_listener_heartbeat_age_seconds").await;
    assert!((0.0..7.0).contains(&age.unwrap()), "{age:?}");

    let page = operator.get("/metrics").send().await;
    assert_eq!(
        page.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    // A path that somebody makes up makes no series of its own.
    for path in ["/api/update-source/x/y/", "/secret", "/api/read-source/1"] {
        operator.get(path).send().await;
    }
    let other = r#"marketplace_http_requests_total{route="other",status="404"}"#;
    assert_eq!(metric(&mut operator, other).await, Some(3.0));
    drop(library);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_addresses_that_were_named_may_read_it() {
    let database = database().await;
    let server = TestServer::on(&database.url, &[]).await;
    let mut operator = Http::new(&server.base);
    assert_eq!(operator.get("/metrics").send().await.status, 200);
    // A proxy on the same machine has an operator's address. It says for whom it asks in one way or another.
    for header in [
        "X-Forwarded-For",
        "Forwarded",
        "X-Real-IP",
        "Via",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Server",
        "CF-Connecting-IP",
        "True-Client-IP",
    ] {
        let by_proxy = operator.get("/metrics").header(header, "203.0.113.9");
        assert_eq!(by_proxy.send().await.status, 403, "{header}");
    }
    let elsewhere = ["--metrics-allow", "10.0.0.0/8,2001:db8::/32"];
    // What a header says is no address, neither a stranger's nor a proxy's.
    for proxies in [&[][..], &["--trusted-proxies", "127.0.0.1"]] {
        let server = TestServer::on(&database.url, &[&elsewhere, proxies].concat()).await;
        for claimed in [None, Some("10.0.0.1"), Some("2001:db8::1")] {
            let mut operator = Http::new(&server.base);
            let mut call = operator.get("/metrics");
            if let Some(claimed) = claimed {
                call = call.header("X-Forwarded-For", claimed);
            }
            let refused = call.send().await;
            assert_eq!(refused.status, 403, "{claimed:?} by {proxies:?}");
            assert!(!refused.text().contains("marketplace_"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_token_may_read_it_from_anywhere() {
    let token = "0123456789-abcdef";
    let file = std::env::temp_dir().join(format!("metrics-token-{}", uuid::Uuid::new_v4()));
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let database = database().await;
    let named = file.to_str().unwrap();
    for how in [["--metrics-token", token], ["--metrics-token-file", named]] {
        let elsewhere = ["--metrics-allow", "192.0.2.1", how[0], how[1]];
        let server = TestServer::on(&database.url, &elsewhere).await;
        for (sent, status) in [
            (Some(format!("Bearer {token}")), 200),
            (Some(format!("Bearer {token}0")), 403),
            (Some(format!("Basic {token}")), 403),
            (Some("Bearer ".into()), 403),
            (None, 403),
        ] {
            let mut operator = Http::new(&server.base);
            let mut call = operator
                .get("/metrics")
                .header("X-Forwarded-For", "203.0.113.9");
            if let Some(sent) = &sent {
                call = call.header("Authorization", sent);
            }
            assert_eq!(call.send().await.status, status, "{sent:?}");
        }
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_busy_member_needs_no_more_is_counted_as_skipped() {
    let (server, database) = TestServer::start().await;
    let visitor = server.visitor("slow").await;
    let dba = database.connect().await;
    // Enough for a frame that no kernel takes whole from a client that reads nothing.
    dba.batch_execute(
        "insert into sources (country, data_vendor) select repeat('c', 250), repeat('v', 250)
           from generate_series(1, 8000)",
    )
    .await
    .unwrap();
    let stalled = stalled(&visitor).await;
    let mut operator = Http::new(&server.base);
    let sent = r#"marketplace_frames_sent_total{group="DataSource"}"#;
    eventually("the list is on its way", async || {
        metric(&mut operator, sent).await == Some(1.0)
    })
    .await;
    let reads = r#"marketplace_view_reads_total{view="list"}"#;
    for _ in 0..3 {
        let before: Option<f64> = metric(&mut operator, reads).await;
        let edit = "update sources set panel = clock_timestamp()::text
            where id = (select min(id::text)::uuid from sources)";
        dba.batch_execute(edit).await.unwrap();
        eventually("the change is read", async || {
            metric(&mut operator, reads).await > before
        })
        .await;
    }
    assert_eq!(
        metric(&mut operator, sent).await,
        Some(1.0),
        "it is stalled"
    );

    let (mut reading, mut writing) = stalled.into_split();
    let reader =
        tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
    let skipped = r#"marketplace_frames_skipped_total{group="DataSource"}"#;
    eventually("it got the newest and skipped the others", async || {
        // Says that it has read, to whatever ping asks.
        writing.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.unwrap();
        metric(&mut operator, skipped).await == Some(2.0)
    })
    .await;
    assert_eq!(metric(&mut operator, sent).await, Some(2.0));
    reader.abort();
}

/// A socket that was opened and of which nothing is read.
async fn stalled(visitor: &Http) -> TcpStream {
    let base = visitor.address().base();
    let address = base.strip_prefix("http://").expect("it is http");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let headers = visitor.headers();
    let headers = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers: String = headers.collect();
    let head = format!(
        "GET /ws/read_source/ HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}
