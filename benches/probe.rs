//! A client that keeps what it gets, for the rows that ask what a frame says.

use std::{net::SocketAddr, time::Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use crate::{
    Result,
    websocket::{Found, Handshake, PONG, Reader},
};

/// A message and when all of it was here.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    /// As on the wire, with the header, not inflated.
    pub(crate) frame: Bytes,
}

impl Arrival {
    /// The payload as JSON.
    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        let header = match self.frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        Ok(serde_json::from_slice(&self.frame[header..])?)
    }
}

/// Messages in order.
pub(crate) struct Probe(mpsc::Receiver<Arrival>);

impl Probe {
    /// Opens a socket.
    pub(crate) async fn open(server: SocketAddr, handshake: &Handshake) -> Result<Self> {
        let (mut stream, unread) = handshake.open(server).await?;
        let (sender, arrivals) = mpsc::channel(64);
        tokio::spawn(async move {
            let mut buffer = BytesMut::from(unread.as_slice());
            let (mut reader, mut seen) = (Reader::new(), 0);
            loop {
                let mut rest = &buffer[seen..];
                let found = reader.take(&mut rest);
                seen = buffer.len() - rest.len();
                match found {
                    Some(Found::Message { .. }) => {
                        let arrival = Arrival {
                            at: Instant::now(),
                            frame: buffer.split_to(seen).freeze(),
                        };
                        if sender.send(arrival).await.is_err() {
                            return;
                        }
                    }
                    Some(Found::Close) => return,
                    Some(other) => {
                        buffer.advance(seen);
                        if other == Found::Ping && stream.write_all(&PONG).await.is_err() {
                            return;
                        }
                    }
                    None => {
                        buffer.reserve(64 * 1024);
                        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
                            return;
                        }
                        continue;
                    }
                }
                seen = 0;
            }
        });
        Ok(Self(arrivals))
    }

    /// Waits for the next message. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Arrival> {
        Ok(self.0.recv().await.ok_or("the server closed a socket")?)
    }
}
