//! The arrow: PostgreSQL -> listener -> signal -> view -> group -> socket.

pub mod audit;
pub mod channel;
pub mod group;
pub mod heartbeat;
pub mod listener;
pub mod notification_counts;
pub mod pending_writes;
mod probe;
pub mod signal;
pub mod socket_stats;
pub mod view;
mod window;

use std::{pin::Pin, sync::Arc};

use jiff::tz::TimeZone;
use tokio::{sync::watch, task::JoinSet};

use self::{
    audit::Queue,
    group::{Events, Group, keyed::Keyed},
    listener::{Signals, Status},
    notification_counts::NotificationCounts,
    pending_writes::PendingWrites,
    signal::Signal,
    view::{
        Reader, Snapshot, View,
        activity::Activity,
        changes::Changes,
        filter::Filter,
        library::Library,
        list::{Deltas, List},
        runs::Runs,
        sessions::{self, OpenSessions, Sessions},
        toggles::Toggles,
        users::{OpenUsers, Users},
    },
};
use crate::{
    error::{Error, Result},
    metrics::Metrics,
    pg::{Pool, dsn::Dsn, primary::Primary},
    reads::Reads,
    restarts::{Part, Restarts},
};

/// The groups that sockets join; a fixed set, made at start.
#[derive(Clone, Debug)]
pub struct Groups {
    /// DataLibrary.
    pub library: Arc<Group<Snapshot>>,
    /// DataSource: members that want the whole list each time.
    pub lists: Arc<Group<Snapshot>>,
    /// DataSource: members that want what changed.
    pub deltas: Arc<Group<Arc<Deltas>>>,
    /// FilterDataSource.
    pub filter: Arc<Keyed>,
    /// CRUDSource.
    pub changes: Arc<Events>,
    /// ToggleVisibility.
    pub toggles: Arc<Events>,
    /// EMR.
    pub runs: Arc<Events>,
    /// Activity.
    pub activity: Arc<Group<Snapshot>>,
    /// Sessions with open sockets.
    pub sessions: Arc<OpenSessions>,
    /// Users with open sockets.
    pub users: Arc<OpenUsers>,
    /// What this process has just written, which joining members wait for.
    pub expected: Arc<PendingWrites>,
}

const LIBRARY: &str = "DataLibrary";
const LISTS: &str = "DataSource";
const DELTAS: &str = "DataSource (deltas)";
const FILTER: &str = "FilterDataSource";
const CHANGES: &str = "CRUDSource";
const TOGGLES: &str = "ToggleVisibility";
const RUNS: &str = "EMR";
const ACTIVITY: &str = "Activity";

impl Groups {
    /// How many members each group has, by the group's name.
    pub fn members(&self) -> [(&'static str, usize); 8] {
        [
            (LIBRARY, self.library.members()),
            (LISTS, self.lists.members()),
            (DELTAS, self.deltas.members()),
            (FILTER, self.filter.members()),
            (CHANGES, self.changes.members()),
            (TOGGLES, self.toggles.members()),
            (RUNS, self.runs.members()),
            (ACTIVITY, self.activity.members()),
        ]
    }
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
    /// is warned of.
    pub fn new(metrics: Metrics, queue_warning: f64, reads: Reads) -> Self {
        // A count that is there before the first panic can be seen to rise.
        metrics.panics("socket").increment(0);
        let signals = Signals::default();
        let expected = signals.expected.clone();
        let traffic = |name| metrics.traffic(name);
        let group = |signal: &Arc<Signal>, name| {
            Group::new(signal.clone(), expected.clone(), traffic(name))
        };
        let groups = Groups {
            library: group(&signals.library, LIBRARY),
            lists: group(&signals.list, LISTS),
            deltas: Group::new(signals.list.clone(), expected.clone(), traffic(DELTAS)),
            filter: Keyed::new(signals.filter.clone(), traffic(FILTER)),
            changes: Events::new(Changes::lagged(), traffic(CHANGES)),
            toggles: Events::new(Toggles::lagged(), traffic(TOGGLES)),
            runs: Events::new(Runs::lagged(), traffic(RUNS)),
            activity: group(&signals.activity, ACTIVITY),
            sessions: OpenSessions::new(signals.sessions.clone()),
            users: OpenUsers::new(signals.users.clone()),
            expected,
        };
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
    pub async fn run(
        self,
        listen: &Dsn,
        pool: &Pool,
        zone: &TimeZone,
        restarts: &Restarts,
    ) -> Result<()> {
        let mut tasks = self.views(pool, zone, restarts);
        let Self {
            handle: Handle { groups, .. },
            signals,
            sender,
            queue,
            reads,
            metrics,
            ..
        } = self;

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

    /// The views, each in a task that starts it again.
    fn views(&self, pool: &Pool, zone: &TimeZone, restarts: &Restarts) -> JoinSet<()> {
        let Self {
            handle: Handle { groups, .. },
            signals,
            ..
        } = self;
        let mut tasks = JoinSet::new();
        let mut views = Views {
            tasks: &mut tasks,
            reader: Reader {
                pool: pool.clone(),
                reads: self.reads.clone(),
                metrics: self.metrics.clone(),
            },
            restarts,
        };
        let (lists, deltas, filter) = (&groups.lists, &groups.deltas, &groups.filter);
        views.keep(&signals.list, {
            let (lists, deltas, zone) = (lists.clone(), deltas.clone(), zone.clone());
            move || List::new(lists.clone(), deltas.clone(), zone.clone())
        });
        views.keep(&signals.filter, {
            let (group, zone) = (filter.clone(), zone.clone());
            move || Filter::new(group.clone(), zone.clone())
        });
        views.keep(&signals.library, {
            let (group, window) = (groups.library.clone(), signals.window.clone());
            move || Library::new(group.clone(), window.clone())
        });
        views.keep(&signals.changes, {
            let group = groups.changes.clone();
            move || Changes::new(group.clone())
        });
        views.keep(&signals.toggles, {
            let group = groups.toggles.clone();
            move || Toggles::new(group.clone())
        });
        views.keep(&signals.runs, {
            let group = groups.runs.clone();
            move || Runs::new(group.clone())
        });
        views.keep(&signals.activity, {
            let (group, zone) = (groups.activity.clone(), zone.clone());
            move || Activity::new(group.clone(), zone.clone())
        });
        views.keep(&signals.sessions, {
            let open = groups.sessions.clone();
            move || Sessions::new(open.clone())
        });
        views.keep(&signals.users, {
            let open = groups.users.clone();
            move || Users::new(open.clone())
        });
        tasks
    }
}

/// The work of a part that is not a view.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is needed to keep a view going.
struct Views<'a> {
    tasks: &'a mut JoinSet<()>,
    reader: Reader,
    restarts: &'a Restarts,
}

impl Views<'_> {
    fn keep<V: View>(&mut self, signal: &Arc<Signal>, make: impl FnMut() -> V + Send + 'static) {
        let (signal, reader) = (Arc::clone(signal), self.reader.clone());
        self.tasks
            .spawn(view::keep(make, signal, reader, self.restarts.clone()));
    }
}
