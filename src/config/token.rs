//! The token that opens `/metrics`. Only its digest is kept, so that it can be printed by nobody and
//! compared in a time that tells nothing of it.

use std::str::FromStr;

use sha2::{Digest, Sha256};

/// A shorter one could be guessed.
const MIN_BYTES: usize = 16;

/// The digest of the token by which metrics may be read.
#[derive(Clone, Debug)]
pub struct MetricsToken([u8; 32]);

impl MetricsToken {
    /// Whether this is the token.
    pub fn is(&self, text: &str) -> bool {
        self.0 == digest(text)
    }
}

impl FromStr for MetricsToken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() < MIN_BYTES || !is_printable {
            return Err(format!(
                "must have at least {MIN_BYTES} characters: letters, digits and marks of ASCII, no spaces"
            ));
        }
        Ok(Self(digest(text)))
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_it() {
        let token: MetricsToken = "0123456789abcdef".parse().unwrap();
        for (text, is) in [
            ("0123456789abcdef", true),
            ("0123456789abcdeF", false),
            ("0123456789abcde", false),
            ("", false),
        ] {
            assert_eq!(token.is(text), is, "{text}");
        }
        for wrong in ["", "short", "0123456789 abcdef", "0123456789abcde\u{e9}"] {
            assert!(wrong.parse::<MetricsToken>().is_err(), "{wrong}");
        }
    }
}
