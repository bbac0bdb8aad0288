//! permessage-deflate (RFC 7692): its negotiation, and messages made smaller and whole again.
//!
//! Both sides give up context takeover. What the server sends then depends on the message alone, so
//! one compressed frame serves every client with the same window; and no window is kept per socket
//! for what clients send. Never decides what is worth compressing: that is the frame's.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::fmt;

use super::violation::Violation;

/// What ends every flushed deflate block and is left out on the wire (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The window a client expects when nothing else was agreed on.
const DEFAULT_WINDOW_BITS: u8 = 15;

/// The compression agreed on with one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// Set only when the client asked for it, because only then may it be answered.
    server_max_window_bits: Option<u8>,
}

impl Params {
    /// Takes the first of the client's offers that can be served, from the values of its
    /// `Sec-WebSocket-Extensions` headers; offers of other extensions are passed over.
    pub fn negotiate<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        headers
            .flat_map(|value| value.split(','))
            .find_map(Self::from_offer)
    }

    /// The base-2 logarithm of the window that messages to this client may use: 9 to 15.
    pub fn window_bits(self) -> u8 {
        self.server_max_window_bits.unwrap_or(DEFAULT_WINDOW_BITS)
    }

    /// An offer with a parameter that is unknown, repeated or out of range must be declined.
    fn from_offer(offer: &str) -> Option<Self> {
        let mut parts = offer.split(';').map(str::trim);
        if parts.next() != Some("permessage-deflate") {
            return None;
        }
        let mut seen = Vec::new();
        let mut server_max_window_bits = None;
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
                None => (part, None),
            };
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            match (name, value) {
                // The last is a hint that the client will do with less; we read with the largest.
                (
                    "server_no_context_takeover"
                    | "client_no_context_takeover"
                    | "client_max_window_bits",
                    None,
                ) => {}
                // A window of 256 bytes is one that zlib can't keep to.
                ("server_max_window_bits", Some(bits)) => {
                    server_max_window_bits = Some(window_bits(bits).filter(|bits| *bits >= 9)?);
                }
                ("client_max_window_bits", Some(bits)) => {
                    window_bits(bits)?;
                }
                _ => return None,
            }
        }
        Some(Self {
            server_max_window_bits,
        })
    }
}

/// The answer to the offer, as the response's `Sec-WebSocket-Extensions`.
impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate; server_no_context_takeover; client_no_context_takeover")?;
        match self.server_max_window_bits {
            Some(bits) => write!(f, "; server_max_window_bits={bits}"),
            None => Ok(()),
        }
    }
}

/// Compresses one message behind `room` zero bytes, which are left for its header.
pub fn deflate(message: &[u8], window_bits: u8, room: usize) -> Vec<u8> {
    let mut compress = Compress::new_with_window_bits(Compression::new(6), false, window_bits);
    let mut out = Vec::with_capacity(room + message.len() / 4 + 64);
    out.resize(room, 0);
    loop {
        let read = usize::try_from(compress.total_in()).expect("at most the message's length");
        compress
            .compress_vec(&message[read..], &mut out, FlushCompress::Sync)
            .expect("the stream is not finished and takes any bytes");
        // Room left over means that the flush is complete.
        if out.len() < out.capacity() {
            break;
        }
        out.reserve(out.len() / 2);
    }
    debug_assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    out
}

/// Makes a compressed message whole again, or refuses as soon as it is longer than `limit` bytes.
pub fn inflate(message: &[u8], limit: usize) -> Result<Vec<u8>, Violation> {
    let mut decompress = Decompress::new(false);
    let mut out = Vec::new();
    for mut input in [message, &TAIL] {
        while !input.is_empty() {
            if out.len() > limit {
                return Err(Violation::TooBig);
            }
            if out.len() == out.capacity() {
                // One byte above the limit shows that there is more.
                let target = (out.len() * 2)
                    .max(message.len() * 4)
                    .max(64)
                    .min(limit + 1);
                out.reserve_exact(target - out.len());
            }
            let before = decompress.total_in();
            let status = decompress
                .decompress_vec(input, &mut out, FlushDecompress::Sync)
                .map_err(|_| Violation::Protocol("compressed data is broken"))?;
            let read = usize::try_from(decompress.total_in() - before).expect("at most the input");
            input = &input[read..];
            match status {
                // A client may end a block for good and begin another (RFC 7692, section 7.2.3.4).
                Status::StreamEnd => decompress.reset(false),
                Status::BufError if read == 0 && out.len() < out.capacity() => {
                    return Err(Violation::Protocol("compressed data is broken"));
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }
    if out.len() > limit {
        return Err(Violation::TooBig);
    }
    Ok(out)
}

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

/// A decimal number from 8 to 15 without leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok().filter(|bits| (8..=15).contains(bits))?;
    (value.len() == if bits < 10 { 1 } else { 2 }).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(offers: &str) -> Option<String> {
        Params::negotiate([offers].into_iter()).map(|params| params.to_string())
    }

    const PLAIN: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn offers_that_can_be_served_are_taken() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=8;server_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits=\"15\"",
        ] {
            assert_eq!(answer(offer).as_deref(), Some(PLAIN), "{offer}");
        }
    }

    #[test]
    fn a_window_asked_for_is_promised() {
        for bits in 9..=15 {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            assert_eq!(
                answer(&offer),
                Some(format!("{PLAIN}; server_max_window_bits={bits}"))
            );
        }
    }

    #[test]
    fn offers_that_can_not_be_served_are_declined() {
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
        ] {
            assert_eq!(answer(offer), None, "{offer}");
        }
    }

    #[test]
    fn the_next_offer_is_tried() {
        let offers = "permessage-deflate; server_max_window_bits=8, permessage-deflate";
        assert_eq!(answer(offers).as_deref(), Some(PLAIN));
        let split = [
            "permessage-bzip2",
            "permessage-deflate; server_max_window_bits=10",
        ];
        assert_eq!(
            Params::negotiate(split.into_iter()).unwrap().window_bits(),
            10
        );
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let hello = b"Hello".as_slice();
        for compressed in [
            // Sections 7.2.3.1 to 7.2.3.5: fixed block, two fragments joined, stored block,
            // finished block, two blocks.
            b"\xf2\x48\xcd\xc9\xc9\x07\x00".as_slice(),
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ] {
            assert_eq!(inflate(compressed, 5).as_deref(), Ok(hello));
            assert_eq!(inflate(compressed, 4), Err(Violation::TooBig));
        }
        // What follows a finished block is read too.
        let twice = b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00";
        assert_eq!(inflate(twice, 10).as_deref(), Ok(b"HelloHello".as_slice()));
        // An empty message is one empty block.
        assert_eq!(inflate(b"\x00", 0).as_deref(), Ok(b"".as_slice()));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = deflate(&vec![0; 10_000_000], 15, 0);
        assert!(bomb.len() < 11_000);
        assert_eq!(inflate(&bomb, 1_000_000), Err(Violation::TooBig));
    }

    #[test]
    fn a_message_of_tiny_blocks_takes_little_time() {
        // Each block is two bytes, ends for good, and says nothing.
        let blocks = b"\x03\x00".repeat(1 << 17);
        let began = std::time::Instant::now();
        assert_eq!(inflate(&blocks, 1 << 20).as_deref(), Ok(b"".as_slice()));
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(1), "{took:?}");
    }

    #[test]
    fn broken_data_is_refused() {
        assert!(matches!(
            inflate(b"\xff\xff\xff", 100),
            Err(Violation::Protocol(_))
        ));
    }

    /// Reads with the window that was promised, and no larger one.
    fn inflate_within(message: &[u8], bits: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 << 20);
        let message = [message, &TAIL].concat();
        Decompress::new_with_window_bits(false, bits)
            .decompress_vec(&message, &mut out, FlushDecompress::Sync)
            .unwrap();
        out
    }

    proptest! {
        #[test]
        fn messages_come_back_whole(
            words in proptest::collection::vec("[a-z]{1,9}", 0..2000),
            noise in proptest::collection::vec(any::<u8>(), 0..40_000),
            bits in 9u8..=15,
        ) {
            for message in [words.join(" ").as_bytes(), &noise] {
                let compressed = deflate(message, bits, 0);
                let inflated = inflate(&compressed, message.len()).unwrap();
                prop_assert_eq!(&inflated, message);
                prop_assert!(inflated.capacity() <= message.len() + 1);
                prop_assert_eq!(&inflate_within(&compressed, bits), message);
            }
        }

        #[test]
        fn arbitrary_bytes_never_exceed_the_limit(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            limit in 0usize..2000,
        ) {
            if let Ok(message) = inflate(&bytes, limit) {
                prop_assert!(message.len() <= limit && message.capacity() <= limit + 1);
            }
        }
    }
}
