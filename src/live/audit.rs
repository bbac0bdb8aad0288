//! The audit: once a second, what the database has counted is held against what was announced. It
//! finds edits that fired no trigger (a restore, `disable trigger all`, a dropped trigger), stands
//! in while the listener hears nothing, and watches the queue of notifications. It reads no rows and
//! publishes nothing: it only raises signals.

mod queue;
mod reconcile;
mod table;

use std::time::{Duration, Instant};

use tokio::{sync::watch, time};

use self::reconcile::{Books, Finding, Look, Proof};
use self::table::written;
pub use self::{queue::Queue, table::Table};
use super::{
    channel::Channel, listener::Status, notification_counts::Total, signals::Signals,
    validity::Asked,
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
    let tables = signals.tables();
    let names: Vec<_> = tables.iter().map(|table| table.name).collect();
    let audited = tables.into_iter().zip(metrics.audited(&names));
    let mut audit = Audit {
        tables: audited
            .map(|(table, counters)| AuditedTable::new(table, counters))
            .collect(),
        signals,
        listener,
    };
    let mut ticks = time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    // The only task that asks the database all the time: it speaks for the pool as well.
    let mut outage = Outage::default();
    loop {
        ticks.tick().await;
        let asked = audit.signals.validity.asked();
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
        statistics::has_rows_since(&client, table.name, snapshot).await
    };
    pg::in_time(asked).await.unwrap_or(true)
}

struct Audit {
    tables: Vec<AuditedTable>,
    signals: Signals,
    listener: watch::Receiver<Status>,
}

/// A table and what is known of it.
struct AuditedTable {
    table: Table,
    /// The events that must be announced, as bits.
    must_announce: i32,
    books: Books,
    counters: Audited,
    /// When the log spoke of silent changes.
    silent: Outage,
}

impl AuditedTable {
    fn new(table: Table, counters: Audited) -> Self {
        Self {
            table,
            must_announce: table.must_announce(),
            books: Books::default(),
            counters,
            silent: Outage::default(),
        }
    }
}

impl Audit {
    async fn enter(&mut self, pool: &Pool, statistics: &Statistics, asked: Asked) {
        if self.signals.validity.is_over(asked, statistics.now) {
            self.signals.everything_of(Channel::LIB);
        }
        let connection = {
            let listener = self.listener.borrow();
            listener.heartbeat.map(|_| listener.connections)
        };
        let now = Instant::now();
        for (audited, counted) in self.tables.iter_mut().zip(&statistics.tables) {
            let table = audited.table;
            let must_announce = audited.must_announce;
            let look = Look {
                written: written(must_announce, counted),
                live: counted.live,
                maintained: counted.maintained,
                snapshot: statistics.snapshot.clone(),
                storage: counted.storage.clone(),
                triggers: counted.triggers.clone(),
                is_announced: counted.announced & must_announce == must_announce,
                rollbacks: statistics.rollbacks,
                heard: match table.channel {
                    Some(channel) => self.signals.announced.on(channel),
                    None => Total::default(),
                },
                connection,
            };
            let mut finding = audited.books.enter(look, now);
            if let Some(Proof::RowSince(snapshot)) = audited.books.proof()
                && !has_rows_since(pool, table, &snapshot).await
            {
                finding = Finding::Uncertain;
            }
            audited.follow(finding, &self.signals);
        }
    }
}

impl AuditedTable {
    fn follow(&mut self, finding: Finding, signals: &Signals) {
        let is_told = match (finding, self.table.channel) {
            (Finding::Consistent, _) => return,
            (Finding::Uncertain, _) => {
                self.counters.doubts.increment(1);
                false
            }
            // Nobody promised that changes of this table are announced.
            (Finding::Unannounced, None) => false,
            (Finding::Unannounced, Some(_)) => {
                self.counters.silent.increment(1);
                // A table that is edited so all the time has a line a minute.
                if self.silent.failed().is_some() {
                    tracing::warn!(
                        table = self.table.name,
                        "changed although nothing was announced: reading everything again (a \
                         restore, or triggers that are disabled or missing)"
                    );
                }
                true
            }
            (Finding::MissedWhileDeaf, _) => true,
        };
        signals.everything_of_table(self.table, is_told);
    }
}
