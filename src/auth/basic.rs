//! The Basic scheme of the Authorization header (RFC 7617). Reads; verifies nothing.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use warp::http::{HeaderMap, header::AUTHORIZATION};

/// What was sent to prove who one is.
pub struct Credentials {
    /// Up to the first colon.
    pub username: String,
    /// After it.
    pub password: String,
}

/// The credentials of a request; none when it uses another scheme or no such header.
///
/// # Errors
/// What is wrong with the header, for people.
pub fn credentials(headers: &HeaderMap) -> Result<Option<Credentials>, &'static str> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let mut words = header
        .as_bytes()
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    if !words
        .next()
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"))
    {
        return Ok(None);
    }
    let Some(encoded) = words.next() else {
        return Err("Invalid basic header. No credentials provided.");
    };
    if words.next().is_some() {
        return Err("Invalid basic header. Credentials string should not contain spaces.");
    }
    decode(encoded)
        .map(Some)
        .ok_or("Invalid basic header. Credentials not correctly base64 encoded.")
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn decode(encoded: &[u8]) -> Option<Credentials> {
    let bytes = BASE64.decode(encoded).ok()?;
    let text = String::from_utf8(bytes)
        // Old clients send Latin-1, whose bytes are the first code points.
        .unwrap_or_else(|error| error.as_bytes().iter().copied().map(char::from).collect());
    let (username, password) = text.split_once(':')?;
    Some(Credentials {
        username: username.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use warp::http::HeaderValue;

    use super::*;

    fn read(header: &str) -> Result<Option<(String, String)>, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
        credentials(&headers).map(|found| found.map(|c| (c.username, c.password)))
    }

    #[test]
    fn name_and_password_are_read() {
        for (header, name, password) in [
            ("Basic YW5uOnNlY3JldA==", "ann", "secret"),
            ("basic YW5uOnNlY3JldA", "ann", "secret"),
            ("BASIC  YW5uOmE6Yg==", "ann", "a:b"),
            ("Basic em/pOnA=", "zo\u{e9}", "p"),
            ("Basic Og==", "", ""),
        ] {
            assert_eq!(
                read(header),
                Ok(Some((name.into(), password.into()))),
                "{header}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (header, wrong) in [
            ("Basic", "No credentials provided."),
            ("Basic YWxp Y2U=", "should not contain spaces."),
            ("Basic %%%", "not correctly base64 encoded."),
            ("Basic YW5u", "not correctly base64 encoded."),
        ] {
            assert!(read(header).unwrap_err().ends_with(wrong), "{header}");
        }
        assert_eq!(read("Bearer abc"), Ok(None));
        assert_eq!(read(""), Ok(None));
    }

    proptest! {
        #[test]
        fn any_header_is_survived_and_what_was_encoded_is_read(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            name in "[^:\\PC]{0,20}",
            password in "\\PC{0,20}",
        ) {
            if let Ok(value) = HeaderValue::from_bytes(&[b"Basic ", &bytes[..]].concat()) {
                let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
                let _ = credentials(&headers);
            }
            let header = format!("Basic {}", BASE64.encode(format!("{name}:{password}")));
            prop_assert_eq!(read(&header), Ok(Some((name, password))));
        }
    }
}
