//! What was learnt about the hosts of a connection string, shared by all who connect by it: which
//! one took the writes last, how far the cluster's history has come, since when a connection has
//! to have been made to be trusted, and whether a pooler is in the way. Connects to nothing.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

/// A primary's place in history: each promotion begins a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The cluster's system identifier.
    pub(crate) cluster: String,
    /// Counts promotions.
    pub(crate) timeline: u32,
}

/// What is known of the hosts of a connection string: where the primary was last, and since when.
#[derive(Debug, Default)]
pub(crate) struct Known {
    last: AtomicUsize,
    newest: Mutex<Option<Place>>,
    distrusted: Mutex<Option<Instant>>,
    /// The server's version when a pooler is in the way that does not pass `options` on; else 0.
    pooled: AtomicU32,
}

impl Known {
    /// The hosts by number, beginning with the one that served last.
    pub(crate) fn in_order(&self, hosts: usize) -> impl ExactSizeIterator<Item = usize> + use<> {
        let last = self.last.load(Relaxed);
        (0..hosts).map(move |turn| (last + turn) % hosts)
    }

    /// This host serves; says whether it was another one before.
    pub(crate) fn served_by(&self, host: usize) -> bool {
        self.last.swap(host, Relaxed) != host
    }

    /// Whether no primary further on is known. One that begins a timeline makes all older
    /// connections suspect: they lead to its predecessor.
    pub(crate) fn is_newest(&self, place: Place) -> bool {
        let mut newest = lock(&self.newest);
        match &*newest {
            Some(known) if known.cluster == place.cluster && known.timeline > place.timeline => {
                return false;
            }
            Some(known) if *known == place => {}
            Some(_) => {
                self.distrust_older();
                *newest = Some(place);
            }
            None => *newest = Some(place),
        }
        true
    }

    /// A pooler is in the way that does not pass `options` on to a server of this version.
    pub(crate) fn found_pooler(&self, version: u32) {
        self.pooled.store(version, Relaxed);
    }

    /// The server's version if there is such a pooler.
    pub(crate) fn pooled(&self) -> Option<u32> {
        Some(self.pooled.load(Relaxed)).filter(|version| *version > 0)
    }

    /// Whoever was connected before now is to connect again.
    pub(crate) fn distrust_older(&self) {
        *lock(&self.distrusted) = Some(Instant::now());
    }

    /// Whether a connection made then is to be used.
    pub(crate) fn trusts(&self, made: Instant) -> bool {
        lock(&self.distrusted).is_none_or(|distrusted| made > distrusted)
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one assignment, so a panic elsewhere leaves it whole.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(cluster: &str, timeline: u32) -> Place {
        Place {
            cluster: cluster.into(),
            timeline,
        }
    }

    #[test]
    fn a_former_primary_is_left_behind_and_so_are_connections_to_it() {
        let known = Known::default();
        assert!(known.is_newest(place("one", 1)));
        let made = Instant::now();
        assert!(known.is_newest(place("one", 1)) && known.trusts(made));
        assert!(known.is_newest(place("one", 2)));
        assert!(!known.trusts(made), "it leads to the predecessor");
        assert!(!known.is_newest(place("one", 1)));
        assert!(known.is_newest(place("another", 1)), "a cluster made anew");
    }

    #[test]
    fn the_host_that_served_last_is_asked_first() {
        let known = Known::default();
        assert!(!known.served_by(0));
        assert!(known.served_by(1));
        assert_eq!(known.in_order(3).collect::<Vec<_>>(), [1, 2, 0]);
    }
}
