//! What the program prints. A reader that has gone (`marketplace tail | head -1`, a closed terminal)
//! is no failure: whatever was to be done is done. Everything is printed by these functions, because
//! `println!` panics there.

use std::io::{self, ErrorKind, Write};

use crate::error::{Error, Result};

/// Prints a line to the standard output. False when nobody reads it any more.
///
/// # Errors
/// [`Error::Start`] when it cannot be written for another reason, such as a full disk.
pub fn line(text: &str) -> Result<bool> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints bytes as they are. False when nobody reads them any more.
///
/// # Errors
/// As those of [`line()`].
pub fn bytes(bytes: &[u8]) -> Result<bool> {
    // A pipe is not flushed by a line's end.
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::Start(format!(
            "the output cannot be written: {error}"
        ))),
    }
}

/// Prints a line to the standard error, if anybody reads it.
pub fn complaint(text: &str) {
    // There is nobody left to be told.
    let _ = writeln!(io::stderr(), "{text}");
}
