//! What is kept because somebody asked for it, once for all who ask the same: at most so many; when
//! one more is wanted, the one goes that was watched by nobody for longest. Knows not what it keeps.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// Names one of those kept, for as long as it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(u64);

/// All are watched, and there are as many as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

#[derive(Debug)]
pub(super) struct Watched<K, V> {
    most: usize,
    numbers: HashMap<K, Number>,
    kept: BTreeMap<Number, Kept<K, V>>,
    next: u64,
    clock: u64,
}

#[derive(Debug)]
struct Kept<K, V> {
    key: K,
    value: V,
    watchers: usize,
    /// When the last watcher left.
    left: u64,
}

impl<K: Clone + Eq + Hash, V> Watched<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            numbers: HashMap::new(),
            kept: BTreeMap::new(),
            next: 0,
            clock: 0,
        }
    }

    /// One more watches what `key` asks for, if it is kept.
    pub(super) fn watch(&mut self, key: &K) -> Option<Number> {
        let number = *self.numbers.get(key)?;
        let kept = self
            .kept
            .get_mut(&number)
            .expect("numbers are of those kept");
        kept.watchers += 1;
        Some(number)
    }

    /// Makes room for one more.
    pub(super) fn make_room(&mut self) -> Result<(), Full> {
        if self.kept.len() >= self.most {
            let unwatched = self.kept.iter().filter(|(_, kept)| kept.watchers == 0);
            let oldest = unwatched
                .min_by_key(|(_, kept)| kept.left)
                .map(|(number, _)| *number);
            if let Some(gone) = self.kept.remove(&oldest.ok_or(Full)?) {
                self.numbers.remove(&gone.key);
            }
        }
        Ok(())
    }

    /// Lets go of what nobody watches, least lately watched first, until the rest takes at most `most`
    /// bytes.
    pub(super) fn trim(&mut self, most: usize, bytes: impl Fn(&V) -> usize) {
        let mut taken: usize = self.values().map(&bytes).sum();
        while taken > most {
            let unwatched = self.kept.iter().filter(|(_, kept)| kept.watchers == 0);
            let oldest = unwatched.min_by_key(|(_, kept)| kept.left);
            let Some(gone) = oldest.map(|(number, _)| *number) else {
                return;
            };
            if let Some(gone) = self.kept.remove(&gone) {
                taken -= bytes(&gone.value);
                self.numbers.remove(&gone.key);
            }
        }
    }

    /// Keeps what one watches that was not kept.
    pub(super) fn add(&mut self, key: K, value: V) -> Number {
        let number = Number(self.next);
        self.next += 1;
        self.numbers.insert(key.clone(), number);
        self.kept.insert(
            number,
            Kept {
                key,
                value,
                watchers: 1,
                left: 0,
            },
        );
        number
    }

    /// One more watches one that is watched.
    pub(super) fn watch_again(&mut self, number: Number) {
        if let Some(kept) = self.kept.get_mut(&number) {
            kept.watchers += 1;
        }
    }

    /// One watches no longer.
    pub(super) fn close(&mut self, number: Number) {
        self.clock += 1;
        if let Some(kept) = self.kept.get_mut(&number) {
            kept.watchers = kept.watchers.saturating_sub(1);
            kept.left = self.clock;
        }
    }

    pub(super) fn get(&self, number: Number) -> Option<&V> {
        self.kept.get(&number).map(|kept| &kept.value)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.kept.values().map(|kept| &kept.value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.kept.values_mut().map(|kept| &mut kept.value)
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.kept
            .values_mut()
            .map(|kept| (&kept.key, &mut kept.value))
    }
}
