//! A tar archive that is passed on as it is read, and found out when it is cut short: `pg_restore` would
//! look for the rest of it for ever.

use std::io::{self, Read};

/// Headers and contents are in blocks of this many bytes.
const BLOCK: usize = 512;

/// Passes an archive on.
pub(super) struct Tar<R> {
    input: R,
    header: Vec<u8>,
    /// What is left of a file's contents, with what fills up their last block.
    contents: u64,
    is_complete: bool,
}

impl<R: Read> Tar<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            header: Vec::with_capacity(BLOCK),
            contents: 0,
            is_complete: false,
        }
    }

    fn notice(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_complete {
            let skipped = usize::try_from(self.contents)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            self.contents -= skipped as u64;
            bytes = &bytes[skipped..];
            let wanted = (BLOCK - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..wanted]);
            bytes = &bytes[wanted..];
            if self.header.len() == BLOCK {
                self.is_complete = self.header.iter().all(|byte| *byte == 0);
                self.contents = size(&self.header).next_multiple_of(BLOCK as u64);
                self.header.clear();
            }
        }
    }
}

impl<R: Read> Read for Tar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        if read == 0 && !buffer.is_empty() && !self.is_complete {
            return Err(io::Error::other("the archive is cut short"));
        }
        self.notice(&buffer[..read]);
        Ok(read)
    }
}

/// The size of the file behind a header, which is in octal digits or, when it is large, in binary.
fn size(header: &[u8]) -> u64 {
    let field = &header[124..136];
    // Nonsense is found out by whoever unpacks it; here it must not overflow.
    let most = u64::MAX / 2;
    if field[0] & 0x80 != 0 {
        let bytes = field[4..].iter();
        return bytes
            .fold(0, |size: u64, byte| (size << 8) | u64::from(*byte))
            .min(most);
    }
    let digits = field.iter().filter(|byte| (b'0'..=b'7').contains(*byte));
    digits
        .fold(0, |size: u64, digit| size * 8 + u64::from(digit - b'0'))
        .min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(sizes: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for size in sizes {
            let mut header = vec![b'x'; 100];
            header.resize(BLOCK, 0);
            header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
            bytes.extend(header);
            bytes.extend(vec![b'y'; *size]);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }

    #[test]
    fn an_archive_is_whole_or_an_error() {
        let whole = archive(&[0, 1, 511, 512, 513, 5000]);
        let mut read = Vec::new();
        Tar::new(whole.as_slice()).read_to_end(&mut read).unwrap();
        assert_eq!(read, whole);
        for length in 0..whole.len() - 2 * BLOCK {
            let cut = Tar::new(&whole[..length]).read_to_end(&mut Vec::new());
            assert!(cut.is_err(), "{length} of {}", whole.len());
        }
    }
}
