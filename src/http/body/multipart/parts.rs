//! The parts of a form, one after the other, from a body that arrives piece by piece. Looks at each byte
//! once, however the body is cut, and keeps no more than a head of what it has not given on yet.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::{self, Finder};

use super::{disposition, patience::Patience};
use crate::{
    http::body::{Chunks, malformed, too_large},
    reply::Problem,
};

/// Longest head of a part, and longest text before the first part.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Ends a head.
const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// What a part says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The field.
    pub(super) name: Option<String>,
    /// What a file is called; a part without it is a text.
    pub(super) file_name: Option<String>,
}

/// Reads the parts of a multipart body one after another.
pub(super) struct Parts {
    chunks: Chunks,
    patience: Patience,
    /// Whether what is read now is stored, so that its chunks may be small.
    is_stored: bool,
    /// How much longer the form may be.
    bytes_left: u64,
    /// What has arrived and was not given on yet.
    buffer: BytesMut,
    /// What ends a part: the end of a line, two dashes and the boundary.
    delimiter: Finder<'static>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// In what a part contains.
    Content,
    /// Right after a boundary.
    Boundary,
    /// After the last boundary.
    End,
}

impl Parts {
    /// The parts between `boundary` in a body of up to `longest` bytes.
    pub(super) fn new(chunks: Chunks, boundary: &str, longest: u64) -> Self {
        let delimiter = format!("\r\n--{boundary}");
        Self {
            chunks,
            patience: Patience::default(),
            is_stored: false,
            bytes_left: longest,
            // So the first boundary is like all others.
            buffer: BytesMut::from("\r\n"),
            delimiter: Finder::new(&delimiter).into_owned(),
            state: State::Preamble,
        }
    }

    /// The next part. What is left of the one before is read past.
    ///
    /// # Errors
    /// 400 for what is no form, 408, 413.
    pub(super) async fn next(&mut self) -> Result<Option<Part>, Problem> {
        let mut preamble = 0;
        while let Some(piece) = self.content().await? {
            if self.state == State::Preamble {
                preamble += piece.len();
                if preamble > MAX_HEAD_BYTES {
                    return Err(too_large());
                }
            }
        }
        if self.state == State::End {
            return Ok(None);
        }
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        if self.buffer.starts_with(b"--") {
            self.state = State::End;
            self.skip_epilogue().await;
            return Ok(None);
        }
        let part = disposition::part(&self.head().await?)?;
        self.state = State::Content;
        Ok(Some(part))
    }

    /// The next piece of what the part contains.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub(super) async fn content(&mut self) -> Result<Option<Bytes>, Problem> {
        if !matches!(self.state, State::Preamble | State::Content) {
            return Ok(None);
        }
        let delimiter = self.delimiter.needle().len();
        loop {
            if let Some(end) = self.delimiter.find(&self.buffer) {
                if end > 0 {
                    return Ok(Some(self.buffer.split_to(end).freeze()));
                }
                self.buffer.advance(delimiter);
                self.state = State::Boundary;
                return Ok(None);
            }
            // The rest may be the beginning of a delimiter.
            let certain = (self.buffer.len() + 1).saturating_sub(delimiter);
            if certain > 0 {
                return Ok(Some(self.buffer.split_to(certain).freeze()));
            }
            self.fill().await?;
        }
    }

    /// The same of a file that is stored. The client has longer for it while it keeps coming, and may send it in
    /// chunks of any size.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub(super) async fn file_content(&mut self) -> Result<Option<Bytes>, Problem> {
        self.is_stored = true;
        let piece = self.content().await;
        self.is_stored = false;
        let piece = piece?;
        self.patience.extend(piece.as_ref().map_or(0, Bytes::len));
        Ok(piece)
    }

    /// The head of a part, without the blank line that ends it.
    async fn head(&mut self) -> Result<Bytes, Problem> {
        let mut searched = 0;
        loop {
            if let Some(end) = memmem::find(&self.buffer[searched..], BLANK_LINE) {
                let end = searched + end;
                if end > MAX_HEAD_BYTES {
                    return Err(too_large());
                }
                let head = self.buffer.split_to(end).freeze();
                self.buffer.advance(BLANK_LINE.len());
                return Ok(head);
            }
            if self.buffer.len() >= MAX_HEAD_BYTES + BLANK_LINE.len() {
                return Err(too_large());
            }
            searched = (self.buffer.len() + 1).saturating_sub(BLANK_LINE.len());
            self.fill().await?;
        }
    }

    /// Waits for more of the body.
    async fn fill(&mut self) -> Result<(), Problem> {
        let chunk = if self.is_stored {
            self.patience.wait(self.chunks.next_of_file()).await?
        } else {
            self.patience.wait(self.chunks.next()).await?
        };
        let chunk = chunk.ok_or_else(|| {
            malformed("Multipart form parse error - the last boundary is missing".into())
        })??;
        let left = self.bytes_left.checked_sub(chunk.len() as u64);
        self.bytes_left = left.ok_or_else(too_large)?;
        self.buffer.extend_from_slice(&chunk);
        Ok(())
    }

    /// Reads past what follows the form, so that the connection can be used again.
    async fn skip_epilogue(&mut self) {
        let mut skipped = 0;
        while skipped <= MAX_HEAD_BYTES
            && let Ok(Some(Ok(chunk))) = self.patience.wait(self.chunks.next()).await
        {
            skipped += chunk.len();
        }
    }
}
