//! A connection on loan from the pool. What comes back is fit for the next who asks: a connection
//! that is still busy, because whoever used it gave up waiting, has its statement cancelled and is
//! closed. It knows no statements.

use std::{
    ops::{Deref, DerefMut},
    time::{Duration, Instant},
};

use deadpool_postgres::{ClientWrapper, Hook, HookError, Metrics, Object};
use tokio::time;
use tokio_postgres::{CancelToken, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{client, primary::Primary};

/// A connection that was lent for less than this has hardly been left busy.
const LONG: Duration = Duration::from_millis(250);
/// A connection that nobody has asked for so long is looked at before it is lent.
const IDLE: Duration = Duration::from_secs(1);
/// An idle connection that needs longer for an answer is dead or busy.
const ANSWER: Duration = Duration::from_millis(300);
/// Longest wait for a statement to be cancelled.
const CANCEL: Duration = Duration::from_secs(5);

/// A connection, given back when it is dropped.
pub struct PooledClient {
    connection: Option<client::Client>,
    lent: Instant,
    tls: MakeRustlsConnect,
}

impl PooledClient {
    pub(super) fn new(connection: Object, primary: &Primary) -> Self {
        Self {
            connection: Some(client::Client::lent(connection, primary)),
            lent: Instant::now(),
            tls: primary.tls(),
        }
    }
}

impl Deref for PooledClient {
    type Target = client::Client;

    fn deref(&self) -> &Self::Target {
        self.connection
            .as_ref()
            .expect("it is there until the drop")
    }
}

impl DerefMut for PooledClient {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.connection
            .as_mut()
            .expect("it is there until the drop")
    }
}

impl Drop for PooledClient {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take().and_then(client::Client::into_lent) else {
            return;
        };
        // Whether its last statement was answered is known to the connection alone, so it is asked.
        if self.lent.elapsed() >= LONG
            && !connection.is_closed()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(give_back(connection, self.tls.clone()));
        }
    }
}

async fn give_back(connection: Object, tls: MakeRustlsConnect) {
    if time::timeout(ANSWER, connection.simple_query(""))
        .await
        .is_err()
    {
        let token = connection.cancel_token();
        drop(Object::take(connection));
        cancel(token, tls).await;
    }
}

async fn cancel(token: CancelToken, tls: MakeRustlsConnect) {
    match time::timeout(CANCEL, token.cancel_query(tls)).await {
        Ok(Ok(())) => tracing::debug!("an abandoned statement was cancelled"),
        Ok(Err(error)) => tracing::debug!(%error, "an abandoned statement could not be cancelled"),
        Err(_) => tracing::debug!("an abandoned statement could not be cancelled in time"),
    }
}

/// Looks at a connection before it is lent again: is it alive, and does it still lead to a primary?
pub(super) fn look_at(primary: &Primary) -> Hook {
    let primary = primary.clone();
    Hook::async_fn(move |connection, metrics| {
        let primary = primary.clone();
        Box::pin(async move {
            fit(connection, metrics, &primary)
                .await
                .map_err(HookError::message)
        })
    })
}

async fn fit(
    connection: &ClientWrapper,
    metrics: &Metrics,
    primary: &Primary,
) -> Result<(), &'static str> {
    let known = &primary.dsn().known;
    if !known.trusts(metrics.created) {
        return Err("it is older than what is known to be gone");
    }
    if metrics.last_used() < IDLE || connection.is_closed() {
        // What is closed is found out next, and others may be well.
        return Ok(());
    }
    let asked = connection.simple_query("select pg_catalog.pg_is_in_recovery() as is_standby");
    match time::timeout(ANSWER, asked).await {
        Ok(Ok(rows)) if is_true(&rows) => {
            known.distrust_older();
            Err("it leads to a standby")
        }
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err("it broke"),
        Err(_) => {
            known.distrust_older();
            tokio::spawn(cancel(connection.cancel_token(), primary.tls()));
            Err("it does not answer")
        }
    }
}

fn is_true(rows: &[SimpleQueryMessage]) -> bool {
    let is_true = |row: &SimpleQueryRow| matches!(row.try_get("is_standby"), Ok(Some("t")));
    rows.iter()
        .any(|row| matches!(row, SimpleQueryMessage::Row(row) if is_true(row)))
}
