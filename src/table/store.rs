//! The rows: a column of numbers for each column of the table, a slot for each row, texts in a
//! dictionary. About 110 bytes a row. Knows no filter and no order; whoever changes a row tells the
//! views.

use uuid::Uuid;

use super::{
    column::{DATES, TEXTS, TIMES},
    dictionary::{Dictionary, NONE},
    hash::Hash,
    index::Index,
    row::{Packed, Row},
};
use crate::db::sources::Source;

/// Rows in slots. A slot whose row went is used again.
#[derive(Debug, Default)]
pub struct Store {
    ids: Vec<Uuid>,
    times: [Vec<i64>; TIMES],
    dates: [Vec<i32>; DATES],
    texts: [Vec<u32>; TEXTS],
    uploads: Vec<u32>,
    revisions: Vec<u32>,
    free: Vec<u32>,
    index: Index,
    hash: Hash,
    /// What the text columns hold.
    pub(super) words: Dictionary,
    /// What `data_upload` holds: nearly always different texts, which no search looks at.
    pub(super) references: Dictionary,
}

/// The creation time of a slot without a row. PostgreSQL's times begin later.
const DEAD: i64 = i64::MIN;

impl Store {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ids.len() - self.free.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many slots there are, with those without a row.
    pub fn size(&self) -> usize {
        self.ids.len()
    }

    /// All slots that hold a row.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        let is_live = |&(_, &created): &(u32, &i64)| created != DEAD;
        (0..)
            .zip(&self.times[0])
            .filter(is_live)
            .map(|(slot, _)| slot)
    }

    /// Whether the slot holds a row.
    #[inline]
    pub fn is_live(&self, slot: u32) -> bool {
        self.times[0][slot as usize] != DEAD
    }

    /// The slot of the row with this id.
    pub fn slot(&self, id: Uuid) -> Option<u32> {
        let hash = self.hash.id(id.as_u128());
        self.index.find(hash, |slot| self.ids[slot as usize] == id)
    }

    /// The id of the row in this slot.
    #[inline]
    pub fn id(&self, slot: u32) -> Uuid {
        self.ids[slot as usize]
    }

    /// Changes whenever the row in this slot does.
    #[inline]
    pub fn revision(&self, slot: u32) -> u32 {
        self.revisions[slot as usize]
    }

    #[inline]
    pub(super) fn time(&self, column: usize, slot: u32) -> i64 {
        self.times[column][slot as usize]
    }

    #[inline]
    pub(super) fn date(&self, column: usize, slot: u32) -> i32 {
        self.dates[column][slot as usize]
    }

    #[inline]
    pub(super) fn text(&self, column: usize, slot: u32) -> u32 {
        self.texts[column][slot as usize]
    }

    #[inline]
    pub(super) fn upload(&self, slot: u32) -> u32 {
        self.uploads[slot as usize]
    }

    /// The row in this slot.
    pub fn row(&self, slot: u32) -> Row<'_> {
        let packed = self.packed(slot);
        Row {
            id: packed.id,
            times: packed.times,
            dates: packed.dates,
            texts: packed.texts.map(|number| self.words.text(number)),
            upload: (packed.upload != NONE).then(|| self.references.text(packed.upload)),
        }
    }

    /// The row in this slot, as the database's module knows it.
    pub fn source(&self, slot: u32) -> Source {
        self.row(slot).to_source()
    }

    pub(super) fn packed(&self, slot: u32) -> Packed {
        let at = slot as usize;
        Packed {
            id: self.ids[at],
            times: [0, 1].map(|n: usize| self.times[n][at]),
            dates: [0, 1, 2].map(|n: usize| self.dates[n][at]),
            texts: std::array::from_fn(|n| self.texts[n][at]),
            upload: self.uploads[at],
        }
    }

    /// Whether the slot's row is this one.
    pub(super) fn holds(&self, slot: u32, row: &Row<'_>) -> bool {
        let at = slot as usize;
        (0..TIMES).all(|n| self.times[n][at] == row.times[n])
            && (0..DATES).all(|n| self.dates[n][at] == row.dates[n])
            && (0..TEXTS).all(|n| self.words.text(self.texts[n][at]) == row.texts[n])
            && match (self.uploads[at], row.upload) {
                (NONE, None) => true,
                (NONE, Some(_)) | (_, None) => false,
                (number, Some(text)) => self.references.text(number) == text,
            }
    }

    /// Packs a row, whose texts are held from now on. `near` is a slot that may hold the same texts.
    pub(super) fn pack(&mut self, row: &Row<'_>, near: Option<u32>) -> Packed {
        // Without a better guess the row that came last.
        let near = near.or_else(|| u32::try_from(self.ids.len().checked_sub(1)?).ok());
        let near = near.filter(|&slot| self.is_live(slot));
        Packed {
            id: row.id,
            times: row.times,
            dates: row.dates,
            texts: std::array::from_fn(|n| {
                let near = near.map(|slot| self.texts[n][slot as usize]);
                match near.filter(|&number| self.words.text(number) == row.texts[n]) {
                    Some(number) => {
                        self.words.hold_again(number);
                        number
                    }
                    None => self.words.hold(row.texts[n]),
                }
            }),
            upload: row.upload.map_or(NONE, |text| self.references.hold(text)),
        }
    }

    /// Lets go of the texts of a row that is no longer kept.
    pub(super) fn release(&mut self, packed: &Packed) {
        for number in packed.texts {
            self.words.release(number);
        }
        if packed.upload != NONE {
            self.references.release(packed.upload);
        }
    }

    /// Puts a row in the place of another one with its id.
    pub(super) fn replace(&mut self, slot: u32, packed: &Packed, revision: u32) {
        let at = slot as usize;
        for (column, time) in self.times.iter_mut().zip(packed.times) {
            column[at] = time;
        }
        for (column, date) in self.dates.iter_mut().zip(packed.dates) {
            column[at] = date;
        }
        for (column, text) in self.texts.iter_mut().zip(packed.texts) {
            column[at] = text;
        }
        self.uploads[at] = packed.upload;
        self.revisions[at] = revision;
    }

    /// Adds a row whose id is not there.
    pub(super) fn add(&mut self, packed: &Packed, revision: u32) -> u32 {
        let slot = if let Some(slot) = self.free.pop() {
            self.ids[slot as usize] = packed.id;
            self.replace(slot, packed, revision);
            slot
        } else {
            self.ids.push(packed.id);
            for (column, time) in self.times.iter_mut().zip(packed.times) {
                column.push(time);
            }
            for (column, date) in self.dates.iter_mut().zip(packed.dates) {
                column.push(date);
            }
            for (column, text) in self.texts.iter_mut().zip(packed.texts) {
                column.push(text);
            }
            self.uploads.push(packed.upload);
            self.revisions.push(revision);
            u32::try_from(self.ids.len() - 1).expect("fewer than 2^32 rows")
        };
        let (ids, by) = (&self.ids, self.hash);
        let hash = by.id(packed.id.as_u128());
        self.index
            .insert(hash, slot, |slot| by.id(ids[slot as usize].as_u128()));
        slot
    }

    /// Frees a slot. The row's texts are held until they are released.
    pub(super) fn remove(&mut self, slot: u32) {
        let (ids, by) = (&self.ids, self.hash);
        let hash = by.id(ids[slot as usize].as_u128());
        self.index
            .remove(hash, slot, |slot| by.id(ids[slot as usize].as_u128()));
        self.times[0][slot as usize] = DEAD;
        self.free.push(slot);
    }

    /// Makes room for so many rows more.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.ids.reserve_exact(rows);
        self.times
            .iter_mut()
            .for_each(|column| column.reserve_exact(rows));
        self.dates
            .iter_mut()
            .for_each(|column| column.reserve_exact(rows));
        self.texts
            .iter_mut()
            .for_each(|column| column.reserve_exact(rows));
        self.uploads.reserve_exact(rows);
        self.revisions.reserve_exact(rows);
        let (ids, by) = (&self.ids, self.hash);
        self.index
            .reserve(rows, |slot| by.id(ids[slot as usize].as_u128()));
    }

    /// How much memory the rows take, nearly.
    pub fn bytes(&self) -> usize {
        const ROW: usize = size_of::<Uuid>() + 8 * TIMES + 4 * (DATES + TEXTS) + 4 + 4;
        self.ids.capacity() * ROW
            + self.free.capacity() * size_of::<u32>()
            + self.index.bytes()
            + self.words.bytes()
            + self.references.bytes()
    }
}
