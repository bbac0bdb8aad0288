//! The arrow: PostgreSQL -> listener -> signal -> view -> group -> socket.

pub mod audit;
pub mod channel;
pub mod group;
mod groups;
pub mod heartbeat;
pub mod listener;
pub mod notification_counts;
pub mod pending_writes;
mod probe;
mod registry;
pub mod signal;
pub mod signals;
pub mod socket_stats;
mod validity;
pub mod view;
pub mod windows;

use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::{sync::watch, task::JoinSet};

pub use self::groups::Groups;
use self::{
    audit::Queue,
    channel::Channel,
    listener::Status,
    notification_counts::NotificationCounts,
    pending_writes::PendingWrites,
    registry::Task,
    signals::Signals,
    validity::Validity,
    view::{Reader, sessions},
};
use crate::{
    error::{Error, Result},
    metrics::Metrics,
    pg::{Pool, dsn::Dsn, primary::Primary},
    reads::Reads,
    restarts::{Part, Restarts},
};

/// The channels that the listener listens on.
pub fn channels() -> Arc<[Channel]> {
    let live = Live::new(Metrics::default(), 1.0, Reads::default(), &TimeZone::UTC);
    live.signals.channels
}

/// What sockets and operators need of the live part while it runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    /// The groups.
    pub groups: Groups,
    /// How the listener is.
    pub listener: watch::Receiver<Status>,
    /// How full the queue of notifications is, from 0 to 1.
    pub queue_usage: watch::Receiver<f64>,
    /// How many notifications came.
    pub notification_counts: Arc<NotificationCounts>,
}

/// The live part of the server before it runs: signals, and the groups their views will feed.
#[derive(Debug)]
pub struct Live {
    handle: Handle,
    signals: Signals,
    sender: watch::Sender<Status>,
    queue: Queue,
    reads: Reads,
    metrics: Metrics,
}

impl Live {
    /// Groups without members. A queue of notifications that is `queue_warning` full, from 0 to 1,
    /// is warned of. Times are written in `zone`.
    pub fn new(metrics: Metrics, queue_warning: f64, reads: Reads, zone: &TimeZone) -> Self {
        // A count that is there before the first panic can be seen to rise.
        metrics.panics("socket").increment(0);
        let (expected, validity) = (Arc::<PendingWrites>::default(), Arc::<Validity>::default());
        let (groups, views) = Groups::new(&metrics, expected.clone(), zone, &validity);
        let signals = Signals::new(views, expected, validity);
        let (sender, listener) = watch::channel(Status::default());
        let (usage, queue_usage) = watch::channel(0.0);
        let queue = Queue::new(queue_warning, usage, metrics.queue_usage());
        Self {
            handle: Handle {
                groups,
                listener,
                queue_usage,
                notification_counts: signals.announced.clone(),
            },
            signals,
            sender,
            queue,
            reads,
            metrics,
        }
    }

    /// For sockets and operators.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs the listener and the views until this is dropped. One that panics is started again. The
    /// database must have been migrated.
    ///
    /// # Errors
    /// [`Error::Config`] when the TLS settings of `listen` are wrong.
    pub async fn run(self, listen: &Dsn, pool: &Pool, restarts: &Restarts) -> Result<()> {
        let Self {
            handle: Handle { groups, .. },
            signals,
            sender,
            queue,
            reads,
            metrics,
        } = self;
        let mut tasks = JoinSet::new();
        for view in &*signals.views {
            let reader = Reader {
                pool: pool.clone(),
                reads: reads.clone(),
                metrics: metrics.clone(),
            };
            tasks.spawn((view.start)(reader, restarts.clone()));
        }

        let listen = listen.clone().read_write().named("marketplace listener");
        let primary = Primary::new(&listen)?;
        let connect = move || {
            let primary = primary.clone();
            async move { Ok(primary.connect().await?) }
        };

        let mut keep = |name, start: Box<dyn FnMut() -> Task + Send>| {
            let restarts = restarts.clone();
            let kept = async move { restarts.keep(Part::task(name), start).await };
            tasks.spawn(kept);
        };
        let sessions = groups.sessions;
        keep(
            "expiry",
            Box::new(move || Box::pin(sessions::watch_expiry(sessions.clone()))),
        );
        let windows = groups.windows;
        keep(
            "idle",
            Box::new(move || Box::pin(windows.clone().watch_idle())),
        );
        keep("probe", {
            let pool = pool.clone();
            Box::new(move || Box::pin(probe::run(pool.clone(), reads.clone())))
        });
        let (deaf, is_deaf) = watch::channel(String::new());
        keep("heartbeat", {
            let (pool, sender) = (pool.clone(), sender.clone());
            Box::new(move || {
                let listener = sender.subscribe();
                Box::pin(heartbeat::run(pool.clone(), listener, deaf.clone()))
            })
        });
        keep("audit", {
            let (pool, signals, sender) = (pool.clone(), signals.clone(), sender.clone());
            Box::new(move || {
                Box::pin(audit::run(
                    pool.clone(),
                    signals.clone(),
                    sender.subscribe(),
                    queue.clone(),
                    metrics.clone(),
                ))
            })
        });
        keep(
            "listener",
            Box::new(move || {
                // What an earlier one has heard proves nothing of this one.
                sender.send_modify(Status::lost);
                Box::pin(listener::run(
                    connect.clone(),
                    signals.clone(),
                    sender.clone(),
                    is_deaf.clone(),
                ))
            }),
        );
        match tasks.join_next().await {
            Some(Err(panic)) => Err(Error::Start(format!("a part of the server broke: {panic}"))),
            _ => Ok(()),
        }
    }
}
