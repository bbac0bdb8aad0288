//! How many of something may be there at once for a key. Holds only keys that have some.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts what each key has at once, up to a maximum.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: Mutex<HashMap<u64, usize>>,
}

impl Places {
    /// `most` for each key.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
        })
    }

    /// One of the key's places, if there is one left.
    pub(super) fn take(self: &Arc<Self>, key: u64) -> Option<Place> {
        let mut places = self.lock();
        let taken = places.entry(key).or_default();
        if *taken >= self.most {
            return None;
        }
        *taken += 1;
        Some(Place {
            places: Arc::clone(self),
            key,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        // Counts are written whole, so a panic elsewhere leaves the map usable.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    key: u64,
}

impl Place {
    /// Whose it is.
    pub(super) fn key(&self) -> u64 {
        self.key
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.lock();
        if let Some(taken) = places.get_mut(&self.key) {
            *taken -= 1;
            if *taken == 0 {
                places.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_places_and_leaves_nothing_behind() {
        let places = Places::new(2);
        let first = places.take(1).unwrap();
        let second = places.take(1).unwrap();
        assert!(places.take(1).is_none());
        let other = places.take(2).unwrap();
        drop(first);
        let third = places.take(1).unwrap();
        assert!(places.take(1).is_none());
        drop((second, third, other));
        assert!(places.lock().is_empty());
    }
}
