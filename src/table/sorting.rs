//! Sorting of slots by numbers, digit by digit, so that nothing is compared. Knows no columns.

/// Sorts by `word`; those with the same word stay in their order.
pub(super) fn sort_stable(slots: &mut [u32], word: &dyn Fn(u32) -> u64) {
    if slots.len() < COUNTED_FROM {
        slots.sort_by_cached_key(|&slot| word(slot));
        return;
    }
    let mut words: Vec<u64> = slots.iter().map(|&slot| word(slot)).collect();
    let (least, most) = words
        .iter()
        .fold((u64::MAX, 0), |(a, b), &w| (a.min(w), b.max(w)));
    if words.is_sorted() {
        return;
    }
    // The highest bits in which they differ, as many as go beside a slot.
    let bits = u64::BITS - (most - least).leading_zeros();
    let dropped = bits.saturating_sub(u32::BITS);
    for (word, &slot) in words.iter_mut().zip(&*slots) {
        *word = (*word - least) >> dropped << u32::BITS | u64::from(slot);
    }
    let sorted = by_digits(words, bits - dropped);
    for (slot, both) in slots.iter_mut().zip(&sorted) {
        *slot = low(*both);
    }
    if dropped == 0 {
        return;
    }
    let mut start = 0;
    for run in sorted.chunk_by(|a, b| a >> u32::BITS == b >> u32::BITS) {
        let end = start + run.len();
        if run.len() > 1 {
            sort_stable(&mut slots[start..end], word);
        }
        start = end;
    }
}

/// Fewer slots than this are compared.
const COUNTED_FROM: usize = if cfg!(test) { 20 } else { 1000 };
/// The bits of a digit: its counts, and the lines of memory that they lead to, fit into the cache.
const DIGIT: u32 = 13;

/// Sorts by the upper half, of which so many bits are used.
fn by_digits(mut from: Vec<u64>, bits: u32) -> Vec<u64> {
    let mut to = vec![0; from.len()];
    let passes = bits.div_ceil(DIGIT).max(1);
    // The same number of bits each time.
    let digit = bits.div_ceil(passes);
    let mask = (1 << digit) - 1;
    for pass in 0..passes {
        let shift = u32::BITS + pass * digit;
        let place = |both: u64| low(both >> shift & mask) as usize;
        let mut starts = vec![0_usize; (1 << digit) + 1];
        for &both in &from {
            starts[place(both) + 1] += 1;
        }
        for n in 1..starts.len() {
            starts[n] += starts[n - 1];
        }
        for &both in &from {
            let start = &mut starts[place(both)];
            to[*start] = both;
            *start += 1;
        }
        std::mem::swap(&mut from, &mut to);
    }
    from
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn low(both: u64) -> u32 {
    both as u32
}
