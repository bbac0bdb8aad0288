//! From a commit to the client: one signed-in client on one socket, 100 rows, beside a bare LISTEN
//! connection that hears of the same commits. The clock starts before the UPDATE is sent.

use std::time::{Duration, Instant};

use crate::{
    Options, Result,
    cluster::{Database, Throwaway},
    listen::Listener,
    probe::Probe,
    report::Line,
    servers::Server,
    session,
    stats::{median, ms, percentile},
    websocket::Handshake,
};

const ROWS: i32 = 100;
/// Between two commits; longer than a view's pace, so that each is a first change after a pause.
const PAUSE: Duration = Duration::from_millis(30);
/// Commits that are not counted: connections are made and caches filled.
const WARM_UP: usize = 10;

pub(crate) async fn measure(options: Options, cluster: &Throwaway) -> Result<Vec<Line>> {
    let database = Database::new(cluster, "latency").await?;
    database.fill(ROWS).await?;
    let server = Server::product(database.url()).await?;
    let cookie = session::sign_in(server.address).await?;
    let handshake = Handshake::to("/ws/read_source/").with(&cookie);
    let mut client = Probe::open(server.address, &handshake).await?;
    client.next().await?;
    let mut bare = Listener::open(&database, &["source"]).await?;
    let statement = "update sources set panel = $1
        where id = (select id from sources order by created_at desc limit 1)";
    let update = database.client.prepare(statement).await?;

    let (mut shown, mut heard) = (Vec::new(), Vec::new());
    for number in 0..options.pick(500, 20) + WARM_UP {
        tokio::time::sleep(PAUSE).await;
        let mark = format!("change {number}");
        let start = Instant::now();
        let change = async { database.client.execute(&update, &[&mark]).await };
        let (updated, notification, frame) = tokio::join!(change, bare.next(), client.next());
        assert_eq!(updated?, 1, "one row is changed");
        let (notification, frame) = (notification?, frame?);
        assert!(
            frame.json()?.to_string().contains(&mark),
            "the frame shows another state"
        );
        if number >= WARM_UP {
            heard.push(ms(notification.at - start));
            shown.push(ms(frame.at - start));
        }
    }
    server.stop().await?;
    Ok(vec![
        Line::new(
            "commit to client, 1 client, 100 rows, p50",
            "ms",
            median(&shown),
        )
        .beside(median(&heard))
        .at_most_times(2.5),
        Line::new(
            "commit to client, 1 client, 100 rows, p99",
            "ms",
            percentile(&shown, 99.0),
        )
        .beside(percentile(&heard, 99.0)),
    ])
}
