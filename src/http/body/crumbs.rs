//! Bodies that arrive in crumbs. Each piece of a body is work, however small it is, so a body may have
//! few small pieces: chunks of one byte, or segments of one byte, are refused early. What a file contains that
//! is stored does not count: only editors send those, a few at a time, and some programs send a row a chunk.

use warp::http::StatusCode;

use crate::reply::Problem;

/// A piece of this size pays for itself.
const PIECE_BYTES: usize = 256;
/// How much all pieces of a body together may be short of that: 2,048 pieces of one byte, or 8,192 of
/// 192 bytes, or any number of larger ones.
const MAX_SHORT_BYTES: usize = 2048 * PIECE_BYTES;

/// How short the pieces of a body have been so far.
#[derive(Default)]
pub(super) struct Crumbs {
    short_bytes: usize,
}

impl Crumbs {
    /// Counts a piece of this size.
    ///
    /// # Errors
    /// 413 when there were too many small ones.
    pub(super) fn count(&mut self, bytes: usize) -> Result<(), Problem> {
        self.short_bytes += PIECE_BYTES.saturating_sub(bytes);
        if self.short_bytes > MAX_SHORT_BYTES {
            return Err(Problem::detail(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body has too many small chunks.",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pieces of this size are let in, up to a million.
    fn let_in(bytes: usize) -> usize {
        let mut crumbs = Crumbs::default();
        let pieces = (0..1_000_000).take_while(|_| crumbs.count(bytes).is_ok());
        pieces.count()
    }

    #[test]
    fn small_pieces_are_few_and_large_ones_are_free() {
        assert_eq!(let_in(0), 2048);
        assert_eq!(let_in(1), 2056);
        assert_eq!(let_in(192), 8192);
        assert_eq!(let_in(PIECE_BYTES), 1_000_000);
        assert_eq!(let_in(1460), 1_000_000);
    }
}
