//! A growing set of small numbers, one bit each.

/// A set of numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// Whether the number is in it.
    #[inline]
    pub(super) fn has(&self, n: u32) -> bool {
        self.0
            .get(n as usize / 64)
            .is_some_and(|word| word >> (n % 64) & 1 == 1)
    }

    /// Puts the number in, or takes it out.
    pub(super) fn set(&mut self, n: u32, is_in: bool) {
        let word = n as usize / 64;
        if word >= self.0.len() {
            if !is_in {
                return;
            }
            self.0.resize(word + 1, 0);
        }
        if is_in {
            self.0[word] |= 1 << (n % 64);
        } else {
            self.0[word] &= !(1 << (n % 64));
        }
    }

    /// Whether no number is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }
}
