//! The single LISTEN connection: connect, listen, raise, reconnect. That it hears is for the
//! heartbeat to prove. It never reads a table, never opens a transaction, sends nothing but LISTEN,
//! and knows neither the pool nor a group nor HTTP.

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    pin::pin,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time};
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use super::signals::Signals;
use crate::{
    backoff::Backoff,
    error::{Error, Result},
    outage::Outage,
};

/// How often a heartbeat is sent through the database.
pub(super) const HEARTBEAT_EVERY: Duration = Duration::from_secs(3);
/// A heartbeat that is not heard after this long means that nothing else would be either.
pub(super) const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(4);
/// Connecting and listening may take this long in all, over every host of the list.
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);
/// Between attempts to connect.
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// The same while connections are made on which nothing is ever heard: that is how it is behind a
/// transaction pooler, and will stay so.
const DEAF_RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// The same while the database refuses this program: somebody has to mend a setting.
const REFUSED_RETRY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(1));
/// What an operator is told of a connection on which nothing is heard.
const DEAF: &str = "what the database notifies does not reach the connection that listens: when \
    DATABASE_URL goes through a transaction pooler, set LISTEN_DATABASE_URL to a direct connection \
    to the same database";

/// How the listener is.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The channel on which it waits for heartbeats, its own and no other node's; `None` while not
    /// listening.
    pub channel: Option<String>,
    /// The last heartbeat that it heard on that channel.
    pub heard: Option<Uuid>,
    /// When that was; `None` while nothing has been heard on this connection.
    pub heartbeat: Option<Instant>,
    /// How often it has connected and heard something.
    pub connections: u64,
    /// Why it hears nothing.
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
                Some(why) => why.clone(),
                None => "the listener has not heard a heartbeat yet".into(),
            }),
        }
    }
}

impl Status {
    /// There is no connection.
    pub(super) fn lost(&mut self) {
        self.channel = None;
        self.heartbeat = None;
    }
}

/// Listens for ever. After every successful LISTEN every view reads everything again, because what
/// was sent while no one listened is gone. `deaf` names the channel of a connection on which a
/// heartbeat was not heard. Stops when it is dropped.
pub async fn run<F>(
    connect: impl Fn() -> F,
    signals: Signals,
    status: watch::Sender<Status>,
    mut deaf: watch::Receiver<String>,
) where
    F: Future<Output = Result<(Client, Wire)>>,
{
    let (mut retry, mut deaf_retry, mut refused_retry) = (RETRY, DEAF_RETRY, REFUSED_RETRY);
    let mut outage = Outage::default();
    loop {
        let Err(ended) = listen(connect(), &signals, &status, &mut deaf, &mut outage).await;
        let has_heard = status.borrow().heartbeat.is_some();
        if has_heard {
            retry.reset();
            deaf_retry.reset();
            refused_retry.reset();
        }
        let (trouble, pause) = match ended {
            Ended::Lost(error @ Error::Refused(_)) => (
                format!("the listener is not connected: {error}"),
                &mut refused_retry,
            ),
            Ended::Lost(error) => (
                format!("the listener is not connected: {error}"),
                &mut retry,
            ),
            Ended::Deaf if has_heard => (
                "the listener is not connected: a heartbeat was not heard".to_owned(),
                &mut retry,
            ),
            Ended::Deaf => (DEAF.to_owned(), &mut deaf_retry),
        };
        if let Some(lasting) = outage.failed() {
            tracing::warn!(%trouble, lasting, "not listening; connecting again");
        }
        status.send_modify(|status| {
            status.lost();
            status.trouble = Some(trouble);
        });
        pause.pause().await;
    }
}

/// Why a connection was given up.
enum Ended {
    /// It could not be made, or it broke.
    Lost(Error),
    /// It is up, but what is sent is not heard on it.
    Deaf,
}

impl<E: Into<Error>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Lost(error.into())
    }
}

/// One connection's life; returns only with what ended it.
async fn listen(
    connect: impl Future<Output = Result<(Client, Wire)>>,
    signals: &Signals,
    status: &watch::Sender<Status>,
    deaf: &mut watch::Receiver<String>,
    outage: &mut Outage,
) -> Result<Infallible, Ended> {
    let late = |_| Error::Unavailable("no connection in time".into());
    let (client, connection) = time::timeout(CONNECT_DEADLINE, connect)
        .await
        .map_err(late)??;
    let heartbeat = format!("heartbeat_{}", Uuid::new_v4().simple());
    let mut ear = Ear {
        connection,
        heartbeat: heartbeat.clone(),
        signals,
        status,
        outage,
    };

    let channels = signals.channels.iter().map(|channel| channel.name());
    let channels: Vec<_> = channels.chain([&*heartbeat]).collect();
    let statements = format!("listen {}", channels.join("; listen "));
    let listening = client.batch_execute(&statements);
    time::timeout(CONNECT_DEADLINE, ear.follow(listening))
        .await
        .map_err(late)???;
    // Only now: a view that read before the LISTEN was committed could miss a change for ever.
    signals.everything();
    status.send_modify(|status| status.channel = Some(heartbeat.clone()));

    let is_deaf = deaf.wait_for(|channel| *channel == heartbeat);
    // Without the heartbeat nobody says so; then the connection is believed while it lasts.
    let is_deaf = async {
        if is_deaf.await.is_err() {
            pending::<()>().await;
        }
    };
    ear.follow(is_deaf).await?;
    Err(Ended::Deaf)
}

type Wire =
    Connection<Socket, <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream>;

/// A connection and what becomes of what is heard on it.
struct Ear<'a> {
    connection: Wire,
    heartbeat: String,
    signals: &'a Signals,
    status: &'a watch::Sender<Status>,
    outage: &'a mut Outage,
}

impl Ear<'_> {
    /// Follows the connection's messages until `work` is done.
    async fn follow<F: Future>(&mut self, work: F) -> Result<F::Output> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                output = &mut work => return Ok(output),
                followed = self.message() => followed?,
            }
        }
    }

    /// Follows one message. Cancel-safe: nothing is taken before it is whole.
    async fn message(&mut self) -> Result<()> {
        match poll_fn(|cx| self.connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => {
                let (channel, payload) = (notification.channel(), notification.payload());
                if channel == self.heartbeat {
                    self.heard(payload);
                } else {
                    self.signals.notified(channel, payload);
                }
                Ok(())
            }
            Some(Ok(_)) => Ok(()),
            // Both are final: the connection answers nothing more.
            Some(Err(error)) => Err(error.into()),
            None => Err(Error::Unavailable("the connection was closed".into())),
        }
    }

    fn heard(&mut self, nonce: &str) {
        if let Some(after) = self.outage.over() {
            tracing::info!(after, "listening again");
        }
        self.status.send_modify(|status| {
            status.connections += u64::from(status.heartbeat.is_none());
            status.heard = nonce.parse().ok();
            status.heartbeat = Some(Instant::now());
            status.trouble = None;
        });
    }
}
