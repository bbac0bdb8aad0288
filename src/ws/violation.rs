//! What ends a connection because of its client. How a client is told is not known here.

use std::fmt;

/// What a client may not do; the connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// RFC 6455 or 7692 was broken, as the text says.
    Protocol(&'static str),
    /// A text or a close reason that is not UTF-8.
    NotUtf8,
    /// A message above the limit.
    TooBig,
    /// A message that was not whole in time.
    Unfinished,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protocol(fault) => fault,
            Self::NotUtf8 => "text is not UTF-8",
            Self::TooBig => "message too big",
            Self::Unfinished => "message took too long",
        })
    }
}

impl std::error::Error for Violation {}
