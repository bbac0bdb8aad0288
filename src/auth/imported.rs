//! Hashes of passwords that were imported from a Django backend: `pbkdf2_sha256$ROUNDS$SALT$HASH`
//! (<https://docs.djangoproject.com/en/stable/topics/auth/passwords/>). They are verified until their
//! user's next sign-in, and never made.

use base64::{Engine, prelude::BASE64_STANDARD};
use pbkdf2::{Algorithm, Params, pbkdf2_hmac_with_params};

use crate::hashes::PBKDF2;

/// Whether `stored` is a hash of `password`; `None` when it cannot be read.
pub(super) fn verify(password: &[u8], stored: &str) -> Option<bool> {
    let (params, salt, expected) = parse(stored)?;
    let mut found = [0; 32];
    pbkdf2_hmac_with_params(
        password,
        salt.as_bytes(),
        Algorithm::Pbkdf2Sha256,
        params,
        &mut found,
    );
    // All bytes are looked at, however early two differ.
    let difference = found
        .iter()
        .zip(expected)
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    Some(difference == 0)
}

/// The salt is the text itself, not what it would decode to.
fn parse(stored: &str) -> Option<(Params, &str, [u8; 32])> {
    let (rounds, rest) = stored.strip_prefix(PBKDF2)?.split_once('$')?;
    let (salt, hash) = rest.split_once('$')?;
    let hash = BASE64_STANDARD.decode(hash).ok()?;
    let params = Params::new(rounds.parse().ok()?).ok()?;
    Some((params, salt, hash.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Django 4.2 for the password `Anna-pass-2024!`.
    const ANNAS: &str =
        "pbkdf2_sha256$600000$HgX8XEbiSyIphtuD8pceIr$qYA1X4WIB2oX59pFrsdIC83YgHqMSQj8aYzRpWI5mlU=";

    #[test]
    fn a_hash_of_djangos_is_known_by_its_password_alone() {
        assert_eq!(verify(b"Anna-pass-2024!", ANNAS), Some(true));
        assert_eq!(verify(b"anna-pass-2024!", ANNAS), Some(false));
        assert_eq!(verify(b"", ANNAS), Some(false));
    }

    #[test]
    fn what_cannot_be_read_is_nobodys() {
        for stored in [
            "pbkdf2_sha256$",
            "pbkdf2_sha256$1000$salt",
            "pbkdf2_sha256$many$salt$qYA1X4WIB2oX59pFrsdIC83YgHqMSQj8aYzRpWI5mlU=",
            "pbkdf2_sha256$-1$salt$qYA1X4WIB2oX59pFrsdIC83YgHqMSQj8aYzRpWI5mlU=",
            "pbkdf2_sha256$1000$salt$",
            "pbkdf2_sha256$1000$salt$qYA1",
            "pbkdf2_sha256$1000$salt$not base64",
        ] {
            assert_eq!(verify(b"", stored), None, "{stored}");
        }
    }
}
