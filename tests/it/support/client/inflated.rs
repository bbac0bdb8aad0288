//! What a server sends on a WebSocket connection, with compressed messages (RFC 7692) made plain, for a WebSocket
//! library that knows no extension. It expects no context takeover and each compressed message in one frame.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use flate2::{Decompress, FlushDecompress};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const COMPRESSED: u8 = 0x40;
const FIN: u8 = 0x80;
/// What ends every compressed message and is not sent.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A connection after the handshake.
#[derive(Debug)]
pub(super) struct Inflated<S> {
    stream: S,
    /// Whether compression was agreed on; otherwise all bytes pass as they are.
    is_agreed: bool,
    /// As received, up to a whole frame.
    raw: Vec<u8>,
    /// To be read.
    plain: Vec<u8>,
}

impl<S> Inflated<S> {
    /// With the bytes that were read after the handshake.
    pub(super) fn new(stream: S, is_agreed: bool, rest: Vec<u8>) -> Self {
        let (raw, plain) = if is_agreed {
            (rest, vec![])
        } else {
            (vec![], rest)
        };
        Self {
            stream,
            is_agreed,
            raw,
            plain,
        }
    }

    /// Moves whole frames from `raw` to `plain`.
    fn inflate(&mut self) -> io::Result<()> {
        while let Some((head, length)) = header(&self.raw)
            && self.raw.len() >= head + length
        {
            let first = self.raw[0];
            let payload = &self.raw[head..head + length];
            if first & COMPRESSED == 0 {
                self.plain.extend(&self.raw[..head + length]);
            } else if first & FIN == 0 {
                return Err(broken("a compressed message in parts"));
            } else {
                let message = inflate(payload)?;
                self.plain.extend([first & !COMPRESSED, 127]);
                self.plain.extend((message.len() as u64).to_be_bytes());
                self.plain.extend(message);
            }
            self.raw.drain(..head + length);
        }
        Ok(())
    }
}

/// How long a frame's header and its payload are, once the header is there. A server masks nothing.
fn header(raw: &[u8]) -> Option<(usize, usize)> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
    match *raw.get(1)? {
        126 => Some((4, number(raw.get(2..4)?))),
        127 => Some((10, number(raw.get(2..10)?))),
        length => Some((2, length.into())),
    }
}

fn inflate(payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut decompress = Decompress::new(false);
    let mut message = Vec::with_capacity(payload.len() * 4 + 64);
    let input = [payload, &TAIL].concat();
    loop {
        let read = usize::try_from(decompress.total_in()).expect("at most the input's length");
        decompress
            .decompress_vec(&input[read..], &mut message, FlushDecompress::Sync)
            .map_err(|_| broken("compressed data"))?;
        if message.len() < message.capacity() {
            return Ok(message);
        }
        message.reserve(message.len());
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Inflated<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            self.inflate()?;
            if !self.plain.is_empty() {
                let length = self.plain.len().min(into.remaining());
                into.put_slice(&self.plain[..length]);
                self.plain.drain(..length);
                return Poll::Ready(Ok(()));
            }
            if !self.is_agreed {
                return Pin::new(&mut self.stream).poll_read(context, into);
            }
            let mut space = [0; 16 << 10];
            let mut space = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut space))?;
            if space.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.raw.extend(space.filled());
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Inflated<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_compressed_message_becomes_plain_however_it_is_cut() {
        // "Hello", as RFC 7692 has it in section 7.2.3.1, between two messages that are not compressed.
        let compressed = [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let plain = [0x81, 0x01, b'a'];
        let sent = [&plain[..], &compressed, &plain].concat();
        let hello = [&[0x81, 127, 0, 0, 0, 0, 0, 0, 0, 5][..], b"Hello"].concat();
        let expected = [&plain[..], &hello, &plain].concat();
        for cut in 0..=sent.len() {
            let (rest, later) = sent.split_at(cut);
            let mut read = Vec::new();
            let mut stream = Inflated::new(later, true, rest.to_vec());
            stream.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, expected, "{cut}");
            let mut read = Vec::new();
            let mut stream = Inflated::new(later, false, rest.to_vec());
            stream.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, sent, "{cut}");
        }
    }
}
