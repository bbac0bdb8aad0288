//! Sockets that do nothing: resident memory of the product for each, and ten thousand in one process
//! that all follow a change.

use std::time::Duration;

use crate::{
    Options, Result,
    cluster::{Database, Throwaway},
    crowd::Crowd,
    memory::Memory,
    report::Line,
    servers::Server,
    session,
    stats::{figure, ms},
    websocket::Handshake,
};

const ROWS: i32 = 100;
/// Clients that are there before the first look at the memory, so that what is needed once is.
const WARM_UP: usize = 16;

pub(crate) async fn measure(options: Options, cluster: &Throwaway) -> Result<Vec<Line>> {
    let database = Database::new(cluster, "idle").await?;
    database.fill(ROWS).await?;
    // Signed in at another server of the database: what hashing a password has used and given back
    // would hide what the sockets take.
    let other = Server::product(database.url()).await?;
    let cookie = session::sign_in(other.address).await?;
    other.stop().await?;
    let server = Server::product(database.url()).await?;
    let handshake = Handshake::to("/ws/read_source/").with(&cookie);
    let first = Crowd::sockets(server.address, handshake.clone(), WARM_UP).await?;
    first.greeted().await?;
    let before = settled(&server).await?;

    let count = options.pick(5_000, 200);
    let half = Crowd::sockets(server.address, handshake.clone(), count).await?;
    half.greeted().await?;
    let after = settled(&server).await?;
    let per_socket = |before: u64, after: u64, sockets: usize| {
        figure(after.saturating_sub(before)) / figure(sockets as u64) / 1024.0
    };

    let rest = Crowd::sockets(server.address, handshake, count - WARM_UP).await?;
    rest.greeted().await?;
    let all = [&first, &half, &rest];
    let sockets: usize = all.iter().map(|crowd| crowd.len()).sum();
    let full = settled(&server).await?;
    // The same change for all of them, or somebody is not there.
    let start = std::time::Instant::now();
    let change = async {
        Ok(database
            .client
            .execute("update sources set panel = 'to all'", &[])
            .await?)
    };
    let (_, (changed, half), rest) = {
        let none = async { Ok(()) };
        let other = async { Ok(()) };
        let (a, b, c) = tokio::join!(first.round(none), half.round(change), rest.round(other));
        (a?, b?, c?.1)
    };
    assert_eq!(changed, u64::try_from(ROWS)?, "all rows are changed");
    assert_eq!(
        (half.wire, half.version),
        (rest.wire, rest.version),
        "all have the same state"
    );
    let connected: usize = all.iter().map(|crowd| crowd.connected()).sum();
    let time = half.since(start).max(rest.since(start));
    server.stop().await?;

    let resident = per_socket(before.resident, after.resident, count);
    let dirty = per_socket(before.private_dirty, after.private_dirty, count);
    let total = per_socket(before.resident, full.resident, sockets - WARM_UP);
    Ok(vec![
        Line::new(
            format!("resident memory per socket at {count}, signed in"),
            "KiB",
            resident,
        )
        .at_most(8.0),
        Line::new(
            format!("private dirty memory per socket at {count}"),
            "KiB",
            dirty,
        ),
        Line::new(
            format!("resident memory per socket at {sockets}"),
            "KiB",
            total,
        ),
        Line::new(
            format!("sockets of one process that got a change (of {sockets})"),
            "",
            figure(connected as u64),
        ),
        Line::new(
            format!("commit until all {sockets} have it"),
            "ms",
            ms(time),
        ),
    ])
}

/// The memory once it no longer moves.
async fn settled(server: &Server) -> Result<Memory> {
    let mut before = server.memory()?;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = server.memory()?;
        if now.resident.abs_diff(before.resident) < 64 * 1024 {
            return Ok(now);
        }
        before = now;
    }
}
