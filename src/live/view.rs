//! Views: signal -> read -> frame -> group. One task a view; it reads the database only while
//! somebody watches, and only what the hint names.

pub mod activity;
pub mod changes;
pub mod events;
pub mod filter;
pub mod library;
pub mod list;
pub mod runs;
pub mod sessions;
pub mod toggles;
pub mod users;
pub mod watched;
pub mod windows;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::time;

use super::{
    group::Group,
    signal::{Hint, Rows, Signal},
};
use crate::{
    backoff::Backoff,
    error::Result,
    metrics::Metrics,
    pg::{Pool, PooledClient},
    reads::Reads,
    restarts::{Part, Restarts},
    ws::{self, Frame},
};

/// A view reads at most so often: 50 times a second. The first change after a pause is read at
/// once; those that follow are merged, and the last one waits no longer than this.
const PACE: Duration = Duration::from_millis(20);
/// A read that takes longer is given up and tried again, with twice the time: its connection may
/// have gone silent, or there may be that much to read.
const READ_DEADLINE: Duration = Duration::from_secs(4);
/// No read is waited for longer than this.
const LONGEST_READ: Duration = Duration::from_mins(1);
/// Between attempts to read what could not be read.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// What all views do.
pub trait View: Send + 'static {
    /// Whether it tells of events. Then it keeps no state to compare with, and tells its members of
    /// every hint.
    const IS_OF_EVENTS: bool = false;

    /// Whether its reads have deadlines of their own, because one may take as long as it makes progress.
    const HAS_DEADLINES: bool = false;

    /// Whether anybody would be told.
    fn is_watched(&self) -> bool;

    /// Something changed while nobody watched: what was published is out of date. Says whether
    /// those who join later must be brought up to date with it; events are only for those who are
    /// there when they happen.
    fn forget(&mut self) -> bool;

    /// Whether `hint` asks for a read at all; a mere demand may be met from memory.
    fn must_read(&self, hint: &Hint) -> bool;

    /// Reads what `hint` names, if anything, and publishes; returns how many rows were read.
    fn refresh(
        &mut self,
        client: Option<&PooledClient>,
        hint: &Hint,
    ) -> impl Future<Output = Result<usize>> + Send;
}

/// Where views read, and where it is counted.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The database.
    pub pool: Pool,
    /// Where it is said what cannot be read.
    pub reads: Reads,
    /// The counters.
    pub metrics: Metrics,
}

/// Follows `signal` for ever with the view `name` that `make` makes, and after a panic with another one. That
/// one reads everything, and its members get everything anew.
pub async fn keep<V: View>(
    name: &'static str,
    mut make: impl FnMut() -> V,
    signal: Arc<Signal>,
    reader: Reader,
    restarts: Restarts,
) {
    let mut is_another = false;
    let start = move || {
        let mut view = make();
        if std::mem::replace(&mut is_another, true) {
            // What was published is of the former view's epoch, and what it had taken of the signal
            // is lost with it.
            view.forget();
            signal.raise(Hint::everything());
        }
        follow(name, view, Arc::clone(&signal), reader.clone())
    };
    restarts.keep(Part::view(name), start).await;
}

/// Follows `signal` for ever. A change that cannot be read is kept and tried again.
pub async fn follow<V: View>(name: &'static str, mut view: V, signal: Arc<Signal>, reader: Reader) {
    let counters = reader.metrics.view(name);
    let name = format!("view {name}");
    let mut retry = RETRY;
    let mut patience = Patience::default();
    let mut followed = 0;
    let mut was_watched = false;
    loop {
        signal.raised().await;
        if !view.is_watched() {
            was_watched = false;
            reader.reads.succeeded(&name);
            if !view.forget() {
                signal.done(&signal.take());
            }
            continue;
        }
        let started = Instant::now();
        let task = signal.take();
        match read(&mut view, &reader.pool, &task.hint, patience.0).await {
            Ok(rows) => {
                if let Some(rows) = rows {
                    counters.reads.increment(1);
                    counters.rows.increment(rows as u64);
                }
                let raised = task.raised - std::mem::replace(&mut followed, task.raised);
                // What had gathered before somebody came was not waited for.
                if std::mem::replace(&mut was_watched, true) {
                    counters.merged.increment(raised.saturating_sub(1));
                    if let Some(first) = task.first {
                        counters.published.note(first.elapsed());
                    }
                }
                signal.done(&task);
                reader.reads.succeeded(&name);
                patience.succeeded(started.elapsed());
                retry.reset();
                time::sleep(PACE.saturating_sub(started.elapsed())).await;
            }
            Err(error) => {
                counters.failures.increment(1);
                // The audit speaks of a database that is out.
                if !reader.pool.is_out() {
                    reader.reads.failed(&name, &error);
                }
                signal.put_back(task);
                patience.failed(started.elapsed());
                retry.pause().await;
            }
        }
    }
}

/// How long a read may take.
#[derive(Debug)]
struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(READ_DEADLINE)
    }
}

impl Patience {
    fn succeeded(&mut self, took: Duration) {
        self.0 = (took * 2).clamp(READ_DEADLINE, LONGEST_READ);
    }

    fn failed(&mut self, took: Duration) {
        // What failed sooner would not have been helped by more time.
        if took >= self.0 {
            self.0 = (self.0 * 2).min(LONGEST_READ);
        }
    }
}

/// Lets the view follow `hint`; returns how many rows were read, if the database was asked.
async fn read<V: View>(
    view: &mut V,
    pool: &Pool,
    hint: &Hint,
    patience: Duration,
) -> Result<Option<usize>> {
    if !view.must_read(hint) {
        return view.refresh(None, hint).await.map(|_| None);
    }
    let client = pool.client().await?;
    let refresh = view.refresh(Some(&client), hint);
    if V::HAS_DEADLINES {
        return refresh.await.map(Some);
    }
    match time::timeout(patience, refresh).await {
        Ok(result) => result.map(Some),
        Err(_) => Err(crate::error::Error::Unavailable(
            "a read took too long".into(),
        )),
    }
}

/// The version of a snapshot: `epoch:counter`. The counter never goes backwards within an epoch;
/// an epoch is one view's life in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Milliseconds since 1970 when the view began, and random bits below: servers that begin in the
    /// same millisecond must not take each other's versions for theirs.
    epoch: u64,
    /// Counts what was published.
    pub counter: u64,
}

const EPOCH_RANDOM_BITS: u32 = 20;

impl Version {
    /// The version before the first snapshot.
    pub fn start() -> Self {
        let now = jiff::Timestamp::now().as_millisecond();
        let now = u64::try_from(now).unwrap_or_default();
        let random: u64 = rand::random::<u64>() >> (u64::BITS - EPOCH_RANDOM_BITS);
        Self {
            epoch: (now << EPOCH_RANDOM_BITS) | random,
            counter: 0,
        }
    }

    /// Reads `epoch:counter`; `None` when it is of another epoch, from the future or no version.
    pub fn earlier(&self, text: &str) -> Option<Self> {
        let (epoch, counter) = text.split_once(':')?;
        let earlier = Self {
            epoch: epoch.parse().ok()?,
            counter: counter.parse().ok()?,
        };
        self.since(earlier).map(|_| earlier)
    }

    /// The version of the same epoch with this counter.
    #[must_use]
    pub fn at(self, counter: u64) -> Self {
        Self { counter, ..self }
    }

    /// How many versions it is later than `earlier`; `None` when that is of another epoch, or later.
    pub fn since(&self, earlier: Self) -> Option<u64> {
        let steps = self.counter.checked_sub(earlier.counter)?;
        (earlier.epoch == self.epoch).then_some(steps)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.epoch, self.counter)
    }
}

/// A frame and the version of the state that it shows.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The version of what is shown.
    pub version: Version,
    /// What is sent.
    pub frame: Frame,
    /// When the newest of the rows was changed that are new in it; none without such a time.
    pub changed: Option<Instant>,
}

/// The moment of a change that the database has dated so, by this machine's clock; one in the future
/// is now.
fn moment(updated_at: Timestamp) -> Option<Instant> {
    let age = Timestamp::now().duration_since(updated_at);
    Instant::now().checked_sub(age.try_into().unwrap_or_default())
}

/// Gives every member the newest state. A frame that members want compressed is compressed before, away
/// from the async threads.
async fn publish(
    group: &Group<Snapshot>,
    version: Version,
    frame: Frame,
    changed: Option<Instant>,
) {
    if group.deflating() > 0 {
        let frame = frame.clone();
        let compress = move || frame.compress(ws::deflate::Params::default());
        // A panic in there leaves the frame uncompressed, and `Frame::wire` tries again.
        let _ = tokio::task::spawn_blocking(compress).await;
    }
    group.publish(Snapshot {
        version,
        frame,
        changed,
    });
}

/// The ids that `rows` names.
fn named(rows: &Rows) -> Vec<uuid::Uuid> {
    match rows {
        Rows::Named(ids) => ids.iter().copied().collect(),
        Rows::None | Rows::All => Vec::new(),
    }
}

/// A frame of a small JSON value.
pub fn json_frame(value: &impl serde::Serialize) -> Frame {
    Frame::text(&serde_json::to_string(value).expect("keys are strings, so it is JSON"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use tokio::task::JoinSet;

    use super::*;

    /// Panics at its first refreshes, then notes how often everything was read.
    struct Fragile {
        panics: Arc<AtomicUsize>,
        read: Arc<AtomicUsize>,
    }

    impl View for Fragile {
        fn is_watched(&self) -> bool {
            true
        }

        fn forget(&mut self) -> bool {
            true
        }

        fn must_read(&self, _: &Hint) -> bool {
            false
        }

        async fn refresh(&mut self, _: Option<&PooledClient>, hint: &Hint) -> Result<usize> {
            let left = self.panics.load(SeqCst);
            if left > 0 {
                self.panics.store(left - 1, SeqCst);
                panic!("a row that it cannot take");
            }
            let reads_everything = hint.clone().rows() == Rows::All;
            self.read.fetch_add(usize::from(reads_everything), SeqCst);
            Ok(0)
        }
    }

    #[tokio::test]
    async fn a_view_that_panics_is_made_anew_and_reads_everything() {
        let metrics = Metrics::default();
        let restarts = Restarts::new(metrics.clone());
        let dsn = "postgresql://nobody@127.0.0.1:1/none".parse().unwrap();
        let reader = Reader {
            pool: Pool::new(&dsn, 1).unwrap(),
            reads: Reads::default(),
            metrics: metrics.clone(),
        };
        let signal = Arc::new(Signal::default());
        let (panics, read) = (Arc::new(AtomicUsize::new(2)), Arc::new(AtomicUsize::new(0)));
        let made = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(keep(
            "fragile",
            {
                let (panics, read, made) = (panics.clone(), read.clone(), made.clone());
                move || {
                    made.fetch_add(1, SeqCst);
                    Fragile {
                        panics: panics.clone(),
                        read: read.clone(),
                    }
                }
            },
            signal.clone(),
            reader,
            restarts,
        ));
        // Of one row alone, which is lost with the view that has taken it.
        signal.raise(Hint {
            updated: Rows::Named([uuid::Uuid::from_u128(7)].into()),
            ..Hint::default()
        });
        let behind = signal.behind().expect("nobody has followed yet");
        let followed = time::timeout(Duration::from_secs(15), signal.followed(behind));
        followed.await.expect("the view that works has followed");
        assert_eq!([&made, &read, &panics].map(|n| n.load(SeqCst)), [3, 1, 0]);
        let shown = metrics.render();
        let counted = "marketplace_panics_total{part=\"fragile\"} 2";
        assert!(shown.contains(counted), "{shown}");
        assert!(tasks.try_join_next().is_none(), "its task goes on");
    }

    #[test]
    fn epochs_of_one_moment_differ_and_later_ones_are_greater() {
        let earlier = Version::start();
        std::thread::sleep(Duration::from_millis(2));
        let [one, other] = [Version::start(), Version::start()];
        assert_ne!(one.epoch, other.epoch);
        assert!(one.epoch > earlier.epoch && other.epoch > earlier.epoch);
        assert_eq!(one.earlier(&other.to_string()), None);
        assert_eq!(one.since(other), None);
    }

    #[test]
    fn what_takes_long_gets_the_time_it_needs() {
        let mut patience = Patience::default();
        patience.failed(Duration::from_millis(20));
        assert_eq!(
            patience.0, READ_DEADLINE,
            "nobody was there to be waited for"
        );
        patience.failed(READ_DEADLINE);
        assert_eq!(patience.0, READ_DEADLINE * 2);
        let took = READ_DEADLINE + Duration::from_secs(1);
        patience.succeeded(took);
        assert_eq!(patience.0, took * 2, "the next need not fail first");
        patience.succeeded(Duration::ZERO);
        assert_eq!(patience.0, READ_DEADLINE);
        for _ in 0..10 {
            patience.failed(LONGEST_READ);
        }
        assert_eq!(patience.0, LONGEST_READ);
    }
}
