//! A bare LISTEN connection: the floor of everything that begins with a commit.

use std::{future::poll_fn, time::Instant};

use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, NoTls};

use crate::{Result, cluster::Database};

/// A notification and when it was here.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) channel: String,
}

/// Notifications of some channels, in order.
pub(crate) struct Listener {
    arrivals: mpsc::Receiver<Arrival>,
    /// The connection ends with it.
    client: tokio_postgres::Client,
}

impl Listener {
    /// Listens on `channels` of a database.
    pub(crate) async fn open(database: &Database, channels: &[&str]) -> Result<Self> {
        let (client, mut connection) = tokio_postgres::connect(database.url(), NoTls).await?;
        let (sender, arrivals) = mpsc::channel(1024);
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                let at = Instant::now();
                if let AsyncMessage::Notification(notification) = message {
                    let channel = notification.channel().to_owned();
                    if sender.send(Arrival { at, channel }).await.is_err() {
                        return;
                    }
                }
            }
        });
        for channel in channels {
            client.batch_execute(&format!("listen {channel}")).await?;
        }
        Ok(Self { arrivals, client })
    }

    /// Waits for the next notification. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Arrival> {
        Ok(self
            .arrivals
            .recv()
            .await
            .ok_or("the LISTEN connection ended")?)
    }

    /// What has arrived and was not taken, by channel. Whatever was committed before is among it:
    /// a notification to itself is waited for, and they come in the order of their commits.
    pub(crate) async fn drain(&mut self) -> Result<Vec<String>> {
        const MARK: &str = "bench_mark";
        self.client
            .batch_execute(&format!("listen {MARK}; notify {MARK}"))
            .await?;
        let mut channels = Vec::new();
        loop {
            match self.next().await?.channel {
                channel if channel == MARK => return Ok(channels),
                channel => channels.push(channel),
            }
        }
    }
}
