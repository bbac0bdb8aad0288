//! A fast hash with a secret: sixteen bytes at a time are multiplied and folded. Who does not know the
//! secret cannot choose keys that collide.

use std::hash::{BuildHasher, RandomState};

/// Hashes ids and texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(u64, u64);

impl Default for Hash {
    fn default() -> Self {
        let random = RandomState::new();
        Self(random.hash_one(1), random.hash_one(2))
    }
}

impl Hash {
    #[inline]
    pub(super) fn text(self, text: &str) -> u64 {
        let bytes = text.as_bytes();
        let mut hash = self.0 ^ bytes.len() as u64;
        let (parts, rest) = bytes.as_chunks::<16>();
        for part in parts {
            hash = self.mix(hash, u128::from_le_bytes(*part));
        }
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(hash, u128::from_le_bytes(last))
    }

    #[inline]
    pub(super) fn id(self, id: u128) -> u64 {
        self.mix(self.0, id)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "halves are meant")]
    fn mix(self, hash: u64, part: u128) -> u64 {
        let product = u128::from(part as u64 ^ hash) * u128::from((part >> 64) as u64 ^ self.1);
        // Twice, as a half that equals the secret would hide the other one.
        let folded = product as u64 ^ (product >> 64) as u64;
        let product = u128::from(folded ^ part as u64) * 0x9E37_79B9_7F4A_7C15;
        product as u64 ^ (product >> 64) as u64
    }
}
