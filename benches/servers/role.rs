//! What the server roles of this program share: their names and the commands on their input.

use std::io::{BufRead, Write};

use marketplace::ws::{Frame, deflate};

use crate::{Result, payload};

pub(crate) const FLOOR: &str = "role-floor";
pub(crate) const TRANSPORT: &str = "role-transport";

/// The runtime that the product uses, too.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

/// Tells the parent where this server is.
pub(crate) fn announce(listener: &tokio::net::TcpListener) -> Result<()> {
    println!("listening on http://{}", listener.local_addr()?);
    Ok(std::io::stdout().flush()?)
}

/// Follows the parent's commands until it is gone: `load BYTES`, `send`, `deflate and send`. Each
/// loaded frame has the next version. Ends the process.
pub(crate) fn obey(mut publish: impl FnMut(u64, Frame) + Send + 'static) {
    std::thread::spawn(move || {
        let mut counter = 0;
        let mut loaded = None;
        for line in std::io::stdin()
            .lock()
            .lines()
            .map_while(std::result::Result::ok)
        {
            if let Some(bytes) = line.strip_prefix("load ") {
                counter += 1;
                let frame =
                    payload::list(bytes.parse().expect("the parent sends numbers"), counter);
                println!("loaded {}", frame.wire(None).len());
                loaded = Some(frame);
                continue;
            }
            let frame = loaded.take().expect("the parent loads first");
            if line == "deflate and send" {
                frame.compress(deflate::Params::default());
            }
            publish(counter, frame);
        }
        std::process::exit(0);
    });
}
