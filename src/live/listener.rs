//! The single LISTEN connection: connect, listen, raise, prove delivery, reconnect. It never reads
//! a table, never opens a transaction, and knows neither the pool nor a group nor HTTP.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time};
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use super::{
    channel::{Channel, Payload},
    expected::Expected,
    signal::{Hint, Signal},
};
use crate::{
    backoff::Backoff,
    error::{Error, Result},
};

/// How often a heartbeat is sent through the database to ourselves.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(3);
/// A heartbeat that has not come back after this long means that nothing else would either.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(4);
/// Connecting and listening may take this long in all, over every host of the list.
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);
/// Between attempts to connect.
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// The signals of all views, and which channel raises which.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each is the signal of the view of that name")]
pub struct Signals {
    pub list: Arc<Signal>,
    pub filter: Arc<Signal>,
    pub library: Arc<Signal>,
    pub toggles: Arc<Signal>,
    pub changes: Arc<Signal>,
    pub runs: Arc<Signal>,
    pub sessions: Arc<Signal>,
    pub users: Arc<Signal>,
    pub expected: Arc<Expected>,
}

impl Signals {
    fn of(&self, channel: Channel) -> Vec<&Signal> {
        match channel {
            Channel::Crud => vec![&self.changes],
            Channel::Lib => vec![&self.library],
            Channel::Source => vec![&self.list, &self.filter],
            Channel::Toggle => vec![&self.toggles],
            Channel::SourceLib => vec![&self.list, &self.filter, &self.library],
            Channel::Emr => vec![&self.runs],
            Channel::Session => vec![&self.sessions],
            Channel::Account => vec![&self.users],
        }
    }

    /// Tells every view to read everything again.
    pub fn everything(&self) {
        for channel in Channel::ALL {
            for signal in self.of(channel) {
                signal.raise(Hint::everything());
            }
        }
    }

    fn notified(&self, channel: Channel, payload: &str) {
        let hint = Hint::from(Payload::parse(payload));
        for signal in self.of(channel) {
            signal.raise(hint.clone());
        }
        // A statement's last notification: the views have been told of the others.
        if channel == Channel::Crud {
            self.expected.arrived(&hint);
        }
    }
}

/// How the listener is.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// When the last heartbeat came back; `None` while not listening.
    pub heartbeat: Option<Instant>,
    /// How often it has connected.
    pub connections: u64,
    /// Why it is not listening.
    pub trouble: Option<String>,
}

impl Status {
    /// Whether notifications are known to arrive; otherwise why not.
    ///
    /// # Errors
    /// One sentence for an operator.
    pub fn check(&self) -> Result<(), String> {
        match self.heartbeat {
            Some(beat) if beat.elapsed() < HEARTBEAT_EVERY + HEARTBEAT_DEADLINE => Ok(()),
            Some(_) => Err("the listener's heartbeat is late".into()),
            None => Err(match &self.trouble {
                Some(why) => format!("the listener is not connected: {why}"),
                None => "the listener is not connected yet".into(),
            }),
        }
    }
}

/// Listens for ever. After every successful LISTEN every view reads everything again, because what
/// was sent while no one listened is gone. Stops when it is dropped.
pub async fn run<F>(connect: impl Fn() -> F, signals: Signals, status: watch::Sender<Status>)
where
    F: Future<Output = Result<(Client, Wire)>>,
{
    let mut retry = RETRY;
    loop {
        let error = match listen(connect(), &signals, &status).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        let was_listening = status.borrow().heartbeat.is_some();
        if was_listening {
            retry.reset();
        }
        tracing::warn!(%error, "not listening; connecting again");
        status.send_modify(|status| {
            status.heartbeat = None;
            status.trouble = Some(error.to_string());
        });
        retry.pause().await;
    }
}

type Wire =
    Connection<Socket, <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream>;

/// One connection's life; returns only with what ended it.
async fn listen(
    connect: impl Future<Output = Result<(Client, Wire)>>,
    signals: &Signals,
    status: &watch::Sender<Status>,
) -> Result<std::convert::Infallible> {
    let late = |_| Error::Unavailable("no connection in time".into());
    let (client, mut connection) = time::timeout(CONNECT_DEADLINE, connect)
        .await
        .map_err(late)??;
    let heartbeat = format!("heartbeat_{}", Uuid::new_v4().simple());
    let mut beats = Beats::new(heartbeat.clone());

    let mut statements: String = Channel::ALL
        .map(|channel| format!("listen {};", channel.name()))
        .concat();
    statements.extend(["listen ", &heartbeat]);
    let listening = client.batch_execute(&statements);
    time::timeout(
        CONNECT_DEADLINE,
        beside(&mut connection, listening, signals, &mut beats),
    )
    .await
    .map_err(late)???;
    // Only now: a view that read before the LISTEN was committed could miss a change for ever.
    signals.everything();

    loop {
        let nonce = Uuid::new_v4().to_string();
        let statement = format!("notify {heartbeat}, '{nonce}'");
        let sent = Instant::now();
        let round_trip = async {
            beats.expect(&nonce);
            beside(
                &mut connection,
                client.batch_execute(&statement),
                signals,
                &mut beats,
            )
            .await??;
            while !beats.arrived {
                message(&mut connection, signals, &mut beats).await?;
            }
            Ok::<_, Error>(())
        };
        time::timeout(HEARTBEAT_DEADLINE, round_trip)
            .await
            .map_err(|_| {
                Error::Unavailable("a notification to ourselves did not arrive".into())
            })??;
        status.send_modify(|status| {
            status.connections += u64::from(status.heartbeat.is_none());
            status.heartbeat = Some(Instant::now());
            status.trouble = None;
        });
        let next = time::sleep_until((sent + HEARTBEAT_EVERY).into());
        beside(&mut connection, next, signals, &mut beats).await?;
    }
}

/// The heartbeat on its own channel, which no other node listens on.
struct Beats {
    channel: String,
    nonce: String,
    arrived: bool,
}

impl Beats {
    fn new(channel: String) -> Self {
        Self {
            channel,
            nonce: String::new(),
            arrived: false,
        }
    }

    fn expect(&mut self, nonce: &str) {
        nonce.clone_into(&mut self.nonce);
        self.arrived = false;
    }
}

/// Runs `work` while the connection's messages are followed.
async fn beside<F: Future>(
    connection: &mut Wire,
    work: F,
    signals: &Signals,
    beats: &mut Beats,
) -> Result<F::Output> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            output = &mut work => return Ok(output),
            followed = message(connection, signals, beats) => followed?,
        }
    }
}

/// Follows one message. Cancel-safe: nothing is taken before it is whole.
async fn message(connection: &mut Wire, signals: &Signals, beats: &mut Beats) -> Result<()> {
    match poll_fn(|cx| connection.poll_message(cx)).await {
        Some(Ok(AsyncMessage::Notification(notification))) => {
            if let Some(channel) = Channel::named(notification.channel()) {
                signals.notified(channel, notification.payload());
            } else if notification.channel() == beats.channel {
                beats.arrived |= notification.payload() == beats.nonce;
            }
            Ok(())
        }
        Some(Ok(_)) => Ok(()),
        // Both are final: the connection answers nothing more.
        Some(Err(error)) => Err(error.into()),
        None => Err(Error::Unavailable("the connection was closed".into())),
    }
}
