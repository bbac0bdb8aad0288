//! `marketplace healthcheck`: for containers, which have no other program to ask `/readyz` with.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

use super::say;
use crate::{
    config::Healthcheck,
    error::{Error, Result},
};

const PATIENCE: Duration = Duration::from_secs(5);
const QUESTION: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Asks, and prints the answer.
///
/// # Errors
/// [`Error::Start`] when the server is not ready, or does not say so in time.
pub async fn run(server: &Healthcheck) -> Result<()> {
    let answer = time::timeout(PATIENCE, ask(here(server.bind))).await;
    let answer = answer.map_err(|_| Error::Start("the server did not answer in time".into()))??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.starts_with("HTTP/1.1 200 ") {
        say(body)
    } else {
        Err(Error::Start(format!("not ready: {body}")))
    }
}

/// Whether a server of this program answers at an address, ready or not.
pub(super) async fn is_ours(address: SocketAddr) -> bool {
    let answer = time::timeout(PATIENCE, ask(here(address))).await;
    matches!(answer, Ok(Ok(answer)) if answer.contains(r#"{"status":""#))
}

async fn ask(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(QUESTION).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Where a server is reached from its own machine that serves at all of its addresses.
fn here(mut bind: SocketAddr) -> SocketAddr {
    match bind.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => bind.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => bind.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    bind
}
