//! Pipeline steps asked for while AWS does not answer: what it costs everybody else. A second server on
//! a database of its own, of which nobody asks for a step, gets the same changes in turns.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    Options, Result,
    cluster::{Database, Throwaway},
    probe::Probe,
    report::Line,
    servers::Server,
    session,
    stats::{figure, median, ms, percentile},
    websocket::Handshake,
};

const ROWS: i32 = 100;
/// Sockets of which each has asked for a step and waits for the answer.
const PAGES: usize = 50;
/// What they ask for; of each, one run at a time is handed over.
const STEPS: [&str; 4] = ["collection", "cleaning", "qc", "recoding"];
/// Between two commits; longer than a view's pace.
const PAUSE: Duration = Duration::from_millis(30);
const WARM_UP: usize = 10;

/// One server, its database, and a client that watches the Data Library.
struct Side {
    server: Server,
    database: Database,
    library: Probe,
    cookie: String,
    times: Vec<f64>,
}

pub(crate) async fn measure(options: Options, cluster: &Throwaway) -> Result<Vec<Line>> {
    let (endpoint, calls) = silent().await?;
    let hanging = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "eu-west-3"),
        ("AWS_ACCESS_KEY_ID", "bench"),
        ("AWS_SECRET_ACCESS_KEY", "bench"),
        ("EMR_CLUSTER_ID", "j-BENCH"),
        ("S3_PATH", "s3://bench/scripts"),
    ];
    let mut waiting = Side::start(cluster, "emr_hangs", &hanging).await?;
    let mut idle = Side::start(cluster, "emr_idle", &[]).await?;
    let mut pages = Vec::new();
    for page in 0..PAGES {
        pages.push(waiting.ask_for(STEPS[page % STEPS.len()]).await?);
    }
    let mut called = calls.clone();
    called.wait_for(|calls| *calls > 0).await?;

    let started = Instant::now();
    let length = options.pick(Duration::from_secs(30), Duration::from_secs(2));
    let mut number = 0;
    while started.elapsed() < length {
        for first in [number % 2 == 0, number % 2 == 1] {
            tokio::time::sleep(PAUSE).await;
            let side = if first { &mut waiting } else { &mut idle };
            side.change(number).await?;
        }
        number += 1;
    }
    let unanswered = *calls.borrow();
    drop(pages);
    let [with, without] = [waiting, idle].map(|side| (side.times, side.server));
    with.1.stop().await?;
    without.1.stop().await?;
    let (with, without) = (&with.0[WARM_UP..], &without.0[WARM_UP..]);
    let what = format!("AWS hangs for {} s, {PAGES} wait for it", length.as_secs());
    Ok(vec![
        Line::new(
            format!("{what}: data_library of others, p50"),
            "ms",
            median(with),
        )
        .beside(median(without))
        .at_most_times(1.1),
        Line::new(
            format!("{what}: data_library of others, p99"),
            "ms",
            percentile(with, 99.0),
        )
        .beside(percentile(without, 99.0)),
        Line::new(format!("{what}: calls that hung"), "", figure(unanswered)),
    ])
}

impl Side {
    async fn start(cluster: &Throwaway, name: &str, variables: &[(&str, &str)]) -> Result<Self> {
        let database = Database::new(cluster, name).await?;
        database.fill(ROWS).await?;
        let server = Server::product_with(database.url(), variables).await?;
        let cookie = session::sign_in(server.address).await?;
        let handshake = Handshake::to("/ws/data_library/").with(&cookie);
        let mut library = Probe::open(server.address, &handshake).await?;
        library.next().await?;
        Ok(Self {
            server,
            database,
            library,
            cookie,
            times: Vec::new(),
        })
    }

    /// One change of a count, until the client has it. Runs are counted in other frames.
    async fn change(&mut self, number: usize) -> Result<()> {
        let (status, inactive) = if number.is_multiple_of(2) {
            ("inactive", 1)
        } else {
            ("active", 0)
        };
        let statement = "update sources set status = $1
            where id = (select id from sources order by created_at desc limit 1)";
        let start = Instant::now();
        self.database.client.execute(statement, &[&status]).await?;
        loop {
            let shown = self.library.next().await?;
            if shown.json()?["data"][0]["s3"] == inactive {
                self.times.push(ms(shown.at - start));
                return Ok(());
            }
        }
    }

    /// Opens the step page's socket and asks; the answer does not come.
    async fn ask_for(&self, step: &str) -> Result<TcpStream> {
        let handshake = Handshake::to("/ws/EMRConsumer/").with(&self.cookie);
        let (mut socket, _) = handshake.open(self.server.address).await?;
        let message = format!(r#"{{"step":"{step}"}}"#);
        // A short text message, masked with zeros.
        let mut frame = vec![0x81, 0x80 | u8::try_from(message.len())?, 0, 0, 0, 0];
        frame.extend_from_slice(message.as_bytes());
        socket.write_all(&frame).await?;
        Ok(socket)
    }
}

/// An endpoint that takes requests and never answers; and how many calls it took.
async fn silent() -> Result<(String, watch::Receiver<u64>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let (count, calls) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.send_modify(|calls| *calls += 1);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
            });
        }
    });
    Ok((address, calls))
}
