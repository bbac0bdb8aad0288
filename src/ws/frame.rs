//! Frames to clients, as the bytes that go on the wire (RFC 6455, section 5.2).
//! Knows nothing of who receives them: one frame serves every connection.

use bytes::{Bytes, BytesMut};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::{
    close,
    deflate::{self, Params},
};

/// The longest header of an unmasked frame.
const HEADER_ROOM: usize = 10;

/// Below this many bytes a compressed payload saves no packet.
const WORTH_COMPRESSING_BYTES: usize = 860;

/// Windows of 2^9 to 2^15 bytes.
const WINDOWS: usize = 7;

const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// One message for any number of clients: header and payload in shared memory, cheap to clone.
/// Compressed forms are made at most once for each window size.
#[derive(Clone)]
pub struct Frame(Arc<Inner>);

struct Inner {
    plain: Bytes,
    /// `None` inside: tried and not worth it.
    compressed: [OnceLock<Option<Bytes>>; WINDOWS],
}

impl Frame {
    /// A text message. The payload is copied once.
    pub fn text(payload: &str) -> Self {
        Self::text_from(payload.len(), |buffer| {
            buffer.extend_from_slice(payload.as_bytes());
        })
    }

    /// A binary message. The payload is copied once.
    pub fn binary(payload: &[u8]) -> Self {
        Self::build(BINARY, payload.len(), |buffer| {
            buffer.extend_from_slice(payload);
        })
    }

    /// A text message written in place: `fill` gets an empty buffer with room for `capacity` bytes
    /// and appends the payload, which must be UTF-8. Nothing is copied unless it takes more.
    pub fn text_from(capacity: usize, fill: impl FnOnce(&mut BytesMut)) -> Self {
        let frame = Self::build(TEXT, capacity, fill);
        debug_assert!(
            std::str::from_utf8(frame.payload()).is_ok(),
            "a text must be UTF-8"
        );
        frame
    }

    /// What the client will see.
    pub fn payload(&self) -> &[u8] {
        let plain = &self.0.plain;
        &plain[header_len(plain[1])..]
    }

    /// The bytes to write to a client with which `params` were agreed on. Compresses the first time
    /// a window size is asked for, unless [`Frame::compress`] has done so already.
    pub fn wire(&self, params: Option<Params>) -> Bytes {
        let compressed = params.and_then(|params| self.compressed(params));
        compressed.unwrap_or(&self.0.plain).clone()
    }

    /// Makes the compressed form ahead of time. That takes tens of milliseconds a megabyte: call it
    /// where blocking is allowed.
    pub fn compress(&self, params: Params) {
        self.compressed(params);
    }

    fn build(opcode: u8, capacity: usize, fill: impl FnOnce(&mut BytesMut)) -> Self {
        let mut room = BytesMut::with_capacity(HEADER_ROOM + capacity);
        room.resize(HEADER_ROOM, 0);
        let mut payload = room.split_off(HEADER_ROOM);
        fill(&mut payload);
        // Joins what is still one piece of memory.
        room.unsplit(payload);
        let start = put_header(&mut room, FIN | opcode);
        let plain = room.freeze().slice(start..);
        Self(Arc::new(Inner {
            plain,
            compressed: Default::default(),
        }))
    }

    fn compressed(&self, params: Params) -> Option<&Bytes> {
        let payload = self.payload();
        if payload.len() < WORTH_COMPRESSING_BYTES {
            return None;
        }
        let bits = params.window_bits();
        let made = self.0.compressed[usize::from(bits - 9)].get_or_init(|| {
            let mut bytes = deflate::deflate(payload, bits, HEADER_ROOM);
            let start = put_header(&mut bytes, COMPRESSED | self.0.plain[0]);
            bytes.shrink_to_fit();
            let bytes = Bytes::from(bytes).slice(start..);
            (bytes.len() < self.0.plain.len()).then_some(bytes)
        });
        made.as_ref()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.0.plain.len())
    }
}

/// A ping without payload.
pub const EMPTY_PING: [u8; 2] = [FIN | PING, 0];

/// The answer to a ping: its payload, at most 125 bytes, comes back.
pub fn pong(payload: &[u8]) -> Bytes {
    control(PONG, &[payload])
}

/// A close frame; a reason that would not fit is cut. Without a code it is empty.
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    match code {
        Some(code) => control(CLOSE, &[&code.to_be_bytes(), close::fit(reason).as_bytes()]),
        None => control(CLOSE, &[]),
    }
}

fn control(opcode: u8, payload: &[&[u8]]) -> Bytes {
    let payload = payload.concat();
    let len = u8::try_from(payload.len()).ok().filter(|len| *len <= 125);
    let len = len.expect("a control frame's payload has at most 125 bytes");
    let mut bytes = Vec::with_capacity(2 + payload.len());
    bytes.extend_from_slice(&[FIN | opcode, len]);
    bytes.extend_from_slice(&payload);
    bytes.into()
}

/// Writes the header for what follows the first [`HEADER_ROOM`] bytes to the end of that room, and
/// says where the frame begins.
fn put_header(bytes: &mut [u8], first: u8) -> usize {
    let len = bytes.len() - HEADER_ROOM;
    let long = (len as u64).to_be_bytes();
    let (mark, extended) = match len {
        0..126 => (long[7], &long[8..]),
        126..65_536 => (126, &long[6..]),
        _ => (127, &long[..]),
    };
    let start = HEADER_ROOM - 2 - extended.len();
    bytes[start] = first;
    bytes[start + 1] = mark;
    bytes[start + 2..HEADER_ROOM].copy_from_slice(extended);
    start
}

fn header_len(mark: u8) -> usize {
    match mark {
        126 => 4,
        127 => 10,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;
    use std::io::Write;

    fn params(offer: &str) -> Params {
        Params::negotiate([offer].into_iter()).unwrap()
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        for (len, header) in [
            (0, b"\x82\x00".as_slice()),
            (125, b"\x82\x7d"),
            (126, b"\x82\x7e\x00\x7e"),
            (65_535, b"\x82\x7e\xff\xff"),
            (65_536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ] {
            let payload = vec![7; len];
            let frame = Frame::binary(&payload);
            assert_eq!(frame.wire(None), [header, &payload].concat());
            assert_eq!(frame.payload(), payload);
        }
    }

    #[test]
    fn a_text_written_in_place_is_not_copied() {
        let mut written = std::ptr::null();
        let frame = Frame::text_from(1000, |buffer| {
            buffer.put_bytes(b'a', 500);
            write!(buffer.writer(), "{}", 12).unwrap();
            written = buffer.as_ptr();
        });
        assert_eq!(frame.payload().len(), 502);
        assert_eq!(frame.payload().as_ptr(), written);
        assert_eq!(frame.wire(None)[..4], [0x81, 126, 1, 246]);
    }

    #[test]
    fn more_than_announced_is_taken_too() {
        let frame = Frame::text_from(1, |buffer| buffer.put_bytes(b'a', 70_000));
        assert_eq!(frame.wire(None).len(), 70_010);
        assert!(frame.payload().iter().all(|byte| *byte == b'a'));
    }

    #[test]
    fn all_clients_share_the_same_memory() {
        let frame = Frame::text(&"a".repeat(2000));
        let other = frame.clone();
        assert_eq!(frame.wire(None).as_ptr(), other.wire(None).as_ptr());
        let (plain, small) = (params("permessage-deflate"), "server_max_window_bits=9");
        let small = params(&format!("permessage-deflate; {small}"));
        assert_eq!(
            frame.wire(Some(plain)).as_ptr(),
            other.wire(Some(plain)).as_ptr()
        );
        assert_ne!(
            frame.wire(Some(plain)).as_ptr(),
            other.wire(Some(small)).as_ptr()
        );
    }

    #[test]
    fn a_compressed_frame_says_so_and_comes_back_whole() {
        let text = "all work and no play makes a dull boy ".repeat(50);
        let frame = Frame::text(&text);
        let wire = frame.wire(Some(params("permessage-deflate")));
        assert_eq!(wire[0], 0xc1);
        assert!(wire.len() < 126);
        assert_eq!(
            deflate::inflate(&wire[2..], text.len()).unwrap(),
            text.as_bytes()
        );
    }

    #[test]
    fn what_is_not_worth_it_stays_as_it_is() {
        let params = Some(params("permessage-deflate"));
        let small = Frame::text(&"a".repeat(WORTH_COMPRESSING_BYTES - 1));
        assert_eq!(small.wire(params), small.wire(None));
        let noise: Vec<u8> = (0..2000).map(|_| rand::random()).collect();
        let noise = Frame::binary(&noise);
        assert_eq!(noise.wire(params), noise.wire(None));
    }

    #[test]
    fn control_frames_are_as_in_the_rfc() {
        assert_eq!(EMPTY_PING, b"\x89\x00"[..]);
        assert_eq!(pong(b"Hello"), b"\x8a\x05Hello"[..]);
        assert_eq!(close(None, "not said"), b"\x88\x00"[..]);
        assert_eq!(close(Some(1000), "bye"), b"\x88\x05\x03\xe8bye"[..]);
        assert_eq!(close(Some(1000), &"x".repeat(500)).len(), 127);
    }
}
