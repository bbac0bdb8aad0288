//! One row changed among 10,000: what PostgreSQL has to read for it, what goes to a client that
//! follows by deltas, and when a thousand of them have it, beside raw TCP writes of 2 KB.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::{
    Options, Result,
    cluster::{Database, Throwaway},
    crowd::Crowd,
    report::Line,
    servers::{Server, role},
    session,
    stats::{figure, median, ms},
    websocket::Handshake,
};

/// Between two changes; longer than a view's pace, so that each is a first change after a pause.
const PAUSE: Duration = Duration::from_millis(30);
/// What was written before a server's start may be counted for some seconds more, and makes it read
/// everything once when they are over. The cost of a change is that of a server that has settled.
const SETTLED: Duration = Duration::from_secs(16);
const UPDATE: &str = "update sources set panel = $1 where id = $2::text::uuid";

pub(crate) async fn measure(options: Options, cluster: &Throwaway) -> Result<Vec<Line>> {
    let (rows, clients) = options.pick((10_000, 1_000), (1_000, 30));
    let changes: u64 = options.pick(30, 4);
    let database = Database::new(cluster, "delta").await?;
    database.fill(rows).await?;
    let id: String = database
        .client
        .query_one("select id::text from sources limit 1", &[])
        .await?
        .get(0);

    // What the statement itself reads, with nobody there.
    let before = rows_read(&database.client).await?;
    for change in 0..changes {
        database
            .client
            .execute(UPDATE, &[&format!("before {change}"), &id])
            .await?;
    }
    let own = rows_read(&database.client).await? - before;

    let server = Server::product(database.url()).await?;
    tokio::time::sleep(options.pick(SETTLED, Duration::ZERO)).await;
    let cookie = session::sign_in(server.address).await?;
    let handshake = Handshake::to("/ws/read_source/?mode=delta").with(&cookie);
    let crowd = Crowd::sockets(server.address, handshake, clients).await?;
    let snapshot = crowd.greeted().await?;
    let mut floor = Server::role(role::FLOOR).await?;
    let floor_crowd = Crowd::raw(floor.address, clients).await?;
    forget_connections(&database.client).await?;
    let before = rows_read(&database.client).await?;

    let (mut times, mut floor_times) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for change in 0..changes {
        tokio::time::sleep(PAUSE).await;
        let statement = format!("change {change}");
        let start = Instant::now();
        let update = async { Ok(database.client.execute(UPDATE, &[&statement, &id]).await?) };
        let (updated, round) = crowd.round(update).await?;
        assert_eq!(updated, 1, "one row is changed");
        assert_eq!(
            round.version,
            snapshot.version + change + 1,
            "each change is one version"
        );
        times.push(ms(round.since(start)));
        bytes = bytes.max(round.wire);
        floor.load(2_000).await?;
        let (start, round) = floor_crowd.round(floor.send()).await?;
        floor_times.push(ms(round.since(start)));
    }
    forget_connections(&database.client).await?;
    let read = rows_read(&database.client).await? - before - own;
    server.stop().await?;

    let what = format!("1 of {rows} rows changed");
    Ok(vec![
        Line::new(
            format!("{what}: rows read from PostgreSQL"),
            "",
            figure(read) / figure(changes),
        )
        .at_most(1.0),
        Line::new(
            format!("{what}: a delta's bytes beside the snapshot's"),
            "bytes",
            figure(bytes),
        )
        .beside(figure(snapshot.wire))
        .at_most_times(0.01),
        Line::new(
            format!("{what}: commit until {clients} delta clients have it"),
            "ms",
            median(&times),
        )
        .beside(median(&floor_times))
        .at_most_times(2.0),
    ])
}

/// Rows of `sources` that scans of any kind have handed out.
async fn rows_read(client: &Client) -> Result<u64> {
    client
        .query_one("select pg_stat_force_next_flush()", &[])
        .await?;
    let statement = "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables
        where relname = 'sources'";
    let read: i64 = client.query_one(statement, &[]).await?.get(0);
    Ok(u64::try_from(read)?)
}

/// Ends the product's connections, whose counters PostgreSQL adds up when they end at the latest.
async fn forget_connections(client: &Client) -> Result<()> {
    let statement =
        "select coalesce(sum(pg_terminate_backend(pid, 10000)::integer), 0) from pg_stat_activity
        where application_name = 'marketplace' and datname = current_database()";
    let ended: i64 = client.query_one(statement, &[]).await?.get(0);
    assert!(ended > 0, "the product had no connection");
    Ok(())
}
