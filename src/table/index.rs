//! A hash table of numbers whose keys are kept elsewhere: four bytes a cell. Open addressing with
//! linear probing; what follows a removed cell moves up. Knows neither keys nor what hashes them.

const EMPTY: u32 = u32::MAX;
const LEAST: usize = 16;

/// Numbers, found by the hash of their keys.
#[derive(Debug, Default)]
pub(super) struct Index {
    cells: Vec<u32>,
    len: usize,
}

impl Index {
    /// The number with this hash of which `is_it` says that its key is the one looked for.
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.cells.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let number = self.cells[at];
            if number == EMPTY {
                return None;
            }
            if is_it(number) {
                return Some(number);
            }
            at = self.next(at);
        }
    }

    /// Adds a number that is not there. `hash_of` hashes the keys of the others, when the table grows.
    pub(super) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        // At most 4 of 5 cells are used.
        if (self.len + 1) * 5 > self.cells.len() * 4 {
            let size = (self.cells.len() / 2 * 3).max(LEAST);
            self.resize(size, hash_of);
        }
        self.place(hash, number);
        self.len += 1;
    }

    /// Removes a number that is there.
    pub(super) fn remove(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        let mut hole = self.home(hash);
        while self.cells[hole] != number {
            assert_ne!(self.cells[hole], EMPTY, "what is removed is there");
            hole = self.next(hole);
        }
        let mut at = hole;
        loop {
            at = self.next(at);
            let moved = self.cells[at];
            if moved == EMPTY {
                break;
            }
            let wanted = self.home(hash_of(moved));
            if self.distance(wanted, at) >= self.distance(hole, at) {
                self.cells[hole] = moved;
                hole = at;
            }
        }
        self.cells[hole] = EMPTY;
        self.len -= 1;
    }

    /// Makes room for `more` numbers at once.
    pub(super) fn reserve(&mut self, more: usize, hash_of: impl Fn(u32) -> u64) {
        let size = (self.len + more) / 4 * 5 + LEAST;
        if size > self.cells.len() {
            self.resize(size, hash_of);
        }
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<u32>()
    }

    fn resize(&mut self, size: usize, hash_of: impl Fn(u32) -> u64) {
        let old = std::mem::replace(&mut self.cells, vec![EMPTY; size]);
        for number in old {
            if number != EMPTY {
                self.place(hash_of(number), number);
            }
        }
    }

    fn place(&mut self, hash: u64, number: u32) {
        let mut at = self.home(hash);
        while self.cells[at] != EMPTY {
            at = self.next(at);
        }
        self.cells[at] = number;
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "less than the number of cells"
    )]
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.cells.len() as u128) >> 64) as usize
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.cells.len() {
            0
        } else {
            at + 1
        }
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.cells.len() - from
        }
    }
}
