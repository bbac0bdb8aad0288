//! What cannot be read of the database at present, and why: for the log and for `/readyz`. It reads
//! nothing itself.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::outage::Outage;

/// The reads that fail at present. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reads(Arc<Mutex<BTreeMap<String, Failing>>>);

#[derive(Debug)]
struct Failing {
    why: String,
    outage: Outage,
}

impl Reads {
    /// Notes that `what`, such as `view list`, could not be read. The log says so at once and then
    /// once a minute.
    pub fn failed(&self, what: &str, why: &dyn Display) {
        let why = why.to_string();
        let mut failing = self.lock();
        let failing = failing.entry(what.to_owned()).or_insert_with(|| Failing {
            why: String::new(),
            outage: Outage::default(),
        });
        if let Some(lasting) = failing.outage.failed() {
            tracing::warn!(what, why, lasting, "cannot be read; trying again");
        }
        failing.why = why;
    }

    /// Notes that `what` was read, or is not asked for any more.
    pub fn succeeded(&self, what: &str) {
        let failing = self.lock().remove(what);
        if let Some(after) = failing.and_then(|mut failing| failing.outage.over()) {
            tracing::info!(what, after, "can be read again");
        }
    }

    /// A sentence for each thing that cannot be read.
    pub fn troubles(&self) -> Vec<String> {
        let failing = self.lock();
        let sentence = |(what, failing): (&String, &Failing)| {
            format!("the {what} cannot be read: {}", failing.why)
        };
        failing.iter().map(sentence).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Failing>> {
        // Entries are added and removed whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_told_until_it_is_read_again() {
        let reads = Reads::default();
        assert_eq!(reads.troubles(), [""; 0]);
        reads.failed("view list", &"a lock");
        reads.failed("table users", &"no rights");
        reads.failed("view list", &"no such column");
        let troubles = [
            "the table users cannot be read: no rights",
            "the view list cannot be read: no such column",
        ];
        assert_eq!(reads.troubles(), troubles);
        reads.succeeded("view list");
        reads.succeeded("view toggles");
        assert_eq!(reads.troubles(), troubles[..1]);
    }
}
