//! The heartbeat: a notification that is sent the way writes go, through the pool, and must be heard
//! by the listener. Only that proves delivery: a connection may be up and deaf, behind a pooler or
//! half-open, and a notification to oneself would still come back. It reads no table.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{self, Instant},
};
use uuid::Uuid;

use super::listener::{HEARTBEAT_DEADLINE, HEARTBEAT_EVERY, Status};
use crate::{
    db::notifications,
    error::Result,
    outage::Outage,
    pg::{self, Pool},
};

/// Before another attempt to send what could not be sent.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Beats for ever, on the channel that the listener names. `deaf` is told the channel on which a
/// beat that was sent has not been heard.
pub async fn run(pool: Pool, mut listener: watch::Receiver<Status>, deaf: watch::Sender<String>) {
    let mut outage = Outage::beside_the_pool();
    loop {
        let channel = match listener.wait_for(|status| status.channel.is_some()).await {
            Ok(status) => status.channel.clone().unwrap_or_default(),
            // There is no listener any more.
            Err(_) => return,
        };
        let started = Instant::now();
        let pause = match beat(&pool, &channel).await {
            Ok(nonce) => {
                if let Some(after) = outage.over() {
                    tracing::info!(after, "heartbeats are sent again");
                }
                let answered = |status: &Status| {
                    status.heard == Some(nonce) || status.channel.as_ref() != Some(&channel)
                };
                let answer = listener.wait_for(answered);
                if time::timeout(HEARTBEAT_DEADLINE, answer).await.is_err() {
                    deaf.send_replace(channel.clone());
                }
                HEARTBEAT_EVERY
            }
            Err(error) => {
                if !pool.is_out()
                    && let Some(lasting) = outage.failed()
                {
                    tracing::warn!(%error, lasting, "heartbeats cannot be sent; trying again");
                }
                RETRY_AFTER
            }
        };
        // A new connection is not believed before it has heard something.
        let replaced = listener.wait_for(|status| status.channel.as_ref() != Some(&channel));
        let _ = time::timeout_at(started + pause, replaced).await;
    }
}

async fn beat(pool: &Pool, channel: &str) -> Result<Uuid> {
    let nonce = Uuid::new_v4();
    let send = async { notifications::send(&*pool.client().await?, channel, nonce).await };
    pg::in_time(send).await.map(|()| nonce)
}
