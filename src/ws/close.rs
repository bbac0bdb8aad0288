//! Close codes and the payload of a close frame (RFC 6455, sections 5.5.1 and 7.4).
//! Never decides when to close.

use super::violation::Violation;

/// The purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// The server shuts down, or the page was left.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke RFC 6455.
pub const PROTOCOL: u16 = 1002;
/// A text that is not UTF-8.
pub const BAD_TEXT: u16 = 1007;
/// The peer may not do what it does, or no longer.
pub const POLICY: u16 = 1008;
/// A message above the limit.
pub const TOO_BIG: u16 = 1009;

impl Violation {
    /// The close code that tells the client.
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => PROTOCOL,
            Self::NotUtf8 => BAD_TEXT,
            Self::TooBig => TOO_BIG,
            Self::Unfinished => POLICY,
        }
    }
}

/// The bytes that a reason may take beside the code in a control frame's 125.
pub const MAX_REASON_BYTES: usize = 123;

/// Whether an endpoint may send `code`: defined for the wire by the RFC or its registry, or left to
/// libraries (3000-3999) and applications (4000-4999).
pub fn is_valid(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Reads a client's close payload: its code, if it gave one, and its reason.
pub fn parse(payload: &[u8]) -> Result<(Option<u16>, String), Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok((None, String::new())),
            _ => Err(Violation::Protocol("close payload of one byte")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !is_valid(code) {
        return Err(Violation::Protocol("close code not allowed on the wire"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
    Ok((Some(code), reason.to_owned()))
}

/// `reason`, cut at a character so that it fits a close frame.
pub fn fit(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_checked() {
        assert_eq!(parse(b""), Ok((None, String::new())));
        assert_eq!(parse(b"\x03\xe8bye"), Ok((Some(1000), "bye".to_owned())));
        assert!(matches!(parse(b"\x03"), Err(Violation::Protocol(_))));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(Violation::NotUtf8));
    }

    #[test]
    fn only_codes_meant_for_the_wire_are_taken() {
        let good = [
            1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999,
        ];
        let bad = [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ];
        assert!(good.into_iter().all(is_valid));
        assert!(!bad.into_iter().any(is_valid));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(fit("short"), "short");
        let long = "é".repeat(100);
        assert_eq!(fit(&long).len(), 122);
    }
}
