//! What the triggers announce, printed as it happens: for a DBA at a terminal. It reads no row.

use std::{future::poll_fn, pin::pin, time::Duration};

use jiff::Timestamp;
use serde_json::json;
use tokio_postgres::{AsyncMessage, Notification};

use super::target;
use crate::{
    backoff::Backoff,
    config::Tail,
    error::{Error, Result},
    live::{self, channel::Payload},
    outage::Outage,
    output,
    pg::{
        dsn::Dsn,
        primary::{Primary, Wire},
    },
};

/// Between attempts to connect again.
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// How many ids a person is shown.
const SHOWN: usize = 3;

/// Prints announcements until it is interrupted, or until nobody reads them any more.
///
/// # Errors
/// [`Error::Config`] when no database is named, [`Error::Start`] when the private cluster cannot be used, and
/// [`Error::Unavailable`] when the first connection fails.
pub async fn run(command: Tail) -> Result<()> {
    let Tail {
        target,
        listen,
        json,
    } = command;
    target::visit(&target, async |url: &Dsn| {
        let listen = listen.url();
        tokio::select! {
            ended = follow(listen.as_ref().unwrap_or(url), json) => ended,
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        }
    })
    .await
}

/// Prints one line an announcement, until nobody reads them. A connection that breaks is made anew,
/// with a line in the log: what was announced meanwhile is not known.
async fn follow(dsn: &Dsn, json: bool) -> Result<()> {
    let primary = Primary::new(&dsn.clone().named("marketplace tail").read_write())?;
    let mut retry = RETRY;
    let mut was_connected = false;
    let mut outage = Outage::default();
    loop {
        match listen(&primary, json, &mut was_connected, &mut outage).await {
            Ok(()) => return Ok(()),
            Err(error) if !was_connected => return Err(error),
            Err(error) => {
                if let Some(lasting) = outage.failed() {
                    tracing::warn!(%error, lasting, "not listening; connecting again");
                }
            }
        }
        retry.pause().await;
    }
}

/// Ends well when nobody reads any more.
async fn listen(
    primary: &Primary,
    json: bool,
    was_connected: &mut bool,
    outage: &mut Outage,
) -> Result<()> {
    let (client, mut wire) = primary.connect().await?;
    // Without our tables nothing would ever be announced: then the last statement fails.
    let mut statements: Vec<_> = live::channels()
        .iter()
        .map(|channel| format!("listen {}", channel.name()))
        .collect();
    statements.push("select 'public.sources'::regclass".into());
    let statements = statements.join("; ");
    {
        let mut listening = pin!(client.batch_execute(&statements));
        loop {
            tokio::select! {
                done = &mut listening => break done?,
                printed = next(&mut wire, json) => if !printed? { return Ok(()) },
            }
        }
    }
    if let Some(after) = outage.over() {
        tracing::info!(after, "listening again");
    } else {
        tracing::info!("listening");
    }
    *was_connected = true;
    while next(&mut wire, json).await? {}
    Ok(())
}

/// Prints the next message, if it is an announcement; false when nobody reads.
async fn next(wire: &mut Wire, json: bool) -> Result<bool> {
    match poll_fn(|cx| wire.poll_message(cx)).await {
        Some(Ok(AsyncMessage::Notification(notification))) => {
            output::line(&line(&notification, json, Timestamp::now()))
        }
        Some(Ok(_)) => Ok(true),
        Some(Err(error)) => Err(error.into()),
        None => Err(Error::Unavailable("the connection was closed".into())),
    }
}

fn line(notification: &Notification, json: bool, now: Timestamp) -> String {
    let (channel, text) = (notification.channel(), notification.payload());
    let payload = serde_json::from_str::<Payload>(text).ok();
    if json {
        return match payload {
            Some(Payload { op, ids }) => {
                json!({ "at": now, "channel": channel, "op": op, "ids": ids })
            }
            None => json!({ "at": now, "channel": channel, "payload": text }),
        }
        .to_string();
    }
    let what = match payload {
        // Anybody may notify anything: a terminal is not to obey it.
        None => format!("{text:?}, which no trigger sends"),
        Some(Payload { op, ids }) => {
            let op = json!(op);
            let op = op.as_str().unwrap_or_default();
            match ids {
                None => format!("{op} of many rows"),
                Some(ids) => {
                    let shown: Vec<String> =
                        ids.iter().take(SHOWN).map(ToString::to_string).collect();
                    let more = match ids.len().saturating_sub(SHOWN) {
                        0 => String::new(),
                        more => format!(" and {more} more"),
                    };
                    format!("{op} {}{more}", shown.join(" "))
                }
            }
        }
    };
    format!("{now:.3} {channel:10} {what}")
}
