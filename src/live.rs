//! The arrow: PostgreSQL -> listener -> signal -> view -> group -> socket.

pub mod announced;
pub mod audit;
pub mod channel;
pub mod consumer;
pub mod expected;
pub mod group;
pub mod handshake;
pub mod heartbeat;
pub mod listener;
pub mod signal;
pub mod socket;
pub mod tail;
pub mod tally;
pub mod view;
pub mod writes;

use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::{sync::watch, task::JoinSet};

use self::{
    announced::Announced,
    audit::Queue,
    expected::Expected,
    group::{Events, Group, keyed::Keyed},
    listener::{Signals, Status},
    signal::Signal,
    view::{
        Reader, Snapshot,
        activity::Activity,
        changes::Changes,
        filter::Filter,
        follow,
        library::Library,
        list::{Deltas, List},
        runs::Runs,
        sessions::{self, OpenSessions, Sessions},
        toggles::Toggles,
        users::{OpenUsers, Users},
    },
};
use crate::{
    db::{Pool, dsn::Dsn, primary::Primary},
    error::{Error, Result},
    metrics::Metrics,
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
    pub expected: Arc<Expected>,
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

/// The live part of the server before it runs: signals, and the groups their views will feed.
#[derive(Debug)]
pub struct Live {
    /// The groups.
    pub groups: Groups,
    /// How the listener is.
    pub status: watch::Receiver<Status>,
    /// How full the queue of notifications is, from 0 to 1.
    pub queue_usage: watch::Receiver<f64>,
    /// How much was announced.
    pub announced: Arc<Announced>,
    signals: Signals,
    sender: watch::Sender<Status>,
    queue: Queue,
    metrics: Metrics,
}

impl Live {
    /// Groups without members. A queue of notifications that is `queue_warning` full, from 0 to 1,
    /// is warned of.
    pub fn new(metrics: Metrics, queue_warning: f64) -> Self {
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
        let (sender, status) = watch::channel(Status::default());
        let (usage, queue_usage) = watch::channel(0.0);
        let queue = Queue::new(queue_warning, usage, metrics.queue_usage());
        Self {
            groups,
            status,
            queue_usage,
            announced: signals.announced.clone(),
            signals,
            sender,
            queue,
            metrics,
        }
    }

    /// Runs the listener and the views until one of them panics or this is dropped. The database
    /// must have been migrated.
    ///
    /// # Errors
    /// [`Error::Config`] when the TLS settings of `listen` are wrong.
    pub async fn run(self, listen: &Dsn, pool: &Pool, zone: &TimeZone) -> Result<()> {
        let Self {
            groups,
            signals,
            sender,
            queue,
            metrics,
            ..
        } = self;
        let list = List::new(groups.lists.clone(), groups.deltas.clone(), zone.clone());
        let filter = Filter::new(groups.filter.clone(), zone.clone());
        let library = Library::new(groups.library.clone());
        let changes = Changes::new(groups.changes.clone());
        let toggles = Toggles::new(groups.toggles.clone());
        let runs = Runs::new(groups.runs.clone());
        let activity = Activity::new(groups.activity.clone(), zone.clone());
        let sessions = Sessions::new(groups.sessions.clone());
        let users = Users::new(groups.users.clone());

        let listen = listen.clone().read_write().named("marketplace listener");
        let primary = Primary::new(&listen)?;
        let connect = move || {
            let primary = primary.clone();
            async move { Ok(primary.connect().await?) }
        };

        let reader = Reader {
            pool: pool.clone(),
            metrics: metrics.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(list, signals.list.clone(), reader.clone()));
        tasks.spawn(follow(filter, signals.filter.clone(), reader.clone()));
        tasks.spawn(follow(library, signals.library.clone(), reader.clone()));
        tasks.spawn(follow(changes, signals.changes.clone(), reader.clone()));
        tasks.spawn(follow(toggles, signals.toggles.clone(), reader.clone()));
        tasks.spawn(follow(runs, signals.runs.clone(), reader.clone()));
        tasks.spawn(follow(activity, signals.activity.clone(), reader.clone()));
        tasks.spawn(follow(sessions, signals.sessions.clone(), reader.clone()));
        tasks.spawn(follow(users, signals.users.clone(), reader.clone()));
        tasks.spawn(sessions::watch_expiry(groups.sessions.clone()));
        let (deaf, is_deaf) = watch::channel(String::new());
        tasks.spawn(heartbeat::run(pool.clone(), sender.subscribe(), deaf));
        tasks.spawn(audit::run(
            pool.clone(),
            signals.clone(),
            sender.subscribe(),
            queue,
            metrics,
        ));
        tasks.spawn(listener::run(connect, signals, sender, is_deaf));
        match tasks.join_next().await {
            Some(Err(panic)) => Err(Error::Start(format!("a part of the server broke: {panic}"))),
            _ => Ok(()),
        }
    }
}
