//! Clients that stop reading: what they cost in memory, and what they cost those who go on. A second
//! server without stuck clients gets the same changes in turns. All is watched from the moment when
//! they stop.

use crate::{
    Options, Result,
    crowd::Crowd,
    memory,
    report::Line,
    servers::{Server, role},
    stats::{figure, ms, percentile},
    websocket::Handshake,
};

const FRAME_BYTES: usize = 600_000;

/// The two servers and their clients.
struct Sides {
    free: Server,
    alone: Crowd,
    burdened: Server,
    others: Crowd,
    /// Of the others, in milliseconds: with stuck clients beside them, and without.
    with: Vec<f64>,
    without: Vec<f64>,
    peak: u64,
}

pub(crate) async fn measure(options: Options) -> Result<Vec<Line>> {
    let count = options.pick(500, 30);
    let changes = options.pick(100, 5);
    let free = Server::role(role::TRANSPORT).await?;
    let burdened = Server::role(role::TRANSPORT).await?;
    let handshake = || Handshake::to("/ws/read_source/");
    let stuck = Crowd::sockets(burdened.address, handshake(), count).await?;
    let mut sides = Sides {
        alone: Crowd::sockets(free.address, handshake(), count).await?,
        others: Crowd::sockets(burdened.address, handshake(), count).await?,
        free,
        burdened,
        with: Vec::new(),
        without: Vec::new(),
        peak: 0,
    };

    // One change that everybody takes, so that what is needed once is there.
    sides.change(0).await?;
    stuck.greeted().await?;
    stuck.stop_reading();
    let before = sides.burdened.memory()?.resident;
    (sides.peak, sides.with, sides.without) = (before, Vec::new(), Vec::new());
    for number in 0..changes {
        sides.change(number).await?;
    }
    let held = memory::queued(sides.burdened.address.port())?;
    let got = stuck.messages();
    assert_eq!(got, count as u64, "some were not stuck");
    let connected = stuck.connected();
    let Sides {
        free,
        burdened,
        with,
        without,
        peak,
        ..
    } = sides;
    for server in [free, burdened] {
        server.stop().await?;
    }

    let growth = figure(peak.saturating_sub(before)) / 1024.0;
    let allowed = figure(3 * FRAME_BYTES as u64) / 1024.0 + 16.0 * figure(count as u64);
    let what = format!("{count} of {} stuck, {changes} x 600 KB", 2 * count);
    let others = |percent| percentile(&with, percent);
    Ok(vec![
        Line::new(format!("{what}: resident memory grows by"), "KiB", growth)
            .at_most(allowed.round()),
        Line::new(
            format!("{what}: the others have it, p99"),
            "ms",
            others(99.0),
        )
        .beside(percentile(&without, 99.0))
        .at_most_times(1.2),
        Line::new(
            format!("{what}: the others have it, p50"),
            "ms",
            others(50.0),
        )
        .beside(percentile(&without, 50.0)),
        Line::new(
            format!("{what}: the kernel holds for each"),
            "KiB",
            figure(held) / 1024.0 / figure(count as u64),
        ),
        Line::new(
            format!("{what}: stuck ones still connected"),
            "",
            figure(connected as u64),
        ),
    ])
}

impl Sides {
    /// One change on both servers, in turns the first.
    async fn change(&mut self, number: usize) -> Result<()> {
        let loaded = self.free.load(FRAME_BYTES).await?;
        self.burdened.load(FRAME_BYTES).await?;
        for burdened in [number.is_multiple_of(2), !number.is_multiple_of(2)] {
            let (server, crowd, times) = if burdened {
                (&mut self.burdened, &self.others, &mut self.with)
            } else {
                (&mut self.free, &self.alone, &mut self.without)
            };
            let (start, round) = crowd.round(server.send()).await?;
            assert_eq!(round.wire, loaded, "clients got another frame");
            times.extend(round.arrivals.iter().map(|at| ms(*at - start)));
        }
        self.peak = self.peak.max(self.burdened.memory()?.resident);
        Ok(())
    }
}
