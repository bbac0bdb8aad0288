//! `marketplace healthcheck`: for containers, which have no other program to ask `/readyz` with.

use std::{
    io,
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
/// How much of an answer is read, in bytes, and how much of another program's is shown.
const LONGEST: u64 = 64 * 1024;
const SHOWN: usize = 60;
const QUESTION: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Asks, and prints the answer.
///
/// # Errors
/// [`Error::Start`] when the server is not ready, does not say so in time, or is not of this program.
pub async fn run(server: &Healthcheck) -> Result<()> {
    let address = here(server.bind);
    let answer = match time::timeout(PATIENCE, ask(address)).await {
        Err(_) => Err(format!(
            "{address} (BIND) did not answer within {} s",
            PATIENCE.as_secs()
        )),
        Ok(Err(error)) => Err(format!("no server answers at {address} (BIND): {error}")),
        Ok(Ok(answer)) => Ok(answer),
    };
    let answer = answer.map_err(Error::Start)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if !is_of_ours(&answer) {
        let said = head.lines().next().unwrap_or_default();
        let said: String = said.chars().take(SHOWN).collect();
        return Err(Error::Start(format!(
            "{address} (BIND) is not a marketplace server: it answers {said:?}"
        )));
    }
    if head.starts_with("HTTP/1.1 200 ") {
        say(body)
    } else {
        Err(Error::Start(format!(
            "the server at {address} is not ready: {body}"
        )))
    }
}

/// Whether a server of this program answers at an address, ready or not.
pub(super) async fn is_ours(address: SocketAddr) -> bool {
    let answer = time::timeout(PATIENCE, ask(here(address))).await;
    matches!(answer, Ok(Ok(answer)) if is_of_ours(&answer))
}

/// Whether an answer of `/readyz` is one of this program.
fn is_of_ours(answer: &str) -> bool {
    answer.contains(r#"{"status":""#)
}

async fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(QUESTION).await?;
    let mut bytes = Vec::new();
    stream.take(LONGEST).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
