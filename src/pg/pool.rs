//! The pool of connections for short reads and writes. The listener has a connection of its own.
//!
//! Every statement is sent unnamed (`query_typed`): one round trip, no prepared state on the
//! server's side, and so fit for a transaction pooler in front of it.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use deadpool_postgres::{
    Connect, Manager, ManagerConfig, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use tokio::{task::JoinHandle, time};

use super::{
    dsn::Dsn,
    pooled::{self, PooledClient},
    primary::{Failures, Primary},
};
use crate::{
    backoff::Backoff,
    error::{Error, Result},
};

/// Longest wait for a lock. Twice that, for it is tried twice, is less than `ANSWER_TIMEOUT`: PostgreSQL
/// gives up by itself, and what was asked for does not happen later. It is also less than the second
/// (`deadlock_timeout`) after which a session that waits looks for a deadlock. So our statement gives way in
/// a deadlock, unless the other session began to wait some time before ours: it may look first, and then
/// PostgreSQL ends that session's transaction.
const LOCK_TIMEOUT: Duration = Duration::from_millis(850);
/// Longest wait for a connection before a request is told that the database is not available.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a database that had no space left is thought to be so.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Between looks for a connection in a pool that cannot have another one.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Connections to PostgreSQL for short reads and writes; the listener has its own.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: deadpool_postgres::Pool,
    primary: Primary,
    refusals: Arc<Mutex<Refusals>>,
    /// When the database had no space left, and what it said; until it writes again.
    full: Arc<Mutex<Option<(Instant, String)>>>,
    /// How often all connections were busy for too long.
    timeouts: Arc<AtomicU64>,
    /// Whether the last attempt to get a connection failed because none could be made.
    is_out: Arc<AtomicBool>,
}

/// How busy a pool is.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Load {
    pub max: usize,
    pub connections: usize,
    pub idle: usize,
    pub waiting: usize,
    /// How often somebody has waited in vain because all were busy.
    pub timeouts: u64,
}

impl Pool {
    /// A pool of up to `size` connections; none is made before it is needed.
    ///
    /// # Errors
    /// [`Error::Config`] when the TLS settings of `dsn` are wrong.
    pub fn new(dsn: &Dsn, size: usize) -> Result<Self> {
        let primary = Primary::new(dsn)?.with_lock_timeout(LOCK_TIMEOUT);
        let refusals = Arc::<Mutex<Refusals>>::default();
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let connect = ToPrimary {
            primary: primary.clone(),
            refusals: refusals.clone(),
        };
        let manager = Manager::from_connect(dsn.config.clone(), connect, recycling);
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            .pre_recycle(pooled::look_at(&primary))
            .wait_timeout(Some(ACQUIRE_TIMEOUT))
            .create_timeout(Some(ACQUIRE_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| Error::Start(e.to_string()))?;
        Ok(Self {
            connections,
            primary,
            refusals,
            full: Arc::default(),
            timeouts: Arc::default(),
            is_out: Arc::default(),
        })
    }

    /// A connection, given back when it is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none is to be had within 1.5 s, [`Error::Refused`] when the database
    /// does not let this program in.
    pub async fn client(&self) -> Result<PooledClient> {
        let deadline = Instant::now() + ACQUIRE_TIMEOUT;
        loop {
            let error = match self.connections.get().await {
                Ok(connection) => {
                    self.is_out.store(false, Relaxed);
                    return Ok(PooledClient::new(connection, &self.primary));
                }
                Err(error) => error,
            };
            let is_busy = matches!(error, PoolError::Timeout(TimeoutType::Wait));
            let failures = lock(&self.refusals).failures.clone();
            let status = self.connections.status();
            let why = match (error, failures) {
                // The server has no room for more, but one of ours may come free.
                (PoolError::Backend(_), Some(failures))
                    if failures.is_full() && status.size > 0 && Instant::now() < deadline =>
                {
                    time::sleep(LOOK_AGAIN).await;
                    continue;
                }
                (PoolError::Backend(_), Some(failures)) if failures.is_refusal() => {
                    self.is_out.store(true, Relaxed);
                    return Err(Error::Refused(failures.explained()));
                }
                (PoolError::Backend(_), Some(failures)) => failures.explained(),
                (PoolError::Timeout(TimeoutType::Wait), _) => {
                    self.timeouts.fetch_add(1, Relaxed);
                    format!("all {} connections of the pool are busy", status.max_size)
                }
                (PoolError::Timeout(_), _) => "no connection in time".into(),
                (other, _) => other.to_string(),
            };
            self.is_out.store(!is_busy, Relaxed);
            return Err(Error::Unavailable(why));
        }
    }

    /// Whether connections to the database cannot be made at present. The audit, which asks every
    /// second, tells the log so; other tasks that fail for this reason need not repeat it.
    pub fn is_out(&self) -> bool {
        self.is_out.load(Relaxed)
    }

    /// How busy it is.
    pub fn load(&self) -> Load {
        let status = self.connections.status();
        Load {
            max: status.max_size,
            connections: status.size,
            idle: status.available,
            waiting: status.waiting,
            timeouts: self.timeouts.load(Relaxed),
        }
    }

    /// Takes note of how a write went.
    pub fn wrote<T>(&self, result: &Result<T>) {
        match result {
            Ok(_) => *lock(&self.full) = None,
            Err(error @ Error::Full(_)) => {
                *lock(&self.full) = Some((Instant::now(), error.to_string()));
            }
            Err(_) => {}
        }
    }

    /// Whether the database has space to write in, as far as the last write tells.
    ///
    /// # Errors
    /// One sentence for an operator, until a write succeeds or half a minute has passed.
    pub fn check(&self) -> Result<(), String> {
        match &*lock(&self.full) {
            Some((noted, why)) if noted.elapsed() < REMEMBERED => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// Closes every connection; later calls of [`client`](Self::client) fail.
    pub fn close(&self) {
        self.connections.close();
    }
}

/// Between attempts to connect to a database that refuses this program.
pub(crate) const REFUSED: Backoff =
    Backoff::new(Duration::from_millis(500), Duration::from_mins(1));

/// What the pool was told when it last could not connect.
#[derive(Debug, Default)]
struct Refusals {
    failures: Option<Arc<Failures>>,
    /// How often in a row the database has refused this program.
    count: u32,
    /// Until then it is not asked again.
    until: Option<Instant>,
}

impl Refusals {
    /// Whether it is too soon for another attempt.
    fn hold(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    fn failed(&mut self, failures: Failures) {
        if !failures.is_refusal() {
            (self.count, self.until) = (0, None);
        } else if !self.hold() {
            // Several attempts that were made at the same time count as one.
            self.count = self.count.saturating_add(1);
            self.until = Some(Instant::now() + REFUSED.nth(self.count));
        }
        self.failures = Some(Arc::new(failures));
    }
}

/// How the pool connects.
struct ToPrimary {
    primary: Primary,
    refusals: Arc<Mutex<Refusals>>,
}

type Connected = Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error>;

impl Connect for ToPrimary {
    fn connect(
        &self,
        _: &tokio_postgres::Config,
    ) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        Box::pin(async {
            if lock(&self.refusals).hold() {
                return Err(nowhere().await);
            }
            match self.primary.connect().await {
                Ok((client, wire)) => {
                    *lock(&self.refusals) = Refusals::default();
                    let driven = tokio::spawn(async move {
                        if let Err(error) = wire.await {
                            tracing::debug!(%error, "a connection to the database broke");
                        }
                    });
                    Ok((client, driven))
                }
                Err(failures) => {
                    lock(&self.refusals).failed(failures);
                    Err(nowhere().await)
                }
            }
        })
    }
}

/// An error of the driver's own kind, which only the driver can make. What is wrong was kept.
async fn nowhere() -> tokio_postgres::Error {
    let (stream, other_end) = tokio::io::duplex(1);
    drop(other_end);
    let mut nobody = tokio_postgres::Config::new();
    let connected = nobody
        .user("nobody")
        .connect_raw(stream, tokio_postgres::NoTls)
        .await;
    connected.err().expect("nobody is at the other end")
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one assignment, so a panic elsewhere leaves it whole.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
