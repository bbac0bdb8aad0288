//! The floor: raw TCP, and nothing between the shared memory and the connection. One task a
//! connection waits for the newest buffer and writes it; what a client sends is not read.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use marketplace::server;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::watch};

use super::role;
use crate::Result;

pub(crate) fn main() -> Result<()> {
    role::runtime()?.block_on(async {
        let listener = server::adopt(&server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?)?;
        let (newest, oldest) = watch::channel(Bytes::new());
        role::announce(&listener)?;
        role::obey(move |_, frame| drop(newest.send_replace(frame.wire(None))));
        loop {
            let (stream, _) = listener.accept().await?;
            // Whoever is accepted late finds the newest buffer unread, as in the product.
            tokio::spawn(write(stream, oldest.clone()));
        }
    })
}

async fn write(mut stream: TcpStream, mut newest: watch::Receiver<Bytes>) {
    while newest.changed().await.is_ok() {
        let bytes = newest.borrow_and_update().clone();
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
