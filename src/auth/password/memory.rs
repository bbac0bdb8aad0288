//! The memory that argon2 works in. One block of it is kept for each password that may be worked on
//! at once and used again and again: freed and asked for anew, it would stay with whichever thread
//! had it, and a flood of sign-ins would leave hundreds of megabytes behind.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use argon2::{Block, Params};

/// What is kept, in KiB: as much as our own hashes take.
const KEPT: usize = Params::DEFAULT_M_COST as usize;
/// More than this is given back to the system as soon as it is free: glibc's allocator maps blocks
/// of more than 32 MiB one by one (`M_MMAP_THRESHOLD`, mallopt(3)).
const MAPPED: usize = 33 * 1024;

/// Where one password at a time is worked on. Nothing is allocated before it is needed.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// Does `work` in so many KiB. Hashes from elsewhere may need more than is kept; of those one is
    /// worked on at a time in the whole process.
    pub(super) fn lend<T>(&mut self, kib: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
        static LARGE: Mutex<()> = Mutex::new(());
        if kib > KEPT {
            let _one_at_a_time = LARGE.lock().unwrap_or_else(PoisonError::into_inner);
            let mut blocks = Vec::with_capacity(kib.max(MAPPED));
            blocks.resize(kib, Block::new());
            return work(&mut blocks);
        }
        if self.0.is_empty() {
            self.0.reserve_exact(KEPT);
            self.0.resize(KEPT, Block::new());
        }
        work(&mut self.0[..kib])
    }
}

#[cfg(test)]
impl Memory {
    /// Whether something has worked in all that is kept.
    pub(super) fn is_filled(&self) -> bool {
        let is_empty = |block: &Block| block.as_ref().iter().all(|word| *word == 0);
        self.0.len() == KEPT && !self.0.iter().any(is_empty)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Memory").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_our_hashes_need_is_kept_and_more_is_not() {
        let mut memory = Memory::default();
        let at =
            |memory: &mut Memory, kib| memory.lend(kib, |blocks| (blocks.as_ptr(), blocks.len()));
        let (first, len) = at(&mut memory, KEPT);
        assert_eq!(len, KEPT);
        assert_eq!(at(&mut memory, 8), (first, 8));
        assert_eq!(at(&mut memory, KEPT + 1).1, KEPT + 1);
        assert_eq!(at(&mut memory, KEPT), (first, KEPT));
        assert_eq!(memory.0.capacity(), KEPT);
    }
}
