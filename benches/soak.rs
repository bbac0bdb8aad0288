//! A crowd that is kept busy: clients of all kinds come and go while rows change, for as long as
//! told. At the end every client shows the newest version, and neither the server's memory nor its
//! open files have grown.

use std::time::Duration;

use tokio::time::{self, Instant, MissedTickBehavior, interval, sleep_until};
use tokio_postgres::Client;

use crate::{
    Result,
    cluster::{self, Database},
    crowd::Crowd,
    servers::Server,
    session,
    websocket::Handshake,
};

/// Clients that come and go together.
const GROUP: usize = 100;
/// What the groups follow: 2,000 clients in all.
const GROUPS: [(&str, usize); 4] = [
    ("/ws/read_source/?mode=delta", 16),
    ("/ws/data_library/", 2),
    ("/ws/source/", 1),
    ("/ws/data_source_activation/", 1),
];
/// Whole lists are large, so few ask for them.
const LISTS: usize = 20;
/// Rows of the catalogue.
const ROWS: i32 = 100;
const CHANGES_A_SECOND: u32 = 50;
/// Between one group's leaving and the next one's, and between looks at the server.
const TURN: Duration = Duration::from_secs(1);
/// What is reserved at first is no growth: so much of the time is not judged.
const WARM_UP: f64 = 0.25;
/// Growth over the time judged that is taken for noise, of the mean.
const NOISE: f64 = 0.03;

/// One look at the server.
struct Sample {
    minutes: f64,
    resident_mib: f64,
    descriptors: f64,
}

/// Keeps a crowd busy for `time`.
///
/// # Errors
/// When a client is lost or does not get the last change, or the server has grown.
pub(crate) async fn run(time: Duration) -> Result<()> {
    let cluster = cluster::start().await?;
    let database = Database::new(&cluster, "soak").await?;
    database.fill(ROWS).await?;
    let server = Server::product(database.url()).await?;
    let cookie = session::sign_in(server.address).await?;

    let paths = GROUPS.iter().flat_map(|(path, count)| vec![*path; *count]);
    let join = async |path: &'static str, count: usize| {
        Crowd::sockets(server.address, Handshake::to(path).with(&cookie), count).await
    };
    let mut groups = vec![("/ws/read_source/", join("/ws/read_source/", LISTS).await?)];
    for path in paths {
        groups.push((path, join(path, GROUP).await?));
    }
    let clients: usize = groups.iter().map(|(_, crowd)| crowd.len()).sum();
    let writer = tokio::spawn(write(database.connect().await?, time));

    let begun = Instant::now();
    let mut samples = Vec::new();
    let mut turns = 0;
    while begun.elapsed() < time {
        let turn = turns % groups.len();
        let (path, fresh) = (groups[turn].0, join(groups[turn].0, groups[turn].1.len()));
        let left = std::mem::replace(&mut groups[turn].1, fresh.await?);
        if left.connected() < left.len() {
            return Err(format!("a client of {path} was lost").into());
        }
        left.leave().await;
        turns += 1;
        sleep_until(begun + TURN * turns.try_into()?).await;
        let sample = look(&server, begun)?;
        if turns % 30 == 0 {
            eprintln!(
                "{:.1} minutes: {clients} clients, {:.1} MiB resident, {} descriptors",
                sample.minutes, sample.resident_mib, sample.descriptors
            );
        }
        samples.push(sample);
    }
    let changes = writer.await??;
    everybody_is_up_to_date(&groups, join("/ws/read_source/", 1).await?).await?;
    println!(
        "{clients} clients, {turns} groups of them came and went, {changes} changes in {:.1} minutes",
        begun.elapsed().as_secs_f64() / 60.0
    );
    let grew = verdict(&samples);
    server.stop().await?;
    cluster.stop().await?;
    grew
}

/// Changes a row 50 times a second; gives how many changes were made.
async fn write(client: Client, time: Duration) -> Result<u64> {
    let row = "(select id from sources order by md5(id::text || $1::bigint) limit 1)";
    let statements = [
        format!("update sources set panel = 'panel ' || $1::bigint where id = {row}"),
        format!(
            "update sources set status = case status when 'active' then 'inactive' else 'active' end
              where id = {row}"
        ),
        "insert into sources (country) values ('country ' || $1::bigint)".to_owned(),
        format!("delete from sources where id = {row}"),
    ];
    let end = Instant::now() + time;
    let mut beat = interval(Duration::from_secs(1) / CHANGES_A_SECOND);
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut changes = 0;
    while Instant::now() < end {
        beat.tick().await;
        // Six updates, two toggles, an insert and a delete.
        let statement = [0, 0, 0, 1, 0, 2, 0, 0, 1, 3][usize::try_from(changes % 10)?];
        let number = i64::try_from(changes)?;
        client.execute(&statements[statement], &[&number]).await?;
        changes += 1;
    }
    Ok(changes)
}

fn look(server: &Server, begun: Instant) -> Result<Sample> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Sample {
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        resident_mib: server.memory()?.resident as f64 / f64::from(1 << 20),
        descriptors: server.descriptors()? as f64,
    })
}

/// Waits until who follows the list shows what a newcomer is shown.
async fn everybody_is_up_to_date(groups: &[(&str, Crowd)], newcomer: Crowd) -> Result<()> {
    // The last change may still be on its way when the newcomer comes; it too follows.
    time::sleep(TURN).await;
    let newest = newcomer.greeted().await?.version;
    for (path, crowd) in groups {
        if path.starts_with("/ws/read_source/") {
            crowd.reach(newest).await?;
        }
    }
    newcomer.leave().await;
    Ok(())
}

/// Prints the slopes.
///
/// # Errors
/// When one is not flat.
fn verdict(samples: &[Sample]) -> Result<()> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a part of a length"
    )]
    let judged = &samples[(samples.len() as f64 * WARM_UP) as usize..];
    let mut grown = Vec::new();
    for (what, of) in [
        (
            "resident MiB",
            (|s: &Sample| s.resident_mib) as fn(&Sample) -> f64,
        ),
        ("descriptors", |s: &Sample| s.descriptors),
    ] {
        let points: Vec<(f64, f64)> = judged.iter().map(|s| (s.minutes, of(s))).collect();
        let line = Line::through(&points);
        let growth = line.slope * line.span / line.mean;
        println!(
            "{what}: mean {:.1}, slope {:+.3} a minute over {:.1} minutes, {:+.1} %",
            line.mean,
            line.slope,
            line.span,
            growth * 100.0
        );
        if growth > NOISE {
            grown.push(what);
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(format!("not flat: {}", grown.join(", ")).into())
}

/// A straight line, by least squares.
struct Line {
    mean: f64,
    /// A minute.
    slope: f64,
    /// From the first point to the last, in minutes.
    span: f64,
}

impl Line {
    fn through(points: &[(f64, f64)]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let count = points.len().max(1) as f64;
        let sum = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
        let (x, y) = (sum(|p| p.0) / count, sum(|p| p.1) / count);
        let (mut both, mut square) = (0.0, 0.0);
        for point in points {
            both += (point.0 - x) * (point.1 - y);
            square += (point.0 - x).powi(2);
        }
        let ends = points.first().zip(points.last());
        Self {
            mean: y,
            slope: if square > 0.0 { both / square } else { 0.0 },
            span: ends.map_or(0.0, |(first, last)| last.0 - first.0),
        }
    }
}
