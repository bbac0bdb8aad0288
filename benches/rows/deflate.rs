//! permessage-deflate, compressed once for all: bytes on the wire, CPU time and time to the last
//! client, beside the same server whose clients do not ask for it.

use crate::{
    Options, Result,
    crowd::Crowd,
    report::Line,
    servers::{Server, role},
    stats::{figure, median, ms},
    websocket::Handshake,
};

const FRAME_BYTES: usize = 600_000;

pub(crate) async fn measure(options: Options) -> Result<Vec<Line>> {
    let clients = options.pick(1_000, 50);
    let mut servers = [
        Server::role(role::TRANSPORT).await?,
        Server::role(role::TRANSPORT).await?,
    ];
    let plain = Handshake::to("/ws/read_source/");
    let deflate = Handshake {
        deflate: true,
        ..plain.clone()
    };
    let crowds = [
        Crowd::sockets(servers[0].address, deflate, clients).await?,
        Crowd::sockets(servers[1].address, plain, clients).await?,
    ];
    let (mut bytes, mut times, mut cpus) =
        ([0; 2], [const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for round in 0..=options.pick(15, 2) {
        for side in 0..2 {
            let server = &mut servers[side];
            let plain_bytes = server.load(FRAME_BYTES).await?;
            let before = server.cpu().await?;
            let (start, got) = if side == 0 {
                crowds[side].round(server.deflate_and_send()).await?
            } else {
                crowds[side].round(server.send()).await?
            };
            let cpu = server.cpu_since(before).await?;
            bytes[side] = got.wire;
            assert_eq!(
                got.wire < plain_bytes,
                side == 0,
                "compressed if, and only if, asked for"
            );
            if round > 0 {
                times[side].push(ms(got.since(start)));
                cpus[side].push(ms(cpu));
            }
        }
    }
    for server in servers {
        server.stop().await?;
    }
    let what = format!("{clients} clients x 600 KB, deflate beside none");
    let each = |[with, without]: [f64; 2], figure, unit| {
        Line::new(format!("{what}: {figure}"), unit, with).beside(without)
    };
    Ok(vec![
        each(bytes.map(figure), "bytes on the wire for each", "bytes"),
        each(
            cpus.map(|cpus| median(&cpus)),
            "server CPU, with the compression",
            "ms",
        ),
        each(
            times.map(|times| median(&times)),
            "all have it, with the compression",
            "ms",
        ),
    ])
}
