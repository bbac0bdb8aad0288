//! The client's side of WebSocket, as cheap as can be: a handshake, and a reader that counts frames by
//! their headers and looks at no payload but the version at its end. It validates nothing else.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Result;

/// A pong without payload: masked, as a client's frames are, with a mask that changes nothing.
pub(crate) const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// How a socket is opened.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    /// Path and query.
    pub(crate) path: &'static str,
    /// Whom to be, by the session's cookie.
    pub(crate) cookie: Option<String>,
    /// Whether to offer permessage-deflate.
    pub(crate) deflate: bool,
}

impl Handshake {
    /// A stranger's, without compression.
    pub(crate) fn to(path: &'static str) -> Self {
        Self {
            path,
            cookie: None,
            deflate: false,
        }
    }

    /// With a session's cookie.
    pub(crate) fn with(self, cookie: &str) -> Self {
        Self {
            cookie: Some(cookie.to_owned()),
            ..self
        }
    }

    /// Opens a socket. Gives the connection and what the server has sent beyond its answer.
    pub(crate) async fn open(&self, server: SocketAddr) -> Result<(TcpStream, Vec<u8>)> {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            self.path
        );
        if let Some(cookie) = &self.cookie {
            request.extend(["Cookie: ", cookie, "\r\n"]);
        }
        if self.deflate {
            request += "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        }
        stream.write_all((request + "\r\n").as_bytes()).await?;
        let mut answer = Vec::with_capacity(512);
        let end = loop {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the server hung up during the handshake".into());
            }
            if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 101 ") {
            return Err(format!(
                "{} was refused: {}",
                self.path,
                String::from_utf8_lossy(&answer)
            )
            .into());
        }
        if self.deflate && !head.contains("permessage-deflate") {
            return Err("the server did not agree to permessage-deflate".into());
        }
        Ok((stream, answer.split_off(end)))
    }
}

/// What a reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole message.
    Message {
        /// Bytes on the wire, with the header.
        wire: u64,
        /// The counter of the payload's version; 0 when there is none to be read.
        version: u64,
    },
    Ping,
    /// Pongs.
    Nothing,
    /// The end, or something that no server of ours sends.
    Close,
}

/// How much of a payload's end holds its version.
const TAIL_BYTES: usize = 48;

/// Follows one connection's bytes.
#[derive(Debug)]
pub(crate) struct Reader {
    header: [u8; 10],
    /// How much of the header is here.
    have: usize,
    /// How much of the payload is to come.
    left: u64,
    wire: u64,
    tail: [u8; TAIL_BYTES],
    tail_len: usize,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            header: [0; 10],
            have: 0,
            left: 0,
            wire: 0,
            tail: [0; TAIL_BYTES],
            tail_len: 0,
        }
    }

    /// Takes bytes up to the end of one frame, if it is among them.
    pub(crate) fn take(&mut self, bytes: &mut &[u8]) -> Option<Found> {
        while !self.header_is_whole() {
            let (first, rest) = bytes.split_first()?;
            self.header[self.have] = *first;
            self.have += 1;
            *bytes = rest;
            if self.header_is_whole() {
                self.left = self.payload_len();
                self.wire = self.left + self.have as u64;
                self.tail_len = 0;
            }
        }
        let here = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (payload, rest) = bytes.split_at(here);
        *bytes = rest;
        self.left -= here as u64;
        if self.left < TAIL_BYTES as u64 {
            self.keep_tail(payload);
        }
        if self.left > 0 {
            return None;
        }
        self.have = 0;
        Some(self.whole())
    }

    fn whole(&self) -> Found {
        // The bit beside FIN says that it is compressed.
        match self.header[0] {
            0x81 => Found::Message {
                wire: self.wire,
                version: self.version(),
            },
            0xc1 => Found::Message {
                wire: self.wire,
                version: 0,
            },
            0x89 => Found::Ping,
            0x8a => Found::Nothing,
            _ => Found::Close,
        }
    }

    fn header_is_whole(&self) -> bool {
        let needed = match (self.have, self.header[1] & 0x7f) {
            (0 | 1, _) => 2,
            (_, 126) => 4,
            (_, 127) => 10,
            _ => 2,
        };
        self.have >= needed
    }

    fn payload_len(&self) -> u64 {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        match self.header[1] & 0x7f {
            126 => number(&self.header[2..4]),
            127 => number(&self.header[2..10]),
            len => u64::from(len),
        }
    }

    fn keep_tail(&mut self, payload: &[u8]) {
        let new = &payload[payload.len().saturating_sub(TAIL_BYTES)..];
        let old = self.tail_len.min(TAIL_BYTES - new.len());
        self.tail.copy_within(self.tail_len - old..self.tail_len, 0);
        self.tail[old..old + new.len()].copy_from_slice(new);
        self.tail_len = old + new.len();
    }

    /// The counter in `"version":"epoch:counter"}`.
    fn version(&self) -> u64 {
        let tail = &self.tail[..self.tail_len];
        let counter = tail
            .strip_suffix(b"\"}")
            .and_then(|text| text.rsplit(|byte| *byte == b':').next());
        let text = counter.and_then(|counter| std::str::from_utf8(counter).ok());
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }
}
