//! The audit: once a second, what the database has counted is held against what was announced. It
//! finds edits that fired no trigger (a restore, `disable trigger all`, a dropped trigger), stands
//! in while the listener hears nothing, and watches the queue of notifications. It reads no rows and
//! publishes nothing: it only raises signals.

mod queue;
mod reconcile;
mod table;

use std::time::{Duration, Instant};

use tokio::{sync::watch, time};

pub use self::queue::Queue;
use self::{
    reconcile::{Books, Finding, Look, Proof},
    table::Table,
};
use super::{
    channel::Channel,
    listener::{Signals, Status},
    notification_counts::Total,
    window::Asked,
};
use crate::{
    db::statistics::{self, Statistics},
    metrics::{Audited, Metrics},
    outage::Outage,
    pg::{self, Pool},
};

/// How often the database's counts are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Audits for ever.
pub async fn run(
    pool: Pool,
    signals: Signals,
    listener: watch::Receiver<Status>,
    mut queue: Queue,
    metrics: Metrics,
) {
    let mut audit = Audit {
        books: Default::default(),
        signals,
        listener,
        counters: metrics.audited(&Table::ALL.map(Table::name)),
        silent: Default::default(),
    };
    let mut ticks = time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    // The only task that asks the database all the time: it speaks for the pool as well.
    let mut outage = Outage::default();
    loop {
        ticks.tick().await;
        let names = Table::ALL.map(Table::name);
        let asked = audit.signals.window.asked();
        let look = async {
            let client = pool.client().await?;
            let statistics = statistics::read(&client, &names).await?;
            queue.note(statistics.queue_usage, &client).await;
            Ok(statistics)
        };
        match pg::in_time(look).await {
            Ok(statistics) => {
                if let Some(after) = outage.over() {
                    tracing::info!(after, "the database answers again");
                }
                audit.enter(&pool, &statistics, asked).await;
            }
            // Nothing is lost: the next look is held against the last one that succeeded.
            Err(error) => {
                if let Some(lasting) = outage.failed() {
                    tracing::warn!(%error, lasting, "the database does not answer; trying again");
                }
            }
        }
    }
}

/// Whether a row shows that the table was changed since. When that cannot be asked, it is taken for so.
async fn has_rows_since(pool: &Pool, table: Table, snapshot: &str) -> bool {
    let asked = async {
        let client = pool.client().await?;
        statistics::has_rows_since(&client, table.name(), snapshot).await
    };
    pg::in_time(asked).await.unwrap_or(true)
}

struct Audit {
    books: [Books; Table::ALL.len()],
    signals: Signals,
    listener: watch::Receiver<Status>,
    /// In the order of the tables.
    counters: Vec<Audited>,
    /// When the log spoke of silent changes.
    silent: [Outage; Table::ALL.len()],
}

impl Audit {
    async fn enter(&mut self, pool: &Pool, statistics: &Statistics, asked: Asked) {
        if self.signals.window.is_over(asked, statistics.now) {
            self.signals.everything_of(Channel::Lib);
        }
        let connection = {
            let listener = self.listener.borrow();
            listener.heartbeat.map(|_| listener.connections)
        };
        let now = Instant::now();
        for (table, counted) in Table::ALL.into_iter().zip(&statistics.tables) {
            let must_announce = table.must_announce();
            let look = Look {
                written: table.written(counted),
                live: counted.live,
                maintained: counted.maintained,
                snapshot: statistics.snapshot.clone(),
                storage: counted.storage.clone(),
                triggers: counted.triggers.clone(),
                is_announced: counted.announced & must_announce == must_announce,
                rollbacks: statistics.rollbacks,
                heard: match table.channel() {
                    Some(channel) => self.signals.announced.on(channel),
                    None => Total::default(),
                },
                connection,
            };
            let books = &mut self.books[table as usize];
            let mut finding = books.enter(look, now);
            if let Some(Proof::RowSince(snapshot)) = books.proof()
                && !has_rows_since(pool, table, &snapshot).await
            {
                finding = Finding::Uncertain;
            }
            self.follow(table, finding);
        }
    }

    fn follow(&mut self, table: Table, finding: Finding) {
        let counters = &self.counters[table as usize];
        let is_told = match (finding, table.channel()) {
            (Finding::Consistent, _) => return,
            (Finding::Uncertain, _) => {
                counters.doubts.increment(1);
                false
            }
            // Nobody promised that changes of this table are announced.
            (Finding::Unannounced, None) => false,
            (Finding::Unannounced, Some(_)) => {
                counters.silent.increment(1);
                // A table that is edited so all the time has a line a minute.
                if self.silent[table as usize].failed().is_some() {
                    tracing::warn!(
                        table = table.name(),
                        "changed although nothing was announced: reading everything again (a \
                         restore, or triggers that are disabled or missing)"
                    );
                }
                true
            }
            (Finding::MissedWhileDeaf, _) => true,
        };
        for channel in table.states() {
            self.signals.everything_of(*channel);
        }
        for channel in table.events().iter().filter(|_| is_told) {
            self.signals.everything_of(*channel);
        }
    }
}
