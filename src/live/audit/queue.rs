//! The queue of notifications, one for the whole cluster: when it is full, transactions that notify
//! fail. One session that listened and stays in a transaction is enough to fill it.

use metrics::Gauge;
use tokio::sync::watch;

use crate::{db::notifications, outage::Outage, pg::PooledClient};

/// It must have fallen to this part of the warning's level before the next crossing counts.
const RELIEF: f64 = 0.8;

/// Watches how full the queue of notifications is.
#[derive(Clone, Debug)]
pub struct Queue {
    /// How full it is from when on a warning is logged, from 0 to 1.
    warn_from: f64,
    outage: Outage,
    usage: watch::Sender<f64>,
    gauge: Gauge,
}

impl Queue {
    /// Watches a queue whose usage is published in `usage` and `gauge`.
    pub fn new(warn_from: f64, usage: watch::Sender<f64>, gauge: Gauge) -> Self {
        Self {
            warn_from,
            outage: Outage::default(),
            usage,
            gauge,
        }
    }

    /// Notes how full it is. While it fills up, the log names the session that is likely to hold it.
    pub(super) async fn note(&mut self, usage: f64, client: &PooledClient) {
        self.gauge.set(usage);
        self.usage.send_replace(usage);
        if usage < self.warn_from * RELIEF
            && let Some(after) = self.outage.over()
        {
            tracing::info!(usage, after, "the notification queue has room again");
        }
        if usage < self.warn_from {
            return;
        }
        let Some(lasting) = self.outage.failed() else {
            return;
        };
        let holder = notifications::holder(client).await;
        let holder = holder.unwrap_or_else(|error| format!("unknown: {error}"));
        tracing::warn!(
            usage,
            holder,
            lasting,
            "the notification queue is filling up; when it is full, writes fail"
        );
    }
}
