//! The audit: once a second, what the database has counted is held against what was announced. It
//! finds edits that fired no trigger (a restore, `disable trigger all`, a dropped trigger), stands
//! in while the listener hears nothing, and watches the queue of notifications. It reads no rows and
//! publishes nothing: it only raises signals.

mod books;
mod queue;
mod table;

use std::time::{Duration, Instant};

use tokio::{sync::watch, time};

pub use self::queue::Queue;
use self::{
    books::{Books, Look, Verdict},
    table::Table,
};
use super::{
    announced::Total,
    listener::{Signals, Status},
};
use crate::{
    db::{
        self, Pool,
        statistics::{self, Statistics},
    },
    metrics::{Audited, Metrics},
    outage::Outage,
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
    };
    let mut ticks = time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    // The only task that asks the database all the time: it speaks for the pool as well.
    let mut outage = Outage::default();
    loop {
        ticks.tick().await;
        let names = Table::ALL.map(Table::name);
        let look = async {
            let client = pool.client().await?;
            let statistics = statistics::read(&client, &names).await?;
            queue.note(statistics.queue_usage, &client).await;
            Ok(statistics)
        };
        match db::in_time(look).await {
            Ok(statistics) => {
                if let Some(after) = outage.over() {
                    tracing::info!(after, "the database answers again");
                }
                audit.enter(&statistics);
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

struct Audit {
    books: [Books; Table::ALL.len()],
    signals: Signals,
    listener: watch::Receiver<Status>,
    /// In the order of the tables.
    counters: Vec<Audited>,
}

impl Audit {
    fn enter(&mut self, statistics: &Statistics) {
        let connection = {
            let listener = self.listener.borrow();
            listener.heartbeat.map(|_| listener.connections)
        };
        let now = Instant::now();
        for (table, counted) in Table::ALL.into_iter().zip(&statistics.tables) {
            let must_announce = table.must_announce();
            let look = Look {
                written: table.written(counted),
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
            let verdict = self.books[table as usize].enter(look, now);
            self.follow(table, verdict);
        }
    }

    fn follow(&self, table: Table, verdict: Verdict) {
        let counters = &self.counters[table as usize];
        let is_told = match (verdict, table.channel()) {
            (Verdict::Square, _) => return,
            (Verdict::Doubtful, _) => {
                counters.doubts.increment(1);
                false
            }
            // Nobody promised that changes of this table are announced.
            (Verdict::Silent, None) => false,
            (Verdict::Silent, Some(_)) => {
                counters.silent.increment(1);
                tracing::warn!(
                    table = table.name(),
                    "changed although nothing was announced: reading everything again (a restore, \
                     or triggers that are disabled or missing)"
                );
                true
            }
            (Verdict::Unheard, _) => true,
        };
        for channel in table.states() {
            self.signals.everything_of(*channel);
        }
        for channel in table.events().iter().filter(|_| is_told) {
            self.signals.everything_of(*channel);
        }
    }
}
