//! A long list of slots in pieces, so that putting one in or taking one out moves little memory. About
//! 4.3 bytes a slot. Knows no order: whoever searches says how a slot compares.

use std::cmp::Ordering;

/// A piece is cut in two beyond this length. Tests have short lists.
const MOST: usize = if cfg!(test) { 8 } else { 1024 };
/// Pieces are made this long.
const MADE: usize = MOST / 4 * 3;
/// A piece is joined with its neighbour below this length.
const LEAST: usize = MOST / 8 + 1;

/// Slots in an order that others keep.
#[derive(Debug, Default)]
pub(super) struct List {
    /// None is empty.
    pieces: Vec<Vec<u32>>,
    /// The last slot of each piece, close together for the search.
    lasts: Vec<u32>,
    len: usize,
}

/// A place in the list: the piece, and the place in it.
#[derive(Clone, Copy, Debug)]
struct Place(usize, usize);

impl List {
    /// The list of these slots.
    pub(super) fn new(slots: &[u32]) -> Self {
        Self {
            pieces: slots.chunks(MADE).map(<[u32]>::to_vec).collect(),
            lasts: slots
                .chunks(MADE)
                .filter_map(<[u32]>::last)
                .copied()
                .collect(),
            len: slots.len(),
        }
    }

    /// How many slots are in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether no slot is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.pieces.iter().flatten().copied()
    }

    /// The slots from `index` on.
    pub(super) fn from(&self, index: usize) -> impl Iterator<Item = u32> {
        let mut left = index;
        let mut piece = 0;
        while let Some(slots) = self.pieces.get(piece)
            && left >= slots.len()
        {
            left -= slots.len();
            piece += 1;
        }
        let first = self
            .pieces
            .get(piece)
            .map_or(&[][..], |slots| &slots[left..]);
        let others = self.pieces.get(piece + 1..).unwrap_or_default();
        first.iter().chain(others.iter().flatten()).copied()
    }

    /// How many slots come before the first of which `compare` does not say that it is less.
    pub(super) fn rank(&self, compare: impl Fn(u32) -> Ordering) -> usize {
        let place = self.search(compare);
        self.index(place)
    }

    /// Puts a slot before the first of which `compare` does not say that it is less, and tells its
    /// index.
    pub(super) fn insert(&mut self, slot: u32, compare: impl Fn(u32) -> Ordering) -> usize {
        let place = self.search(compare);
        let index = self.index(place);
        let Place(piece, at) = place;
        self.len += 1;
        let (piece, at) = match (self.pieces.get(piece), piece.checked_sub(1)) {
            (Some(_), _) => (piece, at),
            // After the last slot: at the end of its piece.
            (None, Some(last)) => (last, self.pieces[last].len()),
            (None, None) => {
                self.pieces.push(vec![slot]);
                self.lasts.push(slot);
                return index;
            }
        };
        let slots = &mut self.pieces[piece];
        if slots.len() == slots.capacity() {
            slots.reserve_exact(slots.len() / 8 + 4);
        }
        slots.insert(at, slot);
        if slots.len() > MOST {
            let half = slots.split_off(MOST / 2);
            slots.shrink_to_fit();
            self.pieces.insert(piece + 1, half);
            self.lasts.insert(piece + 1, self.lasts[piece]);
            self.note_last(piece + 1);
        }
        self.note_last(piece);
        index
    }

    /// Takes out a slot, which is the first of which `compare` does not say that it is less, and tells
    /// the index that it had.
    pub(super) fn remove(&mut self, slot: u32, compare: impl Fn(u32) -> Ordering) -> usize {
        let place = self.search(compare);
        let index = self.index(place);
        let Place(piece, at) = place;
        let removed = self.pieces.get_mut(piece).map(|slots| slots.remove(at));
        assert_eq!(removed, Some(slot), "a row is where its values say");
        self.len -= 1;
        let len = self.pieces[piece].len();
        if len == 0 {
            self.pieces.remove(piece);
            self.lasts.remove(piece);
            return index;
        }
        self.note_last(piece);
        if len < LEAST {
            let first = piece.saturating_sub(1);
            if let [one, other, ..] = &mut self.pieces[first..]
                && one.len() + other.len() <= MADE
            {
                one.append(other);
                self.pieces.remove(first + 1);
                self.lasts.remove(first);
            }
        }
        index
    }

    /// How much memory it takes, nearly.
    pub(super) fn bytes(&self) -> usize {
        const PIECE: usize = size_of::<Vec<u32>>() + 16;
        let slots: usize = self.pieces.iter().map(Vec::capacity).sum();
        slots * size_of::<u32>() + self.pieces.capacity() * PIECE
    }

    fn note_last(&mut self, piece: usize) {
        self.lasts[piece] = *self.pieces[piece].last().expect("no piece is empty");
    }

    fn index(&self, Place(piece, at): Place) -> usize {
        self.pieces[..piece].iter().map(Vec::len).sum::<usize>() + at
    }

    fn search(&self, compare: impl Fn(u32) -> Ordering) -> Place {
        let is_less = |&slot: &u32| compare(slot).is_lt();
        let piece = self.lasts.partition_point(is_less);
        let at = self
            .pieces
            .get(piece)
            .map_or(0, |slots| slots.partition_point(is_less));
        Place(piece, at)
    }
}
