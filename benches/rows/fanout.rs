//! One frame to many clients: from the command to publish it until the last client has all of it,
//! and the server's CPU time, beside raw TCP writes of the same bytes to as many clients.

use std::time::Duration;

use crate::{
    Options, Result,
    crowd::Crowd,
    report::Line,
    servers::{Server, role},
    stats::{median, ms},
    websocket::Handshake,
};

/// One server and its clients.
struct Side {
    server: Server,
    crowd: Crowd,
    times: Vec<f64>,
    cpu: Vec<f64>,
}

pub(crate) async fn measure(options: Options) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for clients in options.pick([1_000, 5_000], [50, 100]) {
        let floor = Server::role(role::FLOOR).await?;
        let transport = Server::role(role::TRANSPORT).await?;
        let handshake = Handshake::to("/ws/read_source/");
        let mut floor = Side::new(Crowd::raw(floor.address, clients).await?, floor);
        let mut product = Side::new(
            Crowd::sockets(transport.address, handshake, clients).await?,
            transport,
        );
        for (kilobytes, rounds) in [
            (2, 120),
            (60, 20),
            (600, if clients > 1_000 { 6 } else { 15 }),
        ] {
            for round in 0..=options.pick(rounds, 3) {
                // In turns, and in turns the first.
                let sides = if round % 2 == 0 {
                    [&mut floor, &mut product]
                } else {
                    [&mut product, &mut floor]
                };
                for side in sides {
                    let figures = side.round(kilobytes * 1_000).await?;
                    // The first of a size finds cold buffers.
                    if round > 0 {
                        side.times.push(ms(figures.0));
                        side.cpu.push(ms(figures.1));
                    }
                }
            }
            let ((time, cpu), (floor_time, floor_cpu)) = (product.take(), floor.take());
            let what = format!("{clients} clients x {kilobytes} KB");
            lines.push(
                Line::new(format!("{what}: all have it"), "ms", time)
                    .beside(floor_time)
                    .at_most_times(1.2),
            );
            lines.push(
                Line::new(format!("{what}: server CPU"), "ms", cpu)
                    .beside(floor_cpu)
                    .at_most_times(1.3),
            );
        }
        for side in [floor, product] {
            side.crowd.leave().await;
            side.server.stop().await?;
        }
    }
    Ok(lines)
}

impl Side {
    fn new(crowd: Crowd, server: Server) -> Self {
        Self {
            server,
            crowd,
            times: Vec::new(),
            cpu: Vec::new(),
        }
    }

    /// Sends once; gives the time until all had it and the server's CPU time.
    async fn round(&mut self, bytes: usize) -> Result<(Duration, Duration)> {
        let loaded = self.server.load(bytes).await?;
        let before = self.server.cpu().await?;
        let (start, round) = self.crowd.round(self.server.send()).await?;
        let used = self.server.cpu_since(before).await?;
        assert_eq!(round.wire, loaded, "clients got another frame");
        Ok((round.since(start), used))
    }

    /// The medians, and begins anew.
    fn take(&mut self) -> (f64, f64) {
        (
            median(&std::mem::take(&mut self.times)),
            median(&std::mem::take(&mut self.cpu)),
        )
    }
}
