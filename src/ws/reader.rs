//! What clients send: bytes in, messages out (RFC 6455, section 5), whatever way the bytes are cut.
//!
//! Memory grows with what has arrived of one message, never with what a header announces, and is
//! given away with the message: between messages a reader holds none. Only while a compressed message
//! is made whole are there two forms of it, each within the limit. Never reads or writes itself.

use std::mem;

use super::{close, deflate, violation::Violation};

/// The longest header of a masked frame.
const MAX_HEADER: usize = 14;

/// The longest payload of a control frame.
const MAX_CONTROL: u8 = 125;

const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const RESERVED: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A whole message from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// What a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message.
    Message(Message),
    /// To be answered with a pong of the same payload.
    Ping(Vec<u8>),
    /// An answer to a ping, or a sign of life nobody asked for.
    Pong,
    /// The last that the client says: its code, if it gave one, and its reason.
    Close(Option<u16>, String),
}

/// Takes frames apart and puts messages together.
#[derive(Debug)]
pub struct Reader {
    /// What has arrived of the message under way, over all its fragments.
    message: Vec<u8>,
    /// What has arrived of a control frame, which may come between fragments.
    control: Vec<u8>,
    limit: u32,
    /// How much of `message` is known to be UTF-8.
    checked: u32,
    /// Payload bytes of the current frame that are still to come.
    left: u32,
    /// Turned so that its first byte is for the next byte of the payload.
    mask: [u8; 4],
    header: [u8; MAX_HEADER],
    /// How much of `header` has arrived.
    have: u8,
    in_payload: bool,
    deflate: bool,
    /// The kind of the message under way.
    kind: Option<Kind>,
    compressed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

impl Reader {
    /// A reader of messages up to `limit` bytes (at most 4 GiB), also when they are inflated, which
    /// takes compressed messages only if `deflate` was agreed on.
    pub fn new(limit: usize, deflate: bool) -> Self {
        Self {
            message: Vec::new(),
            control: Vec::new(),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            checked: 0,
            left: 0,
            mask: [0; 4],
            header: [0; MAX_HEADER],
            have: 0,
            in_payload: false,
            deflate,
            kind: None,
            compressed: false,
        }
    }

    /// Takes bytes from the front of `input` up to the end of what the client says next. `None`: all
    /// bytes were taken and it goes on. After a close or a violation nothing more may be read.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Violation> {
        loop {
            if !self.in_payload && !self.take_header(input)? {
                return Ok(None);
            }
            if !self.take_payload(input)? {
                return Ok(None);
            }
            self.in_payload = false;
            self.have = 0;
            if let Some(incoming) = self.end_of_frame()? {
                return Ok(Some(incoming));
            }
        }
    }

    /// The memory held for a message under way.
    pub fn held_bytes(&self) -> usize {
        self.message.capacity() + self.control.capacity()
    }

    /// Whether the header is complete.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<bool, Violation> {
        if self.have < 2 {
            if !self.fill_header(2, input) {
                return Ok(false);
            }
            self.check_start()?;
        }
        let short = self.header[1] & !MASKED;
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if !self.fill_header(2 + extended + 4, input) {
            return Ok(false);
        }
        let (long, mask) = self.header[2..].split_at(extended);
        self.mask.copy_from_slice(&mask[..4]);
        let length = match extended {
            0 => short.into(),
            _ => long
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        self.begin_payload(length, extended)?;
        Ok(true)
    }

    /// Whether the first `len` bytes of the header are there.
    fn fill_header(&mut self, len: usize, input: &mut &[u8]) -> bool {
        let have = usize::from(self.have);
        let more = take(input, len - have);
        self.header[have..have + more.len()].copy_from_slice(more);
        let have = have + more.len();
        self.have = u8::try_from(have).expect("a header has at most 14 bytes");
        have == len
    }

    /// What the first two bytes tell.
    fn check_start(&self) -> Result<(), Violation> {
        let [first, second, ..] = self.header;
        let opcode = first & OPCODE;
        let reserved = match opcode {
            TEXT | BINARY if self.deflate => RESERVED,
            _ => RESERVED | COMPRESSED,
        };
        let fault = match opcode {
            _ if first & reserved != 0 => "reserved bit set",
            _ if second & MASKED == 0 => "frame not masked",
            TEXT | BINARY if self.kind.is_some() => "message inside a fragmented message",
            CONTINUATION if self.kind.is_none() => "continuation of nothing",
            CLOSE | PING | PONG if first & FIN == 0 => "fragmented control frame",
            CLOSE | PING | PONG if second & !MASKED > MAX_CONTROL => "control frame too long",
            CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => return Ok(()),
            _ => "unknown opcode",
        };
        Err(Violation::Protocol(fault))
    }

    fn begin_payload(&mut self, length: u64, extended: usize) -> Result<(), Violation> {
        let shortest = match length {
            0..126 => 0,
            126..65_536 => 2,
            _ => 8,
        };
        if extended != shortest || length > i64::MAX as u64 {
            return Err(Violation::Protocol("length not in its shortest form"));
        }
        let opcode = self.header[0] & OPCODE;
        if !is_control(opcode) && self.message.len() as u64 + length > u64::from(self.limit) {
            return Err(Violation::TooBig);
        }
        if matches!(opcode, TEXT | BINARY) {
            self.kind = Some(if opcode == TEXT {
                Kind::Text
            } else {
                Kind::Binary
            });
            self.compressed = self.header[0] & COMPRESSED != 0;
        }
        self.left = u32::try_from(length).expect("not above the limit");
        self.in_payload = true;
        Ok(())
    }

    /// Whether the frame is complete.
    fn take_payload(&mut self, input: &mut &[u8]) -> Result<bool, Violation> {
        let more = take(input, self.left as usize);
        self.left -= u32::try_from(more.len()).expect("no more than what is left");
        if is_control(self.header[0] & OPCODE) {
            append(&mut self.control, more, self.mask, MAX_CONTROL.into());
        } else {
            append(&mut self.message, more, self.mask, self.limit as usize);
            self.check_text()?;
        }
        self.mask.rotate_left(more.len() % 4);
        Ok(self.left == 0)
    }

    /// Refuses a text at its first wrong byte, however much of it is still to come. Its end is
    /// checked where it becomes a `String`.
    fn check_text(&mut self) -> Result<(), Violation> {
        let last = self.left == 0 && self.header[0] & FIN != 0;
        if self.kind != Some(Kind::Text) || self.compressed || last {
            return Ok(());
        }
        let unchecked = &self.message[self.checked as usize..];
        let good = match std::str::from_utf8(unchecked) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(Violation::NotUtf8),
        };
        self.checked += u32::try_from(good).expect("within the limit");
        Ok(())
    }

    fn end_of_frame(&mut self) -> Result<Option<Incoming>, Violation> {
        let incoming = match self.header[0] & OPCODE {
            PING => Incoming::Ping(mem::take(&mut self.control)),
            PONG => {
                self.control = Vec::new();
                Incoming::Pong
            }
            CLOSE => {
                let (code, reason) = close::parse(&mem::take(&mut self.control))?;
                Incoming::Close(code, reason)
            }
            _ if self.header[0] & FIN == 0 => return Ok(None),
            _ => Incoming::Message(self.end_of_message()?),
        };
        Ok(Some(incoming))
    }

    fn end_of_message(&mut self) -> Result<Message, Violation> {
        let mut bytes = mem::take(&mut self.message);
        self.checked = 0;
        if self.compressed {
            bytes = deflate::inflate(&bytes, self.limit as usize)?;
        }
        match self.kind.take() {
            Some(Kind::Text) => String::from_utf8(bytes)
                .map(Message::Text)
                .map_err(|_| Violation::NotUtf8),
            _ => Ok(Message::Binary(bytes)),
        }
    }
}

fn is_control(opcode: u8) -> bool {
    opcode & 8 != 0
}

/// Takes up to `len` bytes from the front of `input`.
fn take<'a>(input: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(len.min(input.len()));
    *input = rest;
    taken
}

/// Appends masked bytes as what they mean. Capacity doubles, but never beyond `limit`.
fn append(to: &mut Vec<u8>, masked: &[u8], mask: [u8; 4], limit: usize) {
    let from = to.len();
    let needed = from + masked.len();
    if needed > to.capacity() {
        to.reserve_exact(needed.max(limit.min(from * 2)) - from);
    }
    to.extend_from_slice(masked);
    let (words, rest) = to[from..].as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests;
