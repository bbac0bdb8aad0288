//! Clients that stop reading: what they cost in memory, and what they cost those who go on. A second
//! server without stuck clients gets the same changes in turns.

use crate::{
    Options, Result,
    crowd::Crowd,
    report::Line,
    servers::{Server, role},
    stats::{figure, ms, percentile},
    websocket::Handshake,
};

const FRAME_BYTES: usize = 600_000;

pub(crate) async fn measure(options: Options) -> Result<Vec<Line>> {
    let count = options.pick(500, 30);
    let changes: u32 = options.pick(100, 5);
    let mut free = Server::role(role::TRANSPORT).await?;
    let mut burdened = Server::role(role::TRANSPORT).await?;
    let handshake = || Handshake::to("/ws/read_source/");
    let alone = Crowd::sockets(free.address, handshake(), count).await?;
    let others = Crowd::sockets(burdened.address, handshake(), count).await?;
    let stuck = Crowd::sockets(burdened.address, handshake(), count).await?;

    // One change that everybody takes, so that what is needed once is there.
    for server in [&mut free, &mut burdened] {
        server.load(FRAME_BYTES).await?;
    }
    alone.round(free.send()).await?;
    let (_, taken) = tokio::join!(others.round(burdened.send()), stuck.greeted());
    taken?;
    stuck.stop_reading();

    let (mut with, mut without) = (Vec::new(), Vec::new());
    let before = burdened.memory()?;
    let mut peak = before;
    for change in 0..changes {
        free.load(FRAME_BYTES).await?;
        burdened.load(FRAME_BYTES).await?;
        for turn in [change % 2 == 0, change % 2 != 0] {
            let (server, crowd, times) = if turn {
                (&mut burdened, &others, &mut with)
            } else {
                (&mut free, &alone, &mut without)
            };
            let (start, round) = crowd.round(server.send()).await?;
            times.extend(round.arrivals.iter().map(|at| ms(*at - start)));
        }
        let now = burdened.memory()?;
        if now.resident > peak.resident {
            peak = now;
        }
    }
    let got = figure(stuck.messages()) / figure(count as u64) - 1.0;
    assert!(
        got < f64::from(changes) / 2.0,
        "nobody was stuck: each got {got} frames"
    );
    let still_there = stuck.connected();
    for server in [free, burdened] {
        server.stop().await?;
    }

    let growth = figure(peak.resident.saturating_sub(before.resident)) / 1024.0;
    let allowed = figure(3 * FRAME_BYTES as u64) / 1024.0 + 16.0 * figure(count as u64);
    let what = format!("{count} of {} clients stuck, {changes} x 600 KB", 2 * count);
    Ok(vec![
        Line::new(format!("{what}: resident memory grows by"), "KiB", growth)
            .at_most(allowed.round()),
        Line::new(
            format!("{what}: the others have it, p99"),
            "ms",
            percentile(&with, 99.0),
        )
        .beside(percentile(&without, 99.0))
        .at_most_times(1.2),
        Line::new(
            format!("{what}: the others have it, p50"),
            "ms",
            percentile(&with, 50.0),
        )
        .beside(percentile(&without, 50.0)),
        Line::new(
            format!("{what}: stuck ones still connected"),
            "",
            figure(still_there as u64),
        ),
    ])
}
