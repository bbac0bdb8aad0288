//! Each distinct text once, under a number, for as long as a row holds it. Gives texts their rank in
//! the order of folded texts. Knows no rows and no columns.

use std::cmp::Ordering;

use super::{
    fold::{self, fold},
    hash::Hash,
    index::Index,
};

/// The number that stands for no text.
pub(super) const NONE: u32 = u32::MAX;

/// Texts by number.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    entries: Vec<Entry>,
    free: Vec<u32>,
    index: Index,
    hash: Hash,
    /// The place of each number's text among all that have one.
    ranks: Vec<u32>,
    /// Numbers in the order of their texts: all that have a rank, and some that went since.
    sorted: Vec<u32>,
    /// Numbers that have no rank yet, and some that went since.
    unranked: Vec<u32>,
    /// Numbers given to texts since they were last asked for.
    added: Vec<u32>,
    text_bytes: usize,
}

#[derive(Debug, Default)]
struct Entry {
    /// The text; behind it its folded form, if the text is not ASCII.
    chars: Box<str>,
    /// How many bytes the text has.
    len: u32,
    /// How many rows hold it.
    holders: u32,
}

const UNRANKED: u32 = u32::MAX;

impl Entry {
    fn text(&self) -> &str {
        &self.chars[..self.len as usize]
    }

    /// The folded form but for ASCII capitals, which [`fold::compare`] looks past.
    fn nearly_folded(&self) -> &str {
        match &self.chars[self.len as usize..] {
            "" if self.chars.is_ascii() => &self.chars,
            folded => folded,
        }
    }

    fn compare(&self, folded: &str, text: &str) -> Ordering {
        fold::compare(self.nearly_folded(), folded).then_with(|| self.text().cmp(text))
    }
}

impl Dictionary {
    /// The number of `text`, which one more row holds now.
    pub(super) fn hold(&mut self, text: &str) -> u32 {
        let hash = self.hash.text(text);
        let entries = &mut self.entries;
        if let Some(number) = self
            .index
            .find(hash, |n| entries[n as usize].text() == text)
        {
            entries[number as usize].holders += 1;
            return number;
        }
        let entry = Entry {
            chars: if text.is_ascii() {
                text.into()
            } else {
                [text, &fold(text)].concat().into()
            },
            len: u32::try_from(text.len()).expect("a text is shorter than 4 GiB"),
            holders: 1,
        };
        self.text_bytes += entry.chars.len();
        let number = if let Some(number) = self.free.pop() {
            self.entries[number as usize] = entry;
            self.ranks[number as usize] = UNRANKED;
            number
        } else {
            self.entries.push(entry);
            self.ranks.push(UNRANKED);
            u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 texts")
        };
        let (entries, by) = (&self.entries, self.hash);
        self.index
            .insert(hash, number, |n| by.text(entries[n as usize].text()));
        self.unranked.push(number);
        self.added.push(number);
        number
    }

    /// One more row holds this text.
    pub(super) fn hold_again(&mut self, number: u32) {
        self.entries[number as usize].holders += 1;
    }

    /// One row less holds this text. The last one frees it; its number may come to stand for another.
    pub(super) fn release(&mut self, number: u32) {
        let entry = &mut self.entries[number as usize];
        entry.holders -= 1;
        if entry.holders > 0 {
            return;
        }
        let hash = self.hash.text(entry.text());
        let (entries, by) = (&self.entries, self.hash);
        self.index
            .remove(hash, number, |n| by.text(entries[n as usize].text()));
        let entry = std::mem::take(&mut self.entries[number as usize]);
        self.text_bytes -= entry.chars.len();
        self.free.push(number);
    }

    /// The text of this number.
    pub(super) fn text(&self, number: u32) -> &str {
        self.entries[number as usize].text()
    }

    /// The number of `text`, if a row holds it.
    pub(super) fn number(&self, text: &str) -> Option<u32> {
        let hash = self.hash.text(text);
        self.index
            .find(hash, |n| self.entries[n as usize].text() == text)
    }

    /// Whether the folded text contains the folded `word`. `lower` is room to work in.
    pub(super) fn contains(&self, number: u32, word: &str, lower: &mut String) -> bool {
        let folded = self.entries[number as usize].nearly_folded();
        lower.clear();
        lower.push_str(folded);
        lower.make_ascii_lowercase();
        lower.contains(word)
    }

    /// All numbers that stand for a text.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        let is_held = |(_, entry): &(u32, &Entry)| entry.holders > 0;
        (0..)
            .zip(&self.entries)
            .filter(is_held)
            .map(|(number, _)| number)
    }

    /// Compares two texts by folding, then by code points.
    #[inline]
    pub(super) fn compare(&self, a: u32, b: u32) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        let (a_rank, b_rank) = (self.rank(a), self.rank(b));
        if a_rank != UNRANKED && b_rank != UNRANKED {
            return a_rank.cmp(&b_rank);
        }
        let (a, b) = (&self.entries[a as usize], &self.entries[b as usize]);
        a.compare(b.nearly_folded(), b.text())
    }

    /// Compares a text with one that need not be held.
    pub(super) fn compare_with(&self, number: u32, folded: &str, text: &str) -> Ordering {
        self.entries[number as usize].compare(folded, text)
    }

    /// Gives every text a rank.
    pub(super) fn rank_all(&mut self) {
        if self.unranked.is_empty() {
            return;
        }
        let (entries, ranks) = (&self.entries, &mut self.ranks);
        let mut fresh = std::mem::take(&mut self.unranked);
        // A number may be here twice: freed and given anew.
        fresh.sort_unstable();
        fresh.dedup();
        fresh.retain(|&n| entries[n as usize].holders > 0 && ranks[n as usize] == UNRANKED);
        fresh.sort_unstable_by(|&a, &b| {
            let (a, b) = (&entries[a as usize], &entries[b as usize]);
            a.compare(b.nearly_folded(), b.text())
        });
        // A freed number has no rank, nor has one that stands for another text since.
        let old = std::mem::take(&mut self.sorted);
        let old = old
            .into_iter()
            .filter(|&n| entries[n as usize].holders > 0 && ranks[n as usize] != UNRANKED);
        self.sorted = merge(old, fresh.into_iter(), |&a, &b| {
            let (a, b) = (&entries[a as usize], &entries[b as usize]);
            a.compare(b.nearly_folded(), b.text())
        });
        for (rank, &number) in (0..).zip(&self.sorted) {
            ranks[number as usize] = rank;
        }
    }

    /// The place of a text among all, as of the last [`rank_all`](Self::rank_all).
    #[inline]
    pub(super) fn rank(&self, number: u32) -> u32 {
        self.ranks[number as usize]
    }

    /// The numbers given to texts since this was last called.
    pub(super) fn take_added(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.added)
    }

    /// How much memory it takes, nearly.
    pub(super) fn bytes(&self) -> usize {
        const ALLOCATION: usize = 16;
        self.entries.capacity() * size_of::<Entry>()
            + (self.entries.len() - self.free.len()) * ALLOCATION
            + self.text_bytes
            + self.index.bytes()
            + (self.ranks.capacity() + self.free.capacity()) * size_of::<u32>()
            + (self.sorted.capacity() + self.unranked.capacity()) * size_of::<u32>()
    }
}

/// Merges two sorted sequences.
fn merge<T>(
    a: impl Iterator<Item = T>,
    b: impl Iterator<Item = T>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Vec<T> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    let mut merged = Vec::with_capacity(a.size_hint().0 + b.size_hint().0);
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        let next = if compare(x, y).is_le() {
            a.next()
        } else {
            b.next()
        };
        merged.extend(next);
    }
    merged.extend(a);
    merged.extend(b);
    merged
}
