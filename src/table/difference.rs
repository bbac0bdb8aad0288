//! What leads from one content of a window to another: splices, applied one after the other, and rows
//! that changed in their place. Looks at ids and revisions only.

use std::{ops::Range, sync::Arc};

use uuid::Uuid;

use super::window::Content;

/// What leads from what a client holds to what its window shows now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Nothing.
    None,
    /// The total or the index, and no row.
    Numbers,
    /// Some of the rows.
    Some {
        /// Applied one after the other to the rows as they then stand.
        splices: Vec<Splice>,
        /// Rows that stayed in their place and changed, as indexes into the new rows.
        changed: Vec<usize>,
    },
    /// All rows.
    Whole,
}

/// A part of a window that others take the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Where it begins.
    pub position: usize,
    /// How many rows go there.
    pub removed: usize,
    /// Which of the new rows come there.
    pub inserted: Range<usize>,
}

impl Difference {
    /// What leads from `before` to `after`.
    pub fn new(before: &Content, after: &Content) -> Self {
        let numbers = before.total != after.total || before.first != after.first;
        if Arc::ptr_eq(&before.rows, &after.rows) || before.rows == after.rows {
            return if numbers { Self::Numbers } else { Self::None };
        }
        let (old, new) = (&before.rows, &after.rows);
        let kept = kept(before, after);
        let is_changed = |&(o, n): &(usize, usize)| old[o].revision != new[n].revision;
        let changed: Vec<usize> = kept.iter().filter(|k| is_changed(k)).map(|k| k.1).collect();
        if changed.len() == kept.len() && !new.is_empty() {
            return Self::Whole;
        }
        let mut splices = Vec::new();
        let (mut from_old, mut from_new) = (0, 0);
        for (o, n) in kept.into_iter().chain([(old.len(), new.len())]) {
            if o > from_old || n > from_new {
                splices.push(Splice {
                    position: from_new,
                    removed: o - from_old,
                    inserted: from_new..n,
                });
            }
            (from_old, from_new) = (o + 1, n + 1);
        }
        if splices.is_empty() && changed.is_empty() {
            // Rows went to another slot, and are the same.
            return if numbers { Self::Numbers } else { Self::None };
        }
        Self::Some { splices, changed }
    }
}

/// As many rows as can stay while others go and come: their old and new indexes, both rising.
fn kept(before: &Content, after: &Content) -> Vec<(usize, usize)> {
    let (old, new) = (&before.rows, &after.rows);
    let same = |(a, b): &(&super::window::Shown, &super::window::Shown)| a.id == b.id;
    let head = old.iter().zip(new.iter()).take_while(same).count();
    let most = old.len().min(new.len()) - head;
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(most)
        .take_while(same)
        .count();
    let middle = head..old.len() - tail;
    let mut places: Vec<(Uuid, usize)> = middle.map(|o| (old[o].id, o)).collect();
    places.sort_unstable();
    let place = |id: Uuid| {
        let at = places.binary_search_by_key(&id, |place| place.0).ok()?;
        Some(places[at].1)
    };
    let pairs: Vec<(usize, usize)> = (head..new.len() - tail)
        .filter_map(|n| Some((place(new[n].id)?, n)))
        .collect();
    let mut kept: Vec<(usize, usize)> = (0..head).map(|n| (n, n)).collect();
    kept.extend(rising(&pairs));
    kept.extend(
        (0..tail)
            .rev()
            .map(|n| (old.len() - 1 - n, new.len() - 1 - n)),
    );
    kept
}

/// The longest part of `pairs`, whose second numbers rise, in which the first ones rise too.
fn rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // The last pair of the best part of each length, and each pair's one before.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, pair) in pairs.iter().enumerate() {
        let length = ends.partition_point(|&end| pairs[end].0 < pair.0);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut part: Vec<(usize, usize)> =
        std::iter::successors(ends.last().copied(), |&at| before[at])
            .map(|at| pairs[at])
            .collect();
    part.reverse();
    part
}
